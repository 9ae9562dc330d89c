"""What a look into a bank's folder comes to: plain, whole files under allowed names, oldest first.

A file that grows while it is read is half a file (G3). Either the bank renames its files into place (``complete =
"rename"``), or a file counts only once two looks, some seconds apart, saw the same size and time of change
(``"stable"``, the default, since it needs no promise). Memory of a folder is bounded: of more than ``LOOKED_AT_MAX``
names the rest waits until these are gone (G7).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Literal, NamedTuple

import structlog

from gateway.core.ports import Clock
from gateway.core.route import Entry
from gateway.edge.wires.names import is_name, is_temporary

LOOKED_AT_MAX = 100_000
_TOLD_MAX = 1_000

Complete = Literal["stable", "rename"]


class Seen(NamedTuple):
    """One name in a folder, as the transport tells of it."""

    name: str
    plain: bool  # a regular file: no link, folder, FIFO or device
    size: int
    changed: int


class _Look(NamedTuple):
    size: int
    changed: int
    since_s: float


class Listing:
    """The looks at one bank's folders; remembers what a first look saw."""

    def __init__(self, bank: str, clock: Clock, complete: Complete, stable_s: int) -> None:
        self._log = structlog.get_logger("wire").bind(bank=bank)
        self._clock = clock
        self._complete = complete
        self._stable_s = stable_s
        self._looks: dict[str, dict[str, _Look]] = {}  # by folder
        self._told: set[str] = set()

    def entries(self, folder: str, seen: Iterable[Seen], most: int) -> tuple[Entry, ...]:
        """At most ``most`` of the files that may be taken, oldest first. What is left out for its name is logged once."""
        whole = self._whole(folder, [item for item in seen if self._allowed(folder, item)])
        found = heapq.nsmallest(most, whole, key=lambda item: (item.changed, item.name))
        return tuple(Entry(item.name, item.size, item.changed) for item in found)

    def _allowed(self, folder: str, item: Seen) -> bool:
        if is_temporary(item.name) or item.name.startswith("."):
            return False
        if item.plain and is_name(item.name):
            return True
        if not is_name(item.name) and item.name not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(item.name)
            self._log.warning("a name that is not taken", code="PATH", folder=folder, spelled=item.name[:200])
        return False

    def _whole(self, folder: str, items: list[Seen]) -> list[Seen]:
        if self._complete == "rename":
            return items
        now = self._clock.monotonic()
        before = self._looks.get(folder, {})
        looks: dict[str, _Look] = {}
        whole = []
        for item in items:
            look = before.get(item.name)
            if look is None or (look.size, look.changed) != (item.size, item.changed):
                look = _Look(item.size, item.changed, now)
            elif now - look.since_s >= self._stable_s:
                whole.append(item)
            looks[item.name] = look
        self._looks[folder] = looks
        return whole
