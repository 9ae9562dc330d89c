"""The second payroll and the second payment of the same thing: held until two people say that they are meant (P3)."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import Conflict
from gateway.core.ids import check_character
from gateway.core.states import DocumentEvent
from gateway.core.verdicts import Outcome
from tests.ledger.kit import CHECKER, MAKER, NORTH, OTHER_PAYER, PAYER, SOUTH, Story, Word, doubted, pay

SUSPECT = "SUSPECT_DUPLICATE"


async def test_a_second_regular_run_waits_for_two_people(story: Story) -> None:
    """Same payer, line, district and period: held with nothing owed, accepted once a maker and another checker say so."""
    await story.submit("R1", pay("A"))
    await story.told()
    assert await story.submit("R2", pay("B")) == "held"
    assert await story.states() == {"A": "ready"}
    assert await story.control("R2") == {}
    (event,) = await story.told()
    assert (event.name, event.data.run_id, event.data.code) == ("run.held", "R2", SUSPECT)
    assert "R1" in event.data.what
    with pytest.raises(Conflict):
        await story.ledger.propose_release(MAKER, "R2")

    assert (await story.ledger.propose_held_run(MAKER, "R2"))["count"] == 1
    assert await story.run_state("R2") == "held"
    assert await story.ledger.approve_held_run(CHECKER, "R2") == "accepted"
    assert await story.states() == {"A": "ready", "B": "ready"}
    assert [event.name for event in await story.told()] == ["run.accepted"]
    assert [act.actor for act in await story.acts("run.accepted")] == ["gateway", CHECKER]


async def test_the_run_that_was_doubted_can_be_declined(story: Story) -> None:
    """A checker's no leaves it held; the payer cancels it and its ids are free."""
    await story.submit("R1", pay("A"))
    await story.submit("R2", pay("B"))
    await story.ledger.propose_held_run(MAKER, "R2")
    await story.ledger.decline(CHECKER, "accept_held_run", f"run:{PAYER}:R2")
    assert await story.run_state("R2") == "held"
    await story.ledger.cancel_run(story.meta(), "R2", "a mistake")
    assert await story.submit("R3", pay("B"), period="2015-07") == "accepted"


@pytest.mark.parametrize(
    "other",
    [
        {"period": "2015-07"},
        {"district": "440605"},
        {"line": "unemployment"},
        {"kind": "supplementary"},
        {"payer": OTHER_PAYER},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_what_makes_another_payroll(story: Story, other: dict[str, str]) -> None:
    """Another period, district, benefit line, kind or payer is no second one of the same."""
    assert await story.submit("R1", pay("A")) == "accepted"
    assert await story.submit("R2", pay("B"), **other) == "accepted"  # type: ignore[arg-type]  # by name


async def test_a_run_that_came_to_nothing_is_no_rival(story: Story) -> None:
    """Rejected and cancelled Runs do not make the next one suspicious."""
    await story.header("R1", 5, 100_00)
    await story.chunk("R1", 1, pay("A"))
    assert await story.conclude() == {"R1": "rejected"}
    assert await story.submit("R2", pay("A")) == "accepted"
    await story.ledger.cancel_run(story.meta(), "R2", "wrong")
    assert await story.submit("R3", pay("C")) == "accepted"


async def test_a_closed_run_is_a_rival_for_ever(story: Story) -> None:
    """A month that is paid and closed still makes the same month's second payroll wait."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", Outcome.PAID), event=DocumentEvent.RECEIPTED)
    assert await story.ledger.close_runs() == ["R1"]
    assert await story.submit("R2", pay("B")) == "held"


async def test_the_same_payment_twice_in_a_run(story: Story) -> None:
    """The second line for the same person, item, period and amount is held and told; the first goes its way."""
    assert await story.submit("R1", pay("A", person="Li"), pay("B", person="Li"), pay("C")) == "accepted"
    assert await story.states() == {"A": "ready", "B": "held", "C": "ready"}
    assert await story.holds("B") == [SUSPECT]
    held = (await story.told("instruction.held"))[0]
    assert [(i.instruction_id, i.run_id, i.code) for i in held.data.items] == [("B", "R1", SUSPECT)]
    assert await story.control("R1") == {NORTH: {"ordered": (3, 300_00), "ready": (2, 200_00), "held": (1, 100_00)}}


async def test_two_people_free_a_suspect(story: Story) -> None:
    """Until both have spoken it does not travel; afterwards it does, and both are named."""
    await story.submit("R1", pay("A", person="Li"), pay("B", person="Li"))
    await story.release("R1")
    (first,) = await story.dispatch()
    assert first.count == 1
    await story.ledger.propose_free(MAKER, "R1")
    assert await story.file() == []
    assert await story.ledger.approve_free(CHECKER, "R1") == 1
    assert await story.holds("B") == []
    (second,) = await story.file()
    assert (second.count, await story.tries("B")) == (1, ["batched"])
    assert [act.actor for act in await story.acts("free.approved")] == [CHECKER]


async def test_the_same_payment_in_another_run(story: Story) -> None:
    """A payment that another Run has ordered and not given up is a suspect, also across payers and banks and once it is paid."""
    document = await story.paying("R1", pay("A", person="Li"))
    await story.all_paid(document)
    await story.submit("R2", pay("B", person="Li", bank=SOUTH), kind="supplementary")
    await story.submit("R3", pay("C", person="Li"), payer=OTHER_PAYER)
    assert await story.states() == {"A": "paid", "B": "held", "C": "held"}


@pytest.mark.parametrize(
    "other", [{"amount": 101_00}, {"item": "2"}, {"sequence": 2}, {"period": "2015-05"}, {"person": "Wang"}]
)
async def test_what_makes_another_payment(story: Story, other: dict[str, int | str]) -> None:
    """Another amount, item, number within the item, period or person is a payment of its own."""
    values = {"amount": 100_00, "person": "Li", **other}
    assert await story.submit("R1", pay("A", person="Li"), pay("B", **values)) == "accepted"  # type: ignore[arg-type]  # by name
    assert await story.states() == {"A": "ready", "B": "ready"}


async def test_old_and_new_id_numbers_are_one_person(story: Story) -> None:
    """The 15-digit id number and the 18-digit one that it became are the same person."""
    new = "44060519500101123" + check_character("44060519500101123")
    parties = [{"name": "王小明", "id_number": number} for number in ("440605500101123", new)]
    await story.submit("R1", pay("A", party=parties[0]), pay("B", party=parties[1]))
    assert await story.states() == {"A": "ready", "B": "held"}


async def test_a_withdrawn_payment_is_no_rival(story: Story) -> None:
    """What was withdrawn may be ordered again under a new id without being held."""
    await story.submit("R1", pay("A", person="Li"))
    await story.withdraw("A")
    await story.submit("R2", pay("B", person="Li"), kind="supplementary")
    assert await story.tries("B") == ["ready"]


async def test_a_failed_payment_is_still_a_rival(story: Story) -> None:
    """A failed payment can be paid again: the same thing under a new id would be the third way to pay it."""
    document = await story.paying("R1", pay("A", person="Li"))
    await story.answer(document, Word("A", Outcome.FAILED))
    await story.submit("R2", pay("B", person="Li"), kind="supplementary")
    assert await story.tries("B") == ["held"]


async def test_a_doubted_line_is_held(story: Story) -> None:
    """A line that intake doubted is born held with its reason; freed by two people it is ready."""
    await story.submit("R1", pay("A"), doubted(2, pay("B"), "NAME_ID"), doubted(3, pay("C"), "CHARSET"))
    assert await story.states() == {"A": "ready", "B": "held", "C": "held"}
    held = (await story.told("instruction.held"))[0]
    assert [(i.instruction_id, i.code) for i in held.data.items] == [("B", "NAME_ID"), ("C", "CHARSET")]
    assert await story.free("R1", "NAME_ID") == 1
    assert await story.states() == {"A": "ready", "B": "ready", "C": "held"}


async def test_every_reason_is_a_hold_of_its_own(story: Story) -> None:
    """A line that is doubted for its id number and is a second payment besides is not freed by an answer to the first question."""
    await story.submit("R1", pay("A", person="Li"), doubted(2, pay("B", person="Li"), "NAME_ID"))
    assert await story.holds("B") == ["NAME_ID", SUSPECT]
    held = (await story.told("instruction.held"))[0]
    assert [(i.instruction_id, i.code) for i in held.data.items] == [("B", "NAME_ID"), ("B", SUSPECT)]
    await story.free("R1", "NAME_ID")
    assert (await story.tries("B"), await story.holds("B")) == (["held"], [SUSPECT])
    await story.free("R1", SUSPECT)
    assert await story.tries("B") == ["ready"]


async def test_holds_of_a_thousand_lines_are_written_together(story: Story) -> None:
    """A payroll sent twice makes every line a suspect: the Holds are set-based, not a statement a payment."""
    lines = [pay(f"I-{n}", person=f"P-{n}") for n in range(400)]
    again = [pay(f"J-{n}", person=f"P-{n}") for n in range(400)]
    await story.submit("R1", *lines)
    await story.submit("R2", *again, kind="supplementary")
    assert await story.value("SELECT COUNT(*) FROM hold") == 400
    assert (await story.control("R2"))[NORTH]["held"] == (400, 400 * 100_00)


async def test_replicas_that_accept_at_once(story: Story) -> None:
    """Two replicas conclude two regular Runs of one payroll at the same moment: one is accepted, the other is held."""
    for run_id in ("R1", "R2"):
        await story.header(run_id, 20, 20 * 100_00)
        await story.chunk(run_id, 1, *(pay(f"{run_id}-{n}", person=f"P-{n}") for n in range(20)))
    first, second = await story.ledger.complete_runs()
    states = await asyncio.gather(*(story.ledger.conclude_intake(run.key, []) for run in (first, second)))
    assert sorted(states) == ["accepted", "held"]


async def test_replicas_that_accept_the_same_people_at_once(story: Story) -> None:
    """Two Runs with the same payments concluded at the same moment: one of each pair is held."""
    for run_id, period in (("R1", "2015-06"), ("R2", "2015-07")):
        await story.header(run_id, 20, 20 * 100_00, period=period)
        await story.chunk(run_id, 1, *(pay(f"{run_id}-{n}", person=f"P-{n}", period="2015-06") for n in range(20)))
    first, second = await story.ledger.complete_runs()
    await asyncio.gather(*(story.ledger.conclude_intake(run.key, []) for run in (first, second)))
    assert sorted((await story.states()).values()) == ["held"] * 20 + ["ready"] * 20
