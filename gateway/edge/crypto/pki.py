"""Throwaway keys for development, the demo and the tests: ``sheyin pki dev DIR``. Nothing here is for production.

=================================== ==============================================================================
``bureau-sign.key .crt``            our signing key and certificate
``bureau-decrypt.key .crt``         our key for what partners encrypt to us, distinct from the first
``<bank>-sign.key .crt``            a bank's signing pair; we pin the certificate under this name
``<bank>-sign-2.key .crt``          its successor, on request, for a roll-over with two pins
``<bank>-host.key .pub``            the bank's SFTP server (Ed25519)
``<bank>-client.key .pub``          our SFTP client key at that bank
``at-rest.key``                     master key of columns and archive: 64 hexadecimal digits
``bureau-sm2-sign.key .crt``        with a bank that speaks the commercial ciphers: our SM2 signing pair,
``bureau-sm2-decrypt.key .crt``     and the distinct one for what is encrypted to us
``<bank>-sm2-sign.key .crt``        that bank's SM2 signing pair, ``-2`` its successor; we pin the certificate
``<bank>-sm2-decrypt.key .crt``     its SM2 encryption pair; we pin the certificate to encrypt to
``<bank>-sm4``                      the SM4 key that both sides share: 16 letters and digits
``<bank>-tls.key .crt``             on request: TLS of a bank on this machine that is talked to over HTTPS,
``<bank>-tls-client.key .crt``      and our client certificate there
``signing-service.key .crt``        on request: TLS of a signing service on this machine,
``signing-service-client.key .crt`` and our client certificate there
=================================== ==============================================================================

Certificates are self-signed, RSA-2048 or SM2: partners are pinned one by one, there is no authority to trust. Private
files have mode 0600 and the folder gets a ``.gitignore`` for everything in it. What is there already stays: a second call
adds what is missing, and only ``overwrite`` makes new keys.
"""

from __future__ import annotations

import os
import secrets
import string
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
from asn1crypto import pem
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import NameOID

from gateway.codec import der
from gateway.core.errors import Refused
from gateway.edge.atrest import KEY_BYTES
from gateway.edge.crypto import sm2
from gateway.edge.crypto.keys import SECRET_BYTES, KeyFile, KeyFiles, PinFile, SecretFile

RSA_BITS = 2_048
YEARS = 2
AT_REST = "at-rest.key"
SERVICE, SERVICE_CLIENT = "signing-service", "signing-service-client"
_SM2_WITH_SM3 = "1.2.156.10197.1.501"


class DevPki(msgspec.Struct, frozen=True, kw_only=True):
    """What was made, and how either side's configuration names it."""

    folder: Path
    made: tuple[str, ...]
    kept: tuple[str, ...]
    bureau: KeyFiles
    banks: dict[str, KeyFiles]  # by bank code: the bank's own view, which pins us


def sign_name(bank: str, generation: int = 1) -> str:
    """Name of a bank's signing pair, and of our pin for it: ``BANK_A`` → ``bank_a-sign``, then ``bank_a-sign-2``."""
    return f"{bank.lower()}-sign" + (f"-{generation}" if generation > 1 else "")


def sm2_name(bank: str, generation: int = 1) -> str:
    """Name of a bank's SM2 signing pair, and of our pin for it."""
    return sign_name(f"{bank}-sm2", generation)


def sm2_encrypt_name(bank: str) -> str:
    """Name of a bank's SM2 encryption pair, and of our pin for it."""
    return f"{bank.lower()}-sm2-decrypt"


def sm4_name(bank: str) -> str:
    """Name of the SM4 key that we share with a bank, and of its credential."""
    return f"{bank.lower()}-sm4"


def host_name(bank: str) -> str:
    """Name of the bank's SFTP host key, without ending."""
    return f"{bank.lower()}-host"


def client_name(bank: str) -> str:
    """Name of our SFTP client key at the bank, without ending; with ``.key`` it is the credential's name."""
    return f"{bank.lower()}-client"


def tls_name(bank: str) -> str:
    """Name of the key and certificate that a bank's HTTPS server shows, without ending."""
    return f"{bank.lower()}-tls"


def tls_client_name(bank: str) -> str:
    """Name of what we show there, without ending; with ``.key`` and ``.crt`` the names of the credentials."""
    return f"{bank.lower()}-tls-client"


def make(
    folder: Path,
    banks: Sequence[str],
    not_before: datetime,
    *,
    years: int = YEARS,
    overlap: Sequence[str] = (),
    sm2_banks: Sequence[str] = (),
    tls_banks: Sequence[str] = (),
    service: bool = False,
    overwrite: bool = False,
) -> DevPki:
    """All keys for the bureau and ``banks`` (codes), valid for ``years`` from ``not_before`` (aware).

    ``overlap``: codes of banks that get a second signing pair; ``sm2_banks``: codes that get SM2 pairs and an SM4 key as well, and so does
    the bureau; ``tls_banks``: codes that get TLS for HTTPS on this machine; ``service``: TLS for a signing service. Raises Refused if half of a
    pair is there already.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    maker = _Maker(folder, not_before, not_before + timedelta(days=365 * years), overwrite)
    maker.file(".gitignore", b"*\n", 0o644)
    maker.pair("bureau-sign", "Bureau signing (development)", "sign")
    maker.pair("bureau-decrypt", "Bureau decryption (development)", "decrypt")
    if sm2_banks:
        maker.sm2_pair("bureau-sm2-sign", "Bureau SM2 signing (development)", "sign")
        maker.sm2_pair("bureau-sm2-decrypt", "Bureau SM2 decryption (development)", "decrypt")
    for bank in banks:
        generations = (1, 2) if bank in overlap else (1,)
        for generation in generations:
            maker.pair(sign_name(bank, generation), f"{bank} signing {generation} (development)", "sign")
        if bank in sm2_banks:
            for generation in generations:
                maker.sm2_pair(sm2_name(bank, generation), f"{bank} SM2 signing {generation} (development)", "sign")
            maker.sm2_pair(sm2_encrypt_name(bank), f"{bank} SM2 encryption (development)", "decrypt")
            secret = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(SECRET_BYTES))
            maker.file(sm4_name(bank), secret.encode(), 0o600)
        maker.ssh(host_name(bank))
        maker.ssh(client_name(bank))
    for bank in tls_banks:
        maker.pair(tls_name(bank), f"{bank} HTTPS (development)", "sign", local=True)
        maker.pair(tls_client_name(bank), f"Bureau at {bank} over HTTPS (development)", "sign")
    maker.file(AT_REST, secrets.token_hex(KEY_BYTES).encode() + b"\n", 0o600)
    if service:
        maker.pair(SERVICE, "Signing service (development)", "sign", local=True)
        maker.pair(SERVICE_CLIENT, "Gateway at the signing service (development)", "sign")
    return DevPki(
        folder=folder,
        made=tuple(maker.made),
        kept=tuple(maker.kept),
        bureau=_bureau(banks, overlap, sm2_banks),
        banks={bank: _bank(bank, overlap, sm2_banks) for bank in banks},
    )


def _bureau(banks: Sequence[str], overlap: Sequence[str], sm2_banks: Sequence[str]) -> KeyFiles:
    """Our view: our keys, every bank's certificates, the keys that we share."""
    keys = {"bureau-sign": _key("bureau-sign", "sign"), "bureau-decrypt": _key("bureau-decrypt", "decrypt")}
    if sm2_banks:
        keys |= {name: _key(name, name.rpartition("-")[2]) for name in ("bureau-sm2-sign", "bureau-sm2-decrypt")}
    pins = {name: PinFile(file=f"{name}.crt") for bank in banks for name in _sign_names(bank, overlap, sm2_banks)}
    speaking = [bank for bank in banks if bank in sm2_banks]
    pins |= {sm2_encrypt_name(bank): PinFile(use="encrypt", file=f"{sm2_encrypt_name(bank)}.crt") for bank in speaking}
    return KeyFiles(
        keys=keys, pins=pins, secrets={sm4_name(bank): SecretFile(credential=sm4_name(bank)) for bank in speaking}
    )


def _bank(bank: str, overlap: Sequence[str], sm2_banks: Sequence[str]) -> KeyFiles:
    """The bank's own view, which pins us."""
    keys = {name: _key(name, "sign") for name in _sign_names(bank, overlap, sm2_banks)}
    pins = {"bureau-sign": PinFile(file="bureau-sign.crt")}
    if bank not in sm2_banks:
        return KeyFiles(keys=keys, pins=pins)
    keys[sm2_encrypt_name(bank)] = _key(sm2_encrypt_name(bank), "decrypt")
    pins["bureau-sm2-sign"] = PinFile(file="bureau-sm2-sign.crt")
    pins["bureau-sm2-decrypt"] = PinFile(use="encrypt", file="bureau-sm2-decrypt.crt")
    return KeyFiles(keys=keys, pins=pins, secrets={sm4_name(bank): SecretFile(credential=sm4_name(bank))})


def _sign_names(bank: str, overlap: Sequence[str], sm2_banks: Sequence[str]) -> list[str]:
    generations = (1, 2) if bank in overlap else (1,)
    names = [sign_name(bank, number) for number in generations]
    return names + [sm2_name(bank, number) for number in generations if bank in sm2_banks]


def _key(name: str, use: str) -> KeyFile:
    return msgspec.convert({"use": use, "file": f"{name}.key", "certificate": f"{name}.crt"}, KeyFile)


class _Maker:
    """Writes files that are not there yet, or all of them."""

    def __init__(self, folder: Path, not_before: datetime, not_after: datetime, overwrite: bool) -> None:
        self.made: list[str] = []
        self.kept: list[str] = []
        self._folder = folder
        self._not_before = not_before
        self._not_after = not_after
        self._overwrite = overwrite

    def pair(self, name: str, subject: str, use: str, *, local: bool = False) -> None:
        """An RSA key and its self-signed certificate. ``local``: one that a server on this machine may show."""
        if not self._wanted(f"{name}.key", f"{name}.crt"):
            return
        key = rsa.generate_private_key(65537, RSA_BITS)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate = self_signed(key, subject, self._not_before, self._not_after, use, local=local)
        self._write(f"{name}.key", private, 0o600)
        self._write(f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)

    def sm2_pair(self, name: str, subject: str, use: str) -> None:
        """An SM2 key and its self-signed certificate."""
        if not self._wanted(f"{name}.key", f"{name}.crt"):
            return
        key = sm2.generate()
        certificate = sm2_self_signed(key, subject, self._not_before, self._not_after, use)
        self._write(f"{name}.key", pem.armor("PRIVATE KEY", key.encoded()), 0o600)
        self._write(f"{name}.crt", pem.armor("CERTIFICATE", certificate), 0o644)

    def ssh(self, name: str) -> None:
        """An Ed25519 key in OpenSSH's form and its public line."""
        if not self._wanted(f"{name}.key", f"{name}.pub"):
            return
        key = ed25519.Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        self._write(f"{name}.key", private, 0o600)
        self._write(f"{name}.pub", public + b" " + name.encode() + b"\n", 0o644)

    def file(self, name: str, content: bytes, mode: int) -> None:
        """One file by itself."""
        if self._wanted(name):
            self._write(name, content, mode)

    def _wanted(self, *names: str) -> bool:
        there = [name for name in names if (self._folder / name).exists()]
        if self._overwrite or not there:
            return True
        if len(there) < len(names):
            raise Refused(f"{self._folder}: {', '.join(there)} without its other half; remove it or overwrite")
        self.kept += names
        return False

    def _write(self, name: str, content: bytes, mode: int) -> None:
        path = self._folder / name
        path.unlink(missing_ok=True)  # never written into: somebody may hold the old key open, and modes stay tight
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
        self.made.append(name)


def self_signed(
    key: rsa.RSAPrivateKey, subject: str, not_before: datetime, not_after: datetime, use: str, *, local: bool = False
) -> x509.Certificate:
    """An RSA certificate for ``use`` (``sign`` or ``decrypt``) and for nothing else; ``local``: for a server on this machine."""
    name = _name(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension in _extensions(use):
        builder = builder.add_extension(extension, critical=True)
    if local:
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256())


def sm2_self_signed(key: sm2.PrivateKey, subject: str, not_before: datetime, not_after: datetime, use: str) -> bytes:
    """DER of an SM2 certificate for ``use`` and for nothing else, signed with the default id: cryptography builds none."""
    name = _name(subject).public_bytes()
    algorithm = der.tlv(der.SEQUENCE, der.oid(_SM2_WITH_SM3))
    critical = der.tlv(der.BOOLEAN, b"\xff")
    extensions = (
        der.tlv(der.SEQUENCE, der.oid(item.oid.dotted_string), critical, der.tlv(der.OCTET_STRING, item.public_bytes()))
        for item in _extensions(use)
    )
    fields = der.tlv(
        der.SEQUENCE,
        der.tlv(0xA0, der.integer(2)),
        der.integer(x509.random_serial_number()),
        algorithm,
        name,
        der.tlv(der.SEQUENCE, der.time(not_before), der.time(not_after)),
        name,
        key.public.info,
        der.tlv(0xA3, der.tlv(der.SEQUENCE, *extensions)),
    )
    hasher = key.public.hasher()
    hasher.update(fields)
    signature = key.sign(hasher.finalize())
    return der.tlv(der.SEQUENCE, fields, algorithm, der.tlv(der.BIT_STRING, b"\x00", signature))


def _name(subject: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])


def _extensions(use: str) -> tuple[x509.BasicConstraints, x509.KeyUsage]:
    usage = x509.KeyUsage(
        digital_signature=use == "sign",
        content_commitment=use == "sign",
        key_encipherment=use == "decrypt",
        data_encipherment=use == "decrypt",
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return x509.BasicConstraints(ca=False, path_length=None), usage
