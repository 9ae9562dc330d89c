"""A bank's SFTP server: one port, one user, one root directory, keys only; behind it the folder of folder_side.py.

Renaming never replaces a file, in either way that a client may ask for it: a bank that let it would lose what it has not read yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import asyncssh

from gateway.sandbox.config import Faults, SftpWire
from gateway.sandbox.doors import Arrival, Outgoing
from gateway.sandbox.folder_side import FolderDoor


class SftpDoor:
    """The folder door, reached over SFTP."""

    def __init__(self, wire: SftpWire, faults: Faults, *, user: str, detached: bool) -> None:
        self._wire = wire
        self._breaks = _Breaks(faults.sftp_cut_bytes, faults.sftp_lost_replies)
        self._user = wire.user or user
        self._folder = FolderDoor(Path(wire.directory), detached=detached)
        self._server: asyncssh.SSHAcceptor | None = None

    async def open(self) -> dict[str, str | int]:
        """Listen; tells host, port and user."""
        told = await self._folder.open()
        keys = {key.public_data for key in asyncssh.read_public_key_list(self._wire.client_keys)}
        root = self._wire.directory

        def session(channel: asyncssh.SSHServerChannel[bytes]) -> _Files:
            return _Files(channel, root.encode(), self._breaks)

        self._server = await asyncssh.listen(
            self._wire.host,
            self._wire.port,
            server_factory=lambda: _Gate(self._user, keys),
            server_host_keys=[self._wire.host_key],
            sftp_factory=session,
            allow_scp=False,
            allow_pty=False,
            agent_forwarding=False,
        )
        return told | {"host": self._wire.host, "port": self._server.get_port(), "user": self._user}

    async def next(self) -> Arrival | None:
        """As the folder."""
        return await self._folder.next()

    async def aside(self, arrival: Arrival, *, keep: bool) -> bool:
        """As the folder."""
        return await self._folder.aside(arrival, keep=keep)

    async def hand_over(self, outgoing: Outgoing) -> bool:
        """As the folder."""
        return await self._folder.hand_over(outgoing)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


class _Gate(asyncssh.SSHServer):
    """Lets in the one user who shows one of the known keys."""

    def __init__(self, user: str, keys: set[bytes]) -> None:
        self._user = user
        self._keys = keys

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._user and key.public_data in self._keys


class _Breaks:
    """How often the connection still breaks, over all sessions."""

    def __init__(self, cut_bytes: int, lost_replies: int) -> None:
        self.cut_bytes = cut_bytes
        self.lost_replies = lost_replies


class _Files(asyncssh.SFTPServer):
    """asyncssh's server, except that a rename never replaces, and that the connection breaks where it was asked to."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], root: bytes, breaks: _Breaks) -> None:
        super().__init__(channel, chroot=root)
        self._breaks = breaks
        self._written = 0

    def write(self, file_obj: object, offset: int, data: bytes) -> int:
        self._written += len(data)
        if self._breaks.cut_bytes and self._written > self._breaks.cut_bytes:
            self._breaks.cut_bytes = 0
            self._break()
        return cast(int, super().write(file_obj, offset, data))

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        super().rename(oldpath, newpath)
        if self._breaks.lost_replies:
            self._breaks.lost_replies -= 1
            self._break()

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        self.rename(oldpath, newpath)

    def _break(self) -> None:
        self.channel.get_connection().abort()
