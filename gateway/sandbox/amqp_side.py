"""A pair of queues at the bureau's broker as a bank's door.

The gateway declares exchange and queues (core/topology.py); the bank waits for its queue and publishes its answers confirmed and mandatory. A
message's headers carry what a file name and a file beside it carry elsewhere::

    name       file name
    kind       what the document is
    reference  of the bureau's Document that it is, or answers
    digest     SHA-256 of the body, hex
    seal       detached seal, base64 (absent where the seal is inside)
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import cast

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from gateway.sandbox.config import AmqpWire
from gateway.sandbox.doors import Arrival, Outgoing, pause

TIMEOUT_S = 10.0
AGAIN_S = 0.5
_AWAY = (aio_pika.exceptions.AMQPError, ConnectionError, TimeoutError, RuntimeError)
#: The bank's own words that are finer than the wire's.
_KINDS = {"refusal": "receipt", "pending": "result", "contradiction": "result"}


class AmqpDoor:
    """The AMQP wire."""

    def __init__(self, wire: AmqpWire, *, code: str, stop: asyncio.Event) -> None:
        self._wire = wire
        self._inbound = wire.inbound or f"bank.{code}.out"
        self._outbound = wire.outbound or f"bank.{code}.in"
        self._stop = stop
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._exchange: AbstractExchange | None = None
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> dict[str, str | int]:
        """Connect, and listen as soon as the queue exists. Raises ConnectionError if there is no broker at all."""
        await (await aio_pika.connect(self._wire.url, timeout=TIMEOUT_S)).close()
        self._listening = asyncio.create_task(self._listen())
        return {"inbound": self._inbound, "outbound": self._outbound}

    async def next(self) -> Arrival | None:
        """The next message, whole by nature."""
        if self._arrived.empty():
            return None
        message = self._arrived.get_nowait()
        headers = {key: str(value) for key, value in (message.headers or {}).items()}
        seal = base64.b64decode(headers["seal"]) if headers.get("seal") else None
        return Arrival(headers.get("name", ""), message.body, seal, message)

    async def aside(self, arrival: Arrival, *, keep: bool) -> bool:
        """Acknowledge; a lost one is acknowledged too, that is what makes it lost. False: it will be delivered again."""
        try:
            await cast(AbstractIncomingMessage, arrival.token).ack()
        except _AWAY:
            return False
        return True

    async def hand_over(self, outgoing: Outgoing) -> bool:
        """Publish, confirmed by the broker; False if it was not."""
        if self._exchange is None:
            return False
        headers = {
            "name": outgoing.name,
            "kind": _KINDS.get(outgoing.kind, outgoing.kind),
            "reference": outgoing.reference,
            "digest": hashlib.sha256(outgoing.payload).hexdigest(),
        }
        if outgoing.seal is not None:
            headers["seal"] = base64.b64encode(outgoing.seal).decode()
        message = aio_pika.Message(
            outgoing.payload,
            headers=dict(headers),
            message_id=outgoing.name,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        try:
            await self._exchange.publish(message, self._outbound, mandatory=True, timeout=TIMEOUT_S)
        except _AWAY:
            return False
        return True

    async def close(self) -> None:
        """Let go of the connection; what was not acknowledged stays in the queue."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        """One connection after another: while the queue is not declared yet, and whenever the broker was away."""
        while not self._stop.is_set():
            try:
                await self._session()
            except _AWAY:
                pass
            except asyncio.CancelledError:
                # aiormq cancels whoever waits on a connection that it gives up; only our own cancellation ends us.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
            await pause(self._stop, AGAIN_S)

    async def _session(self) -> None:
        broken = asyncio.Event()
        async with await aio_pika.connect(self._wire.url, timeout=TIMEOUT_S) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            connection.close_callbacks.add(lambda *_: broken.set())
            channel.close_callbacks.add(lambda *_: broken.set())
            await channel.set_qos(prefetch_count=1, timeout=TIMEOUT_S)
            queue = await channel.get_queue(self._inbound, ensure=True)
            exchange = await channel.get_exchange(self._wire.exchange, ensure=True)
            await queue.consume(self._arrived.put, timeout=TIMEOUT_S)
            self._exchange = exchange
            try:
                await broken.wait()
            finally:
                self._exchange = None
                self._arrived = asyncio.Queue()  # what was not taken comes again
