"""A Document in doubt and its told lines, in both orders: the last line's word ends the doubt, and a doubt that comes later is none."""

from __future__ import annotations

import pytest

from gateway.core.bank import DocKind
from gateway.core.ledger import OutDocument
from gateway.core.states import DocumentEvent
from gateway.core.verdicts import Outcome
from tests.ledger.kit import NORTH, Story, Word, pay

E = DocumentEvent
PAID, FAILED, RETURNED = Outcome.PAID, Outcome.FAILED, Outcome.RETURNED
REPEATED = "DUPL"


async def sent_twice(story: Story) -> OutDocument:
    """Two payments of a Run that left in a Document, were not found, and left again in the same."""
    document = await story.paying("R1", pay("A"), pay("B"))
    for event in (E.DOUBTED, E.NOT_FOUND):
        await story.ledger.mark_travelled(document.key, await story.epoch(), event)
    await story.travel(document)
    await story.told()
    return await story.document(document.key)


async def standing(story: Story, document: OutDocument) -> tuple[str, str | None]:
    """State and the code of the last word."""
    (row,) = await story.rows("SELECT state, code FROM document WHERE key = :key", key=document.key)
    return row.state, row.code


@pytest.mark.parametrize("last", [PAID, FAILED])
async def test_a_repeat_told_before_the_result(story: Story, last: Outcome) -> None:
    """DUPL, then the lines in two parts: in doubt and unknown until the bank speaks of the Document, then as on any day."""
    document = await sent_twice(story)
    await story.answer(document, event=E.DOUBTED, code=REPEATED)
    assert (await standing(story, document), await story.states()) == (
        ("in_doubt", REPEATED),
        {"A": "unknown", "B": "unknown"},
    )
    await story.answer(document, Word("A", PAID))
    assert (await story.document(document.key)).state == "in_doubt"
    await story.answer(document, Word("B", last))
    assert (await standing(story, document), await story.tries("B")) == (("receipted", None), [str(last)])
    names = [event.name for event in await story.told()]
    assert names == ["document.in_doubt", "payment.results", "payment.results", "document.receipted"]
    assert await story.ledger.close_runs() == ["R1"]


async def test_a_repeat_told_after_the_result(story: Story) -> None:
    """Every line has its final word: the late answer to our second copy moves nothing, tells nothing, and is kept."""
    document = await sent_twice(story)
    await story.answer(document, Word("A", PAID), Word("B", FAILED), event=E.RECEIPTED)
    assert (await story.document(document.key)).state == "receipted"
    await story.told()
    await story.answer(document, event=E.DOUBTED, code=REPEATED)
    assert await standing(story, document) == ("receipted", REPEATED)
    assert await story.states() == {"A": "paid", "B": "failed"}
    assert await story.told() == []
    assert len(await story.acts("document.noted")) == 1
    assert await story.ledger.close_runs() == ["R1"]


async def test_a_repeat_told_between_two_parts_of_the_result(story: Story) -> None:
    """What is told stays, what is not is unknown; the last part ends the doubt."""
    document = await sent_twice(story)
    await story.answer(document, Word("A", PAID), event=E.RECEIPTED)
    await story.answer(document, event=E.DOUBTED, code=REPEATED)
    assert ((await story.document(document.key)).state, await story.states()) == (
        "in_doubt",
        {"A": "paid", "B": "unknown"},
    )
    await story.answer(document, Word("B", PAID), event=E.FOUND)
    assert ((await story.document(document.key)).state, await story.states()) == (
        "receipted",
        {"A": "paid", "B": "paid"},
    )


@pytest.mark.parametrize("before", ["sent", "in doubt"])
async def test_a_repeat_told_with_the_result(story: Story, before: str) -> None:
    """One Document says both, and every line is final: it is receipted, whether a doubt was there or not."""
    document = await sent_twice(story)
    if before == "in doubt":
        await story.answer(document, event=E.DOUBTED, code=REPEATED)
    await story.answer(document, Word("A", PAID), Word("B", PAID), event=E.DOUBTED, code=REPEATED)
    assert await standing(story, document) == ("receipted", REPEATED)
    assert await story.states() == {"A": "paid", "B": "paid"}


async def test_a_repeat_told_of_what_waits_to_leave_again(story: Story) -> None:
    """Not found, sealed again, and then a result comes of the first copy: it does not leave a second time."""
    document = await story.paying("R1", pay("A"), pay("B"))
    for event in (E.DOUBTED, E.NOT_FOUND):
        await story.ledger.mark_travelled(document.key, await story.epoch(), event)
    await story.answer(document, Word("A", PAID), Word("B", PAID), event=E.DOUBTED)
    assert (await story.document(document.key)).state == "receipted"
    assert not await story.ledger.mark_sending(document.key, await story.epoch())


@pytest.mark.parametrize("all_of_it", [False, True])
async def test_a_return_of_what_waits_to_leave_again(story: Story, all_of_it: bool) -> None:
    """An account notice names no Document, but the money that came back had been there: nothing of it leaves a second time."""
    document = await story.paying("R1", pay("A"), pay("B"))
    for event in (E.DOUBTED, E.NOT_FOUND):
        await story.ledger.mark_travelled(document.key, await story.epoch(), event)
    words = [Word("A", RETURNED), Word("B", RETURNED)]
    await story.answer(None, *words[: 2 if all_of_it else 1], kind=DocKind.RETURN)
    assert await story.tries("A") == ["returned"]
    if all_of_it:
        assert (await story.document(document.key)).state == "receipted"
    else:
        assert ((await story.document(document.key)).state, await story.tries("B")) == ("in_doubt", ["unknown"])
    assert not await story.ledger.mark_sending(document.key, await story.epoch())


async def test_a_return_of_the_last_line_ends_a_doubt(story: Story) -> None:
    """Nobody knew of one line, and its money came back: nothing of the Document is in doubt any more."""
    document = await sent_twice(story)
    await story.answer(document, Word("A", PAID), event=E.RECEIPTED)
    await story.answer(document, event=E.DOUBTED, code=REPEATED)
    await story.answer(None, Word("B", RETURNED), kind=DocKind.RETURN)
    assert (await story.document(document.key)).state == "receipted"
    assert await story.control("R1") == {NORTH: {"ordered": (2, 200_00), "paid": (1, 100_00), "returned": (1, 100_00)}}


async def test_a_refusal_of_the_second_copy_after_the_result(story: Story) -> None:
    """It left twice and all is told: the refusal is of the other copy, and no doubt."""
    document = await sent_twice(story)
    await story.answer(document, Word("A", PAID), Word("B", PAID), event=E.RECEIPTED)
    await story.answer(document, event=E.REFUSED, code="FF01")
    assert (await standing(story, document), await story.states()) == (
        ("receipted", "FF01"),
        {"A": "paid", "B": "paid"},
    )


async def test_a_refusal_of_the_only_copy_after_the_result_is_a_contradiction(story: Story) -> None:
    """It left once, was paid, and is refused as a whole: in doubt, for people; the lines keep their word."""
    document = await story.paying("R1", pay("A"))
    await story.all_paid(document)
    await story.answer(document, event=E.REFUSED, code="AM04")
    assert (await standing(story, document), await story.tries("A")) == (("in_doubt", "AM04"), ["paid"])
