"""Wires that break anywhere, processes that die anywhere, a bank that is slow, forgetful and repeats itself: in the end every payment is made once.

Each seed is another storm; then the weather clears, and everything must come to its end by itself (P2, P14, P15).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from gateway.core.errors import InDoubt, NotSent, Unavailable
from gateway.core.points import POINTS
from gateway.core.route import Request
from gateway.core.verdicts import Verdict
from gateway.edge.crypto.pki import DevPki
from gateway.sandbox.orders import Kind, Standing
from tests.flow.conftest import MakeHouse
from tests.flow.counterpart import Counterpart, Letter, Taken
from tests.flow.fakes import Killed
from tests.flow.house import ISO, OWN, House, bank, limits

SEEDS = 8
STORM_STEPS = 50
CALM_STEPS = 400
LANE_POINTS = [name for name in POINTS if name.split(".")[0] in ("dispatch", "seal", "send", "collect")]


class Slow:
    """A bank with books of its own. It refuses a repeat by its reference, as agreed; nobody told it to be quick, or to speak once."""

    def __init__(self, house: House, code: str, keys: DevPki, chance: random.Random) -> None:
        self.code, self.chance = code, chance
        self.desk = Counterpart(code, house.partners[code].adapter.code, house.wires[code], keys)
        self.files: dict[str, Taken] = {}
        self.paid: Counter[str] = Counter()
        self.failed: set[str] = set()
        self.letters: list[Letter] = []

    def work(self, *, calm: bool) -> None:
        """Take some of what lies there, say some of what is to be said."""
        lazy = 0.0 if calm else 0.4
        for name in self.desk.waiting():
            if self.chance.random() < lazy:
                continue
            if "inquiry" in name:
                self._answer()
            else:
                self._take(name, lose=not calm and self.code == OWN and self.chance.random() < 0.2)
        self.chance.shuffle(self.letters)
        for letter in list(self.letters):
            if self.chance.random() >= lazy:
                self.desk.say(letter)
                if self.chance.random() >= lazy:
                    self.letters.remove(letter)  # else it says so again

    def _take(self, name: str, *, lose: bool) -> None:
        taken = self.desk.take(name)
        reference = taken.order.reference
        if reference in self.files:
            self.letters.append(self.desk.letter(Kind.REFUSAL, taken, verdict=Verdict.DUPLICATE))
            return
        if lose:
            self._vanish(name)
            return
        self.files[reference] = taken
        for row in taken.rows:
            if int(row.reference) % 5:
                self.paid[row.reference] += 1
            else:
                self.failed.add(row.reference)
        if self.chance.random() < 0.7:
            self.letters.append(self.desk.letter(Kind.RECEIPT, taken))
        if self.code == ISO or self.chance.random() < 0.8:
            self._results(taken)

    def _vanish(self, name: str) -> None:
        for folder in ("in", "in/done"):
            for each in (name, f"{name}.p7s"):
                self.desk.wire.files.pop(f"{folder}/{each}", None)

    def _results(self, taken: Taken) -> None:
        cut = self.chance.randint(1, len(taken.rows))
        told = self._told(taken)
        for part, rows in enumerate((told[:cut], told[cut:]), 1):
            if rows:
                self.letters.append(self.desk.letter(Kind.RESULT, taken, rows=rows, part=part, parts=0))

    def _told(self, taken: Taken) -> list:  # type: ignore[type-arg]  # of Booked
        return [row._replace(verdict=Verdict.CARD_LOST if row.reference in self.failed else None) for row in taken.rows]

    def _answer(self) -> None:
        question = self.desk.asked()
        taken = self.files.get(question.original)
        if taken is None:
            self.letters.append(self.desk.letter(Kind.ANSWER, question=question))
            return
        rows = self._told(taken)
        self.letters.append(self.desk.letter(Kind.ANSWER, taken, rows=rows, question=question, finding=Standing.BOOKED))


def trouble(house: House, code: str, chance: random.Random) -> None:
    """The next request of some kind ends badly, or the process dies somewhere."""
    if chance.random() < 0.3:
        house.points.die_at = chance.choice(LANE_POINTS)
        return
    kind = chance.choice(["Put", "Rename", "Stat", "List", "Get", "Done"])

    def fits(request: Request) -> bool:
        return type(request).__name__ == kind

    after = chance.random() < 0.5
    errors: list[BaseException] = [
        OSError("reset"),
        TimeoutError(),
        InDoubt("no reply"),
        Killed("here"),
        asyncio.CancelledError(),
    ]
    if not after:
        errors += [NotSent("refused"), NotSent("refused"), Unavailable("the archive is away")]
    house.wires[code].fail(fits, chance.choice(errors), after=after)


async def live(house: House, code: str) -> None:
    """One round of the lane; a process that dies is followed by another one."""
    try:
        await house.step(code)
    except Killed:
        house.restarted(code)
    except (asyncio.CancelledError, Unavailable):
        house.clock.advance(1)


@pytest.mark.parametrize("code", [ISO, OWN])
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_every_payment_is_made_once(make_house: MakeHouse, keys: DevPki, seed: int, code: str) -> None:
    """No payment twice at any moment; after the storm every one has its end, and the ledger is where the bank's books are."""
    chance = random.Random(f"{code}/{seed}")
    house = make_house(bank(code, limits=limits(code, rows_max=4)))
    slow = Slow(house, code, keys, chance)
    runs = 0
    for step in range(STORM_STEPS):
        if step % 15 == 0:
            runs += 1
            await house.paying(chance.randint(1, 9), code, f"R{runs}")
        if chance.random() < 0.5:
            trouble(house, code, chance)
        await live(house, code)
        slow.work(calm=False)
        house.clock.advance(chance.choice([1, 10, 70, 600, 1_200]))
        assert max(slow.paid.values(), default=0) <= 1
        assert await house.ledger.faults() == []
    house.wires[code].mend()
    house.points.die_at = ""
    for _ in range(CALM_STEPS):
        await live(house, code)
        slow.work(calm=True)
        if set(house.states()) <= {"paid", "failed"} and not slow.letters:
            break
        house.clock.advance(900)
    attempts = dict(house.rows("SELECT CAST(key AS TEXT), state FROM attempt"))
    assert Counter(attempts.values()) == Counter({"paid": len(slow.paid), "failed": len(slow.failed)})
    assert {key for key, state in attempts.items() if state == "paid"} == set(slow.paid)
    assert max(slow.paid.values()) == 1
    assert house.lanes() == {code: "running"}
    await house.sound()
    await house.tell()
    assert [house.rows("SELECT state FROM run WHERE run_id = ?", f"R{n}") for n in range(1, runs + 1)] == [
        [("closed",)]
    ] * runs
