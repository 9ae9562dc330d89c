"""The bank's word on a whole Document: refused only with proof, doubted where it is not, found again, returned; and how Runs end."""

from __future__ import annotations

import pytest

from gateway.core.bank import DocKind
from gateway.core.errors import Conflict
from gateway.core.states import DocumentEvent
from gateway.core.verdicts import Outcome, Verdict
from tests.ledger.kit import NORTH, SOUTH, Story, Word, doubted, pay

E = DocumentEvent
PAID, FAILED, UNKNOWN, RETURNED = Outcome.PAID, Outcome.FAILED, Outcome.UNKNOWN, Outcome.RETURNED


async def test_a_refused_document(story: Story) -> None:
    """It left once and nothing of it is paid: the refusal proves that nothing was booked, and its payments wait, same try, for two people."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.told()
    await story.answer(document, event=E.REFUSED, code="AM04")
    assert (await story.document(document.key)).state == "refused"
    assert await story.states() == {"A": "held", "B": "held"}
    assert await story.holds("A") == ["DOCUMENT_REFUSED"]
    assert await story.control("R1") == {NORTH: {"ordered": (2, 200_00), "held": (2, 200_00)}}
    (event,) = await story.told()
    assert (event.name, event.data.code, event.data.document) == ("document.refused", "AM04", document.reference)
    assert await story.free("R1", "DOCUMENT_REFUSED") == 2
    (again,) = await story.dispatch()
    assert (again.count, again.reference == document.reference) == (2, False)
    await story.all_paid(again)
    rows = await story.rows("SELECT try_no, state, document_key FROM attempt")
    assert [tuple(row) for row in rows] == [(1, "paid", again.key)] * 2


@pytest.mark.parametrize("why", ["left twice", "partly paid", "partly returned"])
async def test_a_refusal_that_proves_nothing(story: Story, why: str) -> None:
    """After a second sending, or once a line is booked, a refusal may be of the other copy: in doubt, and the rest unknown."""
    document = await story.paying("R1", pay("A"), pay("B"))
    if why == "left twice":
        for event in (E.DOUBTED, E.NOT_FOUND):
            await story.ledger.mark_travelled(document.key, await story.epoch(), event)
        await story.travel(document)
    else:
        await story.answer(document, Word("A", PAID))
        if why == "partly returned":
            await story.answer(None, Word("A", RETURNED), kind=DocKind.RETURN)
    await story.told()
    await story.answer(document, event=E.REFUSED, code="AM04")
    assert (await story.document(document.key)).state == "in_doubt"
    assert await story.tries("B") == ["unknown"]
    assert await story.holds("B") == []
    assert "document.in_doubt" in [event.name for event in await story.told()]


async def test_a_refusal_with_a_paid_line_in_the_same_answer(story: Story) -> None:
    """The lines are applied first: a Document that is refused and paid at once is in doubt."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", PAID), event=E.REFUSED)
    assert (await story.document(document.key)).state == "in_doubt"
    assert await story.states() == {"A": "paid", "B": "unknown"}


async def test_a_refusal_after_a_sending_that_surely_failed(story: Story) -> None:
    """A first sending that ended before its first byte does not take the proof from a later refusal."""
    await story.submit("R1", pay("A"))
    await story.release("R1")
    (document,) = await story.file()
    await story.seal(document)
    await story.travel(document, E.SURELY_NOT_SENT)
    await story.travel(document)
    await story.answer(await story.document(document.key), event=E.REFUSED)
    assert ((await story.document(document.key)).state, await story.tries("A")) == ("refused", ["held"])


async def test_lines_told_as_failed_stay_failed_in_a_refused_document(story: Story) -> None:
    """A refusal takes only what has no word of its own."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", FAILED), event=E.REFUSED)
    assert await story.states() == {"A": "failed", "B": "held"}


async def test_a_duplicate_is_never_a_failure(story: Story) -> None:
    """The bank calls the Document a repeat: it may hold a first copy, so everything in it is unknown until it says more."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, event=E.DOUBTED, code="DU03")
    assert (await story.document(document.key)).state == "in_doubt"
    assert await story.states() == {"A": "unknown", "B": "unknown"}
    assert await story.control("R1") == {NORTH: {"ordered": (2, 200_00), "unknown": (2, 200_00)}}
    await story.answer(document, Word("A", PAID), Word("B", FAILED), event=E.FOUND)
    assert await story.states() == {"A": "paid", "B": "failed"}
    assert (await story.document(document.key)).state == "receipted"


async def test_a_duplicate_line_is_unknown(story: Story) -> None:
    """A line called a repeat is unknown, told so, has no Case, cannot be paid again, and becomes paid on the bank's word."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", UNKNOWN, verdict=Verdict.DUPLICATE))
    assert await story.results() == [("A", 1, 1, "unknown")]
    assert await story.rows("SELECT * FROM case_file") == []
    await story.repay("A")
    assert await story.tries("A") == ["unknown"]
    await story.answer(document, Word("A", PAID))
    assert await story.results() == [("A", 1, 2, "paid")]


async def test_doubt_twice_is_doubt(story: Story) -> None:
    """A Document that our own wire left in doubt and the bank calls a repeat: in doubt all along, its payments unknown."""
    document = await story.paying("R1", pay("A"))
    await story.ledger.mark_travelled(document.key, await story.epoch(), E.DOUBTED)
    await story.answer(document, event=E.DOUBTED, code="DU03")
    assert (await story.document(document.key)).state == "in_doubt"
    assert await story.tries("A") == ["unknown"]


async def test_refused_while_in_doubt(story: Story) -> None:
    """An answer to the inquiry refuses the whole, which left once: proof, and the payments wait."""
    document = await story.paying("R1", pay("A"))
    await story.ledger.mark_travelled(document.key, await story.epoch(), E.DOUBTED)
    await story.answer(document, event=E.REFUSED)
    assert ((await story.document(document.key)).state, await story.tries("A")) == ("refused", ["held"])


async def test_a_refusal_ends_a_doubt(story: Story) -> None:
    """Called a repeat at first and then refused as a whole, having left once: what was unknown is surely unpaid, and told so."""
    document = await story.paying("R1", pay("A"), pay("B"), pay("C"))
    await story.answer(document, Word("C", FAILED), event=E.DOUBTED, code="DU03")
    assert await story.states() == {"A": "unknown", "B": "unknown", "C": "failed"}
    await story.told()
    await story.answer(document, event=E.REFUSED, code="FF01")
    assert (await story.document(document.key)).state == "refused"
    assert await story.states() == {"A": "failed", "B": "failed", "C": "failed"}
    assert await story.results() == [("A", 1, 1, "failed"), ("B", 1, 1, "failed")]
    rows = await story.rows("SELECT state, verdict FROM case_file ORDER BY instruction_key")
    assert [tuple(row) for row in rows] == [("open", "NO_REASON"), ("open", "NO_REASON"), ("open", "CARD_LOST")]
    await story.repay("A")
    assert await story.tries("A") == ["failed", "new"]


async def test_a_refusal_without_proof_ends_no_doubt(story: Story) -> None:
    """With one line paid the refusal proves nothing: what was unknown stays so."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", PAID), event=E.DOUBTED)
    await story.answer(document, event=E.REFUSED)
    assert ((await story.document(document.key)).state, await story.tries("B")) == ("in_doubt", ["unknown"])


async def test_a_return(story: Story) -> None:
    """Money that came back: returned with the fen that went out, told with the next number, and its Case says what to do."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.all_paid(document)
    await story.told()
    applied = await story.answer(None, Word("A", RETURNED), kind=DocKind.RETURN)
    assert dict(applied.moved) == {"returned": 1}
    assert await story.results() == [("A", 1, 2, "returned")]
    assert await story.control("R1") == {NORTH: {"ordered": (2, 200_00), "returned": (1, 100_00), "paid": (1, 100_00)}}
    assert await story.value("SELECT state FROM case_file") == "open"
    assert (await story.answer(None, Word("A", RETURNED), kind=DocKind.RETURN)).quiet == 1


async def test_a_part_of_a_payment_cannot_return(story: Story) -> None:
    """A return of another amount is parked."""
    document = await story.paying("R1", pay("A"))
    await story.all_paid(document)
    await story.answer(None, Word("A", RETURNED, 50_00), kind=DocKind.RETURN)
    assert (await story.tries("A"), [code for code, _ in await story.parked()]) == (["paid"], ["CONFLICT"])


async def test_results_are_numbered_for_each_payment(story: Story) -> None:
    """Sequence numbers go 1, 2, 3, ... over all tries of an instruction, so that a late message can be told from a new one."""
    document = await story.paying("R1", pay("A"))
    for outcome in (UNKNOWN, FAILED):
        await story.answer(document, Word("A", outcome))
    for _ in range(2):
        await story.repay("A")
        await story.release(await story.value("SELECT run_id FROM run WHERE state = 'receiving'"))
        (document,) = await story.dispatch()
        await story.answer(document, Word("A", FAILED))
    assert await story.results() == [
        ("A", 1, 1, "unknown"),
        ("A", 1, 2, "failed"),
        ("A", 2, 3, "failed"),
        ("A", 3, 4, "failed"),
    ]


# ---------------------------------------------------------------------------------------------------------------- closing


async def test_a_run_closes_when_all_is_told(story: Story) -> None:
    """Not while one line is batched or unknown, not while one is parked; then once, with the figures by state."""
    document = await story.paying("R1", pay("A"), pay("B", 200_00), pay("C", 400_00))
    assert await story.ledger.close_runs() == []
    await story.answer(document, Word("A", PAID), Word("B", UNKNOWN))
    assert await story.ledger.close_runs() == []
    await story.answer(document, Word("B", FAILED))
    assert await story.ledger.close_runs() == []
    await story.answer(document, Word("C", PAID, 1))
    await story.answer(document, Word("C", PAID))
    assert await story.ledger.close_runs() == []
    await story.ledger.close_parked("mei", await story.value("SELECT key FROM parked"), "their slip")
    await story.told()
    assert await story.ledger.close_runs() == ["R1"]
    (event,) = await story.told()
    assert event.name == "run.closed"
    assert (event.data.ordered.count, event.data.ordered.total) == (3, 700_00)
    shares = {part: (share.count, share.total) for part, share in event.data.by_state.items()}
    assert shares == {"paid": (2, 500_00), "failed": (1, 200_00)}
    assert (await story.ledger.close_runs(), await story.run_state("R1")) == ([], "closed")


async def test_a_run_waits_for_all_its_banks(story: Story) -> None:
    """One bank's answers do not close it."""
    await story.submit("R1", pay("A"), pay("S", bank=SOUTH))
    await story.release("R1")
    for bank in (NORTH, SOUTH):
        (document,) = await story.dispatch(bank)
        assert await story.ledger.close_runs() == []
        await story.all_paid(document)
    assert await story.ledger.close_runs() == ["R1"]


async def test_a_run_with_nothing_to_send_closes(story: Story) -> None:
    """Everything withdrawn before it was filed: released to closed."""
    await story.submit("R1", pay("A"))
    await story.release("R1")
    await story.withdraw("A")
    assert await story.ledger.close_runs() == ["R1"]


async def test_a_run_that_is_not_released_does_not_close(story: Story) -> None:
    """Accepted with nothing pending is not the end of it: nobody let it go."""
    await story.submit("R1", doubted(1, pay("A"), "NAME"))
    assert await story.ledger.close_runs() == []


async def test_held_payments_are_carried_forward(story: Story) -> None:
    """They do not keep their Run open, and once it is closed they cannot be let go where nobody would ever send them."""
    await story.submit("R1", pay("A"), doubted(2, pay("B"), "NAME"))
    await story.release("R1")
    (document,) = await story.dispatch()
    await story.all_paid(document)
    assert await story.ledger.close_runs() == ["R1"]
    with pytest.raises(Conflict):
        await story.ledger.propose_free("mei", "R1")
    assert await story.tries("B") == ["held"]
    await story.withdraw("B")
    assert await story.tries("B") == ["withdrawn"]
