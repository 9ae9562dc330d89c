"""The Crypto port: our signatures hold, and of a partner's only those of a pinned, valid certificate."""

from __future__ import annotations

import hashlib
import io
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.codec import cms
from gateway.core.bank import Bank, Detached, WireKind
from gateway.core.errors import Code, Refused, Unavailable, Unverified
from gateway.core.ports import Crypto, Verified
from gateway.edge.clock import ManualClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ConfiguredCrypto, EngineCrypto, KeyFile, KeyFiles, PinFile
from gateway.edge.crypto.keys import Certificate
from gateway.edge.crypto.pins import Pins
from gateway.edge.crypto.pki import DevPki, self_signed
from gateway.edge.work import InlineWork

JUNE = datetime(2015, 6, 10, tzinfo=UTC)
END = datetime(2016, 12, 31, tzinfo=UTC)
PAYLOAD = "H|SHEYIN|1|RES|张三|\n".encode() * 100_000  # two reads' worth


def crypto_of(pki: DevPki, files: KeyFiles, at: datetime = JUNE) -> ConfiguredCrypto:
    """One side's keys at a date."""
    return ConfiguredCrypto(files, Credentials(), ManualClock(at), InlineWork(), folder=pki.folder)


@pytest.fixture(scope="module")
def ours(pki: DevPki) -> ConfiguredCrypto:
    """The bureau's side."""
    return crypto_of(pki, pki.bureau)


@pytest.fixture(scope="module")
def theirs(pki: DevPki) -> ConfiguredCrypto:
    """Bank A's side."""
    return crypto_of(pki, pki.banks["BANK_A"])


def bank(*pins: str, code: str = "BANK_A") -> Bank:
    """A bank known by these pins."""
    return Bank(code=code, name="A", adapter="standard_file", wire=WireKind.FOLDER, customer="C1", pins=pins)


async def seal(side: EngineCrypto, key: str, payload: bytes = PAYLOAD) -> bytes:
    """A detached seal, made as the flow makes it."""
    attributes = cms.signed_attributes(hashlib.sha256(payload).digest(), JUNE)
    return cms.signed_data(attributes, await side.sign(key, "rsa-sha256", attributes), side.certificate(key))


def check(
    side: EngineCrypto, of: Bank, sealed: bytes | None, payload: bytes = PAYLOAD, at: datetime = JUNE
) -> Verified:
    """Verify a detached seal over ``payload``."""
    return side.verify(of, Detached(), io.BytesIO(payload), sealed, at)


def refused(code: Code, side: EngineCrypto, of: Bank, sealed: bytes | None, **more: object) -> str:
    """It is Unverified with this code; the sentence."""
    with pytest.raises(Unverified) as error:
        check(side, of, sealed, **more)  # type: ignore[arg-type]  # passed on by name
    assert error.value.code is code
    return str(error.value)


# ---------------------------------------------------------------------------------------------------- signing


async def test_our_signature_is_rsa_sha256(pki: DevPki, ours: ConfiguredCrypto) -> None:
    """The outside library finds it right under the certificate that we hand out."""
    port: Crypto = ours
    signature = await port.sign("bureau-sign", "rsa-sha256", b"data")
    key = x509.load_der_x509_certificate(port.certificate("bureau-sign")).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(signature, b"data", padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(
    ("key", "algorithm", "code"),
    [
        ("nobody", "rsa-sha256", Code.CERT),
        ("bureau-decrypt", "rsa-sha256", Code.CERT),
        ("bureau-sign", "rsa-sha1", Code.POLICY),
        ("bureau-sign", "hmac-sha256", Code.POLICY),
    ],
)
async def test_only_signing_keys_and_listed_algorithms_sign(
    ours: ConfiguredCrypto, key: str, algorithm: str, code: Code
) -> None:
    """A key has one use; what is not in the table does not exist."""
    with pytest.raises(Refused) as error:
        await ours.sign(key, algorithm, b"data")
    assert error.value.code is code


@pytest.mark.parametrize("at", [datetime(2014, 12, 31, tzinfo=UTC), datetime(2017, 1, 2, tzinfo=UTC)])
async def test_outside_its_validity_a_key_signs_nothing(pki: DevPki, at: datetime) -> None:
    """The bank would refuse the file: better to know before it is sent."""
    with pytest.raises(Refused, match="not valid") as error:
        await crypto_of(pki, pki.bureau, at).sign("bureau-sign", "rsa-sha256", b"data")
    assert error.value.code is Code.CERT


class WrongEngine:
    """A device that answers with something: the last signature again, or nothing at all."""

    def __init__(self, certificate: Certificate, answer: bytes) -> None:
        self._certificate = certificate
        self._answer = answer

    async def sign(self, key: str, algorithm: str, digest: bytes) -> bytes:
        """Whatever it was given."""
        return self._answer

    async def unwrap(self, key: str, wrapped: bytes) -> bytes | None:
        """Nothing."""
        return None

    async def close(self) -> None:
        """Nothing to close."""

    def certificates(self) -> Mapping[str, Certificate]:
        """One signing key."""
        return {"bureau-sign": self._certificate}


async def test_a_signature_that_does_not_hold_is_never_handed_out(pki: DevPki, ours: ConfiguredCrypto) -> None:
    """An engine that signs something else, or nothing, is away as far as we are concerned (E17)."""
    der = x509.load_der_x509_certificate(ours.certificate("bureau-sign"))
    certificate = Certificate("bureau-sign", "sign", der)
    of_other_data = await ours.sign("bureau-sign", "rsa-sha256", b"other data")
    for answer in (b"", bytes(256), of_other_data, of_other_data[:-1]):
        engine = EngineCrypto(WrongEngine(certificate, answer), Pins({}), ManualClock(JUNE), InlineWork())
        with pytest.raises(Unavailable):
            await engine.sign("bureau-sign", "rsa-sha256", b"data")


# ---------------------------------------------------------------------------------------------------- verifying


async def test_a_banks_seal_is_verified(ours: ConfiguredCrypto, theirs: ConfiguredCrypto) -> None:
    """By the pin's name and fingerprint; what may be read is the payload from its start."""
    found = check(ours, bank("bank_a-sign"), await seal(theirs, "bank_a-sign"))
    assert found.by == "bank_a-sign"
    assert found.fingerprint == hashlib.sha256(theirs.certificate("bank_a-sign")).hexdigest()
    assert found.signed.read() == PAYLOAD


async def test_a_payload_that_was_read_before_is_verified_whole(
    ours: ConfiguredCrypto, theirs: ConfiguredCrypto
) -> None:
    """A sniffed file is checked from its first byte."""
    payload = io.BytesIO(PAYLOAD)
    payload.read(100)
    found = ours.verify(bank("bank_a-sign"), Detached(), payload, await seal(theirs, "bank_a-sign"), JUNE)
    assert found.signed.read() == PAYLOAD


async def test_both_pins_count_during_an_overlap(ours: ConfiguredCrypto, theirs: ConfiguredCrypto) -> None:
    """The partner may change over whenever it likes; after the overlap only the new one is left."""
    both = bank("bank_a-sign", "bank_a-sign-2")
    for key in ("bank_a-sign", "bank_a-sign-2"):
        assert check(ours, both, await seal(theirs, key)).by == key
    after = bank("bank_a-sign-2")
    refused(Code.CERT, ours, after, await seal(theirs, "bank_a-sign"))
    assert check(ours, after, await seal(theirs, "bank_a-sign-2")).by == "bank_a-sign-2"


async def test_another_banks_seal_is_not_this_banks(pki: DevPki, ours: ConfiguredCrypto) -> None:
    """Well pinned, but for somebody else (E12)."""
    other = await seal(crypto_of(pki, pki.banks["BANK_B"]), "bank_b-sign")
    assert check(ours, bank("bank_b-sign", code="BANK_B"), other).by == "bank_b-sign"
    assert "not pinned" in refused(Code.CERT, ours, bank("bank_a-sign", "bank_a-sign-2"), other)


async def test_our_own_seal_sent_back_is_not_the_banks(ours: ConfiguredCrypto) -> None:
    """A mirror proves nothing."""
    refused(Code.CERT, ours, bank("bank_a-sign"), await seal(ours, "bureau-sign"))


@pytest.mark.parametrize(
    ("at", "word"), [(datetime(2014, 12, 31, tzinfo=UTC), "not valid yet"), (END + timedelta(days=2), "expired")]
)
async def test_a_pin_outside_its_validity_verifies_nothing(
    ours: ConfiguredCrypto, theirs: ConfiguredCrypto, at: datetime, word: str
) -> None:
    """The moment asked about decides, not today (E11)."""
    sealed = await seal(theirs, "bank_a-sign")
    assert word in refused(Code.CERT, ours, bank("bank_a-sign"), sealed, at=at)


async def test_every_changed_byte_is_found(ours: ConfiguredCrypto, theirs: ConfiguredCrypto) -> None:
    """In the payload at its start, middle and end, cut off or added; in the seal anywhere (E2)."""
    sealed = await seal(theirs, "bank_a-sign")
    of = bank("bank_a-sign")
    for at in (0, len(PAYLOAD) // 2, len(PAYLOAD) - 1):
        changed = PAYLOAD[:at] + bytes([PAYLOAD[at] ^ 1]) + PAYLOAD[at + 1 :]
        assert "not the one that was signed" in refused(Code.SIG, ours, of, sealed, payload=changed)
    for changed in (PAYLOAD[:-1], PAYLOAD + b"\n", b""):
        refused(Code.SIG, ours, of, sealed, payload=changed)
    small = await seal(theirs, "bank_a-sign", b"small")
    check(ours, of, small, b"small")
    for at in range(len(small)):
        with pytest.raises(Unverified):
            check(ours, of, small[:at] + bytes([small[at] ^ 1]) + small[at + 1 :], b"small")
    for at in range(len(small)):
        refused(Code.SIG, ours, of, small[:at], payload=b"small")
    refused(Code.SIG, ours, of, small + b"\0", payload=b"small")


async def test_a_changed_certificate_in_the_seal_is_found(ours: ConfiguredCrypto, theirs: ConfiguredCrypto) -> None:
    """A certificate sent along under the pinned one's number has to be the pinned one, byte by byte."""
    sealed = await seal(theirs, "bank_a-sign")
    der = theirs.certificate("bank_a-sign")
    last = sealed.index(der) + len(der) - 1  # in the certificate's own signature, which nobody else looks at
    changed = sealed[:last] + bytes([sealed[last] ^ 1]) + sealed[last + 1 :]
    assert "another certificate" in refused(Code.CERT, ours, bank("bank_a-sign"), changed)


async def test_an_impostor_with_the_banks_name_and_number_is_found(
    ours: ConfiguredCrypto, theirs: ConfiguredCrypto
) -> None:
    """Same issuer and serial number, another key: with its own certificate, with the bank's, and with none (E3)."""
    true = x509.load_der_x509_certificate(theirs.certificate("bank_a-sign"))
    key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateBuilder().subject_name(true.subject).issuer_name(true.issuer).public_key(key.public_key())
    builder = builder.serial_number(true.serial_number)
    false = builder.not_valid_before(true.not_valid_before_utc).not_valid_after(true.not_valid_after_utc)
    forged = false.sign(key, hashes.SHA256())
    attributes = cms.signed_attributes(hashlib.sha256(PAYLOAD).digest(), JUNE)
    signature = key.sign(attributes, padding.PKCS1v15(), hashes.SHA256())
    refused(
        Code.CERT, ours, bank("bank_a-sign"), cms.signed_data(attributes, signature, forged.public_bytes(Encoding.DER))
    )
    refused(
        Code.SIG, ours, bank("bank_a-sign"), cms.signed_data(attributes, signature, true.public_bytes(Encoding.DER))
    )


async def test_a_seal_of_other_bytes_is_a_replay_that_does_not_fit(
    ours: ConfiguredCrypto, theirs: ConfiguredCrypto
) -> None:
    """Yesterday's seal beside today's file."""
    refused(Code.SIG, ours, bank("bank_a-sign"), await seal(theirs, "bank_a-sign", b"yesterday"))


@pytest.mark.parametrize("sealed", [None, b"", b"no seal at all", b"\x30\x80\x00\x00", b"-----BEGIN PKCS7-----"])
def test_no_seal_is_no_proof(ours: ConfiguredCrypto, sealed: bytes | None) -> None:
    """Absent, empty, or something else (E1)."""
    refused(Code.SIG, ours, bank("bank_a-sign"), sealed)


async def test_a_bank_without_a_pin_proves_nothing(ours: ConfiguredCrypto, theirs: ConfiguredCrypto) -> None:
    """No pins, or a name that nobody configured: never "anybody"."""
    sealed = await seal(theirs, "bank_a-sign")
    for of in (bank(), bank("forgotten")):
        refused(Code.CERT, ours, of, sealed)


def test_a_pin_that_is_missing_is_found_at_the_start(pki: DevPki) -> None:
    """Not with the first file."""
    with pytest.raises(Refused, match="'forgotten' is not configured"):
        ConfiguredCrypto(
            pki.bureau, Credentials(), ManualClock(JUNE), InlineWork(), folder=pki.folder, banks=[bank("forgotten")]
        )


# ---------------------------------------------------------------------------------------------------- outside programs


async def test_openssl_verifies_our_seal(
    pki: DevPki, ours: ConfiguredCrypto, outside_program: Callable[[str], str]
) -> None:
    """Another implementation accepts what we make, and refuses it for one changed byte."""
    (pki.folder / "seal.p7s").write_bytes(await seal(ours, "bureau-sign"))
    command = [outside_program("openssl"), "cms", "-verify", "-binary", "-inform", "DER", "-in", "seal.p7s"]
    command += ["-content", "payload", "-CAfile", "bureau-sign.crt", "-purpose", "any", "-no_check_time", "-out", "out"]
    (pki.folder / "payload").write_bytes(PAYLOAD)
    done = subprocess.run(command, cwd=pki.folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (pki.folder / "payload").write_bytes(PAYLOAD.replace(b"RES", b"REX", 1))
    assert subprocess.run(command, cwd=pki.folder, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("more", [[], ["-nocerts"], ["-nosmimecap"]])
def test_we_verify_openssls_seal(
    pki: DevPki, ours: ConfiguredCrypto, outside_program: Callable[[str], str], more: list[str]
) -> None:
    """A bank that seals with openssl is understood, with or without its certificate inside."""
    (pki.folder / "theirs").write_bytes(PAYLOAD)
    command = [
        outside_program("openssl"),
        "cms",
        "-sign",
        "-binary",
        "-in",
        "theirs",
        "-outform",
        "DER",
        "-md",
        "sha256",
    ]
    command += ["-signer", "bank_a-sign.crt", "-inkey", "bank_a-sign.key", *more]
    done = subprocess.run(command, cwd=pki.folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert check(ours, bank("bank_a-sign"), done.stdout).by == "bank_a-sign"


# ---------------------------------------------------------------------------------------------------- lists and warnings


def test_keys_lists_every_key_and_pin_and_no_secret(ours: ConfiguredCrypto) -> None:
    """Name, use, subject, fingerprint and dates are all that is told."""
    listed = ours.keys()
    found = {(key.name, key.use) for key in listed}
    assert found == {
        ("bureau-sign", "sign"),
        ("bureau-decrypt", "decrypt"),
        ("bank_a-sign", "verify"),
        ("bank_a-sign-2", "verify"),
        ("bank_b-sign", "verify"),
    }
    assert "PRIVATE" not in repr(listed)


@pytest.mark.parametrize(
    ("before_end", "within"),
    [(timedelta(days=61), None), (timedelta(days=60), 60), (timedelta(days=29), 30), (timedelta(days=7), 7),
     (timedelta(hours=3), 1), (timedelta(days=-3), 0)],
)  # fmt: skip
def test_expiry_warns_at_60_30_7_and_1_days(ours: ConfiguredCrypto, before_end: timedelta, within: int | None) -> None:
    """Each key and pin is told under the smallest threshold that it has come under, and after its end as ended."""
    end = ours.keys()[0].not_after
    found = ours.expiring(end - before_end)
    assert {expiry.within_days for expiry in found} == (set() if within is None else {within})
    assert len(found) == (0 if within is None else 5)
    assert all(expiry.days_left == before_end.days for expiry in found)


def test_the_most_urgent_comes_first(pki: DevPki) -> None:
    """A list for people begins with what has to be done first."""
    key = rsa.generate_private_key(65537, 2048)
    soon = self_signed(key, "soon", JUNE - timedelta(days=1), JUNE + timedelta(days=5), "sign")
    (pki.folder / "soon.crt").write_bytes(soon.public_bytes(Encoding.PEM))
    files = KeyFiles(keys=pki.bureau.keys, pins={**pki.bureau.pins, "soon": PinFile(file="soon.crt")})
    first, *rest = crypto_of(pki, files).expiring(JUNE, (10_000,))
    assert (first.key.name, first.days_left) == ("soon", 5)
    assert len(rest) == 5


def test_two_uses_of_one_key_do_not_start(pki: DevPki) -> None:
    """The check of the files is the check of the whole."""
    with pytest.raises(Refused):
        crypto_of(
            pki, KeyFiles(keys={"a": KeyFile(use="decrypt", file="bureau-sign.key", certificate="bureau-sign.crt")})
        )
