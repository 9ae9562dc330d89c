"""One bus of each kind on the same topology, and brokers of their own for the tests that hurt them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

import pytest

from gateway.core.ports import Message
from gateway.core.topology import BANKS, Binding, Queue, Topology, topology
from gateway.edge.bus_amqp import AmqpBus, AmqpDelivery
from gateway.edge.bus_link import AmqpSettings
from gateway.edge.bus_local import LocalBus, LocalDelivery
from gateway.edge.bus_topology import declare
from tests.bus.broker import Broker
from tests.servers import SharedServers

AnyBus = AmqpBus | LocalBus
AnyDelivery = AmqpDelivery | LocalDelivery

FULL = topology(payers=["PENSION", "INJURY"], amqp_banks=["NORTH"])
TINY = Queue(name="tiny", bindings=(Binding(exchange=BANKS, key="tiny"),), length_max=3)
FRAGILE = Queue(name="fragile", bindings=(Binding(exchange=BANKS, key="fragile"),), delivery_limit=2)
TOPOLOGY = Topology(exchanges=FULL.exchanges, queues=(*FULL.queues, TINY, FRAGILE))
QUICK = AmqpSettings(connect_timeout_s=3, publish_timeout_s=3, call_timeout_s=3, retry_max_s=0.5)


@pytest.fixture(params=["local", pytest.param("rabbitmq", marks=pytest.mark.servers)])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[AnyBus]:
    """A bus with `TOPOLOGY` and nothing in it."""
    if request.param == "local":
        yield LocalBus(TOPOLOGY)
        return
    url = request.getfixturevalue("amqp_url")
    await declare(url, TOPOLOGY)
    opened = await AmqpBus.open(url, settings=AmqpSettings(copy_after=FRAGILE.delivery_limit // 2))
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A RabbitMQ of this module's own, to be killed, frozen and starved."""
    with SharedServers.own() as servers:
        held = Broker(servers.rabbit())
        yield held
        held.end()


def consume(bus: AnyBus, queue: str, prefetch: int) -> AsyncGenerator[AnyDelivery, None]:
    """`bus.consume`, whichever bus it is."""
    return bus.consume(queue, prefetch)


def message(number: int, body: bytes | None = None, **headers: str) -> Message:
    """The n-th message of a test."""
    return Message(message_id=f"m-{number}", body=b"%d" % number if body is None else body, headers=headers)


async def until(true: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Wait until it holds; fails the test when it does not in time."""
    async with asyncio.timeout(seconds):
        while True:
            answer = true()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)
