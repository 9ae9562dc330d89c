"""What only RabbitMQ can do to us, short of failing: foreign messages, forged headers, addresses, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import pytest

from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.topology import (
    BANKS,
    DEAD,
    DISBURSEMENT,
    EVENTS,
    INTAKE,
    MESSAGE_BYTES_MAX,
    bank_out,
    event_key,
    payer_queue,
)
from gateway.edge.bus_amqp import AmqpBus
from gateway.edge.bus_link import check_url
from gateway.edge.bus_topology import declare
from gateway.edge.dead_letters import OpenLetter, letters, one
from tests.bus.conftest import QUICK, TOPOLOGY, message, until
from tests.servers import Rabbit

pytestmark = pytest.mark.servers


@pytest.fixture
async def amqp(amqp_url: str) -> AsyncIterator[AmqpBus]:
    """A bus on RabbitMQ with nothing in it."""
    await declare(amqp_url, TOPOLOGY)
    bus = await AmqpBus.open(amqp_url, settings=QUICK)
    yield bus
    await bus.close()


async def foreign(url: str, exchange: str, key: str, body: bytes, **properties: Any) -> None:
    """Publish as somebody else's program might."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        target = await channel.get_exchange(exchange, ensure=False)
        await target.publish(aio_pika.Message(body, **properties), routing_key=key, timeout=20)


async def test_a_foreign_message_is_shown_as_it_is(amqp: AmqpBus, amqp_url: str) -> None:
    """Headers of other types, an absent type, an encoding and a reply address reach the intake, which has rules for them."""
    await foreign(
        amqp_url,
        DISBURSEMENT,
        "run.submitted",
        b"\x1f\x8b",
        headers={"n": 3, "list": ["a", {"b": True}], "text": "x"},
        content_encoding="gzip",
        reply_to=INTAKE,
        expiration=60,
    )
    delivery = await amqp.take(INTAKE)
    assert delivery is not None
    assert delivery.message.content_type == ""
    assert delivery.message.headers == {
        "n": "3",
        "list": '["a",{"b":true}]',
        "text": "x",
        "content-encoding": "gzip",
        "reply-to": INTAKE,
    }
    await delivery.reject("POLICY: encoding")
    (letter,) = await letters(amqp)
    assert (letter.reason, letter.queue) == ("POLICY: encoding", INTAKE)
    assert letter.headers["content-encoding"] == "gzip"


async def test_what_we_publish_outlives_the_broker(amqp: AmqpBus, amqp_url: str) -> None:
    """Messages are persistent, carry their time, and dead letters are so too."""
    for _ in range(2):
        await amqp.publish(DISBURSEMENT, "run.chunk", message(1))
    delivery = await amqp.take(INTAKE)
    assert delivery is not None
    await delivery.reject("SCHEMA")
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        for name in (INTAKE, DEAD):
            raw = await (await channel.get_queue(name, ensure=False)).get(timeout=10)
            assert raw.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
            assert raw.timestamp is not None


async def test_a_body_above_the_cap_is_dead_lettered_whole(amqp: AmqpBus, amqp_url: str) -> None:
    """A5: a stranger's program can publish it; refused with SIZE it keeps its bytes, and what is behind it flows."""
    await foreign(amqp_url, DISBURSEMENT, "run.chunk", bytes(MESSAGE_BYTES_MAX + 1), message_id="huge")
    await amqp.publish(DISBURSEMENT, "run.chunk", message(1))
    async with contextlib.aclosing(amqp.consume(INTAKE, 5)) as deliveries:
        await (await anext(deliveries)).reject("SIZE: too large")
        delivery = await anext(deliveries)
        assert delivery.message.message_id == "m-1"
        await delivery.ack()
    (letter,) = await letters(amqp)
    assert (letter.message_id, letter.size) == ("huge", MESSAGE_BYTES_MAX + 1)
    assert letter.reason.startswith("SIZE")


async def test_forged_headers_route_nothing(amqp: AmqpBus, amqp_url: str) -> None:
    """A23: CC, a forged x-death and headers in our name neither copy a letter elsewhere nor tell where it came from."""
    forged = {
        "CC": ["run.copy"],
        "x-death": [{"queue": bank_out("NORTH"), "exchange": BANKS, "reason": "x", "routing-keys": ["k"], "count": 9}],
        "x-first-death-queue": bank_out("NORTH"),
        "x-sheyin-queue": bank_out("NORTH"),
        "x-delivery-count": 1_000,
    }
    await foreign(amqp_url, DISBURSEMENT, "instruction.submitted", b"{}", headers=forged, message_id="forged")
    async with contextlib.aclosing(amqp.consume(INTAKE, 5)) as deliveries:
        await (await anext(deliveries)).reject("SCHEMA")
    (letter,) = await letters(amqp)
    assert letter.queue == INTAKE
    assert not {"CC", "x-death", "x-first-death-queue"} & letter.headers.keys()
    await one(amqp, "forged", letter.digest, _replay)
    assert [await amqp.depth(name) for name in (INTAKE, bank_out("NORTH"), DEAD)] == [1, 0, 0]


async def test_what_a_payer_rejects_by_itself(amqp: AmqpBus, amqp_url: str) -> None:
    """A plain basic.reject is dead-lettered by the broker, whose x-death tells where; a forged one in front does not."""
    headers = {"x-death": [{"queue": INTAKE, "exchange": DISBURSEMENT, "reason": "x", "routing-keys": ["k"]}]}
    await foreign(
        amqp_url,
        EVENTS,
        event_key("PENSION", "alert"),
        b"[]",
        message_id="m-1",
        headers={**headers, "x-sheyin-queue": "q"},
    )
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(payer_queue("PENSION"), ensure=False)
        got = await queue.get(timeout=10)
        await got.reject(requeue=False)
    await until(lambda: _depth_is(amqp, DEAD, 1))
    (letter,) = await letters(amqp)
    assert (letter.message_id, letter.reason, letter.queue) == ("m-1", "broker: rejected", payer_queue("PENSION"))
    assert (letter.exchange, letter.key) == (EVENTS, "PENSION.alert")
    await one(amqp, "m-1", letter.digest, _replay)
    assert [await amqp.depth(name) for name in (payer_queue("PENSION"), INTAKE)] == [1, 0]


async def test_a_queue_that_is_deleted_under_its_consumer(amqp: AmqpBus, amqp_url: str) -> None:
    """The consumer is told, and can start again once the topology is back."""

    async def work() -> None:
        async for delivery in amqp.consume(INTAKE, 5):
            await delivery.ack()

    task = asyncio.create_task(work())
    await asyncio.sleep(0.3)
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.queue_delete(INTAKE)
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match=r"gateway\.intake"):
            await task
    await declare(amqp_url, TOPOLOGY)
    await amqp.publish(DISBURSEMENT, "run.chunk", message(1))
    async with contextlib.aclosing(amqp.consume(INTAKE, 1)) as deliveries:
        assert (await anext(deliveries)).message.message_id == "m-1"


async def test_connections_that_the_broker_closes(amqp: AmqpBus, amqp_url: str, rabbit: Rabbit) -> None:
    """F8: both connections are closed from the other side, again and again; consuming and publishing go on."""
    seen: set[str] = set()

    async def work() -> None:
        async for delivery in amqp.consume(INTAKE, 5):
            seen.add(delivery.message.message_id)
            with contextlib.suppress(Unavailable):
                await delivery.ack()

    task = asyncio.create_task(work())
    sent = set()
    vhost = amqp_url.rpartition("/")[2]
    for number in range(40):
        if number % 20 == 10:
            await until(lambda: len(rabbit.api("GET", f"vhosts/{vhost}/connections")) >= 2)
            for connection in rabbit.api("GET", f"vhosts/{vhost}/connections"):
                rabbit.api("DELETE", f"connections/{connection['name'].replace(' ', '%20').replace('>', '%3E')}")
        while True:
            try:
                await amqp.publish(DISBURSEMENT, "run.chunk", message(number))
                break
            except Unavailable:
                await asyncio.sleep(0.05)
        sent.add(f"m-{number}")
    await until(lambda: seen == sent)
    assert amqp.state().publishing.connections >= 2
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    "url",
    [
        "amqp://broker.example/",
        "amqp://10.0.0.1/",
        "amqps://broker.example/?no_verify_ssl=1",
        "http://127.0.0.1/",
        "127.0.0.1:5672",
    ],
)
async def test_addresses_that_are_not_safe(url: str) -> None:
    """Plain AMQP stays on this machine, and TLS is checked; nothing is tried."""
    with pytest.raises(Refused) as refused:
        await AmqpBus.open(url)
    assert refused.value.code is Code.POLICY


def test_addresses_are_shown_without_their_password() -> None:
    """What stands in logs and errors holds no secret."""
    assert check_url("amqps://me:secret@broker.example:5671/pay%2Fments") == "amqps://broker.example:5671/pay/ments"
    assert check_url("amqp://me:secret@10.0.0.1/", plain_allowed=True) == "amqp://10.0.0.1:/"
    for loopback in ("127.0.0.1", "127.9.9.9", "[::1]", "localhost"):
        assert check_url(f"amqp://{loopback}:1/")


async def test_the_next_node_of_the_cluster(amqp_url: str) -> None:
    """When the node that it was on is lost, a connection goes to the next one."""
    await declare(amqp_url, TOPOLOGY)
    async with _in_front(urlsplit(amqp_url).port or 0) as (port, cut):
        parts = urlsplit(amqp_url)
        first = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"))
        bus = await AmqpBus.open(first, amqp_url, settings=QUICK)
        await bus.publish(DISBURSEMENT, "run.chunk", message(1))
        cut()
        await until(lambda: not bus.state().connected)
        await until(lambda: bus.state().connected)
        await bus.publish(DISBURSEMENT, "run.chunk", message(2))
        assert await bus.depth(INTAKE) == 2
        await bus.close()


async def test_a_broker_that_is_not_there() -> None:
    """Opening fails at once, with an error that names the broker and not its password."""
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9") as error:
        await AmqpBus.open("amqp://me:secret@127.0.0.1:9/", settings=QUICK)
    assert "secret" not in str(error.value)


async def test_tls(amqp_url: str, tmp_path: Path) -> None:
    """amqps with the right CA works; a broker whose certificate it does not know is refused."""
    await declare(amqp_url, TOPOLOGY)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=broker"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    async with _in_front(urlsplit(amqp_url).port or 0, server) as (port, _):
        parts = urlsplit(amqp_url)
        user = parts.netloc.rpartition("@")[0]
        url = urlunsplit(parts._replace(scheme="amqps", netloc=f"{user}@127.0.0.1:{port}"))
        bus = await AmqpBus.open(url, settings=QUICK, tls=ssl.create_default_context(cafile=str(certificate)))
        await bus.publish(DISBURSEMENT, "run.chunk", message(1))
        assert await bus.depth(INTAKE) == 1
        await bus.close()
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await AmqpBus.open(url, settings=QUICK)


async def test_the_speed_of_a_month(amqp: AmqpBus) -> None:
    """370 chunks of 350 KB, published with confirms, then consumed and acknowledged; printed, not judged."""
    body = bytes(350_000)
    began = time.perf_counter()
    await asyncio.gather(*(amqp.publish(DISBURSEMENT, "run.chunk", message(number, body)) for number in range(370)))
    published = time.perf_counter()
    async with contextlib.aclosing(amqp.consume(INTAKE, 20)) as deliveries:
        for _ in range(370):
            await (await anext(deliveries)).ack()
    consumed = time.perf_counter()
    print(
        f"\npublish 370 x 350 KB with confirms: {published - began:.2f} s; consume and ack: {consumed - published:.2f} s"
    )


async def _replay(opened: OpenLetter) -> bool:
    await opened.replay()
    return False


async def _depth_is(bus: AmqpBus, queue: str, count: int) -> bool:
    return await bus.depth(queue) == count


@contextlib.asynccontextmanager
async def _in_front(port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """A port in front of the broker's, TLS with ``context``, and what cuts it off for good."""
    open_now: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    def cut() -> None:
        server.close()
        for writer in open_now:
            writer.transport.abort()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], cut
    finally:
        cut()
