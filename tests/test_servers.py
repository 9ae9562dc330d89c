"""The private servers themselves: fresh per test, shared within a run, gone with their owner."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import aio_pika
import asyncpg
import pytest

from tests.keeper import free_ports
from tests.servers import ROOT, Postgres, Rabbit, SharedServers, database_name, plain_url

pytestmark = pytest.mark.servers

ABANDON = """
import os, sys
from pathlib import Path
from tests.servers import SharedServers
folder = Path(sys.argv[1])
folder.mkdir()
SharedServers(folder, os.getpid()).postgres()
print((folder / "postgresql.pid").read_text(), flush=True)
os.kill(os.getpid(), 9)
"""


async def test_a_database_is_fresh_and_checksummed(pg_url: str) -> None:
    """A test's database is empty, in UTF-8, on a server that verifies its pages."""
    connection = await asyncpg.connect(plain_url(pg_url))
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SHOW data_checksums") == "on"
    finally:
        await connection.close()


async def test_a_prepared_database_can_be_cloned(postgres: Postgres, pg_url: str) -> None:
    """A clone holds what its template held."""
    connection = await asyncpg.connect(plain_url(pg_url))
    await connection.execute("CREATE TABLE kept (id int)")
    await connection.close()
    with postgres.database(template=database_name(pg_url)) as clone:
        connection = await asyncpg.connect(plain_url(clone))
        try:
            assert await connection.fetchval("SELECT count(*) FROM kept") == 0
        finally:
            await connection.close()


async def test_a_vhost_is_fresh_and_takes_quorum_queues(amqp_url: str, rabbit: Rabbit) -> None:
    """A test's vhost has no queue of anybody else's and keeps a confirmed message."""
    vhost = amqp_url.rpartition("/")[2]
    assert rabbit.api("GET", f"queues/{vhost}") == []
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue("q", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.default_exchange.publish(aio_pika.Message(b"one"), routing_key="q", timeout=10)
        message = await queue.get(timeout=10)
        assert message.body == b"one"
        await message.ack()


def test_metrics_and_management_answer(rabbit: Rabbit, rabbit_management: tuple[str, str, str]) -> None:
    """Both plugins are on, and the management API wants its password."""
    base, user, password = rabbit_management
    assert (user, password) == (rabbit.user, rabbit.password)
    with urllib.request.urlopen(rabbit.metrics_url, timeout=10) as reply:
        assert b"rabbitmq_" in reply.read()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{base}/api/overview", timeout=10)


def test_processes_of_one_run_share_a_server(postgres: Postgres) -> None:
    """Who asks second gets the server that is there."""
    if "SHEYIN_TEST_PG_URL" in os.environ:
        return
    shared = SharedServers(Path(os.environ["SHEYIN_TEST_SERVERS"]), int(os.environ["SHEYIN_TEST_SERVERS_OWNER"]))
    assert shared.postgres() == postgres


def test_a_server_ends_with_its_owner(tmp_path: Path) -> None:
    """An owner that is killed leaves no server, no keeper and no folder behind."""
    folder = tmp_path / "abandoned"
    owner = subprocess.run(
        [sys.executable, "-c", ABANDON, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    keeper = Path(f"/proc/{int(owner.stdout)}")
    deadline = time.monotonic() + 30
    while (folder.exists() or _running(keeper)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()
    assert not _running(keeper)


def test_free_ports_are_distinct() -> None:
    """A server's ports never collide with each other."""
    assert len(set(free_ports(8))) == 8


def test_outside_verifiers_are_found(outside_program: Callable[[str], str]) -> None:
    """The programs that judge our seals are there; a missing one would skip or fail this test."""
    assert [Path(outside_program(name)).name for name in ("openssl", "xmlsec1", "ssh-keygen")]
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception), match="run tests/install-servers"):
        outside_program("no-such-program")


def _running(process: Path) -> bool:
    status = process / "status"
    return status.exists() and "State:\tZ" not in status.read_text()
