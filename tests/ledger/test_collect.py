"""What a bank tells: applied whole or not at all, once, and only where it fits what was sent."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.bank import DocKind, Row
from gateway.core.errors import Conflict, Halt
from gateway.core.ledger import Recorded
from gateway.core.states import DocumentEvent, InboundEvent
from gateway.core.verdicts import Judgement, Outcome, Verdict
from tests.ledger.kit import NORTH, OTHER_PAYER, PAYER, SOUTH, Fallen, Story, Word, pay

PAID, FAILED, REFUSED, UNKNOWN, PENDING, RETURNED = (
    Outcome.PAID, Outcome.FAILED, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.PENDING, Outcome.RETURNED,
)  # fmt: skip


async def test_a_result_is_applied(story: Story) -> None:
    """Each line's outcome, verdict, code and bank reference stand in the ledger, the controls agree, and the payer is told in one event."""
    document = await story.paying("R1", pay("A"), pay("B", 200_00), pay("C", 300_00))
    await story.told()
    applied = await story.answer(
        document, Word("A", PAID), Word("B", FAILED, verdict=Verdict.CARD_LOST, code="GS"), Word("C", PENDING)
    )
    assert (dict(applied.moved), applied.parked, applied.quiet) == ({"paid": 1, "failed": 1}, 0, 1)
    assert await story.states() == {"A": "paid", "B": "failed", "C": "batched"}
    rows = await story.rows("SELECT verdict, code, bank_ref, result_key FROM attempt ORDER BY key")
    assert [(r.verdict, r.code) for r in rows] == [("PAID", "ST"), ("CARD_LOST", "GS"), (None, None)]
    assert rows[0].bank_ref == f"B{await story.key('A')}"
    assert rows[0].result_key == rows[1].result_key is not None
    assert await story.control("R1") == {
        NORTH: {"ordered": (3, 600_00), "paid": (1, 100_00), "failed": (1, 200_00), "batched": (1, 300_00)}
    }
    (event,) = await story.told()
    paid, failed = event.data.results
    assert (event.name, event.payer) == ("payment.results", PAYER)
    assert (paid.outcome, paid.move, paid.amount, paid.run_id, paid.document) == (
        "paid", "", 100_00, "R1", document.reference,
    )  # fmt: skip
    assert (failed.outcome, failed.verdict, failed.move, failed.code, failed.attempt, failed.sequence) == (
        "failed", "CARD_LOST", "wait_card", "GS", 1, 1,
    )  # fmt: skip
    (act,) = await story.acts("inbound.applied")
    assert '"by":"north-2015"' in act.body


async def test_all_of_it_or_nothing(story: Story) -> None:
    """The process falls in the middle of applying: no state, event, control, parked line or Act of it is left; the next try applies it all."""
    document = await story.paying("R1", *(pay(f"I-{n}") for n in range(3)))
    await story.told()
    key, _ = await story.arrive()
    told = await story.telling([Word("I-0", PAID), Word("I-1", FAILED), Word(999, PAID, 1)])
    before = (await story.states(), await story.control("R1"), len(await story.acts()))
    story.trap.at = "collect.weighed"
    with pytest.raises(Fallen):
        await story.apply(key, document, told)
    story.trap.at = ""
    assert (await story.states(), await story.control("R1"), len(await story.acts())) == before
    assert (await story.told(), await story.parked()) == ([], [])
    assert [d.state for d in await story.ledger.inbound(["archived", "applied"])] == ["archived"]
    applied = await story.apply(key, document, told)
    assert (dict(applied.moved), applied.parked) == ({"paid": 1, "failed": 1}, 1)


async def test_a_result_of_many_pages(sqlite_story: Story) -> None:
    """Pages do not show: the last line of a long answer counts like the first."""
    story = sqlite_story
    lines = [pay(f"I-{n}", 1 + n) for n in range(1_000)]
    await story.header("R1", 6_000, sum(1 + n for n in range(6_000)), chunks=6)
    for no in range(6):
        await story.chunk("R1", no + 1, *(pay(f"I-{no * 1000 + n}", 1 + no * 1000 + n) for n in range(len(lines))))
    await story.conclude()
    await story.release("R1")
    (document,) = await story.dispatch()
    await story.told()
    assert dict((await story.all_paid(document)).moved) == {"paid": 6_000}
    events = await story.told("payment.results")
    assert [len(event.data.results) for event in events] == [1_000] * 6
    assert (await story.control("R1"))[NORTH]["paid"] == (6_000, 6_000 * 6_001 // 2)


async def test_the_same_document_again(story: Story) -> None:
    """Same bank, name and bytes as one that was applied: a duplicate, kept and not looked at."""
    document = await story.paying("R1", pay("A"))
    key, recorded = await story.arrive("result-1")
    assert recorded is Recorded.NEW
    assert await story.arrive("result-1") == (key, Recorded.NEW)
    await story.apply(key, document, await story.telling([Word("A", PAID)]))
    again, recorded = await story.arrive("result-1")
    assert (recorded, again != key) == (Recorded.DUP, True)
    assert await story.value("SELECT state FROM inbound WHERE key = :key", key=again) == "duplicate"
    with pytest.raises(Halt):
        await story.apply(again, document, await story.telling([Word("A", FAILED)]))
    with pytest.raises(Halt):
        await story.apply(key, document, await story.telling([Word("A", PAID)]))


@pytest.mark.parametrize("other", [{"name": "result-2"}, {"content": "other bytes"}, {"bank": SOUTH}])
async def test_what_is_no_duplicate(story: Story, other: dict[str, str]) -> None:
    """Another name, other bytes or another bank make another Document: a split answer has parts of one name."""
    document = await story.paying("R1", pay("A"))
    key, _ = await story.arrive("result-1")
    await story.apply(key, document, await story.telling([Word("A", PAID)]))
    assert (await story.arrive(**{"name": "result-1", "content": "result-1", **other}))[1] is Recorded.NEW


async def test_a_document_that_was_quarantined_may_come_again(story: Story) -> None:
    """Only what was applied makes a duplicate: with a right seal the same bytes are looked at anew."""
    key, _ = await story.arrive("result-1")
    await story.ledger.close_inbound(key, InboundEvent.QUARANTINED, "SIG", "no seal")
    again, recorded = await story.arrive("result-1")
    assert (recorded, again != key) == (Recorded.NEW, True)
    rows = await story.rows("SELECT state, code, what FROM inbound ORDER BY key")
    assert [tuple(row) for row in rows] == [("quarantined", "SIG", "no seal"), ("archived", None, None)]
    assert [act.kind for act in await story.acts("inbound.quarantined")] == ["inbound.quarantined"]


async def test_two_copies_that_arrived_at_once(story: Story) -> None:
    """Two rows of the same bytes (two replicas took them in at the same moment): one is applied, the other ends as its duplicate."""
    document = await story.paying("R1", pay("A"))
    first, _ = await story.arrive("result-1")
    await story.change(
        "INSERT INTO inbound (bank, name, digest, size, channel, state, received_ms) "
        "SELECT bank, name, digest, size, channel, state, received_ms FROM inbound"
    )
    second = int(await story.value("SELECT MAX(key) FROM inbound"))
    told = await story.telling([Word("A", PAID)])
    await story.apply(first, document, told)
    applied = await story.apply(second, document, told)
    assert (dict(applied.moved), applied.parked, applied.quiet) == ({}, 0, 0)
    states = await story.rows("SELECT state FROM inbound ORDER BY key")
    assert [row.state for row in states] == ["applied", "duplicate"]


async def test_results_in_parts(story: Story) -> None:
    """Two answers to one Document, each with its half, in any order."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("B", PAID))
    await story.answer(document, Word("A", FAILED))
    assert await story.states() == {"A": "failed", "B": "paid"}


async def test_the_same_word_in_another_document(story: Story) -> None:
    """A result repeated under a new name says nothing new: quiet, told to nobody."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", PAID), Word("B", FAILED))
    await story.told()
    applied = await story.answer(document, Word("A", PAID), Word("B", FAILED))
    assert (dict(applied.moved), applied.parked, applied.quiet) == ({}, 0, 2)
    assert await story.told() == []


async def test_a_line_twice_alike(story: Story) -> None:
    """One line told twice with the same words counts once."""
    document = await story.paying("R1", pay("A"), pay("B"))
    applied = await story.answer(document, Word("A", PAID), Word("A", PAID), Word("B", FAILED), Word("B", FAILED))
    assert (dict(applied.moved), applied.parked, applied.quiet) == ({"paid": 1, "failed": 1}, 0, 2)
    assert [r[:3] for r in await story.results()] == [("A", 1, 1), ("B", 1, 1)]


@pytest.mark.parametrize("words", [(PAID, FAILED), (FAILED, PAID), (UNKNOWN, PAID)], ids="-".join)
async def test_one_document_says_two_things_of_a_line(story: Story, words: tuple[Outcome, Outcome]) -> None:
    """OK and FAIL for one id in one file: nobody can say which holds, so neither is applied and both wait for a person."""
    document = await story.paying("R1", pay("A"), pay("B"))
    applied = await story.answer(document, Word("A", words[0]), Word("B", PAID), Word("A", words[1]))
    assert (dict(applied.moved), applied.parked) == ({"paid": 1}, 2)
    assert await story.states() == {"A": "batched", "B": "paid"}
    assert [code for code, _ in await story.parked()] == ["CONFLICT", "CONFLICT"]


@pytest.mark.parametrize("amount", [99_99, 100_01, 0, 10_000_00])
async def test_another_amount_is_parked(story: Story, amount: int) -> None:
    """One fen too many or too few: parked, nothing applied, and the bank's words are kept."""
    document = await story.paying("R1", pay("A"))
    assert (await story.answer(document, Word("A", PAID, amount))).parked == 1
    assert (await story.states(), await story.parked()) == ({"A": "batched"}, [("CONFLICT", str(await story.key("A")))])
    (row,) = await story.rows("SELECT what, raw FROM parked")
    assert f"the bank tells {amount} fen, ordered were 10000" in row.what
    assert f'"amount":{amount}' in row.raw


async def test_what_is_parked_is_parked_once(story: Story) -> None:
    """A bank that is asked again says the same again: one open line for a person; other words are new."""
    document = await story.paying("R1", pay("A"))
    for amount, parked in ((99_99, 1), (99_99, 0), (100_01, 1)):
        assert (await story.answer(document, Word("A", PAID, amount))).parked == parked
    assert [code for code, _ in await story.parked()] == ["CONFLICT", "CONFLICT"]


async def test_a_line_without_an_amount_is_applied(story: Story) -> None:
    """Some formats tell no amounts; a return needs one."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", PAID, None), Word("B", PAID, None))
    await story.answer(None, Word("A", RETURNED, None), kind=DocKind.RETURN)
    assert await story.states() == {"A": "paid", "B": "paid"}
    assert [code for code, _ in await story.parked()] == ["CONFLICT"]


async def test_another_currency_is_parked(story: Story) -> None:
    """The same digits in another currency are another amount."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", PAID, currency="HKD"))
    assert (await story.tries("A"), [code for code, _ in await story.parked()]) == (["batched"], ["CONFLICT"])


async def test_a_code_that_no_table_has_is_parked(story: Story) -> None:
    """An unknown code is never guessed; the code itself is in the sentence for the person."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", UNKNOWN, verdict=Verdict.UNKNOWN_CODE, code="ZZ9"))
    assert [code for code, _ in await story.parked()] == ["UNKNOWN_CODE"]
    assert "ZZ9" in await story.value("SELECT what FROM parked")
    assert await story.tries("A") == ["batched"]


@pytest.mark.parametrize("ref", ["999", "no number", "", "１２３", "-1", "1" * 30], ids=range(6))
async def test_a_foreign_reference_is_parked(story: Story, ref: str) -> None:
    """Whatever is not a reference of ours is parked as the bank wrote it; the rest of the Document is applied."""
    document = await story.paying("R1", pay("A"))
    told = await story.telling([Word("A", PAID)])
    key, _ = await story.arrive()
    told.add(Row(ref, 1, "CNY", "ST"), Judgement(PAID, Verdict.PAID))
    applied = await story.apply(key, document, told)
    assert (dict(applied.moved), applied.parked) == ({"paid": 1}, 1)
    assert await story.parked() == [("UNKNOWN_REF", ref)]


async def test_another_banks_payment_is_parked(story: Story) -> None:
    """A bank may speak only of what went to it: the other bank's payment stays as it is."""
    document = await story.paying("R1", pay("A"), pay("S", bank=SOUTH))
    await story.dispatch(SOUTH)
    applied = await story.answer(document, Word("S", FAILED))
    assert (applied.parked, await story.tries("S")) == (1, ["batched"])
    assert await story.parked() == [("UNKNOWN_REF", str(await story.key("S")))]


async def test_another_documents_payment_is_parked(story: Story) -> None:
    """An answer may speak only of the Document that it names."""
    first = await story.paying("R1", pay("A"))
    await story.submit("R2", pay("B"), kind="supplementary")
    await story.release("R2")
    (second,) = await story.dispatch()
    await story.answer(second, Word("A", FAILED), Word("B", PAID))
    assert await story.states() == {"A": "batched", "B": "paid"}
    assert [code for code, _ in await story.parked()] == ["UNKNOWN_REF"]
    assert (await story.document(first.key)).state == "sent"


async def test_what_never_left_cannot_be_answered(story: Story) -> None:
    """A return of a payment whose Document is not sent is no return: parked, and the payment is held instead of sent."""
    await story.submit("R1", pay("A"), pay("B"))
    await story.release("R1")
    (document,) = await story.file()
    await story.seal(document)
    await story.answer(None, Word("A", RETURNED), kind=DocKind.RETURN)
    assert [code for code, _ in await story.parked()] == ["UNKNOWN_REF"]
    assert await story.states() == {"A": "held", "B": "ready"}
    assert (await story.document(document.key)).state == "void"


async def test_names_that_do_not_match_are_told(story: Story) -> None:
    """The payer hears both names, so that the bureau can verify with the person."""
    document = await story.paying("R1", pay("A"))
    await story.told()
    await story.answer(document, Word("A", FAILED, verdict=Verdict.NAME_MISMATCH, name="王晓明", code="HM"))
    (event,) = await story.told("name.mismatch")
    assert (event.data.instruction_id, event.data.run_id, event.data.bank) == ("A", "R1", NORTH)
    assert (event.data.ordered_name, event.data.bank_name, event.data.code) == ("王小明", "王晓明", "HM")


async def test_each_payer_hears_only_of_its_own(story: Story) -> None:
    """One Document with two payers' payments: each gets its own results."""
    await story.submit("R1", pay("A"))
    await story.submit("R2", pay("B"), payer=OTHER_PAYER)
    await story.release("R1")
    await story.release("R2")
    (document,) = await story.dispatch()
    await story.all_paid(document)
    told = {e.payer: [r.instruction_id for r in e.data.results] for e in await story.told("payment.results")}
    assert told == {PAYER: ["A"], OTHER_PAYER: ["B"]}


async def test_cases_open_and_close(story: Story) -> None:
    """What is not paid has a Case that says what it waits for; it is closed by the second payment that succeeds."""
    document = await story.paying("R1", pay("A"), pay("B"), pay("C"))
    await story.answer(document, Word("A", PAID), Word("B", FAILED, verdict=Verdict.CARD_REPLACING), Word("C", REFUSED))

    async def cases() -> dict[str, tuple[str, str, str]]:
        found = await story.rows(
            "SELECT i.id, c.state, c.verdict, c.waits_for FROM case_file AS c JOIN instruction AS i ON i.key = c.instruction_key"
        )
        return {row.id: (row.state, row.verdict, row.waits_for) for row in found}

    assert await cases() == {
        "B": ("open", "CARD_REPLACING", "wait_card"),
        "C": ("open", "FORMAT_REFUSED", "ask_person"),
    }
    await story.repay("B")
    assert (await cases())["B"][0] == "repaying"
    second = await story.value("SELECT run_id FROM run WHERE kind = 'second_payment'")
    await story.release(second)
    (again,) = await story.dispatch()
    await story.answer(again, Word("B", PAID))
    assert (await cases())["B"][0] == "closed"


async def test_applying_one_document_twice_at_once(story: Story) -> None:
    """Two replicas apply the same Document at the same moment: it counts once."""
    document = await story.paying("R1", *(pay(f"I-{n}") for n in range(20)))
    key, _ = await story.arrive()
    told = await story.telling([Word(f"I-{n}", PAID) for n in range(20)])
    done = await asyncio.gather(*(story.apply(key, document, told) for _ in range(2)), return_exceptions=True)
    assert sorted(isinstance(result, Halt | Conflict) for result in done) == [False, True]
    assert (await story.control("R1"))[NORTH]["paid"] == (20, 20 * 100_00)
    assert len(await story.results()) == 20


async def test_two_answers_at_once(story: Story) -> None:
    """OK and FAIL in two Documents at the same moment: one is applied, the other finds a final state and is parked or comes again."""
    document = await story.paying("R1", *(pay(f"I-{n}") for n in range(20)))
    (one, _), (two, _) = await story.arrive(), await story.arrive()
    oks = await story.telling([Word(f"I-{n}", PAID) for n in range(20)])
    fails = await story.telling([Word(f"I-{n}", FAILED) for n in reversed(range(20))])
    done = await asyncio.gather(
        story.apply(one, document, oks), story.apply(two, document, fails), return_exceptions=True
    )
    for key, told, result in ((one, oks, done[0]), (two, fails, done[1])):
        if isinstance(result, Conflict):
            assert result.where.startswith("inbound ")
            await story.apply(key, document, told)
    assert len(set((await story.states()).values())) == 1
    assert len(await story.parked()) == 20


async def test_a_document_event_of_the_answer(story: Story) -> None:
    """An answer is a receipt too: the Document is receipted with the lines that it tells, and the bank's code is kept."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", PAID), event=DocumentEvent.RECEIPTED, code="0000")
    found = (await story.rows("SELECT state, code, told FROM document"))[0]
    assert tuple(found) == ("receipted", "0000", 1)
