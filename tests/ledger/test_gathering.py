"""Sporadic payments come one at a time and are gathered into a reimbursement Run of the day."""

from __future__ import annotations

import datetime as dt

from gateway.core.ledger import Recorded
from gateway.core.verdicts import Outcome
from tests.ledger.kit import CHECKER, MAKER, NORTH, PAYER, TODAY, Story, Word, pay

TOMORROW = TODAY + dt.timedelta(days=1)


async def gathered(story: Story) -> list[tuple[str, str]]:
    """(run id, state) of the gathered Runs."""
    return [(r.run_id, r.state) for r in await story.rows("SELECT run_id, state FROM run WHERE gathered ORDER BY key")]


async def test_the_payments_of_a_day_are_one_run(story: Story) -> None:
    """They join one Run of their benefit line, fund and debit account, accepted when the day is over; each payer hears where its own went."""
    assert await story.single(pay("A")) is Recorded.NEW
    assert await story.single(pay("B", 250_00)) is Recorded.NEW
    assert await story.single(pay("C"), line="maternity", fund="maternity") is Recorded.NEW
    assert await story.states() == {}
    assert await story.ledger.close_gathering(TODAY) == 0
    assert await story.ledger.close_gathering(TOMORROW) == 2

    assert await story.states() == {"A": "ready", "B": "ready", "C": "ready"}
    (medical, state), (maternity, _) = await gathered(story)
    assert (medical, maternity, state) == ("sporadic-medical-20150610-1", "sporadic-maternity-20150610-2", "accepted")
    events = await story.told()
    accepted = [(i.instruction_id, i.run_id) for e in events if e.name == "instruction.accepted" for i in e.data.items]
    assert accepted == [("A", medical), ("B", medical), ("C", maternity)]
    runs = [(e.data.run_id, e.data.count, e.data.total) for e in events if e.name == "run.accepted"]
    assert runs == [(medical, 2, 350_00), (maternity, 1, 100_00)]


async def test_the_next_day_is_another_run(story: Story) -> None:
    """What comes after midnight in China joins the next day's Run."""
    await story.single(pay("A"))
    story.clock.advance(24 * 3600)
    await story.single(pay("B"))
    assert len(await gathered(story)) == 2
    assert await story.ledger.close_gathering(story.today()) == 1
    assert await story.states() == {"A": "ready"}


async def test_a_payment_that_is_known(story: Story) -> None:
    """The same content is quiet, other content is CONFLICT, in the same message or another, and makes no empty Run the next day."""
    meta = story.meta(body=b"A")
    assert await story.single(pay("A"), meta=meta) is Recorded.NEW
    assert await story.single(pay("A"), meta=meta) is Recorded.DUP
    assert await story.single(pay("A")) is Recorded.DUP
    assert await story.single(pay("A", 900_00)) is Recorded.CONFLICT
    await story.ledger.close_gathering(TOMORROW)
    story.clock.advance(24 * 3600)
    assert await story.single(pay("A")) is Recorded.DUP
    assert await story.single(pay("A", 900_00)) is Recorded.CONFLICT
    assert len(await gathered(story)) == 1
    assert await story.control("sporadic-medical-20150610-1") == {NORTH: {"ordered": (1, 100_00), "ready": (1, 100_00)}}


async def test_an_id_of_a_run_is_taken(story: Story) -> None:
    """A sporadic payment may not take the id of a payroll's line."""
    await story.submit("R1", pay("A"))
    assert await story.single(pay("A")) is Recorded.CONFLICT
    assert await gathered(story) == []


async def test_proposing_its_release_closes_a_gathered_run(story: Story) -> None:
    """What the maker signs does not grow: the proposal accepts it, and the next payment of the day joins a Run of its own."""
    await story.single(pay("A"))
    ((run_id, _),) = await gathered(story)
    assert (await story.ledger.propose_release(MAKER, run_id))["count"] == 1
    await story.single(pay("B"))
    assert [state for _, state in await gathered(story)] == ["accepted", "receiving"]
    assert (await story.ledger.approve_release(CHECKER, run_id))["count"] == 1
    (document,) = await story.dispatch()
    await story.answer(document, Word("A", Outcome.PAID))
    assert await story.tries("A") == ["paid"]


async def test_a_suspect_among_the_gathered(story: Story) -> None:
    """The same person, item, period and amount is held there too, and told as held instead of accepted."""
    await story.single(pay("A", person="Li"))
    await story.single(pay("B", person="Li"))
    await story.ledger.close_gathering(TOMORROW)
    assert await story.states() == {"A": "ready", "B": "held"}
    events = await story.told()
    told = {i.instruction_id: e.name for e in events if e.name.startswith("instruction.") for i in e.data.items}
    assert told == {"A": "instruction.accepted", "B": "instruction.held"}


async def test_the_lot_keeps_the_payments_own_date(story: Story) -> None:
    """The Run is of the day, the pay date is what the payer asked for."""
    await story.single(pay("A"), pay_date="2015-06-18")
    assert await story.value("SELECT pay_date FROM lot") == "2015-06-18"
    assert await story.value("SELECT payer FROM run") == PAYER
