"""A final state is never overwritten: what contradicts it is parked, and whatever of that payment has not left stays here."""

from __future__ import annotations

import pytest

from gateway.core.bank import DocKind
from gateway.core.ledger import OutDocument
from gateway.core.states import ATTEMPT, AttemptState, DocumentEvent
from gateway.core.verdicts import Outcome
from tests.ledger.kit import CHECKER, MAKER, NORTH, SOUTH, Story, Word, pay

PAID, FAILED, REFUSED, UNKNOWN, RETURNED = (
    Outcome.PAID, Outcome.FAILED, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.RETURNED,
)  # fmt: skip
WORDS = (PAID, FAILED, REFUSED, UNKNOWN, RETURNED)
#: first word, second word → the state in the end, and whether the second is parked. All pairs, typed in by hand from the design.
PAIRS: dict[tuple[Outcome, Outcome], tuple[str, bool]] = {
    (PAID, PAID): ("paid", False),
    (PAID, FAILED): ("paid", True),
    (PAID, REFUSED): ("paid", True),
    (PAID, UNKNOWN): ("paid", False),  # a doubt that came after the answer
    (PAID, RETURNED): ("returned", False),
    (FAILED, PAID): ("failed", True),
    (FAILED, FAILED): ("failed", False),
    (FAILED, REFUSED): ("failed", True),
    (FAILED, UNKNOWN): ("failed", False),
    (FAILED, RETURNED): ("failed", True),
    (REFUSED, PAID): ("refused", True),
    (REFUSED, FAILED): ("refused", True),
    (REFUSED, REFUSED): ("refused", False),
    (REFUSED, UNKNOWN): ("refused", True),
    (REFUSED, RETURNED): ("refused", True),
    (UNKNOWN, PAID): ("paid", False),
    (UNKNOWN, FAILED): ("failed", False),
    (UNKNOWN, REFUSED): ("failed", False),  # nothing was booked: that ends the doubt
    (UNKNOWN, UNKNOWN): ("unknown", False),
    (UNKNOWN, RETURNED): ("returned", False),
    (RETURNED, PAID): ("returned", True),
    (RETURNED, FAILED): ("returned", True),
    (RETURNED, REFUSED): ("returned", True),
    (RETURNED, UNKNOWN): ("returned", False),
    (RETURNED, RETURNED): ("returned", False),
}


def test_the_pairs_are_all_pairs() -> None:
    """Nothing is left out of the table."""
    assert set(PAIRS) == {(first, second) for first in WORDS for second in WORDS}


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
async def test_a_second_word(story: Story, pair: tuple[Outcome, Outcome]) -> None:
    """It is applied where the table has an arrow, quiet where it says what is known, and parked where it contradicts."""
    state, parked = PAIRS[pair]
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", pair[0]))
    before = await story.tries("A")
    await story.told()
    applied = await story.answer(document, Word("A", pair[1]))
    assert (await story.tries("A"), applied.parked) == ([state], int(parked))
    assert [code for code, _ in await story.parked()] == ["CONFLICT"] * parked
    assert bool(await story.results()) is (before != [state])
    arrows = ATTEMPT[AttemptState(before[0])].values()
    assert before == [state] or AttemptState(state) in arrows


async def second_try(story: Story, *, stage: str, bank: str = NORTH) -> tuple[OutDocument, OutDocument | None]:
    """A payment that failed and is ordered again: the first Document, and the second at ``stage``."""
    first = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(first, Word("A", FAILED), Word("B", FAILED))
    await story.repay("A")
    await story.repay("B")
    run = await story.value("SELECT run_id FROM run WHERE kind = 'second_payment'")
    if stage == "new":
        return first, None
    await story.ledger.propose_release(MAKER, run)
    if stage == "ready":
        return first, None
    await story.ledger.approve_release(CHECKER, run)
    (second,) = await story.file(bank)
    if stage in ("sealed", "sent"):
        await story.seal(second)
    if stage == "sent":
        await story.travel(second)
    return first, second


@pytest.mark.parametrize("stage", ["new", "ready", "open", "sealed"])
@pytest.mark.parametrize("word", [PAID, RETURNED])
async def test_a_late_ok_stops_the_second_try(story: Story, stage: str, word: Outcome) -> None:
    """The true OK comes after the false FAIL: the second try is held wherever it stands, and its sealed Document is void."""
    first, second = await second_try(story, stage=stage)
    await story.answer(first, Word("A#1", word))
    assert (await story.tries("A"), await story.holds("A")) == (["failed", "held"], ["CONTRADICTION"])
    if second is None:
        assert (await story.tries("B"))[-1] == stage
        return
    assert (await story.document(second.key)).state == "void"
    assert await story.ledger.mark_sending(second.key, await story.epoch()) is False
    assert await story.tries("B") == ["failed", "ready"]
    (again,) = await story.dispatch()
    lines = await story.ledger.pay_lines(again.key, 0, 10)
    assert [line.key for line in lines] == [await story.key("B")]


async def test_a_late_ok_after_the_second_has_left(story: Story) -> None:
    """What has left cannot be held: the contradiction is parked for a person and nothing is overwritten."""
    first, second = await second_try(story, stage="sent")
    assert second is not None
    await story.answer(first, Word("A#1", PAID))
    assert await story.tries("A") == ["failed", "batched"]
    assert len(await story.parked()) == 1
    await story.answer(second, Word("A", PAID))
    assert await story.tries("A") == ["failed", "paid"]


async def test_a_contradiction_with_another_amount_stops_it_too(story: Story) -> None:
    """An OK that is parked for its amount still says that money moved: the second try may not leave."""
    first, _ = await second_try(story, stage="sealed")
    await story.answer(first, Word("A#1", PAID, 99_99))
    assert await story.tries("A") == ["failed", "held"]


async def test_two_words_at_once_stop_it_too(story: Story) -> None:
    """A Document that tells OK and FAIL of the first try is parked, and the second try may not leave."""
    first, _ = await second_try(story, stage="sealed")
    await story.answer(first, Word("A#1", PAID), Word("A#1", FAILED))
    assert await story.tries("A") == ["failed", "held"]


async def test_a_held_try_gets_the_reason_as_well(story: Story) -> None:
    """Freed from another reason only, a contradicted payment still does not go."""
    first, _ = await second_try(story, stage="ready")
    run = await story.value("SELECT run_id FROM run WHERE kind = 'second_payment'")
    key = await story.key("A")
    await story.change(
        "INSERT INTO hold (attempt_key, reason, what, opened_ms) VALUES (:key, 'DEATH', 'asked', 1)", key=key
    )
    await story.answer(first, Word("A#1", PAID))
    await story.free(run, "DEATH")
    assert (await story.tries("A"), await story.holds("A")) == (["failed", "held"], ["CONTRADICTION"])


async def test_a_contradiction_keeps_the_set_open(story: Story) -> None:
    """While it is parked nothing of that Document is paid again and its Run does not close."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", PAID), Word("B", FAILED))
    await story.answer(document, Word("A", FAILED))
    await story.told()
    await story.repay("B")
    (event,) = await story.told()
    assert (event.name, "parked" in event.data.items[0].what) == ("instruction.repay_refused", True)
    assert await story.ledger.close_runs() == []
    key = await story.value("SELECT key FROM parked")
    await story.ledger.close_parked(MAKER, key, "a slip of the bank, see letter")
    await story.repay("B")
    assert await story.tries("B") == ["failed", "new"]
    assert await story.ledger.close_runs() == ["R1"]


async def test_a_contradiction_of_the_first_try_stops_a_third(story: Story) -> None:
    """The first try's late OK is parked: although the second try failed and its own set is closed, there is no third."""
    first, second = await second_try(story, stage="sent")
    assert second is not None
    await story.answer(second, Word("A", FAILED), Word("B", PAID))
    await story.answer(first, Word("A#1", PAID))
    await story.told()
    await story.repay("A")
    (event,) = await story.told()
    assert (event.name, await story.tries("A")) == ("instruction.repay_refused", ["failed", "failed"])


async def test_a_refused_document_that_is_told_as_paid(story: Story) -> None:
    """After a refusal of the whole the payments wait; the bank's late OK for one of them holds that one for a second reason."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, event=DocumentEvent.REFUSED, code="NOFUNDS")
    assert await story.states() == {"A": "held", "B": "held"}
    await story.answer(document, Word("A", PAID))
    assert await story.holds("A") == ["DOCUMENT_REFUSED", "CONTRADICTION"]
    await story.free("R1", "DOCUMENT_REFUSED")
    assert await story.states() == {"A": "held", "B": "ready"}


@pytest.mark.parametrize("stage", ["ready", "open", "sealed"])
async def test_the_old_document_is_told_as_paid_after_all(story: Story, stage: str) -> None:
    """Refused, freed by two people and filed anew; then the first Document's OK comes: the same try is held before it leaves."""
    old = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(old, event=DocumentEvent.REFUSED, code="NOFUNDS")
    await story.free("R1")
    new = (await story.file())[0] if stage != "ready" else None
    if new is not None and stage == "sealed":
        await story.seal(new)
    await story.answer(old, Word("A", PAID))
    assert (await story.states(), await story.holds("A")) == ({"A": "held", "B": "ready"}, ["CONTRADICTION"])
    assert len(await story.parked()) == 1
    if new is not None:
        assert (await story.document(new.key)).state == "void"


async def test_a_line_refusal_after_the_documents(story: Story) -> None:
    """The bank refuses the file and then each line of it: that says nothing new, and the same try can still be freed."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, event=DocumentEvent.REFUSED, code="NOFUNDS")
    applied = await story.answer(document, Word("A", REFUSED))
    assert (applied.quiet, applied.parked, await story.tries("A")) == (1, 0, ["held"])
    await story.free("R1")
    assert await story.tries("A") == ["ready"]


async def test_a_return_after_the_second_was_paid(story: Story) -> None:
    """A return names the try that was paid: the first, failed one is contradicted by it, the second is returned."""
    _, second = await second_try(story, stage="sent")
    assert second is not None
    await story.answer(second, Word("A", PAID), Word("B", PAID))
    await story.answer(None, Word("A#1", RETURNED), kind=DocKind.RETURN)
    assert await story.tries("A") == ["failed", "paid"]
    assert [code for code, _ in await story.parked()] == ["CONFLICT"]
    await story.answer(None, Word("A", RETURNED), kind=DocKind.RETURN)
    assert await story.tries("A") == ["failed", "returned"]


async def test_a_second_try_at_another_bank_is_stopped_too(story: Story) -> None:
    """The contradiction comes from the first bank, the unsent try waits at the other."""
    first = await story.paying("R1", pay("A"))
    await story.answer(first, Word("A", FAILED))
    await story.repay(
        "A",
        {
            "verifier": "wu",
            "approver": CHECKER,
            "evidence": "form 7",
            "account": {"bank": SOUTH, "account": "622848099"},
        },
    )
    await story.release(await story.value("SELECT run_id FROM run WHERE kind = 'second_payment'"))
    (second,) = await story.file(SOUTH)
    await story.seal(second)
    await story.answer(first, Word("A#1", PAID))
    assert await story.tries("A") == ["failed", "held"]
    assert (await story.document(second.key)).state == "void"
    assert await story.file(SOUTH) == []
