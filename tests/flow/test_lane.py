"""A lane sends in its windows only, never before the pay date, one line at a time, and stops where it must."""

from __future__ import annotations

import datetime as dt
import itertools

import msgspec
import pytest

from gateway.core.bank import Agreement, Limits, WireKind
from gateway.core.calendar import CHINA, CHINA_TIME, Year
from gateway.core.contracts import InstructionWithdraw
from gateway.core.errors import Code, InDoubt, NotSent, Unavailable
from gateway.core.partner import Partner
from gateway.core.route import Publish, Put, Rename, Stat
from gateway.flow.lane import RESEND_FIRST_S, RESEND_MAX_S, TELL_AT_FAILURE
from tests.flow.conftest import MakeHouse
from tests.flow.counterpart import Counterpart
from tests.flow.fakes import is_final
from tests.flow.house import ADAPTERS, ISO, OWN, TODAY, House, bank, limits, orders

every_bank = pytest.mark.parametrize("code", [ISO, OWN])


def at(clock: str, day: dt.date = TODAY) -> dt.datetime:
    """A moment on China's wall clock."""
    return dt.datetime.combine(day, dt.time.fromisoformat(clock), CHINA_TIME)


# ---------------------------------------------------------------------------------------------- windows and pay dates


@every_bank
async def test_never_before_the_pay_date(house: House, code: str) -> None:
    """A payment for next Monday is not even filed before its window opens, and leaves when it does."""
    monday = dt.date(2015, 6, 15)
    await house.paying(3, code, pay_date=monday)
    for moment in (at("09:00"), at("16:29"), at("08:29", monday)):
        house.clock.advance_to(moment)
        assert await house.step(code) == 0
        assert house.documents() == []
    house.clock.advance_to(at("08:30", monday))
    await house.step(code)
    assert house.documents() == [("sent", 1)]


async def test_early_only_where_its_release_says_so(house: House) -> None:
    """Released early by two people, it leaves in the next open window; the other run of the same day does not."""
    monday = dt.date(2015, 6, 15)
    for run_id, first in (("R1", 1), ("R2", 4)):
        assert await house.submit(orders(3, OWN, first=first), run_id, pay_date=monday) == "accepted"
        await house.release(run_id, early=run_id == "R2")
    await house.step(OWN)
    assert house.states() == ["ready"] * 3 + ["batched"] * 3


async def test_a_weekend_pay_date_goes_on_the_next_working_day(house: House) -> None:
    """Saturday has no window: Monday's is taken, not Friday's."""
    await house.paying(2, OWN, pay_date=dt.date(2015, 6, 13))
    for moment, sent in (
        (at("10:00", dt.date(2015, 6, 12)), 0),
        (at("10:00", dt.date(2015, 6, 13)), 0),
        (at("08:30", dt.date(2015, 6, 15)), 1),
    ):
        house.clock.advance_to(moment)
        await house.step(OWN)
        assert len(house.documents()) == sent


async def test_after_the_cut_off_nothing_leaves(house: House) -> None:
    """At the cut-off the lane is closed, also for what is sealed already; the missed window is caught up in the next one."""
    house.wires[OWN].fail(Put, NotSent("down"), times=99)
    await house.paying(2, OWN)
    await house.step(OWN)
    assert house.documents() == [("sealed", 0)]
    house.wires[OWN].mend()
    house.clock.advance_to(at("16:30"))
    await house.step(OWN, 2)
    assert house.documents() == [("sealed", 0)]
    house.clock.advance_to(at("08:29", dt.date(2015, 6, 11)))
    await house.step(OWN)
    assert house.documents() == [("sealed", 0)]
    house.clock.advance_to(at("08:30", dt.date(2015, 6, 11)))
    await house.step(OWN)
    assert house.documents() == [("sent", 1)]


async def test_a_missed_window_is_caught_up(house: House) -> None:
    """Released two days after its pay date, it leaves in the window that is open now."""
    await house.submit(orders(2, OWN))
    house.clock.advance_to(at("11:00", dt.date(2015, 6, 12)))
    await house.release()
    await house.step(OWN)
    assert house.documents() == [("sent", 1)]


async def test_a_year_without_a_calendar_waits_alone(house: House) -> None:
    """A pay date in a year whose working days nobody knows waits, and keeps nothing else from leaving."""
    next_year = dt.date(2016, 6, 10)
    house.partners[OWN] = msgspec.structs.replace(house.partners[OWN], calendar={2015: CHINA[2015]})
    await house.paying(2, OWN, "R1", pay_date=next_year)
    await house.paying(2, OWN, "R2")
    await house.step(OWN)
    assert house.states() == ["ready"] * 2 + ["batched"] * 2
    assert house.lanes() == {OWN: "running"}
    house.clock.advance_to(at("10:00", next_year))
    await house.step(OWN)
    assert house.states()[:2] == ["ready"] * 2


async def test_the_partners_own_calendar_counts(house: House) -> None:
    """A day that only the configured calendar makes a holiday is one."""
    holiday = Year(CHINA[2015].off | {TODAY}, CHINA[2015].worked)
    house.partners[OWN] = Partner(bank=bank(OWN), adapter=ADAPTERS["standard_file"], calendar={2015: holiday})
    await house.paying(2, OWN)
    await house.step(OWN)
    assert house.documents() == []


@every_bank
async def test_documents_are_cut_and_numbered(make_house: MakeHouse, code: str) -> None:
    """Rows and amounts are cut to the bank's caps; names and references are all different; every payment is in exactly one."""
    house = make_house(bank(code, limits=limits(code, rows_max=2, document_minor_max=250_000)))
    await house.paying(5, code)
    await house.step(code)
    rows = house.rows("SELECT name, reference, count FROM document ORDER BY key")
    assert [count for _, _, count in rows] == [2, 2, 1]
    assert len({name for name, _, _ in rows}) == len({reference for _, reference, _ in rows}) == 3
    assert len(house.rows("SELECT DISTINCT document_key, line FROM attempt")) == 5
    await house.sound()


# ---------------------------------------------------------------------------------------------- surely not sent


@every_bank
async def test_what_did_not_leave_goes_again_as_it_was(house: House, code: str) -> None:
    """Surely not sent: sealed again, and sent again with the same bytes and the same name; one copy arrives."""
    house.wires[code].fail(Put, NotSent("connection refused"))
    await house.paying(3, code)
    await house.step(code)
    assert house.documents() == [("sealed", 0)]
    before = house.rows("SELECT name, reference, digest FROM document")
    house.clock.advance(RESEND_FIRST_S)
    await house.step(code)
    assert house.documents() == [("sent", 1)]
    assert house.rows("SELECT name, reference, digest FROM document") == before
    assert house.wires[code].sent() == [before[0][0]]


async def test_a_line_that_is_down_is_not_hammered(house: House) -> None:
    """Between two tries the wait doubles up to its bound, whatever wakes the lane; at the third people are told, once."""
    house.wires[OWN].fail(Put, NotSent("connection refused"), times=999)
    await house.paying(3, OWN)
    tries = []
    for second in range(1_200):
        before = len(house.wires[OWN].asked)
        await house.step(OWN)
        if any(isinstance(request, Put) for request in house.wires[OWN].asked[before:]):
            tries.append(second)
        house.clock.advance(1)
    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert waits == [min(RESEND_FIRST_S * 2**n, RESEND_MAX_S) for n in range(len(waits))]
    assert len(tries) > TELL_AT_FAILURE
    assert len(await house.told("alert")) == 1
    assert house.documents() == [("sealed", 0)]


async def test_one_stubborn_document_blocks_no_other(make_house: MakeHouse) -> None:
    """Where one name is not taken, the next Documents leave meanwhile."""
    house = make_house(bank(OWN, limits=limits(OWN, rows_max=1)))
    await house.paying(3, OWN)
    house.wires[OWN].fail(
        lambda request: isinstance(request, Put) and "00001.txt" in request.path, NotSent("no"), times=99
    )
    await house.step(OWN)
    assert house.documents() == [("sealed", 0)] * 3
    await house.step(OWN)
    assert house.documents() == [("sealed", 0), ("sent", 1), ("sent", 1)]


async def test_a_withdrawn_payment_of_what_did_not_leave(house: House) -> None:
    """A Document that surely did not leave is voided for a payment that is withdrawn, and filed again without it."""
    house.wires[OWN].fail(Put, NotSent("connection refused"))
    lines = await house.paying(3, OWN)
    await house.step(OWN)
    await house.send("instruction.withdraw", InstructionWithdraw(instruction_id=lines[1].id, reason="死亡"))
    await house.step(OWN)
    assert house.documents() == [("void", 0), ("sent", 1)]
    assert house.states() == ["batched", "withdrawn", "batched"]
    await house.sound()


# ---------------------------------------------------------------------------------------------- in doubt


@every_bank
@pytest.mark.parametrize("after", [False, True], ids=["lost", "arrived"])
@pytest.mark.parametrize(
    "error", [InDoubt("no reply"), OSError("reset"), TimeoutError()], ids=lambda e: type(e).__name__
)
async def test_in_doubt_nothing_leaves_but_questions(
    make_house: MakeHouse, code: str, after: bool, error: BaseException
) -> None:
    """The first doubt stops the lane, in this very round: no other Document of the bank leaves, and nothing new is filed."""
    house = make_house(bank(code, limits=limits(code, rows_max=1)))
    await house.paying(3, code)
    house.wires[code].fail(is_final, error, after=after)
    house.wires[code].fail(Stat, NotSent("the line is still bad"), times=99)
    house.wires[code].mend()
    house.wires[code].fail(is_final, error, after=after)
    await house.step(code)
    assert [state for state, _ in house.documents()] == ["in_doubt", "sealed", "sealed"]
    assert len(house.wires[code].finals()) == 1
    await house.paying(2, code, "R2")
    house.wires[code].fail(Stat, NotSent("the line is still bad"), times=99)
    await house.step(code, 3)
    assert [state for state, _ in house.documents()] == ["in_doubt", "sealed", "sealed"]
    assert house.states()[3:] == ["ready", "ready"]
    assert [name for name in house.wires[code].finals() if "payment" in name] == [house.wires[code].finals()[0]]
    await house.sound()


@every_bank
async def test_a_doubt_that_had_arrived_is_found(house: House, code: str) -> None:
    """The rename's reply was lost, the file stands there: found, receipted, never sent again."""
    house.wires[code].fail(Rename if code == ISO else is_final, OSError("reset"), after=True)
    await house.paying(3, code)
    await house.step(code)
    assert house.documents() == [("in_doubt", 1)]
    await house.step(code)
    assert house.documents() == [("receipted", 1)]
    assert len([name for name in house.wires[code].finals() if "inquiry" not in name]) == 1


async def test_what_the_wire_does_not_show_counts_after_the_window(house: House) -> None:
    """Without an inquiry Document the wire's "not there" counts only after the agreed window: then the same bytes, name and reference
    leave again, once."""
    house.wires[ISO].fail(is_final, OSError("reset"))
    await house.paying(3, ISO)
    await house.step(ISO)
    before = house.rows("SELECT name, reference, digest FROM document")
    for _ in range(3):
        await house.step(ISO)
        assert house.documents() == [("in_doubt", 1)]
        house.clock.advance(16 * 60)
    house.clock.advance(16 * 60)
    await house.step(ISO)
    assert house.documents() == [("sent", 2)]
    assert house.rows("SELECT name, reference, digest FROM document") == before
    assert house.wires[ISO].sent() == [before[0][0]]
    assert house.documents("inquiry") == []


async def test_without_a_duplicate_key_nothing_is_sent_again(make_house: MakeHouse) -> None:
    """At a bank that would pay a second copy, "not there" is never enough."""
    house = make_house(bank(ISO, agreement=Agreement(not_found_window_minutes=60)))
    house.wires[ISO].fail(is_final, OSError("reset"))
    await house.paying(3, ISO)
    for _ in range(30):
        await house.step(ISO)
        house.clock.advance(3_600)
    assert house.documents() == [("in_doubt", 1)]
    assert len(house.wires[ISO].finals()) == 1


async def test_a_window_of_zero_still_waits_for_a_sender_that_slept(make_house: MakeHouse) -> None:
    """However short the agreed window: not before a paused sender's lease and request are surely over."""
    eager = Agreement(duplicate_key="reference", not_found_window_minutes=0, inquiry_interval_minutes=0)
    house = make_house(bank(ISO, agreement=eager))
    house.wires[ISO].fail(is_final, OSError("reset"))
    await house.paying(3, ISO)
    for _ in range(18):
        await house.step(ISO)
        assert house.documents() == [("in_doubt", 1)]
        house.clock.advance(10)
    await house.step(ISO)
    assert house.documents() == [("sent", 2)]


# ---------------------------------------------------------------------------------------------- what cannot be written


async def test_a_line_that_the_format_cannot_hold_is_held_alone(house: House, own: Counterpart) -> None:
    """A payment that two people freed although its text does not fit the bank's format is held again; the others leave."""
    lines = orders(4, OWN)
    lines[1] = msgspec.structs.replace(lines[1], purpose="六月\ue000养老金")
    assert await house.submit(lines) == "accepted"
    assert house.states() == ["ready", "held", "ready", "ready"]
    await house.release()
    await house.ledger.propose_free("anna", "R1")
    await house.ledger.approve_free("bert", "R1")
    await house.step(OWN, 2)
    assert house.documents() == [("void", 0), ("sent", 1)]
    assert house.states() == ["batched", "held", "batched", "batched"]
    assert len(own.take().rows) == 3
    held = [notice.code for event in await house.told("instruction.held") for notice in event.items]
    assert held == [Code.CHARSET, Code.CHARSET]
    assert house.lanes() == {OWN: "running"}
    await house.sound()


async def test_a_key_of_ours_that_may_not_sign_stops_the_lane(house: House) -> None:
    """Our certificate has expired: the next batch is refused with a page, nothing unsigned leaves."""
    house.clock.advance_to(at("10:00", dt.date(2017, 6, 12)))
    house.partners[OWN] = msgspec.structs.replace(house.partners[OWN], calendar={2017: CHINA[2015]})
    await house.paying(3, OWN, pay_date=dt.date(2017, 6, 12))
    await house.step(OWN)
    assert house.lanes() == {OWN: "stopped"}
    assert house.documents() == [("open", 0)]
    assert house.wires[OWN].sent() == []


async def test_an_engine_that_is_away_delays_but_loses_nothing(house: House, own: Counterpart) -> None:
    """No signature, no sending; what the bank has laid out is collected all the same."""
    await house.paying(2, OWN)
    await house.step(OWN)
    own.result(own.take())
    await house.paying(2, OWN, "R2")
    sign = house.crypto.sign

    async def away(key: str, algorithm: str, data: bytes, signer_id: str = "") -> bytes:
        raise Unavailable("the engine is away")

    house.crypto.sign = away  # type: ignore[method-assign]  # a signing device that is switched off
    with pytest.raises(Unavailable):
        await house.step(OWN)
    assert house.states() == ["paid", "paid", "batched", "batched"]
    assert house.documents()[1] == ("open", 0)
    house.crypto.sign = sign  # type: ignore[method-assign]  # and on again
    await house.step(OWN)
    assert house.documents()[1] == ("sent", 1)


async def test_over_queues_a_doubt_waits_for_the_bank(make_house: MakeHouse) -> None:
    """A queue cannot be looked into: a doubt over AMQP stays one, whatever the time, until the bank speaks."""
    house = make_house(bank(ISO, wire=WireKind.AMQP))
    house.wires[ISO].fail(Publish, TimeoutError(), after=True)
    await house.paying(3, ISO)
    for _ in range(30):
        await house.step(ISO)
        house.clock.advance(3_600)
    assert house.documents() == [("in_doubt", 1)]
    assert len(house.wires[ISO].published) == 1


def test_the_smaller_limits_are_the_banks() -> None:
    """What a test sets is what the lane sees."""
    assert limits(OWN, rows_max=2) != Limits()
