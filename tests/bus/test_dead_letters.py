"""Dead letters on both buses: nothing that is rejected is lost, and a person can see why and put it back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os

import pytest

from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.ports import Message
from gateway.core.topology import BANKS, DEAD, DISBURSEMENT, INTAKE
from gateway.edge.dead_letters import LETTERS_MAX, DeadLetter, OpenLetter, each, letters, one
from tests.bus.conftest import AnyBus, consume, message, until

KEY = "instruction.submitted"


async def reject(bus: AnyBus, sent: Message, reason: str = "SCHEMA: field is missing") -> DeadLetter:
    """Publish to the intake, reject there; the letter that comes of it."""
    await bus.publish(DISBURSEMENT, KEY, sent)
    async with contextlib.aclosing(consume(bus, INTAKE, 1)) as deliveries:
        await (await anext(deliveries)).reject(reason)
    return (await letters(bus))[-1]


async def test_a_rejected_message_keeps_its_bytes_and_gets_a_reason(bus: AnyBus) -> None:
    """The dead letter has the very bytes, the reason, where it died, how it was published, and when."""
    body = os.urandom(50_000)
    sent = Message(message_id="m-1", body=body, content_type="application/x-odd", headers={"mine": "原文"})
    letter = await reject(bus, sent)
    assert (letter.message_id, letter.digest, letter.size) == ("m-1", hashlib.sha256(body).hexdigest(), len(body))
    assert (letter.reason, letter.queue) == ("SCHEMA: field is missing", INTAKE)
    assert (letter.exchange, letter.key) == (DISBURSEMENT, KEY)
    assert (letter.content_type, letter.headers["mine"]) == ("application/x-odd", "原文")
    assert letter.at.endswith("+00:00")
    bodies = []

    async def look(opened: OpenLetter) -> bool:
        bodies.append(opened.body)
        return True

    await each(bus, look)
    assert bodies == [body]
    assert await bus.depth(INTAKE) == 0


async def test_looking_consumes_nothing(bus: AnyBus) -> None:
    """Looking again and again leaves the letters there, in their order."""
    for number in range(4):
        await reject(bus, message(number), f"reason {number}")
    for _ in range(3):
        assert [letter.reason for letter in await letters(bus)] == [f"reason {number}" for number in range(4)]
    assert [letter.message_id for letter in await letters(bus, most=2)] == ["m-0", "m-1"]
    await until(lambda: _depth_is(bus, DEAD, 4))


async def test_a_replayed_letter_is_processed_again(bus: AnyBus) -> None:
    """Replay puts the same bytes under the same id into the queue where they died, and counts it."""
    letter = await reject(bus, message(1, b"bytes", mine="kept"))
    await reject(bus, message(2))
    replayed = await one(bus, "m-1", letter.digest, _replay)
    assert replayed == letter
    assert [left.message_id for left in await letters(bus)] == ["m-2"]
    async with contextlib.aclosing(consume(bus, INTAKE, 1)) as deliveries:
        again = await anext(deliveries)
        assert (again.message.message_id, again.message.body) == ("m-1", b"bytes")
        assert again.message.headers == {"mine": "kept", "x-sheyin-replays": "1"}
        await again.reject("still bad")
    twice = (await letters(bus))[-1]
    assert (twice.replays, twice.reason, twice.queue) == (1, "still bad", INTAKE)


async def test_a_discarded_letter_is_gone(bus: AnyBus) -> None:
    """Discard takes exactly the letter that was named, by id and digest."""
    first = await reject(bus, message(1, b"one"))
    second = await reject(bus, message(1, b"two"))
    assert first.message_id == second.message_id

    async def discard(opened: OpenLetter) -> bool:
        assert opened.body == b"two"
        await opened.discard()
        return False

    await one(bus, "m-1", second.digest[:8], discard)
    assert [letter.digest for letter in await letters(bus)] == [first.digest]


async def test_a_letter_that_nobody_has(bus: AnyBus) -> None:
    """A wrong id or digest is an error that touches nothing."""
    letter = await reject(bus, message(1))
    for message_id, digest, code in (
        ("m-2", letter.digest, Code.UNKNOWN_REF),
        ("m-1", "0" * 64, Code.UNKNOWN_REF),
        ("m-1", letter.digest[:7], Code.FORMAT),
    ):
        with pytest.raises(Refused) as refused:
            await one(bus, message_id, digest, _replay)
        assert refused.value.code is code
    assert [left.message_id for left in await letters(bus)] == ["m-1"]


async def test_an_act_that_fails_leaves_the_letter(bus: AnyBus) -> None:
    """If the Act cannot be recorded, or the queue refuses the letter, it stays dead."""
    letter = await reject(bus, message(1))

    async def fail(opened: OpenLetter) -> bool:
        raise Unavailable("the ledger is away")

    with pytest.raises(Unavailable):
        await one(bus, "m-1", letter.digest, fail)
    assert [left.message_id for left in await letters(bus)] == ["m-1"]


async def test_all_can_be_replayed_in_one_go(bus: AnyBus) -> None:
    """Many letters go back in one pass, in order."""
    for number in range(20):
        await reject(bus, message(number))
    assert await each(bus, _replay_all, most=LETTERS_MAX) == 20
    assert await letters(bus) == []
    async with contextlib.aclosing(consume(bus, INTAKE, 20)) as deliveries:
        assert [(await anext(deliveries)).message.message_id for _ in range(20)] == [f"m-{n}" for n in range(20)]


async def test_a_poison_message_ends_among_the_dead(bus: AnyBus) -> None:
    """What kills its consumer over and over is dead-lettered by the delivery limit, and what is behind it flows."""
    await bus.publish(BANKS, "fragile", message(1))
    for _ in range(3):
        async with contextlib.aclosing(consume(bus, "fragile", 1)) as deliveries:
            await anext(deliveries)  # and die
    await bus.publish(BANKS, "fragile", message(2))
    async with contextlib.aclosing(consume(bus, "fragile", 1)) as deliveries:
        healthy = await anext(deliveries)
        assert healthy.message.message_id == "m-2"
        await healthy.ack()
    await until(lambda: _depth_is(bus, DEAD, 1))
    (letter,) = await letters(bus)
    assert (letter.message_id, letter.queue, letter.key) == ("m-1", "fragile", "fragile")
    assert letter.reason == "broker: delivery_limit"
    await one(bus, "m-1", letter.digest, _replay)
    assert await bus.depth("fragile") == 1


async def test_a_crash_loop_deletes_nothing(bus: AnyBus) -> None:
    """F2, fact 3: a consumer that dies over and over with its prefetch full drives good messages to the dead letters at
    worst; every one of them is still there, with its bytes."""
    for number in range(10):
        await bus.publish(BANKS, "fragile", message(number))
    for _ in range(5):
        async with contextlib.aclosing(consume(bus, "fragile", 10)) as deliveries:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    async for _ in deliveries:
                        pass

    async def all_there() -> bool:
        return await bus.depth("fragile") + await bus.depth(DEAD) == 10

    await until(all_there)
    await each(bus, _replay_all)
    await until(lambda: _depth_is(bus, "fragile", 10))
    async with contextlib.aclosing(consume(bus, "fragile", 10)) as deliveries:
        assert {(await anext(deliveries)).message.body for _ in range(10)} == {b"%d" % number for number in range(10)}


async def test_a_hundred_poison_messages_do_not_stop_the_good_ones(bus: AnyBus) -> None:
    """F13: bad ones go to the dead letters with their reason, good ones flow."""
    for number in range(110):
        await bus.publish(DISBURSEMENT, KEY, message(number, b"bad" if number % 11 else b"good"))
    good = 0
    async with contextlib.aclosing(consume(bus, INTAKE, 10)) as deliveries:
        for _ in range(110):
            delivery = await anext(deliveries)
            if delivery.message.body == b"bad":
                await delivery.reject("FORMAT: not JSON")
            else:
                await delivery.ack()
                good += 1
    assert good == 10
    assert {letter.reason for letter in await letters(bus)} == {"FORMAT: not JSON"}
    await until(lambda: _depth_is(bus, DEAD, 100))


async def test_what_the_sender_claims_is_not_believed(bus: AnyBus) -> None:
    """A23: headers in our name or the broker's, written by the sender, do not decide where a letter goes back to."""
    forged = message(
        1,
        None,
        **{"x-sheyin-queue": "bank.NORTH.out", "x-first-death-queue": "bank.NORTH.out", "x-sheyin-replays": "many"},
    )
    letter = await reject(bus, forged)
    assert (letter.queue, letter.replays) == (INTAKE, 0)
    assert "x-first-death-queue" not in letter.headers
    await one(bus, "m-1", letter.digest, _replay)
    assert await bus.depth(INTAKE) == 1


async def _replay(opened: OpenLetter) -> bool:
    await opened.replay()
    return False


async def _replay_all(opened: OpenLetter) -> bool:
    await opened.replay()
    return True


async def _depth_is(bus: AnyBus, queue: str, count: int) -> bool:
    return await bus.depth(queue) == count
