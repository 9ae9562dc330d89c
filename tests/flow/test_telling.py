"""Every event reaches its payer: in order, at least once, under one id, whatever the broker does; runs are closed when all is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.core import contracts
from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.ledger import Meta
from gateway.core.ports import Message
from gateway.core.topology import OPERATIONS, payer_queue
from gateway.core.verdicts import Verdict
from gateway.flow.bell import Bell
from gateway.flow.telling import Teller
from gateway.sandbox.orders import Kind
from tests.flow.counterpart import Counterpart
from tests.flow.fakes import Killed
from tests.flow.house import OWN, PAYER, House, orders

MANY = 70  # more than two pages


class Seen:
    """What a payer's queue got, message by message."""

    def __init__(self, house: House, payer: str = PAYER) -> None:
        self.house, self.payer = house, payer
        self.messages: list[Message] = []

    async def look(self) -> list[str]:
        """Take what is there; the subjects of everything so far, in order of arrival."""
        while (delivery := await self.house.bus.take(payer_queue(self.payer))) is not None:
            self.messages.append(delivery.message)
            await delivery.ack()
        return [self.subject(message) for message in self.messages]

    def subject(self, message: Message) -> str:
        """What an alert or a refusal is about."""
        data: dict[str, Any] = msgspec.json.decode(msgspec.json.decode(message.body, type=contracts.Envelope).data)
        return str(data.get("subject") or data.get("run_id"))

    def once(self) -> list[str]:
        """Subjects in the order of their first arrival."""
        return list(dict.fromkeys(self.subject(message) for message in self.messages))

    def ids(self) -> dict[str, set[tuple[str, bytes]]]:
        """Subject → every id and body it was told under."""
        found: dict[str, set[tuple[str, bytes]]] = {}
        for message in self.messages:
            found.setdefault(self.subject(message), set()).add((message.message_id, message.body))
        return found


async def alerts(house: House, count: int, prefix: str = "a") -> list[str]:
    """So many events for operations."""
    subjects = [f"{prefix}{number:03}" for number in range(count)]
    for subject in subjects:
        await house.ledger.alert("info", subject, "X", "a test")
    return subjects


async def refusals(house: House, count: int) -> list[str]:
    """So many events for the payer."""
    subjects = [f"r{number:03}" for number in range(count)]
    for subject in subjects:
        await house.ledger.refuse_message(Meta(PAYER, subject, b""), "run.submitted", subject, "X", "a test")
    return subjects


async def to_the_end(house: House) -> int:
    """Step until nothing is done; how many steps did something."""
    steps = 0
    while await house.teller.step():
        steps += 1
    return steps


def failing(*subjects: str, error: BaseException | None = None) -> Callable[[str, Message], BaseException | None]:
    """A broker that refuses the events about these."""

    def refuse(_: str, message: Message) -> BaseException | None:
        if any(subject.encode() in message.body for subject in subjects):
            return error or Unavailable("no confirm")
        return None

    return refuse


async def test_in_order_and_once(house: House) -> None:
    """With a sound broker: each event once, in the order in which it was written, over several pages."""
    seen = Seen(house)
    subjects = await refusals(house, MANY)
    assert await to_the_end(house) == 3
    assert await seen.look() == subjects
    assert all(len(ids) == 1 for ids in seen.ids().values())
    assert await house.ledger.outbox_page(99) == []


async def test_told_again_after_a_crash(house: House) -> None:
    """We died between the broker's confirm and our mark: the same events again, same ids, same bytes; nothing is missed."""
    seen = Seen(house)
    subjects = await refusals(house, 5)
    house.points.die_at = "outbox.published"
    with pytest.raises(Killed):
        await house.teller.step()
    await to_the_end(house)
    assert await seen.look() == subjects * 2
    assert all(len(ids) == 1 for ids in seen.ids().values())


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("the broker is away"),
        TimeoutError(),
        OSError("reset"),
        asyncio.CancelledError(),
        Refused("too large", code=Code.SIZE),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_broker_that_is_away(house: House, error: BaseException) -> None:
    """Nothing can be published: Unavailable, whatever it failed with, and everything is still there afterwards, in order."""
    seen = Seen(house)
    subjects = await refusals(house, MANY)
    house.bus.plan(lambda _key, _message: error)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await house.teller.step()
    house.bus.plan(lambda _key, _message: None)
    await to_the_end(house)
    assert await seen.look() == subjects


@pytest.mark.parametrize("place", [0, 1, 15, 31])
async def test_one_event_of_a_page_fails(house: House, place: int) -> None:
    """What stands before it is told once; it and what stands behind it are told again, in order; nothing is missed."""
    seen = Seen(house)
    subjects = await refusals(house, 32)
    house.bus.plan(failing(subjects[place]))
    if place:
        await house.teller.step()
    else:
        with pytest.raises(Unavailable):
            await house.teller.step()
    house.bus.plan(lambda _key, _message: None)
    await to_the_end(house)
    arrived = await seen.look()
    assert arrived[-(32 - place) :] == subjects[place:]
    assert sorted(set(arrived)) == subjects
    assert [arrived.count(subject) for subject in subjects[:place]] == [1] * place
    assert all(len(ids) == 1 for ids in seen.ids().values())


async def test_one_payers_queue_keeps_no_other_waiting(house: House) -> None:
    """Operations' queue is full for hours: the payer hears everything in order, and operations too once there is room."""
    seen, operations = Seen(house), Seen(house, OPERATIONS)
    first = await alerts(house, MANY)
    subjects = await refusals(house, MANY)
    house.bus.plan(lambda key, _: Unavailable("the queue is full") if key.startswith(OPERATIONS) else None)
    for _ in range(5):
        try:
            await house.teller.step()
        except Unavailable:
            break
    assert await seen.look() == subjects
    assert await operations.look() == []
    house.bus.plan(lambda _key, _message: None)
    await to_the_end(house)
    assert await operations.look() == first
    assert await seen.look() == subjects


async def test_one_replica_relays(house: House) -> None:
    """While another one holds the relay nothing is published; handed over, it is ours at once."""
    subjects = await refusals(house, 3)
    other = Teller(house.ledger, house.bus, house.points, "another", Bell())
    assert await other.step() == 3
    await refusals(house, 2)
    assert await house.teller.step() == 0
    await other.hand_over()
    assert await house.teller.step() == 2
    assert len(await Seen(house).look()) == len(subjects) + 2


async def test_a_ring_wakes_the_relay(house: House) -> None:
    """Its loop sleeps until somebody rings, and tells at once."""
    seen = Seen(house)
    going = asyncio.create_task(house.teller.loop())
    for _ in range(3):
        subjects = await refusals(house, 1)
        house.bell.ring()
        while not await seen.look():
            await asyncio.sleep(0.01)
        assert seen.once() == subjects
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going


async def test_a_run_is_closed_when_all_is_told(house: House, own: Counterpart) -> None:
    """Not while a line waits; then once, after its results, with every fen in its place."""
    lines = await house.paying(3, OWN)
    await house.step(OWN)
    taken = own.take()
    own.say(own.letter(Kind.RESULT, taken, rows=taken.rows[:2], parts=2))
    await house.step(OWN)
    assert "run.closed" not in [name for name, _ in await house.tell()]
    last = taken.rows[2]._replace(verdict=Verdict.CARD_LOST)
    own.say(own.letter(Kind.RESULT, taken, rows=[last], part=2, parts=2))
    await house.step(OWN)
    names = [name for name, _ in await house.tell()]
    assert names.count("run.closed") == 1
    assert names.index("run.closed") > max(place for place, name in enumerate(names) if name == "payment.results")
    (closed,) = await house.told("run.closed")
    assert closed.ordered == contracts.Share(count=3, total=sum(line.amount for line in lines))
    assert {part: share.count for part, share in closed.by_state.items()} == {"paid": 2, "failed": 1}
    assert (await house.ledger.progress("R1", PAYER))[0] == "closed"


async def test_a_run_with_a_held_line_is_closed(house: House, own: Counterpart) -> None:
    """Held payments are carried forward: they do not keep their run open."""
    lines = orders(3, OWN)
    odd = msgspec.structs.replace(lines[0], person=msgspec.structs.replace(lines[0].person, name="张\u200b三"))
    await house.submit([odd, *lines[1:]])
    await house.release()
    await house.step(OWN)
    own.result(own.take())
    await house.step(OWN)
    (closed,) = await house.told("run.closed")
    assert {part: share.count for part, share in closed.by_state.items()} == {"held": 1, "paid": 2}


async def test_results_are_numbered_per_instruction(house: House, own: Counterpart) -> None:
    """Paid, later returned: sequence 1 and 2 of one instruction, so that a late message can be told from a new one."""
    await house.paying(2, OWN)
    await house.step(OWN)
    taken = own.take()
    own.result(taken)
    await house.step(OWN)
    own.say(own.letter(Kind.RETURN, taken, rows=[taken.rows[0]._replace(verdict=Verdict.ACCOUNT_CLOSED)]))
    await house.step(OWN)
    told = [result for event in await house.told("payment.results") for result in event.results]
    mine = [(result.sequence, result.outcome) for result in told if result.instruction_id == "I00001"]
    assert mine == [(1, "paid"), (2, "returned")]
