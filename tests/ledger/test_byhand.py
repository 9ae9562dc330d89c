"""By hand at the two doors: a sealed Document that two people export, and an arrived one that they have looked at again."""

from __future__ import annotations

import pytest

from gateway.core.errors import Code, Conflict, Halt, Refused
from gateway.core.ledger import OutDocument
from gateway.core.states import DocumentEvent
from gateway.core.verdicts import Outcome
from gateway.edge.ledger import lanes
from gateway.edge.ledger.byhand import EXPORT, RETAKE
from tests.ledger.kit import BOTH, CHECKER, MAKER, NORTH, PAYER, Story, Word, pay

E = DocumentEvent
WHY = "the bank's server is away"


async def sealed(story: Story) -> OutDocument:
    """A sealed Document of two payments."""
    await story.submit("R1", pay("A"), pay("B"))
    await story.release("R1")
    (document,) = await story.file()
    await story.seal(document)
    await story.told()
    return await story.document(document.key)


async def exported(story: Story) -> OutDocument:
    """The same, exported by two people."""
    document = await sealed(story)
    await story.ledger.propose_export(MAKER, document.reference, WHY)
    await story.ledger.approve_export(CHECKER, document.reference)
    return await story.document(document.key)


async def test_two_people_export(story: Story) -> None:
    """In doubt and exported, the same bytes; the payer hears of it; its wire takes it no more."""
    before = await sealed(story)
    proposed = await story.ledger.propose_export(MAKER, before.reference, WHY)
    assert (proposed["name"], proposed["digest"], proposed["count"]) == (before.name, before.digest, 2)
    assert (await story.document(before.key)).state == "sealed"
    handed = await story.ledger.approve_export(CHECKER, before.reference)
    assert (handed.digest, handed.seal, handed.seal_name) == (before.digest, b"seal", "s.p7s")
    after = await story.document(before.key)
    assert (after.state, after.exported, after.sendings, after.digest) == ("in_doubt", True, 0, before.digest)
    (event,) = await story.told()
    assert (event.name, event.payer, event.data.what) == ("document.in_doubt", PAYER, "exported by hand")
    assert [(a.actor, a.kind) for a in (await story.acts())[-2:]] == [
        (MAKER, "export.proposed"),
        (CHECKER, "export.approved"),
    ]
    with pytest.raises(Conflict):
        await story.ledger.propose_export(MAKER, before.reference, WHY)


async def test_it_is_never_sealed_or_sent_again(story: Story) -> None:
    """Not by a sender that read it before, not by "not found" however it comes, and it is never void."""
    document = await exported(story)
    epoch = await story.epoch()
    assert not await story.ledger.mark_sending(document.key, epoch)
    story.clock.advance(10 * 86_400)
    with pytest.raises(Refused) as refused:
        await story.ledger.mark_travelled(document.key, await story.epoch(), E.NOT_FOUND)
    assert refused.value.code is Code.POLICY
    with pytest.raises(Halt):
        await story.do(lambda tx: lanes.void_document(tx, document, "not wanted"))
    await story.withdraw("A")
    assert [event.name for event in await story.told("instruction.withdraw_refused")] == [
        "instruction.withdraw_refused"
    ]
    assert (await story.document(document.key)).state == "in_doubt"


async def test_a_sender_that_is_on_its_way_comes_first(story: Story) -> None:
    """What is being sent is not exported as well, not even where the maker saw it sealed."""
    document = await sealed(story)
    await story.ledger.propose_export(MAKER, document.reference, WHY)
    assert await story.ledger.mark_sending(document.key, await story.epoch())
    with pytest.raises(Conflict):
        await story.ledger.approve_export(CHECKER, document.reference)
    assert not (await story.document(document.key)).exported
    await story.ledger.decline(CHECKER, EXPORT, f"document:{document.reference}")


async def test_its_answers_are_applied_like_any_other(story: Story) -> None:
    """The receipt ends the doubt, the result pays; conserved to the end."""
    document = await exported(story)
    await story.answer(document, event=E.FOUND)
    assert (await story.document(document.key)).state == "receipted"
    await story.all_paid(document)
    assert await story.states() == {"A": "paid", "B": "paid"}
    assert await story.ledger.close_runs() == ["R1"]


async def test_a_refusal_of_what_left_once_by_hand_is_proof(story: Story) -> None:
    """One departure by hand counts like one sending: its payments wait, same try, for two people."""
    document = await exported(story)
    await story.answer(document, event=E.REFUSED, code="AM04")
    assert ((await story.document(document.key)).state, await story.states()) == ("refused", {"A": "held", "B": "held"})


async def test_a_refusal_of_what_also_left_by_wire_is_none(story: Story) -> None:
    """Sent, not found, then exported: a refusal may be of either copy."""
    document = await sealed(story)
    await story.travel(document, E.DOUBTED)
    await story.ledger.mark_travelled(document.key, await story.epoch(), E.NOT_FOUND)
    await story.ledger.propose_export(MAKER, document.reference, WHY)
    await story.ledger.approve_export(CHECKER, document.reference)
    await story.answer(await story.document(document.key), event=E.REFUSED, code="AM04")
    assert (await story.document(document.key)).state == "in_doubt"
    assert await story.states() == {"A": "unknown", "B": "unknown"}


async def test_one_person_alone_exports_nothing(story: Story) -> None:
    """Who has both roles uses one of them; a checker proposes nothing and a maker approves nothing."""
    document = await sealed(story)
    with pytest.raises(Refused) as refused:
        await story.ledger.propose_export(CHECKER, document.reference, WHY)
    assert refused.value.code is Code.AUTH
    with pytest.raises(Conflict):
        await story.ledger.approve_export(CHECKER, document.reference)
    await story.ledger.propose_export(BOTH, document.reference, WHY)
    for actor in (BOTH, MAKER):
        with pytest.raises(Refused) as refused:
            await story.ledger.approve_export(actor, document.reference)
        assert refused.value.code is Code.AUTH
    assert (await story.document(document.key)).state == "sealed"
    with pytest.raises(Refused):
        await story.ledger.exported_again(MAKER, document.reference)


async def quarantined(story: Story, event: str = "quarantined") -> int:
    """An answer that was put away."""
    key, _ = await story.arrive("answer-1")
    await story.ledger.close_inbound(key, event, "CERT", "signed by a stranger")
    return key


@pytest.mark.parametrize(("event", "after"), [("quarantined", "archived"), ("parked", "staged")])
async def test_two_people_have_it_looked_at_again(story: Story, event: str, after: str) -> None:
    """It goes back to where the lane takes it up, and is applied by the same rules."""
    document = await story.paying("R1", pay("A"))
    key = await quarantined(story, event)
    assert await story.ledger.inbound(["archived", "verified", "staged"], NORTH) == []
    body = await story.ledger.propose_retake(MAKER, key, "the pin is there now")
    assert (body["name"], body["state"], body["code"]) == ("answer-1", event, "CERT")
    done = await story.ledger.approve_retake(CHECKER, key)
    assert (done["after"], done["maker"]) == (after, MAKER)
    (waiting,) = await story.ledger.inbound(["archived", "verified", "staged"], NORTH)
    assert (waiting.key, waiting.state) == (key, after)
    await story.apply(key, document, await story.telling([Word("A", Outcome.PAID)]))
    assert await story.states() == {"A": "paid"}
    (found,) = await story.ledger.list_arrived(key=key)
    assert (found["state"], found["code"]) == ("applied", None)


async def test_one_person_alone_takes_nothing_again(story: Story) -> None:
    """Neither role on its own; it stays in quarantine."""
    key = await quarantined(story)
    with pytest.raises(Refused):
        await story.ledger.propose_retake(CHECKER, key, "why not")
    with pytest.raises(Conflict):
        await story.ledger.approve_retake(CHECKER, key)
    await story.ledger.propose_retake(BOTH, key, "why not")
    for actor in (BOTH, MAKER, "nobody"):
        with pytest.raises(Refused) as refused:
            await story.ledger.approve_retake(actor, key)
        assert refused.value.code is Code.AUTH
    (found,) = await story.ledger.list_arrived(["quarantined"])
    assert found["key"] == key
    await story.ledger.decline(CHECKER, RETAKE, f"inbound:{key}")
    assert await story.ledger.list_proposals() == []


async def test_what_is_not_taken_again(story: Story) -> None:
    """What was applied, what is not there, and what came again meanwhile and was applied."""
    document = await story.paying("R1", pay("A"))
    key = await quarantined(story)
    twin, _ = await story.arrive("answer-1")
    await story.ledger.propose_retake(MAKER, key, "the pin is there now")
    await story.apply(twin, document, await story.telling([Word("A", Outcome.PAID)]))
    with pytest.raises(Refused) as refused:
        await story.ledger.approve_retake(CHECKER, key)
    assert refused.value.code is Code.DUP
    with pytest.raises(Conflict):
        await story.ledger.propose_retake(MAKER, twin, "again")
    with pytest.raises(Refused) as refused:
        await story.ledger.propose_retake(MAKER, 999, "again")
    assert refused.value.code is Code.UNKNOWN_REF
