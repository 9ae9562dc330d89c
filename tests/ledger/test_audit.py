"""The audit chain: a row changed, removed, moved or slipped in is found, whoever holds the database's password (P13)."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import Halt
from gateway.core.verdicts import Outcome
from gateway.edge.ledger import audit
from gateway.edge.ledger.engine import Tx
from tests.ledger.kit import Story, Word, pay


async def some_acts(story: Story) -> int:
    """A Run's life; how many Acts it left."""
    document = await story.paying("R1", pay("A"))
    await story.answer(document, Word("A", Outcome.PAID))
    head = await story.ledger.audit_head()
    acts = await story.acts()
    assert (head.seq, head.hash) == (acts[-1].seq, bytes(acts[-1].hash))
    assert [act.seq for act in acts] == list(range(1, len(acts) + 1))
    return len(acts)


async def test_a_whole_chain_verifies(story: Story) -> None:
    """Every Act of a Run's life is linked to the one before it, from 32 zero bytes on."""
    assert await some_acts(story) >= 5
    first = (await story.acts())[0]
    assert bytes(first.hash) == audit.link(
        bytes(32), 1, first.at_ms, first.actor, first.kind, first.subject, first.body
    )


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE act SET actor = 'nobody' WHERE seq = 3",
        "UPDATE act SET kind = 'nothing' WHERE seq = 3",
        "UPDATE act SET subject = 'run:X:Y' WHERE seq = 3",
        "UPDATE act SET body = '{}' WHERE seq = 3",
        "UPDATE act SET at_ms = at_ms + 1 WHERE seq = 3",
        "UPDATE act SET hash = (SELECT hash FROM act WHERE seq = 2) WHERE seq = 3",
        "DELETE FROM act WHERE seq = 3",
        "DELETE FROM act WHERE seq = 1",
        "UPDATE act SET seq = 99 WHERE seq = 3",
        "UPDATE act SET seq = 0 WHERE seq = 1",
        "INSERT INTO act SELECT 0, at_ms, actor, kind, subject, body, hash FROM act WHERE seq = 1",
        "INSERT INTO act SELECT 99, at_ms, actor, kind, subject, body, hash FROM act WHERE seq = 1",
    ],
)
async def test_every_change_is_found(story: Story, change: str) -> None:
    """A changed, removed, moved or inserted Act breaks the chain, the check names the place, and the ledger's own check reports it."""
    await some_acts(story)
    assert await story.change(change) == 1
    with pytest.raises(Halt, match="audit chain breaks at Act"):
        await story.ledger.audit_head()
    assert any("audit chain" in fault for fault in await story.ledger.faults())
    story.conserved = False


async def test_an_act_rewritten_with_its_own_hash_is_found(story: Story) -> None:
    """Who also computes the changed Act's hash anew is betrayed by the next one."""
    await some_acts(story)
    acts = await story.acts()
    two, three = acts[1], acts[2]
    forged = audit.link(bytes(two.hash), 3, three.at_ms, "nobody", three.kind, three.subject, three.body)
    await story.change("UPDATE act SET actor = 'nobody', hash = :hash WHERE seq = 3", hash=forged)
    with pytest.raises(Halt, match="at Act 4"):
        await story.ledger.audit_head()
    story.conserved = False


async def test_the_end_cut_off_shows_in_the_head(story: Story) -> None:
    """A chain cut at its end is whole in itself: the head that was anchored outside tells."""
    count = await some_acts(story)
    before = await story.ledger.audit_head()
    await story.change("DELETE FROM act WHERE seq = :last", last=count)
    after = await story.ledger.audit_head()
    assert (after.seq, after.hash != before.hash) == (count - 1, True)


async def test_acts_are_gapless_when_many_write(story: Story) -> None:
    """Acts of transactions that run beside each other are one chain without holes; those of a rolled-back one leave none."""
    await asyncio.gather(*(story.ledger.act("mei", "test", f"thing:{n}", {"n": n}) for n in range(20)))
    acts = await story.acts()
    assert [act.seq for act in acts] == list(range(1, 21))
    assert {act.subject for act in acts} == {f"thing:{n}" for n in range(20)}

    def dies(tx: Tx) -> None:
        audit.append(tx, "mei", "test", "thing:lost", {})
        raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError):
        await story.do(dies)
    await story.ledger.act("mei", "test", "thing:21", {})
    assert (await story.ledger.audit_head()).seq == 21


async def test_the_order_of_keys_does_not_matter(story: Story) -> None:
    """The body is canonical: the same facts are the same bytes."""
    await story.ledger.act("mei", "test", "thing", {"b": 1, "a": 2})
    await story.ledger.act("mei", "test", "thing", {"a": 2, "b": 1})
    one, two = await story.acts()
    assert one.body == two.body == '{"a":2,"b":1}'
