"""The signature algorithms by the names that core uses, each made and checked in one place.

``rsa-sha256``: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2), keys of at least 2,048 bits. What is not in the table
does not exist here: no SHA-1, no HMAC, no shorter keys (PROMISES E9, E10).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from gateway.core.errors import Code, Refused

RSA_BITS_MIN = 2_048
RSA_SHA256 = "rsa-sha256"


class Algorithm(NamedTuple):
    """How one algorithm signs and checks; both take whole messages, not digests."""

    sign: Callable[[PrivateKeyTypes, bytes], bytes]
    holds: Callable[[PublicKeyTypes, bytes, bytes], bool]  # (key, signature, data)


def _rsa_sign(key: PrivateKeyTypes, data: bytes) -> bytes:
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Refused("rsa-sha256 signs with an RSA key", code=Code.CERT)
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def _rsa_holds(key: PublicKeyTypes, signature: bytes, data: bytes) -> bool:
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < RSA_BITS_MIN:
        return False
    try:
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


ALGORITHMS = {RSA_SHA256: Algorithm(_rsa_sign, _rsa_holds)}


def named(name: str) -> Algorithm:
    """The algorithm called ``name``. Raises Refused for any other name."""
    found = ALGORITHMS.get(name)
    if found is None:
        raise Refused(f"no signature algorithm is called {name!r}")
    return found


def check_public_key(key: PublicKeyTypes, whose: str) -> None:
    """Raises Refused CERT for a key that no algorithm here takes."""
    if not isinstance(key, rsa.RSAPublicKey):
        raise Refused(f"{whose}: not an RSA key", code=Code.CERT)
    if key.key_size < RSA_BITS_MIN:
        raise Refused(f"{whose}: an RSA key of {key.key_size} bits, at least {RSA_BITS_MIN}", code=Code.CERT)


def may(certificate: x509.Certificate, *usages: str) -> bool:
    """Whether the certificate's keyUsage has one of ``usages``; a certificate without the extension is not restricted."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return any(getattr(extension, usage) for usage in usages)
