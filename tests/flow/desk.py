"""A sandbox bank that is talked to over real HTTP on loopback, inside the test's own process, and a house whose lane talks to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.core.bank import Agreement, Bank, DuplicateAnswer, WireKind
from gateway.core.contracts import Correction, InstructionRepay
from gateway.core.route import Post, Request
from gateway.edge.credentials import Credentials
from gateway.edge.wires.https import HttpsWire
from gateway.sandbox.bank import Counterpart
from gateway.sandbox.books import summary
from gateway.sandbox.config import HttpWire, SandboxBank
from gateway.sandbox.conversation import Conversation
from gateway.sandbox.http_door import HttpDoor
from gateway.sandbox.month import DEBIT_ACCOUNT
from gateway.sandbox.sides import conversation
from tests.flow.house import OWN, House
from tests.flow.house import bank as bank_of

AGREEMENT = Agreement(
    duplicate_key="reference",
    duplicate_answer=DuplicateAnswer.ERROR,
    not_found_window_minutes=60,
    inquiry_interval_minutes=15,
)


class Desk(NamedTuple):
    """The bank."""

    bank: Counterpart
    folder: Path  # of its state
    url: str
    shared: str  # a folder beside the commands, where the format has one
    speaker: Conversation  # what answers

    def books(self) -> dict[str, Any]:
        """Totals of its books."""
        return summary(self.folder)


@asynccontextmanager
async def desk(
    adapter: str, folder: Path, accounts: dict[str, Any] | None = None, *, shared: str = "", **settings: Any
) -> AsyncIterator[Desk]:
    """A bank that speaks the format; ``accounts``: who is not simply paid; ``shared``: a folder for files beside the commands."""
    scenario = folder / "scenario.json"
    scenario.write_bytes(msgspec.json.encode({"accounts": accounts or {}}))
    wire = HttpWire(directory=shared)
    config = SandboxBank(
        code=OWN, adapter=adapter, customer="C440600001", wire=wire, state=str(folder / "state"), debit_accounts=(DEBIT_ACCOUNT,),
        scenario=str(scenario), **({"keys": None} | settings),
    )  # fmt: skip
    bank = Counterpart(config, None, now="2015-06-10T09:00:00")
    speaker = conversation(config, bank)
    door = HttpDoor(wire, config.faults, bank, speaker, asyncio.Event())
    try:
        yield Desk(bank, folder / "state", str((await door.open())["url"]), shared, speaker)
    finally:
        await door.close()
        bank.close()


class Line(HttpsWire):
    """The HTTPS wire, which a test may look at and cut: ``cut`` says which requests never leave because the process died before."""

    cut: Callable[[Post], bool] = staticmethod(lambda _: False)

    async def perform(self, request: Request) -> Any:
        if isinstance(request, Post):
            if self.cut(request):
                raise asyncio.CancelledError
            self.posts.append(request)
        return await super().perform(request)

    @property
    def posts(self) -> list[Post]:
        """Everything that was posted, in order."""
        kept: list[Post] = self.__dict__.setdefault("_posts", [])
        return kept

    def finals(self) -> list[Post]:
        """What could move money."""
        return [post for post in self.posts if post.final]


def talking(
    make_house: Callable[..., House], adapter: str, at: Desk, **options: str | int | bool
) -> tuple[House, Line]:
    """A house with one bank, over plain HTTP to that desk."""
    wire_options = {"url": at.url, "plain": True} | ({"directory": at.shared} if at.shared else {})
    bank: Bank = bank_of(
        OWN, adapter=adapter, wire=WireKind.HTTPS, pins=(), agreement=AGREEMENT, wire_options=wire_options, format_options=options
    )  # fmt: skip
    house = make_house(bank)
    line = Line(bank, house.archive, Credentials(house.folder, {}))
    house.wires[OWN] = line  # type: ignore[assignment]  # a wire, not a fake one
    return house, line


async def until(house: House, what: Callable[[], bool], *, minutes: int = 240) -> None:
    """Let the lane work, a minute a round, until it is so."""
    for _ in range(minutes):
        if what():
            return
        await house.step()
        house.clock.advance(60)
    raise AssertionError((house.states(), house.documents(), house.inbound(), house.parked()))


async def repay_name(house: House, instruction_id: str, name: str) -> None:
    """The second payment in a corrected name, ordered and let go by two people."""
    correction = Correction(verifier="anna", approver="bert", evidence="身份证", name=name)
    await house.send(
        "instruction.repay", InstructionRepay(instruction_id=instruction_id, reason="户名更正", correction=correction)
    )
    await house.intake.step()
    ((run_id,),) = house.rows("SELECT run_id FROM run WHERE kind = 'second_payment'")
    await house.release(run_id)
