"""A payer's messages repeated, in any order, delivered again to processes that die anywhere: what stands in the end is what a calm day leaves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.contracts import BenefitLine, InstructionSubmitted, RunChunk
from gateway.core.ports import Message
from gateway.edge.crypto.pki import DevPki
from gateway.sandbox.month import DEBIT_ACCOUNT, FUND
from tests.flow.fakes import Killed
from tests.flow.house import ISO, OWN, TODAY, House, bank, header, orders

SEEDS = 12
POINTS = ("intake.received", "intake.loaded", "intake.recorded", "accept.born", "accept.done")
LINES = [*orders(5, OWN), *orders(4, ISO, first=6)]
WRONG = orders(2, OWN, first=20)
SINGLES = orders(3, ISO, first=30)


def month(house: House) -> list[tuple[str, Message]]:
    """A run in three chunks, one that does not add up, and three payments by themselves."""
    chunks = [LINES[:4], LINES[4:7], LINES[7:]]
    told: list[tuple[str, Any]] = [
        ("run.submitted", header(LINES, "R1", chunks=3)),
        *(("run.chunk", RunChunk(run_id="R1", chunk=no, instructions=part)) for no, part in enumerate(chunks, 1)),
        ("run.submitted", header(WRONG, "R2", total=1)),
        ("run.chunk", RunChunk(run_id="R2", chunk=1, instructions=WRONG)),
    ]
    for single in SINGLES:
        data = InstructionSubmitted(
            instruction=single, line=BenefitLine.MEDICAL, fund=FUND, debit_account=DEBIT_ACCOUNT, period="2015-06", pay_date=TODAY
        )  # fmt: skip
        told.append(("instruction.submitted", data))
    return [(name, house.message(name, data)) for name, data in told]


async def stands(house: House) -> tuple[Any, ...]:
    """Runs, payments and money as they stand, and how often the payer heard of what; keys differ with the order of arrival."""
    runs = house.rows("SELECT run_id, state, code FROM run ORDER BY run_id")
    payments = house.rows(
        "SELECT i.id, a.state, a.amount, r.run_id FROM instruction AS i LEFT JOIN attempt AS a ON a.instruction_key = i.key "
        "LEFT JOIN lot AS l ON l.key = a.lot_key LEFT JOIN run AS r ON r.key = l.run_key ORDER BY i.id"
    )
    money = house.rows(
        "SELECT r.run_id, c.view, c.bank, c.part, c.count, c.minor FROM control AS c JOIN run AS r ON r.key = c.run_key "
        "WHERE c.count <> 0 ORDER BY 1, 2, 3, 4"
    )
    heard = Counter(name for name, _ in await house.tell())
    return runs, payments, money, heard, await house.letters()


async def taken(house: House, chance: random.Random | None = None) -> None:
    """Everything that waits for intake; a process may die over it, and the broker gives it to the next one."""
    while (delivery := await house.bus.take("gateway.intake")) is not None:
        if chance and chance.random() < 0.4:
            house.points.die_at = chance.choice(POINTS)
        try:
            await house.intake.settle(delivery)
        except Killed:
            await delivery.requeue()
        house.points.die_at = ""


async def concluded(house: House, chance: random.Random | None = None) -> None:
    """A round of acceptance, which may be the last of its process."""
    if chance and chance.random() < 0.3:
        house.points.die_at = chance.choice(POINTS)
    with suppress(Killed):
        await house.intake.step()
    house.points.die_at = ""


def again(name: str, message: Message, number: int) -> Message:
    """What a payer that was restarted sends: the same words under an id of their own. (What was rejected may come again as something new.)"""
    if b'"R2"' in message.body:
        return message
    other = f"again-{number}"
    body = message.body.replace(message.message_id.encode(), other.encode())
    return msgspec.structs.replace(message, message_id=other, body=body)


@pytest.fixture
async def calm(quick_folder: Path, keys: DevPki, template: Path) -> AsyncIterator[tuple[Any, ...]]:
    """What the same messages leave, once and in order, on a ledger of their own."""
    (quick_folder / "calm").mkdir()
    house = House(quick_folder / "calm", keys, template, [bank(ISO), bank(OWN)])
    for name, message in month(house):
        await house.publish(message, name)
        await house.intake.step()
    yield await stands(house)
    await house.close()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_the_same_end(house: House, calm: tuple[Any, ...], seed: int) -> None:
    """Same runs, payments, fen and events as on a calm day; sound at every moment; nothing among the dead letters."""
    assert [state for _, state, _ in calm[0]][:2] == ["accepted", "rejected"]
    chance = random.Random(seed)
    storm = [told for told in month(house) for _ in range(chance.randint(1, 3))]
    chance.shuffle(storm)
    for number, (name, message) in enumerate(storm):
        told = again(name, message, number) if chance.random() < 0.3 else message
        await house.bus.publish("disbursement", name, told)
        if chance.random() < 0.5:
            await taken(house, chance)
            await concluded(house, chance)
            await house.sound()
    for _ in range(3):
        await taken(house)
        await concluded(house)
    await house.sound()
    assert await stands(house) == calm
