"""The bank's written word: two people end a doubt, correct a final state, or free a Document, and everything moves in one transaction."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from gateway.core.errors import Code, Conflict, Refused
from gateway.core.ledger import OutDocument
from gateway.core.letters import Letter
from gateway.core.states import DocumentEvent
from gateway.core.verdicts import Outcome
from gateway.edge.ledger.letters import LETTER
from tests.ledger.kit import BOTH, CHECKER, MAKER, NORTH, PAYER, Story, Word, pay

E = DocumentEvent
PAID, FAILED, UNKNOWN = Outcome.PAID, Outcome.FAILED, Outcome.UNKNOWN
WINDOW_MS = 120 * 60_000
SUBJECT = f"letter:{NORTH}:L-1"


def letter(says: str, **more: Any) -> Letter:
    """A letter of today."""
    values = {"bank": NORTH, "reference": "L-1", "dated": "2015-06-10", "says": says, "evidence": "signed, in folder 7"}
    return msgspec.convert(values | more, Letter)


async def enter(story: Story, said: Letter) -> dict[str, Any]:
    """Both people."""
    proposed = await story.ledger.propose_letter(MAKER, said, WINDOW_MS)
    assert await story.ledger.approve_letter(CHECKER, NORTH, said.reference, WINDOW_MS) == proposed
    return proposed


async def doubtful(story: Story) -> OutDocument:
    """A Document of two payments, in doubt."""
    await story.submit("R1", pay("A"), pay("B", 200_00))
    await story.release("R1")
    (document,) = await story.file()
    await story.seal(document)
    await story.travel(document, E.DOUBTED)
    await story.told()
    return await story.document(document.key)


@pytest.mark.parametrize(("says", "after"), [("paid", "paid"), ("failed", "failed")])
async def test_a_letter_ends_the_doubt_of_payments(story: Story, says: str, after: str) -> None:
    """State, controls, event, Case, chain and the place where the word stands move together; the doubt of others stays."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", UNKNOWN), Word("B", UNKNOWN))
    await story.told()
    body = await enter(story, letter(says, payments=("A",), verdict="CARD_LOST" if says == "failed" else "NO_REASON"))
    assert (body["count"], body["minor"], body["states"]) == (1, 100_00, {"unknown": [1, 100_00]})
    assert await story.states() == {"A": after, "B": "unknown"}
    assert (await story.control("R1"))[NORTH] == {
        "ordered": (2, 200_00), after: (1, 100_00), "unknown": (1, 100_00),
    }  # fmt: skip
    (event,) = await story.told("payment.results")
    (result,) = event.data.results
    assert (result.outcome, result.sequence, result.corrects, result.bank_ref) == (after, 2, "", "L-1")
    assert result.verdict == ("CARD_LOST" if says == "failed" else "PAID")
    cases = await story.rows("SELECT state FROM case_file")
    assert [row.state for row in cases] == (["open"] if says == "failed" else [])
    arrived = await story.rows(
        "SELECT n.* FROM inbound AS n JOIN attempt AS a ON a.result_key = n.key WHERE a.state = :s", s=after
    )
    assert [(n.channel, n.state, n.reference, n.seal_by) for n in arrived] == [
        ("letter", "applied", "L-1", f"letter: {MAKER}, {CHECKER}")
    ]
    assert [(a.actor, a.subject) for a in await story.acts("letter.approved")] == [(CHECKER, SUBJECT)]


async def test_a_wrong_failure_is_corrected_to_paid(story: Story) -> None:
    """failed → paid: its Case ends, the payer hears what is taken back, and it cannot be paid again."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", FAILED), Word("B", PAID))
    await story.ledger.close_runs()
    await story.told()
    await enter(story, letter("paid", payments=("A",)))
    assert await story.states() == {"A": "paid", "B": "paid"}
    assert await story.control("R1") == {NORTH: {"ordered": (2, 200_00), "paid": (2, 200_00)}}
    (event,) = await story.told("payment.results")
    (result,) = event.data.results
    assert (result.outcome, result.corrects, result.sequence, result.attempt) == ("paid", "failed", 2, 1)
    assert await story.value("SELECT state FROM case_file") == "closed"
    await story.repay("A")
    assert [event.name for event in await story.told()] == ["instruction.repay_refused"]


async def test_a_wrong_payment_is_corrected_to_failed(story: Story) -> None:
    """paid → failed: a Case opens, and it may be paid again."""
    await story.all_paid(await story.paying("R1", pay("A")))
    await story.told()
    await enter(story, letter("failed", payments=("A",), verdict="ACCOUNT_CLOSED", code="AC04"))
    assert await story.states() == {"A": "failed"}
    (event,) = await story.told("payment.results")
    (result,) = event.data.results
    assert (result.outcome, result.corrects, result.code, result.move) == (
        "failed",
        "paid",
        "AC04",
        "alternative_account",
    )
    assert await story.value("SELECT state FROM case_file") == "open"
    await story.repay("A")
    assert await story.tries("A") == ["failed", "new"]


@pytest.mark.parametrize("second", ["new", "held", "batched", "unknown", "paid"])
async def test_no_correction_while_a_second_try_is_live_or_paid(story: Story, second: str) -> None:
    """The first try stays failed whatever the letter says: two people cannot make a payment paid twice either."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", FAILED))
    await story.repay("A")
    if second == "held":
        await story.answer(document, Word("A#1", PAID))
    elif second != "new":
        run = await story.value("SELECT run_id FROM run WHERE kind = 'second_payment'")
        await story.release(run)
        (again,) = await story.dispatch()
        if second != "batched":
            await story.answer(again, Word("A", PAID if second == "paid" else UNKNOWN))
    with pytest.raises(Refused, match="a later try is live or paid") as refused:
        await story.ledger.propose_letter(MAKER, letter("paid", payments=("A#1",)), WINDOW_MS)
    assert refused.value.code is Code.POLICY
    with pytest.raises(Refused, match="name the try"):
        await story.ledger.propose_letter(MAKER, letter("paid", payments=("A",)), WINDOW_MS)
    assert await story.tries("A") == ["failed", second]


async def test_a_second_try_that_came_between_the_two_people(story: Story) -> None:
    """What the maker saw is not what stands now: the checker's word is refused, and nothing is paid twice."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", FAILED))
    await story.ledger.propose_letter(MAKER, letter("paid", payments=("A",)), WINDOW_MS)
    await story.repay("A")
    with pytest.raises(Refused):
        await story.ledger.approve_letter(CHECKER, NORTH, "L-1", WINDOW_MS)
    assert await story.tries("A") == ["failed", "new"]


@pytest.mark.parametrize(("says", "state"), [("paid", "paid"), ("failed", "failed")])
async def test_a_letter_about_a_whole_document(story: Story, says: str, state: str) -> None:
    """Every open line of it in one Act; the bank has it then, and the lane goes on."""
    document = await doubtful(story)
    body = await enter(story, letter(says, document=document.reference))
    assert (body["count"], body["minor"]) == (2, 300_00)
    assert await story.states() == {"A": state, "B": state}
    assert (await story.document(document.key)).state == "receipted"
    assert await story.ledger.close_runs() == ["R1"]
    names = [event.name for event in await story.told()]
    assert (names.count("payment.results"), "document.receipted" in names) == (1, True)


async def test_the_bank_has_it(story: Story) -> None:
    """in_doubt → receipted; the payments wait for their results."""
    document = await doubtful(story)
    await enter(story, letter("received", document=document.reference))
    assert (await story.document(document.key)).state == "receipted"
    assert await story.states() == {"A": "batched", "B": "batched"}
    await story.all_paid(document)
    assert await story.states() == {"A": "paid", "B": "paid"}


async def test_the_bank_refused_it(story: Story) -> None:
    """With proof: it left once and nothing of it is booked. What was unknown has failed, the rest waits for two people."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", UNKNOWN))
    await story.told()
    await enter(story, letter("refused", document=document.reference, code="NAUT"))
    assert (await story.document(document.key)).state == "refused"
    assert await story.states() == {"A": "failed", "B": "held"}
    assert await story.holds("B") == ["DOCUMENT_REFUSED"]
    assert sorted(event.name for event in await story.told()) == ["document.refused", "payment.results"]


async def test_a_written_refusal_without_proof(story: Story) -> None:
    """Once a line is paid a refusal of the whole proves nothing: it is not entered at all."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", PAID))
    with pytest.raises(Refused, match="proves nothing"):
        await story.ledger.propose_letter(MAKER, letter("refused", document=document.reference), WINDOW_MS)
    assert await story.states() == {"A": "paid", "B": "batched"}


async def test_not_found_in_writing_frees_the_same_bytes(story: Story) -> None:
    """in_doubt → sealed after the window: the same Document, name, reference and digest leave again, and no new one is filed."""
    document = await doubtful(story)
    said = letter("not_found", document=document.reference)
    with pytest.raises(Refused, match="counts from") as refused:
        await story.ledger.propose_letter(MAKER, said, WINDOW_MS)
    assert refused.value.code is Code.POLICY
    story.clock.advance(WINDOW_MS / 1000)
    await enter(story, said)
    freed = await story.document(document.key)
    assert (freed.state, freed.digest, freed.name, freed.reference) == (
        "sealed", document.digest, document.name, document.reference,
    )  # fmt: skip
    assert await story.file() == []
    assert await story.travel(freed) == "sent"
    await story.all_paid(freed)
    assert await story.states() == {"A": "paid", "B": "paid"}


async def test_a_not_found_letter_older_than_the_window(story: Story) -> None:
    """A bank that looked before the window was over has seen nothing: its date decides, not the day of entering."""
    document = await doubtful(story)
    story.clock.advance(2 * 86_400)
    with pytest.raises(Refused, match="counts from"):
        await story.ledger.propose_letter(MAKER, letter("not_found", document=document.reference), 86_400_000)
    await enter(story, letter("not_found", document=document.reference, dated="2015-06-11"))
    assert (await story.document(document.key)).state == "sealed"


async def test_the_documents_answer_came_between_the_two_people(story: Story) -> None:
    """A receipt that arrives after "not found" was proposed: the approval is refused, the Document stays where it is."""
    document = await doubtful(story)
    story.clock.advance(WINDOW_MS / 1000)
    await story.ledger.propose_letter(MAKER, letter("not_found", document=document.reference), WINDOW_MS)
    await story.answer(document, event=E.FOUND)
    with pytest.raises(Conflict):
        await story.ledger.approve_letter(CHECKER, NORTH, "L-1", WINDOW_MS)
    assert (await story.document(document.key)).state == "receipted"
    await story.ledger.decline(CHECKER, LETTER, SUBJECT)


SAYINGS = [
    {"says": "paid", "payments": ("A",)},
    {"says": "failed", "payments": ("A",)},
    {"says": "paid", "payments": ("F",)},
    {"says": "failed", "payments": ("P",)},
    {"says": "paid", "document": "D"},
    {"says": "failed", "document": "D"},
    {"says": "received", "document": "D"},
    {"says": "refused", "document": "D"},
    {"says": "not_found", "document": "D"},
]


@pytest.mark.parametrize("said", SAYINGS, ids=lambda said: " ".join(map(str, said.values())))
async def test_one_person_alone_changes_nothing(story: Story, said: dict[str, Any]) -> None:
    """On every path: not who only checks, not who only makes, not one with both roles, not a stranger."""
    sent = await story.paying("R2", pay("A"), pay("F"), pay("P"), period="2015-05")
    await story.answer(sent, Word("A", UNKNOWN), Word("F", FAILED), Word("P", PAID))
    await story.submit("R1", pay("G"))
    await story.release("R1")
    (document,) = await story.file()
    await story.seal(document)
    await story.travel(document, E.DOUBTED)
    story.clock.advance(WINDOW_MS / 1000)
    one = letter(**{**said, "document": document.reference if "document" in said else ""})
    before = (await story.states(), (await story.document(document.key)).state, await story.control("R2"))
    for actor in (CHECKER, "nobody"):
        with pytest.raises(Refused) as refused:
            await story.ledger.propose_letter(actor, one, WINDOW_MS)
        assert refused.value.code is Code.AUTH
    with pytest.raises(Conflict):
        await story.ledger.approve_letter(CHECKER, NORTH, "L-1", WINDOW_MS)
    await story.ledger.propose_letter(BOTH, one, WINDOW_MS)
    for actor in (BOTH, MAKER, "nobody"):
        with pytest.raises(Refused) as refused:
            await story.ledger.approve_letter(actor, NORTH, "L-1", WINDOW_MS)
        assert refused.value.code is Code.AUTH
    assert (await story.states(), (await story.document(document.key)).state, await story.control("R2")) == before
    await story.ledger.approve_letter(CHECKER, NORTH, "L-1", WINDOW_MS)
    assert (await story.states(), (await story.document(document.key)).state, await story.control("R2")) != before


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"payments": ("nobody",)}, "no such payment"),
    ({"payments": ("P",)}, "it is paid"),
    ({"payments": ("A#2",)}, "there is no try 2"),
    ({"payments": ("A", "A#1")}, "named twice"),
    ({"payments": ("A", "A")}, "each payment once"),
    ({"payments": ("A",), "bank": "SOUTH"}, "not paid at SOUTH"),
    ({"payments": ("A",), "dated": "2015-06-11"}, "after today"),
    ({"payments": ("A",), "dated": "2015-06-09"}, "before"),
    ({"payments": ("A",), "document": "X"}, "exactly one"),
    ({}, "exactly one"),
    ({"payments": ("A",), "says": "received"}, "whole document"),
    ({"document": "X"}, "no payment document"),
    ({"payments": ("A",), "says": "failed", "verdict": "TIMEOUT"}, "no reason"),
]


@pytest.mark.parametrize(("more", "what"), REFUSED, ids=[what for _, what in REFUSED])
async def test_what_a_letter_cannot_say(sqlite_story: Story, more: dict[str, Any], what: str) -> None:
    """Each with its sentence; one bad line refuses the whole letter."""
    story = sqlite_story
    document = await story.paying("R1", pay("A"), pay("P"))
    await story.answer(document, Word("A", UNKNOWN), Word("P", PAID))
    said = letter(**{"says": "paid", **more})
    with pytest.raises(Refused, match=what):
        await story.ledger.propose_letter(MAKER, said, WINDOW_MS)
    assert await story.states() == {"A": "unknown", "P": "paid"}
    assert await story.ledger.list_proposals() == []


async def test_a_letter_about_what_never_left(sqlite_story: Story) -> None:
    """A sealed Document that was never sent: no letter makes its payments paid."""
    story = sqlite_story
    await story.submit("R1", pay("A"))
    await story.release("R1")
    (document,) = await story.file()
    await story.seal(document)
    for more in ({"payments": ("A",)}, {"document": document.reference}):
        with pytest.raises(Refused, match="never left"):
            await story.ledger.propose_letter(MAKER, letter("paid", **more), WINDOW_MS)
    assert await story.states() == {"A": "batched"}


async def test_a_letter_stops_a_document_that_waits_to_go_again(story: Story) -> None:
    """Not found, sealed again, and then the bank writes that a line of it is paid: it must not leave a second time."""
    document = await doubtful(story)
    await story.ledger.mark_travelled(document.key, await story.epoch(), E.NOT_FOUND)
    await enter(story, letter("failed", payments=("A",)))
    assert (await story.document(document.key)).state == "in_doubt"
    assert await story.states() == {"A": "failed", "B": "unknown"}


async def test_a_long_list_stands_in_the_chain_by_its_digest(story: Story) -> None:
    """Two people see every id; the chain, kept for ever, holds count, total and the list's digest."""
    document = await story.paying("R1", *(pay(f"P-{n}") for n in range(50)))
    assert document.count == 50
    await enter(story, letter("paid", payments=tuple(f"P-{n}" for n in range(50)), payer=PAYER))
    assert set((await story.states()).values()) == {"paid"}
    for act in (await story.acts("letter.proposed")) + (await story.acts("letter.approved")):
        body = msgspec.json.decode(act.body)
        assert (body["count"], len(body["letter"]["payments"])) == (50, 64)
    assert len(await story.told("payment.results")) == 1


def test_letters_dates_are_days() -> None:
    """An instant is no date of a letter."""
    assert letter("paid").dated == dt.date(2015, 6, 10)
    with pytest.raises(msgspec.ValidationError):
        letter("paid", dated="2015-06-10T10:00:00")
