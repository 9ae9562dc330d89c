"""Clocks and ids: virtual time moves only when told to; ids never repeat nor run backwards."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.edge.clock import ManualClock, SystemClock
from gateway.edge.ids import TimeIds

JUNE = datetime(2015, 6, 10, 1, 0, tzinfo=UTC)


def test_the_system_clock_is_utc() -> None:
    """No local time gets in."""
    assert SystemClock().now().tzinfo is UTC


async def test_the_system_clock_sleeps_in_real_time() -> None:
    """A wait takes at least as long as it says on the monotonic clock."""
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.02)
    assert clock.monotonic() - before >= 0.019


async def test_sleepers_wake_in_order_when_time_passes_them() -> None:
    """Nobody wakes early; who is due first wakes first; equal ones in the order they lay down."""
    clock = ManualClock(JUNE)
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name, seconds in (("late", 60.0), ("soon", 10.0), ("soon too", 10.0)):
            tasks.create_task(sleeper(name, seconds))
        await asyncio.sleep(0)
        clock.advance(9.9)
        await asyncio.sleep(0)
        assert woken == []
        assert clock.next_due() == JUNE + timedelta(seconds=10)
        clock.advance_to_next()
        await asyncio.sleep(0)
        assert woken == ["soon", "soon too"]
        clock.advance(3600)
    assert woken == ["soon", "soon too", "late"]
    assert not clock.advance_to_next()
    assert clock.now() == JUNE + timedelta(seconds=10 + 3600)


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    """Time may pass a sleeper that is gone."""
    clock = ManualClock(JUNE)
    task = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.next_due() is None
    clock.advance(10)


async def test_no_wait_still_lets_others_run() -> None:
    """A zero sleep gives way once and needs nobody to move the time."""
    await asyncio.wait_for(ManualClock(JUNE).sleep(0), 1)


def test_it_does_not_run_backwards() -> None:
    """A date that was seen stays in the past; a start without a zone is a mistake."""
    clock = ManualClock(JUNE)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2015, 6, 10))


def test_it_keeps_utc_whatever_it_is_given() -> None:
    """Shanghai's nine o'clock is one o'clock here."""
    assert ManualClock(datetime(2015, 6, 10, 9, 0, tzinfo=timezone(timedelta(hours=8)))).now() == JUNE


def test_ids_grow_within_and_across_milliseconds() -> None:
    """All distinct, all in order, all of the documented shape, with the clock standing still and moving."""
    clock = ManualClock(JUNE)
    ids = TimeIds(clock)
    made = []
    for step in range(300):
        made.append(ids.message())
        if step % 3 == 0:
            clock.advance(0.001)
    assert made == sorted(set(made))
    assert all(re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", id_) for id_ in made)


def test_ids_survive_a_clock_that_jumps_back() -> None:
    """The order of one process holds when the system's time is set back."""

    class Jumping(SystemClock):
        def __init__(self) -> None:
            self.moments = [JUNE, JUNE - timedelta(days=1), JUNE - timedelta(days=2)]

        def now(self) -> datetime:
            return self.moments.pop(0)

    ids = TimeIds(Jumping())
    first, second, third = ids.message(), ids.message(), ids.message()
    assert first < second < third


def test_ids_carry_their_time() -> None:
    """The first ten characters are the milliseconds, as the ULID specification has it."""
    made = TimeIds(ManualClock(JUNE)).message()
    value = 0
    for character in made[:10]:
        value = value * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(character)
    assert value == int(JUNE.timestamp() * 1000)


def test_two_processes_do_not_meet() -> None:
    """Eighty random bits keep the ids of replicas apart in the same millisecond."""
    clock = ManualClock(JUNE)
    made = {TimeIds(clock).message() for _ in range(1_000)}
    assert len(made) == 1_000
