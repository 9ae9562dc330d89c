"""The signature algorithms by the names that core uses, each made and checked in one place.

================ ==================================================================================================
``rsa-sha256``   RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2), keys of at least 2,048 bits
``sm2-sm3``      SM2 with SM3 (GB/T 32918), the signature in DER; takes a signer id
``sm2-sm3-raw``  the same, the signature as the 64 bytes r‖s
``rsa-sha1``     never made; checked only inside an attached seal of a partner whose Agreement says that it must be
================ ==================================================================================================

What is not in the table does not exist here: no HMAC, no shorter keys (PROMISES E9, E10). Every algorithm is a hash over the message and
an operation over that digest, so streams cost no memory and an engine is given a few bytes, never a Document.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from gateway.codec.certificate import public_key_info
from gateway.core.errors import Code, Refused
from gateway.edge.crypto import sm2

RSA_BITS_MIN = 2_048
RSA_SHA256 = "rsa-sha256"
RSA_SHA1 = "rsa-sha1"
SM2_SM3 = "sm2-sm3"
SM2_SM3_RAW = "sm2-sm3-raw"
_CHUNK_BYTES = 1024 * 1024

PublicKey = rsa.RSAPublicKey | sm2.PublicKey
PrivateKey = rsa.RSAPrivateKey | sm2.PrivateKey


class Algorithm(NamedTuple):
    """How one algorithm hashes, signs and checks. Callers first see that the key is one that it ``takes``."""

    name: str
    takes: type[PublicKey]
    hasher: Callable[[PublicKey, str], hashes.Hash]  # (key, signer id): ready for the message
    sign: Callable[[PrivateKey, bytes], bytes]  # (key, digest)
    holds: Callable[[PublicKey, bytes, bytes], bool]  # (key, signature, digest)

    def digest(self, key: PublicKey, data: bytes | BinaryIO, signer_id: str = "") -> bytes:
        """What is signed of ``data``: all of it, a stream from its start and rewound. Raises Refused for an id that the algorithm lacks."""
        try:
            hasher = self.hasher(key, signer_id)
        except ValueError as error:
            raise Refused(f"{self.name}: {error}") from None
        if isinstance(data, bytes):
            hasher.update(data)
            return hasher.finalize()
        data.seek(0)
        while chunk := data.read(_CHUNK_BYTES):
            hasher.update(chunk)
        data.seek(0)
        return hasher.finalize()


def _rsa(name: str, made: hashes.HashAlgorithm) -> Algorithm:
    def hasher(_: PublicKey, signer_id: str) -> hashes.Hash:
        if signer_id:
            raise ValueError("RSA has no signer id")
        return hashes.Hash(made)

    def sign(key: PrivateKey, digest: bytes) -> bytes:
        assert isinstance(key, rsa.RSAPrivateKey)
        return key.sign(digest, padding.PKCS1v15(), Prehashed(made))

    def holds(key: PublicKey, signature: bytes, digest: bytes) -> bool:
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < RSA_BITS_MIN:
            return False
        try:
            key.verify(signature, digest, padding.PKCS1v15(), Prehashed(made))
        except InvalidSignature:
            return False
        return True

    return Algorithm(name, rsa.RSAPublicKey, hasher, sign, holds)


def _sm2(name: str, outside: Callable[[bytes], bytes], inside: Callable[[bytes], bytes]) -> Algorithm:
    """``outside`` and ``inside`` turn the DER signature into the form that travels, and back."""

    def hasher(key: PublicKey, signer_id: str) -> hashes.Hash:
        assert isinstance(key, sm2.PublicKey)
        return key.hasher(signer_id)

    def sign(key: PrivateKey, digest: bytes) -> bytes:
        assert isinstance(key, sm2.PrivateKey)
        return outside(key.sign(digest))

    def holds(key: PublicKey, signature: bytes, digest: bytes) -> bool:
        try:
            return isinstance(key, sm2.PublicKey) and key.holds(inside(signature), digest)
        except ValueError:
            return False

    return Algorithm(name, sm2.PublicKey, hasher, sign, holds)


ALGORITHMS = {
    RSA_SHA256: _rsa(RSA_SHA256, hashes.SHA256()),
    SM2_SM3: _sm2(SM2_SM3, bytes, bytes),
    SM2_SM3_RAW: _sm2(SM2_SM3_RAW, sm2.raw_of, sm2.der_of),
}
#: Only for an attached seal that is agreed to be so weak; ``named`` does not know it.
AGREED_SHA1 = _rsa(RSA_SHA1, hashes.SHA1())  # noqa: S303 - never made, and believed only where an Agreement says so


def named(name: str) -> Algorithm:
    """The algorithm called ``name``. Raises Refused for any other name."""
    found = ALGORITHMS.get(name)
    if found is None:
        raise Refused(f"no signature algorithm is called {name!r}")
    return found


def public_key_of(certificate: x509.Certificate, whose: str) -> PublicKey:
    """Its key. Raises Refused CERT for one that no algorithm here takes."""
    key: object
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        try:
            return sm2.public_key(public_key_info(certificate.public_bytes(serialization.Encoding.DER)))
        except ValueError:
            key = None  # of a curve that nobody here knows
    if not isinstance(key, rsa.RSAPublicKey):
        raise Refused(f"{whose}: not an RSA or SM2 key", code=Code.CERT)
    if key.key_size < RSA_BITS_MIN:
        raise Refused(f"{whose}: an RSA key of {key.key_size} bits, at least {RSA_BITS_MIN}", code=Code.CERT)
    return key


def info_of(key: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo."""
    if isinstance(key, sm2.PublicKey):
        return key.info
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def may(certificate: x509.Certificate, *usages: str) -> bool:
    """Whether the certificate's keyUsage has one of ``usages``; a certificate without the extension is not restricted."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return any(getattr(extension, usage) for usage in usages)
