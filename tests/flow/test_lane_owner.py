"""A lane has one owner at a time, doubts what a dead one was sending, and stops where a person must look."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.errors import Code, Halt, NotSent, Unverified
from gateway.core.route import List, Put, Stat
from tests.flow.fakes import Killed, is_final
from tests.flow.house import ISO, OWN, House

every_bank = pytest.mark.parametrize("code", [ISO, OWN])


# ---------------------------------------------------------------------------------------------- who owns the lane


@every_bank
@pytest.mark.parametrize("after", [False, True], ids=["lost", "arrived"])
async def test_a_restart_doubts_what_was_being_sent(house: House, code: str, after: bool) -> None:
    """The process dies while a Document is under way: the next one finds it in 'sending', doubts it, and asks; it is never sent blindly."""
    house.wires[code].fail(is_final, Killed(), after=after)
    await house.paying(3, code)
    with pytest.raises(Killed):
        await house.step(code)
    assert house.documents() == [("sending", 1)]
    lane = house.restarted(code)
    house.wires[code].fail(Stat, NotSent("not now"), times=99)
    await lane.step()
    assert house.documents() == [("in_doubt", 1)]
    assert len([name for name in house.wires[code].finals() if "inquiry" not in name]) == 1
    house.wires[code].mend()
    house.clock.advance(15 * 60)
    await lane.step()
    assert house.documents()[0][0] == ("receipted" if after else "in_doubt")


@pytest.mark.parametrize("how", ["cancelled", "died"])
async def test_an_error_in_the_middle_is_doubted_by_the_same_process(house: House, how: str) -> None:
    """A step that ended in the middle of a sending, by a dying connection or a ledger that was away, leaves nothing in 'sending' for ever."""
    if how == "cancelled":
        house.wires[OWN].fail(is_final, asyncio.CancelledError(), after=True)
    else:
        house.points.die_at = "send.travelled"
    await house.paying(3, OWN)
    with pytest.raises((asyncio.CancelledError, Killed)):
        await house.step(OWN)
    assert house.documents() == [("sending", 1)]
    await house.step(OWN)
    assert house.documents()[0][0] in ("in_doubt", "receipted")
    await house.step(OWN)
    assert house.documents() == [("receipted", 1)]
    assert len([name for name in house.wires[OWN].finals() if "inquiry" not in name]) == 1


async def test_another_owner_fences_the_first(house: House) -> None:
    """While one replica sends, its lease ends and another takes the lane: the first one's word changes nothing any more."""
    first, second = house.new_lane(ISO), house.new_lane(ISO)
    await house.paying(3, ISO)
    wire = house.wires[ISO]
    taken = asyncio.Event()

    async def perform(request: object, real=wire.perform):  # type: ignore[no-untyped-def]  # the port's own signature
        if is_final(request):
            house.clock.advance(61)
            await second.step()
            taken.set()
        return await real(request)

    wire.perform = perform  # type: ignore[method-assign]  # a sender that sleeps in the middle
    await first.step()
    assert taken.is_set()
    assert house.documents() == [("in_doubt", 1)]
    assert await first.step() == 0
    house.clock.advance(15 * 60)
    await second.step()
    assert house.documents() == [("receipted", 1)]


async def test_a_lane_of_somebody_else_is_left_alone(house: House) -> None:
    """While another replica holds the lease, nothing is filed, sent or collected."""
    await house.new_lane(OWN).step()
    await house.paying(3, OWN)
    assert await house.step(OWN) == 0
    assert house.documents() == []


async def test_a_clean_hand_over(house: House) -> None:
    """Handed over, the lane is the other's at once."""
    first = house.new_lane(OWN)
    await first.step()
    await first.hand_over()
    await house.paying(3, OWN)
    await house.step(OWN)
    assert house.documents() == [("sent", 1)]


async def test_a_hand_over_in_the_middle_of_a_sending(house: House) -> None:
    """Told to stop while a file leaves: the next owner has the lane at once, and asks what became of the file."""
    first = house.new_lane(ISO)
    await house.paying(3, ISO)
    wire, leaving = house.wires[ISO], asyncio.Event()
    real = wire.perform

    async def perform(request: Any) -> object:
        if is_final(request):
            leaving.set()
            await asyncio.Event().wait()
        return await real(request)

    wire.perform = perform  # type: ignore[method-assign]  # a sender that hangs until it is told to stop
    step = asyncio.create_task(first.step())
    await leaving.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    await first.hand_over()
    wire.perform = real  # type: ignore[method-assign]  # the wire works again
    await house.new_lane(ISO).step()
    assert house.documents() == [("in_doubt", 1)]


# ---------------------------------------------------------------------------------------------- what stops it


@pytest.mark.parametrize(
    "error", [Unverified("another host key", code=Code.CERT), Halt("the archive lies")], ids=["key", "halt"]
)
async def test_a_wrong_partner_or_a_broken_invariant_stops_the_lane(house: House, error: BaseException) -> None:
    """The lane stops with a critical alert; nothing left; resumed by a person, the same bytes leave."""
    house.wires[OWN].fail(Put, error)
    await house.paying(3, OWN)
    await house.step(OWN)
    assert house.lanes() == {OWN: "stopped"}
    assert house.documents() == [("sealed", 0)]
    (alert,) = await house.told("alert")
    assert (alert.severity, alert.subject) == ("critical", f"lane:{OWN}")
    assert await house.step(OWN, 3) == 0
    await house.ledger.resume_lane(OWN, "anna", "looked at")
    await house.step(OWN)
    assert house.documents() == [("sent", 1)]


async def test_a_wrong_host_key_while_fetching_stops_it_too(house: House) -> None:
    """Whom we cannot identify we do not listen to either."""
    house.wires[OWN].fail(List, Unverified("another host key", code=Code.CERT))
    await house.paying(3, OWN)
    await house.step(OWN)
    assert house.lanes() == {OWN: "stopped"}
    assert house.documents() == []


async def test_the_other_lane_goes_on(house: House) -> None:
    """One bank's stopped lane is nothing to another's."""
    house.wires[OWN].fail(Put, Unverified("another host key"))
    await house.paying(3, OWN)
    await house.paying(3, ISO, "R2")
    await house.step(OWN)
    await house.step(ISO)
    assert house.lanes() == {OWN: "stopped", ISO: "running"}
    assert sorted(state for state, _ in house.documents()) == ["sealed", "sent"]


async def test_a_stop_by_a_person(house: House) -> None:
    """Stopped by a person, nothing new leaves, although the lease was fresh."""
    await house.step(OWN)
    await house.ledger.stop_lane(OWN, "the bank called", "anna")
    await house.paying(3, OWN)
    await house.step(OWN, 3)
    assert house.documents() == []
