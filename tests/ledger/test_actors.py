"""Who may act: no administrator alone makes a maker and a checker, and none is either (P12)."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from gateway.core.errors import Code, Conflict, Refused
from tests.ledger.kit import MAKER, Story

FIRST, SECOND = "root", "ruth"


@pytest.fixture
async def admins(story: Story) -> Story:
    """Two administrators, the second added by the first; gone again at the end, because people outlive a test."""
    await story.change("DELETE FROM actor WHERE roles = 'admin' OR id LIKE 'new%'")
    await story.ledger.add_actor("system:test", FIRST, "first", frozenset({"admin"}), "a long secret")
    await story.ledger.add_actor(FIRST, SECOND, "second", frozenset({"admin"}), "a long secret")
    return story


@pytest.fixture(autouse=True)
async def _swept(story: Story) -> object:
    yield
    await story.change("DELETE FROM actor WHERE roles = 'admin' OR id LIKE 'new%'")


@pytest.mark.parametrize("roles", [{"admin", "maker"}, {"admin", "checker", "operator"}])
async def test_an_administrator_is_never_maker_or_checker(story: Story, roles: set[str]) -> None:
    """Neither among the first people nor later."""
    with pytest.raises(Refused, match="never maker or checker"):
        await story.ledger.add_actor("system:test", "new", "new", frozenset(roles), "a long secret")
    await story.ledger.add_actor("system:test", FIRST, "first", frozenset({"admin"}), "a long secret")
    with pytest.raises(Refused, match="never maker or checker"):
        await story.ledger.propose_actor(FIRST, "new", "new", frozenset(roles), "a long secret")


async def test_the_only_administrator_adds_nobody_but_a_second(story: Story) -> None:
    """One alone could make a maker and a checker and be both."""
    await story.ledger.add_actor("system:test", FIRST, "first", frozenset({"admin"}), "a long secret")
    for role in ("maker", "checker", "operator"):
        with pytest.raises(Refused, match="only administrator"):
            await story.ledger.add_actor(FIRST, "new", "new", frozenset({role}), "a long secret")
    await story.ledger.propose_actor(FIRST, "new", "new", frozenset({"maker"}), "a long secret")
    with pytest.raises(Refused):
        await story.ledger.approve_actor(FIRST, "new")


async def test_two_administrators_add_a_person(admins: Story) -> None:
    """Proposed, the new person cannot act; approved by the other administrator, they can; both stand on the chain."""
    with pytest.raises(Refused, match="two administrators"):
        await admins.ledger.add_actor(FIRST, "new", "new", frozenset({"maker"}), "a long secret")
    await admins.ledger.propose_actor(FIRST, "new", "new", frozenset({"maker"}), "a long secret")
    with pytest.raises(Refused) as refused:
        await admins.ledger.authenticate("new", "a long secret")
    assert refused.value.code is Code.AUTH
    for nobody in (FIRST, MAKER):
        with pytest.raises(Refused) as refused:
            await admins.ledger.approve_actor(nobody, "new")
        assert refused.value.code is Code.AUTH
    with pytest.raises(Conflict):
        await admins.ledger.propose_actor(SECOND, "new", "other", frozenset({"checker"}), "a long secret")
    await admins.ledger.approve_actor(SECOND, "new")
    await admins.ledger.authenticate("new", "a long secret")
    assert [(a.actor, a.kind, a.subject) for a in (await admins.acts())[-2:]] == [
        (FIRST, "actor.proposed", "actor:new"),
        (SECOND, "actor.added", "actor:new"),
    ]


async def test_the_database_refuses_an_administrator_who_approves_their_own(admins: Story) -> None:
    """Past our own check the constraint still stands."""
    await admins.ledger.propose_actor(FIRST, "new", "new", frozenset({"maker"}), "a long secret")
    with pytest.raises(IntegrityError):
        await admins.change(
            "UPDATE proposal SET checker = maker, decision = 'approved', decided_ms = 1 WHERE kind = 'actor'"
        )
    await admins.ledger.decline_actor(SECOND, "new")


async def test_a_declined_person_is_gone(admins: Story) -> None:
    """By the other administrator, or taken back by the one who proposed: the id is free for another try."""
    for who in (SECOND, FIRST):
        await admins.ledger.propose_actor(FIRST, "new", "new", frozenset({"maker"}), "a long secret")
        await admins.ledger.decline_actor(who, "new")
        assert "new" not in {one["id"] for one in await admins.ledger.list_actors()}
    with pytest.raises(Conflict):
        await admins.ledger.approve_actor(SECOND, "new")


async def test_no_administrator_lets_money_go(admins: Story) -> None:
    """The role adds people and nothing else."""
    for act in (admins.ledger.propose_export(FIRST, "X", "why"), admins.ledger.propose_retake(FIRST, 1, "why")):
        with pytest.raises(Refused) as refused:
            await act
        assert refused.value.code is Code.AUTH
