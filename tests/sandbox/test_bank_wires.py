"""The banks behind SFTP and AMQP, and the process around them."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import aio_pika
import asyncssh
import pytest

from gateway.core.topology import topology
from gateway.sandbox.config import save
from gateway.sandbox.runner import (
    AmqpWire,
    BanksFailed,
    Faults,
    FolderWire,
    Running,
    Sandbox,
    SandboxBank,
    SftpWire,
    banks,
)
from tests.sandbox.bureau import (
    CUSTOMER,
    Ring,
    booked,
    cms,
    pain001,
    pays,
    standard,
    told_iso,
    told_standard,
    until,
    wrapped,
)
from tests.sandbox.conftest import StartBank


def _sftp(folder: Path) -> SftpWire:
    """Keys for a bank's SFTP server and its one client."""
    host, client = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(str(folder / "host"))
    client.write_private_key(str(folder / "client"))
    (folder / "authorized").write_bytes(client.export_public_key())
    (folder / "known").write_bytes(b"* " + host.export_public_key())
    return SftpWire(
        directory=str(folder / "root"),
        host_key=str(folder / "host"),
        client_keys=str(folder / "authorized"),
        user=CUSTOMER,
    )


async def test_sftp(start_bank: StartBank, ring: Ring, tmp_path: Path) -> None:
    """A file goes in by temporary name and rename; receipt and result come out; nothing is overwritten or reached outside."""
    live = start_bank("standard_file", wire=_sftp(tmp_path))
    port = live.running.ready["BANKB"]["port"]
    known, key = str(tmp_path / "known"), [str(tmp_path / "client")]
    async with (
        asyncssh.connect(
            "127.0.0.1", port, username=CUSTOMER, config=None, agent_path=None, known_hosts=known, client_keys=key
        ) as connection,
        connection.start_sftp_client() as client,
    ):
        payload = standard(pays(10))
        for name, data in (("f.txt.p7s", cms(payload, ring.bureau)), ("f.txt.tmp", payload)):
            async with client.open(f"in/{name}", "wb") as file:
                await file.write(data)
        await client.rename("in/f.txt.tmp", "in/f.txt")
        await asyncio.to_thread(booked, live.running, "BANKB")
        names: list[str] = []
        for _ in range(200):
            names = [name for name in sorted(map(str, await client.listdir("out"))) if name.endswith(".txt")]
            if len(names) == 2:
                break
            await asyncio.sleep(0.05)
        async with client.open(f"out/{names[1]}", "rb") as file:
            assert len(told_standard(await file.read())) == 10
        assert await client.exists("in/done/f.txt")
        for rename in (client.rename, client.posix_rename):
            with pytest.raises(asyncssh.SFTPError):
                await rename(f"out/{names[0]}", f"out/{names[1]}")
        assert sorted(map(str, await client.listdir("/../.."))) == sorted(map(str, await client.listdir("/")))


async def test_sftp_breaks_on_request(start_bank: StartBank, ring: Ring, tmp_path: Path) -> None:
    """Once the connection breaks in an upload, once after a rename that was done; then it serves as ever."""
    faults = Faults(sftp_cut_bytes=1_000, sftp_lost_replies=1)
    live = start_bank("standard_file", wire=_sftp(tmp_path), faults=faults)
    port = live.running.ready["BANKB"]["port"]
    payload = standard(pays(100))
    seal = cms(payload, ring.bureau)

    async def step(name: str, data: bytes, final: str = "") -> None:
        known, key = str(tmp_path / "known"), [str(tmp_path / "client")]
        async with (
            asyncssh.connect(
                "127.0.0.1", port, username=CUSTOMER, config=None, agent_path=None, known_hosts=known, client_keys=key
            ) as connection,
            connection.start_sftp_client() as client,
        ):
            async with client.open(f"in/{name}", "wb") as file:
                await file.write(data)
            if final:
                await client.rename(f"in/{name}", f"in/{final}")

    with pytest.raises((asyncssh.Error, OSError)):
        await step("f.txt.tmp", payload)
    await step("f.txt.p7s", seal[:900])
    await step("f.txt.p7s", seal)
    with pytest.raises((asyncssh.Error, OSError)):
        await step("f.txt.tmp", payload, "f.txt")
    await asyncio.to_thread(booked, live.running, "BANKB")
    assert live.books()["paid"]["count"] == 100


async def test_sftp_lets_nobody_else_in(start_bank: StartBank, tmp_path: Path) -> None:
    """Another user with the right key, and the right user with another key, stay outside."""
    live = start_bank("standard_file", wire=_sftp(tmp_path))
    port = live.running.ready["BANKB"]["port"]
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "other"))
    for user, key in (("somebody", "client"), (CUSTOMER, "other")):
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                "127.0.0.1",
                port,
                username=user,
                known_hosts=str(tmp_path / "known"),
                client_keys=[str(tmp_path / key)],
                config=None,
                agent_path=None,
            )


def _cut_connections(vhost: str, management: tuple[str, str, str]) -> int:
    """Have the broker close every connection to a vhost; how many there were."""
    base, user, password = management
    token = base64.b64encode(f"{user}:{password}".encode()).decode()

    def ask(method: str, path: str) -> bytes:
        request = urllib.request.Request(base + path, method=method, headers={"Authorization": f"Basic {token}"})
        with urllib.request.urlopen(request) as reply:
            return bytes(reply.read())

    found = json.loads(ask("GET", f"/api/vhosts/{quote(vhost, safe='')}/connections"))
    for connection in found:
        ask("DELETE", f"/api/connections/{quote(connection['name'])}")
    return len(found)


async def _declare(channel: aio_pika.abc.AbstractChannel) -> None:
    """The bank's exchange and queues, as the gateway declares them."""
    exchange = await channel.declare_exchange("banks", aio_pika.ExchangeType.TOPIC, durable=True)
    for queue in topology(amqp_banks=["BANKB"]).queues:
        if queue.name.startswith("bank."):
            declared = await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments()))
            await declared.bind(exchange, queue.name)


async def _consumed(connection: aio_pika.abc.AbstractConnection) -> None:
    """Wait until the bank listens to its queue."""
    for _ in range(200):
        async with connection.channel() as channel:
            queue = await channel.declare_queue("bank.BANKB.out", passive=True)
            if queue.declaration_result.consumer_count:
                return
        await asyncio.sleep(0.1)
    raise AssertionError("the bank does not listen")


@pytest.mark.servers
async def test_amqp(start_bank: StartBank, ring: Ring, amqp_url: str, rabbit_management: tuple[str, str, str]) -> None:
    """The bank waits for its queue, outlives a cut connection, takes a message with its seal, and publishes receipt and result with theirs."""
    start_bank("standard_file", wire=AmqpWire(url=amqp_url))
    async with await aio_pika.connect(amqp_url) as connection:
        await _declare(await connection.channel())
        await _consumed(connection)
    vhost = unquote(urlsplit(amqp_url).path[1:])
    for _ in range(100):
        if await asyncio.to_thread(_cut_connections, vhost, rabbit_management):
            break
        await asyncio.sleep(0.2)
    payload = standard(pays(10))
    headers = {"name": "f.txt", "seal": base64.b64encode(cms(payload, ring.bureau)).decode(), "kind": "payment"}
    async with await aio_pika.connect(amqp_url) as connection:
        await _consumed(connection)
        channel = await connection.channel()
        exchange = await channel.get_exchange("banks")
        await exchange.publish(aio_pika.Message(payload, headers=dict(headers)), "bank.BANKB.out")
        answers = await channel.get_queue("bank.BANKB.in")
        said = []
        async with answers.iterator(timeout=20) as messages:
            async for message in messages:
                said.append(message)
                await message.ack()
                if len(said) == 2:
                    break
    assert [message.headers["kind"] for message in said] == ["receipt", "result"]
    assert len(told_standard(said[1].body)) == 10
    assert {str(message.headers["reference"]) for message in said} == {"R0001"}
    assert all(base64.b64decode(str(message.headers["seal"])) for message in said)


def test_ready_usage_and_last_words(ring: Ring, tmp_path: Path) -> None:
    """Two banks in one process: ready once, measurable while running, counted at the end."""
    made = tuple(
        SandboxBank(
            code=code,
            adapter="iso20022",
            customer=CUSTOMER,
            keys=ring.keys(),
            wire=FolderWire(directory=str(tmp_path / code / "wire")),
            state=str(tmp_path / code / "state"),
        )
        for code in ("BANKA", "BANKC")
    )
    with banks(Sandbox(banks=made), tmp_path) as running:
        assert set(running.ready) == {"BANKA", "BANKC"}
        payload = wrapped(pain001(pays(5)), ring.bureau)
        (tmp_path / "BANKA/wire/in/f.xml.tmp").write_bytes(payload)
        (tmp_path / "BANKA/wire/in/f.xml.tmp").rename(tmp_path / "BANKA/wire/in/f.xml")
        result = until(lambda: next(iter((tmp_path / "BANKA/wire/out").glob("*result*.xml")), None))
        assert len(told_iso(result.read_bytes())) == 5
        used = running.usage()
        assert 0 < used.cpu_seconds < 60
        assert 10 < used.peak_rss_mib < 400
    assert running.report is not None
    assert running.report.banks["BANKA"] == {"files": 1, "payments": 5, "receipts": 1, "results": 1}
    assert running.report.banks["BANKC"] == {}
    assert running.report.cpu_seconds >= used.cpu_seconds - 0.05


def test_books_from_the_command_line(start_bank: StartBank, ring: Ring, tmp_path: Path) -> None:
    """Anybody may read the books as JSON, while the bank runs or after."""
    live = start_bank()
    live.folder.put("f.xml", wrapped(pain001(pays(3)), ring.bureau))
    booked(live.running, live.code)
    command = [sys.executable, "-m", "gateway.sandbox", "--config", str(tmp_path / "bank" / "banks.json")]
    books = json.loads(subprocess.run([*command, "--books"], check=True, capture_output=True).stdout)
    assert books["BANKA"]["paid"]["count"] == 3
    lines = subprocess.run([*command, "--payments", "BANKA"], check=True, capture_output=True).stdout.splitlines()
    first = {"reference": "1", "account": "9900010000000000001", "minor": 100_001, "times": 1, "returned": 0}
    assert json.loads(lines[0]) == first


def test_ends_with_whoever_started_it(ring: Ring, tmp_path: Path) -> None:
    """A process whose starter is gone ends by itself."""
    bank = SandboxBank(
        code="BANKA",
        adapter="iso20022",
        customer=CUSTOMER,
        keys=ring.keys(),
        wire=FolderWire(directory=str(tmp_path / "wire")),
        state=str(tmp_path / "state"),
    )
    save(Sandbox(banks=(bank,)), tmp_path / "banks.json")
    command = [sys.executable, "-m", "gateway.sandbox", "--config", str(tmp_path / "banks.json"), "--watch-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert b"ready" in process.stdout.readline()
        process.stdin.close()
        assert process.wait(20) == 0
        assert b"cpu_seconds" in process.stdout.readline()


def test_a_wrong_configuration_is_told(tmp_path: Path) -> None:
    """A misspelt setting stops the start with a sentence."""
    (tmp_path / "banks.json").write_text('{"banks": [], "pol_s": 1}')
    command = [sys.executable, "-m", "gateway.sandbox", "--config", str(tmp_path / "banks.json")]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "pol_s" in ended.stderr


def test_a_bank_that_cannot_start_says_why(ring: Ring, tmp_path: Path) -> None:
    """Missing keys are an error of the start, with the reason in it."""
    bank = SandboxBank(
        code="BANKA",
        adapter="iso20022",
        customer=CUSTOMER,
        keys=ring.keys(),
        wire=FolderWire(directory=str(tmp_path / "wire")),
        state=str(tmp_path / "state"),
        scenario=str(tmp_path / "nowhere.json"),
    )
    with pytest.raises(BanksFailed, match=r"nowhere\.json"):
        Running(Sandbox(banks=(bank,)), tmp_path).start()


def test_memory_stays_small(ring: Ring, start_bank: StartBank) -> None:
    """A hundred thousand payments in one file leave the process below 200 MiB."""
    live = start_bank("standard_file")
    payload = standard(pays(100_000))
    live.folder.put("f.txt", payload, cms(payload, ring.bureau))
    until(lambda: True if len(live.folder.names()) == 2 else None, 60)
    assert live.running.usage().peak_rss_mib < 200
