"""GM/T 0010 = GB/T 35275 signed data: PKCS#7 in the commercial ciphers' object identifiers, SM3 with SM2, beside a Document or around it.

As CFCA's library writes it, and so do we: no signed attributes, the signature (DER) over the content itself, with the signer's Z of SM2's
default id before it, signature algorithm 1.2.156.10197.1.301.1. Read are also 1.2.156.10197.1.501 (SM2 with SM3) and signed attributes, which
the standard allows. OpenSSL's ``cms`` refuses the content type, and GmSSL's own ``cms`` signs other bytes (without Z): neither is a reference.
"""

from __future__ import annotations

from gateway.codec import signed_data as shape
from gateway.codec.signed_data import SEAL_BYTES_MAX, Digest, Family, SignedData

DATA = "1.2.156.10197.6.1.4.2.1"
SIGNED_DATA = "1.2.156.10197.6.1.4.2.2"
SM3 = "1.2.156.10197.1.401"
SM2_SIGN = "1.2.156.10197.1.301.1"
SM2_WITH_SM3 = "1.2.156.10197.1.501"

GMT0010 = Family(
    data=DATA,
    signed_data=SIGNED_DATA,
    digests={SM3: Digest("sm3", 32)},
    signatures={("sm3", SM2_SIGN): "sm2-sm3", ("sm3", SM2_WITH_SM3): "sm2-sm3"},
    attributes=False,
    digest=SM3,
    signature=SM2_SIGN,
)


def detached(signature: bytes, certificate: bytes) -> bytes:
    """DER of the seal beside a Document: ``signature`` (``sm2-sm3``) over all its bytes."""
    return shape.write(GMT0010, signature, certificate)


def attached(content: bytes, signature: bytes, certificate: bytes) -> bytes:
    """DER of the seal around ``content``, which ``signature`` is over."""
    return shape.write(GMT0010, signature, certificate, content=content)


def parse(data: bytes, *, attached: bool, bytes_max: int = SEAL_BYTES_MAX) -> SignedData:
    """Read a seal. Raises Unverified: SIG for anything but the shapes that are allowed, SIZE."""
    return shape.parse(GMT0010, data, attached=attached, bytes_max=bytes_max)
