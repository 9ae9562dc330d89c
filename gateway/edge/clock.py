"""The Clock port made real: the system's time, and a clock that moves only when it is told to.

The system clock's ``now`` may jump (NTP, an operator); spans and waits use the monotonic clock, which does not (F31).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        """Aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds for measuring spans."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that long in real time."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A virtual date for the demo and the tests: ``now`` and ``sleep`` follow ``advance``, ``monotonic`` stays real.

    Whoever drives it calls ``advance`` (or ``advance_to_next`` when all are asleep); sleepers wake in the order of
    their due times. It belongs to one event loop; ``now`` may be read from any thread.
    """

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock starts at an aware time")
        self._now = start.astimezone(UTC)
        self._order = itertools.count()  # two sleepers due at the same moment wake in the order in which they lay down
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The virtual time, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Real seconds: work takes as long as it takes, whatever the date."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait until the virtual time has moved on by ``seconds``; at least one turn of the loop."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), waiter))
        await waiter

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds`` and wake who is due by then. Raises ValueError backwards."""
        self.advance_to(self._now + timedelta(seconds=seconds))

    def advance_to(self, moment: datetime) -> None:
        """Move on to ``moment`` and wake who is due by then. Raises ValueError backwards."""
        if moment < self._now:
            raise ValueError(f"this clock does not run backwards: {moment.isoformat()} < {self._now.isoformat()}")
        self._now = moment.astimezone(UTC)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, waiter = heapq.heappop(self._sleepers)
            if not waiter.done():  # a cancelled sleeper is done already
                waiter.set_result(None)

    def next_due(self) -> datetime | None:
        """When the first sleeper is due; None if nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def advance_to_next(self) -> bool:
        """Move on to the first sleeper's due time; False if nobody sleeps."""
        due = self.next_due()
        if due is None:
            return False
        self.advance_to(due)
        return True
