"""A broker that dies, freezes or runs out of memory: publishing says so in time, nothing hangs, nothing confirmed is lost.

One broker of this module's own; the tests leave it alive and well.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.core.errors import Unavailable
from gateway.core.topology import DEAD, DISBURSEMENT, INTAKE
from gateway.edge.bus_amqp import AmqpBus
from gateway.edge.bus_topology import declare
from gateway.edge.dead_letters import letters
from tests.bus.broker import Broker
from tests.bus.conftest import QUICK, TOPOLOGY, message, until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

KEY = "run.chunk"


@pytest.fixture
async def amqp(broker: Broker) -> AsyncIterator[AmqpBus]:
    """A bus on the module's broker, its queues empty."""
    await declare(broker.url, TOPOLOGY)
    bus = await AmqpBus.open(broker.url, settings=QUICK)
    for queue in (INTAKE, DEAD):
        while (left := await bus.take(queue)) is not None:
            await left.ack()
    yield bus
    await bus.close()


class Traffic:
    """A publisher that repeats what was not confirmed, under the same id, and a consumer; both for as long as it runs."""

    def __init__(self, bus: AmqpBus) -> None:
        self.bus = bus
        self.confirmed: set[str] = set()
        self.failures = 0
        self.longest_s = 0.0
        self.seen: set[str] = set()
        self.stopping = False

    async def publish(self) -> None:
        """One message after the other until stopped; the present one is finished."""
        loop = asyncio.get_running_loop()
        number = 0
        while not self.stopping:
            began = loop.time()
            try:
                await self.bus.publish(DISBURSEMENT, KEY, message(number))
                self.confirmed.add(f"m-{number}")
                number += 1
            except Unavailable:
                self.failures += 1
                await asyncio.sleep(0.05)
            self.longest_s = max(self.longest_s, loop.time() - began)

    async def consume(self) -> None:
        """Note, then acknowledge."""
        async for delivery in self.bus.consume(INTAKE, 20):
            self.seen.add(delivery.message.message_id)
            with contextlib.suppress(Unavailable):
                await delivery.ack()

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Both at work; at the end everything confirmed was seen, and neither task has died."""
        tasks = [asyncio.create_task(self.publish()), asyncio.create_task(self.consume())]
        await until(lambda: len(self.seen) > 20)
        yield
        assert not any(task.done() for task in tasks), "a task died with the broker"
        self.stopping = True
        await asyncio.wait_for(tasks[0], 20)
        await until(lambda: self.seen >= self.confirmed)
        tasks[1].cancel()
        await asyncio.wait(tasks)

    async def goes_on(self) -> None:
        """Wait until something new was confirmed and something new was seen."""
        before = len(self.confirmed), len(self.seen)
        await until(lambda: len(self.confirmed) > before[0] + 20 and len(self.seen) > before[1] + 20, seconds=60)


async def test_a_broker_that_is_killed_and_comes_back(amqp: AmqpBus, broker: Broker) -> None:
    """F3: kill -9 in the middle of publishing. Every publish ends in time; what was confirmed is consumed after it."""
    traffic = Traffic(amqp)
    async with traffic.flowing():
        burst = [
            asyncio.create_task(amqp.publish(DISBURSEMENT, KEY, message(10_000 + n, bytes(50_000)))) for n in range(300)
        ]
        await asyncio.sleep(0.02)
        broker.kill()
        outcomes = await asyncio.wait_for(asyncio.gather(*burst, return_exceptions=True), 15)
        assert {type(outcome) for outcome in outcomes} <= {type(None), Unavailable}
        await until(lambda: not amqp.state().connected)
        with pytest.raises(Unavailable):
            await amqp.probe()
        failures = traffic.failures
        await until(lambda: traffic.failures > failures)
        broker.start()
        await traffic.goes_on()
        kept = {f"m-{10_000 + n}" for n, outcome in enumerate(outcomes) if outcome is None}
        await until(lambda: kept <= traffic.seen)
    assert traffic.longest_s < 2 * QUICK.publish_timeout_s + 1
    assert amqp.state().connected


async def test_a_broker_that_freezes(amqp: AmqpBus, broker: Broker) -> None:
    """F7, fact 4: SIGSTOP. Publishing times out, again and again, no task dies, and everything goes on after SIGCONT."""
    traffic = Traffic(amqp)
    async with traffic.flowing():
        loop = asyncio.get_running_loop()
        broker.freeze()
        began = loop.time()
        with pytest.raises(Unavailable):
            await amqp.publish(DISBURSEMENT, KEY, message(20_000))
        assert loop.time() - began < QUICK.publish_timeout_s + 1
        burst = asyncio.gather(
            *(amqp.publish(DISBURSEMENT, KEY, message(21_000 + n)) for n in range(600)), return_exceptions=True
        )
        outcomes = await asyncio.wait_for(burst, 4 * QUICK.publish_timeout_s)
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        await until(lambda: not amqp.state().publishing.connected)
        await until(lambda: not amqp.state().consuming.connected)
        broker.thaw()
        await traffic.goes_on()
    assert traffic.longest_s < 2 * QUICK.publish_timeout_s + 1


async def test_a_connection_that_dies_by_its_heartbeat(broker: Broker) -> None:
    """A consumer that only waits learns from the heartbeat that the broker is frozen, and goes on later; fact 4 does not
    reach its task."""
    settings = QUICK.__class__(heartbeat_s=1, connect_timeout_s=2, call_timeout_s=2, retry_max_s=0.5)
    bus = await AmqpBus.open(broker.url, settings=settings)
    seen: list[str] = []

    async def work() -> None:
        async for delivery in bus.consume(INTAKE, 5):
            seen.append(delivery.message.message_id)
            await delivery.ack()

    task = asyncio.create_task(work())
    await asyncio.sleep(0.3)
    broker.freeze()
    await until(lambda: not bus.state().consuming.connected)
    assert not task.done()
    broker.thaw()
    await until(lambda: bus.state().connected)
    await bus.publish(DISBURSEMENT, KEY, message(1))
    await until(lambda: seen == ["m-1"])
    task.cancel()
    await asyncio.wait([task])
    await bus.close()


async def test_a_memory_alarm(amqp: AmqpBus, broker: Broker) -> None:
    """F9: publishing raises, first after its timeout and then at once; consuming, acknowledging and rejecting go on;
    the state says why and since when; afterwards all is as before."""
    for number in range(20):
        await amqp.publish(DISBURSEMENT, KEY, message(number))
    loop = asyncio.get_running_loop()
    broker.starve()
    try:
        began = loop.time()
        with pytest.raises(Unavailable, match="no answer"):
            await amqp.publish(DISBURSEMENT, KEY, message(100))
        assert loop.time() - began < QUICK.publish_timeout_s + 1
        state = amqp.state()
        assert state.blocked
        assert "memory" in state.publishing.blocked
        assert state.publishing.blocked_since is not None
        assert state.connected
        began = loop.time()
        with pytest.raises(Unavailable, match="memory"):
            await amqp.publish(DISBURSEMENT, KEY, message(101))
        assert loop.time() - began < 0.5
        with pytest.raises(Unavailable, match="memory"):
            await amqp.probe()
        async with contextlib.aclosing(amqp.consume(INTAKE, 30)) as deliveries:
            for number in range(20):
                delivery = await asyncio.wait_for(anext(deliveries), 5)
                assert delivery.message.message_id == f"m-{number}"
                if number == 19:
                    await delivery.reject("SCHEMA")  # our copy with the reason is refused: the broker does it itself
                else:
                    await delivery.ack()
        await until(lambda: _depth_is(amqp, DEAD, 1))
        (letter,) = await letters(amqp)
        assert (letter.message_id, letter.reason, letter.queue) == ("m-19", "broker: rejected", INTAKE)
    finally:
        broker.feed()
    await until(lambda: not amqp.state().blocked)
    await amqp.publish(DISBURSEMENT, KEY, message(102))
    took = []
    async with contextlib.aclosing(amqp.consume(INTAKE, 5)) as deliveries:
        while "m-102" not in took:
            delivery = await asyncio.wait_for(anext(deliveries), 5)
            took.append(delivery.message.message_id)
            await delivery.ack()
    assert set(took) <= {"m-100", "m-102"}  # fact 5: the publish that timed out may have arrived


async def test_closing_while_the_broker_is_frozen(broker: Broker) -> None:
    """Shutting down does not wait for a broker that answers nothing, and leaves no task behind."""
    before = asyncio.all_tasks()
    bus = await AmqpBus.open(broker.url, settings=QUICK)
    broker.freeze()
    try:
        await asyncio.wait_for(bus.close(), 8)
        await until(lambda: asyncio.all_tasks() <= before, seconds=5)
    finally:
        broker.thaw()


async def _depth_is(bus: AmqpBus, queue: str, count: int) -> bool:
    return await bus.depth(queue) == count
