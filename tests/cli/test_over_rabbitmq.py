"""The same over a real broker: a disbursement system publishes and listens, a gateway serves, a poisoned message lies with the dead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import pytest

from gateway.core.topology import DISBURSEMENT, payer_queue
from tests.cli.office import Office, header, open_office, order, total

COUNT = 12
RESULTS = {"paid": COUNT - 1, "failed": 1}


@pytest.fixture
def office(tmp_path: Path, amqp_url: str) -> Iterator[Office]:
    """An office on a vhost of its own, with people and both banks; order 4 fails."""
    found = open_office(tmp_path, SHEYIN_BUS_URL=amqp_url)
    found.add_people()
    assert found("topology", "--apply").code == 0
    with found.banks({order(4)["account"]: {"verdict": "CARD_LOST", "mends_after_first": True}}):
        yield found


def publish_raw(url: str, key: str, body: bytes, message_id: str) -> None:
    """What a disbursement system with a fault publishes."""

    async def work() -> None:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(DISBURSEMENT, ensure=False)
            message = aio_pika.Message(body, message_id=message_id, content_type="application/cloudevents+json")
            await exchange.publish(message, key)

    asyncio.run(work())


def repeat_last_event(url: str, body: bytes, message_id: str) -> None:
    """The broker, or a relay that crashed, delivers an event once more."""

    async def work() -> None:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            message = aio_pika.Message(body, message_id=message_id)
            await channel.default_exchange.publish(message, payer_queue("PENSION"))

    asyncio.run(work())


@pytest.mark.servers
def test_a_payer_publishes_and_hears_every_outcome_once_and_in_order(office: Office) -> None:
    """publish → accepted → released → results: each told once, also where the broker repeats it and the listener starts again."""
    office.jsonl("r1.jsonl", COUNT)
    with office.serving():
        sent = office.good("payer", "publish", "r1.jsonl", *header("R1"))
        assert (sent["messages"], sent["minor"]) == (2, total(COUNT))
        assert office.good("payer", "publish", "r1.jsonl", *header("R1")) == sent
        office.until(lambda: office("status", "R1").code == 0 and office.good("status", "R1")["state"] == "accepted")
        office.good("release", "propose", "R1", "--confirm", f"{COUNT}:{total(COUNT)}", who="wang")
        office.good("release", "approve", "R1", who="li")
        heard = office.good("payer", "listen", "--follow", "--until", "run.closed", "--out", "events.jsonl")
    assert {name: one["count"] for name, one in heard["outcomes"].items()} == RESULTS
    assert heard["in_order"]
    assert (heard["instructions"], heard["by_type"]["run.accepted"], heard["by_type"]["run.closed"]) == (COUNT, 1, 1)
    assert sum(one["minor"] for one in heard["outcomes"].values()) == total(COUNT)

    lines = (office.folder / "events.jsonl").read_bytes().splitlines()
    last = json.loads(lines[-1])
    repeat_last_event(office.environment["SHEYIN_BUS_URL"], lines[-1], last["id"])
    again = office.good("payer", "listen", "--out", "events.jsonl")
    assert (again["events"], again["repeats"], again["outcomes"]) == (0, 1, heard["outcomes"])
    assert (office.folder / "events.jsonl").read_bytes().splitlines() == lines
    assert office.good("check")["ok"]


@pytest.mark.servers
def test_submit_goes_over_the_broker_and_tells_the_outcome(office: Office) -> None:
    """Without a gateway there is no answer in time (3); with one accepted; a payer's second event queue holds the event."""
    office.jsonl("r2.jsonl", 3)
    words = ("submit", "r2.jsonl", *header("R2"))
    late = office(*words, "--wait-s", "1", "--json")
    assert (late.code, "no gateway" in late.json["error"]["what"]) == (3, True)
    with office.serving():
        assert office.good(*words)["state"] == "accepted"
        refused = office("submit", "r2.jsonl", *header("R3", **{"pay-date": "2035-01-01"}), "--wait-s", "30", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "POLICY")
    assert "more than a year away" in refused.json["error"]["what"]


@pytest.mark.servers
def test_a_poisoned_message_is_listed_shown_replayed_and_discarded_as_an_act(office: Office) -> None:
    """Raw bytes kept, reason told, numbers masked; replaying and discarding need an operator and stand in the chain."""
    body = b'{"specversion":"1.0","id":"poison-1","account":"9900010000000000001"'
    with office.serving():
        publish_raw(office.environment["SHEYIN_BUS_URL"], "run.chunk", body, "poison-1")
        office.until(lambda: len(office.good("dlq", "list")["letters"]) == 1)
        letter = office.good("dlq", "list")["letters"][0]
        assert (letter["message_id"], letter["queue"], letter["size"]) == ("poison-1", "gateway.intake", len(body))
        assert letter["reason"].startswith("FORMAT")
        assert office("dlq", "show", "poison-1", "--raw").out.encode() == body
        assert "9900010000000000001" not in office("dlq", "show", "poison-1").out

        acts = office.good("audit", "verify")["acts"]
        refused = office("dlq", "discard", "poison-1", "--reason", "a test", "--json", who="li")
        assert (refused.code, refused.json["error"]["code"]) == (2, "AUTH")
        assert office("dlq", "discard", "nobody", "--reason", "a test", who="wang").code == 2
        assert len(office.good("dlq", "list")["letters"]) == 1
        assert office.good("audit", "verify")["acts"] == acts

        office.good("dlq", "replay", "poison-1", "--reason", "the payer says that it is mended", who="wang")
        office.until(lambda: [one["replays"] for one in office.good("dlq", "list")["letters"]] == [1])
        office.good("dlq", "discard", "poison-1", "--reason", "it never was a message", who="wang")
    assert office.good("dlq", "list") == {"letters": []}
    assert office.good("audit", "verify")["acts"] == acts + 2


@pytest.mark.servers
def test_single_messages_are_sent_and_answered(office: Office) -> None:
    """A withdrawal of a stranger is refused by an event; what is not in the contract's shape is never sent."""
    path = office.folder / "withdraw.jsonl"
    path.write_text('{"instruction_id":"NOBODY","reason":"test"}\n')
    with office.serving():
        assert office.good("payer", "send", "instruction.withdraw", path)["messages"] == 1
        heard = office.good("payer", "listen", "--follow", "--until", "instruction.withdraw_refused")
    assert heard["by_type"] == {"instruction.withdraw_refused": 1}
    path.write_text('{"instruction_id":"NOBODY"}\n')
    assert office("payer", "send", "instruction.withdraw", path).code == 2
    assert office("payer", "send", "run.chunk", path).code == 2


@pytest.mark.servers
def test_a_second_payment_is_ordered_released_and_told(office: Office) -> None:
    """What failed is paid again by order of the payer, released by two people, and the report tells both tries apart."""
    office.jsonl("r1.jsonl", COUNT)
    repay = office.folder / "repay.jsonl"
    repay.write_text(json.dumps({"instruction_id": order(4)["id"], "reason": "the card is found"}) + "\n")
    with office.serving():
        office.good("submit", "r1.jsonl", *header("R1"))
        office.good("release", "propose", "R1", "--confirm", f"{COUNT}:{total(COUNT)}", who="wang")
        office.good("release", "approve", "R1", who="li")
        office.until(lambda: office.good("status", "R1")["state"] == "closed")
        before = office.good("report", "R1")
        assert [wait["waits_for"] for wait in before["waits"]] == ["wait_card"]
        office.good("payer", "send", "instruction.repay", repay)
        office.until(lambda: len(office.good("status")["runs"]) == 2)
        second = next(run["run_id"] for run in office.good("status")["runs"] if run["kind"] == "second_payment")
        office.good("release", "propose", second, "--confirm", f"1:{order(4)['amount']}", who="wang")
        office.good("release", "approve", second, who="li")
        office.until(lambda: office.good("report", "R1")["success"]["total"]["paid_later"] == 1)
        office.until(lambda: office.good("status", second)["state"] == "closed")
    whole = office.good("report", "R1")["success"]["total"]
    assert (whole["paid_first"], whole["paid_later"], whole["missing"]) == (COUNT - 1, 1, 0)
    assert office.good("status", second)["conserved"]
    assert [line["ordered"]["count"] for line in office.good("status", second)["conservation"]] == [1]
    assert len(office.good("show", order(4)["id"])["attempts"]) == 2
    assert office.good("check")["ok"]
