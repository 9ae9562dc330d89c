"""Every paying format's golden cases: the bytes that a bank has seen and what a payer is told of its answer never change by accident."""

from __future__ import annotations

import io

import msgspec
import pytest

from gateway.core.bank import Row
from gateway.core.errors import Code, Malformed
from gateway.core.partner import Partner
from tests.adapters.suite import PAYING
from tests.flow.conftest import MakeHouse
from tests.flow.golden import CODE, FIRST, Case, cases, difference, fields, once, play, recording
from tests.flow.house import House

CASES = cases()


async def capped(make_house: MakeHouse, case: Case, **limits: int) -> House:
    """A house where the case is ordered and not yet released, at a Bank with smaller limits."""
    bank = case.bank(limits=msgspec.to_builtins(msgspec.structs.replace(case.adapter.limits, **limits)), sealed=False)
    house = make_house(bank)
    house.partners[CODE] = Partner(bank=bank, adapter=recording(case.adapter, []))
    assert await house.submit(case.ordered.instructions) == "accepted"
    return house


def test_every_paying_format_has_a_case() -> None:
    """A format joins by its folder, and is held to bytes from its first day on."""
    without = sorted(set(PAYING) - {case.folder.parent.name for case in CASES if case.folder.name == FIRST})
    assert not without, (
        f"{without} need tests/adapters/golden/<format>/{FIRST}/instruction.json and result.bin, then --golden-write"
    )


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_golden(make_house: MakeHouse, case: Case, request: pytest.FixtureRequest) -> None:
    """Ordered, written, answered, told: byte for byte, and event for event."""
    played = await play(make_house, case)
    now = {"document.bin": played.document, "events.json": played.events}
    if request.config.getoption("--golden-write"):
        for name, content in now.items():
            (case.folder / name).write_bytes(content)
        pytest.skip("written, not compared: --golden-write")
    changed = [difference(case, name, case.held(name), content) for name, content in now.items()]
    assert not any(changed), "\n\n".join(filter(None, changed))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_can_be_read(case: Case) -> None:
    """Ours and the bank's are told field by field; so a difference is, too. Nobody in it is real: accounts are of invented banks."""
    document = fields(case.adapter, case.held("document.bin"))
    assert "head · kind = payment" in document
    for number, instruction in enumerate(case.ordered.instructions, 1):
        assert instruction.account.startswith("9900")
        assert f"line {number} · name = {(instruction.payee or instruction.person).name}" in document
        assert f"line {number} · amount = {instruction.amount}" in document
    assert not any("cannot be read" in field for field in fields(case.adapter, case.held("result.bin")))


def test_a_difference_is_told_by_its_field() -> None:
    """Another amount, and a byte that no field shows."""
    case = next(case for case in CASES if str(case) == f"iso20022-{FIRST}")
    held = case.held("document.bin")
    amount = difference(case, "document.bin", held, held.replace(b">1000.01<", b">1000.07<"))
    assert "-line 1 · amount = 100001" in amount
    assert "+line 1 · amount = 100007" in amount
    assert "line 2" not in amount
    assert not difference(case, "document.bin", held, held)
    bookable = difference(case, "document.bin", held, held.replace(b"<BtchBookg>true<", b"<BtchBookg>false<"))
    assert "no field differs; byte" in bookable
    cut = difference(case, "document.bin", held, held[:-9])
    assert "+cannot be read: " in cut
    events = case.held("events.json")
    assert '+          "outcome": "failed"' in difference(
        case, "events.json", events, events.replace(b'"outcome": "paid"', b'"outcome": "failed"', 1)
    )


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_cap_of_lines(make_house: MakeHouse, case: Case) -> None:
    """No Document holds more lines than the Bank takes, and the lines of all of them are the lines ordered."""
    house = await capped(make_house, case, rows_max=2)
    await house.release()
    await house.step(CODE, times=2)
    rows = [
        [item for item in case.adapter.read(io.BytesIO(house.archived()[digest])) if isinstance(item, Row)]
        for (digest,) in house.rows("SELECT digest FROM document ORDER BY key")
    ]
    assert [len(lines) for lines in rows] == [2, 1]
    assert [row.amount for lines in rows for row in lines] == [one.amount for one in case.ordered.instructions]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_cap_of_bytes(make_house: MakeHouse, case: Case) -> None:
    """A larger file is taken in from nobody, and none of ours is sent: SIZE, and nothing is half done."""
    said = case.held("result.bin")
    house = await capped(make_house, case, document_bytes_max=min(len(said), len(case.held("document.bin"))) - 1)
    with pytest.raises(Malformed) as error:
        await house.collector.take_in(house.partners[CODE], "result.bin", once(said), "folder", None, "")
    assert error.value.code is Code.SIZE
    assert not house.inbound()
    await house.release()
    await house.step(CODE, times=2)
    assert house.documents() == [("open", 0)]
    assert house.lanes()[CODE] == "stopped"
    assert not house.wires[CODE].sent()
