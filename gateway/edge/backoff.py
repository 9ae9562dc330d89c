"""Waiting between two tries of something of ours: doubling, capped, jittered, and ended early by a stop.

For servers and tasks of our own only. Whether a call that may have paid is made again is never decided here (P14).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable


def jitter() -> float:
    """A fraction from 0.5 up to 1, so that many who fail together do not come back together."""
    return 0.5 + secrets.randbelow(1000) / 2000


class Backoff:
    """The seconds to wait before each next try. ``spread`` gives the fraction of them that counts."""

    def __init__(self, first_s: float, max_s: float, spread: Callable[[], float] = jitter) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._spread = spread
        self._step_s = first_s

    def next_s(self) -> float:
        """Seconds to wait now; twice as many next time."""
        step_s, self._step_s = self._step_s, min(2 * self._step_s, self._max_s)
        return step_s * self._spread()

    def reset(self) -> None:
        """It worked: start small again."""
        self._step_s = self._first_s


async def pause(ended: asyncio.Event, seconds: float) -> None:
    """Wait that long, or until ``ended`` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ended.wait()
