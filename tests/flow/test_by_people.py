"""What two people decide, and what the lanes then do: a letter frees a Document in doubt, an exported one never leaves by its wire."""

from __future__ import annotations

import msgspec
import pytest

from gateway.core.bank import Agreement
from gateway.core.errors import Code, NotSent
from gateway.core.letters import Letter
from gateway.core.route import Put
from gateway.edge.crypto.pki import DevPki
from gateway.flow.asking import window_ms
from tests.flow.conftest import MakeHouse
from tests.flow.counterpart import Counterpart
from tests.flow.house import CHECKER, ISO, MAKER, OWN, House, bank
from tests.flow.test_asking import WINDOW_S, doubted, not_found


async def test_a_letter_frees_it_at_a_bank_without_a_duplicate_key(make_house: MakeHouse, keys: DevPki) -> None:
    """Not found on the wire is not enough there; in writing it is: the same bytes leave once more, and the bank pays them once."""
    agreement = Agreement(not_found_window_minutes=60)
    house = make_house(bank(OWN, agreement=agreement))
    own = Counterpart(OWN, "standard_file", house.wires[OWN], keys)
    await doubted(house, arrived=False)
    before = house.rows("SELECT name, reference, digest FROM document WHERE kind = 'payment'")
    house.clock.advance(WINDOW_S)
    await house.step(OWN)
    not_found(own, own.asked())
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 1)]
    values = {
        "bank": OWN, "reference": "L-1", "dated": f"{house.clock.now():%Y-%m-%d}", "says": "not_found",
        "evidence": "signed by the branch", "document": before[0][1],
    }  # fmt: skip
    await house.ledger.propose_letter(MAKER, msgspec.convert(values, Letter), window_ms(agreement))
    await house.ledger.approve_letter(CHECKER, OWN, "L-1", window_ms(agreement))
    await house.step(OWN)
    assert house.documents() == [("sent", 2)]
    assert house.rows("SELECT name, reference, digest FROM document WHERE kind = 'payment'") == before
    own.result(own.take())
    await house.step(OWN)
    assert house.states() == ["paid"] * 3
    await house.sound()


async def exported(house: House, code: str) -> str:
    """A Document that could not leave, exported by two people; its reference."""
    house.wires[code].fail(Put, NotSent("the line is down"))
    await house.paying(3, code)
    await house.step(code)
    assert house.documents() == [("sealed", 0)]
    ((reference,),) = house.rows("SELECT reference FROM document WHERE kind = 'payment'")
    await house.ledger.propose_export(MAKER, reference, "the line is down")
    await house.ledger.approve_export(CHECKER, reference)
    return str(reference)


@pytest.mark.parametrize("code", [ISO, OWN])
async def test_what_was_exported_never_leaves_by_its_wire(house: House, code: str) -> None:
    """The line is up again and shows nothing of it, for days: it stays in doubt, and the lane goes on asking."""
    await exported(house, code)
    house.wires[code].mend()
    for _ in range(5):
        house.clock.advance(WINDOW_S)
        await house.step(code)
    assert house.documents() == [("in_doubt", 0)]
    assert [name for name in house.wires[code].finals() if "payment" in name] == []
    ((state,),) = house.rows("SELECT state FROM lane WHERE bank = ?", code)
    assert state == "running"


async def test_not_found_says_nothing_of_what_left_by_hand(house: House, own: Counterpart) -> None:
    """The bank has not read the disc yet and says so by wire, after the window: parked, and still in doubt."""
    await exported(house, OWN)
    house.clock.advance(WINDOW_S)
    await house.step(OWN)
    not_found(own, own.asked())
    await house.step(OWN)
    assert house.documents() == [("in_doubt", 0)]
    assert house.inbound() == [("parked", Code.POLICY)]
    assert [name for name in house.wires[OWN].finals() if "payment" in name] == []
