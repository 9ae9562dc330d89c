"""What a bank says of a line, of the whole file, or of money that comes back: applied, parked or held, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from gateway.core.errors import Code, NotSent
from gateway.core.verdicts import Verdict
from gateway.edge.crypto.pki import DevPki
from gateway.flow.asking import OVERDUE_EVERY_S
from gateway.sandbox.orders import Booked, Kind
from tests.flow.counterpart import Counterpart
from tests.flow.house import AGREEMENT, ISO, OWN, House
from tests.flow.scene import Scene, oracle, standing

# ---------------------------------------------------------------------------------------------- lines


class Line(NamedTuple):
    """How one line is told, and what must come of it."""

    told: Callable[[Scene], Booked]
    code: str


LINES = {
    "B17 unknown reference": Line(lambda s: s.row(2, reference="999999999999"), Code.UNKNOWN_REF),
    "B17 no number at all": Line(lambda s: s.row(2, reference="9" * 19), Code.UNKNOWN_REF),
    "B18 another amount": Line(lambda s: s.row(2, minor=s.row(2).minor + 1), Code.CONFLICT),
    "B18 another amount of a failure": Line(
        lambda s: s.row(2, minor=s.row(2).minor - 1, verdict=Verdict.CARD_LOST), Code.CONFLICT
    ),
    "B16 unknown code": Line(lambda s: s.row(2, verdict=Verdict.UNKNOWN_CODE), Code.UNKNOWN_CODE),
}


@pytest.mark.parametrize("case", LINES)
async def test_a_line_that_no_rule_can_apply(scene: Scene, case: str) -> None:
    """That line is parked with its code and the bank's own words; the others are applied; the set stays open, nothing is repaid."""
    line = LINES[case]
    rows = [scene.row(1), line.told(scene), scene.row(3), scene.row(4, verdict=Verdict.CARD_LOST)]
    await scene.after(scene.letter(rows=rows))
    assert scene.house.inbound() == [("applied", "")]
    assert scene.house.states() == ["paid", "batched", "paid", "failed"]
    assert scene.house.parked() == [line.code]
    ((raw,),) = scene.house.rows("SELECT raw FROM parked")
    assert rows[1].reference in raw
    await scene.house.sound()
    from gateway.core.contracts import InstructionRepay

    await scene.house.send("instruction.repay", InstructionRepay(instruction_id="I00004", reason="解除挂失"))
    (refused,) = await scene.house.told("instruction.repay_refused")
    assert refused.items[0].code == Code.POLICY
    assert "run.closed" not in [name for name, _ in await scene.house.tell()]


async def test_b17_another_banks_payment(house: House, keys: DevPki) -> None:
    """One bank tells of a payment that went to the other: parked, the other's payment is untouched."""
    own = await standing(house, keys, OWN)
    await house.paying(4, ISO, "R2")
    await house.step(ISO)
    iso = Counterpart(ISO, "iso20022", house.wires[ISO], keys)
    theirs = iso.take()
    await own.after(own.letter(rows=[*own.taken.rows[:3], theirs.rows[0]._replace(id=4)]))
    assert house.states() == ["paid"] * 3 + ["batched"] * 5
    assert house.parked() == [Code.UNKNOWN_REF]


async def test_b17_another_documents_payment(house: House, keys: DevPki) -> None:
    """A line of another Document of the same bank, which has left: parked, not applied."""
    first = await standing(house, keys, OWN)
    await house.paying(4, OWN, "R2")
    await house.step(OWN)
    second = first.bank.take()
    await first.after(first.letter(rows=[*first.taken.rows[:3], second.rows[0]._replace(id=4)]))
    assert house.states() == ["paid"] * 3 + ["batched"] * 5
    assert house.parked() == [Code.UNKNOWN_REF]


async def test_a_payment_told_of_before_it_leaves_is_held(house: House, keys: DevPki) -> None:
    """The bank tells that a payment is paid which lies here, sealed: it must not leave before somebody has looked."""
    from gateway.core.route import Put

    first = await standing(house, keys, OWN)
    house.wires[OWN].fail(Put, NotSent("down"), times=99)
    await house.paying(4, OWN, "R2")
    await house.step(OWN)
    assert house.documents() == [("sent", 1), ("sealed", 0)]
    ((key,),) = house.rows("SELECT MIN(key) FROM attempt WHERE document_key = 2")
    amount = house.rows("SELECT amount FROM attempt WHERE key = ?", key)[0][0]
    foreign = first.row(4, reference=str(key), minor=amount)
    await first.after(first.letter(rows=[*first.taken.rows[:3], foreign]))
    assert house.parked() == [Code.UNKNOWN_REF]
    assert house.documents()[1] == ("void", 0)
    assert house.states()[4:] == ["held", "batched", "batched", "batched"]
    await house.sound()


async def test_a_contradiction_is_parked_and_never_overwrites(scene: Scene) -> None:
    """A later file turns paid into failed and failed into paid: the first words stand, both are parked (P5)."""
    rows = [scene.row(1), scene.row(2, verdict=Verdict.CARD_LOST), scene.row(3), scene.row(4)]
    await scene.after(scene.letter(rows=rows))
    turned = [scene.row(1, verdict=Verdict.CARD_LOST), scene.row(2)]
    await scene.after(scene.letter(rows=turned, part=2, parts=0))
    assert scene.house.states() == ["paid", "failed", "paid", "paid"]
    assert scene.house.parked() == [Code.CONFLICT] * 2
    await scene.house.sound()


async def test_a_contradiction_holds_the_second_payment(scene: Scene) -> None:
    """Failed, ordered again, and then the bank says it was paid after all: the second payment is held before it leaves."""
    from gateway.core.contracts import InstructionRepay

    rows = [scene.row(1), scene.row(2, verdict=Verdict.CARD_LOST), scene.row(3), scene.row(4)]
    await scene.after(scene.letter(rows=rows))
    await scene.house.send("instruction.repay", InstructionRepay(instruction_id="I00002", reason="解除挂失"))
    assert scene.house.states()[4:] == ["new"]
    await scene.after(scene.letter(rows=[scene.row(2)], part=2, parts=0))
    assert scene.house.states()[4:] == ["held"]
    await scene.house.sound()


# ---------------------------------------------------------------------------------------------- the whole file


@pytest.mark.parametrize("verdict", [Verdict.FUNDS, Verdict.FORMAT_REFUSED, Verdict.SEAL_REFUSED, Verdict.NOT_ALLOWED])
async def test_a_whole_file_refused_with_proof(scene: Scene, verdict: Verdict) -> None:
    """Left once, nothing booked: the Document is refused, its payments are held, same try, until people free them; then a new file carries them."""
    await scene.after(scene.letter(Kind.RECEIPT), scene.letter(Kind.REFUSAL, verdict=verdict))
    assert scene.house.documents() == [("refused", 1)]
    assert scene.house.states() == ["held"] * 4
    await scene.house.ledger.propose_free("anna", "R1")
    await scene.house.ledger.approve_free("bert", "R1")
    await scene.house.step(scene.code)
    assert scene.house.documents() == [("refused", 1), ("sent", 1)]
    again = scene.bank.take()
    assert again.order.reference != scene.taken.order.reference
    scene.bank.result(again)
    await scene.house.step(scene.code, 2)
    assert scene.house.states() == ["paid"] * 4
    await scene.house.sound()


@pytest.mark.parametrize("freed", ["held", "ready", "filed", "sealed"])
async def test_a_refused_file_that_is_paid_after_all(scene: Scene, freed: str) -> None:
    """The bank refused the whole and then tells that lines are paid: nothing of them may leave again, wherever they are by then."""
    from gateway.core.route import Put

    house, code = scene.house, scene.code
    await scene.after(scene.letter(Kind.REFUSAL, verdict=Verdict.FUNDS))
    if freed != "held":
        await house.ledger.propose_free("anna", "R1")
        await house.ledger.approve_free("bert", "R1")
    if freed == "filed":
        house.points.die_at = "dispatch.filed"
        with pytest.raises(BaseException, match="dispatch"):
            await house.step(code)
    if freed == "sealed":
        house.wires[code].fail(Put, NotSent("down"))
        await house.step(code)
    scene.bank.say(scene.letter(rows=scene.taken.rows[:1], parts=0))
    await house.step(code, 2)
    assert house.states()[0] == "held"
    assert len(house.parked()) == 1
    house.clock.advance(600)
    await house.step(code, 2)
    in_flight = house.rows("SELECT COUNT(*) FROM attempt WHERE state = 'batched'")[0][0]
    assert in_flight == (0 if freed == "held" else 3)
    ((references,),) = house.rows(
        "SELECT COUNT(DISTINCT reason) FROM hold WHERE closed_ms IS NULL AND reason = 'CONTRADICTION'"
    )
    assert references == 1
    await house.sound()


async def test_a_refusal_after_the_document_left_twice_proves_nothing(own_scene: Scene) -> None:
    """Sent again after 'not found', then refused: the refusal may be of the second copy: in doubt, unknown, asked."""
    house = own_scene.house
    house.wires[OWN].files.clear()
    with house_db(house) as db:  # as after a 'not found' and a second sending
        db.execute("UPDATE document SET sendings = 2")
    await own_scene.after(own_scene.letter(Kind.REFUSAL, verdict=Verdict.FUNDS))
    assert house.documents()[0] == ("in_doubt", 2)
    assert house.states() == ["unknown"] * 4
    await house.sound()


def house_db(house: House):  # type: ignore[no-untyped-def]  # sqlite3's own context manager
    """The ledger, to be written beside it."""
    import sqlite3

    return sqlite3.connect(house.path)


async def test_a_duplicate_is_never_a_failure(scene: Scene) -> None:
    """The bank says that it has the file already: in doubt, all lines unknown, nothing failed; its first result clears it."""
    await scene.after(scene.letter(Kind.REFUSAL, verdict=Verdict.DUPLICATE))
    assert scene.house.documents()[0][0] in ("in_doubt", "receipted")
    assert scene.house.states() == ["unknown"] * 4
    await scene.after(scene.letter())
    assert scene.house.documents()[0][0] == "receipted"
    assert scene.house.states() == ["paid"] * 4
    await scene.house.sound()


async def test_a_duplicate_on_one_line(scene: Scene) -> None:
    """One line 'repeated': unknown, never failed; the bank's later word decides."""
    rows = [*scene.taken.rows[:3], scene.row(4, verdict=Verdict.DUPLICATE)]
    await scene.after(scene.letter(rows=rows))
    assert scene.house.states() == ["paid"] * 3 + ["unknown"]
    await scene.after(scene.letter(rows=[scene.row(4)], part=2, parts=0))
    assert scene.house.states() == ["paid"] * 4


async def test_an_unknown_code_on_the_whole_file(own_scene: Scene) -> None:
    """No table has the code: the whole answer is parked, the Document and its lines stay as they are."""
    before, letter = own_scene.house.totals(), own_scene.letter(Kind.REFUSAL, verdict=Verdict.FUNDS, code="9999")
    await own_scene.after(letter)
    assert own_scene.house.inbound() == [("parked", Code.UNKNOWN_CODE)]
    assert own_scene.house.documents() == [("sent", 1)]
    await oracle(own_scene, before, letter)


async def test_a_time_out_of_the_bank_is_a_doubt(own_scene: Scene) -> None:
    """'Gave up waiting' on the whole file: nobody knows, so unknown; the bank has the file, so it is asked what became of it."""
    house = own_scene.house
    await own_scene.after(own_scene.letter(Kind.REFUSAL, verdict=Verdict.TIMEOUT))
    assert house.documents() == [("receipted", 1)]
    assert house.states() == ["unknown"] * 4
    house.clock.advance(AGREEMENT.not_found_window_minutes * 60 + OVERDUE_EVERY_S)
    await house.step(OWN)
    assert own_scene.bank.asked().original == own_scene.taken.order.reference
    await house.sound()


async def test_one_doubtful_line_is_asked_about(own_scene: Scene) -> None:
    """All lines but one are told, and of that one the bank gave up waiting: it is asked within the agreed window, not a day later."""
    house = own_scene.house
    rows = [*own_scene.taken.rows[:3], own_scene.row(4, verdict=Verdict.TIMEOUT)]
    await own_scene.after(own_scene.letter(rows=rows))
    assert house.states() == ["paid"] * 3 + ["unknown"]
    house.clock.advance(AGREEMENT.not_found_window_minutes * 60 + OVERDUE_EVERY_S)
    await house.step(OWN)
    assert house.documents("inquiry") == [("sent", 1)]


# ---------------------------------------------------------------------------------------------- money that comes back


async def test_a_return_of_what_was_paid(scene: Scene) -> None:
    """Money that came back: returned, with the amount and reference of the payment."""
    await scene.after(scene.letter())
    await scene.after(scene.letter(Kind.RETURN, rows=[scene.row(2, verdict=Verdict.ACCOUNT_CLOSED)]))
    assert scene.house.states() == ["paid", "returned", "paid", "paid"]
    await scene.house.sound()


@pytest.mark.parametrize("wrong", [{"minor": 1}, {"reference": "999999999999"}], ids=["amount", "reference"])
async def test_a_return_that_matches_nothing(scene: Scene, wrong: dict[str, object]) -> None:
    """Another amount or reference: parked, nothing changes."""
    await scene.after(scene.letter())
    totals = scene.house.totals()
    await scene.after(scene.letter(Kind.RETURN, rows=[scene.row(2, verdict=Verdict.ACCOUNT_CLOSED, **wrong)]))
    assert scene.house.totals() == totals
    assert len(scene.house.parked()) == 1


async def test_a_return_of_what_never_left_is_held(house: House, keys: DevPki) -> None:
    """Money comes back for a payment that lies here sealed: parked, and the payment is held."""
    from gateway.core.route import Put

    first = await standing(house, keys, OWN)
    house.wires[OWN].fail(Put, NotSent("down"), times=99)
    await house.paying(4, OWN, "R2")
    await house.step(OWN)
    ((key, amount),) = house.rows("SELECT key, amount FROM attempt WHERE document_key = 2 ORDER BY key LIMIT 1")
    row = first.row(1, reference=str(key), minor=amount, verdict=Verdict.ACCOUNT_CLOSED)
    await first.after(first.letter(Kind.RETURN, rows=[row]))
    assert house.states()[4] == "held"
    assert house.parked() == [Code.UNKNOWN_REF]
    await house.sound()
