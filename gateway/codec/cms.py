"""CMS signed data (RFC 5652), detached, as bytes: what is signed, where the signature goes, and a strict reader.

Nothing here hashes a Document or touches a key. The digest is made over a stream elsewhere, so a detached seal costs
O(1) memory; the signature is a request to the Crypto port::

    attributes = signed_attributes(digest, signing_time)     # DER of a SET: exactly these bytes are signed
    seal = signed_data(attributes, signature, certificate)   # DER of the file ``*.p7s``

    seal = parse_signed_data(p7s)                             # raises Unverified SIG for every shape not listed here
    # then, in edge/crypto: the Document's digest equals seal.message_digest, the certificate is pinned and named by
    # issuer and serial, and it verifies seal.signature over seal.signed_attributes

What the reader refuses (PROMISES E9, E14, E15): content inside, no signed attributes, contentType or messageDigest
wrong, missing or repeated, any signed attribute that is not listed below, any unsigned attribute, none or several
SignerInfos, digests and signatures outside the two tables (SHA-1, MD5, PSS, DSA), anything that is not DER, bytes
after the end.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.codec import der
from gateway.codec.der import Element
from gateway.core.errors import Code, Unverified

SEAL_BYTES_MAX = 64 * 1024  # certificates included; a real one has about 2 KiB

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
SMIME_CAPABILITIES = "1.2.840.113549.1.9.15"  # OpenSSL and cryptography write it unless told not to; says nothing to us
ALGORITHM_PROTECTION = "1.2.840.113549.1.9.52"  # RFC 6211; Bouncy Castle writes it unless told not to; compared
LISTED_ATTRIBUTES = {CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME, SMIME_CAPABILITIES, ALGORITHM_PROTECTION}

RSA = "1.2.840.113549.1.1.1"
RSA_SHA256 = "1.2.840.113549.1.1.11"


class Digest(msgspec.Struct, frozen=True):
    """A digest algorithm by its name in hashlib."""

    name: str
    size: int  # bytes


#: What may digest. SHA-1 and MD5 are absent on purpose.
DIGESTS = {"2.16.840.1.101.3.4.2.1": Digest("sha256", 32)}
#: What may sign, by (digest, signature OID) → the Crypto port's name. RFC 3370 allows both OIDs for RSA PKCS#1 v1.5.
SIGNATURES = {("sha256", RSA): "rsa-sha256", ("sha256", RSA_SHA256): "rsa-sha256"}


class SignedData(msgspec.Struct, frozen=True, kw_only=True):
    """A detached seal as read: what it claims, nothing of it verified yet."""

    digest_algorithm: str  # name in hashlib
    message_digest: bytes
    signed_attributes: bytes  # DER of the SET OF: what the signature is over
    signature: bytes
    signature_algorithm: str  # as the Crypto port names it
    issuer: bytes  # DER Name of the signer's certificate's issuer
    serial: int
    certificates: tuple[bytes, ...]  # DER, as sent along: a hint only, trust comes from pins
    signing_time: datetime | None


def signed_attributes(digest: bytes, signing_time: datetime) -> bytes:
    """DER of the SET to be signed: content type, SHA-256 ``digest`` (32 bytes), aware ``signing_time``."""
    if len(digest) != 32:
        raise ValueError("the digest is not SHA-256")
    return der.set_of(
        (
            _attribute(CONTENT_TYPE, der.oid(DATA)),
            _attribute(MESSAGE_DIGEST, der.tlv(der.OCTET_STRING, digest)),
            _attribute(SIGNING_TIME, der.time(signing_time)),
        )
    )


def signed_data(attributes: bytes, signature: bytes, certificate: bytes) -> bytes:
    """DER of the detached seal: ``attributes`` as signed, an RSA PKCS#1 v1.5 SHA-256 signature, the DER certificate."""
    sha256 = der.tlv(der.SEQUENCE, der.oid(next(iter(DIGESTS))), der.NULL)
    issuer, serial = issuer_and_serial(certificate)
    signer = der.tlv(
        der.SEQUENCE,
        der.integer(1),
        der.tlv(der.SEQUENCE, issuer, der.integer(serial)),
        sha256,
        der.tlv(0xA0, der.parse(attributes).expect(der.SET).body),  # on the wire the SET OF goes under [0]
        der.tlv(der.SEQUENCE, der.oid(RSA), der.NULL),
        der.tlv(der.OCTET_STRING, signature),
    )
    body = der.tlv(
        der.SEQUENCE,
        der.integer(1),
        der.tlv(der.SET, sha256),
        der.tlv(der.SEQUENCE, der.oid(DATA)),
        der.tlv(0xA0, certificate),
        der.tlv(der.SET, signer),
    )
    return der.tlv(der.SEQUENCE, der.oid(SIGNED_DATA), der.tlv(0xA0, body))


def issuer_and_serial(certificate: bytes) -> tuple[bytes, int]:
    """DER Name of the issuer, and the serial number, of a DER certificate (RFC 5280, 4.1). Raises ValueError."""
    tbs = der.parse(certificate).expect(der.SEQUENCE).children()[0].expect(der.SEQUENCE).children()
    if tbs and tbs[0].tag == 0xA0:  # the version, absent in version 1
        tbs = tbs[1:]
    if len(tbs) < 3:
        raise ValueError("not a certificate")
    return tbs[2].expect(der.SEQUENCE).whole, tbs[0].integer()


def parse_signed_data(data: bytes) -> SignedData:
    """Read a detached seal. Raises Unverified SIG for anything but the one shape that is allowed."""
    if len(data) > SEAL_BYTES_MAX:
        raise Unverified(f"the seal has {len(data)} bytes, at most {SEAL_BYTES_MAX}", code=Code.SIZE, where="seal")
    try:
        kind, content = _members(der.parse(data), 2)
        _must(kind.oid() == SIGNED_DATA, "not signed data")
        version, digests, encapsulated, *rest = _members(_explicit(content), 4, 5)
        _must(version.integer() == 1, "not version 1")
        _must(_members(encapsulated, 1, 2)[0].oid() == DATA, "does not sign plain data")
        _must(len(encapsulated.children()) == 1, "holds content, where a detached seal has none")
        certificates = rest[0].expect(0xA0).children() if len(rest) == 2 else []
        signers = rest[-1].expect(der.SET).children()
        _must(len(signers) == 1, f"{len(signers)} signers, must be 1")
        return _signer(signers[0], _algorithms(digests), certificates)
    except (ValueError, IndexError) as error:
        raise Unverified(f"not a seal that we read: {error}", where="seal") from None


def _signer(signer: Element, listed: list[str], certificates: list[Element]) -> SignedData:
    version, sid, digest, attributes, *rest = _members(signer, 5, 7)
    _must(attributes.tag == 0xA0, "no signed attributes")
    _must(len(rest) == 2, "unsigned attributes")
    algorithm, signature = rest
    _must(version.integer() == 1, "the signer is not named by issuer and serial")
    issuer, serial = _members(sid, 2)
    digest_oid = _algorithm(digest)
    _must(digest_oid in DIGESTS, f"digest algorithm {digest_oid} is not listed")
    _must(listed == [digest_oid], "the listed digest algorithms are not the signer's one")
    used = DIGESTS[digest_oid]
    signature_oid = _algorithm(algorithm)
    name = SIGNATURES.get((used.name, signature_oid))
    if name is None:
        raise ValueError(f"signature algorithm {signature_oid} is not listed")
    found = _attributes(attributes)
    _must(found[CONTENT_TYPE].oid() == DATA, "contentType is not plain data")
    message_digest = found[MESSAGE_DIGEST].expect(der.OCTET_STRING).body
    _must(len(message_digest) == used.size, "messageDigest has another length")
    if protection := found.get(ALGORITHM_PROTECTION):
        same = der.tlv(der.SEQUENCE, digest.whole, der.tlv(0xA1, algorithm.body))
        _must(protection.whole == same, "the protected algorithms are not the used ones")
    return SignedData(
        digest_algorithm=used.name,
        message_digest=message_digest,
        signed_attributes=der.tlv(der.SET, attributes.body),
        signature=signature.expect(der.OCTET_STRING).body,
        signature_algorithm=name,
        issuer=issuer.expect(der.SEQUENCE).whole,
        serial=serial.integer(),
        certificates=tuple(item.expect(der.SEQUENCE).whole for item in certificates),
        signing_time=found[SIGNING_TIME].time() if SIGNING_TIME in found else None,
    )


def _attributes(attributes: Element) -> dict[str, Element]:
    """The signed attributes by OID: each once, with one value, in DER order."""
    members = attributes.children()
    encodings = [member.whole for member in members]
    _must(encodings == sorted(encodings), "signed attributes are not in DER order")
    found: dict[str, Element] = {}
    for member in members:
        kind, values = _members(member, 2)
        name = kind.oid()
        _must(name in LISTED_ATTRIBUTES, f"signed attribute {name} is not listed")
        _must(name not in found, f"signed attribute {name} is repeated")
        found[name] = _one(values)
    for name in (CONTENT_TYPE, MESSAGE_DIGEST):
        _must(name in found, f"signed attribute {name} is missing")
    return found


def _algorithms(digests: Element) -> list[str]:
    return [_algorithm(item) for item in digests.expect(der.SET).children()]


def _algorithm(element: Element) -> str:
    name, *parameters = _members(element, 1, 2)
    _must(all(item.whole == der.NULL for item in parameters), "an algorithm with parameters")
    return name.oid()


def _members(element: Element, least: int, most: int = 0) -> list[Element]:
    members = element.expect(der.SEQUENCE).children()
    if not least <= len(members) <= (most or least):
        raise ValueError(f"{len(members)} members, where {least} belong")
    return members


def _explicit(element: Element) -> Element:
    members = element.expect(0xA0).children()
    _must(len(members) == 1, "not one value under its tag")
    return members[0]


def _one(values: Element) -> Element:
    members = values.expect(der.SET).children()
    _must(len(members) == 1, "a signed attribute without exactly one value")
    return members[0]


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _attribute(name: str, value: bytes) -> bytes:
    return der.tlv(der.SEQUENCE, der.oid(name), der.tlv(der.SET, value))
