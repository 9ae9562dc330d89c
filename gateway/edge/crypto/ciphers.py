"""Encryption by the names that core uses: SM4-CBC under a shared secret, and CMS envelopes between certificates.

================= =================================================================================================
``sm4-cbc``       GB/T 32907 in CBC mode, PKCS#7 padding, iv of 16 bytes; it hides and proves nothing
``cms-enveloped`` RFC 5652 enveloped data: AES-256-CBC, its key encrypted to a certificate by RSA PKCS#1 v1.5
================= =================================================================================================

Neither says who wrote the plaintext: what was decrypted is read only after a signature in it was checked, and every way in which a ciphertext
can be wrong gives one and the same answer, so that nobody learns from answers what is inside (RFC 3218).
"""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.codec import enveloped
from gateway.core.errors import Code, Refused, Unverified
from gateway.edge.crypto.keys import Certificate

SM4_CBC = "sm4-cbc"
CMS_ENVELOPED = "cms-enveloped"
ALGORITHMS = (SM4_CBC, CMS_ENVELOPED)
BLOCK_BYTES = 16
#: An envelope is opened in memory.
ENVELOPE_BYTES_MAX = 64 * 1024 * 1024
_KEY_BYTES = 32


def sm4_encrypt(secret: bytes, data: bytes, iv: bytes) -> bytes:
    """Raises Refused for an iv of another length."""
    return _encrypt(algorithms.SM4(secret), _checked(iv), data)


def sm4_decrypt(secret: bytes, data: bytes, iv: bytes) -> bytes:
    """Raises Unverified SIG for what is not such a ciphertext, Refused for an iv of another length."""
    return _decrypt(algorithms.SM4(secret), _checked(iv), data)


def envelope(certificate: Certificate, data: bytes) -> bytes:
    """DER of ``data``, readable only with the certificate's key. Raises Refused CERT for a certificate without an RSA key."""
    key = certificate.public_key
    if not isinstance(key, rsa.RSAPublicKey):
        raise Refused(f"{certificate.name}: cms-enveloped takes an RSA certificate", code=Code.CERT)
    secret, iv = secrets.token_bytes(_KEY_BYTES), secrets.token_bytes(BLOCK_BYTES)
    wrapped = key.encrypt(secret, PKCS1v15())
    return enveloped.write(certificate.der, wrapped, iv, _encrypt(algorithms.AES(secret), iv, data))


def open_envelope(found: enveloped.EnvelopedData, unwrapped: bytes | None) -> bytes:
    """The content. ``unwrapped``: what the engine made of the content key, None where it could not. Raises Unverified SIG."""
    usable = unwrapped is not None and len(unwrapped) == found.key_bytes
    secret = unwrapped if usable and unwrapped is not None else secrets.token_bytes(found.key_bytes)
    return _decrypt(algorithms.AES(secret), found.iv, found.ciphertext)


def _checked(iv: bytes) -> bytes:
    if len(iv) != BLOCK_BYTES:
        raise Refused(f"{SM4_CBC} takes an iv of {BLOCK_BYTES} bytes, not {len(iv)}")
    return iv


def _encrypt(cipher: algorithms.SM4 | algorithms.AES, iv: bytes, data: bytes) -> bytes:
    padder = padding.PKCS7(8 * BLOCK_BYTES).padder()
    padded = padder.update(data) + padder.finalize()
    encryptor = Cipher(cipher, modes.CBC(iv)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def _decrypt(cipher: algorithms.SM4 | algorithms.AES, iv: bytes, data: bytes) -> bytes:
    decryptor = Cipher(cipher, modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(8 * BLOCK_BYTES).unpadder()
    try:
        padded = decryptor.update(data) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise Unverified("does not open", code=Code.SIG, where="ciphertext") from None
