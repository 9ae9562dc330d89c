"""Whatever a payer publishes is applied exactly as sent, or refused or held with its code; the bytes are kept, the ledger's totals stay."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from gateway.core import contracts
from gateway.core.contracts import CHUNK_MAX, InstructionRepay, InstructionSubmitted, OnBadLine, RunChunk
from gateway.core.errors import Code, Malformed, Refused, Unavailable
from gateway.core.ledger import Meta
from gateway.flow import reading
from tests.corpus.payer_messages import MESSAGES, MessageCase
from tests.flow.house import ISO, OWN, PAYER, TODAY, House, header, orders

GOOD = orders(2, OWN, first=2)


def named(case: MessageCase) -> str:
    """The case's own name."""
    return case.name


# ---------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize("case", MESSAGES, ids=named)
async def test_a_spoilt_message(house: House, case: MessageCase) -> None:
    """Refused: in the dead letters with its code and the very same bytes, told to the payer who can be told; or taken as the good one."""
    good = house.message("run.submitted", header(GOOD))
    spoilt = case.spoil(good)
    if case.code:
        await house.publish(spoilt)
        ((letter, kept),) = await house.letters()
        assert letter.reason.partition(" ")[0].rstrip(":") == case.code, letter.reason
        assert kept == spoilt.body
        assert letter.queue == "gateway.intake"
        assert [event.code for event in await house.told("run.rejected")] == ([case.code] if case.told else [])
        await house.untouched()
        assert house.rows("SELECT 1 FROM run") == []
    # and afterwards the good one is taken
    await house.publish(good if case.code else spoilt)
    assert await house.letters() == []
    assert house.rows("SELECT run_id, declared_count, declared_minor FROM run") == [
        ("R1", 2, sum(each.amount for each in GOOD))
    ]


async def test_a5_too_large(house: House) -> None:
    """SIZE: the broker's cap refuses it to its publisher; one that came through all the same is refused before it is decoded."""
    good = house.message("run.submitted", header(GOOD))
    huge = msgspec.structs.replace(good, body=good.body + b" " * reading.BODY_BYTES_MAX)
    with pytest.raises(Refused) as found:
        await house.publish(huge)
    assert found.value.code is Code.SIZE
    with pytest.raises(Malformed) as read:
        reading.envelope(huge)
    assert read.value.code is Code.SIZE


async def test_a13_no_message_id(house: House) -> None:
    """Without an id nothing could be told apart from its repeat."""
    good = house.message("run.submitted", header(GOOD))
    for message_id in ("", "\ud800", "x" * 256):
        with pytest.raises(Malformed) as found:
            await house.intake.record(msgspec.structs.replace(good, message_id=message_id))
        assert found.value.code is Code.FORMAT
    await house.untouched()


async def test_a14_a_message_again(house: House) -> None:
    """Same id, same bytes: acknowledged without effect, as often as it comes."""
    good = house.message("run.submitted", header(GOOD))
    for _ in range(3):
        await house.publish(good)
    assert len(house.rows("SELECT 1 FROM run")) == 1
    assert await house.letters() == []
    assert await house.told("run.rejected") == []


@pytest.mark.parametrize("name", ["header", "chunk", "early chunk"])
async def test_a15_a_message_id_with_other_content(house: House, name: str) -> None:
    """CONFLICT: refused with its bytes and told; the first version stands, to the fen."""
    if name != "early chunk":
        await house.send("run.submitted", header(GOOD), "m1")
    if name != "header":
        await house.send("run.chunk", RunChunk(run_id="R1", chunk=1, instructions=GOOD), "m2")
    other = [msgspec.structs.replace(GOOD[0], amount=GOOD[0].amount + 1), GOOD[1]]
    if name == "header":
        await house.send("run.submitted", header(other), "m1")
    else:
        await house.send("run.chunk", RunChunk(run_id="R1", chunk=1, instructions=other), "m2")
    ((letter, _),) = await house.letters()
    assert letter.reason.startswith(Code.CONFLICT)
    assert [event.code for event in await house.told("run.rejected")] == [Code.CONFLICT]
    await house.send("run.submitted", header(GOOD), "m3")
    await house.send("run.chunk", RunChunk(run_id="R1", chunk=1, instructions=GOOD), "m4")
    await house.intake.step()
    assert (await house.ledger.progress("R1", PAYER))[0] == "accepted"
    assert house.rows("SELECT SUM(minor) FROM control WHERE part = 'ordered' AND view = 'own'") == [
        (sum(each.amount for each in GOOD),)
    ]


async def test_the_same_under_new_ids_is_quiet(house: House) -> None:
    """Header and chunk sent again under new message ids, as a payer does after a crash: no effect, nothing told."""
    for _ in range(2):
        await house.send("run.submitted", header(GOOD))
        await house.send("run.chunk", RunChunk(run_id="R1", chunk=1, instructions=GOOD))
    await house.intake.step()
    assert house.states() == ["ready"] * 2
    assert await house.letters() == []


@pytest.mark.parametrize("name", ["header", "chunk", "late chunk", "single"])
async def test_a_refusal_that_could_not_be_told(house: House, name: str) -> None:
    """The ledger goes away between refusing a message and telling so: it comes again and is refused again, never acknowledged in silence."""
    await house.submit(GOOD)
    await house.send("instruction.submitted", sporadic(instruction=orders(1, OWN, first=9)[0]))
    other = [msgspec.structs.replace(each, amount=each.amount + 1) for each in GOOD]
    kind, data = {
        "header": ("run.submitted", header(other)),
        "chunk": ("run.chunk", RunChunk(run_id="R1", chunk=1, instructions=other)),
        "late chunk": ("run.chunk", RunChunk(run_id="R1", chunk=2, instructions=other)),
        "single": ("instruction.submitted", sporadic(instruction=other[0])),
    }[name]
    tell, message = house.ledger.refuse_message, house.message(kind, data)

    async def away(meta: Meta, name: str, subject: str, code: str, what: str) -> None:
        raise Unavailable("the ledger is away")

    house.ledger.refuse_message = away  # type: ignore[method-assign]  # a server that is restarted
    with pytest.raises(Unavailable):
        await house.publish(message, kind)
    house.ledger.refuse_message = tell  # type: ignore[method-assign]  # and is back
    await house.take_all()
    ((letter, kept),) = await house.letters()
    assert letter.reason.startswith(Code.SEQ if name == "late chunk" else Code.CONFLICT)
    assert kept == message.body


@pytest.mark.parametrize("on_bad_line", list(OnBadLine))
async def test_a16_an_instruction_id_of_another_run(house: House, on_bad_line: OnBadLine) -> None:
    """CONFLICT: the first stands; the second run is rejected, or only that line of it."""
    await house.submit(GOOD)
    second = [msgspec.structs.replace(GOOD[0], amount=7), *orders(1, OWN, first=9)]
    state = await house.submit(second, "R2", on_bad_line=on_bad_line)
    if on_bad_line is OnBadLine.REJECT_RUN:
        assert state == "rejected"
        (event,) = await house.told("run.rejected")
        assert [error.code for error in event.errors] == [Code.CONFLICT]
    else:
        assert state == "accepted"
        (refused,) = await house.told("instruction.rejected")
        assert [(item.instruction_id, item.code) for item in refused.items] == [(GOOD[0].id, Code.CONFLICT)]
    assert house.rows("SELECT amount FROM instruction WHERE id = ? AND NOT rejected", GOOD[0].id) == [(GOOD[0].amount,)]
    await house.sound()


async def test_a26_one_chunk_missing(house: House) -> None:
    """Held until its time is over, then rejected with TOTALS; its ids are free again."""
    await house.send("run.submitted", header([*GOOD, *orders(1, OWN, first=9)], chunks=2))
    await house.send("run.chunk", RunChunk(run_id="R1", chunk=1, instructions=GOOD))
    assert await house.intake.step() == 0
    assert await house.intake.upkeep(dt.timedelta(hours=1)) == 0
    house.clock.advance(3_601)
    assert await house.intake.upkeep(dt.timedelta(hours=1)) == 1
    (event,) = await house.told("run.rejected")
    assert event.code == Code.TOTALS
    await house.untouched()
    assert await house.submit(GOOD, "R2") == "accepted"


@pytest.mark.parametrize("wrong", [{"count": 1}, {"count": 3}, {"total": 1}], ids=str)
async def test_declared_totals_that_do_not_agree(house: House, wrong: dict[str, Any]) -> None:
    """A complete run with another count or total than declared is rejected whole with TOTALS."""
    assert await house.submit(GOOD, **wrong) == "rejected"
    (event,) = await house.told("run.rejected")
    assert event.code == Code.TOTALS
    await house.untouched()


@pytest.mark.parametrize("strange", [{"debit_account": "9900000000000026"}, {"fund": "medical"}], ids=str)
async def test_an_account_that_is_not_ours_for_that_fund_at_that_bank(house: House, strange: dict[str, Any]) -> None:
    """A line that inherits another bank's debit account, or another fund's, rejects the run: nobody is paid out of the wrong money."""
    assert await house.submit(GOOD, **strange) == "rejected"
    (event,) = await house.told("run.rejected")
    assert event.code == Code.POLICY
    assert "is not our account of the fund" in event.what
    await house.untouched()
    assert await house.submit(GOOD) == "accepted"


async def test_an_early_chunk_that_is_refused_later_is_told(house: House) -> None:
    """A chunk before its header whose number turns out to be too high: told with SEQ once the header is here."""
    await house.send("run.chunk", RunChunk(run_id="R1", chunk=2, instructions=GOOD))
    await house.send("run.submitted", header(GOOD))
    await house.intake.step()
    assert [event.code for event in await house.told("run.rejected")] == [Code.SEQ]
    assert house.rows("SELECT 1 FROM early") == []
    await house.send("run.chunk", RunChunk(run_id="R1", chunk=1, instructions=GOOD))
    await house.intake.step()
    assert house.states() == ["ready"] * 2


@pytest.mark.parametrize("number", [0, -1, contracts.CHUNKS_MAX + 1])
async def test_chunk_numbers(house: House, number: int) -> None:
    """A chunk is numbered from 1 to the most that there can be."""
    chunk = house.message("run.chunk", RunChunk(run_id="R1", chunk=1, instructions=GOOD))
    await house.publish(msgspec.structs.replace(chunk, body=chunk.body.replace(b'"chunk":1', b'"chunk":%d' % number)))
    ((letter, _),) = await house.letters()
    assert letter.reason.startswith(Code.RANGE)


async def test_more_lines_than_a_chunk_holds(house: House) -> None:
    """1,001 lines are refused, 1,000 are taken."""
    one = msgspec.json.encode(GOOD[0])
    for count in (CHUNK_MAX + 1, CHUNK_MAX):
        lines = b",".join(one.replace(GOOD[0].id.encode(), b"N%d" % n) for n in range(count))
        chunk = house.message("run.chunk", RunChunk(run_id="R1", chunk=1, instructions=[GOOD[0]]))
        await house.publish(msgspec.structs.replace(chunk, body=chunk.body.replace(one, lines)))
        assert len(await house.letters()) == (count > CHUNK_MAX)


# ---------------------------------------------------------------------------------------------- the other messages


def sporadic(**more: Any) -> InstructionSubmitted:
    """One payment by itself."""
    settings: dict[str, Any] = {
        "instruction": GOOD[0],
        "line": contracts.BenefitLine.MEDICAL,
        "fund": "pension",
        "debit_account": "9900000000000018",
        "period": "2015-06",
        "pay_date": TODAY,
    }
    return InstructionSubmitted(**(settings | more))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"instruction": msgspec.structs.replace(GOOD[0], bank="BANKQ")}, Code.POLICY),
        ({"instruction": msgspec.structs.replace(GOOD[0], purpose="养" * 71)}, Code.SIZE),
        ({"instruction": msgspec.structs.replace(GOOD[0], purpose="a\0")}, Code.NAME),
        ({"pay_date": dt.date(2035, 1, 1)}, Code.POLICY),
        ({"debit_account": "9900000000000026"}, Code.POLICY),
        ({"fund": "medical"}, Code.POLICY),
    ],
    ids=["bank", "size", "control", "date", "debit", "fund"],
)
async def test_one_payment_that_cannot_be_taken(house: House, change: dict[str, Any], code: str) -> None:
    """A payment that comes alone is held to the same rules: refused with its code, told, its bytes among the dead letters."""
    sent = await house.send("instruction.submitted", sporadic(**change))
    ((letter, kept),) = await house.letters()
    assert letter.reason.startswith(code)
    assert kept == sent.body
    (event,) = await house.told("instruction.rejected")
    assert [(item.instruction_id, item.code) for item in event.items] == [(GOOD[0].id, code)]
    await house.untouched()
    assert house.rows("SELECT 1 FROM run") == []


async def test_one_payment_again_and_with_other_content(house: House) -> None:
    """The same again is quiet; the same id with another amount is CONFLICT, and the first stands."""
    for _ in range(2):
        await house.send("instruction.submitted", sporadic())
    assert await house.letters() == []
    await house.send("instruction.submitted", sporadic(instruction=msgspec.structs.replace(GOOD[0], amount=1)))
    ((letter, _),) = await house.letters()
    assert letter.reason.startswith(Code.CONFLICT)
    assert house.rows("SELECT amount FROM instruction") == [(GOOD[0].amount,)]


@pytest.mark.parametrize("name", ["张\u202e三", "张\n三", "\u3000"])
async def test_a_corrected_name_is_a_name(house: House, name: str) -> None:
    """A repayment's corrected name is held to what any name is held to: nobody would look at it again before it leaves."""
    correction = contracts.Correction(verifier="anna", approver="bert", evidence="身份证", name=name)
    await house.send(
        "instruction.repay", InstructionRepay(instruction_id="I00001", reason="户名更正", correction=correction)
    )
    (refused,) = await house.told("instruction.repay_refused")
    assert [item.code for item in refused.items] == [Code.NAME]
    assert len(await house.letters()) == 1


async def test_both_formats_take_the_same_lines(house: House) -> None:
    """What holds for one bank's line holds for the other's."""
    assert await house.submit([*orders(2, ISO), *orders(2, OWN, first=3)]) == "accepted"
    assert house.states() == ["ready"] * 4
