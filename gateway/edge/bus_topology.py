"""Declaring the topology on RabbitMQ, and finding what differs from it.

A passive declaration accepts a queue that is weaker than ours; an active one is refused by the broker, which names the
first argument that differs (tried on 3.10.8 and 4.0.5). So everything is declared actively, and a refusal is an error: the
gateway does not run on queues that may drop money (PROMISES, section 0 fact 3).

What an active declaration cannot see needs the management API (`check`): bindings, and policies of an operator that
work on top of our arguments.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aio_pika
import msgspec
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.topology import Exchange, Queue, Topology
from gateway.edge.bus_link import AmqpSettings, bounded, check_url
from gateway.edge.rabbit_admin import BindingInfo, QueueInfo, RabbitAdmin

# A policy may add what we have not declared. These would lose or refuse messages behind our back.
HARMFUL_POLICIES = ("expires", "message-ttl", "max-length", "max-length-bytes", "delivery-limit")
INEQUIVALENT = re.compile(r"inequivalent arg '([^']+)'.*?received (.*?) but current is (.*)$")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the broker is not as the topology wants it."""

    what: str  # "queue gateway.intake"
    part: str  # "missing", the argument's name, "binding", "policy"
    wanted: str = ""
    found: str = ""

    def __str__(self) -> str:
        if self.part == "missing":
            return f"{self.what} is missing"
        return f"{self.what}: {self.part} is {self.found or 'absent'}, wanted {self.wanted or 'none'}"


async def declare(
    url: str,
    topology: Topology,
    *,
    settings: AmqpSettings | None = None,
    tls: ssl.SSLContext | None = None,
    plain_allowed: bool = False,
) -> None:
    """Make everything that is missing, and prove that what is there is as strong as it must be. Can be repeated.

    Raises Refused (POLICY) naming each thing that differs and in what; then nothing that was there was changed, but
    missing ones were made. Raises Unavailable.
    """
    differences: list[Difference] = []
    async with _connected(url, settings, tls, plain_allowed) as (connection, seconds):
        for exchange in topology.exchanges:
            differences += await _declare_exchange(connection, exchange, seconds)
        for queue in topology.queues:
            differences += await _declare_queue(connection, queue, seconds)
    _refuse(differences)


async def verify(
    url: str,
    topology: Topology,
    *,
    settings: AmqpSettings | None = None,
    tls: ssl.SSLContext | None = None,
    plain_allowed: bool = False,
) -> list[Difference]:
    """What is missing or weaker, by AMQP alone; makes nothing. Bindings cannot be seen this way: see `check`.

    Raises Unavailable.
    """
    differences: list[Difference] = []
    async with _connected(url, settings, tls, plain_allowed) as (connection, seconds):
        for exchange in topology.exchanges:
            if await _is_there(connection, exchange, seconds):
                differences += await _declare_exchange(connection, exchange, seconds)
            else:
                differences.append(Difference(what=f"exchange {exchange.name}", part="missing"))
        for queue in topology.queues:
            if await _is_there(connection, queue, seconds):
                differences += await _declare_queue(connection, queue, seconds, bind=False)
            else:
                differences.append(Difference(what=f"queue {queue.name}", part="missing"))
    return differences


async def check(admin: RabbitAdmin, topology: Topology) -> list[Difference]:
    """What is missing, weaker or overruled, by the management API alone; makes nothing. Raises Unavailable."""
    exchanges = {info.name: info for info in await admin.exchanges()}
    differences = []
    for exchange in topology.exchanges:
        found = exchanges.get(exchange.name)
        what = f"exchange {exchange.name}"
        if found is None:
            differences.append(Difference(what=what, part="missing"))
        elif (found.type, found.durable) != (exchange.kind, True):
            kind = f"{found.type}{'' if found.durable else ', not durable'}"
            differences.append(Difference(what=what, part="type", wanted=exchange.kind, found=kind))
    queues = {info.name: info for info in await admin.queues()}
    return differences + _compare_queues(topology, queues, await admin.bindings())


def _compare_queues(
    topology: Topology, queues: dict[str, QueueInfo], bindings: Iterable[BindingInfo]
) -> list[Difference]:
    bound = {(b.destination, b.source, b.routing_key) for b in bindings if b.destination_type == "queue" and b.source}
    differences = []
    for queue in topology.queues:
        what = f"queue {queue.name}"
        info = queues.get(queue.name)
        if info is None:
            differences.append(Difference(what=what, part="missing"))
            continue
        wanted = queue.arguments()
        for name in sorted(wanted.keys() | info.arguments.keys()):
            pair = str(wanted.get(name, "")), str(info.arguments.get(name, ""))
            if pair[0] != pair[1]:
                differences.append(Difference(what=what, part=name, wanted=pair[0], found=pair[1]))
        for name in HARMFUL_POLICIES:
            value = info.effective_policy_definition.get(name)
            if value is not None:
                differences.append(Difference(what=what, part=f"policy {info.policy}", found=f"{name} {value}"))
        ours = {(queue.name, b.exchange, b.key) for b in queue.bindings}
        theirs = {binding for binding in bound if binding[0] == queue.name}
        for binding in sorted(ours ^ theirs):
            text = f"{binding[1]} {binding[2]}"
            wants = binding in ours
            pair = (text, "") if wants else ("", text)
            differences.append(Difference(what=what, part="binding", wanted=pair[0], found=pair[1]))
    return differences


def _refuse(differences: list[Difference]) -> None:
    if differences:
        raise Refused("; ".join(map(str, differences)), code=Code.POLICY, where="topology")


@asynccontextmanager
async def _connected(
    url: str, settings: AmqpSettings | None, tls: ssl.SSLContext | None, plain_allowed: bool
) -> AsyncIterator[tuple[AbstractConnection, float]]:
    address = check_url(url, plain_allowed=plain_allowed)
    settings = settings or AmqpSettings()
    async with bounded(f"{address}: connect", settings.connect_timeout_s):
        connection = await aio_pika.connect(
            url,
            ssl_context=tls,
            client_properties={"connection_name": "sheyin topology"},
            heartbeat=settings.heartbeat_s,
        )
    try:
        yield connection, settings.call_timeout_s
    finally:
        async with bounded(f"{address}: goodbye", settings.call_timeout_s):
            await connection.close()


async def _declare_exchange(connection: AbstractConnection, exchange: Exchange, seconds: float) -> list[Difference]:
    what = f"exchange {exchange.name}"
    try:
        async with bounded(f"declare {what}", seconds):
            channel = await connection.channel()  # of its own: a refusal closes it
            await channel.declare_exchange(exchange.name, exchange.kind, durable=True)
            await channel.close()
    except Unavailable as error:
        return [_difference(what, error)]
    return []


async def _declare_queue(
    connection: AbstractConnection, queue: Queue, seconds: float, *, bind: bool = True
) -> list[Difference]:
    what = f"queue {queue.name}"
    try:
        async with bounded(f"declare {what}", seconds):
            channel = await connection.channel()
            declared = await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments()))
            for binding in queue.bindings if bind else ():
                await declared.bind(binding.exchange, binding.key)
            await channel.close()
    except Unavailable as error:
        return [_difference(what, error)]
    return []


async def _is_there(connection: AbstractConnection, thing: Exchange | Queue, seconds: float) -> bool:
    try:
        async with bounded(f"look for {thing.name}", seconds):
            channel = await connection.channel()
            if isinstance(thing, Queue):
                await channel.declare_queue(thing.name, passive=True)
            else:
                await channel.declare_exchange(thing.name, passive=True)
            await channel.close()
    except Unavailable as error:
        if isinstance(error.__cause__, ChannelNotFoundEntity):
            return False
        raise
    return True


def _difference(what: str, error: Unavailable) -> Difference:
    """What the broker's refusal says; anything but a refusal is raised on."""
    cause = error.__cause__
    if not isinstance(cause, ChannelPreconditionFailed):
        raise error
    text = str(cause)
    found = INEQUIVALENT.search(text)
    if found is None:
        return Difference(what=what, part="declaration", wanted="ours", found=text)
    return Difference(what=what, part=found[1], wanted=_value(found[2]), found=_value(found[3]))


def _value(text: str) -> str:
    """The value in RabbitMQ's words: "the value 'x' of type 'longstr'", "none", "'x'"."""
    quoted = re.search(r"'([^']*)'", text)
    return quoted[1] if quoted else ("" if text.strip().strip("\"')") == "none" else text.strip())
