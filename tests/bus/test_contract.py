"""What every bus does, in process and on RabbitMQ alike."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random

import pytest

from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.ports import Bus, Message
from gateway.core.topology import (
    BANKS,
    DEAD,
    DISBURSEMENT,
    EVENTS,
    INTAKE,
    MESSAGE_BYTES_MAX,
    bank_in,
    bank_out,
    event_key,
    payer_queue,
)
from tests.bus.conftest import AnyBus, consume, message, until

KEY = "run.chunk"


async def publish(bus: AnyBus, count: int, *, first: int = 0) -> list[Message]:
    """``count`` messages for the intake, one after the other."""
    sent = [message(number) for number in range(first, first + count)]
    for one in sent:
        await bus.publish(DISBURSEMENT, KEY, one)
    return sent


async def drain(bus: AnyBus, queue: str, count: int) -> list[Message]:
    """Consume and acknowledge that many."""
    got: list[Message] = []
    async with asyncio.timeout(30), contextlib.aclosing(consume(bus, queue, 50)) as deliveries:
        async for delivery in deliveries:
            got.append(delivery.message)
            await delivery.ack()
            if len(got) == count:
                break
    return got


async def is_empty(bus: AnyBus, queue: str = INTAKE) -> bool:
    """Nothing waits in it."""
    return await bus.depth(queue) == 0


def test_it_is_the_port(bus: AnyBus) -> None:
    """Both buses are what the flow asks for."""
    port: Bus = bus
    assert port is bus


async def test_a_message_arrives_as_it_was_sent(bus: AnyBus) -> None:
    """Id, bytes, content type and headers arrive unchanged; what is acknowledged does not come again."""
    body = os.urandom(100_000)
    sent = Message(message_id="01J", body=body, content_type="application/octet-stream", headers={"seal": "测试"})
    await bus.publish(BANKS, bank_out("NORTH"), sent)
    async with contextlib.aclosing(consume(bus, bank_out("NORTH"), 1)) as deliveries:
        delivery = await anext(deliveries)
        assert delivery.message == sent
        assert (delivery.queue, delivery.redelivered) == (bank_out("NORTH"), False)
        await delivery.ack()
    await asyncio.sleep(0.2)
    assert await is_empty(bus, bank_out("NORTH"))


async def test_a_message_goes_where_its_key_says(bus: AnyBus) -> None:
    """Each payer has its own events, each bank its own pair of queues, the intake both sorts of instruction."""
    await bus.publish(EVENTS, event_key("PENSION", "payment.results"), message(1))
    await bus.publish(BANKS, bank_in("NORTH"), message(2))
    await bus.publish(DISBURSEMENT, "run.submitted", message(3))
    await bus.publish(DISBURSEMENT, "instruction.withdraw", message(4))
    depths = {name: await bus.depth(name) for name in (payer_queue("PENSION"), bank_in("NORTH"), INTAKE)}
    assert depths == {payer_queue("PENSION"): 1, bank_in("NORTH"): 1, INTAKE: 2}
    assert await is_empty(bus, payer_queue("INJURY"))
    assert await is_empty(bus, bank_out("NORTH"))


@pytest.mark.parametrize(
    ("exchange", "key"), [(EVENTS, "NOBODY.alert"), (DISBURSEMENT, "typo"), ("nowhere", KEY), ("", "no.queue")]
)
async def test_what_no_queue_takes_is_not_published(bus: AnyBus, exchange: str, key: str) -> None:
    """An unroutable message raises (fact 1), and the bus works on."""
    with pytest.raises(Unavailable):
        await bus.publish(exchange, key, message(1))
    await publish(bus, 1)
    assert await bus.depth(INTAKE) == 1


async def test_a_full_queue_refuses(bus: AnyBus) -> None:
    """What is confirmed is kept and what is refused raises (fact 2): nothing is dropped.

    One after the other: a quorum queue tells its publishers that it is full, and takes what was under way till then.
    """
    kept = []
    for number in range(40):
        with contextlib.suppress(Unavailable):
            await bus.publish(BANKS, "tiny", message(number))
            kept.append(f"m-{number}")
    assert 3 <= len(kept) < 40
    assert [one.message_id for one in await drain(bus, "tiny", len(kept))] == kept


async def test_many_publishes_at_once(bus: AnyBus) -> None:
    """A caller may gather as many as it likes; their confirms are pipelined, their order is kept."""
    sent = [message(number) for number in range(1_000)]
    await asyncio.gather(*(bus.publish(DISBURSEMENT, KEY, one) for one in sent))
    assert await drain(bus, INTAKE, 1_000) == sent


async def test_prefetch_bounds_what_is_unsettled(bus: AnyBus) -> None:
    """A consumer holds at most its prefetch; settling one makes room for one."""
    await publish(bus, 20)
    got = []

    async def hold() -> None:
        async for delivery in consume(bus, INTAKE, 4):
            got.append(delivery)

    task = asyncio.create_task(hold())
    await until(lambda: len(got) == 4)
    await asyncio.sleep(0.3)
    assert len(got) == 4
    await got[0].ack()
    await until(lambda: len(got) == 5)
    await asyncio.sleep(0.1)
    assert [one.message.message_id for one in got] == [f"m-{number}" for number in range(5)]
    task.cancel()
    await asyncio.wait([task])


async def test_what_a_dead_consumer_held_comes_again(bus: AnyBus) -> None:
    """Unsettled messages are delivered again, marked so, in order; settling the old delivery is refused."""
    sent = await publish(bus, 5)
    held = []

    async def crash() -> None:
        async with contextlib.aclosing(consume(bus, INTAKE, 5)) as deliveries:
            async for delivery in deliveries:
                held.append(delivery)
                if len(held) == 5:
                    raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        await crash()
    async with contextlib.aclosing(consume(bus, INTAKE, 5)) as deliveries:
        again = [await anext(deliveries) for _ in range(5)]
        assert [one.message for one in again] == sent
        assert all(one.redelivered for one in again)
        with pytest.raises(Unavailable):
            await held[0].ack()
        for one in again:
            await one.ack()
    await until(lambda: is_empty(bus))


async def test_a_cancelled_consumer_loses_nothing(bus: AnyBus) -> None:
    """Consumers that are cancelled at any moment, over and over, still get every message."""
    sent = {one.message_id for one in await publish(bus, 150)}
    done: set[str] = set()
    chance = random.Random(7)

    async def work() -> None:
        async for delivery in consume(bus, INTAKE, 10):
            await asyncio.sleep(0)
            done.add(delivery.message.message_id)
            await delivery.ack()

    for _ in range(15):
        task = asyncio.create_task(work())
        await asyncio.sleep(chance.uniform(0, 0.03))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    last = asyncio.create_task(work())
    await until(lambda: done == sent)
    last.cancel()
    await asyncio.wait([last])


async def test_a_cancelled_publisher_is_in_doubt_and_no_more(bus: AnyBus) -> None:
    """Cancelling publishes leaves each message there once or not at all, and the bus usable."""
    tasks = [asyncio.create_task(bus.publish(DISBURSEMENT, KEY, message(number))) for number in range(100)]
    await asyncio.sleep(0.01)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.wait(tasks)
    confirmed = {f"m-{number}" for number, task in enumerate(tasks) if not task.cancelled()}
    assert {f"m-{number}" for number in range(1, 100, 2)} <= confirmed
    await bus.publish(DISBURSEMENT, KEY, message(100))
    got = [one.message_id for one in await drain(bus, INTAKE, await bus.depth(INTAKE))]
    assert len(got) == len(set(got))
    assert confirmed | {"m-100"} <= set(got)


async def test_what_is_given_back_comes_again(bus: AnyBus) -> None:
    """`requeue` holds a message for a moment and gives it back, marked as redelivered."""
    await publish(bus, 1)
    async with contextlib.aclosing(consume(bus, INTAKE, 1)) as deliveries:
        first = await anext(deliveries)
        began = asyncio.get_running_loop().time()
        await first.requeue()
        again = await anext(deliveries)
        assert asyncio.get_running_loop().time() - began >= 0.09
        assert (again.message, again.redelivered) == (first.message, True)
        await again.ack()


async def test_what_is_given_back_keeps_its_place(bus: AnyBus) -> None:
    """It comes before what was behind it: a withdrawal does not overtake the instruction that it withdraws."""
    await publish(bus, 5)
    for _ in range(2):
        taken = [await bus.take(INTAKE) for _ in range(2)]
        for delivery in taken:
            assert delivery is not None
            await delivery.give_back()
    await until(lambda: _depth_is(bus, 5))
    assert [one.message_id for one in await drain(bus, INTAKE, 5)] == [f"m-{number}" for number in range(5)]


async def test_giving_back_is_not_a_failure(bus: AnyBus) -> None:
    """A ledger that is away for long gives a message back more often than the delivery limit; it is not dead-lettered."""
    await bus.publish(BANKS, "fragile", message(1))
    async with contextlib.aclosing(consume(bus, "fragile", 1)) as deliveries:
        for _ in range(3):
            await (await anext(deliveries)).requeue()
        last = await anext(deliveries)
        assert last.message.message_id == "m-1"
        await last.ack()
    assert await is_empty(bus, DEAD)


async def test_a_delivery_is_settled_once(bus: AnyBus) -> None:
    """Settling twice is the caller's mistake, and is told."""
    await publish(bus, 1)
    delivery = await bus.take(INTAKE)
    assert delivery is not None
    await delivery.ack()
    for settle in (delivery.ack(), delivery.reject("no"), delivery.give_back()):
        with pytest.raises(Refused):
            await settle
    assert await is_empty(bus, DEAD)


async def test_competing_consumers_share(bus: AnyBus) -> None:
    """Several consumers of one queue get every message once between them."""
    seen: list[str] = []

    async def work() -> None:
        async for delivery in consume(bus, INTAKE, 5):
            seen.append(delivery.message.message_id)
            await delivery.ack()

    tasks = [asyncio.create_task(work()) for _ in range(3)]
    sent = await publish(bus, 200)
    await until(lambda: len(seen) >= 200)
    await asyncio.sleep(0.1)
    assert sorted(seen) == sorted(one.message_id for one in sent)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_repeats_pass_through(bus: AnyBus) -> None:
    """The bus does not dedupe: two messages of one id both arrive, published in turn or at once (the ledger knows)."""
    twins = [message(1, b"first"), message(1, b"second")]
    for one in twins:
        await bus.publish(DISBURSEMENT, KEY, one)
    await asyncio.gather(*(bus.publish(DISBURSEMENT, KEY, one) for one in twins))
    assert [one.body for one in await drain(bus, INTAKE, 4)] == [b"first", b"second", b"first", b"second"]


async def test_an_unroutable_twin_is_not_confirmed(bus: AnyBus) -> None:
    """Of two publishes of one id at once, the one that no queue takes raises and the other arrives."""
    outcomes = await asyncio.gather(
        bus.publish(DISBURSEMENT, "typo", message(1)),
        bus.publish(DISBURSEMENT, KEY, message(1)),
        bus.publish(DISBURSEMENT, "typo", message(1)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Unavailable, type(None), Unavailable]
    assert await bus.depth(INTAKE) == 1


async def test_the_largest_message(bus: AnyBus) -> None:
    """16 MiB arrive whole; one byte more is refused before anything is sent."""
    body = os.urandom(1024) * (MESSAGE_BYTES_MAX // 1024)
    await bus.publish(BANKS, bank_out("NORTH"), message(1, body))
    (got,) = await drain(bus, bank_out("NORTH"), 1)
    assert got.body == body
    with pytest.raises(Refused) as refused:
        await bus.publish(BANKS, bank_out("NORTH"), message(2, body + b"."))
    assert refused.value.code is Code.SIZE
    assert await is_empty(bus, bank_out("NORTH"))


async def test_the_smallest_message(bus: AnyBus) -> None:
    """An empty body is a message; one without an id is not ours."""
    await bus.publish(DISBURSEMENT, KEY, message(1, b""))
    (got,) = await drain(bus, INTAKE, 1)
    assert got.body == b""
    with pytest.raises(Refused):
        await bus.publish(DISBURSEMENT, KEY, Message(message_id="", body=b"x"))


async def test_take_and_depth(bus: AnyBus) -> None:
    """`take` gives one message or None; `depth` counts those that wait."""
    assert await bus.take(INTAKE) is None
    await publish(bus, 3)
    await until(lambda: _depth_is(bus, 3))
    first = await bus.take(INTAKE)
    assert first is not None
    assert first.message.message_id == "m-0"
    await until(lambda: _depth_is(bus, 2))
    await first.ack()
    second = await bus.take(INTAKE)
    assert second is not None
    await second.give_back()
    await until(lambda: _depth_is(bus, 2))


async def test_a_queue_that_is_missing(bus: AnyBus) -> None:
    """Asking for it is an error that names it, not a wait; the bus works on, and what was taken elsewhere can be settled."""
    await publish(bus, 1)
    held = await bus.take(INTAKE)
    assert held is not None
    for ask in (bus.take("no.queue"), bus.depth("no.queue"), anext(consume(bus, "no.queue", 1))):
        with pytest.raises(Unavailable, match=r"no\.queue"):
            await ask
    await held.ack()
    await publish(bus, 1)
    assert await bus.depth(INTAKE) == 1


async def test_a_closed_bus(bus: AnyBus) -> None:
    """Closing ends the waiting of consumers with an error, so that nobody waits for ever."""

    async def wait() -> None:
        async for _ in consume(bus, INTAKE, 1):
            raise AssertionError("nothing was sent")

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.1)
    await bus.close()
    async with asyncio.timeout(5):
        with pytest.raises(Unavailable):
            await task


async def test_health(bus: AnyBus) -> None:
    """A healthy bus is connected, takes messages, and answers quickly."""
    state = bus.state()
    assert state.connected
    assert not state.blocked
    assert await bus.probe() < 5


async def _depth_is(bus: AnyBus, count: int) -> bool:
    return await bus.depth(INTAKE) == count
