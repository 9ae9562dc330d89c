"""Intake: chunks in any order, each message once, an id once, and a Run only whole."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest

from gateway.core.errors import Code, Malformed
from gateway.core.ledger import Line, Meta, Recorded
from tests.ledger.kit import NORTH, OTHER_PAYER, PAYER, SOUTH, Fallen, Story, chunk, pay, wrong

MINUTE_MS = 60_000


async def early(story: Story, meta: Meta, run_id: str, body: bytes = b"body") -> Recorded:
    """What the flow does with a chunk that has no header yet."""
    return await story.ledger.keep_early(meta, run_id, body)


async def test_a_run_is_accepted_once_whole(story: Story) -> None:
    """Two chunks in the wrong order: nothing is owed until both are here, then every payment is ready and told as accepted."""
    await story.header("R1", 3, 600_00, chunks=2)
    assert await story.chunk("R1", 2, pay("C", 300_00, bank=SOUTH)) is Recorded.NEW
    assert await story.conclude() == {}
    assert await story.states() == {}
    assert await story.chunk("R1", 1, pay("A"), pay("B", 200_00)) is Recorded.NEW

    (complete,) = await story.ledger.complete_runs()
    assert [(s.bank, s.totals.count, s.totals.minor) for s in complete.shares] == [
        (NORTH, 2, 300_00),
        (SOUTH, 1, 300_00),
    ]
    assert await story.conclude() == {"R1": "accepted"}
    assert await story.states() == {"A": "ready", "B": "ready", "C": "ready"}
    assert await story.control("R1") == {
        NORTH: {"ordered": (2, 300_00), "ready": (2, 300_00)},
        SOUTH: {"ordered": (1, 300_00), "ready": (1, 300_00)},
    }
    assert await story.control("R1", "own") == await story.control("R1")
    (event,) = await story.told()
    assert (event.name, event.payer) == ("run.accepted", PAYER)
    assert (event.data.count, event.data.total, event.data.rejected) == (3, 600_00, 0)
    assert [act.subject for act in await story.acts("run.accepted")] == [f"run:{PAYER}:R1"]
    assert await story.conclude() == {}


async def test_concluding_twice_changes_nothing(story: Story) -> None:
    """A replica that comes second finds the Run accepted and tells nobody again."""
    await story.header("R1", 1, 100_00)
    await story.chunk("R1", 1, pay("A"))
    (complete,) = await story.ledger.complete_runs()
    assert await story.ledger.conclude_intake(complete.key, []) == "accepted"
    assert await story.ledger.conclude_intake(complete.key, []) == "accepted"
    assert len(await story.told("run.accepted")) == 1


async def test_the_same_message_again(story: Story) -> None:
    """Redelivered it is DUP, with other content CONFLICT, and only the first counts: header and chunk alike."""
    meta = story.meta(body=b"header")
    assert await story.header("R1", 1, 100_00, meta=meta) is Recorded.NEW
    assert await story.header("R1", 1, 100_00, meta=meta) is Recorded.DUP
    assert await story.header("R1", 1, 100_00, meta=meta._replace(digest=bytes(32))) is Recorded.CONFLICT
    meta = story.meta(body=b"chunk")
    assert await story.chunk("R1", 1, pay("A"), meta=meta) is Recorded.NEW
    assert await story.chunk("R1", 1, pay("A"), meta=meta) is Recorded.DUP
    assert await story.chunk("R1", 1, pay("B"), meta=meta._replace(digest=bytes(32))) is Recorded.CONFLICT
    assert await story.value("SELECT COUNT(*) FROM instruction") == 1
    assert await story.chunk("R1", 1, pay("A"), meta=meta._replace(payer=OTHER_PAYER)) is Recorded.EARLY


async def test_the_same_chunk_in_another_message(story: Story) -> None:
    """Its content decides: the same is quiet, other content is CONFLICT, and the lines stand once."""
    await story.header("R1", 2, 200_00, chunks=2)
    assert await story.chunk("R1", 1, pay("A")) is Recorded.NEW
    assert await story.chunk("R1", 1, pay("A")) is Recorded.DUP
    assert await story.chunk("R1", 1, pay("A", 999_00)) is Recorded.CONFLICT
    assert await story.chunk("R1", 2, pay("B")) is Recorded.NEW
    assert await story.conclude() == {"R1": "accepted"}
    assert await story.states() == {"A": "ready", "B": "ready"}


async def test_the_same_header_in_another_message(story: Story) -> None:
    """A header sent again under a new message id is quiet; one that says something else is CONFLICT and changes nothing."""
    assert await story.header("R1", 1, 100_00) is Recorded.NEW
    assert await story.header("R1", 1, 100_00) is Recorded.DUP
    assert await story.header("R1", 1, 999_00) is Recorded.CONFLICT
    assert await story.header("R1", 1, 100_00, debit_account="990009") is Recorded.CONFLICT
    await story.chunk("R1", 1, pay("A"))
    assert await story.conclude() == {"R1": "accepted"}


async def test_chunks_that_a_run_does_not_take(story: Story) -> None:
    """One beyond the declared number, and one for a Run that is accepted, are LATE and leave nothing behind."""
    await story.header("R1", 1, 100_00)
    assert await story.chunk("R1", 2, pay("B")) is Recorded.LATE
    await story.chunk("R1", 1, pay("A"))
    await story.conclude()
    assert await story.chunk("R1", 2, pay("B")) is Recorded.LATE
    assert await story.value("SELECT COUNT(*) FROM instruction") == 1


async def test_a_chunk_before_its_header(story: Story) -> None:
    """It is kept, sealed, and offered again once the header is here; then it is forgotten."""
    meta = story.meta()
    assert await story.chunk("R1", 1, pay("A"), meta=meta) is Recorded.EARLY
    assert await early(story, meta, "R1") is Recorded.NEW
    assert await story.ledger.early_chunks() == []
    await story.header("R1", 1, 100_00)
    assert await story.ledger.early_chunks() == [(PAYER, meta.message_id, b"body")]
    assert await story.chunk("R1", 1, pay("A"), meta=meta) is Recorded.NEW
    assert await story.ledger.early_chunks() == []
    assert await story.conclude() == {"R1": "accepted"}
    assert await early(story, story.meta(), "R1") is Recorded.LATE


async def test_an_early_chunk_again(story: Story) -> None:
    """Redelivered it is quiet; the same message id with another body is CONFLICT, and the first body stands."""
    meta = story.meta(body=b"first")
    assert await early(story, meta, "R1", b"first") is Recorded.NEW
    assert await early(story, meta, "R1", b"first") is Recorded.DUP
    other = meta._replace(digest=sha256(b"second").digest())
    assert await early(story, other, "R1", b"second") is Recorded.CONFLICT
    await story.header("R1", 1, 100_00)
    assert await story.ledger.early_chunks() == [(PAYER, meta.message_id, b"first")]


async def test_an_early_chunk_of_another_payer_stays_away(story: Story) -> None:
    """A header brings in only its own payer's early chunks, whatever they call their Run."""
    await early(story, story.meta(OTHER_PAYER), "R1")
    await story.header("R1", 1, 100_00)
    assert await story.ledger.early_chunks() == []


async def test_a_chunk_that_dies_in_its_transaction_can_come_again(story: Story) -> None:
    """The process falls after the lines are loaded: nothing is kept, not even the message, and its redelivery is new."""
    await story.header("R1", 1, 100_00)
    meta = story.meta()
    story.trap.at = "intake.loaded"
    with pytest.raises(Fallen):
        await story.chunk("R1", 1, pay("A"), meta=meta)
    assert await story.value("SELECT COUNT(*) FROM instruction") == 0
    assert await story.value("SELECT COUNT(*) FROM lot") == 0
    story.trap.at = ""
    assert await story.chunk("R1", 1, pay("A"), meta=meta) is Recorded.NEW
    assert await story.conclude() == {"R1": "accepted"}


async def test_acceptance_that_dies_is_no_acceptance(story: Story) -> None:
    """The process falls after the Attempts are born: no Attempt, no control, no event, and the next try accepts."""
    await story.header("R1", 1, 100_00)
    await story.chunk("R1", 1, pay("A"))
    story.trap.at = "accept.born"
    with pytest.raises(Fallen):
        await story.conclude()
    assert (await story.states(), await story.control("R1"), await story.told()) == ({}, {}, [])
    assert await story.run_state("R1") == "receiving"
    story.trap.at = ""
    assert await story.conclude() == {"R1": "accepted"}


async def test_competing_consumers(story: Story) -> None:
    """Ten chunks recorded at once, each delivered twice: every line stands once and the Run is accepted."""
    await story.header("R1", 30, 30 * 100_00, chunks=10)
    metas = [story.meta() for _ in range(10)]
    done = await asyncio.gather(
        *(
            story.chunk(
                "R1", no, *(pay(f"I-{no}-{n}", bank=(NORTH, SOUTH)[n % 2]) for n in range(3)), meta=metas[no - 1]
            )
            for no in [*range(1, 11), *range(10, 0, -1)]
        )
    )
    assert sorted(done) == [Recorded.DUP] * 10 + [Recorded.NEW] * 10
    assert await story.conclude() == {"R1": "accepted"}
    assert await story.value("SELECT COUNT(*) FROM attempt") == 30


async def test_missing_chunks_expire(story: Story) -> None:
    """Half a Run waits for its time and no longer: rejected with TOTALS, its run id and payment ids free again."""
    await story.header("R1", 2, 200_00, chunks=2)
    await story.chunk("R1", 1, pay("A"))
    story.clock.advance(59 * 60)
    assert await story.ledger.expire_incomplete(60 * MINUTE_MS) == 0
    story.clock.advance(2 * 60)
    assert await story.ledger.expire_incomplete(60 * MINUTE_MS) == 1
    (event,) = await story.told()
    assert (event.name, event.data.run_id, event.data.code) == ("run.rejected", "R1", "TOTALS")
    assert "1 of 2 chunks" in event.data.what
    assert await story.submit("R1", pay("A", 150_00)) == "accepted"
    assert await story.states() == {"A": "ready"}


@pytest.mark.parametrize(("count", "total"), [(2, 100_00), (1, 100_01), (1, 99_99)])
async def test_declared_totals_must_be_met(story: Story, count: int, total: int) -> None:
    """One line or one fen too many or too few: rejected whole with TOTALS, both figures told, ids free again."""
    await story.header("R1", count, total)
    await story.chunk("R1", 1, pay("A"))
    assert await story.conclude() == {"R1": "rejected"}
    (event,) = await story.told()
    assert (event.name, event.data.code) == ("run.rejected", "TOTALS")
    assert f"declared {count} lines and {total} fen, got 1 lines and 10000 fen" in event.data.what
    assert await story.states() == {}
    assert await story.submit("R1", pay("A")) == "accepted"


async def test_a_bad_line_rejects_its_run(story: Story) -> None:
    """``reject_run``: nothing is kept as payable, every error is told with its line, the raw bytes stay, the ids are free."""
    bad = [wrong(2, "RANGE"), wrong(4, "SCHEMA", 50_00)]
    assert await story.submit("R1", pay("A"), pay("B"), bad=bad) == "rejected"
    (event,) = await story.told()
    assert (event.name, event.data.code, event.data.errors_total) == ("run.rejected", "RANGE", 2)
    assert [(e.ordinal, e.instruction_id, e.code, e.where, e.what) for e in event.data.errors] == [
        (2, "bad-2", "RANGE", "amount", "not like that"),
        (4, "bad-4", "SCHEMA", "amount", "not like that"),
    ]
    assert await story.states() == {}
    assert await story.submit("R2", pay("A"), pay("B"), period="2015-07") == "accepted"


async def test_a_bad_line_rejects_only_itself(story: Story) -> None:
    """``reject_line``: the rest is accepted, the bad line is told as rejected, and the totals are those that were declared."""
    bad = [wrong(2, "RANGE", 70_00), wrong(3, "POLICY", fatal=False)]
    assert await story.submit("R1", pay("A"), pay("B"), bad=bad, on_bad_line="reject_line") == "accepted"
    rejected, accepted = await story.told()
    assert rejected.name == "instruction.rejected"
    assert [(i.instruction_id, i.run_id, i.code) for i in rejected.data.items] == [("bad-2", "R1", "RANGE")]
    assert accepted.name == "run.accepted"
    assert (accepted.data.count, accepted.data.total, accepted.data.rejected) == (2, 200_00, 1)
    assert [(w.instruction_id, w.ordinal) for w in accepted.data.warnings] == [("bad-3", 3)]
    assert await story.control("R1") == {NORTH: {"ordered": (2, 200_00), "ready": (2, 200_00)}}


async def test_a_run_of_bad_lines_is_rejected(story: Story) -> None:
    """Where every line is bad there is nothing to accept, whatever the header asks for."""
    assert await story.submit("R1", bad=[wrong(1), wrong(2)], on_bad_line="reject_line") == "rejected"


async def test_only_a_thousand_errors_are_told(story: Story) -> None:
    """The event stays bounded and says how many there are; all of them are kept."""
    await story.header("R1", 1_002, 1_002 * 100_00, chunks=2)
    await story.chunk("R1", 1, bad=[wrong(n) for n in range(1, 1_001)])
    await story.chunk("R1", 2, pay("A"), bad=[wrong(1_001)])
    await story.conclude()
    (event,) = await story.told()
    assert (len(event.data.errors), event.data.errors_total) == (1_000, 1_001)
    assert await story.value("SELECT COUNT(*) FROM line_error") == 1_001


@pytest.mark.parametrize(("amount", "code"), [(100_00, "DUP"), (120_00, "CONFLICT")])
async def test_an_id_twice_in_a_run(story: Story, amount: int, code: str) -> None:
    """The second line with an id is a bad one, DUP with the same content and CONFLICT with other; in one chunk or in two."""
    total = 200_00 + amount
    await story.header("R1", 3, total, on_bad_line="reject_line")
    await story.chunk("R1", 1, pay("A"), pay("A", amount), pay("B"))
    await story.header("R2", 3, total, chunks=2, period="2015-07", on_bad_line="reject_line")
    await story.chunk("R2", 2, pay("C", amount))
    await story.chunk("R2", 1, pay("C"), pay("D"))
    assert await story.conclude() == {"R1": "accepted", "R2": "accepted"}
    told = await story.told("instruction.rejected")
    assert [(i.instruction_id, i.code) for event in told for i in event.data.items] == [("A", code), ("C", code)]
    assert await story.states() == dict.fromkeys("ABCD", "ready")
    assert await story.value("SELECT amount FROM instruction WHERE id = 'A'") == 100_00


async def test_an_id_twice_rejects_a_strict_run(story: Story) -> None:
    """With ``reject_run`` an id that stands twice rejects everything."""
    assert await story.submit("R1", pay("A"), pay("A", 150_00)) == "rejected"
    (event,) = await story.told()
    assert event.data.code == "CONFLICT"


async def test_an_id_of_another_run(story: Story) -> None:
    """An accepted payment's id in a later Run is CONFLICT even with the same content: the first stands, untouched."""
    await story.submit("R1", pay("A"))
    assert (
        await story.submit("R2", pay("A", 900_00), pay("B"), period="2015-07", on_bad_line="reject_line") == "accepted"
    )
    rejected = (await story.told("instruction.rejected"))[0]
    assert [(i.instruction_id, i.code) for i in rejected.data.items] == [("A", "CONFLICT")]
    assert await story.control("R2") == {NORTH: {"ordered": (1, 100_00), "ready": (1, 100_00)}}
    assert await story.value("SELECT amount FROM instruction WHERE id = 'A'") == 100_00
    assert await story.submit("R3", pay("A"), pay("E"), period="2015-08", on_bad_line="reject_line") == "accepted"
    assert (await story.told("instruction.rejected"))[0].data.items[0].code == "CONFLICT"


async def test_ids_belong_to_their_payer(story: Story) -> None:
    """Two payers may call a payment and a Run the same."""
    assert await story.submit("R1", pay("A")) == "accepted"
    assert await story.submit("R1", pay("A", person="someone else"), payer=OTHER_PAYER) == "accepted"
    assert await story.tries("A") == ["ready"]
    assert await story.tries("A", OTHER_PAYER) == ["ready"]


async def test_a_line_may_differ_from_its_run(story: Story) -> None:
    """Benefit line, fund, debit account, period and pay date of a line win over the Run's; the rest are the Run's."""
    other = pay("B", line="medical", fund="medical", debit_account="990002", period="2015-05", pay_date="2015-06-20")
    await story.submit("R1", pay("A"), other)
    lots = await story.rows("SELECT line, fund, debit_account, pay_date FROM lot ORDER BY line")
    assert [tuple(lot) for lot in lots] == [
        ("medical", "medical", "990002", "2015-06-20"),
        ("pension", "pension", "990001", "2015-06-15"),
    ]
    periods = await story.rows("SELECT period FROM instruction ORDER BY id")
    assert [row.period for row in periods] == ["2015-06", "2015-05"]


async def test_ordinals_are_places(story: Story) -> None:
    """Keys say Run and place, so that the order of the file is the order of the keys, whichever chunk came first."""
    await story.header("R1", 3, 300_00, chunks=2)
    await story.chunk("R1", 2, pay("C"))
    await story.chunk("R1", 1, pay("A"), pay("B"))
    rows = await story.rows("SELECT id, key, run_key FROM instruction ORDER BY key")
    assert [(row.id, row.key - row.run_key * 10**8) for row in rows] == [("A", 1), ("B", 2), ("C", 1001)]


async def test_refused_messages_are_told(story: Story) -> None:
    """What had no effect is told in the refusal that fits the message."""
    expected = {
        "run.submitted": "run.rejected",
        "run.chunk": "run.rejected",
        "run.cancel": "run.cancel_refused",
        "instruction.submitted": "instruction.rejected",
        "instruction.withdraw": "instruction.withdraw_refused",
        "instruction.repay": "instruction.repay_refused",
    }
    for name in expected:
        await story.ledger.refuse_message(story.meta(), name, "X-1", "SCHEMA", "not like that")
    assert [event.name for event in await story.told()] == list(expected.values())


async def test_digests_are_of_the_content(story: Story) -> None:
    """The kit's own chunks differ where their lines do: else the tests above would prove nothing."""
    assert chunk("R1", 1, [pay("A")]).digest != chunk("R1", 1, [pay("A", 1)]).digest
    assert isinstance(chunk("R1", 1, [pay("A")]).lines[0], Line)
    assert await story.conclude() == {}


async def test_a_character_that_the_database_cannot_hold(pg_story: Story) -> None:
    """U+0000 in a text is the message's fault, said once, not the ledger's: else its redelivery would block intake for ever."""
    await pg_story.header("R1", 1, 100_00)
    with pytest.raises(Malformed) as refused:
        await pg_story.chunk("R1", 1, pay("A", purpose="nul \0"))
    assert refused.value.code is Code.CHARSET
    with pytest.raises(Malformed):
        await pg_story.ledger.cancel_run(pg_story.meta(), "R1", "nul \0")
    await pg_story.chunk("R1", 1, bad=[wrong(1, id_="\0")])
    assert await pg_story.value("SELECT instruction_id FROM line_error") == "\N{REPLACEMENT CHARACTER}"
