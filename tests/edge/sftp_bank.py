"""A bank's SFTP server on loopback with a folder behind it, as obedient or as odd as a test wants it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import asyncssh


class Oddities:
    """What the server does that it should not."""

    def __init__(self) -> None:
        self.rename: Callable[[Path, Path], None] | None = None  # instead of renaming
        self.refuse_write_after: int | None = None  # a quota, in bytes of one file
        self.fail_close = False  # the quota shows only when the file is closed
        self.before_reply: Callable[[str], Awaitable[None]] | None = None  # awaited before a request is worked on


class SftpBank:
    """One server; ``root`` is what its one user sees."""

    def __init__(self, root: Path, host_key: Path, client_key: Path) -> None:
        self.root = root
        self.odd = Oddities()
        self.port = 0
        self.logins = 0
        self.tried_logins = 0
        self.requests: list[str] = []
        self._host_key = host_key
        self._client = asyncssh.read_public_key(client_key)
        self._server: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()

    async def __aenter__(self) -> Self:
        for folder in ("in/done", "out/done"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, host_key: Path | None = None, **more: Any) -> None:
        """Listen, on the port of before if there was one; ``more`` is what asyncssh is told besides."""
        bank = self

        class Gate(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                self.connection = conn
                bank._connections.add(conn)

            def connection_lost(self, exc: Exception | None) -> None:
                bank._connections.discard(self.connection)

            def auth_completed(self) -> None:
                bank.logins += 1

            def public_key_auth_supported(self) -> bool:
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                bank.tried_logins += 1
                return username == "bureau" and key == bank._client

            def validate_password(self, username: str, password: str) -> bool:
                bank.tried_logins += 1
                return username == "bureau" and password == "open sesame"

        self._server = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=Gate,
            server_host_keys=[str(host_key or self._host_key)],
            sftp_factory=lambda channel: _Files(channel, bank),
            **more,
        )
        self.port = self._server.get_port()

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        assert self._server is not None
        self._server.close()
        for connection in [*self._connections]:
            connection.abort()
        await self.settled()
        await self._server.wait_closed()

    async def settled(self) -> None:
        """Wait until no connection is open: whatever was asked for has been done by then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while self._connections:
                    await asyncio.sleep(0.005)

    def put(self, name: str, data: bytes, age_s: int = 0) -> Path:
        """A file of the bank's in ``out/``, put there in one piece."""
        path = self.root / "out" / name
        path.with_name(f".{name}.part").write_bytes(data)
        path.with_name(f".{name}.part").rename(path)
        then = 1_433_900_000 - age_s
        os.utime(path, (then, then))
        return path

    def got(self) -> dict[str, bytes]:
        """What the bank finds under final names in ``in/``."""
        return {
            path.name: path.read_bytes()
            for path in (self.root / "in").iterdir()
            if path.is_file() and not path.name.endswith(".tmp") and not path.name.startswith(".")
        }

    def clear(self) -> None:
        """Empty folders."""
        shutil.rmtree(self.root)
        for folder in ("in/done", "out/done"):
            (self.root / folder).mkdir(parents=True)


class _Files(asyncssh.SFTPServer):
    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], bank: SftpBank) -> None:
        super().__init__(channel, chroot=str(bank.root).encode())
        self._bank = bank
        self._written: dict[object, int] = {}

    async def _asked(self, what: str) -> None:
        self._bank.requests.append(what)
        if self._bank.odd.before_reply is not None:
            await self._bank.odd.before_reply(what)

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        await self._asked("open")
        return super().open(path, pflags, attrs)

    async def read(self, file_obj: Any, offset: int, size: int) -> bytes:
        await self._asked("read")
        data: bytes = super().read(file_obj, offset, size)  # type: ignore[assignment]  # its own server reads at once
        return data

    async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        await self._asked("write")
        limit = self._bank.odd.refuse_write_after
        if limit is not None and offset + len(data) > limit:
            raise asyncssh.SFTPFailure("Disk quota exceeded")
        return super().write(file_obj, offset, data)  # type: ignore[return-value]  # its own server writes at once

    async def close(self, file_obj: Any) -> None:
        await self._asked("close")
        super().close(file_obj)
        if self._bank.odd.fail_close:
            raise asyncssh.SFTPFailure("Disk quota exceeded")

    async def lstat(self, path: bytes) -> Any:
        await self._asked("lstat")
        return super().lstat(path)

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        await self._asked("scandir")
        async for entry in super().scandir(path):
            yield entry

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        await self._asked("rename")
        if self._bank.odd.rename is not None:
            self._bank.odd.rename(*(Path(os.fsdecode(self.map_path(path))) for path in (oldpath, newpath)))
        else:
            super().rename(oldpath, newpath)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        await self._asked("posix_rename")
        super().posix_rename(oldpath, newpath)
