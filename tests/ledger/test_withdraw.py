"""A payment is taken back while it has not left; afterwards the payer is told where it went."""

from __future__ import annotations

import pytest

from gateway.core.states import DocumentEvent
from gateway.core.verdicts import Outcome
from tests.ledger.kit import NORTH, OTHER_PAYER, PAYER, Story, Word, doubted, pay


async def withdrawn(story: Story, id_: str, payer: str = PAYER) -> tuple[str, str, str]:
    """(event, code, words) that answer a withdrawal."""
    await story.told()
    await story.withdraw(id_, payer)
    (event,) = await story.told()
    (item,) = event.data.items
    assert (event.payer, item.instruction_id) == (payer, id_)
    return event.name.removeprefix("instruction."), item.code, item.what


@pytest.mark.parametrize("stage", ["ready", "released", "held", "open", "sealed", "surely not sent", "second"])
async def test_what_has_not_left_is_withdrawn(story: Story, stage: str) -> None:
    """Ready, held, filed, even sealed: it is withdrawn, and no file holds it any more."""
    await story.submit("R1", doubted(1, pay("A"), "NAME") if stage == "held" else pay("A"), pay("B"))
    if stage not in ("ready", "held"):
        await story.release("R1")
    if stage in ("open", "sealed", "surely not sent", "second"):
        (document,) = await story.file()
        if stage != "open":
            await story.seal(document)
        if stage == "surely not sent":
            await story.travel(document, DocumentEvent.SURELY_NOT_SENT)
        if stage == "second":
            await story.travel(document)
            await story.answer(document, Word("A", Outcome.FAILED), Word("B", Outcome.PAID))
            await story.repay("A")
    assert await withdrawn(story, "A") == ("withdrawn", "", "died")
    assert (await story.tries("A"))[-1] == "withdrawn"
    assert await story.holds("A") == []
    assert (await story.control("R1"))[NORTH]["withdrawn"] == (1, 100_00)
    (act,) = await story.acts("instruction.withdrawn")
    assert (act.actor, act.subject) == (f"payer:{PAYER}", f"instruction:{PAYER}:A")
    if stage in ("ready", "held"):
        await story.release("R1")
    if stage != "second":
        (document,) = await story.dispatch()
        lines = await story.ledger.pay_lines(document.key, 0, 10)
        assert [line.key for line in lines] == [await story.key("B")]


@pytest.mark.parametrize("event", [None, DocumentEvent.DELIVERED, DocumentEvent.RECEIPTED, DocumentEvent.DOUBTED])
async def test_too_late(story: Story, event: DocumentEvent | None) -> None:
    """From the moment the sending began: refused, with the name of the Document."""
    await story.submit("R1", pay("A"))
    await story.release("R1")
    (document,) = await story.file()
    await story.seal(document)
    await story.ledger.mark_sending(document.key, await story.epoch())
    if event:
        await story.ledger.mark_travelled(document.key, await story.epoch(), event)
    name, code, what = await withdrawn(story, "A")
    assert (name, code, what) == ("withdraw_refused", "POLICY", f"too late, sent in {document.name}")
    assert await story.tries("A") == ["batched"]


@pytest.mark.parametrize("outcome", [Outcome.PAID, Outcome.FAILED, Outcome.UNKNOWN, Outcome.RETURNED])
async def test_too_late_after_an_answer(story: Story, outcome: Outcome) -> None:
    """What the bank has told of is not withdrawn; the refusal says what it is."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", outcome))
    name, code, what = await withdrawn(story, "A")
    assert (name, code, what) == (
        "withdraw_refused",
        "POLICY",
        f"too late, sent in {document.name}: the payment is {outcome}",
    )
    assert await story.tries("A") == [outcome.value]


async def test_what_is_not_there(story: Story) -> None:
    """Unknown ids, another payer's, and payments of a Run that is not accepted yet."""
    await story.submit("R1", pay("A"))
    await story.header("R2", 2, 200_00, chunks=2, period="2015-07")
    await story.chunk("R2", 1, pay("C"))
    for id_, payer in (("X", PAYER), ("A", OTHER_PAYER), ("C", PAYER)):
        assert (await withdrawn(story, id_, payer))[:2] == ("withdraw_refused", "UNKNOWN_REF")
    assert await story.states() == {"A": "ready"}


async def test_twice(story: Story) -> None:
    """The same message again is quiet; another message hears that it is withdrawn."""
    await story.submit("R1", pay("A"))
    await story.told()
    meta = story.meta(body=b"withdraw")
    for _ in range(2):
        await story.ledger.withdraw(meta, "A", "died")
    assert len(await story.told()) == 1
    assert (await withdrawn(story, "A"))[0] == "withdraw_refused"


async def test_a_withdrawn_second_payment_ends_its_case(story: Story) -> None:
    """Nobody is to mend what is not owed any more."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", Outcome.FAILED))
    await story.repay("A")
    await story.withdraw("A")
    assert await story.tries("A") == ["failed", "withdrawn"]
    assert await story.value("SELECT state FROM case_file") == "closed"


async def test_one_withdrawal_takes_only_one(story: Story) -> None:
    """A void Document gives the others back, whoever ordered them; nobody else is told anything."""
    await story.submit("R1", pay("A"))
    await story.submit("R2", pay("B"), payer=OTHER_PAYER)
    await story.release("R1")
    await story.release("R2")
    (document,) = await story.file()
    await story.seal(document)
    await story.told()
    await story.withdraw("A")
    assert [(event.payer, event.name) for event in await story.told()] == [(PAYER, "instruction.withdrawn")]
    assert await story.tries("B", OTHER_PAYER) == ["ready"]
