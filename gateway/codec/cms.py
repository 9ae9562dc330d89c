"""CMS signed data (RFC 5652) and PKCS#7 (RFC 2315) with RSA: what is signed, where the signature goes, and a strict reader.

Nothing here hashes a Document or touches a key. The digest is made over a stream elsewhere, so a detached seal costs
O(1) memory; the signature is a request to the Crypto port::

    attributes = signed_attributes(digest, signing_time)     # DER of a SET: exactly these bytes are signed
    seal = signed_data(attributes, signature, certificate)   # DER of the file ``*.p7s``

    seal = parse_signed_data(p7s)                             # raises Unverified SIG for every shape not listed here
    # then, in edge/crypto: the Document's digest equals seal.message_digest, the certificate is pinned and named by
    # issuer and serial, and it verifies seal.signature over seal.signed_attributes

An attached seal holds the Document: ``attached(...)`` writes it with signed attributes, ``parse_attached`` reads it with or without them. What
the reader refuses stands in ``codec.signed_data``; SHA-1, MD5, PSS and DSA are in no table, SHA-1 only in ``PKCS7_SHA1``, which is chosen by hand
for a partner whose Agreement says that it still signs so.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from gateway.codec import signed_data as shape
from gateway.codec.signed_data import SEAL_BYTES_MAX, Digest, Family, SignedData

__all__ = [
    "CMS",
    "PKCS7",
    "PKCS7_SHA1",
    "SEAL_BYTES_MAX",
    "SignedData",
    "attached",
    "parse_attached",
    "parse_signed_data",
]

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
SHA256 = "2.16.840.1.101.3.4.2.1"
SHA1 = "1.3.14.3.2.26"
RSA = "1.2.840.113549.1.1.1"
RSA_SHA256 = "1.2.840.113549.1.1.11"
RSA_SHA1 = "1.2.840.113549.1.1.5"

#: Beside a Document. RFC 3370 allows both OIDs for RSA PKCS#1 v1.5; SHA-1 and MD5 are absent on purpose.
CMS = Family(
    data=DATA,
    signed_data=SIGNED_DATA,
    digests={SHA256: Digest("sha256", 32)},
    signatures={("sha256", RSA): "rsa-sha256", ("sha256", RSA_SHA256): "rsa-sha256"},
    attributes=True,
    digest=SHA256,
    signature=RSA,
)
#: Around a Document: signed attributes may be absent.
PKCS7 = replace(CMS, attributes=False)
#: As PKCS7, and SHA-1 as well: only where an Agreement says so, never written.
PKCS7_SHA1 = replace(
    PKCS7,
    digests={**CMS.digests, SHA1: Digest("sha1", 20)},
    signatures={**CMS.signatures, ("sha1", RSA): "rsa-sha1", ("sha1", RSA_SHA1): "rsa-sha1"},
)


def signed_attributes(digest: bytes, signing_time: datetime) -> bytes:
    """DER of the SET to be signed: content type, SHA-256 ``digest`` (32 bytes), aware ``signing_time``."""
    return shape.attributes(CMS, digest, signing_time)


def signed_data(attributes: bytes, signature: bytes, certificate: bytes) -> bytes:
    """DER of the detached seal: ``attributes`` as signed, an RSA PKCS#1 v1.5 SHA-256 signature, the DER certificate."""
    return shape.write(CMS, signature, certificate, attributes=attributes)


def attached(content: bytes, attributes: bytes, signature: bytes, certificate: bytes) -> bytes:
    """DER of the attached seal around ``content``."""
    return shape.write(PKCS7, signature, certificate, attributes=attributes, content=content)


def parse_signed_data(data: bytes) -> SignedData:
    """Read a detached seal. Raises Unverified: SIG for anything but the one shape that is allowed, SIZE."""
    return shape.parse(CMS, data, attached=False)


def parse_attached(data: bytes, bytes_max: int, *, sha1: bool = False) -> SignedData:
    """Read an attached seal of at most ``bytes_max``. Raises Unverified SIG, SIZE."""
    return shape.parse(PKCS7_SHA1 if sha1 else PKCS7, data, attached=True, bytes_max=bytes_max)
