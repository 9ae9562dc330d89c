"""Throwaway keys for development, the demo and the tests: ``sheyin pki dev DIR``. Nothing here is for production.

=================================== ==============================================================================
``bureau-sign.key .crt``            our signing key and certificate
``bureau-decrypt.key .crt``         our key for what partners encrypt to us, distinct from the first
``<bank>-sign.key .crt``            a bank's signing pair; we pin the certificate under this name
``<bank>-sign-2.key .crt``          its successor, on request, for a roll-over with two pins
``<bank>-host.key .pub``            the bank's SFTP server (Ed25519)
``<bank>-client.key .pub``          our SFTP client key at that bank
``at-rest.key``                     master key of columns and archive: 64 hexadecimal digits
=================================== ==============================================================================

Certificates are self-signed, RSA-2048: partners are pinned one by one, there is no authority to trust. Private files
have mode 0600 and the folder gets a ``.gitignore`` for everything in it. What is there already stays: a second call adds
what is missing, and only ``overwrite`` makes new keys.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import NameOID

from gateway.core.errors import Refused
from gateway.edge.atrest import KEY_BYTES
from gateway.edge.crypto.keys import KeyFile, KeyFiles, PinFile

RSA_BITS = 2_048
YEARS = 2
AT_REST = "at-rest.key"


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


def host_name(bank: str) -> str:
    """Name of the bank's SFTP host key, without ending."""
    return f"{bank.lower()}-host"


def client_name(bank: str) -> str:
    """Name of our SFTP client key at the bank, without ending; with ``.key`` it is the credential's name."""
    return f"{bank.lower()}-client"


def make(
    folder: Path,
    banks: Sequence[str],
    not_before: datetime,
    *,
    years: int = YEARS,
    overlap: Sequence[str] = (),
    overwrite: bool = False,
) -> DevPki:
    """All keys for the bureau and ``banks`` (codes), valid for ``years`` from ``not_before`` (aware).

    ``overlap``: codes of banks that get a second signing pair. Raises Refused if half of a pair is there already.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    maker = _Maker(folder, not_before, not_before + timedelta(days=365 * years), overwrite)
    maker.file(".gitignore", b"*\n", 0o644)
    maker.pair("bureau-sign", "Bureau signing (development)", "sign")
    maker.pair("bureau-decrypt", "Bureau decryption (development)", "decrypt")
    for bank in banks:
        for generation in (1, 2) if bank in overlap else (1,):
            maker.pair(sign_name(bank, generation), f"{bank} signing {generation} (development)", "sign")
        maker.ssh(host_name(bank))
        maker.ssh(client_name(bank))
    maker.file(AT_REST, secrets.token_hex(KEY_BYTES).encode() + b"\n", 0o600)
    return DevPki(
        folder=folder,
        made=tuple(maker.made),
        kept=tuple(maker.kept),
        bureau=KeyFiles(
            keys={"bureau-sign": _key("bureau-sign", "sign"), "bureau-decrypt": _key("bureau-decrypt", "decrypt")},
            pins={name: PinFile(file=f"{name}.crt") for name in _sign_names(banks, overlap)},
        ),
        banks={
            bank: KeyFiles(
                keys={name: _key(name, "sign") for name in _sign_names([bank], overlap)},
                pins={"bureau-sign": PinFile(file="bureau-sign.crt")},
            )
            for bank in banks
        },
    )


def _sign_names(banks: Sequence[str], overlap: Sequence[str]) -> list[str]:
    return [sign_name(bank, number) for bank in banks for number in ((1, 2) if bank in overlap else (1,))]


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

    def pair(self, name: str, subject: str, use: str) -> None:
        """An RSA key and its self-signed certificate."""
        if not self._wanted(f"{name}.key", f"{name}.crt"):
            return
        key = rsa.generate_private_key(65537, RSA_BITS)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate = self_signed(key, subject, self._not_before, self._not_after, use)
        self._write(f"{name}.key", private, 0o600)
        self._write(f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)

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
    key: rsa.RSAPrivateKey, subject: str, not_before: datetime, not_after: datetime, use: str
) -> x509.Certificate:
    """A certificate for ``use`` (``sign`` or ``decrypt``) and for nothing else."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
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
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
