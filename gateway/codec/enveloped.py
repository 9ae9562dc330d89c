"""CMS enveloped data (RFC 5652, 6) as bytes: a content key encrypted to a certificate, the content under that key. Written and strictly read.

Written: one recipient by issuer and serial number, RSA PKCS#1 v1.5, AES-256-CBC. Read: the same with AES of 128, 192 or 256 bits and up to eight
recipients; anything else is refused. Nothing here encrypts: the two ciphers are the Crypto port's work.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.codec import der
from gateway.codec.certificate import issuer_and_serial
from gateway.codec.cms import DATA, RSA
from gateway.codec.der import Element
from gateway.core.errors import Code, Unverified

ENVELOPED_DATA = "1.2.840.113549.1.7.3"
AES256_CBC = "2.16.840.1.101.3.4.1.42"
#: Content ciphers that are read, by OID → bytes of their key.
CIPHERS = {"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, AES256_CBC: 32}
IV_BYTES = 16
_RECIPIENTS_MAX = 8


class Recipient(NamedTuple):
    """For whom the content key was encrypted: a certificate's issuer (DER Name) and serial number."""

    issuer: bytes
    serial: int
    wrapped: bytes


class EnvelopedData(NamedTuple):
    """An envelope as read."""

    recipients: tuple[Recipient, ...]
    key_bytes: int
    iv: bytes
    ciphertext: bytes


def write(certificate: bytes, wrapped: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """DER of the envelope: ``wrapped`` is the AES-256 key encrypted to the DER ``certificate``, ``ciphertext`` is padded by PKCS#7."""
    issuer, serial = issuer_and_serial(certificate)
    recipient = der.tlv(
        der.SEQUENCE,
        der.integer(0),
        der.tlv(der.SEQUENCE, issuer, der.integer(serial)),
        der.tlv(der.SEQUENCE, der.oid(RSA), der.NULL),
        der.tlv(der.OCTET_STRING, wrapped),
    )
    cipher = der.tlv(der.SEQUENCE, der.oid(AES256_CBC), der.tlv(der.OCTET_STRING, iv))
    content = der.tlv(der.SEQUENCE, der.oid(DATA), cipher, der.tlv(0x80, ciphertext))
    body = der.tlv(der.SEQUENCE, der.integer(0), der.tlv(der.SET, recipient), content)
    return der.tlv(der.SEQUENCE, der.oid(ENVELOPED_DATA), der.tlv(0xA0, body))


def parse(data: bytes, bytes_max: int) -> EnvelopedData:
    """Read an envelope. Raises Unverified: SIZE above ``bytes_max``, SIG for another shape."""
    if len(data) > bytes_max:
        raise Unverified(f"the envelope has {len(data)} bytes, at most {bytes_max}", code=Code.SIZE, where="envelope")
    try:
        kind, explicit = der.parse(data).expect(der.SEQUENCE).children()
        _must(kind.oid() == ENVELOPED_DATA, "not enveloped data")
        (body,) = explicit.expect(0xA0).children()
        version, recipients, content = body.expect(der.SEQUENCE).children()
        _must(version.integer() == 0, "not version 0")
        found = recipients.expect(der.SET).children()
        _must(1 <= len(found) <= _RECIPIENTS_MAX, f"{len(found)} recipients, 1 to {_RECIPIENTS_MAX} are read")
        inner, algorithm, ciphertext = content.expect(der.SEQUENCE).children()
        _must(inner.oid() == DATA, "does not hold plain data")
        name, iv = algorithm.expect(der.SEQUENCE).children()
        _must(name.oid() in CIPHERS, f"content cipher {name.oid()} is not listed")
        _must(len(iv.expect(der.OCTET_STRING).body) == IV_BYTES, "an iv of another length")
        hidden = ciphertext.expect(0x80).body
        _must(bool(hidden) and len(hidden) % IV_BYTES == 0, "not whole blocks")
        return EnvelopedData(tuple(_recipient(item) for item in found), CIPHERS[name.oid()], iv.body, hidden)
    except (ValueError, IndexError) as error:
        raise Unverified(f"not an envelope that we read: {error}", where="envelope") from None


def _recipient(element: Element) -> Recipient:
    version, identifier, algorithm, wrapped = element.expect(der.SEQUENCE).children()
    _must(version.integer() == 0, "the recipient is not named by issuer and serial")
    issuer, serial = identifier.expect(der.SEQUENCE).children()
    name, *parameters = algorithm.expect(der.SEQUENCE).children()
    _must(name.oid() == RSA and [item.whole for item in parameters] in ([], [der.NULL]), "not RSA PKCS#1 v1.5")
    return Recipient(issuer.expect(der.SEQUENCE).whole, serial.integer(), wrapped.expect(der.OCTET_STRING).body)


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)
