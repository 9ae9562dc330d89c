"""Stand-ins behind the ports for the tests of the flow: a wire to a bank that keeps its files in memory, a clock, a broker that refuses.

`FakeWire` is honest to the Wire port: NotSent only where nothing happened, InDoubt where a name is taken, and whatever a test plans for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gateway.core.errors import Code, InDoubt, Malformed, NotSent
from gateway.core.ports import Archive, Message
from gateway.core.route import Done, Entry, List, Publish, Put, Rename, Request, SealedDocument, Stat
from gateway.edge.bus_local import LocalBus
from gateway.edge.clock import ManualClock

CHUNK_BYTES = 4_096
Matches = Callable[[Request], bool]


class Plan(NamedTuple):
    """One thing that goes wrong: at the next request that fits, before or after it has had its effect."""

    fits: Matches
    error: BaseException
    after: bool
    times: int


class FakeWire:
    """A bank's folders in memory. ``files`` is what stands there, ``asked`` every request in order."""

    def __init__(self, archive: Archive) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[Request] = []
        self.published: list[SealedDocument] = []
        self.unreadable: dict[str, BaseException] = {}
        self._archive = archive
        self._plans: list[Plan] = []

    def fail(self, fits: type[Request] | Matches, error: BaseException, *, after: bool = False, times: int = 1) -> None:
        """Let the next ``times`` requests of a kind (or those that fit) end with ``error``."""
        matches: Matches = (lambda request: isinstance(request, fits)) if isinstance(fits, type) else fits
        self._plans.append(Plan(matches, error, after, times))

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        self._plans.clear()
        self.unreadable.clear()

    def put(self, name: str, payload: bytes, seal: bytes | None = None, folder: str = "out") -> None:
        """The bank lays a file out for us."""
        if seal is not None:
            self.files[f"{folder}/{name}.p7s"] = seal
        self.files[f"{folder}/{name}"] = payload

    def sent(self) -> list[str]:
        """Names of payloads that stand at the bank under their final names, taken or not."""
        names = [path.rpartition("/")[2] for path in self.files if path.startswith("in/")]
        return [name for name in names if not name.endswith((".tmp", ".p7s"))]

    def finals(self) -> list[str]:
        """Every payload name that was given its final name, in order, successful or not."""
        renames = [request.new for request in self.asked if isinstance(request, Rename) and request.final]
        return [name.removeprefix("in/") for name in renames]

    async def perform(self, request: Request) -> Any:
        """See the port."""
        self.asked.append(request)
        plan = next((plan for plan in self._plans if plan.fits(request)), None)
        if plan is None:
            return self._act(request)
        place = self._plans.index(plan)
        self._plans[place : place + 1] = [plan._replace(times=plan.times - 1)] if plan.times > 1 else []
        if plan.after:
            self._act(request)
        raise plan.error

    async def read(self, path: str) -> AsyncIterator[bytes]:
        """See the port."""
        if path in self.unreadable:
            raise self.unreadable[path]
        if path not in self.files:
            raise NotSent(f"{path} has vanished")
        data = self.files[path]
        for start in range(0, len(data), CHUNK_BYTES):
            yield data[start : start + CHUNK_BYTES]

    async def close(self) -> None:
        """Nothing is held open."""

    def _act(self, request: Request) -> Any:
        match request:
            case Put():
                self._put(request)
            case Rename(old, new):
                self._rename(old, new)
            case Stat(path, size):
                return self._stat(path, size)
            case List(path, most):
                return self._list(path)[:most]
            case Done(path):
                if path in self.files:
                    folder, _, name = path.rpartition("/")
                    self.files[f"{folder}/done/{name}"] = self.files.pop(path)
            case Publish():
                self.published.append(request.document)
            case _:
                raise NotSent(f"this wire cannot {type(request).__name__}")
        return None

    def _put(self, request: Put) -> None:
        if request.final and request.path in self.files:
            raise InDoubt(f"{request.path} is there already", code=Code.DUP)
        if request.seal:
            assert request.document.seal is not None
            self.files[request.path] = request.document.seal
            return
        with self._archive.open(request.document.digest) as source:
            self.files[request.path] = source.read()

    def _rename(self, old: str, new: str) -> None:
        if new in self.files:
            raise InDoubt(f"{new} is there already", code=Code.DUP)
        if old not in self.files:
            raise NotSent(f"{old} is not there")
        self.files[new] = self.files.pop(old)

    def _stat(self, path: str, size: int | None) -> int | None:
        found = self.files.get(path)
        if found is not None and size is not None and len(found) != size:
            raise NotSent(f"{path} has {len(found)} bytes, not {size}", code=Code.SIZE)
        return None if found is None else len(found)

    def _list(self, folder: str) -> tuple[Entry, ...]:
        inside = [path for path in self.files if path.rpartition("/")[0] == folder]
        names = [(place, path.rpartition("/")[2], path) for place, path in enumerate(inside)]
        return tuple(
            Entry(name, len(self.files[path]), place) for place, name, path in names if not name.endswith(".tmp")
        )


class Ticks(ManualClock):
    """A virtual clock whose spans follow its date, so that a test stretches both at once."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self._start = self.now()

    def monotonic(self) -> float:
        return (self.now() - self._start) / timedelta(seconds=1)


class RefusingBus(LocalBus):
    """The in-process bus, with a plan of what it refuses to publish: the n-th message of an exchange, or all of them."""

    refuse: Callable[[str, Message], BaseException | None]

    def plan(self, refuse: Callable[[str, Message], BaseException | None]) -> None:
        """Whatever ``refuse(key, message)`` returns is raised instead of publishing an event."""
        self.refuse = refuse

    async def publish(self, exchange: str, key: str, message: Message) -> None:
        """See the port."""
        if exchange == "gateway.events" and (error := self.refuse(key, message)) is not None:
            raise error
        await super().publish(exchange, key, message)


class Killed(BaseException):
    """The process ends here, for a test that goes on afterwards."""


class Points:
    """Crash points of a test: passes all, remembers them, dies at the one that is named."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.die_at = ""

    def reach(self, name: str) -> None:
        """See the port."""
        self.reached.append(name)
        if name == self.die_at:
            self.die_at = ""
            raise Killed(name)


def vanished(path: str) -> NotSent:
    """What a wire says of a file that somebody took away."""
    return NotSent(f"{path} has vanished")


def no_plain_file(path: str) -> Malformed:
    """What a wire says of a link, a folder, a FIFO."""
    return Malformed(f"{path} is no plain file", code=Code.PATH)


def is_final(request: object) -> bool:
    """Is it the rename after which the bank may act?"""
    return isinstance(request, Rename) and request.final
