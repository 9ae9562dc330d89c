"""A payment file at a bank that has not answered yet, and what must hold after an answer that says nothing."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from gateway.edge.crypto.pki import DevPki
from gateway.sandbox.orders import Booked, Kind
from tests.flow.counterpart import Counterpart, Letter, Taken
from tests.flow.house import House


class Scene(NamedTuple):
    """A house whose payment file is at the bank, not answered yet."""

    house: House
    bank: Counterpart
    taken: Taken
    code: str

    async def after(self, *letters: Letter) -> None:
        """The bank lays these out, in this order, and the lane looks twice."""
        for letter in letters:
            self.bank.say(letter)
        await self.house.step(self.code, 2)

    def letter(self, kind: Kind = Kind.RESULT, rows: list[Booked] | None = None, **more: object) -> Letter:
        """One of the bank's documents about our file."""
        return self.bank.letter(kind, self.taken, rows=rows, **more)  # type: ignore[arg-type]  # as the counterpart takes them

    def row(self, number: int, **more: object) -> Booked:
        """One line, 1-based, with something else in it."""
        return self.taken.rows[number - 1]._replace(**more)  # type: ignore[arg-type]  # as the tuple has them


async def standing(house: House, keys: DevPki, code: str) -> Scene:
    """Four payments at this bank, filed and sent."""
    await house.paying(4, code)
    await house.step(code)
    counterpart = Counterpart(code, house.partners[code].adapter.code, house.wires[code], keys)
    return Scene(house, counterpart, counterpart.take(), code)


async def oracle(scene: Scene, before: list[tuple[object, ...]], *letters: Letter) -> None:
    """Nothing was applied: totals as before, bytes kept, books sound, lane running, and the next good file is applied."""
    house = scene.house
    assert house.totals() == before
    kept = house.archived()
    for letter in letters:
        assert kept[hashlib.sha256(letter.payload).hexdigest()] == letter.payload
    assert house.lanes()[scene.code] == "running"
    await scene.after(scene.letter())
    assert house.states() == ["paid"] * 4
    await house.sound()
