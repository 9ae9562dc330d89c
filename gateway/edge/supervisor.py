"""Owns the gateway's long tasks: starts them, starts them again when they crash, stops them within a bound.

A task here never ends by itself. Whatever ends it is a crash: an error, a return, and a ``CancelledError`` that nobody
asked for, which is what a dying broker connection does to whoever waits on it (PROMISES, section 0 fact 4). The one
exception is `Halt`: an invariant is broken, so the task stays down until a person resumes it (P14).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum

import msgspec
import structlog

from gateway.core.errors import Code, Halt, Refused
from gateway.core.ports import Clock
from gateway.edge.backoff import Backoff, jitter
from gateway.edge.clock import SystemClock

log = structlog.get_logger(__name__)

Factory = Callable[[], Awaitable[object]]
ERROR_CHARS_MAX = 500


class TaskState(StrEnum):
    """What a long task is doing."""

    WAITING = "waiting"  # not started yet
    RUNNING = "running"
    CRASHED = "crashed"  # it starts again after its back-off
    HALTED = "halted"  # it starts again when a person says so
    STOPPED = "stopped"
    STUCK = "stuck"  # asked to stop, cancelled, and still there


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the census. ``since`` is when the present state began, UTC."""

    name: str
    state: TaskState
    since: datetime
    restarts: int
    last_error: str  # of the last crash, also while running again
    last_crash: datetime | None


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the supervisor is, in seconds."""

    restart_first_s: float = 0.2
    restart_max_s: float = 30.0
    healthy_after_s: float = 60.0  # after running so long, the next crash is a first one again
    drain_s: float = 10.0  # for a task that drains: to end what is under way once asked to stop
    cancel_s: float = 5.0  # for ending once cancelled


class _Child:
    def __init__(self, name: str, factory: Factory, drains: bool, now: datetime) -> None:
        self.name = name
        self.factory = factory
        self.drains = drains
        self.state = TaskState.WAITING
        self.since = now
        self.restarts = 0
        self.last_error = ""
        self.last_crash: datetime | None = None
        self.task: asyncio.Task[object] | None = None
        self.minder: asyncio.Task[None] | None = None
        self.resumed = asyncio.Event()


class Supervisor:
    """All long tasks of one process. `add` them, `start`, and `stop` at the end; `census` tells how they are.

    A task added with ``drains`` watches `stopping` and ends at a good moment, between two messages say; all others are
    cancelled at once.
    """

    def __init__(
        self, *, clock: Clock | None = None, bounds: Bounds | None = None, spread: Callable[[], float] = jitter
    ) -> None:
        self.stopping = asyncio.Event()
        self._clock = clock or SystemClock()
        self._bounds = bounds or Bounds()
        self._spread = spread
        self._children: dict[str, _Child] = {}
        self._started = False

    def add(self, name: str, factory: Factory, *, drains: bool = False) -> None:
        """A task that ``factory()`` makes, anew for every start. Raises Refused if the name is taken."""
        if name in self._children:
            raise Refused("a task of that name is there already", code=Code.DUP, where=name)
        child = self._children[name] = _Child(name, factory, drains, self._clock.now())
        if self._started:
            self._begin(child)

    def start(self) -> None:
        """Start them all. What is added later starts at once."""
        self._started = True
        for child in self._children.values():
            self._begin(child)

    def resume(self, name: str) -> None:
        """A person has looked: start a halted task again, or a crashed one without waiting. Raises Refused."""
        child = self._children.get(name)
        if child is None or child.state not in (TaskState.HALTED, TaskState.CRASHED):
            raise Refused("no such task that is down", where=name)
        child.resumed.set()

    def census(self) -> list[TaskStatus]:
        """Every task, by name."""
        return [
            TaskStatus(
                name=child.name,
                state=child.state,
                since=child.since,
                restarts=child.restarts,
                last_error=child.last_error,
                last_crash=child.last_crash,
            )
            for _, child in sorted(self._children.items())
        ]

    def unready(self) -> list[str]:
        """Why this process is not ready, one sentence for each task that does not run; empty when all do."""
        return [
            f"{status.name} is {status.state} since {status.since.isoformat(timespec='seconds')}"
            + (f": {status.last_error}" if status.last_error else "")
            for status in self.census()
            if status.state is not TaskState.RUNNING
        ]

    async def stop(self) -> list[str]:
        """Ask all to stop: who drains has ``drain_s`` for it, all others are cancelled; then ``cancel_s`` for the rest.

        Returns the names of those that are still there: the process should end without them. Can be repeated.
        """
        self.stopping.set()
        minders = [child.minder for child in self._children.values() if child.minder is not None]
        if not minders:
            return []
        self._cancel(drains=False)
        draining = [child.minder for child in self._children.values() if child.minder is not None and child.drains]
        if draining:
            await asyncio.wait(draining, timeout=self._bounds.drain_s)
        self._cancel(drains=True)
        await asyncio.wait(minders, timeout=self._bounds.cancel_s)
        stuck = [child for child in self._children.values() if child.minder is not None and not child.minder.done()]
        for child in stuck:
            self._turn(child, TaskState.STUCK)
            log.error("task.stuck", task=child.name)
        return sorted(child.name for child in stuck)

    async def run(self) -> list[str]:
        """Start all, wait until somebody sets `stopping` or cancels us, and stop. Returns what `stop` returns."""
        self.start()
        try:
            await self.stopping.wait()
        finally:
            stuck = await self.stop()
        return stuck

    # ------------------------------------------------------------------------------------------------ inside

    def _begin(self, child: _Child) -> None:
        if child.minder is None and not self.stopping.is_set():
            child.minder = asyncio.create_task(self._mind(child), name=f"minder of {child.name}")

    def _cancel(self, *, drains: bool) -> None:
        for child in self._children.values():
            if child.task is not None and not child.task.done() and child.drains is drains:
                child.task.cancel()

    def _turn(self, child: _Child, state: TaskState) -> None:
        child.state, child.since = state, self._clock.now()

    async def _mind(self, child: _Child) -> None:
        backoff = Backoff(self._bounds.restart_first_s, self._bounds.restart_max_s, self._spread)
        while not self.stopping.is_set():
            self._turn(child, TaskState.RUNNING)
            began_s = self._clock.monotonic()
            error = await self._run_once(child)
            if self.stopping.is_set():
                break
            if self._clock.monotonic() - began_s >= self._bounds.healthy_after_s:
                backoff.reset()
            child.restarts += 1
            child.last_crash = self._clock.now()
            child.last_error = _sentence(error)
            halted = isinstance(error, Halt)
            self._turn(child, TaskState.HALTED if halted else TaskState.CRASHED)
            wait_s = None if halted else backoff.next_s()
            log.error("task.down", task=child.name, error=child.last_error, halted=halted, restarts=child.restarts)
            del error  # its traceback holds the frames of the crashed task, and with them what it had open
            await self._until(child.resumed, wait_s)
            child.resumed.clear()
        self._turn(child, TaskState.STOPPED)

    async def _run_once(self, child: _Child) -> BaseException | None:
        """Run it to its end; how it ended, None for a return.

        The task is awaited through ``asyncio.wait``, which never raises what the task raised: its CancelledError is not
        taken for ours.
        """
        child.task = asyncio.create_task(_awaited(child.factory), name=child.name)
        await asyncio.wait([child.task])
        task, child.task = child.task, None
        if task.cancelled():
            return asyncio.CancelledError("cancelled, though nobody asked it to stop")
        return task.exception()

    async def _until(self, resumed: asyncio.Event, seconds: float | None) -> None:
        """Wait that long (None: for ever), or until it is resumed, or until all stop."""
        either = [asyncio.ensure_future(event.wait()) for event in (resumed, self.stopping)]
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in either:
                future.cancel()


async def _awaited(factory: Factory) -> object:
    return await factory()


def _sentence(error: BaseException | None) -> str:
    if error is None:
        return "it returned, though it should run for ever"
    return f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX]
