"""The second payment (二次支付): only of what surely was not paid, once at a time, mended by two people."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from gateway.core.bank import DocKind
from gateway.core.states import DocumentEvent
from gateway.core.verdicts import Outcome, Verdict
from tests.ledger.kit import BOTH, CHECKER, MAKER, NORTH, OTHER_PAYER, PAYER, SOUTH, Story, Word, doubted, pay

PAID, FAILED, REFUSED, UNKNOWN, RETURNED = (
    Outcome.PAID, Outcome.FAILED, Outcome.REFUSED, Outcome.UNKNOWN, Outcome.RETURNED,
)  # fmt: skip
NAME = {"verifier": MAKER, "approver": CHECKER, "evidence": "form 7, 2015-06-20", "name": "王晓明"}
ACCOUNT = {
    "verifier": MAKER, "approver": CHECKER, "evidence": "passbook", "account": {"bank": NORTH, "account": "6228489999"},
}  # fmt: skip


async def failed(story: Story, outcome: Outcome = FAILED, amount: int = 100_00) -> None:
    """Payment A told as ``outcome``, B as paid."""
    document = await story.paying("R1", pay("A", amount), pay("B"))
    await story.answer(document, Word("A", outcome), Word("B", PAID))
    await story.told()


async def refusal(story: Story, id_: str = "A", correction: Any = None, **more: Any) -> tuple[str, str]:
    """Code and words of the refusal of a repayment that must be refused."""
    before = await story.value("SELECT COUNT(*) FROM attempt")
    await story.told()
    await story.repay(id_, correction, **more)
    (event,) = await story.told()
    assert event.name == "instruction.repay_refused"
    assert await story.value("SELECT COUNT(*) FROM attempt") == before
    (item,) = event.data.items
    assert item.instruction_id == id_
    return item.code, item.what


async def second_run(story: Story) -> str:
    """Id of the only second-payment Run."""
    (row,) = await story.rows("SELECT run_id FROM run WHERE kind = 'second_payment'")
    return str(row.run_id)


async def dispatch_again(story: Story, bank: str = NORTH) -> Any:
    """Release the open second-payment Run and send its one Document."""
    run = await story.value("SELECT run_id FROM run WHERE kind = 'second_payment' AND state = 'receiving'")
    await story.release(run)
    (document,) = await story.dispatch(bank)
    return document


@pytest.mark.parametrize("outcome", [FAILED, REFUSED, RETURNED])
async def test_what_surely_was_not_paid_is_paid_again(story: Story, outcome: Outcome) -> None:
    """A second try joins the day's second-payment Run, waits for its release, and pays under the same instruction."""
    if outcome is RETURNED:
        await failed(story, PAID)
        await story.answer(None, Word("A", RETURNED), kind=DocKind.RETURN)
    else:
        await failed(story, outcome)
    await story.repay("A")
    assert await story.tries("A") == [outcome.value, "new"]
    run = await second_run(story)
    assert run == "second-pension-20150610-1"
    assert await story.control("R1") == {NORTH: {"ordered": (2, 200_00), "new": (1, 100_00), "paid": (1, 100_00)}}
    assert await story.control(run, "own") == {NORTH: {"ordered": (1, 100_00), "new": (1, 100_00)}}
    assert (await story.control("R1", "own"))[NORTH][outcome.value] == (1, 100_00)
    await story.told()

    document = await dispatch_again(story)
    (accepted,) = await story.told("run.accepted")
    assert (accepted.data.run_id, accepted.data.count, accepted.data.total) == (run, 1, 100_00)
    await story.answer(document, Word("A", PAID))
    assert await story.tries("A") == [outcome.value, "paid"]
    (result,) = (await story.told("payment.results"))[0].data.results
    assert (result.instruction_id, result.run_id, result.attempt, result.outcome) == ("A", "R1", 2, "paid")
    assert await story.control("R1") == {NORTH: {"ordered": (2, 200_00), "paid": (2, 200_00)}}
    assert await story.control(run, "own") == {NORTH: {"ordered": (1, 100_00), "paid": (1, 100_00)}}
    assert sorted(await story.ledger.close_runs()) == ["R1", run]


@pytest.mark.parametrize("state", ["ready", "held", "batched", "unknown", "paid", "withdrawn", "nothing", "rejected"])
async def test_what_is_not_surely_unpaid_is_not(story: Story, state: str) -> None:
    """Anything that is not failed, refused or returned is refused with its state; so is what does not exist."""
    if state in ("ready", "held", "withdrawn", "rejected"):
        lines = [doubted(1, pay("A"), "NAME") if state == "held" else pay("A")]
        await story.submit("R1", *lines, on_bad_line="reject_line")
        if state == "withdrawn":
            await story.withdraw("A")
        if state == "rejected":
            await story.submit("R2", pay("C"), pay("C"), period="2015-07")
    elif state != "nothing":
        document = await story.paying("R1", pay("A"))
        if state != "batched":
            await story.answer(document, Word("A", Outcome(state)))
    id_ = "C" if state == "rejected" else "A"
    code, what = await refusal(story, id_)
    assert code == ("UNKNOWN_REF" if state in ("nothing", "rejected") else "POLICY")
    assert state in what or code == "UNKNOWN_REF"


async def test_another_payer_cannot_order_it(story: Story) -> None:
    """An instruction belongs to the payer that ordered it."""
    await failed(story)
    assert (await refusal(story, payer=OTHER_PAYER))[0] == "UNKNOWN_REF"


async def test_not_before_the_set_is_closed(story: Story) -> None:
    """While one line of the Document has no word yet, a wrong FAIL may still be overtaken by the true OK."""
    document = await story.paying("R1", pay("A"), pay("B"), pay("C"))
    await story.answer(document, Word("A", FAILED), Word("B", UNKNOWN))
    code, what = await refusal(story)
    assert (code, "2 lines are not told" in what, document.name in what) == ("POLICY", True, True)
    await story.answer(document, Word("C", PAID))
    assert "1 lines are not told" in (await refusal(story))[1]
    await story.answer(document, Word("B", PAID))
    await story.repay("A")
    assert await story.tries("A") == ["failed", "new"]


async def test_not_while_a_line_is_parked(story: Story) -> None:
    """A parked line of the Document may be the true answer: a person looks first, at any of its lines."""
    document = await story.paying("R1", pay("A"), pay("B"))
    await story.answer(document, Word("A", FAILED), Word("B", PAID), Word(999, PAID, 100_00))
    assert "1 parked lines" in (await refusal(story))[1]
    await story.ledger.close_parked(MAKER, await story.value("SELECT key FROM parked"), "another customer's")
    await story.repay("A")
    assert await story.tries("A") == ["failed", "new"]


async def test_not_before_a_fail_is_final(story: Story) -> None:
    """A bank that may correct a FAIL for two hours is given two hours from its word; the refusal says until when, in China's time."""
    await failed(story)
    final = {NORTH: 120, SOUTH: 0}
    story.clock.advance(119 * 60)
    code, what = await refusal(story, final=final)
    assert (code, "until 2015-06-10 11:00" in what) == ("POLICY", True)
    story.clock.advance(60)
    await story.repay("A", final=final)
    assert await story.tries("A") == ["failed", "new"]


async def test_one_second_try_at_a_time(story: Story) -> None:
    """While one lives no other is made, not by two messages at once either; the same message again is quiet."""
    await failed(story)
    await asyncio.gather(story.repay("A"), story.repay("A"))
    assert await story.tries("A") == ["failed", "new"]
    refused = await story.told("instruction.repay_refused")
    assert len(refused) == 1
    assert "the last try is new" in refused[0].data.items[0].what
    await refusal(story)


async def test_the_database_refuses_two_live_tries(story: Story) -> None:
    """The index of P2 stands when all checks are passed by: in no state that is live or paid is there a second one."""
    await failed(story)
    await story.repay("A")
    new = (
        "INSERT INTO attempt (key, instruction_key, lot_key, try_no, state, amount) "
        "SELECT key + :step, instruction_key, lot_key, 3, :state, amount FROM attempt WHERE try_no = 2"
    )
    for step, state in enumerate(("new", "ready", "held", "batched", "unknown", "paid"), 50):
        with pytest.raises(IntegrityError):
            await story.change(new, step=step, state=state)
    with pytest.raises(IntegrityError):
        await story.change("UPDATE attempt SET state = 'paid' WHERE try_no = 1 AND state = 'failed'")
    with pytest.raises(IntegrityError):
        await story.change("UPDATE attempt SET state = 'held' WHERE try_no = 1 AND state = 'failed'")


async def test_three_tries(story: Story) -> None:
    """A second try that fails may be followed by a third, when its own set is closed; the Case is open again in between."""
    await failed(story)
    await story.repay("A")
    document = await dispatch_again(story)
    await story.answer(document, Word("A", FAILED, verdict=Verdict.NAME_MISMATCH))
    row = (await story.rows("SELECT state, verdict, waits_for FROM case_file"))[0]
    assert tuple(row) == ("open", "NAME_MISMATCH", "wait_name")
    await story.repay("A", NAME)
    document = await dispatch_again(story)
    await story.answer(document, Word("A", PAID))
    assert await story.tries("A") == ["failed", "failed", "paid"]
    assert await story.control("R1") == {NORTH: {"ordered": (2, 200_00), "paid": (2, 200_00)}}
    assert await story.value("SELECT COUNT(*) FROM run WHERE kind = 'second_payment'") == 2
    assert await story.value("SELECT state FROM case_file") == "closed"


# ---------------------------------------------------------------------------------------------------------------- corrections


async def test_a_corrected_name_travels(story: Story) -> None:
    """The verified name stands in the second file; the ordered one stays as it was, and the evidence is on the chain."""
    await failed(story)
    await story.repay("A", NAME)
    document = await dispatch_again(story)
    (line,) = await story.ledger.pay_lines(document.key, 0, 10)
    assert (line.name, line.account, line.amount) == ("王晓明", pay("A").account, 100_00)
    assert await story.value("SELECT name FROM instruction WHERE id = 'A'") == "王小明"
    (act,) = await story.acts("instruction.repay")
    assert act.actor == f"payer:{PAYER}"
    for word in (MAKER, CHECKER, "form 7"):
        assert word in act.body
    assert "王晓明" not in act.body


@pytest.mark.parametrize(
    ("correction", "counted", "what", "before", "after"),
    [
        (NAME, {"names": 1, "accounts": 0}, "name", "王小明", "王晓明"),
        (ACCOUNT, {"names": 0, "accounts": 1}, "account", "****0018", "****9999"),
    ],
)
async def test_two_people_see_what_was_corrected_before_they_release(
    story: Story, correction: dict[str, Any], counted: dict[str, int], what: str, before: str, after: str
) -> None:
    """The payer's message alone names a verifier and an approver: those who let the money go see old, new and on whose word, and sign the number."""
    await failed(story)
    await story.repay("A", correction)
    run_id = next(run["run_id"] for run in await story.ledger.list_runs() if run["kind"] == "second_payment")
    seen = await story.ledger.release_preview(run_id, PAYER, False)
    assert seen["corrected"] == counted
    (shown,) = seen["corrections"]
    assert (shown["instruction_id"], shown["what"], shown["after"]) == ("A", what, after)
    assert shown["before"] == before or what == "account"
    assert (shown["verifier"], shown["approver"]) == (MAKER, CHECKER)
    assert "6228489999" not in str(seen)
    assert (await story.ledger.release_preview("R1", PAYER, False))["corrected"] == {"names": 0, "accounts": 0}


async def test_a_corrected_name_that_does_not_match_either(story: Story) -> None:
    """The payer hears the name that was used, not the one that was ordered."""
    await failed(story)
    await story.repay("A", NAME)
    document = await dispatch_again(story)
    await story.answer(document, Word("A", FAILED, verdict=Verdict.NAME_MISMATCH, name="王大明"))
    (event,) = await story.told("name.mismatch")
    assert (event.data.ordered_name, event.data.bank_name) == ("王晓明", "王大明")


async def test_a_corrected_account_travels(story: Story) -> None:
    """The other account stands in the second file, with the ordered name."""
    await failed(story)
    await story.repay("A", ACCOUNT)
    document = await dispatch_again(story)
    (line,) = await story.ledger.pay_lines(document.key, 0, 10)
    assert (line.name, line.account) == ("王小明", "6228489999")


async def test_a_second_try_is_known_as_the_same_payment(story: Story) -> None:
    """A bank whose own duplicate key is the payment's reference sees it unchanged; the try's key is another."""
    first = await story.paying("R1", pay("A"), pay("B"))
    tries = {line.payment: line.key for line in await story.ledger.pay_lines(first.key, 0, 10)}
    assert len(tries) == 2
    await story.answer(first, Word("A", FAILED), Word("B", PAID))
    await story.told()
    await story.repay("A")
    (line,) = await story.ledger.pay_lines((await dispatch_again(story)).key, 0, 10)
    assert line.payment in tries
    assert line.key not in tries.values()


async def test_a_second_payment_at_another_bank(story: Story) -> None:
    """The money moves from one bank's line of the conservation to the other's, and back with a third try; both views add up throughout."""
    await failed(story, amount=300_00)
    moved = {**ACCOUNT, "account": {"bank": SOUTH, "account": "6228489999"}}
    await story.repay("A", moved)
    assert await story.control("R1") == {
        NORTH: {"ordered": (2, 400_00), "moved_out": (1, 300_00), "paid": (1, 100_00)},
        SOUTH: {"moved_in": (1, 300_00), "new": (1, 300_00)},
    }
    run = await second_run(story)
    assert await story.control(run, "own") == {SOUTH: {"ordered": (1, 300_00), "new": (1, 300_00)}}
    document = await dispatch_again(story, SOUTH)
    await story.answer(document, Word("A", FAILED))
    await story.repay("A", ACCOUNT)
    assert await story.control("R1") == {
        NORTH: {"ordered": (2, 400_00), "moved_out": (1, 300_00), "moved_in": (1, 300_00), "new": (1, 300_00), "paid": (1, 100_00)},
        SOUTH: {"moved_in": (1, 300_00), "moved_out": (1, 300_00)},
    }  # fmt: skip
    document = await dispatch_again(story, NORTH)
    await story.answer(document, Word("A", PAID))
    assert (await story.control("R1"))[NORTH]["paid"] == (2, 400_00)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "王晓明", "account": {"bank": NORTH, "account": "6228489999"}}, "POLICY"),
        ({"name": None}, "POLICY"),
        ({"approver": MAKER}, "AUTH"),
        ({"verifier": BOTH, "approver": BOTH}, "AUTH"),
        ({"verifier": CHECKER, "approver": BOTH}, "AUTH"),
        ({"verifier": BOTH, "approver": MAKER}, "AUTH"),
        ({"verifier": "stranger"}, "AUTH"),
        ({"approver": "stranger"}, "AUTH"),
        ({"name": None, "account": {"bank": "NOBANK", "account": "6228489999"}}, "POLICY"),
    ],
)  # fmt: skip
async def test_a_correction_that_is_not_taken(story: Story, change: dict[str, Any], code: str) -> None:
    """Name and account at once, neither, one person for both, a person without the role, an unknown bank: refused, nothing changed."""
    await failed(story)
    correction = {key: value for key, value in {**NAME, **change}.items() if value is not None}
    assert (await refusal(story, correction=correction))[0] == code
    assert await story.rows("SELECT * FROM correction") == []


async def test_the_database_refuses_one_person_for_both(story: Story) -> None:
    """Verifier and approver differ, and exactly one thing is corrected, whatever the code does."""
    await failed(story)
    await story.repay("A", NAME)
    with pytest.raises(IntegrityError, match="verifier_is_not_approver"):
        await story.change("UPDATE correction SET approver = verifier")
    for change in ("sealed = :some", "name = NULL"):
        values = {"some": b"x"} if "some" in change else {}
        with pytest.raises(IntegrityError, match="name_or_account"):
            await story.change(f"UPDATE correction SET {change}", **values)


async def test_second_payments_wait_for_two_people(story: Story) -> None:
    """A second-payment Run is proposed and approved like any other; what joins later is another Run."""
    document = await story.paying("R1", pay("A"), pay("C"))
    await story.answer(document, Word("A", FAILED), Word("C", FAILED))
    await story.repay("A")
    run = await second_run(story)
    proposed = await story.ledger.propose_release(MAKER, run)
    assert (proposed["count"], proposed["minor"], proposed["kind"]) == (1, 100_00, "second_payment")
    await story.repay("C")
    await story.ledger.approve_release(CHECKER, run)
    assert (await story.tries("A"), await story.tries("C")) == (["failed", "ready"], ["failed", "new"])
    assert await story.value("SELECT COUNT(*) FROM run WHERE kind = 'second_payment'") == 2


async def test_second_payments_of_several_banks_share_a_run(story: Story) -> None:
    """One second-payment Run a day, with lots by bank and by the Run that ordered them."""
    await story.submit("R1", pay("A"), pay("S", bank=SOUTH))
    await story.release("R1")
    for bank, id_ in ((NORTH, "A"), (SOUTH, "S")):
        (document,) = await story.dispatch(bank)
        await story.answer(document, Word(id_, FAILED), event=DocumentEvent.RECEIPTED)
        await story.repay(id_)
    run = await second_run(story)
    assert set(await story.control(run, "own")) == {NORTH, SOUTH}
    assert (await story.control("R1"))[SOUTH] == {"ordered": (1, 100_00), "new": (1, 100_00)}
    lots = await story.rows("SELECT origin_key FROM lot WHERE run_key <> origin_key")
    assert len(lots) == 2


SOUTHWARD = ACCOUNT | {"account": {"bank": SOUTH, "account": "6228489999"}}


async def test_at_another_bank_our_account_there_is_debited(story: Story) -> None:
    """A debit account is one bank's: the second payment at another bank leaves from ours there."""
    await failed(story)
    await story.repay("A", SOUTHWARD, debits={SOUTH: {"pension": "7700000000000001"}})
    document = await dispatch_again(story, SOUTH)
    assert await story.value("SELECT debit_account FROM batch WHERE bank = :bank", bank=SOUTH) == "7700000000000001"
    await story.answer(document, Word("A", PAID))
    assert await story.tries("A") == ["failed", "paid"]


async def test_at_another_bank_without_an_account_of_its_fund(story: Story) -> None:
    """Nothing there is ours to debit for that fund: refused, and not paid out of another fund's account."""
    await failed(story)
    code, what = await refusal(story, "A", SOUTHWARD, debits={SOUTH: {"medical": "7700000000000002"}})
    assert (code, what) == ("POLICY", "at that bank we have no debit account of its fund")
