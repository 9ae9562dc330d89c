"""No single person changes who gets paid or lets money go (P12): our check gives the sentence, the database has the last word."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.exc import IntegrityError

from gateway.core.errors import Code, Conflict, Refused
from gateway.core.verdicts import Outcome
from tests.ledger.kit import BOTH, CHECKER, MAKER, NORTH, OTHER_PAYER, PAYER, SOUTH, Story, Word, doubted, pay

RELEASE = "release"
RUN = f"run:{PAYER}:R1"


async def propose(story: Story, actor: str = MAKER) -> None:
    """An accepted Run and the maker's half of its release."""
    await story.submit("R1", pay("A"), pay("B", 200_00, bank=SOUTH))
    await story.ledger.propose_release(actor, "R1")


async def test_a_release_takes_two(story: Story) -> None:
    """Count, total, fund and debit account stand before both; the second word releases, and both are told and on the chain."""
    await story.submit("R1", pay("A"), pay("B", 200_00, bank=SOUTH))
    proposed = await story.ledger.propose_release(MAKER, "R1")
    assert (proposed["count"], proposed["minor"], proposed["early"]) == (2, 300_00, False)
    assert [(p["bank"], p["fund"], p["debit_account"], p["pay_date"], p["count"], p["minor"]) for p in proposed["parts"]] == [
        (NORTH, "pension", "990001", "2015-06-15", 1, 100_00),
        (SOUTH, "pension", "990001", "2015-06-15", 1, 200_00),
    ]  # fmt: skip
    assert await story.run_state("R1") == "accepted"
    assert await story.ledger.ready_groups(NORTH) == []
    await story.told()

    assert await story.ledger.approve_release(CHECKER, "R1") == proposed
    assert await story.run_state("R1") == "released"
    (event,) = await story.told()
    assert event.name == "run.released"
    assert (event.data.count, event.data.total, event.data.maker, event.data.checker) == (2, 300_00, MAKER, CHECKER)
    assert [(a.actor, a.kind, a.subject) for a in (await story.acts())[-2:]] == [
        (MAKER, "release.proposed", RUN),
        (CHECKER, "release.approved", RUN),
    ]


async def test_a_maker_is_not_the_checker(story: Story) -> None:
    """Who has both roles cannot use both on one thing; nothing is released."""
    await propose(story, BOTH)
    with pytest.raises(Refused) as refused:
        await story.ledger.approve_release(BOTH, "R1")
    assert refused.value.code is Code.AUTH
    assert await story.run_state("R1") == "accepted"
    await story.ledger.approve_release(CHECKER, "R1")
    assert await story.run_state("R1") == "released"


async def test_the_database_refuses_a_maker_who_checks(story: Story) -> None:
    """Past our own check the constraint still stands: neither an update nor a new row can make one person both."""
    await propose(story)
    with pytest.raises(IntegrityError, match="maker_is_not_checker"):
        await story.change("UPDATE proposal SET checker = maker, decision = 'approved', decided_ms = 1")
    with pytest.raises(IntegrityError, match="maker_is_not_checker"):
        await story.change(
            "INSERT INTO proposal (kind, subject, body, maker, proposed_ms, checker, decided_ms, decision) "
            "VALUES ('release', 'run:X:Y', '{}', 'mei', 1, 'mei', 2, 'approved')"
        )
    with pytest.raises(IntegrityError, match="decided_by_someone"):
        await story.change("UPDATE proposal SET decision = 'approved'")
    with pytest.raises(IntegrityError, match="decision"):
        await story.change("UPDATE proposal SET decision = 'perhaps', checker = 'chen'")
    assert await story.run_state("R1") == "accepted"


async def test_roles_are_needed(story: Story) -> None:
    """A checker cannot propose, a maker cannot approve, a stranger neither; the reason is AUTH."""
    await story.submit("R1", pay("A"))
    for nobody in (CHECKER, "stranger"):
        with pytest.raises(Refused) as refused:
            await story.ledger.propose_release(nobody, "R1")
        assert refused.value.code is Code.AUTH
    await story.ledger.propose_release(MAKER, "R1")
    for nobody in (MAKER, "stranger", "gateway"):
        with pytest.raises(Refused) as refused:
            await story.ledger.approve_release(nobody, "R1")
        assert refused.value.code is Code.AUTH
    assert await story.run_state("R1") == "accepted"


async def test_who_is_not_active_any_more(story: Story) -> None:
    """A person who has left proposes and approves nothing and cannot sign in."""
    await propose(story)
    await story.change("UPDATE actor SET active = false WHERE id = 'chen'")
    with pytest.raises(Refused):
        await story.ledger.approve_release(CHECKER, "R1")
    with pytest.raises(Refused):
        await story.ledger.authenticate(CHECKER, f"secret of {CHECKER}")


async def test_signing_in(story: Story) -> None:
    """Only the Actor's own secret opens, and the refusal does not say which half was wrong."""
    await story.ledger.authenticate(MAKER, f"secret of {MAKER}")
    sentences = set()
    for actor, secret in ((MAKER, f"secret of {CHECKER}"), (MAKER, ""), ("stranger", f"secret of {MAKER}")):
        with pytest.raises(Refused) as refused:
            await story.ledger.authenticate(actor, secret)
        sentences.add(refused.value.what.replace(actor, "X"))
    assert len(sentences) == 1
    with pytest.raises(Conflict):
        await story.ledger.add_actor("root", MAKER, "again", frozenset({"maker"}), "another secret")
    with pytest.raises(Refused):
        await story.ledger.add_actor("root", "new", "new", frozenset({"king"}), "secret")


async def test_what_was_proposed_is_what_is_approved(story: Story) -> None:
    """A payment withdrawn in between changes what the maker saw: the checker's word is refused until it is proposed anew."""
    await propose(story)
    await story.withdraw("A")
    with pytest.raises(Conflict, match="changed since mei proposed"):
        await story.ledger.approve_release(CHECKER, "R1")
    assert await story.run_state("R1") == "accepted"
    with pytest.raises(Conflict, match="proposed already"):
        await story.ledger.propose_release(MAKER, "R1")
    await story.ledger.withdraw_proposal(MAKER, RELEASE, RUN)
    assert (await story.ledger.propose_release(MAKER, "R1"))["count"] == 1
    assert (await story.ledger.approve_release(CHECKER, "R1"))["minor"] == 200_00


async def test_one_open_proposal_a_subject(story: Story) -> None:
    """A second one is refused by our check and by the database; withdrawn and declined ones make room."""
    await propose(story)
    with pytest.raises(Conflict, match="proposed already, by mei"):
        await story.ledger.propose_release(BOTH, "R1")
    with pytest.raises(IntegrityError):
        await story.change(
            "INSERT INTO proposal (kind, subject, body, maker, proposed_ms) VALUES ('release', :subject, '{}', 'wu', 1)",
            subject=RUN,
        )
    await story.ledger.decline(CHECKER, RELEASE, RUN)
    await story.ledger.propose_release(BOTH, "R1")
    with pytest.raises(Conflict):
        await story.ledger.withdraw_proposal(MAKER, RELEASE, RUN)
    await story.ledger.withdraw_proposal(BOTH, RELEASE, RUN)
    await story.ledger.propose_release(MAKER, "R1")
    assert [p["maker"] for p in await story.ledger.list_proposals()] == [MAKER]
    decisions = await story.rows("SELECT decision FROM proposal ORDER BY key")
    assert [row.decision for row in decisions] == ["declined", "withdrawn", None]


async def test_a_maker_cannot_decline_either(story: Story) -> None:
    """Saying no is the second person's word too."""
    await propose(story, BOTH)
    with pytest.raises(Refused):
        await story.ledger.decline(BOTH, RELEASE, RUN)
    await story.ledger.decline(CHECKER, RELEASE, RUN)
    with pytest.raises(Conflict, match="no open proposal"):
        await story.ledger.approve_release(CHECKER, "R1")


async def test_two_makers_at_once(story: Story) -> None:
    """Two proposals for one Run at the same moment: one stands, the other hears that it is proposed."""
    await story.submit("R1", pay("A"))
    done = await asyncio.gather(
        story.ledger.propose_release(MAKER, "R1"), story.ledger.propose_release(BOTH, "R1"), return_exceptions=True
    )
    assert sorted(isinstance(result, Conflict) for result in done) == [False, True]
    assert len(await story.ledger.list_proposals()) == 1


async def test_two_checkers_at_once(story: Story) -> None:
    """Two approvals of one proposal at the same moment release it once."""
    await propose(story)
    done = await asyncio.gather(
        story.ledger.approve_release(CHECKER, "R1"), story.ledger.approve_release(BOTH, "R1"), return_exceptions=True
    )
    assert sorted(isinstance(result, Conflict) for result in done) == [False, True]
    assert len(await story.told("run.released")) == 1


async def test_freeing_takes_two(story: Story) -> None:
    """The maker of a held payment's release from its Holds is not its checker, and what is approved is what was proposed."""
    await story.submit("R1", doubted(1, pay("A"), "NAME"), doubted(2, pay("B"), "NAME"))
    assert (await story.ledger.propose_free(BOTH, "R1"))["instructions"] == ["A", "B"]
    with pytest.raises(Refused):
        await story.ledger.approve_free(BOTH, "R1")
    await story.withdraw("B")
    with pytest.raises(Conflict, match="changed"):
        await story.ledger.approve_free(CHECKER, "R1")
    assert await story.states() == {"A": "held", "B": "withdrawn"}


async def test_freeing_one_reason_approves_no_other(story: Story) -> None:
    """A proposal on one reason cannot be approved for another or for all."""
    await story.submit("R1", doubted(1, pay("A"), "NAME"), doubted(2, pay("B"), "CHARSET"))
    await story.ledger.propose_free(MAKER, "R1", "NAME")
    for reason in ("", "CHARSET"):
        with pytest.raises(Conflict):
            await story.ledger.approve_free(CHECKER, "R1", reason)
    assert await story.ledger.approve_free(CHECKER, "R1", "NAME") == 1
    assert await story.states() == {"A": "ready", "B": "held"}


async def test_a_held_run_takes_two(story: Story) -> None:
    """Who says that a second payroll is meant is not who agrees."""
    await story.submit("R1", pay("A"))
    await story.submit("R2", pay("B"))
    await story.ledger.propose_held_run(BOTH, "R2")
    with pytest.raises(Refused):
        await story.ledger.approve_held_run(BOTH, "R2")
    assert await story.run_state("R2") == "held"
    with pytest.raises(Conflict):
        await story.ledger.propose_held_run(MAKER, "R1")


async def test_a_run_id_of_two_payers(story: Story) -> None:
    """Where two payers call a Run the same, nothing is proposed until it is said whose is meant."""
    await story.submit("R1", pay("A"))
    await story.submit("R1", pay("A", person="else"), payer=OTHER_PAYER)
    with pytest.raises(Refused, match="name the payer"):
        await story.ledger.propose_release(MAKER, "R1")
    await story.release("R1", payer=OTHER_PAYER)
    states = await story.rows("SELECT payer, state FROM run ORDER BY payer")
    assert [tuple(row) for row in states] == [(OTHER_PAYER, "released"), (PAYER, "accepted")]


async def test_an_approved_release_is_not_approved_again(story: Story) -> None:
    """One proposal releases once."""
    await propose(story)
    await story.ledger.approve_release(CHECKER, "R1")
    with pytest.raises(Conflict):
        await story.ledger.approve_release(CHECKER, "R1")
    with pytest.raises(Conflict):
        await story.ledger.propose_release(MAKER, "R1")


async def test_a_parked_line_is_closed_by_a_person_with_a_role(story: Story) -> None:
    """Not by the gateway and not twice."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word(999, Outcome.PAID, 1))
    (row,) = await story.rows("SELECT key FROM parked")
    with pytest.raises(Refused):
        await story.ledger.close_parked(CHECKER, row.key, "looked")
    await story.ledger.close_parked(MAKER, row.key, "looked")
    with pytest.raises(Conflict):
        await story.ledger.close_parked(MAKER, row.key, "looked")
    assert [(a.actor, a.subject) for a in await story.acts("parked.closed")] == [(MAKER, f"parked:{row.key}")]
