"""A door is one wire as the bank sees it: files come in through it, answers go out."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

#: The largest file a bank takes; larger ones are refused unread.
BYTES_MAX = 64 * 1024 * 1024


class Arrival(NamedTuple):
    """One file from the bureau."""

    name: str
    payload: bytes
    seal: bytes | None
    token: object  # what the door needs to put it aside


class Outgoing(NamedTuple):
    """One document of the bank's on its way."""

    name: str
    payload: bytes
    seal: bytes | None
    kind: str
    reference: str  # of the bureau's Document that it answers
    again: bool = False  # it was handed over before, and is to be once more on purpose


class Door(Protocol):
    """What each wire does for a bank."""

    async def open(self) -> dict[str, str | int]:
        """Begin to listen; returns what the ready line tells (ports, directories)."""
        ...

    async def next(self) -> Arrival | None:
        """A file that is wholly there, or None if there is none now."""
        ...

    async def aside(self, arrival: Arrival, *, keep: bool) -> bool:
        """It is in the books (or, with ``keep`` false, lost on purpose): put it aside. False if that failed and it will come again."""
        ...

    async def hand_over(self, outgoing: Outgoing) -> bool:
        """Give it to the bureau; False if that cannot be now, so that it is tried again."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait that long, or until the process is told to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
