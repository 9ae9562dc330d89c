"""Banks that take and give Documents over the gateway's own broker: exchange ``banks``, a pair of queues for each bank.

A message's body is the payload, at most 16 MiB. Its headers carry what a file name and a file beside it carry elsewhere:

``name``        file name                       ``reference``   of our Document that it is, or answers
``kind``        what the Document is            ``seal``        detached seal in base64, if there is one
``digest``      SHA-256 of the body, hex        ``seal_name``   its file name; absent: ``name`` + ``.p7s``

Publishing is mandatory and confirmed, and always final. The message id is made of reference and digest, so the same
Document is the same message however often it is published. No confirm: InDoubt; the broker may have it.

Inbound messages are taken one by one and stay unacknowledged until ``Done``: a listing shows them as files, the seal as
a file of its own, so that a route for folders reads them too. A second message of the same name waits for the first. A
message without an acceptable name is dead-lettered, body and reason kept.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from gateway.core.bank import Bank
from gateway.core.errors import Code, InDoubt, Malformed, NotSent, Refused, SheyinError, Unavailable
from gateway.core.ports import Archive, Bus, Clock, Delivery, Message, Work
from gateway.core.route import Done, Entry, List, Publish, Request, SealedDocument
from gateway.core.topology import BANKS, MESSAGE_BYTES_MAX, bank_in, bank_out
from gateway.edge.credentials import Credentials
from gateway.edge.wires.names import is_name
from gateway.edge.wires.options import AmqpOptions, options_of
from gateway.edge.work import InlineWork

CHUNK_BYTES = 1024 * 1024
SEAL_SUFFIX = ".p7s"
#: How much is held unacknowledged at a time, in memory: taking stops above either.
HELD_MAX = 64
HELD_BYTES_MAX = 32 * 1024 * 1024
_TYPES = "application/octet-stream"


class _Held(NamedTuple):
    """One message that is with us but not acknowledged."""

    delivery: Delivery
    name: str
    seal: bytes
    seal_name: str
    order: int


class AmqpWire:
    """The Wire port over the gateway's Bus."""

    def __init__(
        self,
        bank: Bank,
        archive: Archive,
        credentials: Credentials,
        *,
        bus: Bus,
        clock: Clock | None = None,
        work: Work | None = None,
    ) -> None:
        """Raises Refused SCHEMA for ``wire_options``: it has none. The broker's own credential is the Bus's."""
        options_of(bank, AmqpOptions)
        self._bank = bank
        self._archive = archive
        self._bus = bus
        self._work = work or InlineWork()
        self._order = itertools.count(1)
        self._held: dict[str, _Held] = {}  # by name
        self._waiting: deque[_Held] = deque()  # of a name that is held already

    async def perform(self, request: Request) -> Any:
        """See the port."""
        match request:
            case Publish():
                return await self._publish(request)
            case List():
                return await self._list(request)
            case Done():
                return await self._done(request)
            case _:
                raise NotSent(f"AMQP cannot {type(request).__name__}")

    async def read(self, path: str) -> AsyncIterator[bytes]:
        """See the port."""
        name = self._name(path)
        held = self._held.get(name)
        if held is not None:
            body = held.delivery.message.body
        else:
            body = next((item.seal for item in self._held.values() if item.seal and item.seal_name == name), b"")
            if not body:
                raise NotSent(f"{path} is not with us: it was taken back, or never came")
        for at in range(0, len(body), CHUNK_BYTES):
            yield body[at : at + CHUNK_BYTES]

    async def close(self) -> None:
        """Give back what is not done, so that another replica gets it at once."""
        held = [*self._held.values(), *self._waiting]
        self._held.clear()
        self._waiting.clear()
        for item in held:
            with contextlib.suppress(SheyinError):  # its connection is gone: the broker gives it back by itself
                await item.delivery.give_back()

    # ------------------------------------------------------------------------------------------------ out

    async def _publish(self, request: Publish) -> None:
        document = request.document
        if request.queue != bank_out(self._bank.code):
            raise NotSent(f"{request.queue} is not this bank's queue")
        if document.size > MESSAGE_BYTES_MAX:
            raise Malformed(f"{document.size} bytes, a message has at most {MESSAGE_BYTES_MAX}", code=Code.SIZE)
        try:
            body = await self._work.run(self._payload, document.digest)
        except Unavailable as error:
            raise NotSent(error.what) from error
        message = Message(
            message_id=f"{document.reference}-{document.digest[:32]}",
            body=body,
            content_type=_TYPES,
            headers=_headers(document),
        )
        try:
            await self._bus.publish(BANKS, request.queue, message)
        except Refused as error:  # ours, before anything was published
            raise NotSent(error.what, code=error.code) from error
        except Unavailable as error:
            raise InDoubt(f"no confirm for {document.name}: {error.what}") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise InDoubt(f"no confirm for {document.name}: the connection was lost") from error

    def _payload(self, digest: str) -> bytes:
        with self._archive.open(digest) as source:
            return source.read()

    # ------------------------------------------------------------------------------------------------ in

    async def _list(self, request: List) -> tuple[Entry, ...]:
        if request.path != bank_in(self._bank.code):
            raise NotSent(f"{request.path} is not this bank's queue")
        while self._has_room(request.most):
            try:
                delivery = await self._bus.take(request.path)
            except Unavailable as error:
                raise NotSent(error.what) from error
            if delivery is None:
                break
            await self._hold(delivery)
        entries = []
        for held in list(self._held.values())[: request.most]:
            if held.seal:
                entries.append(Entry(held.seal_name, len(held.seal), held.order))
            entries.append(Entry(held.name, len(held.delivery.message.body), held.order))
        return tuple(entries)

    def _has_room(self, most: int) -> bool:
        held = [*self._held.values(), *self._waiting]
        bytes_ = sum(len(item.delivery.message.body) for item in held)
        return len(held) < min(most, HELD_MAX) and bytes_ < HELD_BYTES_MAX

    async def _hold(self, delivery: Delivery) -> None:
        try:
            held = _read(delivery, next(self._order))
        except Malformed as error:
            with contextlib.suppress(Unavailable):  # it comes again, and is refused again
                await delivery.reject(str(error))
            return
        self._admit(held)

    def _admit(self, held: _Held) -> None:
        """Show it as a file, or let it wait for the one that has its name."""
        names = {name for item in self._held.values() for name in (item.name, item.seal_name)}
        if names & {held.name, held.seal_name}:
            self._waiting.append(held)
        else:
            self._held[held.name] = held

    async def _done(self, request: Done) -> None:
        held = self._held.pop(self._name(request.path), None)
        if held is None:
            return  # a seal goes with its payload; or it was acknowledged already
        waiting, self._waiting = self._waiting, deque()
        for item in waiting:
            self._admit(item)
        with contextlib.suppress(
            SheyinError
        ):  # its connection is gone: the broker delivers it again, and what is archived is then a duplicate
            await held.delivery.ack()

    def _name(self, path: str) -> str:
        queue, _, name = path.partition("/")
        if queue != bank_in(self._bank.code) or not is_name(name):
            raise Malformed(f"not a path on this wire: {path[:200]!r}", code=Code.PATH)
        return name


def _headers(document: SealedDocument) -> Mapping[str, str]:
    headers = {
        "name": document.name,
        "kind": document.kind.value,
        "reference": document.reference,
        "digest": document.digest,
    }
    if document.seal:
        headers["seal"] = base64.b64encode(document.seal).decode("ascii")
        headers["seal_name"] = document.seal_name
    return headers


def _read(delivery: Delivery, order: int) -> _Held:
    """The message as a file. Raises Malformed for one that cannot be one."""
    headers = delivery.message.headers
    name = headers.get("name", "")
    seal_name = headers.get("seal_name", "") or name + SEAL_SUFFIX
    if not is_name(name) or not is_name(seal_name) or name == seal_name:
        raise Malformed(f"a message called {name[:200]!r}", code=Code.PATH)
    if len(delivery.message.body) > MESSAGE_BYTES_MAX:
        raise Malformed(f"{len(delivery.message.body)} bytes", code=Code.SIZE)
    try:
        seal = base64.b64decode(headers.get("seal", ""), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("the seal is not base64", code=Code.FORMAT) from None
    return _Held(delivery, name, seal, seal_name, order)
