"""A TCP proxy that misbehaves on purpose: cuts or swallows what passes after a number of bytes, in either direction."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal, Self


class Proxy:
    """Passes bytes between its port and ``target``; ``cut``, ``swallow`` say after how many bytes it stops doing so.

    ``cut``: both sides are reset. ``swallow``: everything in that direction vanishes, and nobody is told.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.passed = {"up": 0, "down": 0}
        self.limit: dict[str, int | None] = {"up": None, "down": None}
        self.how: Literal["cut", "swallow"] = "cut"
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Reset every connection that is open, and count from zero for the next."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        self.passed = {"up": 0, "down": 0}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers |= {writer, far_writer}
            for direction, source, sink in (("up", reader, far_writer), ("down", far_reader, writer)):
                task = asyncio.create_task(self._pass(direction, source, sink, (writer, far_writer)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _pass(
        self,
        direction: str,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                limit = self.limit[direction]
                left = len(data) if limit is None else max(0, limit - self.passed[direction])
                self.passed[direction] += min(left, len(data))
                if left:
                    sink.write(data[:left])
                    await sink.drain()
                if left < len(data) and self.how == "cut":
                    break
        for writer in both:
            if self.how == "cut" and self.limit[direction] is not None:
                writer.transport.abort()
            else:
                writer.close()
