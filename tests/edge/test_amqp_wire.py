"""The AMQP wire: what stands in headers, what is dead-lettered, and what a missing confirm means."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from gateway.core.bank import WireKind
from gateway.core.errors import Code, InDoubt, Malformed, NotSent, Unavailable
from gateway.core.ports import Delivery, Message
from gateway.core.route import Done, Entry, List, Publish
from gateway.core.topology import BANKS, DEAD, bank_in, bank_out, topology
from gateway.edge.archive import FolderArchive
from gateway.edge.bus_amqp import AmqpBus
from gateway.edge.bus_local import LocalBus
from gateway.edge.bus_topology import declare
from gateway.edge.credentials import Credentials
from gateway.edge.wires.amqp import AmqpWire
from tests.edge.wire_kit import PAYLOAD, bank, document

IN, OUT = bank_in("BANK_A"), bank_out("BANK_A")
TOPOLOGY = topology(["p"], ["BANK_A", "BANK_B"])
AnyBus = AmqpBus | LocalBus
SEAL = b"\x30\x82seal"


@pytest.fixture(params=["local", pytest.param("rabbitmq", marks=pytest.mark.servers)])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[AnyBus]:
    """In this process, and a real broker."""
    if request.param == "local":
        yield LocalBus(TOPOLOGY)
        return
    url = request.getfixturevalue("amqp_url")
    await declare(url, TOPOLOGY)
    opened = await AmqpBus.open(url)
    yield opened
    await opened.close()


@pytest.fixture
async def wire(bus: AnyBus, archive: FolderArchive) -> AsyncIterator[AmqpWire]:
    """Bank A's wire."""
    wire = AmqpWire(bank(WireKind.AMQP, {}), archive, Credentials(None, {}), bus=bus)
    yield wire
    await wire.close()


async def give(bus: AnyBus, body: bytes, **headers: str) -> None:
    """The bank sends a message."""
    await bus.publish(BANKS, IN, Message(message_id="x", body=body, headers=headers))


async def names(wire: AmqpWire, most: int = 100) -> list[str]:
    """What is listed."""
    found: tuple[Entry, ...] = await wire.perform(List(IN, most))
    return [entry.name for entry in found]


async def read(wire: AmqpWire, name: str) -> bytes:
    """All of it."""
    return b"".join([chunk async for chunk in wire.read(f"{IN}/{name}")])


async def taken(bus: AnyBus, queue: str) -> Delivery:
    """The next message of a queue."""
    found: Delivery | None = await bus.take(queue)
    assert found is not None
    return found


async def test_headers_say_what_a_file_name_says(bus: AnyBus, wire: AmqpWire, archive: FolderArchive) -> None:
    """Everything that the bank needs to know stands beside the bytes, and the id is made of reference and digest."""
    pay = document(archive, seal=SEAL)
    for _ in range(2):
        await wire.perform(Publish(OUT, pay))
    first, second = await taken(bus, OUT), await taken(bus, OUT)
    assert first.message.body == PAYLOAD
    assert dict(first.message.headers) == {
        "name": "PAY0001",
        "kind": "payment",
        "reference": "RPAY0001",
        "digest": pay.digest,
        "seal": base64.b64encode(SEAL).decode(),
        "seal_name": "PAY0001.p7s",
    }
    assert first.message.message_id == second.message.message_id
    await first.ack()
    await second.ack()


async def test_a_message_too_large_is_refused_before_it_is_sent(
    bus: AnyBus, wire: AmqpWire, archive: FolderArchive
) -> None:
    """16 MiB is the most; such a Document needs another wire."""
    pay = document(archive, data=bytes(16 * 1024 * 1024))
    await wire.perform(Publish(OUT, pay))
    with pytest.raises(Malformed) as error:
        await wire.perform(Publish(OUT, document(archive, "PAY0002", bytes(16 * 1024 * 1024 + 1))))
    assert error.value.code is Code.SIZE
    delivery = await taken(bus, OUT)
    assert len(delivery.message.body) == 16 * 1024 * 1024
    await delivery.ack()
    assert await bus.take(OUT) is None


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({}, "PATH"),
        ({"name": "../../x"}, "PATH"),
        ({"name": "a\nb"}, "PATH"),
        ({"name": "RES", "seal": "no base64!", "kind": "result"}, "FORMAT"),
        ({"name": "RES", "seal": "eA==", "seal_name": "../x"}, "PATH"),
        ({"name": "RES", "seal": "eA==", "seal_name": "RES"}, "PATH"),
    ],
)
async def test_what_cannot_be_a_file_is_dead_lettered(
    bus: AnyBus, wire: AmqpWire, headers: dict[str, str], word: str
) -> None:
    """Body and reason kept; the good one behind it is not held up (F13)."""
    await give(bus, b"bad", **headers)
    await give(bus, b"good", name="RES0001")
    assert await names(wire) == ["RES0001"]
    dead = await _eventually(bus, DEAD)
    assert dead.message.body == b"bad"
    assert any(word in value for value in dead.message.headers.values())
    await dead.ack()


async def _eventually(bus: AnyBus, queue: str) -> Delivery:
    async with asyncio.timeout(10):
        while True:
            found: Delivery | None = await bus.take(queue)
            if found is not None:
                return found
            await asyncio.sleep(0.02)


async def test_a_second_message_of_one_name_waits_for_the_first(bus: AnyBus, wire: AmqpWire) -> None:
    """Both come, one after the other: neither hides the other."""
    await give(bus, b"first", name="RES0001", seal="eA==")
    await give(bus, b"second", name="RES0001")
    await give(bus, b"a payload that is called like the seal", name="RES0001.p7s")
    assert await names(wire) == ["RES0001.p7s", "RES0001"]
    assert await read(wire, "RES0001") == b"first"
    assert await read(wire, "RES0001.p7s") == b"x"
    await wire.perform(Done(f"{IN}/RES0001"))
    assert await names(wire) == ["RES0001"]
    assert await read(wire, "RES0001") == b"second"
    await wire.perform(Done(f"{IN}/RES0001"))
    assert await read(wire, "RES0001.p7s") == b"a payload that is called like the seal"
    await wire.perform(Done(f"{IN}/RES0001.p7s"))
    assert await names(wire) == []
    assert await bus.take(IN) is None


async def test_what_is_not_done_is_given_back(bus: AnyBus, wire: AmqpWire, archive: FolderArchive) -> None:
    """A lane that stops lets another replica have it at once, marked as redelivered; what is done does not come back."""
    for number in (1, 2, 3):
        await give(bus, b"%d" % number, name=f"RES{number}")
    await names(wire)
    await wire.perform(Done(f"{IN}/RES1"))
    await wire.close()
    other = AmqpWire(bank(WireKind.AMQP, {}), archive, Credentials(None, {}), bus=bus)
    assert sorted(await names(other)) == ["RES2", "RES3"]
    await other.close()


async def test_memory_has_an_end(bus: AnyBus, wire: AmqpWire) -> None:
    """Of large messages only a few are held at a time; the others come when these are done."""
    for number in range(5):
        await give(bus, bytes(12 * 1024 * 1024), name=f"RES{number}")
    seen = []
    while listed := await names(wire):
        assert len(listed) <= 3
        seen.append(listed[0])
        await wire.perform(Done(f"{IN}/{listed[0]}"))
    assert seen == [f"RES{number}" for number in range(5)]


# ---------------------------------------------------------------------------------------------------- doubt


class AwayBus(LocalBus):
    """A bus that is away; before or after the broker took the message is not known."""

    def __init__(self, keeps: bool) -> None:
        super().__init__(TOPOLOGY)
        self.keeps = keeps

    async def publish(self, exchange: str, key: str, message: Message) -> None:
        if self.keeps:
            await super().publish(exchange, key, message)
        raise Unavailable("no confirm in time")


@pytest.mark.parametrize("keeps", [True, False])
async def test_no_confirm_is_doubt(archive: FolderArchive, keeps: bool) -> None:
    """The broker may have it, so the bank may: the Document is the same message when it is published again (fact 5)."""
    wire = AmqpWire(bank(WireKind.AMQP, {}), archive, Credentials(None, {}), bus=AwayBus(keeps))
    with pytest.raises(InDoubt):
        await wire.perform(Publish(OUT, document(archive)))


async def test_a_queue_that_is_missing_is_doubt_and_no_listing(archive: FolderArchive) -> None:
    """Nobody declared it: what was published did not arrive, but the port cannot say so; nothing can be listed."""
    wire = AmqpWire(bank(WireKind.AMQP, {}), archive, Credentials(None, {}), bus=LocalBus(topology()))
    with pytest.raises(InDoubt):
        await wire.perform(Publish(OUT, document(archive)))
    with pytest.raises(NotSent):
        await wire.perform(List(IN))


async def test_an_acknowledgement_that_is_lost_brings_it_again(archive: FolderArchive) -> None:
    """The broker gives it once more, and the inbound door knows it by its digest: no reason to wait before the next is fetched."""

    class Lost(LocalBus):
        async def take(self, queue: str) -> Delivery | None:  # type: ignore[override]  # the port's type
            found = await super().take(queue)
            if found is not None:
                await found.give_back()
            return found

    bus = Lost(TOPOLOGY)
    wire = AmqpWire(bank(WireKind.AMQP, {}), archive, Credentials(None, {}), bus=bus)
    await give(bus, b"x", name="RES0001")
    assert await names(wire, 1) == ["RES0001"]
    await wire.perform(Done(f"{IN}/RES0001"))
    assert await names(wire, 1) == ["RES0001"]
