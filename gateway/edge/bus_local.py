"""The Bus port inside one process, on the same topology value. **Not for production**: nothing outlives the process.

For the demo, the simulation and small trials. It keeps the promises that a caller can see of a broker: at-least-once
delivery, prefetch, redelivery of what its consumer did not settle, dead-lettering with the reason, the delivery limit,
refusal when a queue is full, refusal of what no queue takes. It has no connection, so nothing here is ever in doubt.

Memory: messages are held as they are, without a copy, until they are settled; `BYTES_MAX` bounds the bodies of all
queues together, and what comes on top is refused like on a broker whose memory alarm is up.
"""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import AsyncGenerator, Generator

import msgspec

from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.ports import Clock, Message
from gateway.core.topology import DLX, MESSAGE_BYTES_MAX, Queue, Topology
from gateway.edge.backoff import Backoff, pause
from gateway.edge.bus_state import BusState, LinkState
from gateway.edge.clock import SystemClock
from gateway.edge.dead_letters import death_headers, is_note

BYTES_MAX = 256 * 1024 * 1024
HOLD_FIRST_S = 0.2
HOLD_MAX_S = 30.0


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """One turn of the loop, so that a publisher in a tight loop lets its consumers work."""
    yield


class _Item:
    """One message in one queue."""

    __slots__ = ("count", "exchange", "key", "message")

    def __init__(self, message: Message, exchange: str, key: str) -> None:
        self.message = message
        self.exchange = exchange
        self.key = key
        self.count = 0  # how often it came back


class _Queue:
    """Messages waiting, and who waits for them."""

    def __init__(self, spec: Queue) -> None:
        self.spec = spec
        self.ready: deque[_Item] = deque()
        self.returned: deque[_Item] = deque()  # given back: before all others, in the order in which they came back
        self._waiting: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        return len(self.ready) + len(self.returned)

    def pop(self) -> _Item:
        """The next one."""
        return self.returned.popleft() if self.returned else self.ready.popleft()

    def changed(self) -> None:
        """Wake those who wait for a message or for room in their prefetch."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def change(self) -> None:
        """Wait for one."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class _Session:
    """One consumer's unsettled deliveries."""

    def __init__(self, queue: _Queue) -> None:
        self.queue = queue
        self.open = True
        self.items: dict[_Item, None] = {}


class LocalDelivery:
    """One message from a queue, not settled yet. Settling it after its consumer ended raises Unavailable."""

    def __init__(self, bus: LocalBus, session: _Session, item: _Item) -> None:
        self.message = item.message
        self.queue = session.queue.spec.name
        self.redelivered = item.count > 0
        self.exchange = item.exchange
        self.key = item.key
        self._bus = bus
        self._session = session
        self._item = item

    async def ack(self) -> None:
        """It is recorded in the ledger."""
        self._settle("ack")
        self._bus.release(self._item)
        self._bus.holding.reset()

    async def reject(self, reason: str) -> None:
        """It can never be processed: it goes to the dead letters, bytes and reason kept."""
        self._settle("reject")
        self._bus.bury(self._item, self, reason)

    async def requeue(self) -> None:
        """We cannot record it now: hold it for a while, longer each time nothing could be recorded, and give it back.

        As on RabbitMQ, half-way to the delivery limit it starts anew at the queue's end: giving back is no failure.
        """
        await pause(self._bus.closed, self._bus.holding.next_s())
        if self._item.count < self._session.queue.spec.delivery_limit // 2:
            await self.give_back()
            return
        self._settle("requeue")
        self._item.count = 0
        self._session.queue.ready.append(self._item)
        self._session.queue.changed()

    async def give_back(self) -> None:
        """Back to the queue at once, to where it came from: it was only looked at."""
        self._settle("give back")
        self._bus.return_to(self._session.queue, self._item)

    def _settle(self, how: str) -> None:
        if not self._session.open:
            raise Unavailable(f"{how} on {self.queue}: its consumer has ended; it is delivered again")
        if self._item not in self._session.items:
            raise Refused(f"{how}: this delivery is settled already", code=Code.DUP, where=self.queue)
        del self._session.items[self._item]
        self._session.queue.changed()


class LocalBus:
    """All queues of one topology, in memory. It belongs to one event loop."""

    def __init__(self, topology: Topology, *, clock: Clock | None = None, bytes_max: int = BYTES_MAX) -> None:
        self.topology = topology
        self.holding = Backoff(HOLD_FIRST_S, HOLD_MAX_S, spread=lambda: 1.0)  # no chance: the simulation repeats itself
        self.closed = asyncio.Event()
        self._clock = clock or SystemClock()
        self._since = self._clock.now()
        self._bytes = 0
        self._bytes_max = bytes_max
        self._queues = {queue.name: _Queue(queue) for queue in topology.queues}
        self._routes: dict[tuple[str, str], list[_Queue]] = {}
        self._taken: dict[str, _Session] = {}

    async def close(self) -> None:
        """End the waiting; everything is forgotten with the object."""
        self.closed.set()
        for queue in self._queues.values():
            queue.changed()

    def state(self) -> BusState:
        """Always connected; blocked when its memory is full."""
        full = "" if self._bytes < self._bytes_max else "memory"
        link = LinkState(connected=True, since=self._since, blocked=full)
        return BusState(publishing=link, consuming=link)

    async def probe(self) -> float:
        """Seconds that an answer takes: none."""
        return 0.0

    async def publish(self, exchange: str, key: str, message: Message) -> None:
        """See the port. Raises Unavailable if no queue takes it or one is full, Refused SIZE above the cap."""
        await _turn()
        if len(message.body) > MESSAGE_BYTES_MAX:
            raise Refused(f"a body of {len(message.body)} bytes", code=Code.SIZE, where=f"{exchange}/{key}")
        if not message.message_id:
            raise Refused("a message without an id", code=Code.FORMAT, where=f"{exchange}/{key}")
        what = f"publish to {exchange or 'queue'} {key}"
        queues = self._route(exchange, key)
        if not queues:
            raise Unavailable(f"{what}: no queue takes it (unroutable)")
        if any(len(queue) >= queue.spec.length_max for queue in queues):
            raise Unavailable(f"{what}: the queue is full")
        if self._bytes + len(message.body) * len(queues) > self._bytes_max:
            raise Unavailable(f"{what}: the in-process bus is full; consume first")
        self._put(queues, message, exchange, key)

    async def consume(self, queue: str, prefetch: int) -> AsyncGenerator[LocalDelivery, None]:
        """See the port. What its consumer leaves unsettled goes back when the loop is left."""
        source = self._queue(queue)
        session = _Session(source)
        try:
            while not self.closed.is_set():
                if source and len(session.items) < prefetch:
                    yield self._deliver(session)
                else:
                    await source.change()
            raise Unavailable(f"{queue}: this bus is closed")
        finally:
            session.open = False
            for item in session.items:
                self.return_to(source, item)

    async def take(self, queue: str) -> LocalDelivery | None:
        """See the port."""
        source = self._queue(queue)
        return self._deliver(self._taken.setdefault(queue, _Session(source))) if source else None

    async def depth(self, queue: str) -> int:
        """See the port."""
        return len(self._queue(queue))

    # ------------------------------------------------------------------------------------------------ for deliveries

    def release(self, item: _Item) -> None:
        """It is gone; its bytes are free."""
        self._bytes -= len(item.message.body)

    def return_to(self, queue: _Queue, item: _Item) -> None:
        """Back to its queue; beyond the delivery limit it is dead-lettered, like on the broker."""
        item.count += 1
        if item.count > queue.spec.delivery_limit:
            self.bury(item, LocalDelivery(self, _Session(queue), item), "broker: delivery_limit")
        else:
            queue.returned.append(item)
            queue.changed()

    def bury(self, item: _Item, delivery: LocalDelivery, reason: str) -> None:
        """Dead-letter it: same body, our headers on top. Never refused: at-least-once has nowhere else to put it."""
        headers = {name: value for name, value in item.message.headers.items() if not is_note(name)}
        headers |= death_headers(delivery, reason, self._clock.now())
        key = f"dead.{delivery.queue}"
        self._put(self._route(DLX, key), msgspec.structs.replace(item.message, headers=headers), DLX, key)
        self.release(item)

    # ------------------------------------------------------------------------------------------------ inside

    def _put(self, queues: list[_Queue], message: Message, exchange: str, key: str) -> None:
        for queue in queues:
            self._bytes += len(message.body)
            queue.ready.append(_Item(message, exchange, key))
            queue.changed()

    def _deliver(self, session: _Session) -> LocalDelivery:
        item = session.queue.pop()
        session.items[item] = None
        return LocalDelivery(self, session, item)

    def _queue(self, name: str) -> _Queue:
        queue = self._queues.get(name)
        if queue is None:
            raise Unavailable(f"there is no queue {name}; see `sheyin topology`")
        return queue

    def _route(self, exchange: str, key: str) -> list[_Queue]:
        queues = self._routes.get((exchange, key))
        if queues is None:
            queues = [self._queues[queue.name] for queue in self.topology.routed(exchange, key)]
            self._routes[exchange, key] = queues
        return queues
