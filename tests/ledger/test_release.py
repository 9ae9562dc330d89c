"""From accepted to released, early or cancelled."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from gateway.core.errors import Conflict
from gateway.core.verdicts import Outcome
from tests.ledger.kit import CHECKER, MAKER, NORTH, OTHER_PAYER, SOUTH, Story, Word, doubted, pay


async def cancel(story: Story, run_id: str) -> str:
    """The payer takes a Run back; the event that answers."""
    await story.told()
    await story.ledger.cancel_run(story.meta(), run_id, "a mistake")
    (event,) = await story.told()
    assert event.data.run_id == run_id
    return event.name


async def test_nothing_travels_before_its_release(story: Story) -> None:
    """Accepted and proposed is not released: the lane sees nothing."""
    await story.submit("R1", pay("A"))
    assert await story.ledger.ready_groups(NORTH) == []
    await story.ledger.propose_release(MAKER, "R1")
    assert await story.ledger.ready_groups(NORTH) == []
    await story.ledger.approve_release(CHECKER, "R1")
    (group,) = await story.ledger.ready_groups(NORTH)
    assert (group.totals.count, group.totals.minor, group.early) == (1, 100_00, False)
    assert group.pay_date == dt.date(2015, 6, 15)


async def test_an_early_release_says_so(story: Story) -> None:
    """Early stands in what both people sign and in the group that the lane sees, and is never mixed with what waits for its date."""
    await story.submit("R1", pay("A"))
    await story.submit("R2", pay("B"), kind="supplementary")
    assert (await story.ledger.propose_release(MAKER, "R1", "", True))["early"] is True
    assert (await story.ledger.approve_release(CHECKER, "R1"))["early"] is True
    await story.release("R2")
    assert [(g.early, g.totals.count) for g in await story.ledger.ready_groups(NORTH)] == [(False, 1), (True, 1)]
    documents = await story.file()
    assert [document.count for document in documents] == [1, 1]


async def test_a_run_is_paying_once_something_is_filed(story: Story) -> None:
    """Released until its first payment stands in a file, paying from then on."""
    await story.submit("R1", pay("A"), pay("B", bank=SOUTH))
    await story.release("R1")
    assert await story.run_state("R1") == "released"
    await story.file()
    assert await story.run_state("R1") == "paying"


@pytest.mark.parametrize("stage", ["receiving", "held", "accepted", "proposed", "released"])
async def test_a_run_can_be_taken_back(story: Story, stage: str) -> None:
    """Before anything is filed the payer may cancel: nothing of it is owed any more, and no open proposal can bring it back."""
    if stage == "receiving":
        await story.header("R1", 2, 200_00, chunks=2)
        await story.chunk("R1", 1, pay("A"))
    elif stage == "held":
        await story.submit("R0", pay("Z"))
        assert await story.submit("R1", pay("A")) == "held"
        await story.ledger.propose_held_run(MAKER, "R1")
    else:
        await story.submit("R1", pay("A"), doubted(2, pay("B"), "NAME"))
        if stage == "proposed":
            await story.ledger.propose_release(MAKER, "R1")
        if stage == "released":
            await story.release("R1")
    assert await cancel(story, "R1") == "run.cancelled"
    assert await story.run_state("R1") == "cancelled"
    assert set((await story.states()).values()) <= {"withdrawn", "ready"}
    assert await story.tries("A") in ([], ["withdrawn"])
    assert await story.ledger.list_proposals() == []
    assert (await story.ledger.list_held(), await story.ledger.ready_groups(NORTH)) == ([], [])
    with pytest.raises(Conflict):
        await story.ledger.approve_release(CHECKER, "R1")


async def test_ids_of_a_run_cancelled_before_acceptance_are_free(story: Story) -> None:
    """No Attempt was born of them; those of an accepted Run stay taken."""
    await story.header("R1", 2, 200_00, chunks=2)
    await story.chunk("R1", 1, pay("A"))
    await cancel(story, "R1")
    assert await story.submit("R2", pay("A")) == "accepted"
    await cancel(story, "R2")
    assert await story.submit("R3", pay("A")) == "rejected"


async def test_too_late_to_take_back(story: Story) -> None:
    """Once a payment stands in a file the Run goes on; the refusal says where it is."""
    await story.submit("R1", pay("A"))
    await story.release("R1")
    await story.file()
    assert await cancel(story, "R1") == "run.cancel_refused"
    assert (await story.run_state("R1"), await story.tries("A")) == ("paying", ["batched"])


async def test_what_cannot_be_cancelled(story: Story) -> None:
    """An unknown Run, another payer's, one cancelled before, and a second-payment Run."""
    await story.submit("R1", pay("A"), payer=OTHER_PAYER)
    assert await cancel(story, "R1") == "run.cancel_refused"
    assert await cancel(story, "nothing") == "run.cancel_refused"
    document = await story.paying("R2", pay("B"))
    await story.answer(document, Word("B", Outcome.FAILED))
    await story.repay("B")
    second = await story.value("SELECT run_id FROM run WHERE kind = 'second_payment'")
    assert await cancel(story, second) == "run.cancel_refused"
    await story.submit("R3", pay("C"), period="2015-09")
    assert await cancel(story, "R3") == "run.cancelled"
    assert await cancel(story, "R3") == "run.cancel_refused"


async def test_the_same_cancellation_again(story: Story) -> None:
    """Redelivered it is quiet: one event, one Act."""
    await story.submit("R1", pay("A"))
    meta = story.meta(body=b"cancel")
    for _ in range(2):
        await story.ledger.cancel_run(meta, "R1", "a mistake")
    assert len(await story.told("run.cancelled", "run.cancel_refused")) == 1


async def test_cancelling_and_releasing_at_once(story: Story) -> None:
    """Whoever comes first decides; there is never a released Run of withdrawn payments."""
    for number in range(5):
        run_id = f"R{number}"
        await story.submit(run_id, pay(f"A{number}"), period=f"2015-0{number + 1}")
        await story.ledger.propose_release(MAKER, run_id)
        await asyncio.gather(
            story.ledger.approve_release(CHECKER, run_id),
            story.ledger.cancel_run(story.meta(), run_id, "a mistake"),
            return_exceptions=True,
        )
        assert await story.run_state(run_id) == "cancelled"  # a released Run with nothing filed is cancelled too
        assert await story.tries(f"A{number}") == ["withdrawn"]
