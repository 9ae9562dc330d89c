"""Telling the payers, and closing what has come to its end."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gateway.core.contracts import Alert, InstructionNotice, RunCancelRefused, RunClosed, RunRejected, Share
from gateway.core.ledger import Meta
from gateway.core.states import RUN, RunEvent, RunState, step
from gateway.core.topology import OPERATIONS
from gateway.edge.ledger import audit, control
from gateway.edge.ledger.engine import Tx
from gateway.edge.ledger.events import emit, notices


def outbox_page(tx: Tx, most: int, without: Collection[str] = ()) -> list[tuple[int, str, str, bytes]]:
    """Waiting events in order, but none of these payers. One replica relays at a time, because order matters per Instruction."""
    others = "".join(f" AND routing_key NOT LIKE :p{n}" for n in range(len(without)))
    rows = tx.rows(
        f"SELECT seq, message_id, routing_key, body FROM outbox WHERE published_ms IS NULL{others} ORDER BY seq LIMIT :most",
        most=most,
        **{f"p{n}": f"{payer}.%" for n, payer in enumerate(sorted(without))},
    )
    return [(int(r.seq), r.message_id, r.routing_key, bytes(r.body)) for r in rows]


def outbox_done(tx: Tx, seqs: Sequence[int]) -> None:
    """They are confirmed by the broker: the message stays known, its body goes."""
    listed = ", ".join(str(int(seq)) for seq in seqs)
    if listed:
        tx.run(
            f"UPDATE outbox SET published_ms = :now, body = :empty WHERE seq IN ({listed})", now=tx.now_ms, empty=b""
        )


def alert(tx: Tx, severity: str, subject: str, code: str, what: str) -> None:
    """One alert event; no personal data in it."""
    emit(tx, OPERATIONS, "alert", Alert(severity=severity, subject=subject, code=code, what=what))  # type: ignore[arg-type]  # checked by msgspec


def refuse_message(tx: Tx, meta: Meta, name: str, subject: str, code: str, what: str) -> None:
    """The refusal event that fits the message; it had no effect."""
    if name.startswith("run.cancel"):
        emit(tx, meta.payer, "run.cancel_refused", RunCancelRefused(run_id=subject, code=code, what=what))
    elif name.startswith("run."):
        emit(tx, meta.payer, "run.rejected", RunRejected(run_id=subject, code=code, what=what))
    else:
        event = {
            "instruction.withdraw": "instruction.withdraw_refused",
            "instruction.repay": "instruction.repay_refused",
        }.get(name)
        notices(
            tx,
            meta.payer,
            event or "instruction.rejected",
            [InstructionNotice(instruction_id=subject, code=code, what=what)],
        )


def close_runs(tx: Tx) -> list[str]:
    """Close Runs with no Attempt new, ready, batched or unknown and with every result set closed; held ones are carried forward."""
    rows = tx.rows(
        tx.locked(
            "SELECT * FROM run WHERE state IN ('released', 'paying') AND NOT EXISTS (SELECT 1 FROM control AS c WHERE c.view = 'own' "
            "AND c.run_key = run.key AND c.part IN ('new', 'ready', 'batched', 'unknown') AND c.count <> 0) AND NOT EXISTS ("
            "SELECT 1 FROM parked AS p JOIN attempt AS a ON a.document_key = p.document_key JOIN lot AS l ON l.key = a.lot_key "
            "WHERE p.closed_ms IS NULL AND l.run_key = run.key)"
        )
    )
    closed = []
    for run in rows:
        state = step(RUN, RunState(run.state), RunEvent.CLOSED)
        tx.run(
            "UPDATE run SET state = :state, closed_ms = :now WHERE key = :key",
            state=str(state),
            now=tx.now_ms,
            key=run.key,
        )
        parts: dict[str, list[int]] = {}
        for by_part in control.line(tx, run.key, "own").values():
            for part, (count, minor) in by_part.items():
                summed = parts.setdefault(part, [0, 0])
                summed[0] += count
                summed[1] += minor
        ordered = parts.pop("ordered", [0, 0])
        by_state = {part: Share(count=n, total=minor) for part, (n, minor) in sorted(parts.items()) if n}
        emit(
            tx,
            run.payer,
            "run.closed",
            RunClosed(run_id=run.run_id, ordered=Share(count=ordered[0], total=ordered[1]), by_state=by_state),
        )
        audit.append(
            tx, audit.SERVICE, "run.closed", f"run:{run.payer}:{run.run_id}",
            {"ordered": ordered, "by_state": {part: [s.count, s.total] for part, s in by_state.items()}},
        )  # fmt: skip
        closed.append(str(run.run_id))
    return closed


def faults(tx: Tx) -> list[str]:
    """Everything that does not add up: money, and the audit chain. Empty is what every commit must leave behind."""
    wrong = control.faults(tx)
    try:
        audit.verify(tx)
    except Exception as error:  # noqa: BLE001 # the checker reports, it does not fail
        wrong.append(str(error))
    twice = tx.rows(
        "SELECT instruction_key, COUNT(*) AS n FROM attempt WHERE state IN ('paid') GROUP BY instruction_key HAVING COUNT(*) > 1 LIMIT 100"
    )
    return wrong + [f"instruction {row.instruction_key} is paid {row.n} times" for row in twice]
