"""Files that hold a private key: PEM and PKCS#12, RSA by the library, SM2 by our own strict reader, because the library knows no SM2 key.

What our reader opens: PKCS#8 and SEC 1 in PEM, PKCS#8 under a password (PBES2: PBKDF2 with SHA-1, SHA-256, SHA-512 or SM3; AES-CBC or SM4-CBC),
and PKCS#12 whose bags are protected by the same and whose MAC is checked (RFC 5208, 5915, 7292, 8018; what openssl 3 writes). Older protection
(3DES, RC2) does not open: such a file is written anew by its owner.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from asn1crypto import pem
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.serialization import pkcs12

from gateway.codec import der
from gateway.codec.der import Element
from gateway.core.errors import Code, Refused

_ITERATIONS_MAX = 10_000_000
_DATA, _ENCRYPTED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.6"
_KEY_BAG, _SHROUDED_BAG, _CERTIFICATE_BAG = (f"1.2.840.113549.1.12.10.1.{number}" for number in (1, 2, 3))
_PBES2, _PBKDF2 = "1.2.840.113549.1.5.13", "1.2.840.113549.1.5.12"
_PRFS: dict[str, hashes.HashAlgorithm] = {
    "1.2.840.113549.2.7": hashes.SHA1(),  # noqa: S303 - inside HMAC, and others chose it
    "1.2.840.113549.2.9": hashes.SHA256(),
    "1.2.840.113549.2.11": hashes.SHA512(),
    "1.2.156.10197.1.401.2": hashes.SM3(),
    "1.2.156.10197.1.401.3.1": hashes.SM3(),
}
_CIPHERS = {
    "2.16.840.1.101.3.4.1.2": (algorithms.AES, 16),
    "2.16.840.1.101.3.4.1.22": (algorithms.AES, 24),
    "2.16.840.1.101.3.4.1.42": (algorithms.AES, 32),
    "1.2.156.10197.1.104.2": (algorithms.SM4, 16),
}
_DIGESTS = {
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.3": "sha512",
    "1.2.156.10197.1.401": "sm3",
}


class Opened(NamedTuple):
    """What a file held: an RSA key, or the DER (PKCS#8 or SEC 1) of what only our reader knows; and certificates, if any came along."""

    private: rsa.RSAPrivateKey | bytes | None
    certificates: tuple[x509.Certificate, ...] = ()


def open_key(data: bytes, password: bytes | None, *, pkcs12_file: bool) -> Opened:
    """Raises ValueError or TypeError for what does not open: no key file, a wrong password, one too few or too many; Refused CERT for a key
    of another kind."""
    try:
        private, certificates = _by_the_library(data, password, pkcs12_file)
    except (UnsupportedAlgorithm, ValueError) as refusal:
        try:
            own = _open_pkcs12(data, password) if pkcs12_file else Opened(_open_pem(data, password))
        except ValueError as error:
            raise (error if isinstance(refusal, UnsupportedAlgorithm) else refusal) from None
        private, certificates = _known(own.private), own.certificates
    if private is not None and not isinstance(private, rsa.RSAPrivateKey | bytes):
        raise Refused("not an RSA or SM2 key", code=Code.CERT)
    return Opened(private, certificates)


def _known(private: object) -> object:
    """The library's key, where it was only the protection that the library does not know."""
    try:
        return serialization.load_der_private_key(private, None) if isinstance(private, bytes) else private
    except (UnsupportedAlgorithm, ValueError):
        return private


def _by_the_library(
    data: bytes, password: bytes | None, pkcs12_file: bool
) -> tuple[object, tuple[x509.Certificate, ...]]:
    if not pkcs12_file:
        return serialization.load_pem_private_key(data, password), ()
    private, certificate, _ = pkcs12.load_key_and_certificates(data, password)
    return private, (certificate,) if certificate is not None else ()


# ---------------------------------------------------------------------------------------------------- PEM


def _open_pem(data: bytes, password: bytes | None) -> bytes:
    found = [(kind, body) for kind, _, body in pem.unarmor(data, multiple=True) if kind.endswith("PRIVATE KEY")]
    if len(found) != 1:
        raise ValueError(f"{len(found)} private keys in the file, must be 1")
    kind, body = found[0]
    if kind != "ENCRYPTED PRIVATE KEY":
        if password is not None:
            raise TypeError("the key is not encrypted, but a password is given")
        return bytes(body)
    if password is None:
        raise TypeError("the key is encrypted, and no password is given")
    return _decrypted_key(der.parse(body), password)


def _decrypted_key(element: Element, password: bytes) -> bytes:
    """EncryptedPrivateKeyInfo."""
    algorithm, content = element.expect(der.SEQUENCE).children()
    opened = _pbes2(algorithm, content.expect(der.OCTET_STRING).body, password)
    try:
        der.parse(opened).expect(der.SEQUENCE).children()
    except ValueError:  # one wrong password in 256 leaves a padding that looks right
        raise ValueError("the password does not open it") from None
    return opened


def _pbes2(algorithm: Element, content: bytes, password: bytes) -> bytes:
    kind, *parameters = algorithm.expect(der.SEQUENCE).children()
    if kind.oid() != _PBES2:
        raise ValueError(f"protected by {kind.oid()}, which is not opened here: write it anew with PBES2 and AES")
    derivation, encryption = parameters[0].expect(der.SEQUENCE).children()
    name, settings = derivation.expect(der.SEQUENCE).children()
    cipher, iv = encryption.expect(der.SEQUENCE).children()
    if name.oid() != _PBKDF2 or cipher.oid() not in _CIPHERS:
        raise ValueError(f"protected by {name.oid()} and {cipher.oid()}, which are not opened here")
    salt, iterations, *more = settings.expect(der.SEQUENCE).children()
    prf = [item.children()[0].oid() for item in more if item.tag == der.SEQUENCE] or ["1.2.840.113549.2.7"]
    kind_of, size = _CIPHERS[cipher.oid()]
    if prf[0] not in _PRFS or not 0 < iterations.integer() <= _ITERATIONS_MAX:
        raise ValueError(f"a derivation with {prf[0]} that is not opened here")
    key = PBKDF2HMAC(_PRFS[prf[0]], size, salt.expect(der.OCTET_STRING).body, iterations.integer()).derive(password)
    decryptor = Cipher(kind_of(key), modes.CBC(iv.expect(der.OCTET_STRING).body)).decryptor()
    padded = decryptor.update(content) + decryptor.finalize()
    unpadder = padding.PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


# ---------------------------------------------------------------------------------------------------- PKCS#12


def _open_pkcs12(data: bytes, password: bytes | None) -> Opened:
    secret = password or b""
    version, safe, *mac = der.parse(data).expect(der.SEQUENCE).children()
    if version.integer() != 3 or len(mac) != 1:
        raise ValueError("not PKCS#12 with a MAC")
    content = _data(safe)
    _check_mac(mac[0], content, secret)
    private: bytes | None = None
    certificates = []
    for part in der.parse(content).expect(der.SEQUENCE).children():
        for bag in der.parse(_contents(part, secret)).expect(der.SEQUENCE).children():
            kind, value, *_ = bag.expect(der.SEQUENCE).children()
            (inner,) = value.expect(0xA0).children()
            if kind.oid() in (_KEY_BAG, _SHROUDED_BAG):
                if private is not None:
                    raise ValueError("more than one private key in the file")
                private = inner.whole if kind.oid() == _KEY_BAG else _decrypted_key(inner, secret)
            elif kind.oid() == _CERTIFICATE_BAG:
                (certificate,) = inner.expect(der.SEQUENCE).children()[1].expect(0xA0).children()
                certificates.append(x509.load_der_x509_certificate(certificate.expect(der.OCTET_STRING).body))
    return Opened(private, tuple(certificates))


def _data(content: Element) -> bytes:
    kind, value = content.expect(der.SEQUENCE).children()
    if kind.oid() != _DATA:
        raise ValueError("not plain data")
    return value.expect(0xA0).children()[0].expect(der.OCTET_STRING).body


def _contents(part: Element, password: bytes) -> bytes:
    kind, value = part.expect(der.SEQUENCE).children()
    if kind.oid() != _ENCRYPTED_DATA:
        return _data(part)
    _, info = value.expect(0xA0).children()[0].expect(der.SEQUENCE).children()
    _, algorithm, content = info.expect(der.SEQUENCE).children()
    return _pbes2(algorithm, content.expect(0x80).body, password)


def _check_mac(mac: Element, content: bytes, password: bytes) -> None:
    info, salt, *iterations = mac.expect(der.SEQUENCE).children()
    algorithm, expected = info.expect(der.SEQUENCE).children()
    name = _DIGESTS.get(algorithm.children()[0].oid())
    rounds = iterations[0].integer() if iterations else 1
    if name is None or not 0 < rounds <= _ITERATIONS_MAX:
        raise ValueError("a MAC that is not checked here")
    key = _pkcs12_key(password, salt.expect(der.OCTET_STRING).body, rounds, name)
    if not hmac.compare_digest(hmac.digest(key, content, name), expected.expect(der.OCTET_STRING).body):
        raise ValueError("wrong password, or a changed file")


def _pkcs12_key(password: bytes, salt: bytes, rounds: int, name: str) -> bytes:
    """The MAC's key, RFC 7292 appendix B.2, one block of it: no digest here is longer than what is asked for."""
    block = hashlib.new(name).block_size
    text = (password.decode() + "\0").encode("utf-16-be")

    def filled(part: bytes) -> bytes:
        size = -(-len(part) // block) * block
        return (part * (size // len(part) + 1))[:size] if part else b""

    key = bytes([3]) * block + filled(salt) + filled(text)
    for _ in range(rounds):
        key = hashlib.new(name, key).digest()
    return key
