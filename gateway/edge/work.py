"""The Work port made real: synchronous work on bytes in threads, or inline where everything has to happen in order.

Hashing, AES, RSA and libxml2 let go of the interpreter's lock, so threads help there; the event loop stays awake.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

THREADS_MAX = 4
_M_ARENA_MAX = -8  # malloc.h


def one_heap() -> None:
    """Let all threads of this process share one heap, before there are any. Where the C library has no such setting, nothing.

    glibc gives every thread a heap of its own and keeps what was freed there: the reference month took 331 MiB, with one
    heap 239 MiB, in the same time. The interpreter's lock already lets one thread at a time allocate, so nobody waits.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_ARENA_MAX, 1)


class ThreadWork:
    """A small pool of threads. A cancelled caller does not stop the work: it runs to its end, unheard."""

    def __init__(self, threads_max: int = THREADS_MAX) -> None:
        self._pool = ThreadPoolExecutor(threads_max, thread_name_prefix="work")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it in a thread, with the caller's context (log fields), and return its result or raise its error."""
        call = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Wait for what runs; nothing more is taken."""
        self._pool.shutdown()


class InlineWork:
    """Call it right here: for the simulation, and where the work is shorter than a thread's hand-over."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it now and return its result or raise its error."""
        return function(*args, **kwargs)
