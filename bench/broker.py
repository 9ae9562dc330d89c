"""A quorum queue as the bare floor and the payer use it: pipelined confirmed publishes, and taking a known number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage, AbstractQueue

from gateway.core.ports import Message

IN_FLIGHT_MAX = 64
PREFETCH = 64
TIMEOUT_S = 60.0


class Publisher:
    """Publishes to one exchange: persistent, mandatory, confirmed; many on their way at once."""

    def __init__(self, exchange: AbstractExchange) -> None:
        self._exchange = exchange

    async def publish(self, messages: Iterable[tuple[str, Message]]) -> int:
        """Publish (routing key, message) pairs; returns how many, once the broker has confirmed them all."""
        turns = asyncio.Semaphore(IN_FLIGHT_MAX)
        count = 0

        async def one(key: str, message: Message) -> None:
            try:
                await self._exchange.publish(_of(message), key, mandatory=True, timeout=TIMEOUT_S)
            finally:
                turns.release()

        async with asyncio.TaskGroup() as group:
            for key, message in messages:
                await turns.acquire()
                group.create_task(one(key, message))
                count += 1
        return count


class Post:
    """One quorum queue of one's own."""

    def __init__(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self._publisher = Publisher(channel.default_exchange)
        self._queue = queue

    async def publish(self, messages: Iterable[Message]) -> int:
        """Publish to the queue; returns how many, once the broker has confirmed them all."""
        return await self._publisher.publish((self._queue.name, message) for message in messages)

    async def consume(self, count: int) -> list[bytes]:
        """Take and acknowledge ``count`` messages; their bodies."""
        bodies: list[bytes] = []
        done = asyncio.Event()

        async def take(message: AbstractIncomingMessage) -> None:
            bodies.append(message.body)
            await message.ack()
            if len(bodies) == count:
                done.set()

        tag = await self._queue.consume(take)
        async with asyncio.timeout(TIMEOUT_S):
            await done.wait()
        await self._queue.cancel(tag)
        return bodies


@asynccontextmanager
async def opened(amqp_url: str, name: str) -> AsyncIterator[Post]:
    """A fresh quorum queue, deleted on leaving."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        try:
            yield Post(channel, queue)
        finally:
            await queue.delete(if_unused=False, if_empty=False)


def _of(message: Message) -> aio_pika.Message:
    return aio_pika.Message(
        message.body,
        message_id=message.message_id,
        content_type=message.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
