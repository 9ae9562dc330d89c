"""The CDC cloud over real HTTP to a sandbox bank: parts, a lost reply, a crash between parts, forged answers, a second payment."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from gateway.core.bank import WireKind
from gateway.core.contracts import Instruction, InstructionRepay, RunChunk
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.keys import load_keys, load_pins, load_secrets
from gateway.edge.crypto.pins import Pins
from gateway.edge.crypto.pki import DevPki, make, sm2_name, sm4_name
from gateway.edge.crypto.seals import EngineCrypto
from gateway.edge.crypto.software import SoftwareEngine
from gateway.edge.work import InlineWork
from gateway.flow.collect import Collector
from gateway.flow.sealing import Sealer
from gateway.sandbox.config import Answers, Faults, Keys
from tests.edge.https_bank import Authority, HttpsBank, answering
from tests.flow.desk import AGREEMENT, Desk, Line, desk, repay_name, until
from tests.flow.fakes import Killed
from tests.flow.house import OWN, House, bank, chunks, header, orders

USER = "N002987388"
THREE_PARTS = 2_500
Talk = Callable[..., Any]


@pytest.fixture(scope="session")
def sm2_keys(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """The bureau's and the bank's, with the key that they share."""
    return make(tmp_path_factory.mktemp("sm2"), [OWN], datetime(2015, 1, 1, tzinfo=UTC), sm2_banks=[OWN])


class Talking(NamedTuple):
    """Both ends."""

    house: House
    line: Line
    desk: Desk

    def states(self) -> dict[str, int]:
        """How many Attempts are in each state."""
        rows = self.house.rows("SELECT state, count(*) FROM attempt GROUP BY state")
        return {str(state): int(count) for state, count in rows}

    def parts(self) -> list[str]:
        """Which parts of which Document left, in order."""
        return [post.once.removeprefix("BANKB201506100000") for post in self.line.finals()]

    def books(self) -> tuple[int, int, int]:
        """Paid, failed, and references that were credited twice."""
        books = self.desk.books()
        return books["paid"]["count"], books["failed"]["count"], books["doubles"]

    async def paying(self, count: int) -> list[Instruction]:
        """A run of so many payments, in chunks, accepted and released."""
        lines = orders(count)
        pieces = list(chunks(lines, 1_000))
        await self.house.send("run.submitted", header(lines, chunks=len(pieces)))
        for number, piece in enumerate(pieces, 1):
            await self.house.send("run.chunk", RunChunk(run_id="R1", chunk=number, instructions=list(piece)))
        await self.house.intake.step()
        await self.house.release()
        return lines

    async def settled(self) -> None:
        """Until nothing is under way."""
        await until(self.house, lambda: not {"ready", "batched", "unknown"} & self.states().keys())


@pytest.fixture
async def talk(
    make_house: Callable[..., House], sm2_keys: DevPki, quick_folder: Path
) -> AsyncIterator[Callable[..., Any]]:
    """Open a bank and a house that talks to it; ``function`` chooses agency or batch payment."""
    async with AsyncExitStack() as stack:

        async def open_(
            function: str = "agency", accounts: dict[str, Any] | None = None, page_rows: int = 700, **settings: Any
        ) -> Talking:
            secret = sm2_keys.folder / sm4_name(OWN)
            own = sm2_keys.folder / sm2_name(OWN)
            keys = Keys(
                sign_key=f"{own}.key", certificate=f"{own}.crt", bureau=(str(sm2_keys.folder / "bureau-sm2-sign.crt"),)
            )
            options = {"userid": USER, "secret": str(secret), "page_rows": str(page_rows)}
            at = await stack.enter_async_context(
                desk("cmb_cloud", quick_folder, accounts, keys=keys, options=options, **settings)
            )
            told = {"userid": USER, "secret": sm4_name(OWN), "busmod": "00001", "function": function}
            here = bank(
                OWN, adapter="cmb_cloud", wire=WireKind.HTTPS, agreement=AGREEMENT, sign_key="bureau-sm2-sign",
                pins=(sm2_name(OWN),), wire_options={"url": at.url, "plain": True}, format_options=told,
            )  # fmt: skip
            house = make_house(msgspec.structs.replace(here, pins=()))
            house.partners[OWN] = msgspec.structs.replace(house.partners[OWN], bank=here)
            with_crypto(house, sm2_keys)
            line = Line(here, house.archive, Credentials(house.folder, {}))
            house.wires[OWN] = line  # type: ignore[assignment]  # a wire, not a fake one
            return Talking(house, line, at)

        yield open_


def with_crypto(house: House, keys: DevPki) -> None:
    """SM2 keys, pins and the shared key instead of the house's own."""
    credentials = Credentials(keys.folder, {})
    own = load_keys(keys.bureau.keys, credentials, keys.folder)
    pins = Pins(load_pins(keys.bureau.pins, own, keys.folder))
    secrets = load_secrets(keys.bureau.secrets, credentials)
    house.crypto = EngineCrypto(SoftwareEngine(own, InlineWork()), pins, house.clock, InlineWork(), secrets)
    work = InlineWork()
    house.sealer = Sealer(house.ledger, house.archive, house.crypto, work, house.clock, house.points, "社保局")
    house.collector = Collector(house.ledger, house.archive, house.crypto, work, house.clock, house.points)


def failing(count: int = 3) -> dict[str, Any]:
    """The first payees' stories: a name that differs, a lost card that is found, a card that is being replaced."""
    stories: list[dict[str, Any]] = [
        {"verdict": "NAME_MISMATCH", "bank_name": "欧阳锋"},
        {"verdict": "CARD_LOST", "mends_after_first": True},
        {"verdict": "CARD_REPLACING"},
    ]
    return {line.account: story for line, story in zip(orders(count), stories, strict=False)}


# ------------------------------------------------------------------------------------------------------------ good days


@pytest.mark.parametrize("function", ["agency", "batch"])
async def test_a_run_in_three_parts_and_its_second_payment(talk: Talk, function: str) -> None:
    """2,500 payments in three requests; results page by page, no sooner than five minutes after; the mended ones are paid, nothing twice."""
    here: Talking = await talk(function, failing())
    lines = await here.paying(THREE_PARTS)
    await here.house.step(times=2)
    assert here.parts() == ["1-1", "1-2", "1-3"]
    assert here.house.documents() == [("receipted", 1)]
    assert len(here.line.posts) == 3, "nobody asks at once"
    here.house.clock.advance(299)
    await here.house.step()
    assert len(here.line.posts) == 3
    await here.settled()
    assert here.states() == {"paid": THREE_PARTS - 3, "failed": 3}
    assert here.books() == (THREE_PARTS - 3, 3, 0)
    verdicts = [row[0] for row in here.house.rows("SELECT verdict FROM attempt WHERE state = 'failed' ORDER BY key")]
    assert verdicts == ["NAME_MISMATCH", "CARD_LOST", "CARD_REPLACING"]
    assert here.house.parked() == []
    await here.house.sound()
    await repay_name(here.house, lines[0].id, "欧阳锋")
    await here.settled()
    assert here.states() == {"paid": THREE_PARTS - 2, "failed": 3}
    assert here.books() == (THREE_PARTS - 2, 3, 0)
    await here.house.sound()


async def test_questions_are_two_seconds_apart(talk: Talk) -> None:
    """However many pages an answer has."""
    here: Talking = await talk(page_rows=4)
    await here.paying(10)
    await here.house.step()
    times: list[datetime] = []
    perform = here.line.perform

    async def timed(request: Any) -> Any:
        times.append(here.house.clock.now())
        return await perform(request)

    here.line.perform = timed  # type: ignore[method-assign]  # only to look at the clock
    here.house.clock.advance(300)
    await here.house.step()
    assert here.states() == {"paid": 10}
    assert [later - sooner for sooner, later in pairwise(times)] == [timedelta(seconds=2)] * 2


async def test_the_same_payment_keeps_its_reference(talk: Talk) -> None:
    """BB1PAYBH: the second try is another Attempt in another batch, and the same yurRef; the bank takes it because the first is final."""
    here: Talking = await talk("batch", failing(2))
    lines = await here.paying(2)
    await here.settled()
    await here.house.send("instruction.repay", InstructionRepay(instruction_id=lines[1].id, reason="解除挂失"))
    await here.house.intake.step()
    ((run_id,),) = here.house.rows("SELECT run_id FROM run WHERE kind = 'second_payment'")
    await here.house.release(run_id)
    await here.settled()
    assert here.states() == {"failed": 2, "paid": 1}
    payloads = [body for body in here.house.archived().values() if body.startswith(b'{"body":{"bb1')]
    marks = [re.findall(rb'"crtSqn":"([0-9]+)".*?"yurRef":"([0-9]+)"', body) for body in payloads]
    first, second = sorted(marks, key=len, reverse=True)
    assert second[0][1] in {yurref for _, yurref in first}
    assert second[0][0] not in {crtsqn for crtsqn, _ in first}


# -------------------------------------------------------------------------------------------------------------- bad days


@pytest.mark.parametrize("function", ["agency", "batch"])
@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_a_lost_reply_is_cleared_by_the_banks_list(talk: Talk, function: str, lost: int) -> None:
    """The part arrived and its reply did not: in doubt, asked about, and the rest goes on from there; no part leaves twice."""
    here: Talking = await talk(function, faults=Faults(http_lost_replies=(lost,), documents=(99,)))
    await here.paying(THREE_PARTS)
    await here.house.step()
    assert here.house.documents() == [("in_doubt", 1)]
    await here.settled()
    assert here.parts() == ["1-1", "1-2", "1-3"]
    assert here.states() == {"paid": THREE_PARTS}
    assert here.books() == (THREE_PARTS, 0, 0)
    await here.house.sound()


@pytest.mark.parametrize("function", ["agency", "batch"])
@pytest.mark.parametrize("failed", [1, 2, 3])
async def test_a_part_that_did_not_arrive_leaves_again_after_the_window(talk: Talk, function: str, failed: int) -> None:
    """A plain-text error proves nothing: in doubt; the bank's list ends before the part, so after the agreed window it leaves again, alone."""
    here: Talking = await talk(function, faults=Faults(http_errors=(failed,), documents=(99,)))
    await here.paying(THREE_PARTS)
    await here.house.step(times=3)
    assert here.house.documents() == [("in_doubt", 1)]
    here.house.clock.advance(59 * 60)
    await here.house.step()
    assert len(here.parts()) == failed, "not before the window is over"
    await here.settled()
    expected = ["1-1", "1-2", "1-3"]
    expected.insert(failed, f"1-{failed}")
    assert here.parts() == expected
    assert here.books() == (THREE_PARTS, 0, 0)
    await here.house.sound()


async def test_a_crash_between_two_parts(talk: Talk) -> None:
    """Two parts are there, the cursor is kept, the process dies: in doubt after the restart, asked about, and only the third is sent."""
    here: Talking = await talk()
    await here.paying(THREE_PARTS)
    here.house.points.die_at = "send.saved"
    with pytest.raises(Killed):
        await here.house.step()
    here.house.points.die_at = "send.saved"
    here.house.restarted(OWN)
    with pytest.raises(Killed):
        await until(here.house, lambda: False)
    assert here.parts() == ["1-1", "1-2"]
    here.house.restarted(OWN)
    await here.house.step()
    assert here.house.documents() == [("in_doubt", 2)]
    assert here.books() == (0, 0, 0)
    await here.settled()
    assert here.parts() == ["1-1", "1-2", "1-3"]
    assert here.books() == (THREE_PARTS, 0, 0)
    assert here.states() == {"paid": THREE_PARTS}
    await here.house.sound()


@pytest.mark.parametrize(("drop", "paid"), [("answers", 3), ("file", 0)])
async def test_a_batch_that_is_never_spoken_of_does_not_leave_again(talk: Talk, drop: Any, paid: int) -> None:
    """The bank has taken it and says nothing, or has lost it: it is asked about for hours, and nothing is sent unasked."""
    here: Talking = await talk(faults=Faults(drop=drop, documents=(1,)))
    await here.paying(3)
    await until(here.house, lambda: len(here.line.posts) > 40)
    assert here.parts() == ["1-1"]
    assert here.states() == {"batched": 3}
    assert here.books() == (paid, 0, 0)


async def test_a_bank_that_shows_a_part_late_refuses_it_the_second_time(talk: Talk) -> None:
    """The reply to part 2 is lost and the list does not show it yet, when the window is over: it leaves again, the bank knows its numbers, and
    it is in doubt again until the list shows it."""
    here: Talking = await talk(faults=Faults(http_lost_replies=(2,), documents=(99,)))
    await here.paying(THREE_PARTS)
    await here.house.step()
    shown, hidden = here.desk.speaker._parts, True  # type: ignore[attr-defined]  # the bank's own file of parts

    def late(reference: str) -> list[Any]:
        parts: list[Any] = shown(reference)
        return parts[:1] if hidden and asking() else parts

    def asking() -> bool:
        return not here.line.posts[-1].final

    here.desk.speaker._parts = late  # type: ignore[attr-defined]  # it answers from an older copy
    await until(here.house, lambda: here.parts() == ["1-1", "1-2", "1-2"])
    assert here.house.documents()[0][0] == "in_doubt"
    hidden = False
    await here.settled()
    assert here.parts() == ["1-1", "1-2", "1-2", "1-3"]
    assert here.books() == (THREE_PARTS, 0, 0)
    await here.house.sound()


@pytest.mark.parametrize("seal", ["none", "flipped", "foreign"])
async def test_a_forged_answer_touches_nothing(talk: Talk, seal: Any) -> None:
    """What the pinned key has not signed is quarantined, and the payments wait."""
    here: Talking = await talk(faults=Faults(seal=seal, documents=(99,)))
    await here.paying(3)
    await here.house.step(times=2)
    here.house.clock.advance(301)
    await here.house.step(times=2)
    assert here.states() == {"batched": 3}
    assert {state for state, _ in here.house.inbound()} == {"applied", "quarantined"}


@pytest.mark.parametrize("seal", ["none", "flipped", "foreign"])
async def test_a_forged_answer_ends_no_doubt(talk: Talk, seal: Any) -> None:
    """Somebody else's "I know of no such batch" is no answer: nothing leaves a second time."""
    here: Talking = await talk(faults=Faults(http_errors=(1,), seal=seal, documents=(99,)))
    await here.paying(3)
    await until(here.house, lambda: len(here.line.posts) > 6)
    assert here.parts() == ["1-1"]
    assert here.house.documents() == [("in_doubt", 1)]
    assert here.house.lanes()[OWN] != "stopped"


async def test_another_key_at_the_banks_door(talk: Talk, tmp_path: Path) -> None:
    """Whoever shows it gets not a byte: the Document surely has not left, and the lane is stopped for a person."""
    here: Talking = await talk()
    authority = Authority()
    async with HttpsBank(tmp_path, authority.issue("somebody"), answering()) as somebody:
        options = {"url": somebody.url, "ca": authority.own.pem.decode(), "pin": authority.issue("bank").pin}
        configured = msgspec.structs.replace(here.house.partners[OWN].bank, wire_options=options)
        line = Line(configured, here.house.archive, Credentials(here.house.folder, {}))
        here.house.wires[OWN] = line  # type: ignore[assignment]  # a wire, not a fake one
        await here.paying(3)
        await here.house.step()
        assert here.house.documents()[0][0] == "sealed"
        assert here.house.lanes()[OWN] == "stopped"
        assert somebody.asked == []


async def test_lies_are_parked(talk: Talk) -> None:
    """Another amount, a reason that no table has, a reference of nobody."""
    here: Talking = await talk(faults=Faults(wrong_amount=1, unknown_code=1, foreign_reference=1))
    await here.paying(5)
    await here.house.step(times=2)
    here.house.clock.advance(301)
    await here.house.step(times=2)
    assert sorted(here.house.parked()) == ["CONFLICT", "UNKNOWN_CODE", "UNKNOWN_REF"]
    assert here.states() == {"batched": 3, "paid": 2}


async def test_an_order_that_is_refused_as_a_whole(talk: Talk) -> None:
    """Taken, and refused in the e-bank: nothing was booked, the payments are held, and nothing leaves by itself."""
    here: Talking = await talk(faults=Faults(file_refusal="FUNDS"))
    await here.paying(3)
    await here.house.step(times=2)
    here.house.clock.advance(301)
    await here.house.step(times=2)
    assert here.house.documents() == [("refused", 1)]
    assert here.states() == {"held": 3}
    assert here.books() == (0, 0, 0)


async def test_money_that_comes_back(talk: Talk) -> None:
    """退票 of a batch payment: FIN with B, told with its amount and reason, is returned and may be paid again."""
    account = orders(1)[0].account
    here: Talking = await talk("batch", {account: {"verdict": "PAID", "returns": "ACCOUNT_CLOSED"}})
    await here.paying(3)
    await here.settled()
    assert here.states() == {"paid": 2, "returned": 1}
    assert here.books()[0] == 2
    ((verdict,),) = here.house.rows("SELECT verdict FROM attempt WHERE state = 'returned'")
    assert verdict == "ACCOUNT_CLOSED"
    await here.house.sound()


async def test_results_come_later(talk: Talk) -> None:
    """While the bank is at work nothing is taken in; it is asked at its pace until it has finished."""
    here: Talking = await talk(hold_results=True, answers=Answers())
    await here.paying(3)
    await here.house.step(times=2)
    for _ in range(3):
        here.house.clock.advance(300)
        await here.house.step()
    assert here.states() == {"batched": 3}
    assert len(here.house.inbound()) == 1, "the receipt alone"
    (here.desk.folder / "release").touch()
    await here.settled()
    assert here.states() == {"paid": 3}
