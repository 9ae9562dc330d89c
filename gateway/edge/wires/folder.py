"""A folder that we and the bank both reach: a mounted share, or a directory on one machine.

Nothing ever appears under its name before it is whole and on the disk: written under a hidden temporary name, fsynced,
then linked to its name, which fails where the name is taken; then the folder is fsynced. So ``Put`` and ``Rename``
never overwrite, except a ``Put`` that is not final, which replaces an earlier try of the same.

What is known afterwards: before the link everything is NotSent; a name that is taken may be an earlier copy of the same
Document, so it is InDoubt; after the link the bank can see it, and a failure to make that durable is InDoubt.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.core.bank import Bank
from gateway.core.errors import Code, InDoubt, Malformed, NotSent, Unavailable
from gateway.core.ports import Archive, Clock, Work
from gateway.core.route import Done, Entry, List, Put, Rename, Request, Stat
from gateway.edge.clock import SystemClock
from gateway.edge.credentials import Credentials
from gateway.edge.wires.listing import LOOKED_AT_MAX, Listing, Seen
from gateway.edge.wires.names import split
from gateway.edge.wires.options import DONE_FOLDER, FolderOptions, options_of
from gateway.edge.work import InlineWork

CHUNK_BYTES = 1024 * 1024
_MODE = 0o660  # the bank's own user takes the file away: the folder's group is how it gets at it
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)


class FolderWire:
    """The Wire port over a folder."""

    def __init__(
        self,
        bank: Bank,
        archive: Archive,
        credentials: Credentials,
        *,
        clock: Clock | None = None,
        work: Work | None = None,
    ) -> None:
        """Raises Refused SCHEMA for wrong ``wire_options``. A folder needs no credential."""
        self._options = options_of(bank, FolderOptions)
        self._root = Path(self._options.root)
        self._archive = archive
        self._work = work or InlineWork()
        self._listing = Listing(bank.code, clock or SystemClock(), self._options.complete, self._options.stable_s)
        self._taken: dict[str, tuple[int, int]] = {}  # path → size and change of what was read last

    async def perform(self, request: Request) -> Any:
        """See the port."""
        match request:
            case Put():
                return await self._work.run(self._put, request)
            case Rename():
                return await self._work.run(self._rename, request)
            case Stat():
                return await self._work.run(self._stat, request)
            case List():
                return await self._work.run(self._list, request)
            case Done():
                return await self._work.run(self._done, request)
            case _:
                raise NotSent(f"a folder cannot {type(request).__name__}")

    async def read(self, path: str) -> AsyncIterator[bytes]:
        """See the port. Raises NotSent too if the file changes while it is read."""
        file = await self._work.run(self._open, path)
        try:
            first = os.fstat(file)
            left = first.st_size
            while left >= 0 and (chunk := await self._work.run(os.read, file, CHUNK_BYTES)):
                left -= len(chunk)
                yield chunk
            if left or _changed(os.fstat(file)) != _changed(first):
                raise NotSent(f"{path} changed while it was read")
            self._taken[path] = _changed(first)
        finally:
            os.close(file)

    async def close(self) -> None:
        """Nothing is held open."""

    # ------------------------------------------------------------------------------------------------ in the worker

    def _put(self, request: Put) -> None:
        path = self._path(request.path)
        temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            self._write(temporary, request)
            if request.final:
                self._publish(temporary, path, request.path)
            else:
                temporary.replace(path)
                _sync(path.parent)
        except OSError as error:
            raise NotSent(f"{request.path}: {error.strerror}") from error
        except Unavailable as error:  # our archive; nothing was published yet
            raise NotSent(error.what) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _write(self, temporary: Path, request: Put) -> None:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE), "wb") as target:
            if request.seal:
                if not request.document.seal:
                    raise NotSent(f"{request.document.name} has no detached seal", code=Code.SIG)
                target.write(request.document.seal)
            else:
                with self._archive.open(request.document.digest) as source:
                    while chunk := source.read(CHUNK_BYTES):
                        target.write(chunk)
            target.flush()
            os.fsync(target.fileno())

    def _rename(self, request: Rename) -> None:
        old, new = self._path(request.old), self._path(request.new)
        try:
            if not stat.S_ISREG(old.lstat().st_mode):
                raise Malformed(f"{request.old} is no plain file", code=Code.PATH)
            self._publish(old, new, request.new)
        except OSError as error:
            raise NotSent(f"{request.old}: {error.strerror}") from error
        except InDoubt as error:
            if not request.final:
                raise NotSent(error.what, code=error.code) from error
            raise
        with contextlib.suppress(OSError):  # the new name stands; a leftover of the old one harms nobody
            old.unlink(missing_ok=True)
            _sync(old.parent)

    def _publish(self, old: Path, new: Path, name: str) -> None:
        """Give ``old`` its final name unless the name is taken. OSError: surely nothing happened; else InDoubt."""
        try:
            os.link(old, new, follow_symlinks=False)
        except FileExistsError:
            raise InDoubt(f"{name} is there already: it may be a first copy", code=Code.DUP) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(new):
                raise InDoubt(f"{name} is there already: it may be a first copy", code=Code.DUP) from None
            old.rename(new)
        try:
            _sync(new.parent)
        except OSError as error:
            raise InDoubt(f"{name} stands there, but may not survive a power cut: {error.strerror}") from error

    def _stat(self, request: Stat) -> int | None:
        try:
            found = self._path(request.path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise NotSent(f"{request.path}: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            raise Malformed(f"{request.path} is no plain file", code=Code.PATH)
        if request.size is not None and found.st_size != request.size:
            raise NotSent(f"{request.path} has {found.st_size} bytes, not {request.size}", code=Code.SIZE)
        return found.st_size

    def _list(self, request: List) -> tuple[Entry, ...]:
        folder = self._path(request.path)
        try:
            with os.scandir(folder) as entries:
                return self._listing.entries(request.path, _seen(islice(entries, LOOKED_AT_MAX)), request.most)
        except OSError as error:
            raise NotSent(f"{request.path}: {error.strerror}") from error

    def _done(self, request: Done) -> None:
        path = self._path(request.path)
        try:
            found = path.lstat()
        except FileNotFoundError:
            return  # put aside already
        if self._taken.get(request.path, _changed(found)) != _changed(found):
            raise NotSent(f"{request.path} was replaced after it was read")
        try:
            if self._options.done == "delete":
                path.unlink()
            elif self._options.done == "move":
                _move(path, path.parent / DONE_FOLDER)
        except OSError as error:
            raise NotSent(f"{request.path}: {error.strerror}") from error
        self._taken.pop(request.path, None)

    def _open(self, path: str) -> int:
        try:
            # O_NONBLOCK: a FIFO would wait for a writer for ever.
            file = os.open(self._path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
                raise Malformed(f"{path} is no plain file", code=Code.PATH) from None
            raise NotSent(f"{path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise Malformed(f"{path} is no plain file", code=Code.PATH)
        return file

    def _path(self, path: str) -> Path:
        return self._root.joinpath(*split(path))


def _seen(entries: Iterator[os.DirEntry[str]]) -> Iterator[Seen]:
    for entry in entries:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # taken away between two looks (G5)
        yield Seen(_printable(entry.name), stat.S_ISREG(found.st_mode), found.st_size, found.st_mtime_ns)


def _printable(name: str) -> str:
    """Bytes that are no UTF-8 arrive as lone surrogates: shown, they are refused like any other strange name."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _changed(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def _move(path: Path, done: Path) -> None:
    """Into ``done/``; a second file of the name becomes ``name.2``, and so on: nothing is overwritten."""
    done.mkdir(exist_ok=True)
    number = 1
    while True:
        target = done / (path.name if number == 1 else f"{path.name}.{number}")
        try:
            os.link(path, target, follow_symlinks=False)
        except FileExistsError:
            number += 1
            continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if target.exists():
                number += 1
                continue
            path.rename(target)
            return
        path.unlink()
        return


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
