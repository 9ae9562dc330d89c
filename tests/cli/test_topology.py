"""`sheyin topology` against a real broker: printed, declared, checked by declaring again, and least permissions."""

from __future__ import annotations

import re
from pathlib import Path

import aio_pika
import pytest

from gateway.core.topology import INTAKE, topology
from tests.cli.conftest import Ran, Run
from tests.servers import Rabbit


@pytest.fixture
def configured(run: Run, installation: Path) -> Run:
    """The example with one more bank, over AMQP; the broker's address comes by the environment."""
    text = (installation / "sheyin.toml").read_text(encoding="utf-8")
    bank = """
[[bank]]
code = "BANKQ"
name = "Bank Q"
adapter = "standard_file"
wire = "amqp"
customer = "Q1"
pins = ["bankb-sign"]
"""
    (run.folder / "sheyin.toml").write_text(text + bank, encoding="utf-8")
    return run


def test_the_topology_is_printed_for_people_and_programs(configured: Run) -> None:
    """Queues of payers and of banks over AMQP, each with the arguments that keep messages from being lost."""
    printed = configured("topology", "--json").json
    queues = {queue["name"]: queue for queue in printed["queues"]}
    wanted = topology(["PENSION"], ["BANKQ"])
    assert list(queues) == [queue.name for queue in wanted.queues]
    assert queues[INTAKE]["arguments"]["x-overflow"] == "reject-publish"
    assert queues["bank.BANKQ.out"]["bindings"] == [{"exchange": "banks", "key": "bank.BANKQ.out"}]
    assert "reject-publish" in configured.here("topology").out


def test_without_a_broker_there_is_nothing_to_check(configured: Run) -> None:
    """The in-process bus says so instead of pretending."""
    done = configured.here("topology", "--check", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "POLICY")
    assert done.json["error"]["where"] == "sheyin.toml: gateway.bus"


def test_a_broker_that_is_away_is_exit_code_3(configured: Run) -> None:
    """A script may try again; nothing is known to have happened."""
    done = configured("topology", "--apply", SHEYIN_BUS_URL="amqp://a:b@127.0.0.1:9/x")
    assert done.code == 3
    assert done.err.startswith("error: POLICY: ") or "connect" in done.err
    assert "nothing is known to have happened" in done.err


@pytest.mark.servers
async def test_declared_checked_and_found_weaker(configured: Run, rabbit: Rabbit, amqp_url: str) -> None:
    """Missing is told, declared is quiet, a weaker queue and a missing binding are found by name."""
    management = rabbit.management_url.replace("://", f"://{rabbit.user}:{rabbit.password}@")

    def call(*words: str, admin: bool = True) -> Ran:
        return configured(
            "topology", *words, SHEYIN_BUS_URL=amqp_url, SHEYIN_BUS_MANAGEMENT_URL=management if admin else ""
        )

    missing = call("--check", admin=False)
    assert missing.code == 1
    assert f"queue {INTAKE} is missing" in missing.out
    assert call("--apply").code == 0
    checked = call("--check", "--json")
    assert checked.code == 0, checked.out
    assert checked.json == {"checked": "declarations, bindings and policies", "differences": []}
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        await channel.queue_delete(INTAKE)
        await channel.declare_queue(INTAKE, durable=True, arguments={"x-queue-type": "quorum"})
    weaker = call("--check", "--json", admin=False)
    assert weaker.code == 1
    (difference,) = weaker.json["differences"]
    assert difference["what"] == f"queue {INTAKE}"
    assert difference["part"].startswith("x-")
    bound = call("--check")
    assert bound.code == 1
    assert "binding" in bound.out
    refused = call("--apply")
    assert refused.code == 2
    assert f"queue {INTAKE}" in refused.err


def test_permissions_are_the_least_that_work(configured: Run) -> None:
    """A payer reads its own queue and publishes its own messages; a bank likewise; neither declares anything."""
    users = {one["user"]: one for one in configured.here("topology", "--permissions", "--json").json["permissions"]}
    payer, bank = users["payer-PENSION"], users["bank-BANKQ"]
    assert payer["configure"] == bank["configure"] == "^$"
    for user, mine, others in (
        (
            payer,
            "payer.PENSION.events",
            ["payer.OTHER.events", "gateway.intake", "payerXPENSIONXevents", "bank.BANKQ.out"],
        ),
        (bank, "bank.BANKQ.out", ["bank.BANKQ.in", "bank.BANKQQ.out", "payer.PENSION.events", "gateway.dead"]),
    ):
        assert re.search(user["read"], mine)
        assert not any(re.search(user["read"], other) for other in others)
    topics, _ = payer["topics"]["disbursement"]
    assert re.search(topics, "run.submitted")
    assert not re.search(topics, "payment.results")
    ours = users["gateway"]["write"]
    for queue in topology(["PENSION"], ["BANKQ"]).queues:
        assert re.search(ours, queue.name)
    for exchange in topology().exchanges:
        assert re.search(ours, exchange.name)
    assert "rabbitmqctl set_permissions -p VHOST payer-PENSION" in configured.here("topology", "--permissions").out
