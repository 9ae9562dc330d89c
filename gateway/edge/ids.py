"""Message ids: ULIDs, 26 characters of Crockford's base 32, in the order of time (https://github.com/ulid/spec).

48 bits of milliseconds from the Clock, 80 random bits. Within one millisecond, and when the clock jumps back, an id is
the last one plus a random step, so ids of one process never repeat nor run backwards: databases like them as keys.
"""

from __future__ import annotations

import os
import threading

from gateway.core.ports import Clock

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]  # ten bits at a time
_RANDOM_BITS = 80
_STEP_BYTES = 4


class TimeIds:
    """The Ids port made real; safe in threads and after a fork (the random part is drawn anew for each millisecond)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._lock = threading.Lock()

    def message(self) -> str:
        """A new message id, 26 ASCII characters, greater than all before it."""
        milliseconds = int(self._clock.now().timestamp() * 1000)
        with self._lock:
            if milliseconds > self._last >> _RANDOM_BITS:
                value = (milliseconds << _RANDOM_BITS) | int.from_bytes(os.urandom(_RANDOM_BITS // 8))
            else:
                value = self._last + 1 + int.from_bytes(os.urandom(_STEP_BYTES))
            self._last = value
        return _PAIRS[value >> 120 & 1023] + "".join([_PAIRS[value >> shift & 1023] for shift in range(110, -1, -10)])
