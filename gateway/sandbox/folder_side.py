"""A directory as a bank's door: ``in/`` is watched, what is booked moves to ``in/done/``, answers appear in ``out/``.

A file counts once it stands under its final name. Names that end in a temporary suffix or begin with a dot are not looked at. A detached seal
is laid down before the file it belongs to, both ways, each under a temporary name first.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from gateway.sandbox.doors import BYTES_MAX, Arrival, Outgoing

SEAL_SUFFIX = ".p7s"
TEMPORARY = (".tmp", ".part", ".filepart")
SEAL_WAIT_S = 2.0  # a file without a seal is taken as unsealed only after this long


class FolderDoor:
    """The folder wire; the SFTP door serves the same directory to the network."""

    def __init__(self, directory: Path, *, detached: bool) -> None:
        self._in, self._done, self._out = directory / "in", directory / "in" / "done", directory / "out"
        self._directory = directory
        self._detached = detached
        self._waiting: dict[str, float] = {}  # file without its seal → since when (monotonic)

    async def open(self) -> dict[str, str | int]:
        """Make the directories."""
        for folder in (self._in, self._done, self._out, self._out / "done"):
            folder.mkdir(parents=True, exist_ok=True)
        return {"directory": str(self._directory)}

    async def next(self) -> Arrival | None:
        """The oldest file that is wholly there."""
        for name in self._names():
            seal = None
            if self._detached:
                seal = _read(self._in / (name + SEAL_SUFFIX))
                since = self._waiting.setdefault(name, time.monotonic())
                if seal is None and time.monotonic() - since < SEAL_WAIT_S:
                    continue
            self._waiting.pop(name, None)
            payload = await asyncio.to_thread(_read, self._in / name)
            if payload is not None:
                return Arrival(name, payload, seal, None)
        return None

    async def aside(self, arrival: Arrival, *, keep: bool) -> bool:
        """Move it, with its seal, to ``done/``."""
        for name in (arrival.name, arrival.name + SEAL_SUFFIX):
            path = self._in / name
            if keep and path.exists():
                path.replace(self._done / name)
            else:
                path.unlink(missing_ok=True)
        return True

    async def hand_over(self, outgoing: Outgoing) -> bool:
        """Write it into ``out/``. What lies there under that name already was written before a crash, or waits to be taken."""
        if (self._out / outgoing.name).exists():
            return not outgoing.again
        if outgoing.seal is not None:
            self._write(outgoing.name + SEAL_SUFFIX, outgoing.seal)
        await asyncio.to_thread(self._write, outgoing.name, outgoing.payload)
        return True

    async def close(self) -> None:
        """Nothing is held open."""

    def _write(self, name: str, data: bytes) -> None:
        temporary = self._out / (name + TEMPORARY[0])
        temporary.write_bytes(data)
        temporary.replace(self._out / name)

    def _names(self) -> list[str]:
        found = []
        with os.scandir(self._in) as entries:
            for entry in entries:
                hidden = entry.name.startswith(".") or entry.name.endswith((*TEMPORARY, SEAL_SUFFIX))
                if not hidden and entry.is_file(follow_symlinks=False):
                    found.append((entry.stat().st_mtime_ns, entry.name))
        return [name for _, name in sorted(found)]


def _read(path: Path) -> bytes | None:
    """At most one byte over the cap, so that a larger file is seen to be too large; None if it is not there."""
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        return None
