"""Keys from files: what loads, and what is refused before the gateway starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from gateway.core.errors import Code, Refused
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.keys import KeyFile, PinFile, PrivateKey, load_keys, load_pins
from gateway.edge.crypto.pki import DevPki, self_signed

JANUARY = datetime(2015, 1, 1, tzinfo=UTC)
JULY = JANUARY + timedelta(days=181)
PASSWORD = b"correct horse"
CREDENTIALS = Credentials(None, {"SHEYIN_CREDENTIAL_RIGHT": PASSWORD.decode(), "SHEYIN_CREDENTIAL_WRONG": "x"})


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """One RSA key."""
    return rsa.generate_private_key(65537, 2048)


def write(path: Path, content: bytes, mode: int = 0o600) -> str:
    """A file; its name."""
    path.write_bytes(content)
    path.chmod(mode)
    return path.name


def pem(key: Any, password: bytes | None = None) -> bytes:
    """A private key in PKCS#8."""
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    data: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    return data


def crt(key: rsa.RSAPrivateKey, use: str = "sign") -> bytes:
    """A certificate for it in PEM."""
    return self_signed(key, "test", JANUARY, JULY, use).public_bytes(serialization.Encoding.PEM)


def load(folder: Path, **file: Any) -> PrivateKey:
    """Load one key called ``k``."""
    return load_keys({"k": KeyFile(**file)}, CREDENTIALS, folder)["k"]


def refused(code: Code, folder: Path, **file: Any) -> str:
    """It does not load, with this code; the sentence."""
    with pytest.raises(Refused) as error:
        load(folder, **file)
    assert error.value.code is code
    return str(error.value)


def test_pem_with_and_without_a_password(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    """PKCS#8, plain or encrypted; the password is a credential."""
    certificate = write(tmp_path / "k.crt", crt(key))
    plain, closed = write(tmp_path / "k.key", pem(key)), write(tmp_path / "c.key", pem(key, PASSWORD))
    info = load(tmp_path, use="sign", file=plain, certificate=certificate).certificate.info
    assert (info.name, info.use, info.subject, info.not_before, info.not_after) == (
        "k",
        "sign",
        "CN=test",
        JANUARY,
        JULY,
    )
    assert load(tmp_path, use="sign", file=closed, certificate=certificate, password="right").certificate.info == info
    for password in ("", "wrong"):
        refused(Code.AUTH, tmp_path, use="sign", file=closed, certificate=certificate, password=password)
    refused(Code.AUTH, tmp_path, use="sign", file=plain, certificate=certificate, password="right")
    refused(Code.AUTH, tmp_path, use="sign", file=closed, certificate=certificate, password="nowhere")


@pytest.mark.parametrize("suffix", [".p12", ".pfx", ".P12"])
def test_pkcs12_brings_its_certificate(tmp_path: Path, key: rsa.RSAPrivateKey, suffix: str) -> None:
    """One file, one password."""
    certificate = x509.load_pem_x509_certificate(crt(key, "decrypt"))
    content = pkcs12.serialize_key_and_certificates(
        b"k", key, certificate, None, serialization.BestAvailableEncryption(PASSWORD)
    )
    file = write(tmp_path / f"k{suffix}", content)
    loaded = load(tmp_path, use="decrypt", file=file, password="right")
    assert loaded.certificate.der == certificate.public_bytes(serialization.Encoding.DER)
    refused(Code.AUTH, tmp_path, use="decrypt", file=file, password="wrong")


def test_a_pkcs12_without_a_key_is_refused(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    """A file of certificates only signs nothing."""
    certificate = x509.load_pem_x509_certificate(crt(key))
    content = pkcs12.serialize_key_and_certificates(
        b"k", None, certificate, None, serialization.BestAvailableEncryption(PASSWORD)
    )
    assert "no private key" in refused(
        Code.CERT, tmp_path, use="sign", file=write(tmp_path / "k.p12", content), password="right"
    )


def test_one_key_for_two_uses_is_refused(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    """Signing and decryption are distinct, whatever the certificates say."""
    file = write(tmp_path / "k.key", pem(key))
    uses = {
        use: KeyFile(use=use, file=file, certificate=write(tmp_path / f"{use}.crt", crt(key, use)))
        for use in ("sign", "decrypt")
    }
    with pytest.raises(Refused, match="one key for two uses"):
        load_keys(uses, CREDENTIALS, tmp_path)


def test_a_certificate_of_another_key_is_refused(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    """The bank would refuse every file."""
    other = crt(rsa.generate_private_key(65537, 2048))
    file, certificate = write(tmp_path / "k.key", pem(key)), write(tmp_path / "k.crt", other)
    assert "of another key" in refused(Code.CERT, tmp_path, use="sign", file=file, certificate=certificate)


def test_a_certificate_for_another_use_is_refused(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    """keyUsage counts, for our keys and for pins; a certificate without it is not restricted."""
    file, certificate = write(tmp_path / "k.key", pem(key)), write(tmp_path / "k.crt", crt(key, "decrypt"))
    assert "keyUsage" in refused(Code.CERT, tmp_path, use="sign", file=file, certificate=certificate)
    with pytest.raises(Refused, match="keyUsage"):
        load_pins({"p": PinFile(file=certificate)}, {}, tmp_path)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plain")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    plain = builder.serial_number(1).not_valid_before(JANUARY).not_valid_after(JULY).sign(key, hashes.SHA256())
    file = write(tmp_path / "plain.der", plain.public_bytes(serialization.Encoding.DER))
    assert load_pins({"p": PinFile(file=file)}, {}, tmp_path)["p"].info.use == "verify"


def test_weak_and_foreign_keys_are_refused(tmp_path: Path) -> None:
    """RSA-1024 and elliptic curves are not what was agreed (E9)."""
    small = rsa.generate_private_key(65537, 1024)
    file, certificate = write(tmp_path / "s.key", pem(small)), write(tmp_path / "s.crt", crt(small))
    assert "1024 bits" in refused(Code.CERT, tmp_path, use="sign", file=file, certificate=certificate)
    with pytest.raises(Refused, match="1024 bits"):
        load_pins({"p": PinFile(file=certificate)}, {}, tmp_path)
    curve = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "curve")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(curve.public_key())
    made = builder.serial_number(1).not_valid_before(JANUARY).not_valid_after(JULY).sign(curve, hashes.SHA256())
    file = write(tmp_path / "e.key", pem(curve))
    certificate = write(tmp_path / "e.crt", made.public_bytes(serialization.Encoding.PEM))
    assert "not an RSA or SM2 key" in refused(Code.CERT, tmp_path, use="sign", file=file, certificate=certificate)


def test_a_key_open_to_everybody_is_refused(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    """Group access is the operator's choice, world access is not."""
    certificate = write(tmp_path / "k.crt", crt(key))
    file = write(tmp_path / "k.key", pem(key), 0o644)
    assert "every user" in refused(Code.POLICY, tmp_path, use="sign", file=file, certificate=certificate)
    (tmp_path / "k.key").chmod(0o640)
    load(tmp_path, use="sign", file=file, certificate=certificate)


def test_missing_and_broken_files_are_refused(tmp_path: Path, key: rsa.RSAPrivateKey) -> None:
    """Each with its path, so that it can be mended."""
    file, certificate = write(tmp_path / "k.key", pem(key)), write(tmp_path / "k.crt", crt(key))
    assert "no.key" in refused(Code.PATH, tmp_path, use="sign", file="no.key", certificate=certificate)
    assert "no certificate" in refused(Code.CERT, tmp_path, use="sign", file=file)
    two = write(tmp_path / "two.crt", crt(key) + crt(key))
    for wrong in (file, two, write(tmp_path / "x.crt", b"\x30\x03abc"), write(tmp_path / "e.crt", b"")):
        refused(Code.CERT, tmp_path, use="sign", file=file, certificate=wrong)
    refused(Code.AUTH, tmp_path, use="sign", file=certificate, certificate=certificate)
    big = write(tmp_path / "big.crt", b"x" * 70_000)
    refused(Code.SIZE, tmp_path, use="sign", file=file, certificate=big)


def test_a_pin_that_is_ours_is_refused(pki: DevPki) -> None:
    """Our own Document, sent back to us, must not verify as the bank's."""
    keys = load_keys(pki.bureau.keys, Credentials(), pki.folder)
    with pytest.raises(Refused, match="our own key"):
        load_pins({"bank_a-sign": PinFile(file="bureau-sign.crt")}, keys, pki.folder)
