"""What `sheyin inspect` says of each form of seal, and what `sheyin encode` seals: valid, invalid, unverified, absent."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from adapters.standard_file import ADAPTER
from gateway.cli.plain_files import Folder
from gateway.cli.seal_check import Known, State, check
from gateway.core.bank import Attached, Bank, Detached, Inline, WireKind
from gateway.edge.clock import ManualClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ConfiguredCrypto
from gateway.edge.crypto.keys import Certificate, read_certificate
from gateway.edge.crypto.pki import DevPki, make
from gateway.edge.work import InlineWork
from tests.edge.seal_forms import CUSTOMER, FORMS, JUNE, Form, signed_part

PAYLOAD = b"H|SHEYIN|1|RES\n" * 20
BANK = Bank(code="BANK_A", name="A", adapter="x", wire=WireKind.FOLDER, customer=CUSTOMER)

forms = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """A bureau and a bank, RSA and SM2."""
    return make(tmp_path_factory.mktemp("town"), ["BANK_A"], datetime(2015, 1, 1, tzinfo=UTC), sm2_banks=["BANK_A"])


@pytest.fixture(scope="module")
def bureau(town: DevPki) -> ConfiguredCrypto:
    """The bureau's port."""
    credentials = Credentials(town.folder, {})
    return ConfiguredCrypto(town.bureau, credentials, ManualClock(JUNE), InlineWork(), folder=town.folder)


def certificate(town: DevPki, name: str) -> Certificate:
    """As --cert gives it."""
    return Certificate(name, "verify", read_certificate((town.folder / f"{name}.crt").read_bytes(), name))


def found(form: Form, made: tuple[bytes, bytes | None], known: Known) -> tuple[State, bytes]:
    """The state, and what would be read."""
    document, beside = made
    adapter = replace(ADAPTER, seal=form.shape)
    finding, readable = check(adapter, io.BytesIO(document), len(document), beside, known, JUNE)
    return finding.state, readable.read()


@forms
async def test_each_form_is_explained(town: DevPki, bureau: ConfiguredCrypto, form: Form) -> None:
    """Valid with the signer's certificate; invalid with another or when changed; unverified without any; never an error."""
    name, other = ("bureau-sm2-sign", "bank_a-sm2-sign") if form.sm2 else ("bureau-sign", "bank_a-sign")
    made = await form.make(bureau, name, PAYLOAD)
    right, wrong = certificate(town, name), certificate(town, other)
    readable = made[0] if isinstance(form.shape, Inline) else PAYLOAD
    valid = signed_part(form, PAYLOAD)
    assert found(form, made, Known([wrong, right], asked=True, bank=BANK)) == (State.VALID, valid)
    assert found(form, made, Known([wrong], asked=True, bank=BANK)) == (State.INVALID, readable)
    assert found(form, made, Known([wrong], asked=False, bank=BANK)) == (State.UNVERIFIED, readable)
    assert found(form, made, Known([], asked=False)) == (State.UNVERIFIED, readable)
    changed = made[0].replace(b"RES", b"REX", 1), made[1]
    assert found(form, changed, Known([right], asked=True, bank=BANK))[0] is State.INVALID


async def test_a_signer_id_of_the_banks_own_asks_for_the_bank(town: DevPki, bureau: ConfiguredCrypto) -> None:
    """Without knowing whose it is, nothing is said against it."""
    (form,) = (form for form in FORMS if form.name == "inline-sm2")
    made = await form.make(bureau, "bureau-sm2-sign", PAYLOAD)
    known = Known([certificate(town, "bureau-sm2-sign")], asked=True)
    assert found(form, made, known)[0] is State.UNVERIFIED


@forms
def test_what_has_no_seal_is_not_called_valid(town: DevPki, form: Form) -> None:
    """No signature beside, no slot within, no signed data around."""
    state, readable = found(form, (PAYLOAD.replace(b"|", b"/"), None), Known([], asked=False))
    assert state is (State.INVALID if isinstance(form.shape, Attached) else State.ABSENT)
    assert readable == PAYLOAD.replace(b"|", b"/")


@pytest.mark.parametrize("shape", [Detached(), Detached(form="gmt0010"), Attached(), Attached(form="gmt0010")])
async def test_plain_files_are_sealed_in_each_form(
    town: DevPki, bureau: ConfiguredCrypto, tmp_path: Path, shape: Detached | Attached
) -> None:
    """What `sheyin encode` writes holds for whoever has our certificate; size and digest are those of the file that stands there."""
    key = "bureau-sm2-sign" if shape.form == "gmt0010" else "bureau-sign"
    with Folder(tmp_path, bureau, overwrite=False) as folder:
        written = await folder.write("a.txt", [PAYLOAD[:10], PAYLOAD[10:]], shape, key, JUNE, 1 << 20)
    document = (tmp_path / "a.txt").read_bytes()
    beside = (tmp_path / written.seal_name).read_bytes() if written.seal_name else None
    assert written.size == len(document)
    adapter = replace(ADAPTER, seal=shape)
    known = Known([certificate(town, key)], asked=True)
    finding, readable = check(adapter, io.BytesIO(document), len(document), beside, known, JUNE)
    assert (finding.state, readable.read()) == (State.VALID, PAYLOAD)
