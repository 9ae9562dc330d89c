"""Filing: who travels together, under which caps, in which order, under which name; membership before any file."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from gateway.core.bank import Limits
from gateway.core.errors import Conflict
from gateway.core.ledger import Ranks
from gateway.core.verdicts import Outcome
from tests.ledger.kit import (
    CHECKER,
    MAKER,
    NORTH,
    OTHER_PAYER,
    PAYER,
    SOUTH,
    TODAY,
    Fallen,
    Naming,
    Story,
    Word,
    doubted,
    pay,
)


async def released(story: Story, *amounts: int, run_id: str = "R1", **more: Any) -> None:
    """A released Run of these amounts, with ids by place."""
    assert (
        await story.submit(run_id, *(pay(f"{run_id}-{n}", fen) for n, fen in enumerate(amounts, 1)), **more)
        == "accepted"
    )
    await story.release(run_id)


async def test_a_document_holds_what_was_ready(story: Story) -> None:
    """Membership, lines, count, total, shares and controls are written before any file exists; the Run is paying."""
    await released(story, 100_00, 200_00, 300_00)
    (document,) = await story.file()
    assert (document.state, document.count, document.minor) == ("open", 3, 600_00)
    assert (document.fund, document.debit_account, document.pay_date, document.line) == (
        "pension", "990001", "2015-06-15", "pension",
    )  # fmt: skip
    assert (document.digest, document.sendings, document.exported) == ("", 0, False)
    assert await story.control("R1") == {NORTH: {"ordered": (3, 600_00), "batched": (3, 600_00)}}
    lines = await story.ledger.pay_lines(document.key, 0, 10)
    assert [(line.line, line.amount) for line in lines] == [(1, 100_00), (2, 200_00), (3, 300_00)]
    assert [line.key for line in lines] == [await story.key(f"R1-{n}") for n in (1, 2, 3)]
    assert lines[0].name == "王小明"
    assert lines[0].account == pay("R1-1").account
    assert (lines[0].id_type, lines[0].id_number) == ("resident", pay("R1-1").person.id_number)
    shares = await story.rows("SELECT payer, count, minor FROM document_share")
    assert [tuple(share) for share in shares] == [(PAYER, 3, 600_00)]


async def test_pages_of_a_document(story: Story) -> None:
    """Lines come in pages, each after the last."""
    await released(story, *range(1, 8))
    (document,) = await story.file()
    pages = [await story.ledger.pay_lines(document.key, after, 3) for after in (0, 3, 6, 7)]
    assert [[line.line for line in page] for page in pages] == [[1, 2, 3], [4, 5, 6], [7], []]


async def test_the_rows_cap(story: Story) -> None:
    """No Document holds more rows than the bank takes; lines are gapless in each and keys ascend over all."""
    await released(story, *range(1, 8))
    documents = await story.file(limits=Limits(rows_max=3))
    assert [(d.count, d.minor, d.sequence) for d in documents] == [(3, 6, 1), (3, 15, 2), (1, 7, 3)]
    assert len({d.batch_key for d in documents}) == 1
    rows = await story.rows("SELECT key, document_key, line FROM attempt ORDER BY document_key, line")
    assert [row.line for row in rows] == [1, 2, 3, 1, 2, 3, 1]
    assert [row.key for row in rows] == sorted(row.key for row in rows)


async def test_the_amount_cap(story: Story) -> None:
    """No Document is worth more than the bank takes in one."""
    await released(story, 60, 50, 40, 30, 100, 1)
    documents = await story.file(limits=Limits(document_minor_max=100, payment_minor_max=100))
    assert [(d.count, d.minor) for d in documents] == [(1, 60), (2, 90), (1, 30), (1, 100), (1, 1)]


async def test_what_is_never_mixed(story: Story) -> None:
    """Bank, fund, debit account, pay date and benefit line each part the ready payments into Batches of their own."""
    lines = [
        pay("A"),
        pay("B", fund="other"),
        pay("C", debit_account="990009"),
        pay("D", pay_date="2015-06-16"),
        pay("E", line="unemployment"),
        pay("F", bank=SOUTH),
        pay("G"),
    ]
    await story.submit("R1", *lines)
    await story.release("R1")
    documents = [*await story.file(NORTH, Limits(rows_max=1)), *await story.file(SOUTH)]
    by_batch: dict[int | None, set[tuple[str, ...]]] = {}
    for d in documents:
        by_batch.setdefault(d.batch_key, set()).add((d.bank, d.fund, d.debit_account, d.pay_date, d.line))
    assert len(by_batch) == 6
    assert all(len(kinds) == 1 for kinds in by_batch.values())
    mixed = await story.rows(
        "SELECT d.batch_key FROM attempt AS a JOIN document AS d ON d.key = a.document_key JOIN lot AS l ON l.key = a.lot_key "
        "GROUP BY d.batch_key HAVING COUNT(DISTINCT l.bank) + COUNT(DISTINCT l.fund) + COUNT(DISTINCT l.debit_account) "
        "+ COUNT(DISTINCT l.pay_date) + COUNT(DISTINCT l.line) > 5"
    )
    assert mixed == []


async def test_runs_of_several_payers_share_a_document(story: Story) -> None:
    """What may travel together does, and each payer hears of its own share only."""
    await released(story, 100, 200)
    await released(story, 400, run_id="R2", payer=OTHER_PAYER)
    (document,) = await story.dispatch()
    assert (document.count, document.minor) == (3, 700)
    told = {event.payer: (event.data.count, event.data.total) for event in await story.told("document.sent")}
    assert told == {PAYER: (2, 300), OTHER_PAYER: (1, 400)}


async def test_held_and_withdrawn_payments_stay(story: Story) -> None:
    """Only what is ready is filed."""
    await story.submit("R1", pay("A"), doubted(2, pay("B"), "NAME"), pay("C"))
    await story.release("R1")
    await story.withdraw("C")
    (document,) = await story.file()
    assert (document.count, await story.states()) == (1, {"A": "batched", "B": "held", "C": "withdrawn"})
    assert await story.ledger.ready_groups(NORTH) == []


async def test_sequences_and_names(story: Story) -> None:
    """Sequences are gapless per bank, kind and day and start anew the next day; references and names never repeat."""
    await released(story, *range(1, 4))
    await story.file(limits=Limits(rows_max=1))
    await released(story, 4, run_id="R2", kind="supplementary")
    await story.file()
    story.clock.advance(24 * 3600)
    await released(story, 5, run_id="R3", kind="supplementary")
    await story.submit("R4", pay("S", bank=SOUTH), kind="supplementary")
    await story.release("R4")
    await story.file()
    await story.file(SOUTH)
    documents = [*await story.documents(), *await story.documents(SOUTH)]
    assert [d.sequence for d in documents] == [1, 2, 3, 4, 1, 1]
    assert [d.reference for d in documents] == [
        *(f"NORTH20150610{n:05}" for n in range(1, 5)), "NORTH2015061100001", "SOUTH2015061100001",
    ]  # fmt: skip
    assert len({d.name for d in documents}) == 6


async def test_a_sequence_is_not_lost_with_its_transaction(story: Story) -> None:
    """The process falls with the membership placed: nothing is filed, and the number is given to the next try."""
    await released(story, 1, 2)
    story.trap.at = "dispatch.placed"
    with pytest.raises(Fallen):
        await story.file()
    story.trap.at = ""
    assert (await story.documents(), await story.states()) == ([], {"R1-1": "ready", "R1-2": "ready"})
    assert await story.run_state("R1") == "released"
    assert [d.sequence for d in await story.file()] == [1]


async def test_the_database_refuses_a_name_twice(story: Story) -> None:
    """Reference, name at a bank, and number of a day are unique whatever the code does."""
    await released(story, 1, 2)
    await story.file(limits=Limits(rows_max=1))
    for change in (
        "reference = (SELECT MIN(reference) FROM document)",
        "name = (SELECT MIN(name) FROM document)",
        "sequence = 1",
    ):
        with pytest.raises(IntegrityError):
            await story.change(f"UPDATE document SET {change} WHERE key = 2")


async def test_a_plan_that_is_stale(story: Story) -> None:
    """A payment withdrawn between plan and filing: planned again and nothing half done; one more that became ready waits for its turn."""
    await story.submit("R1", pay("A"), pay("B"), doubted(3, pay("C"), "NAME"))
    await story.release("R1")
    (group,) = await story.ledger.ready_groups(NORTH)
    await story.withdraw("B")
    before = await story.control("R1")
    with pytest.raises(Conflict):
        await story.ledger.file_batch(group, await story.epoch(), [Ranks(1, 2)], Naming(NORTH, TODAY), TODAY)
    assert (await story.documents(), await story.control("R1")) == ([], before)
    assert await story.value("SELECT COUNT(*) FROM batch") == 0

    (group,) = await story.ledger.ready_groups(NORTH)
    await story.free("R1")
    await story.ledger.file_batch(group, await story.epoch(), [Ranks(1, 1)], Naming(NORTH, TODAY), TODAY)
    assert await story.states() == {"A": "batched", "B": "withdrawn", "C": "ready"}
    assert [document.count for document in await story.file()] == [1]


async def test_a_plan_of_other_amounts(story: Story) -> None:
    """As many payments as planned, but others: the amount cap was planned for those that are gone."""
    await story.submit("R1", doubted(1, pay("A", 900), "NAME"), pay("B", 10), pay("C", 20))
    await story.release("R1")
    (group,) = await story.ledger.ready_groups(NORTH)
    await story.withdraw("C")
    await story.free("R1")
    with pytest.raises(Conflict):
        await story.ledger.file_batch(group, await story.epoch(), [Ranks(1, 2)], Naming(NORTH, TODAY), TODAY)
    assert await story.states() == {"A": "ready", "B": "ready", "C": "withdrawn"}


async def test_filing_twice_at_once(story: Story) -> None:
    """One plan filed by two callers at the same moment: every payment stands in one Document."""
    await released(story, *range(1, 21))
    (group,) = await story.ledger.ready_groups(NORTH)
    epoch = await story.epoch()
    done = await asyncio.gather(
        *(story.ledger.file_batch(group, epoch, [Ranks(1, 20)], Naming(NORTH, TODAY), TODAY) for _ in range(3)),
        return_exceptions=True,
    )
    assert sorted(isinstance(result, Conflict) for result in done) == [False, True, True]
    assert [d.count for d in await story.documents()] == [20]


async def test_a_withdrawal_while_filing(story: Story) -> None:
    """A withdrawal that meets the filing either comes first or makes the Document void: never is a withdrawn payment in a file."""
    for number in range(6):
        run_id = f"R{number}"
        await released(story, *range(1, 31), run_id=run_id, period=f"2015-0{number + 1}")
        (group,) = await story.ledger.ready_groups(NORTH)
        epoch = await story.epoch()
        await asyncio.gather(
            story.ledger.file_batch(group, epoch, [Ranks(1, group.totals.count)], Naming(NORTH, TODAY), TODAY),
            *(story.withdraw(f"{run_id}-{n}") for n in (5, 17, 29)),
            return_exceptions=True,
        )
        wrong = await story.value(
            "SELECT COUNT(*) FROM attempt AS a JOIN document AS d ON d.key = a.document_key AND d.state = 'open' "
            "WHERE a.state <> 'batched'"
        )
        assert wrong == 0
        assert await story.ledger.faults() == []
        assert {(await story.states())[f"{run_id}-{n}"] for n in (5, 17, 29)} == {"withdrawn"}
        await story.file()


async def test_the_day_of_a_document_is_the_callers(story: Story) -> None:
    """The day is China's, as the lane says, not the database's."""
    await released(story, 1)
    (group,) = await story.ledger.ready_groups(NORTH)
    day = dt.date(2015, 6, 12)
    await story.ledger.file_batch(group, await story.epoch(), [Ranks(1, 1)], Naming(NORTH, day), day)
    assert await story.value("SELECT day FROM document") == "2015-06-12"


async def test_a_second_payment_is_filed_with_first_ones(story: Story) -> None:
    """A second try of its own Run waits for its own release and then travels like any other."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", Outcome.PAID), Word("B", Outcome.FAILED))
    await story.repay("B")
    second = await story.value("SELECT run_id FROM run WHERE kind = 'second_payment'")
    assert await story.ledger.ready_groups(NORTH) == []
    await story.ledger.propose_release(MAKER, second)
    await story.ledger.approve_release(CHECKER, second)
    (again,) = await story.file()
    assert (again.count, again.pay_date) == (1, TODAY.isoformat())
    assert await story.tries("B") == ["failed", "batched"]
