"""The topology as data, and as RabbitMQ holds it."""

from __future__ import annotations

import aio_pika
import msgspec
import pytest

from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.topology import (
    BANKS,
    DEAD,
    DISBURSEMENT,
    EVENTS,
    INTAKE,
    OPERATIONS,
    Topology,
    matches,
    payer_queue,
    topology,
)
from gateway.edge.bus_topology import Difference, check, declare, verify
from gateway.edge.rabbit_admin import RabbitAdmin
from tests.bus.conftest import until
from tests.servers import Rabbit

WANTED = topology(payers=["PENSION"], amqp_banks=["NORTH"])


@pytest.mark.parametrize(
    ("pattern", "key", "matched"),
    [
        ("run.#", "run.submitted", True),
        ("run.#", "run", True),
        ("run.#", "run.chunk.extra", True),
        ("run.#", "runner", False),
        ("#", "", True),
        ("#", "a.b.c", True),
        ("*", "", False),
        ("*", "a", True),
        ("*.b", "a.b", True),
        ("*.b", "b", False),
        ("#.b", "b", True),
        ("#.b", "a.a.b", True),
        ("#.b", "a.b.a", False),
        ("a.#.z", "a.z", True),
        ("a.#.z", "a.b.c.z", True),
        ("a.*.z", "a.z", False),
        ("a.#.*", "a", False),
        ("a.#.*", "a.b.c", True),
        ("#.#", "a", True),
        ("", "", True),
        ("a", "a.b", False),
    ],
)
def test_topic_patterns(pattern: str, key: str, matched: bool) -> None:
    """Patterns match as AMQP defines it."""
    assert matches(pattern, key) is matched


def test_the_whole_topology() -> None:
    """Every queue is one that cannot lose money, and has its place among the dead letters."""
    assert [queue.name for queue in WANTED.queues] == [
        INTAKE,
        payer_queue(OPERATIONS),
        payer_queue("PENSION"),
        "bank.NORTH.out",
        "bank.NORTH.in",
        DEAD,
    ]
    exchanges = {exchange.name for exchange in WANTED.exchanges}
    for queue in WANTED.queues:
        arguments = queue.arguments()
        assert (arguments["x-queue-type"], arguments["x-overflow"]) == ("quorum", "reject-publish")
        assert {binding.exchange for binding in queue.bindings} <= exchanges
        if queue.name != DEAD:
            assert arguments["x-dead-letter-strategy"] == "at-least-once"
            dead = WANTED.routed(str(arguments["x-dead-letter-exchange"]), str(arguments["x-dead-letter-routing-key"]))
            assert [one.name for one in dead] == [DEAD]
    assert "x-dead-letter-exchange" not in WANTED.queues[-1].arguments()


def test_order_and_repeats_of_names_do_not_matter() -> None:
    """The same payers and banks are the same topology."""
    assert topology(["B", "A", "B"], ["X"]) == topology(["A", "B"], ["X"])


@pytest.mark.parametrize("name", ["", "A.B", "#", "*", "A B", "A\n", "付款", "A" * 65])
def test_names_that_would_be_patterns(name: str) -> None:
    """A payer's or bank's code can never widen a binding."""
    with pytest.raises(Refused):
        topology(payers=[name])
    with pytest.raises(Refused):
        topology(amqp_banks=[name])


@pytest.mark.servers
async def test_declaring_is_repeatable_and_complete(amqp_url: str, rabbit: Rabbit) -> None:
    """After one declaration nothing differs, and a second one changes nothing."""
    for _ in range(2):
        await declare(amqp_url, WANTED)
        assert await verify(amqp_url, WANTED) == []
    async with _admin(amqp_url, rabbit) as admin:
        assert await check(admin, WANTED) == []


@pytest.mark.servers
async def test_verifying_makes_nothing(amqp_url: str, rabbit: Rabbit) -> None:
    """On an empty broker everything is missing, before and after, by AMQP and by the management API."""
    async with _admin(amqp_url, rabbit) as admin:
        for _ in range(2):
            for differences in (await verify(amqp_url, WANTED), await check(admin, WANTED)):
                assert {difference.part for difference in differences} == {"missing"}
                assert len(differences) == len(WANTED.exchanges) + len(WANTED.queues)
    assert str((await verify(amqp_url, WANTED))[0]) == "exchange disbursement is missing"


@pytest.mark.servers
@pytest.mark.parametrize(
    ("argument", "weaker"),
    [
        ("x-dead-letter-strategy", None),
        ("x-overflow", None),
        ("x-delivery-limit", None),
        ("x-dead-letter-exchange", "elsewhere"),
        ("x-max-length", 5),
    ],
)
async def test_a_weaker_queue_is_refused(
    amqp_url: str, rabbit: Rabbit, argument: str, weaker: str | int | None
) -> None:
    """A queue that lacks one of our arguments, or has another value, stops the start and names queue and argument."""
    arguments = dict(WANTED.queues[0].arguments())
    if weaker is None:
        del arguments[argument]
    else:
        arguments[argument] = weaker
    await _make(amqp_url, INTAKE, arguments)
    with pytest.raises(Refused) as refused:
        await declare(amqp_url, WANTED)
    assert refused.value.code is Code.POLICY
    assert INTAKE in refused.value.what
    assert argument in refused.value.what
    found = [difference for difference in await verify(amqp_url, WANTED) if difference.what == f"queue {INTAKE}"]
    assert [difference.part for difference in found] == [argument]
    assert (found[0].wanted, found[0].found) == (str(WANTED.queues[0].arguments()[argument]), str(weaker or ""))
    async with _admin(amqp_url, rabbit) as admin:
        parts = {difference.part for difference in await check(admin, WANTED) if difference.what == f"queue {INTAKE}"}
    assert argument in parts
    assert await verify(amqp_url, Topology(exchanges=WANTED.exchanges, queues=WANTED.queues[1:])) == []


@pytest.mark.servers
async def test_a_queue_that_is_no_quorum_queue_is_refused(amqp_url: str) -> None:
    """A classic queue of our name stops the start, whichever argument the broker names first."""
    await _make(amqp_url, DEAD, {"x-queue-type": "classic"})
    with pytest.raises(Refused, match=DEAD):
        await declare(amqp_url, WANTED)


@pytest.mark.servers
async def test_an_exchange_of_another_kind_is_refused(amqp_url: str) -> None:
    """A direct exchange in the place of a topic one would route nothing by pattern."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_exchange(EVENTS, aio_pika.ExchangeType.DIRECT, durable=True)
    with pytest.raises(Refused, match=r"exchange gateway\.events: type is direct, wanted topic"):
        await declare(amqp_url, WANTED)


@pytest.mark.servers
async def test_what_only_the_management_api_shows(amqp_url: str, rabbit: Rabbit) -> None:
    """A lost binding, a foreign one, and an operator's policy that ends messages early are found."""
    await declare(amqp_url, WANTED)
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        intake = await channel.get_queue(INTAKE, ensure=False)
        await intake.unbind(DISBURSEMENT, "run.#")
        await intake.bind(BANKS, "#")
    vhost = amqp_url.rpartition("/")[2]
    rabbit.api("PUT", f"policies/{vhost}/short", {"pattern": "PENSION", "definition": {"message-ttl": 1000}})
    async with _admin(amqp_url, rabbit) as admin:

        async def seen() -> bool:
            return any(difference.part == "policy short" for difference in await check(admin, WANTED))

        await until(seen)
        assert await check(admin, WANTED) == [
            Difference(what=f"queue {INTAKE}", part="binding", found=f"{BANKS} #"),
            Difference(what=f"queue {INTAKE}", part="binding", wanted=f"{DISBURSEMENT} run.#"),
            Difference(what=f"queue {payer_queue('PENSION')}", part="policy short", found="message-ttl 1000"),
        ]


@pytest.mark.servers
async def test_what_the_management_api_tells(amqp_url: str, rabbit: Rabbit) -> None:
    """Queues with the columns that were asked for, nodes, versions, alarms; a wrong password is an error."""
    await declare(amqp_url, WANTED)
    async with _admin(amqp_url, rabbit) as admin:
        names = {queue.name for queue in WANTED.queues}
        assert {queue.name for queue in await admin.queues(["messages", "leader"])} == names

        async def known() -> bool:
            return all(queue.leader and queue.members == queue.online for queue in await admin.queues())

        await until(known)
        assert (await admin.overview()).rabbitmq_version.startswith(("3.", "4."))
        assert [node.running for node in await admin.nodes()] == [True]
        assert await admin.alarms() == []
    async with RabbitAdmin(rabbit.management_url, rabbit.user, "wrong") as admin:
        with pytest.raises(Unavailable, match="401"):
            await admin.overview()
    async with RabbitAdmin("http://127.0.0.1:9", "a", "b") as admin:
        with pytest.raises(Unavailable):
            await admin.overview()


@pytest.mark.parametrize("address", ["http://broker.example:15672", "ftp://127.0.0.1", "127.0.0.1:15672"])
async def test_addresses_that_would_show_the_password(address: str) -> None:
    """The management API is asked in the clear on this machine only."""
    with pytest.raises(Refused):
        RabbitAdmin(address, "user", "password")


def test_queues_are_values() -> None:
    """The topology can be written out and read back."""
    assert msgspec.json.decode(msgspec.json.encode(WANTED), type=Topology) == WANTED


def _admin(amqp_url: str, rabbit: Rabbit) -> RabbitAdmin:
    return RabbitAdmin(rabbit.management_url, rabbit.user, rabbit.password, vhost=amqp_url.rpartition("/")[2])


async def _make(amqp_url: str, queue: str, arguments: dict[str, str | int]) -> None:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue(queue, durable=True, arguments=dict(arguments))
