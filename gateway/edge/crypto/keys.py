"""Keys and pinned certificates from files: loaded once at the start, and refused there if anything about them is wrong.

The configuration names files and credentials, never secrets::

    [keys.bureau-sign]                     [pins.bank-a-sign]
    use = "sign"                           use = "verify"
    file = "bureau-sign.key"               file = "bank-a-sign.crt"
    certificate = "bureau-sign.crt"
    password = "bureau-sign"               # the credential with its password, if it has one

    [secrets.bank-a-sm4]                   # a symmetric key that we share with a partner
    credential = "bank-a-sm4"

``file`` of a key is PEM (PKCS#8, PKCS#1 or SEC 1), or PKCS#12 (``.p12``, ``.pfx``) which brings its certificate along; RSA or SM2. A key that
lives in a device or a signing service has ``engine`` and ``id`` instead of ``file`` (``edge.crypto.engines``); its certificate is a file here all
the same, because it is what the engine's signatures are checked with. A pin is one certificate, PEM or DER. Relative names count from the
configuration's folder.

Refused: one key for two uses (signing and decryption are distinct: PROMISES, section 5), a certificate that is not its
key's, a keyUsage that forbids the use, RSA below 2,048 bits, a private key that every user of the machine may read, and a
pin that is a key of ours: a document of our own, sent back, must not count as the bank's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.core.errors import Code, Refused
from gateway.core.ports import KeyInfo
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import sm2
from gateway.edge.crypto.algorithms import PrivateKey as Private
from gateway.edge.crypto.algorithms import info_of, may, public_key_of
from gateway.edge.crypto.containers import open_key

FILE_BYTES_MAX = 64 * 1024
SECRET_BYTES = 16
_USAGES = {
    "sign": ("digital_signature",),
    "verify": ("digital_signature",),
    "decrypt": ("key_encipherment", "data_encipherment"),
    "encrypt": ("key_encipherment", "data_encipherment"),
}


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where one key of ours lies, and what for."""

    use: Literal["sign", "decrypt"]
    file: str = ""
    certificate: str = ""  # empty for PKCS#12
    password: str = ""  # name of a credential; empty: the file is not encrypted
    engine: str = ""  # the engine that holds it, instead of a file
    id: str = ""  # what the engine calls it; empty: the key's own name


class PinFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where one pinned certificate of a partner lies, and what for."""

    use: Literal["verify", "encrypt"] = "verify"
    file: str


class SecretFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where one symmetric key comes from: 16 bytes, written as they are (``text``) or as 32 hexadecimal digits (``hex``)."""

    credential: str
    form: Literal["text", "hex"] = "text"


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="pkcs11", tag_field="kind"):
    """A PKCS#11 device: a card, a box in the network, SoftHSM."""

    module: str  # the vendor's library
    token: str  # label of the token
    pin: str  # name of the credential with the user's PIN
    deadline_s: int = 10


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="service", tag_field="kind"):
    """A signing service (docs/signing-service.md), usually in front of the bureau's signing server (签名验签服务器)."""

    address: str  # https://host:port
    ca: str  # PEM file with the authority of its certificate
    certificate: str  # PEM file with our client certificate
    key: str  # PEM file with that certificate's key
    deadline_s: int = 10


class KeyFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every key, pin and shared secret of an installation, and the engines that hold keys."""

    keys: Mapping[str, KeyFile] = {}
    pins: Mapping[str, PinFile] = {}
    secrets: Mapping[str, SecretFile] = {}
    engines: Mapping[str, Device | Service] = {}


class Certificate:
    """One certificate with what is asked of it again and again."""

    def __init__(self, name: str, use: str, certificate: x509.Certificate) -> None:
        self.name = name
        self.use = use
        self.x509 = certificate
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self.public_key = public_key_of(certificate, name)
        self.spki = info_of(self.public_key)
        if not may(certificate, *_USAGES[use]):
            raise Refused(f"{name}: its keyUsage does not allow to {use}", code=Code.CERT)
        self.info = KeyInfo(
            name=name,
            use=use,
            subject=certificate.subject.rfc4514_string(),
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )


class PrivateKey:
    """A key of ours with its certificate; never printed, never handed out of ``edge/crypto``."""

    def __init__(self, key: Private, certificate: Certificate) -> None:
        self.private = key
        self.certificate = certificate


class HeldKey:
    """A key of ours that an engine holds: only its certificate is here."""

    def __init__(self, engine: str, id_: str, certificate: Certificate) -> None:
        self.engine = engine
        self.id = id_
        self.certificate = certificate


Key = PrivateKey | HeldKey


def load_keys(files: Mapping[str, KeyFile], credentials: Credentials, folder: Path) -> dict[str, PrivateKey]:
    """Every key of ours in a file, by name. Raises Refused: CERT, AUTH (password), PATH (no such file), POLICY (open file mode), SCHEMA."""
    keys = {name: _load_key(name, file, credentials, folder) for name, file in files.items() if not file.engine}
    _check_uses(key.certificate for key in keys.values())
    return keys


def load_held(files: Mapping[str, KeyFile], loaded: Mapping[str, PrivateKey], folder: Path) -> dict[str, HeldKey]:
    """Every key of ours that an engine holds, by name. Raises Refused: CERT, PATH, SCHEMA."""
    held = {name: _held(name, file, folder) for name, file in files.items() if file.engine}
    _check_uses([*(key.certificate for key in loaded.values()), *(key.certificate for key in held.values())])
    return held


def _check_uses(certificates: Iterable[Certificate]) -> None:
    owners: dict[bytes, Certificate] = {}
    for certificate in certificates:
        other = owners.setdefault(certificate.spki, certificate)
        if other.use != certificate.use:
            raise Refused(f"{certificate.name} and {other.name} are one key for two uses", code=Code.CERT)


def load_pins(files: Mapping[str, PinFile], ours: Mapping[str, Key], folder: Path) -> dict[str, Certificate]:
    """Every pinned certificate by name. Raises Refused CERT, PATH."""
    mine = {key.certificate.spki: name for name, key in ours.items()}
    pins: dict[str, Certificate] = {}
    for name, file in files.items():
        pin = Certificate(name, file.use, read_certificate(_read(folder / file.file), name))
        if pin.spki in mine:
            raise Refused(f"pin {name} is our own key {mine[pin.spki]}", code=Code.CERT)
        pins[name] = pin
    return pins


def load_secrets(files: Mapping[str, SecretFile], credentials: Credentials) -> dict[str, bytes]:
    """Every shared secret by name, 16 bytes each. Raises Refused: AUTH if a credential is missing, POLICY if it is no key."""
    secrets = {}
    for name, file in files.items():
        given = credentials.get(file.credential)
        try:
            secret = bytes.fromhex(given.decode("ascii")) if file.form == "hex" else given
        except ValueError:
            secret = b""
        if len(secret) != SECRET_BYTES:
            raise Refused(f"{name}: its credential is not a key of {SECRET_BYTES} bytes ({file.form})")
        secrets[name] = secret
    return secrets


def read_certificate(data: bytes, name: str) -> x509.Certificate:
    """One certificate, PEM or DER. Raises Refused CERT."""
    try:
        if b"-----BEGIN" in data:
            (only,) = x509.load_pem_x509_certificates(data)
            return only
        return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise Refused(f"{name}: not one certificate: {error}", code=Code.CERT) from None


def _held(name: str, file: KeyFile, folder: Path) -> HeldKey:
    if file.file or file.password or not file.certificate:
        what = "a key in an engine has engine, id and certificate, and neither file nor password"
        raise Refused(f"{name}: {what}", code=Code.SCHEMA)
    certificate = read_certificate(_read(folder / file.certificate), name)
    return HeldKey(file.engine, file.id or name, Certificate(name, file.use, certificate))


def _load_key(name: str, file: KeyFile, credentials: Credentials, folder: Path) -> PrivateKey:
    if not file.file or file.id:
        raise Refused(f"{name}: names neither a file nor an engine that holds it", code=Code.SCHEMA)
    path = folder / file.file
    data = _read(path)
    if path.stat().st_mode & 0o007:
        raise Refused(f"{name}: {path} is open to every user of this machine")
    password = credentials.get(file.password) if file.password else None
    try:
        opened = open_key(data, password, pkcs12_file=path.suffix.lower() in (".p12", ".pfx"))
    except (ValueError, TypeError) as error:  # TypeError: a password too few or too many
        raise Refused(f"{name}: does not open: {error}", code=Code.AUTH) from None
    private = opened.private
    if private is None:
        raise Refused(f"{name}: holds no private key", code=Code.CERT)
    found = [read_certificate(_read(folder / file.certificate), name)] if file.certificate else opened.certificates
    if not found:
        raise Refused(f"{name}: has no certificate", code=Code.CERT)
    for certificate in found:  # a PKCS#12 file may bring those of authorities along
        key = _fitting(private, certificate, name)
        if key is not None:
            return PrivateKey(key, Certificate(name, file.use, certificate))
    raise Refused(f"{name}: the certificate is of another key", code=Code.CERT)


def _fitting(private: rsa.RSAPrivateKey | bytes, certificate: x509.Certificate, name: str) -> Private | None:
    """The key, if it is the certificate's. Raises Refused CERT for a certificate of a kind that nobody signs with here."""
    public = public_key_of(certificate, name)
    if isinstance(private, bytes):
        try:
            return sm2.private_key(private, public) if isinstance(public, sm2.PublicKey) else None
        except ValueError:
            return None
    return private if info_of(private.public_key()) == info_of(public) else None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", code=Code.PATH) from None
    if len(data) > FILE_BYTES_MAX:
        raise Refused(f"{path}: too large for a key or certificate", code=Code.SIZE)
    return data
