"""Crash points made real: the process ends at the named one, as a power cut would end it."""

from __future__ import annotations

import os

from gateway.core.errors import Refused
from gateway.core.points import POINTS

VARIABLE = "SHEYIN_CRASH_AT"
#: As for a process that was killed with SIGKILL.
EXIT_STATUS = 137


class CrashPoints:
    """Dies at ``SHEYIN_CRASH_AT``; without it every point is passed. Raises Refused for a name that is no point."""

    def __init__(self, setting: str | None = None) -> None:
        name, _, times = (os.environ.get(VARIABLE, "") if setting is None else setting).partition(":")
        if name and name not in POINTS:
            raise Refused(f"{VARIABLE} names no crash point: {name}; there are {', '.join(POINTS)}")
        self._name = name
        self._left = int(times or 1)

    def reach(self, name: str) -> None:
        """Go on, unless this is the place."""
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os._exit(EXIT_STATUS)
