"""Signed data and envelopes against other implementations: openssl, asn1crypto, and two samples of CFCA's library where they are at hand.

OpenSSL's ``cms`` does not know GM/T 0010's content type, so a second reading is done by asn1crypto and only the signature by ``openssl dgst``.
"""

from __future__ import annotations

import io
import subprocess
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import core
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.codec import cms, der, enveloped, gmt0010, signed_data
from gateway.core.bank import Attached, Bank, Detached, WireKind
from gateway.core.errors import Code, Unverified
from gateway.edge.clock import ManualClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ConfiguredCrypto, KeyFile, KeyFiles, PinFile
from gateway.edge.crypto.keys import Certificate, read_certificate
from gateway.edge.crypto.pki import DevPki, make
from gateway.edge.crypto.signed import verify, verify_attached
from gateway.edge.work import InlineWork
from tests.edge.seal_forms import JUNE, attached_gmt0010, attached_pkcs7, detached_gmt0010
from tests.servers import ROOT

SAMPLES = ROOT.parent / "shared" / "samples" / "china" / "gmt0010"
SAMPLE_CONTENT = b"Hello Secret World!"
PAYLOAD = "张三|100.00\n".encode("gb18030") * 500
BANK = Bank(
    code="BANK_A", name="A", adapter="x", wire=WireKind.FOLDER, customer="C1", pins=("bank_a-sign", "bank_a-sm2-sign")
)
OPENSSL_DAYS = ("-no_check_time", "-purpose", "any")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """The bureau and a bank, RSA and SM2, with a pin of the bank's RSA certificate to encrypt to."""
    return make(tmp_path_factory.mktemp("town"), ["BANK_A"], datetime(2015, 1, 1, tzinfo=UTC), sm2_banks=["BANK_A"])


def side(town: DevPki, files: KeyFiles) -> ConfiguredCrypto:
    """One side's port."""
    return ConfiguredCrypto(files, Credentials(town.folder, {}), ManualClock(JUNE), InlineWork(), folder=town.folder)


@pytest.fixture(scope="module")
def ours(town: DevPki) -> ConfiguredCrypto:
    """The bureau."""
    return side(town, town.bureau)


@pytest.fixture(scope="module")
def theirs(town: DevPki) -> ConfiguredCrypto:
    """The bank."""
    return side(town, town.banks["BANK_A"])


@pytest.fixture
def openssl(town: DevPki, outside_program: Callable[[str], str]) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """openssl in the folder of the keys."""
    program = outside_program("openssl")

    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([program, *words], cwd=town.folder, capture_output=True, check=False)

    return run


def pin_of(path: Path, name: str = "bank") -> Certificate:
    """A pin from a file."""
    return Certificate(name, "verify", read_certificate(path.read_bytes(), name))


# ---------------------------------------------------------------------------------------------------- GM/T 0010, read twice


class GmSignerInfo(core.Sequence):  # type: ignore[misc]  # asn1crypto publishes no types
    """SignerInfo of GM/T 0010, 8.2."""

    _fields = [  # noqa: RUF012 - asn1crypto's way
        ("version", core.Integer),
        ("sid", core.Any),
        ("digest_algorithm", core.Any),
        ("signature_algorithm", core.Any),
        ("signature", core.OctetString),
    ]


class GmSignerInfos(core.SetOf):  # type: ignore[misc]  # asn1crypto publishes no types
    """SET OF SignerInfo."""

    _child_spec = GmSignerInfo


class GmContent(core.Sequence):  # type: ignore[misc]  # asn1crypto publishes no types
    """The inner ContentInfo."""

    _fields = [  # noqa: RUF012 - asn1crypto's way
        ("content_type", core.ObjectIdentifier),
        ("content", core.OctetString, {"explicit": 0, "optional": True}),
    ]


class GmSigned(core.Sequence):  # type: ignore[misc]  # asn1crypto publishes no types
    """SignedData of GM/T 0010, 8.1."""

    _fields = [  # noqa: RUF012 - asn1crypto's way
        ("version", core.Integer),
        ("digest_algorithms", core.Any),
        ("content", GmContent),
        ("certificates", core.SetOf, {"implicit": 0, "optional": True, "spec": core.Any}),
        ("signers", GmSignerInfos),
    ]


class GmInfo(core.Sequence):  # type: ignore[misc]  # asn1crypto publishes no types
    """The outer ContentInfo."""

    _fields = [  # noqa: RUF012 - asn1crypto's way
        ("content_type", core.ObjectIdentifier),
        ("content", GmSigned, {"explicit": 0}),
    ]


def read_by_asn1crypto(seal: bytes) -> tuple[bytes | None, bytes, str]:
    """(content, signature, signature algorithm) as the other implementation reads them, strictly."""
    info = GmInfo.load(seal, strict=True)
    assert info["content_type"].native == gmt0010.SIGNED_DATA
    signed = info["content"]
    assert signed["content"]["content_type"].native == gmt0010.DATA
    (signer,) = signed["signers"]
    algorithm: Any = signer["signature_algorithm"].parse(core.SequenceOf, spec_params={"spec": core.Any})
    return (
        signed["content"]["content"].native,
        signer["signature"].native,
        algorithm[0].parse(core.ObjectIdentifier).native,
    )


@pytest.mark.parametrize("attached", [False, True])
async def test_another_implementation_reads_and_verifies_our_gmt0010(
    town: DevPki, ours: ConfiguredCrypto, openssl: Callable[..., subprocess.CompletedProcess[bytes]], attached: bool
) -> None:
    """asn1crypto takes it apart, openssl verifies the signature under the default id, and refuses it for one changed byte."""
    seal = (await (attached_gmt0010 if attached else detached_gmt0010)(ours, "bureau-sm2-sign", PAYLOAD))[
        0 if attached else 1
    ]
    assert seal is not None
    content, signature, algorithm = read_by_asn1crypto(seal)
    assert content == (PAYLOAD if attached else None)
    assert algorithm == gmt0010.SM2_SIGN
    (town.folder / "content").write_bytes(PAYLOAD)
    (town.folder / "signature").write_bytes(signature)
    (town.folder / "public").write_bytes(openssl("x509", "-in", "bureau-sm2-sign.crt", "-noout", "-pubkey").stdout)
    words = (
        "dgst",
        "-sm3",
        "-verify",
        "public",
        "-signature",
        "signature",
        "-sigopt",
        "distid:1234567812345678",
        "content",
    )
    assert openssl(*words).returncode == 0
    (town.folder / "content").write_bytes(PAYLOAD + b"\n")
    assert openssl(*words).returncode != 0


@pytest.mark.parametrize("oid", [gmt0010.SM2_SIGN, gmt0010.SM2_WITH_SM3])
@pytest.mark.parametrize("null", [True, False])
def test_both_names_of_the_signature_are_read(
    town: DevPki, openssl: Callable[..., subprocess.CompletedProcess[bytes]], oid: str, null: bool
) -> None:
    """CFCA writes …301.1 with NULL, others …501 without: a signature by openssl under either is believed."""
    (town.folder / "content").write_bytes(PAYLOAD)
    words = ("dgst", "-sm3", "-sign", "bank_a-sm2-sign.key", "-sigopt", "distid:1234567812345678", "content")
    made = openssl(*words)
    assert made.returncode == 0, made.stderr
    pin = pin_of(town.folder / "bank_a-sm2-sign.crt")
    family = signed_data.Family(
        **{
            **{f: getattr(gmt0010.GMT0010, f) for f in gmt0010.GMT0010.__struct_fields__},
            "signature": oid,
            "null": null,
        }
    )
    seal = signed_data.write(family, made.stdout, pin.der)
    assert verify([pin], io.BytesIO(PAYLOAD), seal, JUNE, Detached(form="gmt0010")) is pin


async def test_signed_attributes_are_read_as_well(town: DevPki, theirs: ConfiguredCrypto) -> None:
    """The standard allows them; then the signature is over them and they hold the content's SM3."""
    digest = hashes.Hash(hashes.SM3())
    digest.update(PAYLOAD)
    attributes = signed_data.attributes(gmt0010.GMT0010, digest.finalize(), JUNE)
    value = await theirs.sign("bank_a-sm2-sign", "sm2-sm3", attributes)
    pin = pin_of(town.folder / "bank_a-sm2-sign.crt")
    seal = signed_data.write(gmt0010.GMT0010, value, pin.der, attributes=attributes)
    shape = Detached(form="gmt0010")
    assert verify([pin], io.BytesIO(PAYLOAD), seal, JUNE, shape) is pin
    with pytest.raises(Unverified, match="not the one that was signed"):
        verify([pin], io.BytesIO(PAYLOAD + b"\n"), seal, JUNE, shape)


async def test_the_signed_part_of_a_seal_is_no_document(town: DevPki, theirs: ConfiguredCrypto) -> None:
    """A signature over attributes, presented as one over a Document that consists of those attributes, is not believed (RFC 5652, 5.4)."""
    for key, family, form in (("bank_a-sm2-sign", gmt0010.GMT0010, "gmt0010"), ("bank_a-sign", cms.PKCS7, "pkcs7")):
        size = 32
        attributes = signed_data.attributes(family, bytes(size), JUNE)
        value = await theirs.sign(key, "sm2-sm3" if form == "gmt0010" else "rsa-sha256", attributes)
        pin = pin_of(town.folder / f"{key}.crt")
        forged = signed_data.write(family, value, pin.der, content=attributes)
        with pytest.raises(Unverified, match="another seal"):
            verify_attached([pin], io.BytesIO(forged), JUNE, Attached(form=form))  # type: ignore[arg-type]  # either word
        text = b"1" + bytes(size)  # begins as a SET does, and is none
        value = await theirs.sign(key, "sm2-sm3" if form == "gmt0010" else "rsa-sha256", text)
        honest = signed_data.write(family, value, pin.der, content=text)
        assert verify_attached([pin], io.BytesIO(honest), JUNE, Attached(form=form))[1] == text  # type: ignore[arg-type]  # either word


@pytest.mark.parametrize(
    ("file", "attached"),
    [("sadkSignedData.der", True), ("sadkSignedDataDetach.der", False)],
    ids=["attached", "detached"],
)
def test_cfcas_samples_are_verified(file: str, attached: bool) -> None:
    """Made by CFCA's own library; valid in 2025, over the words that the samples are known to be over."""
    if not SAMPLES.is_dir():
        pytest.skip(f"CFCA's samples are not part of the project and not at {SAMPLES}")
    seal = (SAMPLES / file).read_bytes()
    assert b64decode((SAMPLES / file).with_suffix(".b64").read_bytes()) == seal
    parsed = gmt0010.parse(seal, attached=attached)
    (certificate,) = parsed.certificates
    pin = Certificate("cfca", "verify", read_certificate(certificate, "cfca"))
    at = datetime(2025, 6, 1, tzinfo=UTC)
    if attached:
        assert verify_attached([pin], io.BytesIO(seal), at, Attached(form="gmt0010")) == (pin, SAMPLE_CONTENT)
        changed = seal.replace(SAMPLE_CONTENT, b"Hello Secret Word!!")
        with pytest.raises(Unverified):
            verify_attached([pin], io.BytesIO(changed), at, Attached(form="gmt0010"))
        return
    shape = Detached(form="gmt0010")
    assert verify([pin], io.BytesIO(SAMPLE_CONTENT), seal, at, shape) is pin
    for content, when in ((b"Hello", at), (SAMPLE_CONTENT, datetime(2026, 6, 1, tzinfo=UTC))):
        with pytest.raises(Unverified):
            verify([pin], io.BytesIO(content), seal, when, shape)


# ---------------------------------------------------------------------------------------------------- PKCS#7 around a Document


async def test_openssl_verifies_our_attached_seal(
    town: DevPki, ours: ConfiguredCrypto, openssl: Callable[..., subprocess.CompletedProcess[bytes]]
) -> None:
    """And gets exactly the content out of it; not with one byte changed."""
    made, _ = await attached_pkcs7(ours, "bureau-sign", PAYLOAD)
    words = (
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "made.p7",
        "-CAfile",
        "bureau-sign.crt",
        *OPENSSL_DAYS,
    )
    (town.folder / "made.p7").write_bytes(made)
    done = openssl(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == PAYLOAD
    (town.folder / "made.p7").write_bytes(made.replace(b"100.00", b"900.00", 1))
    assert openssl(*words).returncode != 0


@pytest.mark.parametrize("more", [(), ("-noattr",), ("-nocerts",), ("-nosmimecap",)])
def test_we_verify_openssls_attached_seal(
    town: DevPki,
    ours: ConfiguredCrypto,
    openssl: Callable[..., subprocess.CompletedProcess[bytes]],
    more: tuple[str, ...],
) -> None:
    """With and without signed attributes, with and without its certificate."""
    (town.folder / "content").write_bytes(PAYLOAD)
    words = ("cms", "-sign", "-binary", "-nodetach", "-in", "content", "-outform", "DER", "-md", "sha256")
    made = openssl(*words, "-signer", "bank_a-sign.crt", "-inkey", "bank_a-sign.key", *more)
    assert made.returncode == 0, made.stderr
    found = ours.verify(BANK, Attached(), io.BytesIO(made.stdout), None, JUNE)
    assert (found.by, found.signed.read()) == ("bank_a-sign", PAYLOAD)
    with pytest.raises(Unverified):
        ours.verify(BANK, Detached(), io.BytesIO(PAYLOAD), made.stdout, JUNE)


@pytest.mark.parametrize("more", [(), ("-noattr",)])
def test_sha1_is_believed_only_where_the_agreement_says_so(
    town: DevPki,
    ours: ConfiguredCrypto,
    openssl: Callable[..., subprocess.CompletedProcess[bytes]],
    more: tuple[str, ...],
) -> None:
    """Refused by itself; with the flag read, and every changed byte is still found; SHA-256 stays believed with the flag."""
    (town.folder / "content").write_bytes(b"small")
    words: tuple[str, ...] = ("cms", "-sign", "-binary", "-nodetach", "-in", "content", "-outform", "DER")
    words += ("-signer", "bank_a-sign.crt", "-inkey", "bank_a-sign.key")
    weak, strong = (openssl(*words, *more, "-md", digest).stdout for digest in ("sha1", "sha256"))
    with pytest.raises(Unverified, match=r"digest algorithm 1\.3\.14\.3\.2\.26 is not listed"):
        ours.verify(BANK, Attached(), io.BytesIO(weak), None, JUNE)
    agreed = Attached(sha1=True)
    for made in (weak, strong):
        assert ours.verify(BANK, agreed, io.BytesIO(made), None, JUNE).signed.read() == b"small"
    for at in range(0, len(weak), 7):
        with pytest.raises(Unverified):
            ours.verify(BANK, agreed, io.BytesIO(weak[:at] + bytes([weak[at] ^ 1]) + weak[at + 1 :]), None, JUNE)


# ---------------------------------------------------------------------------------------------------- envelopes


@pytest.fixture(scope="module")
def writer(town: DevPki) -> ConfiguredCrypto:
    """A partner that has pinned our decryption certificate."""
    return side(town, KeyFiles(pins={"bureau-decrypt": PinFile(use="encrypt", file="bureau-decrypt.crt")}))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 100_000])
async def test_openssl_opens_our_envelope(
    town: DevPki, writer: ConfiguredCrypto, openssl: Callable[..., subprocess.CompletedProcess[bytes]], size: int
) -> None:
    """AES-256-CBC, at every length around a block."""
    made = await writer.encrypt("bureau-decrypt", "cms-enveloped", b"x" * size)
    (town.folder / "envelope").write_bytes(made)
    words = ("cms", "-decrypt", "-binary", "-inform", "DER", "-in", "envelope", "-inkey", "bureau-decrypt.key")
    done = openssl(*words, "-recip", "bureau-decrypt.crt")
    assert (done.returncode, done.stdout) == (0, b"x" * size), done.stderr


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc"])
async def test_we_open_openssls_envelope(
    town: DevPki, ours: ConfiguredCrypto, openssl: Callable[..., subprocess.CompletedProcess[bytes]], cipher: str
) -> None:
    """Found among several recipients; by the key's name, or whichever the envelope names."""
    (town.folder / "content").write_bytes(PAYLOAD)
    words = ("cms", "-encrypt", "-binary", "-in", "content", "-outform", "DER", f"-{cipher}", "bank_a-sign.crt")
    made = openssl(*words, "bureau-decrypt.crt")
    assert made.returncode == 0, made.stderr
    for key in ("bureau-decrypt", ""):
        assert await ours.decrypt(key, "cms-enveloped", made.stdout) == PAYLOAD
    only_theirs = openssl(*words).stdout
    with pytest.raises(Unverified) as error:
        await ours.decrypt("", "cms-enveloped", only_theirs)
    assert error.value.code is Code.CERT


async def test_both_of_our_decryption_keys_open(
    town: DevPki, tmp_path_factory: pytest.TempPathFactory, writer: ConfiguredCrypto
) -> None:
    """A partner writes to the old certificate or to the new one; during the overlap the envelope says which."""
    successor = make(tmp_path_factory.mktemp("next"), ["BANK_A"], datetime(2015, 1, 1, tzinfo=UTC))
    for ending in ("key", "crt"):
        target = town.folder / f"bureau-decrypt-2.{ending}"
        target.write_bytes((successor.folder / f"bureau-decrypt.{ending}").read_bytes())
        target.chmod(0o600)
    new = KeyFile(use="decrypt", file="bureau-decrypt-2.key", certificate="bureau-decrypt-2.crt")
    both = side(town, KeyFiles(keys={**town.bureau.keys, "bureau-decrypt-2": new}))
    later = side(town, KeyFiles(pins={"bureau-decrypt": PinFile(use="encrypt", file="bureau-decrypt-2.crt")}))
    to_old, to_new = [await partner.encrypt("bureau-decrypt", "cms-enveloped", PAYLOAD) for partner in (writer, later)]
    for made in (to_old, to_new):
        assert await both.decrypt("", "cms-enveloped", made) == PAYLOAD
    with pytest.raises(Unverified):
        await both.decrypt("bureau-decrypt", "cms-enveloped", to_new)


async def test_a_wrong_envelope_never_tells_which_part_was_wrong(
    town: DevPki, ours: ConfiguredCrypto, writer: ConfiguredCrypto
) -> None:
    """A content key that does not open and a content that does not are one and the same answer (RFC 3218)."""
    made = await writer.encrypt("bureau-decrypt", "cms-enveloped", b"x" * 40)
    found = enveloped.parse(made, 1 << 20)
    wrapped, hidden = found.recipients[0].wrapped, found.ciphertext
    broken = [
        made.replace(wrapped, wrapped[:-1] + bytes([wrapped[-1] ^ 1])),
        made.replace(hidden, hidden[:-1] + bytes([hidden[-1] ^ 1])),
    ]
    private = load_pem_private_key((town.folder / "bureau-decrypt.key").read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    short = private.public_key().encrypt(b"k" * 16, padding.PKCS1v15())
    broken.append(made.replace(wrapped, short))
    answers = set()
    for data in broken:
        try:
            await ours.decrypt("", "cms-enveloped", data)
        except Unverified as error:
            answers.add((error.code, error.what))
    assert answers <= {(Code.SIG, "does not open")}
    assert answers
    for at in range(0, len(made), 3):
        try:
            assert (
                await ours.decrypt("", "cms-enveloped", made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]) != b"x" * 40
            )
        except Unverified:
            continue


@pytest.mark.parametrize(
    "options",
    [("-aes-256-gcm",), ("-des3",), ("-aes-256-cbc", "-keyid"), ("-aes-256-cbc", "-keyopt", "rsa_padding_mode:oaep")],
)
async def test_other_envelopes_are_refused(
    town: DevPki,
    ours: ConfiguredCrypto,
    openssl: Callable[..., subprocess.CompletedProcess[bytes]],
    options: tuple[str, ...],
) -> None:
    """Another cipher, another naming, another padding: not the agreed shape, and said so."""
    (town.folder / "content").write_bytes(PAYLOAD)
    words = ("cms", "-encrypt", "-binary", "-in", "content", "-outform", "DER")
    named = [word for word in options if word not in ("-keyopt", "rsa_padding_mode:oaep")]
    padded = ("-keyopt", "rsa_padding_mode:oaep") if "-keyopt" in options else ()
    made = openssl(*words, *named, "-recip", "bureau-decrypt.crt", *padded)
    assert made.returncode == 0, made.stderr
    with pytest.raises(Unverified, match="not an envelope that we read"):
        await ours.decrypt("", "cms-enveloped", made.stdout)


def test_what_is_no_seal_is_refused_and_breaks_nothing(town: DevPki) -> None:
    """Empty, text, a lone tag, an indefinite length, a certificate: Unverified, whatever the form."""
    pin = pin_of(town.folder / "bank_a-sm2-sign.crt")
    for data in (b"", b"no seal", b"\x30", b"\x30\x80\x00\x00", pin.der, der.NULL, sha256(b"").digest()):
        for form in ("cms", "gmt0010"):
            with pytest.raises(Unverified):
                verify([pin], io.BytesIO(PAYLOAD), data, JUNE, Detached(form=form))
        for form in ("pkcs7", "gmt0010"):
            with pytest.raises(Unverified):
                verify_attached([pin], io.BytesIO(data), JUNE, Attached(form=form))  # type: ignore[arg-type]  # either word
        with pytest.raises(Unverified):
            enveloped.parse(data, 1 << 20)
