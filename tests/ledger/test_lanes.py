"""The lease of a lane: one owner at a time, and a stale epoch changes nothing."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.core.errors import Conflict
from gateway.core.ledger import Ranks
from gateway.core.states import DocumentEvent
from gateway.edge.ledger import SqlLedger
from tests.ledger.kit import NORTH, SOUTH, TODAY, Naming, Story, pay

Call = Callable[[Story, Any, int], Awaitable[Any]]


async def _file(story: Story, group: Any, epoch: int) -> Any:
    return await story.ledger.file_batch(group, epoch, [Ranks(1, 1)], Naming(NORTH, TODAY), TODAY)


#: Every write of a lane: the state in which its Document must be, and the call.
WRITES: dict[str, tuple[str, Call]] = {
    "file_batch": ("group", _file),
    "mark_sealed": ("open", lambda s, d, e: s.ledger.mark_sealed(d.key, e, "d" * 64, 9, None, "")),
    "set_aside": ("open", lambda s, d, e: s.ledger.set_aside(d.key, e, [(1, "CHARSET", "not in its charset")])),
    "mark_sending": ("sealed", lambda s, d, e: s.ledger.mark_sending(d.key, e)),
    "mark_travelled": ("sending", lambda s, d, e: s.ledger.mark_travelled(d.key, e, DocumentEvent.DELIVERED)),
    "doubt_sendings": ("sending", lambda s, d, e: s.ledger.doubt_sendings(d.bank, e)),
    "save_cursor": ("sending", lambda s, d, e: s.ledger.save_cursor(d.key, e, "part 2")),
    "mark_inquired": ("in_doubt", lambda s, d, e: s.ledger.mark_inquired(d.key, e)),
    "open_inquiry": ("in_doubt", lambda s, d, e: s.ledger.open_inquiry(d.key, e, Naming(NORTH, TODAY, "Q"), TODAY)),
}
#: Those that would file or send something new: a stopped lane does none of them.
OUTWARD = ("file_batch", "mark_sending", "set_aside")


async def arranged(story: Story, stage: str) -> Any:
    """A group to file, or a Document that stands in that state."""
    await story.submit("R1", pay("A"))
    await story.release("R1")
    if stage == "group":
        return (await story.ledger.ready_groups(NORTH))[0]
    (document,) = await story.file()
    if stage == "open":
        return document
    await story.seal(document)
    if stage == "sending":
        assert await story.ledger.mark_sending(document.key, await story.epoch())
    elif stage == "in_doubt":
        await story.travel(document, DocumentEvent.DOUBTED)
    return await story.document(document.key)


def test_every_write_of_a_lane_is_listed() -> None:
    """Whatever operation takes an epoch is in the table above: a new one cannot be forgotten."""
    members = inspect.getmembers(SqlLedger, inspect.iscoroutinefunction)
    fenced = {name for name, method in members if "epoch" in inspect.signature(method).parameters}
    assert fenced == set(WRITES)


@pytest.mark.parametrize("name", WRITES)
async def test_a_stale_epoch_writes_nothing(story: Story, name: str) -> None:
    """A sender that slept through the end of its lease is refused, and the books are as before; the new owner's call goes through."""
    stage, call = WRITES[name]
    target = await arranged(story, stage)
    stale = await story.epoch()
    story.clock.advance(61)
    assert await story.ledger.lane_lease(NORTH, "there", 60) == stale + 1
    before = await snapshot(story)
    with pytest.raises(Conflict, match="newer owner"):
        await call(story, target, stale)
    assert await snapshot(story) == before
    await call(story, target, stale + 1)
    assert await snapshot(story) != before


@pytest.mark.parametrize("name", WRITES)
async def test_a_stopped_lane_begins_nothing(story: Story, name: str) -> None:
    """A person's stop holds at once for filing and sending, with the lease still warm; how a sending ended is still written down."""
    stage, call = WRITES[name]
    target = await arranged(story, stage)
    epoch = await story.epoch()
    await story.ledger.stop_lane(NORTH, "the bank called", "mei")
    if name in OUTWARD:
        with pytest.raises(Conflict, match="stopped"):
            await call(story, target, epoch)
    else:
        await call(story, target, epoch)


async def snapshot(story: Story) -> list[tuple[Any, ...]]:
    """Documents, Attempts and the number of events."""
    documents = await story.rows("SELECT state, cursor, inquiries, sendings FROM document ORDER BY key")
    attempts = await story.rows("SELECT state, document_key FROM attempt ORDER BY key")
    count = await story.value("SELECT COUNT(*) FROM outbox")
    return [tuple(row) for row in [*documents, *attempts]] + [(count,)]


async def test_one_owner_at_a_time(story: Story) -> None:
    """While a lease lasts nobody else gets the lane; its owner renews it under the same epoch; afterwards another gets the next epoch."""
    lease = story.ledger.lane_lease
    assert await lease(NORTH, "here", 60) == 1
    assert await lease(NORTH, "there", 60) is None
    assert await lease(SOUTH, "there", 60) == 1
    story.clock.advance(59)
    assert await lease(NORTH, "there", 60) is None
    assert await lease(NORTH, "here", 60) == 1
    story.clock.advance(59)
    assert await lease(NORTH, "there", 60) is None
    story.clock.advance(1)
    assert await lease(NORTH, "there", 60) == 2
    assert await lease(NORTH, "here", 60) is None


async def test_a_lane_handed_over(story: Story) -> None:
    """A clean stop gives it up at once; only its owner can."""
    lease = story.ledger.lane_lease
    await lease(NORTH, "here", 60)
    await story.ledger.lane_free(NORTH, "there")
    assert await lease(NORTH, "there", 60) is None
    await story.ledger.lane_free(NORTH, "here")
    assert await lease(NORTH, "there", 60) == 2


async def test_a_stopped_lane_is_nobodys(story: Story) -> None:
    """Nobody gets it until a person resumes it; both Acts are on the chain with their reasons."""
    lease = story.ledger.lane_lease
    await lease(NORTH, "here", 60)
    await story.ledger.stop_lane(NORTH, "books do not agree", "gateway")
    assert await lease(NORTH, "here", 60) is None
    story.clock.advance(1_000)
    assert await lease(NORTH, "there", 60) is None
    assert [(lane["state"], lane["reason"]) for lane in await story.ledger.list_lanes()] == [
        ("stopped", "books do not agree")
    ]
    await story.ledger.resume_lane(NORTH, "mei", "looked")
    assert await lease(NORTH, "there", 60) == 2
    kinds = [(act.actor, act.kind) for act in await story.acts() if act.subject == f"lane:{NORTH}"]
    assert kinds == [("gateway", "lane.stopped"), ("mei", "lane.resumed")]


async def test_a_lane_can_be_stopped_before_it_runs(story: Story) -> None:
    """The kill switch works for a bank that nothing was ever sent to."""
    await story.ledger.stop_lane(SOUTH, "not yet", "mei")
    assert await story.ledger.lane_lease(SOUTH, "here", 60) is None
