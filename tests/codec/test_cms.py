"""Detached CMS seals: ours verified by openssl, those of openssl and cryptography read, every other shape refused."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from gateway.codec import cms, der, signed_data
from gateway.codec.certificate import issuer_and_serial
from gateway.core.errors import Code, Unverified

CONTENT = "H|SHEYIN|1|PAY|张三|\n".encode("gb18030") * 100
DIGEST = hashlib.sha256(CONTENT).digest()
MOMENT = datetime(2015, 6, 10, 1, 2, 3, tzinfo=UTC)


class Signer(NamedTuple):
    """A throwaway key with its certificate, in memory and on disk."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    folder: Path

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def seal(self) -> bytes:
        attributes = cms.signed_attributes(DIGEST, MOMENT)
        return cms.signed_data(attributes, self.sign(attributes), self.der)

    def openssl(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["openssl", "cms", *arguments], cwd=self.folder, capture_output=True, check=False)

    def openssl_seal(self, *arguments: str) -> bytes:
        sealed = ["-sign", "-binary", "-in", "content", "-signer", "cert.pem", "-inkey", "key.pem", "-outform", "DER"]
        done = self.openssl(*sealed, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory, outside_program: Callable[[str], str]) -> Signer:
    """A key, its certificate and the content as files for openssl."""
    outside_program("openssl")
    folder = tmp_path_factory.mktemp("cms")
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "测试银行"), x509.NameAttribute(NameOID.COUNTRY_NAME, "CN")]
    )
    certificate, second = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(MOMENT - timedelta(days=1))
        .not_valid_after(MOMENT + timedelta(days=36500))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
        for serial in (0x00C0FFEE00000000000000000000000001, 2)
    )
    pem = serialization.Encoding.PEM
    encryption = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "cert2.pem").write_bytes(second.public_bytes(pem))
    (folder / "content").write_bytes(CONTENT)
    return Signer(key, certificate, folder)


def test_openssl_verifies_ours(signer: Signer) -> None:
    """The outside verifier accepts our seal over our bytes, and not over others."""
    (signer.folder / "ours.p7s").write_bytes(signer.seal())
    check = ["-verify", "-binary", "-inform", "DER", "-in", "ours.p7s", "-noverify", "-certfile", "cert.pem"]
    done = signer.openssl(*check, "-content", "content")
    assert done.returncode == 0, done.stderr
    assert done.stdout == CONTENT
    (signer.folder / "other").write_bytes(CONTENT[:-1] + b"\r")
    assert signer.openssl(*check, "-content", "other").returncode != 0


def test_ours_reads_back(signer: Signer) -> None:
    """What we wrote is what we read: attributes, signature, issuer, serial, time."""
    seal = cms.parse_signed_data(signer.seal())
    assert seal.message_digest == DIGEST
    assert seal.signed_attributes == cms.signed_attributes(DIGEST, MOMENT)
    assert seal.signing_time == MOMENT
    assert seal.issuer == signer.certificate.issuer.public_bytes()
    assert seal.serial == signer.certificate.serial_number
    assert seal.certificates == (signer.der,)
    _verify(signer, seal)


@pytest.mark.parametrize("extra", [(), ("-md", "sha256"), ("-nosmimecap",), ("-nocerts",)])
def test_seals_of_openssl_are_read(signer: Signer, extra: tuple[str, ...]) -> None:
    """What `openssl cms -sign` makes is read, with and without certificates and S/MIME capabilities."""
    seal = cms.parse_signed_data(signer.openssl_seal(*extra))
    assert seal.message_digest == DIGEST
    assert seal.certificates == (() if "-nocerts" in extra else (signer.der,))
    _verify(signer, seal)


@pytest.mark.parametrize("options", [(), (pkcs7.PKCS7Options.NoCapabilities,), (pkcs7.PKCS7Options.NoCerts,)])
def test_seals_of_cryptography_are_read(signer: Signer, options: tuple[pkcs7.PKCS7Options, ...]) -> None:
    """What PKCS7SignatureBuilder makes is read."""
    seal = cms.parse_signed_data(_built(signer, *options))
    assert seal.message_digest == DIGEST
    _verify(signer, seal)


def _verify(signer: Signer, seal: cms.SignedData) -> None:
    public = signer.certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    assert seal.signature_algorithm == "rsa-sha256"
    assert (seal.issuer, seal.serial) == issuer_and_serial(signer.der)
    public.verify(seal.signature, seal.signed_attributes, padding.PKCS1v15(), hashes.SHA256())


def _built(signer: Signer, *options: pkcs7.PKCS7Options, hash_: hashes.SHA256 | hashes.SHA512 | None = None) -> bytes:
    builder = pkcs7.PKCS7SignatureBuilder().set_data(CONTENT)
    builder = builder.add_signer(signer.certificate, signer.key, hash_ or hashes.SHA256())
    detached = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary, *options]
    return builder.sign(serialization.Encoding.DER, detached)


def test_made_by_others_in_a_shape_that_we_refuse(signer: Signer) -> None:
    """E9, E14: content inside, no signed attributes, SHA-1, SHA-512, PSS, key identifier, two signers."""
    refusals = {
        "holds content": signer.openssl_seal("-nodetach"),
        "no signed attributes": signer.openssl_seal("-noattr"),
        "1.3.14.3.2.26 is not listed": signer.openssl_seal("-md", "sha1"),
        "2.16.840.1.101.3.4.2.3 is not listed": _built(signer, hash_=hashes.SHA512()),
        "an algorithm with parameters": signer.openssl_seal("-keyopt", "rsa_padding_mode:pss"),
        "not version 1": signer.openssl_seal("-keyid"),
        "2 signers": signer.openssl_seal("-signer", "cert2.pem", "-inkey", "key.pem"),
    }
    for what, seal in refusals.items():
        with pytest.raises(Unverified, match=what) as refused:
            cms.parse_signed_data(seal)
        assert refused.value.code is Code.SIG


# ------------------------------------------------------------------------------------- made by hand, one thing wrong at a time

SHA256 = der.tlv(der.SEQUENCE, der.oid("2.16.840.1.101.3.4.2.1"), der.NULL)
RSA = der.tlv(der.SEQUENCE, der.oid(cms.RSA), der.NULL)
DATA = der.oid(cms.DATA)


def _attribute(name: str, *values: bytes) -> bytes:
    return der.tlv(der.SEQUENCE, der.oid(name), der.tlv(der.SET, *values))


CONTENT_TYPE = _attribute(signed_data.CONTENT_TYPE, DATA)
MESSAGE_DIGEST = _attribute(signed_data.MESSAGE_DIGEST, der.tlv(der.OCTET_STRING, DIGEST))
SIGNING_TIME = _attribute(signed_data.SIGNING_TIME, der.time(MOMENT))
PROTECTION = _attribute(
    signed_data.ALGORITHM_PROTECTION, der.tlv(der.SEQUENCE, SHA256, der.tlv(0xA1, der.parse(RSA).body))
)
OTHER_PROTECTION = _attribute(signed_data.ALGORITHM_PROTECTION, der.tlv(der.SEQUENCE, SHA256, der.tlv(0xA1, SHA256)))
GOOD = (CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME)


def _seal(
    *attributes: bytes,
    unsigned: bytes = b"",
    content: bytes = b"",
    kind: bytes = DATA,
    digests: tuple[bytes, ...] = (SHA256,),
    algorithm: bytes = RSA,
    version: int = 1,
    ordered: bool = True,
    after: bytes = b"",
) -> bytes:
    name = der.tlv(der.SEQUENCE)
    sid = der.tlv(der.SEQUENCE, name, der.integer(7))
    signed = der.set_of(attributes, 0xA0) if ordered else der.tlv(0xA0, *attributes)
    signature = der.tlv(der.OCTET_STRING, bytes(256))
    signer = der.tlv(der.SEQUENCE, der.integer(version), sid, SHA256, signed, algorithm, signature, unsigned)
    inside = der.tlv(der.SEQUENCE, kind, content)
    body = der.tlv(der.SEQUENCE, der.integer(1), der.set_of(digests), inside, der.tlv(der.SET, signer))
    return der.tlv(der.SEQUENCE, der.oid(cms.SIGNED_DATA), der.tlv(0xA0, body)) + after


def test_the_hand_made_seal_is_read() -> None:
    """The seal that the next test spoils is good itself, with an algorithm protection attribute too (RFC 6211)."""
    assert cms.parse_signed_data(_seal(*GOOD)).serial == 7
    assert cms.parse_signed_data(_seal(*GOOD, PROTECTION)).message_digest == DIGEST
    assert cms.parse_signed_data(_seal(CONTENT_TYPE, MESSAGE_DIGEST)).signing_time is None


SHA1 = der.tlv(der.SEQUENCE, der.oid("1.3.14.3.2.26"), der.NULL)
SPOILT = {
    "E14 content inside": _seal(*GOOD, content=der.tlv(0xA0, der.tlv(der.OCTET_STRING, CONTENT))),
    "E14 contentType missing": _seal(MESSAGE_DIGEST, SIGNING_TIME),
    "E14 messageDigest missing": _seal(CONTENT_TYPE, SIGNING_TIME),
    "E14 no attribute at all": _seal(),
    "E14 contentType of signed data": _seal(
        _attribute(signed_data.CONTENT_TYPE, der.oid(cms.SIGNED_DATA)), MESSAGE_DIGEST
    ),
    "E14 contentType repeated": _seal(*GOOD, CONTENT_TYPE),
    "E14 messageDigest repeated": _seal(
        *GOOD, _attribute(signed_data.MESSAGE_DIGEST, der.tlv(der.OCTET_STRING, bytes(32)))
    ),
    "E14 messageDigest with two values": _seal(
        CONTENT_TYPE,
        _attribute(signed_data.MESSAGE_DIGEST, *(der.tlv(der.OCTET_STRING, d) for d in (bytes(32), DIGEST))),
    ),
    "E14 messageDigest without value": _seal(CONTENT_TYPE, _attribute(signed_data.MESSAGE_DIGEST)),
    "E14 messageDigest of 20 bytes": _seal(
        CONTENT_TYPE, _attribute(signed_data.MESSAGE_DIGEST, der.tlv(der.OCTET_STRING, bytes(20)))
    ),
    "E14 messageDigest of another type": _seal(CONTENT_TYPE, _attribute(signed_data.MESSAGE_DIGEST, der.integer(1))),
    "E14 signed attribute that is not listed": _seal(*GOOD, _attribute("1.2.840.113549.1.9.16.2.47", der.NULL)),
    "E14 unsigned attribute": _seal(*GOOD, unsigned=der.tlv(0xA1, SIGNING_TIME)),
    "E14 algorithm protection of others": _seal(*GOOD, OTHER_PROTECTION),
    "E14 wrong content type": _seal(*GOOD, kind=der.oid(cms.SIGNED_DATA)),
    "E14 digest algorithms differ": _seal(*GOOD, digests=(SHA1,)),
    "E14 second digest algorithm": _seal(*GOOD, digests=(SHA256, SHA1)),
    "E9 signature algorithm unknown": _seal(*GOOD, algorithm=SHA1),
    "E14 signer version 3": _seal(*GOOD, version=3),
    "E15 attributes not in order": _seal(*sorted(GOOD, reverse=True), ordered=False),
    "E15 bytes after": _seal(*GOOD, after=b"\0"),
    "E15 a second seal after": _seal(*GOOD) * 2,
    "E15 indefinite length": b"\x30\x80" + der.parse(_seal(*GOOD)).body + b"\0\0",
    "E15 length in long form": b"\x30\x83\x00" + _seal(*GOOD)[2:],
    "E15 time without seconds": _seal(
        CONTENT_TYPE, MESSAGE_DIGEST, _attribute(signed_data.SIGNING_TIME, der.tlv(der.UTC_TIME, b"1506100102Z"))
    ),
    "empty": b"",
    "not DER": b"-----BEGIN CMS-----\n",
    "deep": b"\x30\x80" * 5000,
    "unsigned attributes without a member": _seal(*GOOD, unsigned=der.tlv(0xA1)),
}


@pytest.mark.parametrize("seal", SPOILT.values(), ids=SPOILT)
def test_one_thing_wrong_is_enough(seal: bytes) -> None:
    """Every shape of E9, E14 and E15 is refused with SIG."""
    with pytest.raises(Unverified) as refused:
        cms.parse_signed_data(seal)
    assert refused.value.code is Code.SIG


def test_a_seal_has_a_cap() -> None:
    """A seal larger than any real one is not even parsed."""
    with pytest.raises(Unverified) as refused:
        cms.parse_signed_data(b"\x30" * (cms.SEAL_BYTES_MAX + 1))
    assert refused.value.code is Code.SIZE


def test_nesting_is_bounded() -> None:
    """A thousand boxes in each other are refused without exhausting the stack."""
    nested = der.NULL
    for _ in range(1000):
        nested = der.tlv(der.SEQUENCE, nested)
    with pytest.raises(ValueError, match="too deep"):
        der.parse(nested)


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    """Whatever the bytes, the answer is Unverified and nothing else."""
    with pytest.raises(Unverified):
        cms.parse_signed_data(noise)


@given(st.data())
def test_a_changed_byte_is_refused_or_shows(data: st.DataObject) -> None:
    """One byte changed in a seal: refused, or it differs in what the verifier compares; never another exception."""
    good = _seal(*GOOD)
    at = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[at]))
    try:
        seal = cms.parse_signed_data(good[:at] + bytes((value,)) + good[at + 1 :])
    except Unverified:
        return
    assert seal != cms.parse_signed_data(good)


@given(st.integers(-(2**200), 2**200))
def test_integers_come_back(value: int) -> None:
    """INTEGER in its shortest form, both signs."""
    assert der.parse(der.integer(value)).integer() == value


@given(st.lists(st.integers(0, 2**40), max_size=6), st.integers(0, 2), st.integers(0, 39))
def test_object_identifiers_come_back(rest: list[int], first: int, second: int) -> None:
    """OBJECT IDENTIFIER, dotted and back."""
    dotted = ".".join(map(str, (first, second, *rest)))
    assert der.parse(der.oid(dotted)).oid() == dotted


@pytest.mark.parametrize("body", [b"", b"\0\0", b"\0\x7f", b"\xff\xff", b"\xff\x80"])
def test_integers_in_a_longer_form_are_refused(body: bytes) -> None:
    """BER's other spellings of the same number are not DER."""
    with pytest.raises(ValueError, match="shortest"):
        der.parse(der.tlv(der.INTEGER, body)).integer()


@pytest.mark.parametrize(
    "moment", [MOMENT, datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)]
)
def test_times_come_back(moment: datetime) -> None:
    """UTCTime until 2049, GeneralizedTime from 2050."""
    encoded = der.parse(der.time(moment))
    assert encoded.time() == moment
    assert encoded.tag == (der.UTC_TIME if moment.year < 2050 else der.GENERALIZED_TIME)


def test_our_digest_must_be_sha256() -> None:
    """A digest of another size is a mistake of ours, found before anything is signed."""
    with pytest.raises(ValueError, match="sha256"):
        cms.signed_attributes(bytes(20), MOMENT)
