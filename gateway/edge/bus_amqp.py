"""The Bus port on RabbitMQ, by aio-pika.

Publishing and consuming have a connection each: under a memory or disk alarm the broker stops reading from connections
that publish, and consuming has to go on. What a publish proves, and what it does not, is in PROMISES, section 0 facts
1, 2, 4 and 5: every publish is persistent, mandatory, confirmed and timed; a publish without an answer may have
arrived, so its caller repeats it under the same message id, and consumers know repeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.ports import Message
from gateway.core.topology import DEAD, DLX, MESSAGE_BYTES_MAX
from gateway.edge.backoff import Backoff, pause
from gateway.edge.bus_link import RETRY_FIRST_S, AmqpSettings, Link, Missing, bounded, check_url, log
from gateway.edge.bus_state import BusState
from gateway.edge.dead_letters import death_headers, is_note


class AmqpDelivery:
    """One message from a queue, not settled yet; on a connection that is gone settling raises Unavailable, and the broker
    delivers it again."""

    def __init__(self, bus: AmqpBus, raw: AbstractIncomingMessage, queue: str) -> None:
        self.queue = queue
        self.redelivered = bool(raw.redelivered)
        self.exchange = raw.exchange or ""
        self.key = raw.routing_key or ""
        self.message = Message(
            message_id=raw.message_id or "",
            body=raw.body,
            content_type=raw.content_type or "",
            headers=_headers_in(raw),
        )
        raw.body = b""  # type: ignore[misc]  # its ABC forgets to name the slot. Held once, above, so that who is done with it can let it go
        self._bus = bus
        self._raw = raw

    async def ack(self) -> None:
        """It is recorded in the ledger."""
        async with self._settling("ack"):
            await self._raw.ack()
        self._bus.recorded()

    async def reject(self, reason: str) -> None:
        """It can never be processed: a confirmed copy with the reason goes to the dead letters, then this one is taken.

        If the copy is refused, the broker dead-letters the message itself: bytes kept, reason lost.
        """
        self._must_be_open("reject")
        copy = _copy(self._raw, self.message.body, death_headers(self, reason, datetime.now(UTC)))
        try:
            await self._bus.put(DLX, f"dead.{self.queue}", copy)
        except Unavailable as error:
            log.warning("delivery.reason_lost", queue=self.queue, message_id=self.message.message_id, error=error.what)
            async with self._settling("reject"):
                await self._raw.reject(requeue=self.queue == DEAD)  # the dead letters have nowhere further to go
        else:
            async with self._settling("reject"):
                await self._raw.ack()

    async def requeue(self) -> None:
        """We cannot record it now: hold it for a while, longer each time nothing could be recorded, and give it back.

        RabbitMQ counts what is given back, and dead-letters after the delivery limit; a ledger that is away for an hour
        must not do that to good messages. Half-way there a confirmed copy starts at the queue's end instead.
        """
        await self._bus.hold()
        count = (self._raw.headers or {}).get("x-delivery-count")
        if isinstance(count, int) and count >= self._bus.settings.copy_after and self.queue != DEAD:
            with contextlib.suppress(Unavailable):
                await self._bus.put("", self.queue, _copy(self._raw, self.message.body, {}))
                async with self._settling("requeue"):
                    await self._raw.ack()
                return
        await self.give_back()

    async def give_back(self) -> None:
        """Back to the queue at once, to where it came from: it was only looked at."""
        async with self._settling("give back"):
            await self._raw.nack(requeue=True)

    def _must_be_open(self, how: str) -> None:
        if self._raw.processed:
            raise Refused(f"{how}: this delivery is settled already", code=Code.DUP, where=self.queue)

    @contextlib.asynccontextmanager
    async def _settling(self, how: str) -> AsyncIterator[None]:
        self._must_be_open(how)
        async with bounded(f"{how} on {self.queue}", self._bus.settings.call_timeout_s):
            yield


class AmqpBus:
    """Publishing and consuming on one broker. Make one with `open`; it belongs to one event loop."""

    def __init__(
        self, nodes: Sequence[tuple[str, str]], settings: AmqpSettings, tls: ssl.SSLContext | None = None
    ) -> None:
        self.settings = settings
        self._publishing = Link(nodes, "publishing", settings, tls)
        self._consuming = Link(nodes, "consuming", settings, tls)
        self._turns = asyncio.Semaphore(settings.in_flight_max)
        self._in_flight: dict[str, asyncio.Event] = {}
        self._channel: AbstractChannel | None = None  # of publish
        self._channel_opening = asyncio.Lock()
        # Of take, one for each queue: what it gave out is settled on it, and a queue that is missing closes its own only.
        self._taking: dict[str, AbstractChannel] = {}
        self._taking_opening = asyncio.Lock()
        self._holding = Backoff(settings.hold_first_s, settings.hold_max_s)
        self._closed = asyncio.Event()

    @classmethod
    async def open(
        cls,
        *urls: str,
        settings: AmqpSettings | None = None,
        tls: ssl.SSLContext | None = None,
        plain_allowed: bool = False,
    ) -> Self:
        """Connect twice. ``urls`` are the nodes of one cluster, tried in turn when one is lost.

        Raises Refused for an address that is not safe (see `check_url`), Unavailable if the first is away. ``tls``
        carries the broker's CA and our client certificate; without one, ``amqps`` trusts the system's CAs.
        """
        nodes = [(url, check_url(url, plain_allowed=plain_allowed)) for url in urls]
        bus = cls(nodes, settings or AmqpSettings(), tls)
        try:
            await bus._publishing.open()
            await bus._consuming.open()
        except BaseException:
            await bus.close()
            raise
        return bus

    async def close(self) -> None:
        """Let go of both connections; what is not settled is delivered again."""
        self._closed.set()
        await asyncio.gather(self._publishing.close(), self._consuming.close())

    def state(self) -> BusState:
        """How both connections stand."""
        return BusState(publishing=self._publishing.state(), consuming=self._consuming.state())

    async def probe(self) -> float:
        """Ask the broker something cheap; returns the seconds it took. Raises Unavailable, also if it takes nothing."""
        state = self._publishing.state()
        if not state.connected or state.blocked:
            raise Unavailable(f"publishing: {state.blocked or state.last_error or 'not connected'}")
        loop = asyncio.get_running_loop()
        start = loop.time()
        channel = await self._consuming.channel()
        took_s = loop.time() - start
        self._consuming.later(channel.close())
        return took_s

    # ------------------------------------------------------------------------------------------------ publishing

    async def publish(self, exchange: str, key: str, message: Message) -> None:
        """See the port. Many may be under way at once: confirms are pipelined. Raises Refused SIZE above the cap."""
        if len(message.body) > MESSAGE_BYTES_MAX:
            raise Refused(f"a body of {len(message.body)} bytes", code=Code.SIZE, where=f"{exchange}/{key}")
        if not message.message_id:
            raise Refused("a message without an id", code=Code.FORMAT, where=f"{exchange}/{key}")
        amqp = aio_pika.Message(
            message.body,
            message_id=message.message_id,
            content_type=message.content_type,
            headers=dict(message.headers),
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            timestamp=datetime.now(UTC),
        )
        await self.put(exchange, key, amqp)

    async def put(self, exchange: str, key: str, message: aio_pika.Message) -> None:
        """`publish` for a message that is in the library's shape already."""
        what = f"publish to {exchange or 'queue'} {key}"
        async with bounded(what, self.settings.publish_timeout_s):
            await self._publishing.up()
        async with self._turns, self._alone(message.message_id or ""):
            blocked = self._publishing.state().blocked
            if blocked:
                raise Unavailable(f"{what}: the broker takes nothing for now: {blocked}")
            try:
                async with bounded(what, self.settings.publish_timeout_s):
                    channel = await self._publish_channel()
                    target = (
                        await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
                    )
                    await target.publish(message, routing_key=key, mandatory=True)
            except Unavailable as error:
                if isinstance(error.__cause__, TimeoutError):
                    self._publishing.suspect()
                    self._consuming.suspect()
                raise

    @contextlib.asynccontextmanager
    async def _alone(self, message_id: str) -> AsyncIterator[None]:
        """One publish of an id at a time: aiormq tells by the id which publish was returned, and with two of them under
        way it would fail the second and call the first, unroutable one confirmed."""
        while before := self._in_flight.get(message_id):
            await before.wait()
        done = self._in_flight[message_id] = asyncio.Event()
        try:
            yield
        finally:
            del self._in_flight[message_id]
            done.set()

    async def _publish_channel(self) -> AbstractChannel:
        async with self._channel_opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await self._publishing.channel(confirms=True)
            return self._channel

    # ------------------------------------------------------------------------------------------------ consuming

    async def consume(self, queue: str, prefetch: int) -> AsyncGenerator[AmqpDelivery, None]:
        """See the port. Goes on over lost connections; what was not settled on the old one comes again, redelivered.

        A body above the cap comes too: whoever reads the queue refuses it, and tells its sender.
        Raises Missing (Unavailable) if there is no such queue.
        Who may leave the loop by an error wraps it in ``contextlib.aclosing``, so that what it held is free at once.
        """
        backoff = Backoff(RETRY_FIRST_S, self.settings.retry_max_s)
        while not self._closed.is_set():
            await self._consuming.up()
            inbox: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
            try:
                channel = await self._subscribe(queue, prefetch, inbox)
            except Missing:
                raise
            except Unavailable as error:
                log.warning("consumer.waits", queue=queue, error=error.what)
                await pause(self._closed, backoff.next_s())
                continue
            try:
                while raw := await inbox.get():
                    backoff.reset()
                    yield AmqpDelivery(self, raw, queue)
            finally:
                self._consuming.later(channel.close())  # gives back what nobody settled
            await pause(self._closed, backoff.next_s())
        raise Unavailable(f"{queue}: this bus is closed")

    async def _subscribe(
        self, queue: str, prefetch: int, inbox: asyncio.Queue[AbstractIncomingMessage | None]
    ) -> AbstractChannel:
        """A channel that fills ``inbox``, with None at its end (channel closed, queue deleted)."""

        async def arrived(raw: AbstractIncomingMessage) -> None:
            inbox.put_nowait(raw)

        def ended(*_: object) -> None:
            inbox.put_nowait(None)

        channel = await self._consuming.channel()
        try:
            async with bounded(f"consume {queue}", self.settings.call_timeout_s):
                inner = await channel.get_underlay_channel()
                inner.on_consumer_cancel_callbacks.add(ended)
                channel.close_callbacks.add(ended)
                await channel.set_qos(prefetch_count=prefetch)
                await (await channel.get_queue(queue, ensure=False)).consume(arrived)
        except BaseException:
            self._consuming.later(channel.close())
            raise
        return channel

    async def take(self, queue: str) -> AmqpDelivery | None:
        """See the port. Raises Missing if there is no such queue, Unavailable."""
        async with bounded(f"take from {queue}", self.settings.call_timeout_s):
            async with self._taking_opening:
                channel = self._taking.get(queue)
                if channel is None or channel.is_closed:
                    channel = self._taking[queue] = await self._consuming.channel()
            raw = await (await channel.get_queue(queue, ensure=False)).get(fail=False, timeout=None)
        return AmqpDelivery(self, raw, queue) if raw else None

    async def depth(self, queue: str) -> int:
        """See the port. Raises Missing if there is no such queue, Unavailable."""
        channel = await self._consuming.channel()  # of its own: asking for a queue that is missing closes the channel
        async with bounded(f"depth of {queue}", self.settings.call_timeout_s):
            found = await channel.declare_queue(queue, passive=True)
        self._consuming.later(channel.close())
        return found.declaration_result.message_count or 0

    # ------------------------------------------------------------------------------------------------ giving back

    def recorded(self) -> None:
        """A delivery could be recorded: what is given back from now on is held shortly again."""
        self._holding.reset()

    async def hold(self) -> None:
        """Wait before giving back, longer each time, so that a message does not run in circles."""
        await pause(self._closed, self._holding.next_s())


# ---------------------------------------------------------------------------------------------------- shapes


def _headers_in(raw: AbstractIncomingMessage) -> dict[str, str]:
    """Headers as text, other types as JSON, without the broker's count of deliveries, which makes a repeat look new.

    The properties that intake has a rule for are shown as headers (PROMISES, A12 and A24).
    """
    headers = {name: _text(value) for name, value in (raw.headers or {}).items() if name != "x-delivery-count"}
    for name, value in (("content-encoding", raw.content_encoding), ("reply-to", raw.reply_to)):
        if value:
            headers[name] = value
    return headers


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value, enc_hook=repr).decode()


def _copy(raw: AbstractIncomingMessage, body: bytes, headers: dict[str, str]) -> aio_pika.Message:
    """The same message once more, with our headers on top.

    Left out: what would route it elsewhere or end it early (CC, BCC, expiration), the broker's notes on the first copy,
    and the user id, which the broker accepts from that user only.
    """
    kept = {name: value for name, value in (raw.headers or {}).items() if not is_note(name)}
    return aio_pika.Message(
        body,
        message_id=raw.message_id,
        content_type=raw.content_type,
        content_encoding=raw.content_encoding,
        correlation_id=raw.correlation_id,
        reply_to=raw.reply_to,
        type=raw.type,
        app_id=raw.app_id,
        timestamp=raw.timestamp,
        headers={**kept, **headers},
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
