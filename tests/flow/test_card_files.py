"""A bank that only tells of names and cards: no instruction may name it, its lane fetches, and what it says is kept for people."""

from __future__ import annotations

import msgspec

from gateway.core.bank import WireKind
from gateway.core.contracts import Account
from gateway.core.errors import Code
from tests.adapters.test_card_files import audit, encoded, file_of, mapped, notice
from tests.flow.conftest import MakeHouse
from tests.flow.house import OWN, House, orders
from tests.flow.house import bank as bank_of

CARDS = "CARDS"


def cards_house(make_house: MakeHouse) -> House:
    """A house with a paying bank, and a card centre beside it."""
    options = {"account": "none"}
    cards = bank_of(
        CARDS, adapter="card_files", wire=WireKind.FOLDER, pins=(), debit_accounts={}, format_options=options
    )
    return make_house(bank_of(OWN), cards)


async def test_no_instruction_names_it(make_house: MakeHouse) -> None:
    """Refused at intake with the reason, as the bank to pay through and as an alternative."""
    house = cards_house(make_house)
    first, second, third = orders(3)
    lines = [
        msgspec.structs.replace(first, bank=CARDS),
        msgspec.structs.replace(second, alternative=Account(bank=CARDS, account="9900010000000000017")),
        third,
    ]
    assert await house.submit(lines) == "rejected"
    (told,) = await house.told("run.rejected")
    assert [(error.code, error.where, error.what) for error in told.errors] == [
        (Code.POLICY, "bank", f"no bank that takes payments is called {CARDS}"),
        (Code.POLICY, "alternative.bank", f"no bank that takes payments is called {CARDS}"),
    ]
    await house.untouched()


async def test_what_it_says_is_kept_and_not_applied_yet(make_house: MakeHouse) -> None:
    """Audits, card maps and notices come in by the one door, are read, and wait for people: POLICY, with their bytes."""
    house = cards_house(make_house)
    documents = {
        "RH_R1_000000000000101_20150610090000": file_of("RH", audit("1", "901"), audit("0", "902", reason="不符")),
        "BK_000000000000101_20150610090000": file_of("BK", mapped("A12345678", "9900010000000000017", "张三")),
        "bind.json": encoded(notice("B0056")),
    }
    for name, document in documents.items():
        house.wires[CARDS].put(name, document)
    await house.step(CARDS, times=2)
    assert house.inbound() == [("parked", "POLICY")] * 3
    assert set(documents.values()) <= set(house.archived().values())
    house.wires[CARDS].put("RH_R1_000000000000101_20150610090500", file_of("RH", audit("1", "901"), count=2))
    await house.step(CARDS, times=2)
    assert house.inbound()[3:] == [("quarantined", "TRUNCATED")]
    assert house.lanes()[CARDS] == "running"
    assert house.totals() == []
