"""Release: a maker confirms count, total, fund and debit account; a different checker lets the money go (P12)."""

from __future__ import annotations

from typing import Any

from gateway.core.contracts import RunCancelled, RunCancelRefused, RunReleased
from gateway.core.errors import Code, Conflict, Refused
from gateway.core.ledger import Meta, Recorded
from gateway.core.states import AttemptEvent, AttemptState, RunEvent, RunState
from gateway.edge.ledger import accept, actors, audit, control
from gateway.edge.ledger.engine import Tx, keys_of
from gateway.edge.ledger.events import emit
from gateway.edge.ledger.intake import find_run, seen, set_run_state

RELEASE, ACCEPT_HELD, FREE = "release", "accept_held_run", "free"


def the_run(tx: Tx, run_id: str, payer: str = "", *, locked: bool = True) -> Any:
    """The Run of that id, locked unless it is only looked at. Raises Refused where there is none, or several payers have one."""
    query = "SELECT * FROM run WHERE run_id = :run_id AND state <> 'rejected' AND (:payer = '' OR payer = :payer)"
    found = tx.rows(tx.locked(query) if locked else query, run_id=run_id, payer=payer)
    if len(found) != 1:
        what = (
            f"{len(found)} payers have a run called {run_id}: name the payer" if found else f"no run is called {run_id}"
        )
        raise Refused(what, code=Code.UNKNOWN_REF, where=run_id)
    return found[0]


def _subject(run: Any) -> str:
    return f"run:{run.payer}:{run.run_id}"


def release_body(tx: Tx, run: Any, early: bool) -> dict[str, Any]:
    """What both people see and sign: count and total by bank, fund and debit account, how many names and accounts were corrected, and whether
    it goes before its pay date."""
    rows = tx.rows(
        "SELECT l.bank, l.fund, l.debit_account, l.pay_date, COUNT(*) AS n, SUM(a.amount) AS minor "
        "FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key WHERE l.run_key = :run AND a.state IN ('new', 'ready', 'held') "
        "GROUP BY l.bank, l.fund, l.debit_account, l.pay_date ORDER BY l.bank, l.fund, l.debit_account, l.pay_date",
        run=run.key,
    )
    parts = [
        {
            "bank": r.bank,
            "fund": r.fund,
            "debit_account": r.debit_account,
            "pay_date": r.pay_date,
            "count": int(r.n),
            "minor": int(r.minor),
        }
        for r in rows
    ]
    corrected = tx.row(
        "SELECT COUNT(c.name) AS names, COUNT(c.sealed) AS accounts FROM lot AS l JOIN attempt AS a ON a.lot_key = l.key "
        "JOIN correction AS c ON c.attempt_key = a.key WHERE l.run_key = :run",
        run=run.key,
    )
    return {
        "run": run.run_id, "payer": run.payer, "kind": run.kind, "early": early, "parts": parts,
        "count": sum(p["count"] for p in parts), "minor": sum(p["minor"] for p in parts),
        "corrected": {"names": int(corrected.names), "accounts": int(corrected.accounts)},
    }  # fmt: skip


def propose_release(tx: Tx, actor: str, run_id: str, payer: str = "", early: bool = False) -> dict[str, Any]:
    """The maker's half. A gathered Run is closed to newcomers first: what is signed does not grow."""
    run = the_run(tx, run_id, payer)
    actors.need_role(tx, actor, actors.MAKER)
    if run.gathered and run.state == RunState.RECEIVING:
        accept.accept_gathered(tx, run)
        run = the_run(tx, run_id, run.payer)
    if run.state != RunState.ACCEPTED:
        raise Conflict(f"run {run_id} is {run.state}, only an accepted one can be released", where=run_id)
    body = release_body(tx, run, early)
    actors.propose(tx, actor, RELEASE, _subject(run), body)
    return body


def approve_release(tx: Tx, actor: str, run_id: str, payer: str = "") -> dict[str, Any]:
    """The checker's half: the Run is released in the same transaction."""
    run = the_run(tx, run_id, payer)
    waiting = actors.find(tx, RELEASE, _subject(run))
    early = bool(waiting and '"early":true' in waiting.body)
    body = release_body(tx, run, early)
    row = actors.decide(tx, actor, RELEASE, _subject(run), body)
    set_run_state(tx, run, RunEvent.RELEASED, released_ms=tx.now_ms, early=early)
    emit(
        tx, run.payer, "run.released",
        RunReleased(run_id=run.run_id, count=body["count"], total=body["minor"], maker=row.maker, checker=actor),
    )  # fmt: skip
    audit.append(tx, actor, "release.approved", _subject(run), {**body, "maker": row.maker})
    return body


def decline(tx: Tx, actor: str, kind: str, subject: str) -> None:
    """The second person says no: the proposal is gone, nothing else changes."""
    row = actors.decide(tx, actor, kind, subject, None, approve=False)
    audit.append(tx, actor, f"{kind}.declined", subject, {"maker": row.maker})


def propose_held_run(tx: Tx, actor: str, run_id: str, payer: str = "") -> dict[str, Any]:
    """A maker says that a held Run (a second regular one, say) is to be accepted all the same."""
    run = the_run(tx, run_id, payer)
    if run.state != RunState.HELD:
        raise Conflict(f"run {run_id} is {run.state}, not held", where=run_id)
    body = {
        "run": run.run_id,
        "payer": run.payer,
        "code": run.code,
        "count": int(run.declared_count),
        "minor": int(run.declared_minor),
    }
    actors.propose(tx, actor, ACCEPT_HELD, _subject(run), body)
    return body


def approve_held_run(tx: Tx, actor: str, run_id: str, payer: str = "") -> str:
    """The second person agrees: it is accepted now. Its predicted windows are told with its release."""
    run = the_run(tx, run_id, payer)
    body = {
        "run": run.run_id,
        "payer": run.payer,
        "code": run.code,
        "count": int(run.declared_count),
        "minor": int(run.declared_minor),
    }
    row = actors.decide(tx, actor, ACCEPT_HELD, _subject(run), body)
    state = accept.accept(tx, run, [], actor=actor)
    audit.append(tx, actor, f"{ACCEPT_HELD}.approved", _subject(run), {"maker": row.maker})
    return state


def _held_attempts(tx: Tx, run: Any, reason: str) -> list[Any]:
    """Open Holds of a Run. Raises Conflict for a closed one: nobody would send what is freed there."""
    if run.state == RunState.CLOSED:
        raise Conflict(f"{run.run_id} is closed: its held payments are withdrawn and ordered again", where=run.run_id)
    return tx.rows(
        "SELECT h.key, h.attempt_key, h.reason, i.id FROM hold AS h JOIN attempt AS a ON a.key = h.attempt_key "
        "JOIN lot AS l ON l.key = a.lot_key JOIN instruction AS i ON i.key = a.instruction_key "
        "WHERE l.run_key = :run AND h.closed_ms IS NULL AND (:reason = '' OR h.reason = :reason) ORDER BY h.attempt_key, h.key",
        run=run.key, reason=reason,
    )  # fmt: skip


def propose_free(tx: Tx, actor: str, run_id: str, reason: str = "", payer: str = "") -> dict[str, Any]:
    """A maker says that the held payments of a Run may go after all."""
    run = the_run(tx, run_id, payer)
    found = _held_attempts(tx, run, reason)
    if not found:
        raise Conflict(f"nothing is held in {run_id}", where=run_id)
    body = {"run": run.run_id, "reason": reason, "holds": [int(row.key) for row in found]}
    actors.propose(tx, actor, FREE, _subject(run), body)
    return {**body, "instructions": [row.id for row in found]}


def approve_free(tx: Tx, actor: str, run_id: str, reason: str = "", payer: str = "") -> int:
    """The second person agrees: the Holds are closed, Attempts without another open Hold are ready. Returns how many Holds."""
    run = the_run(tx, run_id, payer)
    found = _held_attempts(tx, run, reason)
    body = {"run": run.run_id, "reason": reason, "holds": [int(row.key) for row in found]}
    row = actors.decide(tx, actor, FREE, _subject(run), body)
    close_holds(tx, [int(r.key) for r in found], actor)
    audit.append(tx, actor, f"{FREE}.approved", _subject(run), {"maker": row.maker, "holds": len(found)})
    return len(found)


def close_holds(tx: Tx, keys: list[int], actor: str) -> None:
    """Close Holds; their Attempts are ready as soon as none is open."""
    listed = ", ".join(str(key) for key in keys)
    tx.run(f"UPDATE hold SET closed_ms = :now, closed_by = :actor WHERE key IN ({listed})", now=tx.now_ms, actor=actor)
    control.move(
        tx,
        AttemptEvent.FREED,
        f"a.key IN (SELECT attempt_key FROM hold WHERE key IN ({listed})) "
        "AND NOT EXISTS (SELECT 1 FROM hold AS o WHERE o.attempt_key = a.key AND o.closed_ms IS NULL)",
    )


def cancel_run(tx: Tx, meta: Meta, run_id: str, reason: str) -> Recorded:
    """Take a Run back if nothing of it has left; the payer is told either way."""
    recorded = seen(tx, meta)
    if recorded is not Recorded.NEW:
        return recorded
    run = find_run(tx, meta.payer, run_id)
    if run is None:
        refusal = RunCancelRefused(run_id=run_id, code=Code.UNKNOWN_REF, what="no such run")
    elif run.state in (RunState.PAYING, RunState.CLOSED, RunState.CANCELLED) or run.kind == "second_payment":
        refusal = RunCancelRefused(run_id=run_id, code=Code.POLICY, what=f"too late: the run is {run.state}")
    else:
        _cancel(tx, run, reason)
        return Recorded.NEW
    emit(tx, meta.payer, "run.cancel_refused", refusal)
    return Recorded.NEW


def _cancel(tx: Tx, run: Any, reason: str) -> None:
    if run.state in (RunState.RECEIVING, RunState.HELD):  # no Attempt was born: the ids are free
        tx.run(f"UPDATE instruction SET rejected = true WHERE {keys_of(':run', 'key')}", run=run.key)
    else:
        control.move(tx, AttemptEvent.WITHDRAWN, "a.lot_key IN (SELECT key FROM lot WHERE run_key = :run)", run=run.key)
        left = tx.scalar(
            "SELECT COUNT(*) FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key WHERE l.run_key = :run AND a.state <> :gone",
            run=run.key, gone=str(AttemptState.WITHDRAWN),
        )  # fmt: skip
        if left:
            raise Conflict(
                f"{left} payments of {run.run_id} are not where a cancelled run leaves them", where=run.run_id
            )
        tx.run(
            f"UPDATE hold SET closed_ms = :now, closed_by = :by WHERE {keys_of(':run', 'attempt_key')} AND closed_ms IS NULL",
            now=tx.now_ms, by=f"payer:{run.payer}", run=run.key,
        )  # fmt: skip
    set_run_state(tx, run, RunEvent.CANCELLED, closed_ms=tx.now_ms, what=reason)
    tx.run(
        "UPDATE proposal SET checker = :actor, decided_ms = :now, decision = 'withdrawn' WHERE subject = :subject AND decision IS NULL",
        actor=audit.SERVICE, now=tx.now_ms, subject=_subject(run),
    )  # fmt: skip
    emit(tx, run.payer, "run.cancelled", RunCancelled(run_id=run.run_id))
    audit.append(tx, f"payer:{run.payer}", "run.cancelled", _subject(run), {"reason": reason})
