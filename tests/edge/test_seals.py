"""Every form of seal over the Crypto port: made by one side, believed by the other, found when changed, foreign, old or absent."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.core.bank import Bank, Detached, Inline, Limits, WireKind
from gateway.core.errors import Code, Malformed, Refused, Unverified
from gateway.core.ports import Verified
from gateway.edge.clock import ManualClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ConfiguredCrypto, KeyFile, KeyFiles, PinFile
from gateway.edge.crypto.pki import DevPki, make
from gateway.edge.work import InlineWork
from tests.edge.seal_forms import CUSTOMER, FORMS, JUNE, XML, Form, signed_part, xml

PAYLOAD = "H|SHEYIN|1|RES|张三|\n".encode() * 50
JANUARY = datetime(2015, 1, 1, tzinfo=UTC)

forms = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """The bureau and two banks, RSA and SM2, both generations."""
    both = ["BANK_A", "BANK_B"]
    return make(tmp_path_factory.mktemp("town"), both, JANUARY, overlap=both, sm2_banks=both)


def side(town: DevPki, files: KeyFiles, at: datetime = JUNE) -> ConfiguredCrypto:
    """One side's port at a date."""
    credentials = Credentials(town.folder, {})
    return ConfiguredCrypto(files, credentials, ManualClock(at), InlineWork(), folder=town.folder)


@pytest.fixture(scope="module")
def ours(town: DevPki) -> ConfiguredCrypto:
    """The bureau."""
    return side(town, town.bureau)


@pytest.fixture(scope="module")
def theirs(town: DevPki) -> ConfiguredCrypto:
    """Bank A."""
    return side(town, town.banks["BANK_A"])


def key_of(form: Form, generation: int = 1, bank: str = "bank_a") -> str:
    """The bank's signing key for a form, and our pin for it."""
    return f"{bank}{'-sm2' if form.sm2 else ''}-sign" + (f"-{generation}" if generation > 1 else "")


def bank(*pins: str) -> Bank:
    """Bank A, known by these pins."""
    return Bank(code="BANK_A", name="A", adapter="x", wire=WireKind.FOLDER, customer=CUSTOMER, pins=pins)


def check(
    port: ConfiguredCrypto, form: Form, of: Bank, made: tuple[bytes, bytes | None], at: datetime = JUNE
) -> Verified:
    """Verify what was made."""
    return port.verify(of, form.shape, io.BytesIO(made[0]), made[1], at)


def refused(
    port: ConfiguredCrypto, form: Form, of: Bank, made: tuple[bytes, bytes | None], at: datetime = JUNE
) -> Code:
    """It is not believed; why."""
    with pytest.raises(Unverified) as error:
        check(port, form, of, made, at)
    return error.value.code


# ---------------------------------------------------------------------------------------------------- believed


@forms
async def test_what_a_bank_seals_is_believed(ours: ConfiguredCrypto, theirs: ConfiguredCrypto, form: Form) -> None:
    """By the pin's name and fingerprint; what may be read is what was signed, and nothing else."""
    made = await form.make(theirs, key_of(form), PAYLOAD)
    found = check(ours, form, bank(key_of(form)), made)
    assert found.by == key_of(form)
    assert found.fingerprint == sha256(theirs.certificate(key_of(form))).hexdigest()
    assert found.signed.read() == signed_part(form, PAYLOAD)


@forms
async def test_an_empty_document_can_be_sealed(ours: ConfiguredCrypto, theirs: ConfiguredCrypto, form: Form) -> None:
    """Nothing is signed as nothing."""
    found = check(ours, form, bank(key_of(form)), await form.make(theirs, key_of(form), b""))
    assert found.signed.read() == signed_part(form, b"")


@forms
async def test_a_payload_that_was_read_before_is_verified_whole(
    ours: ConfiguredCrypto, theirs: ConfiguredCrypto, form: Form
) -> None:
    """A sniffed file is checked from its first byte."""
    document, beside = await form.make(theirs, key_of(form), PAYLOAD)
    stream = io.BytesIO(document)
    stream.read(100)
    found = ours.verify(bank(key_of(form)), form.shape, stream, beside, JUNE)
    assert found.signed.read() == signed_part(form, PAYLOAD)


# ---------------------------------------------------------------------------------------------------- two keys, both ways


@forms
async def test_a_partner_changes_its_key(ours: ConfiguredCrypto, theirs: ConfiguredCrypto, form: Form) -> None:
    """Old alone, both during the overlap, new alone: each seal is believed exactly as long as its pin stands."""
    old, new = key_of(form), key_of(form, 2)
    by_old, by_new = [await form.make(theirs, key, PAYLOAD) for key in (old, new)]
    assert check(ours, form, bank(old), by_old).by == old
    refused(ours, form, bank(old), by_new)
    for order in ((old, new), (new, old)):
        assert check(ours, form, bank(*order), by_old).by == old
        assert check(ours, form, bank(*order), by_new).by == new
    assert check(ours, form, bank(new), by_new).by == new
    refused(ours, form, bank(new), by_old)


@forms
async def test_we_change_our_key(town: DevPki, form: Form, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Both of ours are loaded, the Bank's ``sign_key`` names one; the partner pins both and believes either."""
    name = "bureau-sm2-sign" if form.sm2 else "bureau-sign"
    successor = make(tmp_path_factory.mktemp("successor"), ["BANK_A"], JANUARY, sm2_banks=["BANK_A"])
    for ending in ("key", "crt"):
        target = town.folder / f"{name}-2.{ending}"
        target.write_bytes((successor.folder / f"{name}.{ending}").read_bytes())
        target.chmod(0o600)
    both = KeyFiles(
        keys={**town.bureau.keys, f"{name}-2": KeyFile(use="sign", file=f"{name}-2.key", certificate=f"{name}-2.crt")}
    )
    bureau = side(town, both)
    files = town.banks["BANK_A"]
    partner = side(town, replace(files, pins={**files.pins, f"{name}-2": PinFile(file=f"{name}-2.crt")}))
    by_old, by_new = [await form.make(bureau, key, PAYLOAD) for key in (name, f"{name}-2")]
    assert check(partner, form, bank(name, f"{name}-2"), by_old).by == name
    assert check(partner, form, bank(name, f"{name}-2"), by_new).by == f"{name}-2"
    refused(partner, form, bank(name), by_new)


async def test_an_enveloped_seal_changes_its_key_as_well(ours: ConfiguredCrypto, theirs: ConfiguredCrypto) -> None:
    """The shape with a corpus of its own, through the same overlap."""
    both = bank("bank_a-sign", "bank_a-sign-2")
    for key in ("bank_a-sign", "bank_a-sign-2"):
        document = io.BytesIO(await xml(theirs, key))
        assert ours.verify(both, XML, document, None, JUNE).by == key
        other = "bank_a-sign" if key.endswith("2") else "bank_a-sign-2"
        with pytest.raises(Unverified):
            ours.verify(bank(other), XML, document, None, JUNE)


async def test_a_bank_changes_from_rsa_to_sm2(ours: ConfiguredCrypto, theirs: ConfiguredCrypto) -> None:
    """Pins of two kinds stand beside each other; each form is checked with its own kind only."""
    mixed = bank("bank_a-sign", "bank_a-sm2-sign")
    for form in FORMS:
        assert check(ours, form, mixed, await form.make(theirs, key_of(form), PAYLOAD)).by == key_of(form)


# ---------------------------------------------------------------------------------------------------- not believed


@forms
async def test_every_changed_byte_is_found(ours: ConfiguredCrypto, theirs: ConfiguredCrypto, form: Form) -> None:
    """One bit anywhere, one byte cut off anywhere, one byte added: refused, in the Document and in the seal beside it."""
    document, beside = await form.make(theirs, key_of(form), b"small")
    of = bank(key_of(form))
    check(ours, form, of, (document, beside))
    for at in range(len(document)):
        changed = document[:at] + bytes([document[at] ^ 1]) + document[at + 1 :]
        if not (
            isinstance(form.shape, Inline) and changed.lower() == document.lower()
        ):  # hexadecimal has two spellings
            refused(ours, form, of, (changed, beside))
        refused(ours, form, of, (document[:at], beside))
    refused(ours, form, of, (document + b"\0", beside))
    for at in range(len(beside or b"")):
        assert beside is not None
        refused(ours, form, of, (document, beside[:at] + bytes([beside[at] ^ 1]) + beside[at + 1 :]))
        refused(ours, form, of, (document, beside[:at]))


@forms
async def test_another_banks_seal_is_not_this_banks(town: DevPki, ours: ConfiguredCrypto, form: Form) -> None:
    """Well pinned, but for somebody else (E12); and our own, sent back, is nobody's."""
    other = side(town, town.banks["BANK_B"])
    of = bank(key_of(form), key_of(form, 2))
    refused(ours, form, of, await form.make(other, key_of(form, bank="bank_b"), PAYLOAD))
    refused(ours, form, of, await form.make(ours, "bureau-sm2-sign" if form.sm2 else "bureau-sign", PAYLOAD))


@forms
async def test_no_pin_believes_nothing(ours: ConfiguredCrypto, theirs: ConfiguredCrypto, form: Form) -> None:
    """None, a forgotten one, or one that is there to encrypt to."""
    made = await form.make(theirs, key_of(form), PAYLOAD)
    for of in (bank(), bank("forgotten"), bank("bank_a-sm2-decrypt")):
        assert refused(ours, form, of, made) is Code.CERT


@forms
@pytest.mark.parametrize("at", [JANUARY - timedelta(days=1), JANUARY + timedelta(days=800)])
async def test_a_pin_outside_its_validity_believes_nothing(
    ours: ConfiguredCrypto, theirs: ConfiguredCrypto, form: Form, at: datetime
) -> None:
    """The moment asked about decides (E11)."""
    made = await form.make(theirs, key_of(form), PAYLOAD)
    assert refused(ours, form, bank(key_of(form)), made, at) is Code.CERT


@forms
async def test_a_seal_of_other_bytes_does_not_fit(ours: ConfiguredCrypto, theirs: ConfiguredCrypto, form: Form) -> None:
    """Yesterday's seal, today's file; and one form is never taken for another."""
    made = {other.name: await other.make(theirs, key_of(other), PAYLOAD) for other in FORMS}
    of = bank(key_of(form))
    for other in FORMS:
        if other is not form and type(other.shape) is type(form.shape):
            refused(ours, form, of, made[other.name])
    _, beside = await form.make(theirs, key_of(form), b"yesterday")
    if beside is not None:
        refused(ours, form, of, (PAYLOAD, beside))
    refused(ours, form, of, (b"", beside))


@forms
async def test_what_is_larger_than_the_bank_may_send_is_not_read(
    ours: ConfiguredCrypto, theirs: ConfiguredCrypto, form: Form
) -> None:
    """Seals that are read in memory have a cap; a detached one is a stream and needs none."""
    made = await form.make(theirs, key_of(form), PAYLOAD)
    small = replace(bank(key_of(form)), limits=Limits(document_bytes_max=100))
    if isinstance(form.shape, Detached):
        check(ours, form, small, made)
    else:
        assert refused(ours, form, small, made) is Code.SIZE


@pytest.mark.parametrize("error", [Malformed("no such field"), ValueError("not JSON"), KeyError("signature")])
def test_a_body_without_a_slot_is_not_sealed(ours: ConfiguredCrypto, error: Exception) -> None:
    """Whatever the format's own reader stumbles over: the signature is what is missing."""

    def stumble(body: bytes) -> tuple[bytes, bytes]:
        raise error

    with pytest.raises(Unverified) as found:
        ours.verify(bank("bank_a-sign"), Inline(stumble, "rsa-sha256"), io.BytesIO(b"{}"), None, JUNE)
    assert found.value.code is Code.SIG
    with pytest.raises(Unverified, match="no seal"):
        ours.verify(bank("bank_a-sign"), Inline(lambda body: (body, b""), "rsa-sha256"), io.BytesIO(b"{}"), None, JUNE)


# ---------------------------------------------------------------------------------------------------- bare signatures


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [("rsa-sha256", "bank_a-sign"), ("sm2-sm3", "bank_a-sm2-sign"), ("sm2-sm3-raw", "bank_a-sm2-sign")],
)
async def test_a_bare_signature_is_checked(
    ours: ConfiguredCrypto, theirs: ConfiguredCrypto, algorithm: str, key: str
) -> None:
    """Against every pin of the Bank, whatever their kind; not with other data, another id, another algorithm or another bank's pin."""
    signature = await theirs.sign(key, algorithm, b"data")
    all_pins = bank("bank_a-sign-2", "bank_a-sm2-sign-2", "bank_a-sm2-sign", "bank_a-sign")
    found = ours.check(all_pins, algorithm, b"data", signature, JUNE)
    assert (found.by, found.fingerprint) == (key, sha256(theirs.certificate(key)).hexdigest())
    wrong = [(b"date", signature, ""), (b"data", signature[:-1], ""), (b"data", b"", "")]
    if key != "bank_a-sign":
        wrong.append((b"data", signature, "another id"))
    for data, given, signer_id in wrong:
        with pytest.raises(Unverified):
            ours.check(all_pins, algorithm, data, given, JUNE, signer_id)
    with pytest.raises(Unverified):
        ours.check(bank("bank_b-sign", "bank_b-sm2-sign"), algorithm, b"data", signature, JUNE)
    with pytest.raises(Refused):
        ours.check(all_pins, "rsa-sha1", b"data", signature, JUNE)


@pytest.mark.parametrize(
    ("key", "algorithm", "signer_id", "code"),
    [
        ("bureau-sm2-decrypt", "sm2-sm3", "", Code.CERT),
        ("bureau-sm2-sign", "rsa-sha256", "", Code.CERT),
        ("bureau-sign", "sm2-sm3", "", Code.CERT),
        ("bureau-sign", "rsa-sha256", "an id", Code.POLICY),
        ("bureau-sm2-sign", "sm2-sm3", "x" * 8192, Code.POLICY),
        ("bureau-sm2-sign", "sm2", "", Code.POLICY),
        ("bank_a-sm2-sign", "sm2-sm3", "", Code.CERT),
    ],
)
async def test_a_key_signs_only_what_it_is_for(
    ours: ConfiguredCrypto, key: str, algorithm: str, signer_id: str, code: Code
) -> None:
    """Of the wrong use, of the wrong kind, with an id that RSA lacks, or somebody else's."""
    with pytest.raises(Refused) as error:
        await ours.sign(key, algorithm, b"data", signer_id)
    assert error.value.code is code


async def test_a_stream_is_signed_as_its_bytes_are(ours: ConfiguredCrypto, theirs: ConfiguredCrypto) -> None:
    """From its start, in pieces, and given back rewound."""
    stream = io.BytesIO(PAYLOAD * 4000)
    stream.read(7)
    signature = await theirs.sign_stream("bank_a-sm2-sign", "sm2-sm3", stream)
    assert stream.tell() == 0
    assert ours.check(bank("bank_a-sm2-sign"), "sm2-sm3", PAYLOAD * 4000, signature, JUNE).by == "bank_a-sm2-sign"


# ---------------------------------------------------------------------------------------------------- encryption


async def test_both_sides_share_a_secret(ours: ConfiguredCrypto, theirs: ConfiguredCrypto) -> None:
    """SM4-CBC by the secret's name, each bank its own."""
    iv = CUSTOMER.ljust(16, "0").encode()
    hidden = await ours.encrypt("bank_a-sm4", "sm4-cbc", PAYLOAD, iv)
    assert await theirs.decrypt("bank_a-sm4", "sm4-cbc", hidden, iv) == PAYLOAD
    assert PAYLOAD[:16] not in hidden
    try:
        opened = await ours.decrypt("bank_b-sm4", "sm4-cbc", hidden, iv)
    except Unverified:
        opened = b""  # one wrong key in 256 leaves a padding that looks right
    assert opened != PAYLOAD
    with pytest.raises(Refused):
        await theirs.decrypt("bank_b-sm4", "sm4-cbc", hidden, iv)


@pytest.mark.parametrize(
    ("key", "algorithm", "iv", "code"),
    [
        ("nobody-sm4", "sm4-cbc", bytes(16), Code.CERT),
        ("bank_a-sm4", "sm4-cbc", b"", Code.POLICY),
        ("bank_a-sm4", "sm4-ecb", b"", Code.POLICY),
        ("nobody", "cms-enveloped", b"", Code.CERT),
        ("bank_a-sign", "cms-enveloped", b"", Code.CERT),
        ("bank_a-sm2-decrypt", "cms-enveloped", b"", Code.CERT),
        ("bank_a-sm2-decrypt", "cms-enveloped", bytes(16), Code.POLICY),
    ],
)
async def test_what_cannot_be_encrypted_is_refused(
    ours: ConfiguredCrypto, key: str, algorithm: str, iv: bytes, code: Code
) -> None:
    """An unknown secret, a missing iv, no such algorithm, a pin of another use or kind."""
    with pytest.raises(Refused) as error:
        await ours.encrypt(key, algorithm, b"data", iv)
    assert error.value.code is code


@pytest.mark.parametrize(
    ("secret", "form"), [(b"short", "text"), (b"0" * 17, "text"), (b"zz" * 16, "hex"), (b"00" * 15, "hex")]
)
def test_a_secret_that_is_no_key_is_refused_at_the_start(
    town: DevPki, tmp_path: Path, secret: bytes, form: str
) -> None:
    """Its length and spelling are looked at before anything is sent; the refusal does not tell it."""
    from gateway.edge.crypto.keys import SecretFile, load_secrets

    (tmp_path / "s").write_bytes(secret)
    with pytest.raises(Refused) as error:
        load_secrets({"s": SecretFile(credential="s", form=form)}, Credentials(tmp_path, {}))  # type: ignore[arg-type]  # either word
    assert secret.decode() not in str(error.value)
    good = b"0123456789abcdef" if form == "text" else b"00112233445566778899aabbccddeeff"
    (tmp_path / "s").write_bytes(good + b"\n")
    loaded = load_secrets({"s": SecretFile(credential="s", form=form)}, Credentials(tmp_path, {}))  # type: ignore[arg-type]  # either word
    assert loaded["s"] == (good if form == "text" else bytes.fromhex(good.decode()))


# ---------------------------------------------------------------------------------------------------- a string of chosen values


def chosen(document: bytes) -> tuple[bytes, bytes]:
    """``value;words|signature``: only the value is signed."""
    value, words, rest = document.partition(b";")
    if not words:
        raise ValueError("no slot")
    return value, bytes.fromhex(rest.rpartition(b"|")[2].decode("ascii"))


CHOSEN = Inline(chosen, "sm2-sm3", whole=True, bare=lambda document: document[:4].decode("ascii") == "ack ")


async def test_a_signature_over_chosen_values(ours: ConfiguredCrypto, theirs: ConfiguredCrypto) -> None:
    """The Document is read whole; another value is not believed, and neither is an empty slot."""
    value = await theirs.sign("bank_a-sm2-sign", "sm2-sm3", b"paid")
    document = b"paid;thank you|" + value.hex().encode()
    found = ours.verify(bank("bank_a-sm2-sign"), CHOSEN, io.BytesIO(document), None, JUNE)
    assert (found.by, found.signed.read()) == ("bank_a-sm2-sign", document)
    for other in (document.replace(b"paid", b"lost"), b"paid;thank you|", b"paid"):
        with pytest.raises(Unverified) as error:
            ours.verify(bank("bank_a-sm2-sign"), CHOSEN, io.BytesIO(other), None, JUNE)
        assert error.value.code is Code.SIG


@pytest.mark.parametrize("document", [b"Ack 1", b"", b"\xff\xff\xff\xff"])
def test_a_message_that_has_no_signature_by_its_format(ours: ConfiguredCrypto, document: bytes) -> None:
    """The wire vouches for it, and is named; every other one without a signature is refused, also where the look at it fails."""
    found = ours.verify(bank("bank_a-sm2-sign"), CHOSEN, io.BytesIO(b"ack 1"), None, JUNE)
    assert (found.by, found.signed.read()) == ("channel folder", b"ack 1")
    with pytest.raises(Unverified) as error:
        ours.verify(bank("bank_a-sm2-sign"), CHOSEN, io.BytesIO(document), None, JUNE)
    assert error.value.code is Code.SIG
