"""Acceptance: a complete Run becomes Attempts, or is rejected or held, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from gateway.core.contracts import InstructionNotice, LineError, RunAccepted, RunHeld, RunRejected, Window
from gateway.core.errors import Code
from gateway.core.ledger import NO_DEBITS, Debits
from gateway.core.states import ATTEMPT, LIVE_OR_PAID, AttemptEvent, AttemptState, RunEvent, RunState, step
from gateway.edge.ledger import audit, control
from gateway.edge.ledger.engine import Tx, keys_of, tries_of
from gateway.edge.ledger.events import emit, notices
from gateway.edge.ledger.intake import set_run_state

READY = step(ATTEMPT, AttemptState.NEW, AttemptEvent.CHECKED)
HELD = step(ATTEMPT, AttemptState.NEW, AttemptEvent.DOUBTED)
_TOLD_MAX = 1_000
_LOCK = 7306  # an arbitrary number that names acceptance among PostgreSQL's advisory locks
#: Above this many lines the planner's statistics are refreshed at once: without them PostgreSQL joins 20,000 new rows in ten seconds.
_ANALYSE_ABOVE = 500
#: Codes for which an accepted line is held, with the sentence a person reads.
HOLD_WORDS = {
    Code.SUSPECT_DUPLICATE: "same person, item, period and amount as another instruction",
    Code.NAME: "the name holds characters that no name has",
    Code.NAME_ID: "the id number fails its own check",
    Code.CHARSET: "the bank's charset lacks a character of the name",
}


def alone(tx: Tx) -> None:
    """One acceptance at a time: two that cannot see each other's Runs would both find that theirs is the only one (P3)."""
    if not tx.sqlite:
        tx.run("SELECT pg_advisory_xact_lock(:lock)", lock=_LOCK)


def conclude_intake(tx: Tx, run_key: int, windows: Sequence[Window], debits: Debits = NO_DEBITS) -> str:
    """Accept, hold or reject; returns the Run's state. Quiet where another replica was faster."""
    alone(tx)
    run = tx.row(tx.locked("SELECT * FROM run WHERE key = :key"), key=run_key)
    if run is None or run.state != RunState.RECEIVING:
        return str(run.state) if run else ""
    sums = tx.row(
        "SELECT SUM(count) AS n, SUM(minor) AS minor, SUM(bad) AS bad FROM chunk WHERE run_key = :key", key=run_key
    )
    count, minor, bad = int(sums.n), int(sums.minor), int(sums.bad)
    if (count, minor) != (run.declared_count, run.declared_minor):
        what = f"declared {run.declared_count} lines and {run.declared_minor} fen, got {count} lines and {minor} fen"
        return reject(tx, run, Code.TOTALS, what)
    if bad and (run.on_bad_line == "reject_run" or bad == count):
        first = tx.row("SELECT * FROM line_error WHERE run_key = :key AND fatal ORDER BY ordinal LIMIT 1", key=run_key)
        return reject(tx, run, Code(first.code), f"{bad} bad lines; the first is line {first.ordinal}: {first.what}")
    if strange := _strange_debit(tx, run.key, debits):
        return reject(tx, run, Code.POLICY, strange)
    if rival := _same_payroll(tx, run):
        what = f"a regular run for the same line, district and period exists: {rival}; two people must accept this one"
        return hold_run(tx, run, Code.SUSPECT_DUPLICATE, what)
    return accept(tx, run, windows)


def _strange_debit(tx: Tx, run_key: int, debits: Debits) -> str:
    """Which account would be debited that is not ours for that fund at that bank, or empty: a line inherits the Run's, which is one bank's."""
    lots = "SELECT DISTINCT bank, fund, debit_account FROM lot WHERE run_key = :run ORDER BY bank, fund, debit_account"
    for lot in tx.rows(lots, run=run_key):
        ours = debits.get(lot.bank)
        if ours and ours.get(lot.fund) != lot.debit_account:
            return f"{lot.debit_account} is not our account of the fund {lot.fund} at {lot.bank}"
    return ""


def _same_payroll(tx: Tx, run: Any) -> str:
    """Id of another regular Run for the same payer, line, district and period (P3), or empty."""
    if run.kind != "regular":
        return ""
    found = tx.scalar(
        "SELECT run_id FROM run WHERE payer = :payer AND line = :line AND district = :district AND period = :period AND kind = 'regular' "
        "AND key <> :key AND state NOT IN ('rejected', 'cancelled', 'receiving') ORDER BY key LIMIT 1",
        payer=run.payer, line=run.line, district=run.district, period=run.period, key=run.key,
    )  # fmt: skip
    return str(found or "")


def reject(tx: Tx, run: Any, code: Code, what: str) -> str:
    """The Run is rejected whole; its rows stay as evidence, its ids are free."""
    errors, total = _errors(tx, run.key)
    tx.run(f"UPDATE instruction SET rejected = true WHERE {keys_of(':key', 'key')}", key=run.key)
    state = set_run_state(tx, run, RunEvent.REJECTED, code=str(code), what=what, closed_ms=tx.now_ms)
    emit(
        tx,
        run.payer,
        "run.rejected",
        RunRejected(run_id=run.run_id, code=code, what=what, errors=errors, errors_total=total),
    )
    audit.append(tx, audit.SERVICE, "run.rejected", f"run:{run.payer}:{run.run_id}", {"code": str(code), "what": what})
    return str(state)


def hold_run(tx: Tx, run: Any, code: Code, what: str) -> str:
    """The Run waits for two people."""
    state = set_run_state(tx, run, RunEvent.DOUBTED, code=str(code), what=what)
    emit(tx, run.payer, "run.held", RunHeld(run_id=run.run_id, code=code, what=what))
    audit.append(tx, audit.SERVICE, "run.held", f"run:{run.payer}:{run.run_id}", {"code": str(code), "what": what})
    return str(state)


def accept(tx: Tx, run: Any, windows: Sequence[Window], actor: str = audit.SERVICE) -> str:
    """Attempts are born, controls are opened, the payer is told: from this commit on nothing of it is lost (P1)."""
    alone(tx)
    refresh = not tx.sqlite and (run.declared_count or 0) > _ANALYSE_ABOVE
    if refresh:
        tx.run("ANALYZE instruction")
    _index(tx, run.key)
    _mark_suspects(tx, run.key)
    tx.run(
        "INSERT INTO attempt (key, instruction_key, lot_key, try_no, state, amount) "
        f"SELECT key, key, lot_key, 1, CASE WHEN doubt IS NULL THEN '{READY}' ELSE '{HELD}' END, amount "
        "FROM instruction WHERE run_key = :run ORDER BY key",
        run=run.key,
    )
    if refresh:
        tx.run("ANALYZE attempt")
    tx.reach("accept.born")
    ordered = open_controls(tx, run.key)
    held = _hold_doubted(tx, run)
    state = set_run_state(tx, run, RunEvent.ACCEPTED, accepted_ms=tx.now_ms, code=None, what=None)
    rejected = _tell_rejected_lines(tx, run)
    warnings, _ = _errors(tx, run.key, fatal=False)
    if run.gathered:
        _tell_gathered(tx, run)
    event = RunAccepted(
        run_id=run.run_id,
        count=ordered[0],
        total=ordered[1],
        rejected=rejected,
        windows=list(windows),
        warnings=warnings,
    )
    emit(tx, run.payer, "run.accepted", event)
    body = {"count": ordered[0], "total": ordered[1], "held": held, "rejected_lines": rejected}
    audit.append(tx, actor, "run.accepted", f"run:{run.payer}:{run.run_id}", body)
    return str(state)


#: Lines (alias ``a``) that repeat another instruction under a new id: an earlier line of this Run, or a live one of another Run.
_SUSPECTS = (
    "SELECT a.key FROM instruction AS a JOIN lookup AS h ON h.hash = a.same_hash AND h.instruction_key <> a.key "
    "JOIN instruction AS b ON b.key = h.instruction_key AND b.person_hash = a.person_hash "
    "AND b.amount = a.amount AND b.item = a.item AND b.sequence = a.sequence AND b.period = a.period "
    f"WHERE {keys_of(':run', 'a.key')} AND NOT b.rejected AND ((b.run_key = :run AND b.key < a.key) OR (b.run_key <> :run AND EXISTS ("
    f"SELECT 1 FROM attempt AS t WHERE {tries_of('b.key', 't')} "
    f"AND t.state NOT IN ('{AttemptState.REFUSED}', '{AttemptState.WITHDRAWN}'))))"
)


def _index(tx: Tx, run_key: int) -> None:
    """From here on its persons, accounts and payments are found by their hashes."""
    parts = (
        f"SELECT {column} AS hash, key FROM instruction WHERE {keys_of(':run', 'key')}"
        for column in ("person_hash", "account_hash", "same_hash")
    )
    found = " UNION ALL ".join(parts)
    tx.run(
        f"INSERT INTO lookup (hash, instruction_key) SELECT hash, key FROM ({found}) AS f ORDER BY hash, key",
        run=run_key,
    )


def _mark_suspects(tx: Tx, run_key: int) -> None:
    """Doubt lines that repeat another instruction; those that are doubted already get a Hold of their own later."""
    tx.run(
        f"UPDATE instruction SET doubt = :code WHERE run_key = :run AND doubt IS NULL AND key IN ({_SUSPECTS})",
        code=str(Code.SUSPECT_DUPLICATE),
        run=run_key,
    )


def open_controls(tx: Tx, run_key: int) -> tuple[int, int]:
    """Control rows of a Run whose Attempts were just born; returns count and fen ordered."""
    born = tx.rows(
        "SELECT l.bank, l.origin_key, a.state, COUNT(*) AS n, SUM(a.amount) AS minor FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key "
        "WHERE l.run_key = :run GROUP BY l.bank, l.origin_key, a.state",
        run=run_key,
    )
    changes = []
    for row in born:
        for view in ("origin", "own"):
            changes.append(control.Change(view, run_key, row.bank, "ordered", int(row.n), int(row.minor)))
            changes.append(control.Change(view, run_key, row.bank, row.state, int(row.n), int(row.minor)))
    control.apply(tx, changes)
    return sum(int(row.n) for row in born), sum(int(row.minor) for row in born)


def _hold_doubted(tx: Tx, run: Any) -> int:
    """A Hold for every reason to doubt a line, and the payer is told which; how many lines are held."""
    cases = " ".join(f"WHEN '{code}' THEN :{code}" for code in HOLD_WORDS)
    into = "INSERT INTO hold (attempt_key, reason, what, opened_ms) SELECT"
    words = {str(code): sentence for code, sentence in HOLD_WORDS.items()}
    done = tx.run(
        f"{into} key, doubt, CASE doubt {cases} END, CAST(:now AS BIGINT) FROM instruction "
        f"WHERE {keys_of(':run', 'key')} AND doubt IS NOT NULL ORDER BY key",
        **words, run=run.key, now=tx.now_ms,
    )  # fmt: skip
    if not done.rowcount:
        return 0
    suspect = str(Code.SUSPECT_DUPLICATE)
    tx.run(
        f"{into} key, CAST(:code AS TEXT), CAST(:what AS TEXT), CAST(:now AS BIGINT) FROM instruction WHERE key IN "
        f"({_SUSPECTS} AND a.doubt IS NOT NULL AND a.doubt <> :code) ORDER BY key",
        code=suspect, what=words[suspect], run=run.key, now=tx.now_ms,
    )  # fmt: skip
    held = tx.rows(
        "SELECT i.id, h.reason, h.what FROM hold AS h JOIN instruction AS i ON i.key = h.attempt_key "
        f"WHERE {keys_of(':run', 'h.attempt_key')} AND h.closed_ms IS NULL ORDER BY i.key, h.key",
        run=run.key,
    )
    items = [InstructionNotice(instruction_id=r.id, run_id=run.run_id, code=r.reason, what=r.what) for r in held]
    notices(tx, run.payer, "instruction.held", items)
    return int(done.rowcount)


def _tell_rejected_lines(tx: Tx, run: Any) -> int:
    """``instruction.rejected`` for the bad lines of an accepted Run."""
    found = tx.rows("SELECT * FROM line_error WHERE run_key = :run AND fatal ORDER BY ordinal", run=run.key)
    items = [
        InstructionNotice(
            instruction_id=r.instruction_id,
            run_id=run.run_id,
            code=r.code,
            what=f"line {r.ordinal}, {r.where}: {r.what}",
        )
        for r in found
    ]
    notices(tx, run.payer, "instruction.rejected", items)
    return len(found)


def _tell_gathered(tx: Tx, run: Any) -> None:
    """Payers do not know the Run that the gateway gathered: tell each of its instructions where it went."""
    found = tx.rows("SELECT id FROM instruction WHERE run_key = :run AND doubt IS NULL ORDER BY key", run=run.key)
    notices(
        tx,
        run.payer,
        "instruction.accepted",
        [InstructionNotice(instruction_id=r.id, run_id=run.run_id) for r in found],
    )


def _errors(tx: Tx, run_key: int, fatal: bool = True) -> tuple[list[LineError], int]:
    """The first thousand errors (or warnings) of a Run, and how many there are."""
    condition = "run_key = :run AND fatal = :fatal"
    total = int(tx.scalar(f"SELECT COUNT(*) FROM line_error WHERE {condition}", run=run_key, fatal=fatal))
    found = tx.rows(
        f'SELECT ordinal, instruction_id, code, "where", what FROM line_error WHERE {condition} ORDER BY ordinal LIMIT {_TOLD_MAX}',
        run=run_key,
        fatal=fatal,
    )
    errors = [
        LineError(instruction_id=r.instruction_id, code=r.code, where=r.where, what=r.what, ordinal=r.ordinal)
        for r in found
    ]
    return errors, total


def expire_incomplete(tx: Tx, older_than_ms: int) -> int:
    """Runs that still miss chunks after so long are rejected with TOTALS."""
    found = tx.rows(
        tx.locked("SELECT * FROM run WHERE state = 'receiving' AND NOT gathered AND received_ms < :limit"),
        limit=tx.now_ms - older_than_ms,
    )
    for run in found:
        have = int(tx.scalar("SELECT COUNT(*) FROM chunk WHERE run_key = :key", key=run.key))
        reject(tx, run, Code.TOTALS, f"{have} of {run.declared_chunks} chunks came in time")
    return len(found)


def close_gathering(tx: Tx, before_day: date) -> int:
    """Gathered Runs of earlier days take no more and are accepted."""
    found = tx.rows(
        tx.locked("SELECT * FROM run WHERE state = 'receiving' AND gathered AND pay_date < :day"),
        day=before_day.isoformat(),
    )
    for run in found:
        accept_gathered(tx, run)
    return len(found)


def accept_gathered(tx: Tx, run: Any) -> str:
    """A gathered Run takes no more: first tries are born, second tries (born ``new``) become ready."""
    if run.kind != "second_payment":
        return accept(tx, run, [])
    control.move(tx, AttemptEvent.CHECKED, "a.lot_key IN (SELECT key FROM lot WHERE run_key = :run)", run=run.key)
    state = set_run_state(tx, run, RunEvent.ACCEPTED, accepted_ms=tx.now_ms)
    sums = tx.row(
        "SELECT SUM(count) AS n, SUM(minor) AS minor FROM control WHERE view = 'own' AND run_key = :run AND part = 'ordered'",
        run=run.key,
    )
    event = RunAccepted(run_id=run.run_id, count=int(sums.n or 0), total=int(sums.minor or 0), rejected=0, windows=[])
    emit(tx, run.payer, "run.accepted", event)
    audit.append(
        tx,
        audit.SERVICE,
        "run.accepted",
        f"run:{run.payer}:{run.run_id}",
        {"count": event.count, "total": event.total, "held": 0},
    )
    return str(state)


LIVE = ", ".join(f"'{state}'" for state in LIVE_OR_PAID)
