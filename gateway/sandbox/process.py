"""The banks' process: every bank takes files and gives answers at its own pace, one file in memory at a time.

It says one JSON line when all doors are open, and one when it ends (SIGTERM, SIGINT, or the end of its standard input)::

    {"ready": {"<CODE>": {"port": 2222, ...}}, "pid": 4711}
    {"cpu_seconds": 4.2, "peak_rss_mib": 81.0, "banks": {"<CODE>": {"files": 37, "payments": 369370, "results": 37, ...}}}
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import msgspec

from gateway.sandbox.amqp_side import AmqpDoor
from gateway.sandbox.bank import Counterpart
from gateway.sandbox.config import AmqpWire, FolderWire, HttpWire, Sandbox, SandboxBank
from gateway.sandbox.doors import Door, pause
from gateway.sandbox.folder_side import FolderDoor
from gateway.sandbox.http_door import HttpDoor
from gateway.sandbox.sftp_server import SftpDoor
from gateway.sandbox.sides import conversation, side

START_OF_TIME = "2015-06-01T09:00:00"


async def serve(sandbox: Sandbox, out: TextIO, *, watch_stdin: bool = False) -> None:
    """Run until told to stop. Raises whatever a bank died of: a sandbox that goes on without one bank would hide its fault."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    if watch_stdin:
        await loop.connect_read_pipe(lambda: _Eof(stop.set), sys.stdin)
    turn = asyncio.Lock()
    desks = [_Desk(bank, sandbox, stop, turn) for bank in sandbox.banks]
    try:
        ready = {desk.code: await desk.open() for desk in desks}
        _say(out, {"ready": ready})
        async with asyncio.TaskGroup() as group:
            for desk in desks:
                group.create_task(desk.take())
                group.create_task(desk.give())
            group.create_task(stop.wait())
    finally:
        for desk in desks:
            await desk.close()
        _say(out, usage() | {"banks": {desk.code: dict(desk.bank.counts) for desk in desks}})


def usage() -> dict[str, float]:
    """CPU seconds of this process so far, and its peak memory."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_seconds": round(used.ru_utime + used.ru_stime, 3), "peak_rss_mib": round(used.ru_maxrss / 1024, 1)}


class _Desk:
    """One bank with its door."""

    def __init__(self, config: SandboxBank, sandbox: Sandbox, stop: asyncio.Event, turn: asyncio.Lock) -> None:
        self.code = config.code
        self.bank, self._door = bank(config, stop, now=sandbox.now or START_OF_TIME)
        self._stop, self._turn, self._poll_s = stop, turn, sandbox.poll_s

    async def open(self) -> dict[str, str | int]:
        return await self._door.open()

    async def take(self) -> None:
        """Files in, one after another; a bank that is talked to has none."""
        if isinstance(self._door, HttpDoor):
            return
        while not self._stop.is_set():
            arrival = await self._door.next()
            if arrival is None:
                await pause(self._stop, self._poll_s)
                continue
            if slow_s := self.bank.slow_s():
                await pause(self._stop, slow_s)
                if self._stop.is_set():
                    return
            async with self._turn:
                keep = await asyncio.to_thread(self.bank.receive, arrival)
                if await self._door.aside(arrival, keep=keep):
                    await asyncio.to_thread(self.bank.put_aside, arrival)

    async def give(self) -> None:
        """Answers out, in the order in which they are due; a bank that is talked to gives them when it is asked."""
        if isinstance(self._door, HttpDoor):
            return
        while not self._stop.is_set():
            async with self._turn:
                due = await asyncio.to_thread(self.bank.next_answer)
            if due is None:
                await pause(self._stop, self._poll_s)
                continue
            answer, outgoing = due
            while not await self._door.hand_over(outgoing):
                await pause(self._stop, self._poll_s)
                if self._stop.is_set():
                    return
            async with self._turn:
                await asyncio.to_thread(self.bank.given, answer)

    async def close(self) -> None:
        await self._door.close()
        self.bank.close()


def bank(config: SandboxBank, stop: asyncio.Event, *, now: str) -> tuple[Counterpart, Door | HttpDoor]:
    """A bank with the door that the configuration names. Raises ValueError where its format does not go through it."""
    if isinstance(config.wire, HttpWire):
        counterpart = Counterpart(config, None, now=now)
        return counterpart, HttpDoor(config.wire, config.faults, counterpart, conversation(config, counterpart), stop)
    spoken = side(config)
    counterpart = Counterpart(config, spoken, now=now)
    detached = spoken.detached and config.keys is not None
    if isinstance(config.wire, FolderWire):
        return counterpart, FolderDoor(Path(config.wire.directory), detached=detached)
    if isinstance(config.wire, AmqpWire):
        return counterpart, AmqpDoor(config.wire, code=config.code, stop=stop)
    return counterpart, SftpDoor(config.wire, config.faults, user=config.customer, detached=detached)


class _Eof(asyncio.Protocol):
    """Tells when the other end of a pipe is gone: whoever started the banks has ended, in whatever way."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended

    def eof_received(self) -> None:
        self._ended()

    def connection_lost(self, _: Exception | None) -> None:
        self._ended()


def _say(out: TextIO, what: dict[str, Any]) -> None:
    # Whoever listened may be gone already; that is no reason to leave the books in the middle.
    with contextlib.suppress(BrokenPipeError):
        out.write(msgspec.json.encode(what).decode() + "\n")
        out.flush()


def run(sandbox: Sandbox, *, watch_stdin: bool) -> int:
    """Run in this process; the exit code."""
    code = 0
    try:
        asyncio.run(serve(sandbox, sys.stdout, watch_stdin=watch_stdin))
    except* (OSError, ValueError, RuntimeError) as errors:
        sys.stderr.write("".join(traceback.format_exception(errors)))
        code = 1
    return code
