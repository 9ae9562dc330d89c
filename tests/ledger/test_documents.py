"""The life of a Document that we send: only along its arrows, told to whom it concerns, void only if it surely never left."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.core.errors import Conflict, Halt, Refused
from gateway.core.ledger import OutDocument
from gateway.core.states import DOCUMENT, DocumentEvent, DocumentState
from gateway.core.verdicts import Outcome
from tests.ledger.kit import NORTH, OTHER_PAYER, PAYER, TODAY, Naming, Story, Word, pay

D, E = DocumentState, DocumentEvent
#: How a Document comes to a state by events of the lane alone.
PATHS: dict[DocumentState, tuple[DocumentEvent, ...]] = {
    D.SENDING: (),
    D.SENT: (E.DELIVERED,),
    D.RECEIPTED: (E.DELIVERED, E.RECEIPTED),
    D.IN_DOUBT: (E.DOUBTED,),
    D.REFUSED: (E.DELIVERED, E.REFUSED),
    D.SETTLED: (E.DELIVERED, E.RECEIPTED, E.SETTLED),
    D.SEALED: (E.SURELY_NOT_SENT,),
}


async def brought(story: Story, state: DocumentState) -> OutDocument:
    """A Document of two payments in ``state``."""
    await story.submit("R1", pay("A"), pay("B"))
    await story.release("R1")
    (document,) = await story.file()
    if state is not D.OPEN:
        await story.seal(document)
        if state is not D.SEALED:
            assert await story.ledger.mark_sending(document.key, await story.epoch())
            for event in PATHS[state]:
                await story.ledger.mark_travelled(document.key, await story.epoch(), event)
    found = await story.document(document.key)
    assert found.state == state
    return found


@pytest.mark.parametrize("state", [state for state in D if state is not D.VOID])
async def test_only_the_arrows_of_the_table(story: Story, state: DocumentState) -> None:
    """From each state every event either goes where the table says or leaves everything as it was; sealing and sending likewise."""
    document = await brought(story, state)
    epoch = await story.epoch()
    for event in E:
        if event in DOCUMENT[state]:
            continue
        assert await story.ledger.mark_travelled(document.key, epoch, event) == state
    assert await story.ledger.mark_sealed(document.key, epoch, "d" * 64, 9, None, "") is (state is D.OPEN)
    if state is not D.OPEN:
        assert await story.document(document.key) == document
    assert await story.ledger.mark_sending(document.key, epoch) is (state in (D.SEALED, D.OPEN))


@pytest.mark.parametrize(("state", "event"), list(product(PATHS, E)))
async def test_each_arrow_leads_where_it_says(sqlite_story: Story, state: DocumentState, event: DocumentEvent) -> None:
    """Every arrow of the table from a state that a lane reaches is taken, and its code and words are kept."""
    if event not in DOCUMENT[state] or state is D.SEALED:
        return
    document = await brought(sqlite_story, state)
    told = await sqlite_story.ledger.mark_travelled(document.key, await sqlite_story.epoch(), event, "C1", "words")
    assert told == DOCUMENT[state][event]
    row = (await sqlite_story.rows("SELECT state, code, what FROM document"))[0]
    assert tuple(row) == (DOCUMENT[state][event], "C1", "words")


async def test_sealing_keeps_what_was_sealed(story: Story) -> None:
    """Digest, size and seal are written once; a second sealing is refused without a trace."""
    document = await brought(story, D.OPEN)
    epoch = await story.epoch()
    assert await story.ledger.mark_sealed(document.key, epoch, "a" * 64, 123, b"seal", "x.p7s") is True
    assert await story.ledger.mark_sealed(document.key, epoch, "b" * 64, 456, None, "") is False
    found = await story.document(document.key)
    assert (found.digest, found.size, found.seal, found.seal_name) == ("a" * 64, 123, b"seal", "x.p7s")
    (act,) = await story.acts("document.sealed")
    assert '"digest":"' + "a" * 64 in act.body


async def test_sending_is_counted_before_the_first_byte(story: Story) -> None:
    """Once a sending has begun there is no second beside it, and the ledger knows when it began."""
    document = await brought(story, D.SEALED)
    story.clock.advance(7)
    assert await story.ledger.mark_sending(document.key, await story.epoch()) is True
    assert await story.ledger.mark_sending(document.key, await story.epoch()) is False
    found = await story.document(document.key)
    assert (found.state, found.sendings) == ("sending", 1)
    assert found.last_sending_ms == int(story.clock.now().timestamp() * 1000)


async def test_what_surely_did_not_leave_is_not_counted(story: Story) -> None:
    """A sending that ended before the first byte leaves the Document as if it had not been; a doubt counts for ever."""
    document = await brought(story, D.SEALED)
    assert await story.travel(document, E.SURELY_NOT_SENT) == "sealed"
    assert (await story.document(document.key)).sendings == 0
    assert await story.travel(document, E.DOUBTED) == "in_doubt"
    assert await story.ledger.mark_travelled(document.key, await story.epoch(), E.NOT_FOUND) == "sealed"
    assert (await story.document(document.key)).sendings == 1
    assert await story.travel(document, E.SURELY_NOT_SENT) == "sealed"
    assert (await story.document(document.key)).sendings == 1


async def test_from_doubt_no_way_leads_back_to_sending(story: Story) -> None:
    """A blind resend is no arrow: neither sealing nor sending nor an end of a sending moves it."""
    document = await brought(story, D.IN_DOUBT)
    epoch = await story.epoch()
    assert await story.ledger.mark_sending(document.key, epoch) is False
    for event in (E.DELIVERED, E.SURELY_NOT_SENT, E.STARTED, E.SEALED, E.VOIDED):
        assert await story.ledger.mark_travelled(document.key, epoch, event) == "in_doubt"


async def test_not_found_lets_the_same_bytes_go_again(story: Story) -> None:
    """After the bank's word the same Document is sealed again: same name, reference, digest and members."""
    document = await brought(story, D.IN_DOUBT)
    assert await story.ledger.mark_travelled(document.key, await story.epoch(), E.NOT_FOUND) == "sealed"
    found = await story.document(document.key)
    assert (found.name, found.reference, found.digest) == (document.name, document.reference, document.digest)
    assert await story.travel(found) == "sent"
    assert await story.value("SELECT sendings FROM document") == 2


async def test_not_found_after_lines_were_told_is_refused(story: Story) -> None:
    """A bank that has told of lines cannot say that it never had them."""
    document = await brought(story, D.IN_DOUBT)
    await story.answer(document, Word("A", Outcome.PAID))
    with pytest.raises(Refused):
        await story.ledger.mark_travelled(document.key, await story.epoch(), E.NOT_FOUND)
    assert (await story.document(document.key)).state == "in_doubt"


async def test_a_receipt_overtakes_the_end_of_the_sending(story: Story) -> None:
    """The bank's word can be here before our own send has returned: the end of the sending then changes nothing."""
    document = await brought(story, D.SENDING)
    await story.answer(document, event=E.RECEIPTED)
    assert await story.ledger.mark_travelled(document.key, await story.epoch(), E.DELIVERED) == "receipted"


async def test_after_a_crash_everything_in_sending_is_in_doubt(story: Story) -> None:
    """The next owner doubts what was on its way at that bank, once, and the payers hear of it."""
    document = await brought(story, D.SENDING)
    await story.told()
    assert await story.ledger.doubt_sendings(NORTH, await story.epoch()) == 1
    assert await story.ledger.doubt_sendings(NORTH, await story.epoch()) == 0
    assert (await story.document(document.key)).state == "in_doubt"
    assert [event.name for event in await story.told()] == ["document.in_doubt"]
    assert len(await story.acts("document.doubted")) == 1


async def test_payers_hear_what_becomes_of_their_document(story: Story) -> None:
    """Sent, receipted and settled are told with the share of each; opening and sealing are nobody's business."""
    await story.submit("R1", pay("A"))
    await story.submit("R2", pay("B", 200_00), payer=OTHER_PAYER)
    await story.release("R1")
    await story.release("R2")
    await story.told()
    (document,) = await story.dispatch()
    for event in (E.RECEIPTED, E.SETTLED):
        await story.ledger.mark_travelled(document.key, await story.epoch(), event)
    told = [(e.name, e.payer, e.data.count, e.data.total, e.data.document) for e in await story.told()]
    assert told == [
        (name, payer, 1, fen, document.reference)
        for name in ("document.sent", "document.receipted", "document.settled")
        for payer, fen in ((OTHER_PAYER, 200_00), (PAYER, 100_00))
    ]


async def test_a_void_document_gives_its_payments_back(story: Story) -> None:
    """One payment withdrawn from a sealed Document: it is void, the rest is ready and travels under a new name without it."""
    document = await brought(story, D.SEALED)
    await story.withdraw("A")
    void = await story.document(document.key)
    assert (void.state, await story.states()) == ("void", {"A": "withdrawn", "B": "ready"})
    assert await story.ledger.mark_sending(document.key, await story.epoch()) is False
    (again,) = await story.dispatch()
    assert (again.count, again.reference != document.reference, again.name != document.name) == (1, True, True)
    assert await story.ledger.pay_lines(document.key, 0, 10) == []
    assert len(await story.acts("document.voided")) == 1


@pytest.mark.parametrize("stage", ["sending", "doubted", "not_found", "exported"])
async def test_what_may_have_left_cannot_be_void(story: Story, stage: str) -> None:
    """A withdrawal finds it too late wherever a byte may be at the bank, also where it is sealed again after a doubt."""
    document = await brought(story, D.SEALED)
    if stage == "exported":
        await story.change("UPDATE document SET exported = true")
    else:
        assert await story.ledger.mark_sending(document.key, await story.epoch())
        if stage != "sending":
            await story.ledger.mark_travelled(document.key, await story.epoch(), E.DOUBTED)
        if stage == "not_found":
            await story.ledger.mark_travelled(document.key, await story.epoch(), E.NOT_FOUND)
    await story.told()
    await story.withdraw("A")
    (event,) = await story.told()
    assert event.name == "instruction.withdraw_refused"
    assert "too late" in event.data.items[0].what
    assert document.name in event.data.items[0].what
    assert await story.tries("A") == ["batched"]


async def test_an_exported_document_is_never_sent_by_us(story: Story) -> None:
    """What left by other means is blocked on the wire."""
    document = await brought(story, D.SEALED)
    await story.change("UPDATE document SET exported = true")
    assert await story.ledger.mark_sending(document.key, await story.epoch()) is False


async def test_lines_that_a_format_cannot_hold_are_set_aside(story: Story) -> None:
    """They are held with their reason and told; the open Document is void and the rest is filed again."""
    document = await brought(story, D.OPEN)
    await story.told()
    await story.ledger.set_aside(document.key, await story.epoch(), [(1, "CHARSET", "a letter that it lacks")])
    assert await story.states() == {"A": "held", "B": "ready"}
    assert await story.holds("A") == ["CHARSET"]
    assert [(i.instruction_id, i.code) for e in await story.told("instruction.held") for i in e.data.items] == [
        ("A", "CHARSET")
    ]
    (again,) = await story.file()
    assert again.count == 1


async def test_inquiries_count_for_themselves(story: Story) -> None:
    """An inquiry is a Document of its own kind about another, with its own numbers, and tells no payer."""
    document = await brought(story, D.IN_DOUBT)
    await story.told()
    naming = Naming(NORTH, TODAY, "Q")
    first = await story.ledger.open_inquiry(document.key, await story.epoch(), naming, TODAY)
    second = await story.ledger.open_inquiry(document.key, await story.epoch(), naming, TODAY)
    found = [await story.document(key) for key in (first, second)]
    assert [(d.kind, d.sequence, d.about_key, d.state) for d in found] == [
        ("inquiry", 1, document.key, "open"),
        ("inquiry", 2, document.key, "open"),
    ]
    await story.seal(found[0])
    await story.travel(found[0])
    assert await story.told() == []
    story.clock.advance(60)
    await story.ledger.mark_inquired(document.key, await story.epoch())
    inquired = await story.document(document.key)
    assert (inquired.inquiries, inquired.inquired_ms) == (1, int(story.clock.now().timestamp() * 1000))


async def test_a_cursor_is_durable(story: Story) -> None:
    """A route goes on from the place that it saved."""
    document = await brought(story, D.SENDING)
    await story.ledger.save_cursor(document.key, await story.epoch(), "part 2")
    assert (await story.document(document.key)).cursor == "part 2"


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_long_sending_has_its_window_from_its_last_part(story: Story, stopped: bool) -> None:
    """One in parts may write for an hour: what is not found five minutes after its beginning may still be on its way."""
    document = await brought(story, D.SENDING)
    story.clock.advance(3_000)
    if stopped:
        await story.ledger.save_cursor(document.key, await story.epoch(), "part 2")
        await story.ledger.doubt_sendings(NORTH, await story.epoch())
    else:
        await story.ledger.mark_travelled(document.key, await story.epoch(), E.DOUBTED, "", "the reply is lost")
    doubted = await story.document(document.key)
    assert (doubted.state, doubted.last_sending_ms) == (D.IN_DOUBT, int(story.clock.now().timestamp() * 1000))
    assert doubted.last_sending_ms == document.last_sending_ms + 3_000_000


async def test_awaited_documents(story: Story) -> None:
    """Sent Documents with a line that has no word yet are awaited; told to the last line they are not."""
    document = await brought(story, D.SENT)
    assert [d.key for d, _ in await story.ledger.awaited(NORTH)] == [document.key]
    await story.answer(document, Word("A", Outcome.PAID))
    assert [d.key for d, _ in await story.ledger.awaited(NORTH)] == [document.key]
    await story.answer(document, Word("B", Outcome.FAILED))
    assert await story.ledger.awaited(NORTH) == []


async def test_a_document_by_its_reference(story: Story) -> None:
    """Found only at the bank that it went to."""
    document = await brought(story, D.SENT)
    assert await story.ledger.document_by_reference(NORTH, document.reference) == document
    assert await story.ledger.document_by_reference("SOUTH", document.reference) is None
    assert await story.ledger.document_by_reference(NORTH, document.reference + "1") is None


async def test_a_document_that_does_not_exist(story: Story) -> None:
    """Keys come from the ledger itself: an unknown one is a broken invariant."""
    await story.epoch()
    with pytest.raises((Halt, Conflict)):
        await story.ledger.mark_sending(99, 1)
