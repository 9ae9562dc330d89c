"""One connection to RabbitMQ, made again whenever it is lost; and the one place where AMQP's errors become ours.

The library's own robust connection is not used: it hides when the broker is away, restores consumers behind the
caller's back, and a publish on it may hang (aio-pika issues 556 and 636). Here every call has a timeout, and a call on
a dead connection fails.

What a dying connection does to whoever waits on it (PROMISES, section 0 fact 4): aiormq fails the pending futures with
``asyncio.CancelledError``, which looks exactly like being asked to stop. `bounded` tells the two apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import aio_pika
import msgspec
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelNotFoundEntity, DeliveryError, PublishError

from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.topology import DELIVERY_LIMIT
from gateway.edge.backoff import Backoff, pause
from gateway.edge.bus_state import LinkState

log = structlog.get_logger(__name__)

HANG_UP_S = 3.0  # for the goodbye of a connection that we give up; a dead one does not answer
RETRY_FIRST_S = 0.2
SETTLED_S = 10.0  # a connection that lasted so long was a good one: its loss is a first one again


class Missing(Unavailable):
    """The queue or exchange is not there: declaring the topology helps, waiting does not."""


class AmqpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of every wait, in seconds, and of what is under way."""

    connect_timeout_s: float = 10.0
    publish_timeout_s: float = 10.0  # from the turn of a publish to the broker's confirm
    call_timeout_s: float = 10.0  # any other question to the broker
    retry_max_s: float = 5.0  # between two tries to connect
    heartbeat_s: int = 15  # aiormq gives a silent connection up after (heartbeat + 1) * 3 seconds
    in_flight_max: int = 256  # publishes waiting for their confirm
    hold_first_s: float = 0.2  # what cannot be recorded is held so long before it is given back; then twice as long, …
    hold_max_s: float = 30.0
    copy_after: int = DELIVERY_LIMIT // 2  # times given back, after which a copy starts anew: see `requeue`


@contextlib.asynccontextmanager
async def bounded(what: str, seconds: float) -> AsyncIterator[None]:
    """Bound a call to the broker; whatever goes wrong leaves as Unavailable, a cancellation of this task as itself."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(f"{what}: no answer within {seconds:g} s") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():  # somebody asked this task to stop
            raise
        raise Unavailable(f"{what}: the connection died") from error
    except PublishError as error:
        raise Unavailable(f"{what}: no queue takes it (unroutable)") from error
    except DeliveryError as error:
        raise Unavailable(f"{what}: refused by the broker; the queue is full or has lost its majority") from error
    except ChannelNotFoundEntity as error:
        raise Missing(f"{what}: {error}; see `sheyin topology`") from error
    except CONNECTION_EXCEPTIONS as error:
        raise Unavailable(f"{what}: {type(error).__name__}: {error}") from error


def check_url(url: str, *, plain_allowed: bool = False) -> str:
    """The broker's address without its password, for people to read.

    Raises Refused (POLICY) for an address that is none, for plain AMQP to another machine unless ``plain_allowed``, and
    for TLS that checks no certificate.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
        raise Refused("a broker's address starts with amqps:// (or amqp:// on this machine)", code=Code.POLICY)
    address = f"{parts.scheme}://{parts.hostname}:{parts.port or ''}/{unquote(parts.path[1:])}"
    if parts.scheme == "amqp" and not plain_allowed and not is_loopback(parts.hostname):
        raise Refused("plain AMQP leaves this machine unencrypted: use amqps://", code=Code.POLICY, where=address)
    if parts.scheme == "amqps" and parse_qs(parts.query).get("no_verify_ssl", ["0"]) != ["0"]:
        raise Refused("TLS without a check of the certificate proves nothing", code=Code.POLICY, where=address)
    return address


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Link:
    """One connection to one of the cluster's nodes, kept up by a task of its own until `close`.

    ``nodes`` are addresses with their passwords and as shown to people (`check_url`); they are tried in turn.
    """

    def __init__(
        self, nodes: Sequence[tuple[str, str]], name: str, settings: AmqpSettings, tls: ssl.SSLContext | None
    ) -> None:
        self._nodes = itertools.cycle(nodes)
        self._address = nodes[0][1]
        self._name = name
        self._settings = settings
        self._tls = tls
        self._connection: AbstractConnection | None = None
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._closed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._check: asyncio.Task[None] | None = None
        self._chores: set[asyncio.Task[Any]] = set()
        self._since: datetime | None = None
        self._blocked = ""
        self._blocked_since: datetime | None = None
        self._connections = 0
        self._last_error = ""

    def state(self) -> LinkState:
        """How the connection stands now."""
        return LinkState(
            connected=self._connection is not None,
            since=self._since,
            blocked=self._blocked,
            blocked_since=self._blocked_since,
            connections=self._connections,
            last_error=self._last_error,
        )

    async def open(self) -> None:
        """Connect for the first time and stay connected from then on. Raises Unavailable, and then keeps nothing."""
        connection = await self._connect()
        self._keeper = asyncio.create_task(self._keep(connection), name=f"amqp-{self._name}")

    async def close(self) -> None:
        """Say goodbye, within `HANG_UP_S`."""
        self._closed.set()
        tasks = [task for task in (self._keeper, self._check) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._connection is not None:
            self._forget(self._connection)
        self._connected.set()  # wakes those who wait for a connection that will not come
        await asyncio.gather(*self._chores, return_exceptions=True)

    def later(self, work: Awaitable[object]) -> None:
        """Run a goodbye that nobody waits for, bounded; `close` waits for the rest of them."""

        async def run() -> None:
            with contextlib.suppress(Unavailable):
                async with bounded("goodbye", HANG_UP_S):
                    await work

        chore = asyncio.create_task(run())
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def up(self) -> AbstractConnection:
        """The connection, as soon as there is one."""
        while not self._closed.is_set():
            if self._keeper is None or self._keeper.done():
                # The keeper outlives every error of the library that we know of; should a new one kill it, the link
                # must not stay down for that.
                self._keeper = asyncio.create_task(self._keep(None), name=f"amqp-{self._name}")
            await self._connected.wait()
            if self._connection is not None:
                return self._connection
        raise Unavailable(f"{self._address}: this bus is closed")

    async def channel(self, *, confirms: bool = False) -> AbstractChannel:
        """A new channel, on the connection that is up now. Raises Unavailable at once when there is none.

        A connection that cannot even do this in time is taken for dead, unless the broker has said that it is blocked.
        """
        connection = self._connection
        if connection is None:
            raise Unavailable(f"{self._address}: not connected; {self._last_error or 'trying'}")
        try:
            async with bounded(f"{self._address}: open a channel", self._settings.call_timeout_s):
                channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
                await channel.initialize()
        except Unavailable as error:
            if isinstance(error.__cause__, TimeoutError) and not self._blocked:
                self._lose(connection, error.what)
            raise
        return channel

    def suspect(self) -> None:
        """A call got no answer: find out whether the connection is dead, and if so give it up without waiting for the
        heartbeat, which takes three times as long."""
        if self._connection is not None and not self._blocked and (self._check is None or self._check.done()):
            self._check = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        with contextlib.suppress(Unavailable):
            channel = await self.channel()
            self.later(channel.close())

    async def _keep(self, connection: AbstractConnection | None) -> None:
        backoff = Backoff(RETRY_FIRST_S, self._settings.retry_max_s)
        loop = asyncio.get_running_loop()
        while not self._closed.is_set():
            began_s = loop.time()
            if connection is None:
                try:
                    connection = await self._connect()
                except Unavailable as error:
                    self._away(error.what)
            if connection is not None:
                await self._lost.wait()
                connection = None
                if loop.time() - began_s > SETTLED_S:
                    backoff.reset()
            await pause(self._closed, backoff.next_s())

    async def _connect(self) -> AbstractConnection:
        settings = self._settings
        url, self._address = next(self._nodes)
        async with bounded(f"{self._address}: connect", settings.connect_timeout_s):
            connection = await aio_pika.connect(
                url,
                ssl_context=self._tls,
                client_properties={"connection_name": f"sheyin {self._name}"},
                heartbeat=settings.heartbeat_s,
            )
        connection.close_callbacks.add(lambda _, error: self._lose(connection, repr(error)))
        self._watch_blocking(connection)
        self._lost.clear()
        self._connection = connection
        self._connections += 1
        self._since, self._last_error = datetime.now(UTC), ""
        self._blocked, self._blocked_since = "", None
        self._connected.set()
        log.info("broker.connected", broker=self._address, link=self._name)
        return connection

    def _watch_blocking(self, connection: AbstractConnection) -> None:
        """Learn of ``connection.blocked``: aiormq keeps it to itself and only logs it, so two of its private methods
        are wrapped; tests/bus fails if they ever have another name."""
        inner: Any = connection.transport and connection.transport.connection
        blocked = inner._Connection__handle_connection_blocked
        unblocked = inner._Connection__handle_connection_unblocked

        async def on_blocked(frame: Any) -> None:
            self._blocked, self._blocked_since = str(frame.reason) or "unknown reason", datetime.now(UTC)
            await blocked(frame)

        async def on_unblocked(frame: Any) -> None:
            self._blocked, self._blocked_since = "", None
            await unblocked(frame)

        inner._Connection__handle_connection_blocked = on_blocked
        inner._Connection__handle_connection_unblocked = on_unblocked

    def _lose(self, connection: AbstractConnection, error: str) -> None:
        if connection is self._connection:
            self._forget(connection)
            self._away(error)
            self._lost.set()

    def _away(self, error: str) -> None:
        if self._connected.is_set() or self._since is None:
            self._since = datetime.now(UTC)
        self._connected.clear()
        self._blocked, self._blocked_since = "", None
        if error != self._last_error:  # once per outage and kind, not once per try
            log.warning("broker.away", broker=self._address, link=self._name, error=error)
        self._last_error = error

    def _forget(self, connection: AbstractConnection) -> None:
        self._connection = None
        self._connected.clear()
        self.later(connection.close())
