"""SFTP by asyncssh: one pinned server, one connection, one request after the other, a deadline on each reply.

Only the host keys that the Bank's options name are accepted; any other ends the connection before anything is said, as
Unverified. Nothing is ever fetched recursively or stored under a bank's name.

What is known after a failure:

- no connection, no login, a transfer to a temporary name, a question: NotSent, there is no effect that the bank acts on;
- a **final** request (the rename to the name that the bank reads, or a final ``Put``) whose reply did not come: InDoubt,
  from the moment it was handed to the connection;
- a final request that the server refused in so many words: NotSent if a look shows that the bank has nothing under the
  final name (and, after a rename, that the old name still stands), else InDoubt. A final name that is taken before we
  begin is InDoubt too: it may be a first copy.

The rename of SFTP version 3 does not overwrite; it is the one used, after a look that the name is free, and
``posix-rename@openssh.com`` never is (G14). Algorithms with the Terrapin weakness are not offered (G9).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, BinaryIO, TypeVar

import asyncssh

from gateway.core.bank import Bank
from gateway.core.errors import Code, InDoubt, Malformed, NotSent, Refused, Unavailable, Unverified
from gateway.core.ports import Archive, Clock, Work
from gateway.core.route import Done, Entry, List, Put, Rename, Request, Stat
from gateway.edge.clock import SystemClock
from gateway.edge.credentials import Credentials
from gateway.edge.wires.listing import LOOKED_AT_MAX, Listing, Seen
from gateway.edge.wires.names import split
from gateway.edge.wires.options import DONE_FOLDER, SftpOptions, options_of
from gateway.edge.work import InlineWork

T = TypeVar("T")

CHUNK_BYTES = 1024 * 1024
_ASIDE_MAX = 100  # files of one name that are put aside beside each other
_CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr")
_MACS = ("hmac-sha2-256", "hmac-sha2-512")  # with CTR; encrypt-then-MAC is what Terrapin needs
_ABSENT = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
#: Replies that say nothing about what the server did.
_LOST = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.SFTPBadMessage)
_FAILURES = (asyncssh.Error, OSError, TimeoutError)


class _Step:
    """One request under way: whether it can have had its final effect by now, and how long a reply may take."""

    def __init__(
        self, client: asyncssh.SFTPClient, final: bool, deadline_s: float, abandon: Callable[[], None]
    ) -> None:
        self.client = client
        self.final = final
        self.deadline_s = deadline_s
        self.doubt = False
        self._abandon = abandon

    async def reply(self, awaitable: Awaitable[T]) -> T:
        """Wait for one reply. If it does not come in time, or we are stopped, the connection ends with the wait.

        The library is not cancelled and waited for: it would first close what it has open, on a line that is dead.
        """
        task = asyncio.ensure_future(awaitable)
        try:
            await asyncio.wait({task}, timeout=self.deadline_s)
        finally:
            if not task.done():
                task.add_done_callback(_unheard)
                self._abandon()
        if not task.done():
            raise TimeoutError(f"no reply within {self.deadline_s} s")
        return task.result()

    async def size(self, path: str) -> int | None:
        """Size of whatever stands there, or None if nothing does."""
        try:
            return (await self.reply(self.client.lstat(path))).size or 0
        except _ABSENT:
            return None

    def begins(self) -> None:
        """From here on a final request may have had its effect."""
        self.doubt = self.final

    def failed(self, what: str, code: Code | None = None) -> NotSent | InDoubt:
        """What is known after a failure now."""
        return InDoubt(what, code=code) if self.doubt else NotSent(what, code=code)


class SftpWire:
    """The Wire port over SFTP."""

    def __init__(
        self,
        bank: Bank,
        archive: Archive,
        credentials: Credentials,
        *,
        clock: Clock | None = None,
        work: Work | None = None,
    ) -> None:
        """Raises Refused for wrong options; a missing credential shows with the first connection."""
        self._options = options_of(bank, SftpOptions)
        if not (self._options.client_key or self._options.password):
            raise Refused("neither client_key nor password names a credential", where=f"bank {bank.code}")
        self._pins = _host_keys(self._options.host_key, bank.code)
        self._root = split(self._options.root) if self._options.root else ()
        self._archive = archive
        self._credentials = credentials
        self._clock = clock or SystemClock()
        self._work = work or InlineWork()
        self._listing = Listing(bank.code, self._clock, self._options.complete, self._options.stable_s)
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None
        self._used_s = 0.0
        self._taken: dict[str, tuple[int | None, int | None]] = {}  # path → size and change of what was read last
        self._requests: dict[type[Request], Callable[[Any], Awaitable[Any]]] = {
            Put: self._put, Rename: self._rename, Stat: self._stat, List: self._list, Done: self._done
        }  # fmt: skip

    async def perform(self, request: Request) -> Any:
        """See the port."""
        perform = self._requests.get(type(request))
        if perform is None:
            raise NotSent(f"SFTP cannot {type(request).__name__}")
        return await perform(request)

    async def read(self, path: str) -> AsyncIterator[bytes]:
        """See the port. Raises NotSent too if the file changes while it is read."""
        remote = self._path(path)
        async with self._step(path) as step:
            before = await step.reply(step.client.lstat(remote))
            _must_be_plain(before, path)
            file = await step.reply(step.client.open(remote, "rb", encoding=None))
            done = 0
            try:
                while done <= (before.size or 0) and (chunk := await _part(step, file, done)):
                    done += len(chunk)
                    yield chunk
                after = await step.reply(file.stat())
            finally:
                with contextlib.suppress(*_FAILURES):
                    await step.reply(file.close())
            if done != before.size or _changed(after) != _changed(before):
                raise NotSent(f"{path} changed while it was read")
        self._taken[path] = _changed(before)

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection.close()
            with contextlib.suppress(*_FAILURES):
                async with asyncio.timeout(self._options.deadline_s):
                    await connection.wait_closed()

    # ------------------------------------------------------------------------------------------------ requests

    async def _put(self, request: Put) -> None:
        remote = self._path(request.path)
        async with self._step(request.path, final=request.final) as step:
            if request.final:
                await _must_be_free(step, remote, request.path)
            content, size = await self._work.run(self._content, request)
            with content:
                step.begins()
                try:
                    file = await step.reply(step.client.open(remote, "xb" if request.final else "wb", encoding=None))
                except asyncssh.SFTPError as error:
                    await _look(step, error, absent=remote)
                    raise
                async with asyncio.timeout(step.deadline_s + size / self._options.bytes_per_s_min):
                    while chunk := await self._work.run(content.read, CHUNK_BYTES):
                        await step.reply(file.write(chunk))
                with contextlib.suppress(asyncssh.SFTPOpUnsupported):
                    await step.reply(file.fsync())
                await step.reply(file.close())  # a full disk or a quota may show only here (G13)

    def _content(self, request: Put) -> tuple[BinaryIO, int]:
        if not request.seal:
            return self._archive.open(request.document.digest), request.document.size
        if not request.document.seal:
            raise NotSent(f"{request.document.name} has no detached seal", code=Code.SIG)
        return io.BytesIO(request.document.seal), len(request.document.seal)

    async def _rename(self, request: Rename) -> None:
        old, new = self._path(request.old), self._path(request.new)
        async with self._step(request.new, final=request.final) as step:
            await _must_be_free(step, new, request.new)
            if await step.size(old) is None:
                raise NotSent(f"{request.old} is not there")
            step.begins()
            try:
                await step.reply(step.client.rename(old, new))
            except asyncssh.SFTPError as error:
                await _look(step, error, absent=new, there=old)
                raise

    async def _stat(self, request: Stat) -> int | None:
        async with self._step(request.path) as step:
            try:
                found = await step.reply(step.client.lstat(self._path(request.path)))
            except _ABSENT:
                return None
            _must_be_plain(found, request.path)
            if request.size is not None and found.size != request.size:
                raise NotSent(f"{request.path} has {found.size} bytes, not {request.size}", code=Code.SIZE)
            return found.size

    async def _list(self, request: List) -> tuple[Entry, ...]:
        seen: list[Seen] = []
        async with self._step(request.path) as step:
            names = step.client.scandir(self._path(request.path).encode())
            while len(seen) < LOOKED_AT_MAX:
                try:
                    seen.append(_seen(await step.reply(anext(names))))
                except StopAsyncIteration:
                    break
        return self._listing.entries(request.path, seen, request.most)

    async def _done(self, request: Done) -> None:
        remote = self._path(request.path)
        async with self._step(request.path) as step:
            try:
                found = await step.reply(step.client.lstat(remote))
            except _ABSENT:
                return  # put aside already
            if self._taken.get(request.path, _changed(found)) != _changed(found):
                raise NotSent(f"{request.path} was replaced after it was read")
            if self._options.done == "delete":
                await step.reply(step.client.remove(remote))
            elif self._options.done == "move":
                await _move(step, remote)
        self._taken.pop(request.path, None)

    def _path(self, path: str) -> str:
        return "/".join((*self._root, *split(path)))

    # ------------------------------------------------------------------------------------------------ the connection

    @contextlib.asynccontextmanager
    async def _step(self, what: str, *, final: bool = False) -> AsyncIterator[_Step]:
        """One request on the connection; whatever goes wrong leaves as what is known."""
        step = _Step(await self._connected(), final, self._options.deadline_s, self._abandon)
        try:
            yield step
        except Unavailable as error:  # our own archive
            raise step.failed(error.what) from error
        except asyncio.CancelledError as error:
            self._abandon()
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # whoever stops us finds the Document in ``sending`` and treats it as in doubt
            raise step.failed(f"{what}: the connection was lost") from error
        except _FAILURES as error:
            if not _told(error):
                self._abandon()
            raise step.failed(f"{what}: {_words(error)}") from error
        self._used_s = self._clock.monotonic()

    async def _connected(self) -> asyncssh.SFTPClient:
        """The kept connection, or a new one. Raises Unverified for another host key, NotSent if there is none to be had."""
        if self._client is not None and self._clock.monotonic() - self._used_s <= self._options.idle_s_max:
            return self._client
        self._abandon()
        host = self._options.host
        try:
            async with asyncio.timeout(self._options.deadline_s):
                return await self._connect()
        except asyncssh.HostKeyNotVerifiable as error:
            raise Unverified(f"{host} shows another host key", code=Code.CERT) from error
        except asyncssh.KeyExchangeFailed as error:
            if "host key" in error.reason.lower():
                raise Unverified(f"{host} has no host key of the pinned kind", code=Code.CERT) from error
            raise NotSent(f"{host}: {error.reason}") from error
        except asyncssh.PermissionDenied as error:
            raise NotSent(f"{host} refuses our login", code=Code.AUTH) from error
        except Refused as error:  # no such credential
            raise NotSent(error.what, code=error.code) from error
        except _FAILURES as error:
            raise NotSent(f"{host}: no connection: {_words(error)}") from error
        finally:
            if self._client is None:
                self._abandon()

    async def _connect(self) -> asyncssh.SFTPClient:
        options = self._options
        keys = []
        if options.client_key:
            try:
                keys = [asyncssh.import_private_key(self._credentials.get(options.client_key))]
            except asyncssh.KeyImportError as error:
                raise Refused(f"credential {options.client_key}: {error}", code=Code.AUTH) from None
        self._connection = await asyncssh.connect(
            options.host,
            options.port,
            username=options.user,
            client_keys=keys,
            password=self._credentials.text(options.password) if options.password else None,
            known_hosts=(self._pins, [], []),
            x509_trusted_certs=None,
            encryption_algs=_CIPHERS,
            mac_algs=_MACS,
            compression_algs=None,
            preferred_auth=("publickey", "password"),
            agent_path=None,
            config=None,  # nothing of ~/.ssh takes part
            login_timeout=options.deadline_s,
            keepalive_interval=options.deadline_s,
        )
        self._client = await self._connection.start_sftp_client()
        self._used_s = self._clock.monotonic()
        return self._client

    def _abandon(self) -> None:
        """Drop the connection at once: nothing more is said or heard on it."""
        if self._connection is not None:
            self._connection.abort()
        self._connection = self._client = None


async def _part(step: _Step, file: asyncssh.SFTPClientFile, offset: int) -> bytes:
    part: bytes = await step.reply(file.read(CHUNK_BYTES, offset))
    return part


async def _must_be_free(step: _Step, remote: str, name: str) -> None:
    """Never overwrite. A final name that is taken may be a first copy of the same Document."""
    if await step.size(remote) is not None:
        step.begins()
        raise step.failed(f"{name} is there already: it may be a first copy", Code.DUP)


async def _look(step: _Step, refusal: asyncssh.SFTPError, *, absent: str, there: str = "") -> None:
    """After a refusal in so many words there is no doubt, if what would be there is absent and the rest as it was."""
    if step.doubt and _told(refusal):
        step.doubt = await step.size(absent) is not None or (bool(there) and await step.size(there) is None)


async def _move(step: _Step, remote: str) -> None:
    """Into ``done/`` beside it; a second file of the name becomes ``name.2``, and so on: nothing is overwritten."""
    folder, _, name = remote.rpartition("/")
    done = f"{folder}/{DONE_FOLDER}" if folder else DONE_FOLDER
    if await step.size(done) is None:
        await step.reply(step.client.mkdir(done))
    for number in range(1, _ASIDE_MAX):
        target = f"{done}/{name}" if number == 1 else f"{done}/{name}.{number}"
        if await step.size(target) is None:
            await step.reply(step.client.rename(remote, target))
            return
    raise NotSent(f"{done} is full of files called {name}")


def _host_keys(text: str, bank: str) -> list[asyncssh.SSHKey]:
    try:
        keys = [asyncssh.import_public_key(line) for line in text.splitlines() if line.strip()]
    except asyncssh.KeyImportError as error:
        raise Refused(f"host_key: {error}", code=Code.CERT, where=f"bank {bank}") from None
    if not keys:
        raise Refused("no host key is pinned", code=Code.CERT, where=f"bank {bank}")
    return keys


def _seen(found: asyncssh.SFTPName) -> Seen:
    name = found.filename if isinstance(found.filename, bytes) else found.filename.encode()
    attrs = found.attrs
    # Bytes outside ASCII become visible escapes, which no allowed name has.
    return Seen(name.decode("ascii", "backslashreplace"), _is_plain(attrs), attrs.size or 0, attrs.mtime or 0)


def _is_plain(attrs: asyncssh.SFTPAttrs) -> bool:
    """A regular file; a server that tells no type has to tell a size."""
    plain = (asyncssh.FILEXFER_TYPE_REGULAR, asyncssh.FILEXFER_TYPE_UNKNOWN)
    return attrs.type in plain and attrs.size is not None


def _must_be_plain(attrs: asyncssh.SFTPAttrs, path: str) -> None:
    if not _is_plain(attrs):
        raise Malformed(f"{path} is no plain file", code=Code.PATH)


def _changed(attrs: asyncssh.SFTPAttrs) -> tuple[int | None, int | None]:
    return attrs.size, attrs.mtime


def _unheard(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # nobody waits for it any more: not news


def _told(error: BaseException) -> bool:
    return isinstance(error, asyncssh.SFTPError) and not isinstance(error, _LOST)  # the server said so in words


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
