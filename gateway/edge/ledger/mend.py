"""After acceptance, one payment at a time: withdrawal, and the second payment (二次支付) of what surely failed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.core.contracts import Correction, InstructionNotice, InstructionRepay, RunKind
from gateway.core.errors import Code, Conflict
from gateway.core.ledger import NO_DEBITS, Debits, Meta, Recorded
from gateway.core.states import CASE, AttemptEvent, AttemptState, CaseEvent, CaseState, DocumentState, step
from gateway.edge.ledger import actors, audit, control, doubt, lanes, private
from gateway.edge.ledger.engine import Tx, tries_of
from gateway.edge.ledger.events import notices
from gateway.edge.ledger.intake import gathering_run, lot_keys, next_key, seen
from gateway.edge.ledger.schema import RUN_SPAN

_CHINA = timedelta(hours=8)


def latest(tx: Tx, payer: str, instruction_id: str) -> Any:
    """The latest Attempt of an instruction with its lot and Document, or None."""
    return tx.row(
        "SELECT a.key, a.instruction_key, a.try_no, a.state, a.amount, a.lot_key, a.document_key, d.name AS document_name, "
        f"d.state AS document_state FROM instruction AS i JOIN attempt AS a ON {tries_of('i.key')} "
        "LEFT JOIN document AS d ON d.key = a.document_key WHERE i.payer = :payer AND i.id = :id AND NOT i.rejected "
        "ORDER BY a.try_no DESC LIMIT 1",
        payer=payer, id=instruction_id,
    )  # fmt: skip


def held_fast(tx: Tx, payer: str, instruction_id: str) -> Any:
    """``latest``, and nobody files, sends or moves it until the commit. The Document first: whoever voids one goes on to its Attempts."""
    found = latest(tx, payer, instruction_id)
    if found is None or tx.sqlite:
        return found
    tx.rows(tx.locked("SELECT key FROM document WHERE key = :key"), key=found.document_key)
    tx.rows(
        tx.locked(f"SELECT a.key FROM attempt AS a WHERE {tries_of(':key')} ORDER BY a.key"), key=found.instruction_key
    )
    return latest(tx, payer, instruction_id)


def withdraw(tx: Tx, meta: Meta, instruction_id: str, reason: str) -> Recorded:
    """Withdrawn if it has not left; a sealed Document that never left is voided and filed again without it. Told either way."""
    recorded = seen(tx, meta)
    if recorded is not Recorded.NEW:
        return recorded
    attempt = held_fast(tx, meta.payer, instruction_id)
    refusal = _withdrawable(tx, attempt)
    if refusal:
        notices(tx, meta.payer, "instruction.withdraw_refused", [_notice(instruction_id, *refusal)])
        return Recorded.NEW
    control.move(tx, AttemptEvent.WITHDRAWN, "a.key = :key", key=attempt.key)
    tx.run(
        "UPDATE hold SET closed_ms = :now, closed_by = :by WHERE attempt_key = :key AND closed_ms IS NULL",
        now=tx.now_ms,
        by=f"payer:{meta.payer}",
        key=attempt.key,
    )
    tx.run(
        "UPDATE case_file SET state = :closed, closed_ms = :now WHERE instruction_key = :key AND state = :repaying",
        closed=str(step(CASE, CaseState.REPAYING, CaseEvent.CLOSED)), now=tx.now_ms, key=attempt.instruction_key,
        repaying=str(CaseState.REPAYING),
    )  # fmt: skip
    notices(tx, meta.payer, "instruction.withdrawn", [_notice(instruction_id, what=reason)])
    audit.append(
        tx,
        f"payer:{meta.payer}",
        "instruction.withdrawn",
        f"instruction:{meta.payer}:{instruction_id}",
        {"reason": reason},
    )
    return Recorded.NEW


def _withdrawable(tx: Tx, attempt: Any) -> tuple[Code, str] | None:
    """Why it cannot be withdrawn, or None once it surely can."""
    if attempt is None:
        return Code.UNKNOWN_REF, "no such instruction, or its run is not accepted yet"
    if attempt.state == AttemptState.BATCHED:
        if attempt.document_state not in (DocumentState.OPEN, DocumentState.SEALED):
            return Code.POLICY, f"too late, sent in {attempt.document_name}"
        document = lanes.one(tx, attempt.document_key, lock=True)
        if document.sendings or document.exported:
            return Code.POLICY, f"too late, it may have been sent in {attempt.document_name}"
        lanes.void_document(tx, document, "one of its payments is withdrawn: filed again without it")
        return None
    if attempt.state not in (AttemptState.NEW, AttemptState.READY, AttemptState.HELD):
        sent = f"sent in {attempt.document_name}: " if attempt.document_name else ""
        return Code.POLICY, f"too late, {sent}the payment is {attempt.state}"
    return None


def _notice(instruction_id: str, code: str = "", what: str = "") -> InstructionNotice:
    return InstructionNotice(instruction_id=instruction_id, code=str(code), what=what)


def set_aside(tx: Tx, document_key: int, epoch: int, faults: Sequence[tuple[int, str, str]]) -> None:
    """Lines that the bank's format cannot hold are held, each with its reason; their open Document is void and the rest is filed again."""
    document = lanes.owned(tx, document_key, epoch, outward=True)
    if document.state != DocumentState.OPEN:
        return
    found = {
        row.line: row
        for row in tx.rows(
            "SELECT a.line, a.key, i.id, r.payer, r.run_id FROM attempt AS a JOIN instruction AS i ON i.key = a.instruction_key "
            "JOIN lot AS l ON l.key = a.lot_key JOIN run AS r ON r.key = l.origin_key WHERE a.document_key = :key",
            key=document_key,
        )
    }
    lanes.void_document(tx, document, f"{len(faults)} of its lines cannot be written: filed again without them")
    for line, code, what in faults:
        row = found[line]
        doubt.add_hold(tx, row.key, code, what)
        notices(
            tx,
            row.payer,
            "instruction.held",
            [InstructionNotice(instruction_id=row.id, run_id=row.run_id, code=code, what=what)],
        )


# ---------------------------------------------------------------------------------------------------------------- second payment


def repay(
    tx: Tx, meta: Meta, message: InstructionRepay, final_minutes: Mapping[str, int], debits: Debits = NO_DEBITS
) -> Recorded:
    """A second Attempt joins its payer's second-payment Run of the day; refused unless the first surely did not pay.

    ``final_minutes``: per configured bank, how long it may still correct a FAIL (its Agreement's word). ``debits``: a payment that goes
    to another bank is debited there. Told either way.
    """
    recorded = seen(tx, meta)
    if recorded is not Recorded.NEW:
        return recorded
    attempt = held_fast(tx, meta.payer, message.instruction_id)
    refusal = _refusal(tx, attempt, message, final_minutes)
    debit = "" if refusal else _debit(tx, attempt, message.correction, debits)
    if not (refusal or debit):
        refusal = Code.POLICY, "at that bank we have no debit account of its fund"
    if refusal:
        notices(tx, meta.payer, "instruction.repay_refused", [_notice(message.instruction_id, *refusal)])
        return Recorded.NEW
    _second_try(tx, meta, message, attempt, debit)
    return Recorded.NEW


def _refusal(
    tx: Tx, attempt: Any, message: InstructionRepay, final_minutes: Mapping[str, int]
) -> tuple[Code, str] | None:
    if attempt is None:
        return Code.UNKNOWN_REF, "no such instruction"
    if attempt.state not in (AttemptState.FAILED, AttemptState.REFUSED, AttemptState.RETURNED):
        return Code.POLICY, f"the last try is {attempt.state}: only a failed, refused or returned payment is paid again"
    bank = tx.scalar("SELECT bank FROM lot WHERE key = :key", key=attempt.lot_key)
    if open_ := _open_sets(tx, attempt.instruction_key):
        return Code.POLICY, open_
    told = tx.scalar(
        "SELECT n.applied_ms FROM attempt AS a JOIN inbound AS n ON n.key = a.result_key WHERE a.key = :key",
        key=attempt.key,
    )
    final = int(told or 0) + final_minutes.get(bank, 0) * 60_000
    if final > tx.now_ms:
        return (
            Code.POLICY,
            f"the bank may still correct it until {datetime.fromtimestamp(final / 1000, UTC) + _CHINA:%Y-%m-%d %H:%M}",
        )
    return _correction_fault(tx, message.correction, final_minutes)


def _correction_fault(tx: Tx, correction: Correction | None, banks: Collection[str]) -> tuple[Code, str] | None:
    if correction is None:
        return None
    if (correction.name is None) == (correction.account is None):
        return Code.POLICY, "a repayment corrects the name or the account: exactly one of them"
    if correction.verifier == correction.approver:
        return Code.AUTH, f"{correction.verifier} cannot both verify and approve"
    for actor, role in ((correction.verifier, actors.MAKER), (correction.approver, actors.CHECKER)):
        try:
            actors.need_role(tx, actor, role)
        except Exception as error:  # noqa: BLE001 # whatever the reason, the payer hears it in one event
            return Code.AUTH, str(error)
    if correction.account and correction.account.bank not in banks:
        return Code.POLICY, f"no such bank: {correction.account.bank}"
    return None


def _debit(tx: Tx, first: Any, correction: Correction | None, debits: Debits) -> str:
    """The account of ours that the second try is debited from: one bank's, so another one where the payment moves. Empty: none is known."""
    old = tx.row("SELECT bank, fund, debit_account FROM lot WHERE key = :key", key=first.lot_key)
    account = correction.account if correction else None
    if account is None or account.bank == old.bank or not (ours := debits.get(account.bank)):
        return str(old.debit_account)
    return ours.get(old.fund, "")


def _open_sets(tx: Tx, instruction_key: int) -> str:
    """Why the result set of any of its tries is not closed: a word on the first that came late also stands against the third."""
    tries = tx.rows(f"SELECT a.key, a.document_key FROM attempt AS a WHERE {tries_of(':key')}", key=instruction_key)
    for document_key in {row.document_key for row in tries}:
        if open_ := open_set(tx, document_key):
            return open_
    listed = ", ".join(str(row.key) for row in tries)
    spoken = tx.scalar(f"SELECT COUNT(*) FROM parked WHERE attempt_key IN ({listed}) AND closed_ms IS NULL")
    return "a parked line speaks of it" if spoken else ""


def open_set(tx: Tx, document_key: int | None) -> str:
    """Why the result set of a Document is not closed yet, or empty: every line must be told, and none of them parked."""
    if document_key is None:
        return ""
    row = tx.row(
        "SELECT d.name, (SELECT COUNT(*) FROM attempt AS a WHERE a.document_key = d.key AND a.state IN ('batched', 'unknown')) AS waiting, "
        "(SELECT COUNT(*) FROM parked AS p WHERE p.document_key = d.key AND p.closed_ms IS NULL) AS parked "
        "FROM document AS d WHERE d.key = :key",
        key=document_key,
    )
    if row.waiting:
        return f"the result of {row.name} is not complete: {row.waiting} lines are not told yet"
    return f"the result of {row.name} has {row.parked} parked lines" if row.parked else ""


def _second_try(tx: Tx, meta: Meta, message: InstructionRepay, first: Any, debit: str) -> None:
    """The new Attempt (``new``), its correction, its place in the Run, the controls of both views, the Case."""
    old = tx.row("SELECT * FROM lot WHERE key = :key", key=first.lot_key)
    origin = tx.row("SELECT * FROM run WHERE key = :key", key=old.origin_key)
    today = (datetime.fromtimestamp(tx.now_ms / 1000, UTC) + _CHINA).date()
    run = gathering_run(tx, meta.payer, RunKind.SECOND_PAYMENT, origin, today)
    account = message.correction.account if message.correction else None
    bank = account.bank if account else old.bank
    route = (bank, old.fund, debit, today.isoformat(), old.line)
    lot = lot_keys(tx, run.key, old.origin_key, {route})[route]
    key = run.key * RUN_SPAN + next_key(tx, f"ordinal:{run.key}")
    tx.run(
        "INSERT INTO attempt (key, instruction_key, lot_key, try_no, state, amount, told) VALUES (:key, :instruction, :lot, :try_no, :state, "
        ":amount, (SELECT MAX(a.told) FROM attempt AS a WHERE " + tries_of(":instruction") + "))",
        key=key, instruction=first.instruction_key, lot=lot, try_no=first.try_no + 1, state=str(AttemptState.NEW), amount=first.amount,
    )  # fmt: skip
    _keep_correction(tx, key, message.correction)
    new, gone = str(AttemptState.NEW), str(first.state)
    changes = [
        control.Change("own", run.key, bank, "ordered", 1, first.amount),
        control.Change("own", run.key, bank, new, 1, first.amount),
        control.Change("origin", old.origin_key, old.bank, gone, -1, -first.amount),
        control.Change("origin", old.origin_key, bank, new, 1, first.amount),
    ]
    if bank != old.bank:
        changes.append(control.Change("origin", old.origin_key, old.bank, "moved_out", 1, first.amount))
        changes.append(control.Change("origin", old.origin_key, bank, "moved_in", 1, first.amount))
    control.apply(tx, changes)
    _case_repaying(tx, first.instruction_key, key)
    body = {"try": first.try_no + 1, "bank": bank, "reason": message.reason, "run": run.run_id}
    if message.correction:
        body |= {
            "verifier": message.correction.verifier,
            "approver": message.correction.approver,
            "evidence": message.correction.evidence,
        }
    audit.append(
        tx, f"payer:{meta.payer}", "instruction.repay", f"instruction:{meta.payer}:{message.instruction_id}", body
    )


def _keep_correction(tx: Tx, attempt_key: int, correction: Correction | None) -> None:
    if correction is None:
        return
    account = correction.account.account if correction.account else None
    tx.run(
        "INSERT INTO correction (attempt_key, name, account_hash, sealed, verifier, approver, evidence) "
        "VALUES (:key, :name, :hash, :sealed, :verifier, :approver, :evidence)",
        key=attempt_key, name=correction.name, hash=private.account_hash(tx.atrest, account) if account else None,
        sealed=private.seal_account(tx.atrest, account) if account else None, verifier=correction.verifier, approver=correction.approver,
        evidence=correction.evidence,
    )  # fmt: skip


def _case_repaying(tx: Tx, instruction_key: int, attempt_key: int) -> None:
    state = tx.scalar("SELECT state FROM case_file WHERE instruction_key = :key", key=instruction_key)
    if state is None:
        return
    tx.run(
        "UPDATE case_file SET state = :state, attempt_key = :attempt WHERE instruction_key = :key",
        state=str(step(CASE, CaseState(state), CaseEvent.REPAID)), attempt=attempt_key, key=instruction_key,
    )  # fmt: skip


def close_parked(tx: Tx, actor: str, parked_key: int, why: str) -> None:
    """A person has looked at a parked line and nothing is to be changed (the money moved as the ledger says)."""
    actors.need_role(tx, actor, actors.MAKER)
    done = tx.run(
        "UPDATE parked SET closed_ms = :now, closed_by = :actor WHERE key = :key AND closed_ms IS NULL",
        now=tx.now_ms,
        actor=actor,
        key=parked_key,
    )
    if not done.rowcount:
        raise Conflict(f"no open parked line {parked_key}")
    audit.append(tx, actor, "parked.closed", f"parked:{parked_key}", {"why": why})
