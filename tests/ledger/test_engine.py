"""Transactions: whole or not at all, on both databases, and what an error says about them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from gateway.core.errors import Unavailable
from gateway.core.ledger import Recorded
from gateway.core.states import DocumentEvent
from gateway.edge.atrest import AtRest
from gateway.edge.ids import TimeIds
from gateway.edge.ledger import SqlLedger, World, open_driver
from gateway.edge.ledger.bulk import load, stage
from gateway.edge.ledger.engine import Tx
from tests.ledger.conftest import MASTER
from tests.ledger.kit import NORTH, Story, pay

COUNTERS = [(f"c-{n}", n) for n in range(1_000)]


def load_and(end: Exception | None, *, first: bool) -> Any:
    """An operation that loads rows in bulk, as its first statement or after another, and then ends as told."""

    def operation(tx: Tx) -> None:
        if not first:
            tx.run("SELECT 1")
        load(tx, "counter", ("name", "value"), COUNTERS)
        if end:
            raise end

    return operation


@pytest.mark.parametrize("first", [True, False])
async def test_a_bulk_load_dies_with_its_transaction(story: Story, first: bool) -> None:
    """COPY as the first statement of a transaction goes past SQLAlchemy's BEGIN: its rows must not survive a rollback."""
    with pytest.raises(RuntimeError):
        await story.do(load_and(RuntimeError("rolled back"), first=first))
    assert await story.value("SELECT COUNT(*) FROM counter") == 0
    await story.do(load_and(None, first=first))
    assert await story.value("SELECT COUNT(*) FROM counter") == 1_000


async def test_a_staged_table_dies_with_its_transaction(story: Story) -> None:
    """A temporary table filled by one transaction is empty for the next on the same connection."""

    def operation(tx: Tx) -> int:
        stage(tx, "stage_test", (("key", "BIGINT PRIMARY KEY"), ("word", "TEXT")), [(1, "a"), (2, "b")])
        return int(tx.scalar("SELECT COUNT(*) FROM stage_test"))

    def fails(tx: Tx) -> None:
        operation(tx)
        raise RuntimeError

    for _ in range(3):
        assert await story.do(operation) == 2
        with pytest.raises(RuntimeError):
            await story.do(fails)


async def test_a_bulk_load_breaks_constraints_as_an_insert_does(story: Story) -> None:
    """A key that is taken raises IntegrityError from both, and inside a savepoint the transaction goes on."""
    await story.do(load_and(None, first=True))
    with pytest.raises(IntegrityError):
        await story.do(load_and(None, first=True))

    def operation(tx: Tx) -> None:
        with pytest.raises(IntegrityError), tx.c.begin_nested():
            load(tx, "counter", ("name", "value"), COUNTERS[:1])
        load(tx, "counter", ("name", "value"), [("after", 1)])

    await story.do(operation)
    assert await story.value("SELECT COUNT(*) FROM counter") == 1_001


async def test_a_reading_operation_cannot_write(sqlite_story: Story) -> None:
    """What is bound as a read is refused by the database itself when it writes."""
    with pytest.raises((Unavailable, DBAPIError)):
        await sqlite_story.ledger.driver.read(lambda tx: tx.run("DELETE FROM counter"))


async def test_a_snapshot_cannot_write(pg_story: Story) -> None:
    """Nor can what looks at one instant."""
    with pytest.raises((Unavailable, DBAPIError)):
        await pg_story.ledger.driver.snapshot(lambda tx: tx.run("DELETE FROM counter"))


async def test_the_books_agree_while_money_moves(story: Story) -> None:
    """The check of every fen may run at any time: it sees one instant, never half of a move."""
    await story.submit("R1", *(pay(f"I-{n}") for n in range(300)))
    await story.release("R1")
    done = asyncio.Event()
    found: list[str] = []

    async def watch() -> None:
        while not done.is_set():
            found.extend(await story.ledger.faults())

    watching = asyncio.create_task(watch())
    for _ in range(4):
        for document in await story.file():
            await story.seal(document)
        await story.withdraw(f"I-{len(await story.documents())}")
    done.set()
    await watching
    assert found == []


async def test_one_header_from_two_consumers(story: Story) -> None:
    """Two messages with one Run's header at the same moment: one opens it, the other finds it, nobody breaks."""
    done = await asyncio.gather(*(story.header("R1", 1, 100_00) for _ in range(5)))
    assert sorted(done) == [Recorded.DUP] * 4 + [Recorded.NEW]
    assert await story.value("SELECT COUNT(*) FROM run") == 1


async def test_one_leases_a_lane(story: Story) -> None:
    """Ten replicas want the lane at the same moment: one gets it."""
    won = await asyncio.gather(*(story.ledger.lane_lease(NORTH, f"replica-{n}", 60) for n in range(10)))
    assert [epoch for epoch in won if epoch is not None] == [1]


async def test_a_withdrawal_meets_the_sending(story: Story) -> None:
    """Either the payment is withdrawn and its Document void, or it is sent and the payer hears so: nothing between, no broken invariant."""
    for number in range(6):
        run_id = f"R{number}"
        await story.submit(run_id, pay(f"A{number}"), pay(f"B{number}"), period=f"2015-0{number + 1}")
        await story.release(run_id)
        (document,) = await story.file()
        await story.seal(document)
        epoch = await story.epoch()
        sending, _ = await asyncio.gather(
            story.ledger.mark_sending(document.key, epoch), story.withdraw(f"A{number}"), return_exceptions=True
        )
        assert sending in (True, False)
        state = (await story.document(document.key)).state
        assert (state, await story.tries(f"A{number}")) in (("sending", ["batched"]), ("void", ["withdrawn"]))
        if sending:
            await story.ledger.mark_travelled(document.key, epoch, DocumentEvent.DELIVERED)
        else:
            await story.dispatch()


async def test_a_ledger_that_is_away(story: Story) -> None:
    """Nothing is known to have happened: the error says so, and is no other."""
    url = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing" if story.postgresql else "sqlite:////nowhere/ledger.db"
    away = SqlLedger(open_driver(url, World(story.clock, TimeIds(story.clock), AtRest(MASTER), story.trap)))
    try:
        with pytest.raises(Unavailable):
            await away.complete_runs()
        with pytest.raises(Unavailable):
            await away.close_runs()
        with pytest.raises(Unavailable):
            await away.faults()
    finally:
        await away.driver.close()


async def test_a_cancelled_caller_leaves_no_half(story: Story) -> None:
    """A caller that is cancelled in the middle finds the transaction either done or not done, and the ledger goes on."""
    await story.header("R1", 200, 200 * 100_00)
    task = asyncio.create_task(story.chunk("R1", 1, *(pay(f"I-{n}") for n in range(200))))
    await asyncio.sleep(0.005)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):  # a fast machine may be done by then
        await task
    assert await story.value("SELECT COUNT(*) FROM instruction") in (0, 200)
    await story.chunk("R1", 1, *(pay(f"I-{n}") for n in range(200)))
    assert await story.conclude() == {"R1": "accepted"}
