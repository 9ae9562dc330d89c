"""A bell between stages: work is looked for at once when somebody rings, and now and then anyway."""

from __future__ import annotations

import asyncio


class Bell:
    """Everyone who waits hears it; who was busy meanwhile finds that it has rung since."""

    def __init__(self) -> None:
        self.rung = 0
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Something changed in the ledger."""
        self.rung += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, heard: int, seconds: float) -> None:
        """Until it has rung since ``heard`` (an earlier ``rung``), at most ``seconds``: a ring is a hint, the ledger is the truth."""
        if self.rung != heard:
            return
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return
