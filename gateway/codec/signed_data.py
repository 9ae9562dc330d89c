"""Signed data as bytes: the shape that CMS, PKCS#7 and GM/T 0010 share, written by one function and read by one strict reader.

A **Family** is the handful of object identifiers in which they differ (``codec.cms``, ``codec.gmt0010``). Nothing here hashes a Document or
touches a key: what a reader returns is what a seal claims.

What the reader refuses (PROMISES E9, E14, E15): content where none belongs and none where it does, signed attributes that are missing (in a
family that must have them), not in order, repeated or not listed, contentType or messageDigest wrong, any unsigned attribute, none or several
SignerInfos, digests and signatures outside the family's tables, anything that is not DER, bytes after the end.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.codec import der
from gateway.codec.certificate import issuer_and_serial
from gateway.codec.der import Element
from gateway.core.errors import Code, Unverified

SEAL_BYTES_MAX = 64 * 1024  # certificates included, content left out; a real one has about 2 KiB

CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
SMIME_CAPABILITIES = "1.2.840.113549.1.9.15"  # OpenSSL and cryptography write it unless told not to; says nothing to us
ALGORITHM_PROTECTION = "1.2.840.113549.1.9.52"  # RFC 6211; Bouncy Castle writes it unless told not to; compared
LISTED_ATTRIBUTES = {CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME, SMIME_CAPABILITIES, ALGORITHM_PROTECTION}


class Digest(msgspec.Struct, frozen=True):
    """A digest algorithm by its name in hashlib."""

    name: str
    size: int  # bytes


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of signed data is written with, and what of it is read."""

    data: str  # OID of plain data
    signed_data: str  # OID of signed data
    digests: dict[str, Digest]  # by OID
    signatures: dict[tuple[str, str], str]  # (digest's name, signature OID) → the Crypto port's name
    attributes: bool  # whether there must be signed attributes
    digest: str  # OID of the digest that we write
    signature: str  # OID of the signature that we write
    null: bool = True  # whether the signature's identifier is written with NULL


class SignedData(msgspec.Struct, frozen=True, kw_only=True):
    """A seal as read: what it claims, nothing of it verified yet."""

    digest_algorithm: str  # name in hashlib
    signature: bytes
    signature_algorithm: str  # as the Crypto port names it
    issuer: bytes  # DER Name of the signer's certificate's issuer
    serial: int
    certificates: tuple[bytes, ...]  # DER, as sent along: a hint only, trust comes from pins
    content: bytes | None = None  # what an attached seal holds
    signed_attributes: bytes = (
        b""  # DER of the SET OF: what the signature is over; empty: it is over the content itself
    )
    message_digest: bytes = b""  # of the content, where there are signed attributes
    signing_time: datetime | None = None


def attributes(family: Family, digest: bytes, signing_time: datetime) -> bytes:
    """DER of the SET to be signed: content type, ``digest`` of the content, aware ``signing_time``."""
    if len(digest) != family.digests[family.digest].size:
        raise ValueError(f"the digest is not {family.digests[family.digest].name}")
    return der.set_of(
        (
            _attribute(CONTENT_TYPE, der.oid(family.data)),
            _attribute(MESSAGE_DIGEST, der.tlv(der.OCTET_STRING, digest)),
            _attribute(SIGNING_TIME, der.time(signing_time)),
        )
    )


def write(
    family: Family, signature: bytes, certificate: bytes, *, attributes: bytes = b"", content: bytes | None = None
) -> bytes:
    """DER of signed data with one signer. ``attributes``: as signed, if any; ``content``: what is signed, if it travels inside."""
    digest = der.tlv(der.SEQUENCE, der.oid(family.digest), der.NULL)
    issuer, serial = issuer_and_serial(certificate)
    signer = der.tlv(
        der.SEQUENCE,
        der.integer(1),
        der.tlv(der.SEQUENCE, issuer, der.integer(serial)),
        digest,
        # on the wire the SET OF goes under [0]
        der.tlv(0xA0, der.parse(attributes).expect(der.SET).body) if attributes else b"",
        der.tlv(der.SEQUENCE, der.oid(family.signature), der.NULL if family.null else b""),
        der.tlv(der.OCTET_STRING, signature),
    )
    inside = b"" if content is None else der.tlv(0xA0, der.tlv(der.OCTET_STRING, content))
    body = der.tlv(
        der.SEQUENCE,
        der.integer(1),
        der.tlv(der.SET, digest),
        der.tlv(der.SEQUENCE, der.oid(family.data), inside),
        der.tlv(0xA0, certificate),
        der.tlv(der.SET, signer),
    )
    return der.tlv(der.SEQUENCE, der.oid(family.signed_data), der.tlv(0xA0, body))


def parse(family: Family, data: bytes, *, attached: bool, bytes_max: int = SEAL_BYTES_MAX) -> SignedData:
    """Read a seal. Raises Unverified: SIZE above ``bytes_max``, SIG for anything but the one shape that is allowed."""
    if len(data) > bytes_max:
        raise Unverified(f"the seal has {len(data)} bytes, at most {bytes_max}", code=Code.SIZE, where="seal")
    try:
        kind, explicit = _members(der.parse(data), 2)
        _must(kind.oid() == family.signed_data, "not signed data")
        version, digests, encapsulated, *rest = _members(_explicit(explicit), 4, 5)
        _must(version.integer() == 1, "not version 1")
        inside = _members(encapsulated, 1, 2)
        _must(inside[0].oid() == family.data, "does not sign plain data")
        _must(attached or len(inside) == 1, "holds content, where a detached seal has none")
        _must(not attached or len(inside) == 2, "holds no content, where an attached seal has it")
        content = _explicit(inside[1]).expect(der.OCTET_STRING).body if attached else None
        certificates = rest[0].expect(0xA0).children() if len(rest) == 2 else []
        signers = rest[-1].expect(der.SET).children()
        _must(len(signers) == 1, f"{len(signers)} signers, must be 1")
        found = _signer(family, signers[0], _algorithms(digests), certificates)
        return msgspec.structs.replace(found, content=content)
    except (ValueError, IndexError) as error:
        raise Unverified(f"not a seal that we read: {error}", where="seal") from None


def is_attributes(data: bytes) -> bool:
    """Whether ``data`` could be signed attributes: a signature over attributes must never count as one over a Document (RFC 5652, 5.4)."""
    if data[:1] != bytes([der.SET]):
        return False
    try:
        members = [_members(member, 2) for member in der.parse(data).children()]
        return any(name.oid() in (CONTENT_TYPE, MESSAGE_DIGEST) for name, _ in members)
    except (ValueError, IndexError):
        return False


def _signer(family: Family, signer: Element, listed: list[str], certificates: list[Element]) -> SignedData:
    version, sid, digest, *rest = _members(signer, 5, 7)
    signed = rest.pop(0) if rest[0].tag == 0xA0 else None
    _must(signed is not None or not family.attributes, "no signed attributes")
    _must(len(rest) == 2, "unsigned attributes")
    algorithm, signature = rest
    _must(version.integer() == 1, "the signer is not named by issuer and serial")
    issuer, serial = _members(sid, 2)
    digest_oid = _algorithm(digest)
    _must(digest_oid in family.digests, f"digest algorithm {digest_oid} is not listed")
    _must(listed == [digest_oid], "the listed digest algorithms are not the signer's one")
    used = family.digests[digest_oid]
    signature_oid = _algorithm(algorithm)
    name = family.signatures.get((used.name, signature_oid))
    if name is None:
        raise ValueError(f"signature algorithm {signature_oid} is not listed")
    found = SignedData(
        digest_algorithm=used.name,
        signature=signature.expect(der.OCTET_STRING).body,
        signature_algorithm=name,
        issuer=issuer.expect(der.SEQUENCE).whole,
        serial=serial.integer(),
        certificates=tuple(item.expect(der.SEQUENCE).whole for item in certificates),
    )
    if signed is None:
        return found
    values = _attributes(signed)
    _must(values[CONTENT_TYPE].oid() == family.data, "contentType is not plain data")
    message_digest = values[MESSAGE_DIGEST].expect(der.OCTET_STRING).body
    _must(len(message_digest) == used.size, "messageDigest has another length")
    if protection := values.get(ALGORITHM_PROTECTION):
        same = der.tlv(der.SEQUENCE, digest.whole, der.tlv(0xA1, algorithm.body))
        _must(protection.whole == same, "the protected algorithms are not the used ones")
    return msgspec.structs.replace(
        found,
        message_digest=message_digest,
        signed_attributes=der.tlv(der.SET, signed.body),
        signing_time=values[SIGNING_TIME].time() if SIGNING_TIME in values else None,
    )


def _attributes(signed: Element) -> dict[str, Element]:
    """The signed attributes by OID: each once, with one value, in DER order."""
    members = signed.children()
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
