"""The shape of our own XML signature, held against two outside verifiers and the canonicaliser itself."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidDigest
from signxml.verifier import SignatureConfiguration, XMLVerifier

from gateway.codec.xmldsig import DS, signature, signature_size, signed_info

BEFORE = b'<w xmlns="urn:w"><h xmlns="urn:h"><s>'
AFTER = '</s></h><d xmlns="urn:d"><n>𠮷野 &amp; 张三&#xD;</n></d></w>'.encode()
LOCATION = "./{urn:h}h/{urn:h}s/"


class Key(NamedTuple):
    """A key pair with its self-signed certificate."""

    private: rsa.RSAPrivateKey
    certificate: x509.Certificate
    der: bytes

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())


def make_key(bits: int) -> Key:
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bureau")])
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2015, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2049, 1, 1, tzinfo=UTC))
        .add_extension(usage, critical=True)
        .sign(private, hashes.SHA256())
    )
    return Key(private, certificate, certificate.public_bytes(serialization.Encoding.DER))


@pytest.fixture(scope="module", params=[2048, 3072])
def key(request: pytest.FixtureRequest) -> Key:
    """RSA keys of two sizes."""
    return make_key(request.param)


def sealed(key: Key) -> bytes:
    """A small document as the gateway assembles it: digest of all but the hole, then the hole is filled."""
    shown = signed_info(sha256(BEFORE + AFTER).digest())
    return BEFORE + signature(shown, key.sign(shown), key.der) + AFTER


def test_the_size_is_known_beforehand(key: Key) -> None:
    """A hole of this size can be left before anything is hashed or signed."""
    shown = signed_info(bytes(32))
    fill = signature(shown, key.sign(shown), key.der)
    assert len(fill) == signature_size(key.der, key.private.key_size // 8)


def test_every_byte_is_canonical_already(key: Key) -> None:
    """Canonicalising the document, the signature in it, or SignedInfo by itself changes nothing."""
    document = sealed(key)
    root = etree.fromstring(document)
    assert etree.tostring(root, method="c14n", exclusive=True) == document
    info = root.find(f".//{{{DS}}}SignedInfo")
    assert info is not None
    assert etree.tostring(info, method="c14n", exclusive=True) == signed_info(sha256(BEFORE + AFTER).digest())


def test_signxml_accepts_it_and_no_other(key: Key) -> None:
    """One reference, pinned place and certificate: what it returns is the whole document."""
    config = SignatureConfiguration(
        location=LOCATION,
        expect_references=1,
        signature_methods=frozenset({SignatureMethod.RSA_SHA256}),
        digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
    )
    document = sealed(key)
    result = XMLVerifier().verify(document, x509_cert=key.certificate, expect_config=config)
    assert not isinstance(result, list)
    assert result.signed_xml is not None
    assert result.signed_xml.tag == "{urn:w}w"
    with pytest.raises(InvalidDigest):
        XMLVerifier().verify(
            document.replace("张三".encode(), "张四".encode()), x509_cert=key.certificate, expect_config=config
        )


def test_xmlsec1_accepts_it_and_no_other(key: Key, tmp_path: Path, outside_program: Callable[[str], str]) -> None:
    """A verifier that shares no line with ours and lxml's Python side."""
    program = outside_program("xmlsec1")
    (tmp_path / "cert.pem").write_bytes(key.certificate.public_bytes(serialization.Encoding.PEM))
    for name, document, code in (
        ("good.xml", sealed(key), 0),
        ("bad.xml", sealed(key).replace("张三".encode(), "张四".encode()), 1),
    ):
        (tmp_path / name).write_bytes(document)
        command = [program, "--verify", "--trusted-pem", str(tmp_path / "cert.pem"), str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == code, done.stderr.decode()


def test_what_it_holds(key: Key) -> None:
    """Digest, value and certificate are the ones given, in plain base64 without line breaks."""
    document = sealed(key)
    root = etree.fromstring(document)
    texts = {etree.QName(node).localname: node.text or "" for node in root.iter(f"{{{DS}}}*")}
    assert base64.b64decode(texts["DigestValue"]) == sha256(BEFORE + AFTER).digest()
    assert base64.b64decode(texts["X509Certificate"]) == key.der
    assert b"\n" not in document


def test_wrong_use_is_an_error() -> None:
    """A digest of another length, or bytes that are not signed_info's, are a programmer's mistake."""
    with pytest.raises(ValueError, match="32 bytes"):
        signed_info(b"short")
    with pytest.raises(ValueError, match="not the bytes"):
        signature(b"<SignedInfo>", b"", b"")
