"""Reading: a Run at a glance, a report, one payment's whole life. Account and id numbers come out masked unless asked for."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.ids import mask_account, mask_id, mask_name
from gateway.core.states import RunState
from gateway.edge.ledger import control, private
from gateway.edge.ledger.engine import Tx, keys_of, tries_of
from gateway.edge.ledger.release import release_body, the_run


def runs(tx: Tx, most: int = 50) -> list[dict[str, Any]]:
    """The newest Runs first."""
    found = tx.rows("SELECT * FROM run ORDER BY key DESC LIMIT :most", most=most)
    return [_run(row) for row in found]


def _run(row: Any) -> dict[str, Any]:
    keep = ("payer", "run_id", "state", "kind", "line", "period", "fund", "pay_date", "code", "what", "received_ms", "accepted_ms",
            "released_ms", "closed_ms")  # fmt: skip
    return {name: getattr(row, name) for name in keep}


def status(tx: Tx, run_id: str, payer: str = "") -> dict[str, Any] | None:
    """A Run at a glance: its state, the conservation line in both views, its Documents, what is held and parked."""
    row = tx.row(
        "SELECT * FROM run WHERE run_id = :run_id AND (:payer = '' OR payer = :payer) ORDER BY key DESC LIMIT 1",
        run_id=run_id,
        payer=payer,
    )
    if row is None:
        return None
    documents = tx.rows(
        "SELECT d.name, d.reference, d.bank, d.state, d.count, d.minor, d.told, d.sendings, d.code, d.what FROM document AS d "
        "WHERE d.key IN (SELECT DISTINCT a.document_key FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key WHERE l.run_key = :run) "
        "ORDER BY d.key",
        run=row.key,
    )
    return {
        **_run(row),
        "banks": control.line(tx, row.key, "origin"),
        "own": control.line(tx, row.key, "own"),
        "documents": [dict(d._mapping) for d in documents],
        "open_holds": _holds(tx, row.key),
    }


def progress(tx: Tx, run_id: str, payer: str) -> tuple[str, dict[str, int]]:
    """A Run's state and how many of its own Attempts stand where: cheap enough to be asked ten times a second."""
    row = tx.row(
        "SELECT key, state FROM run WHERE run_id = :run_id AND payer = :payer ORDER BY key DESC LIMIT 1",
        run_id=run_id,
        payer=payer,
    )
    if row is None:
        return "", {}
    parts: dict[str, int] = {}
    for by_part in control.line(tx, row.key, "own").values():
        for part, (count, _) in by_part.items():
            parts[part] = parts.get(part, 0) + count
    return row.state, parts


def _holds(tx: Tx, run_key: int) -> dict[str, int]:
    rows = tx.rows(
        "SELECT h.reason, COUNT(*) AS n FROM hold AS h JOIN attempt AS a ON a.key = h.attempt_key JOIN lot AS l ON l.key = a.lot_key "
        "WHERE l.run_key = :run AND h.closed_ms IS NULL GROUP BY h.reason ORDER BY h.reason",
        run=run_key,
    )
    return {row.reason: int(row.n) for row in rows}


def report(tx: Tx, run_id: str, payer: str = "") -> dict[str, Any]:
    """One Run's figures: first try and after the second payment, by bank, district and verdict; what is open, masked."""
    run = the_run(tx, run_id, payer, locked=False)
    first = tx.rows(
        "SELECT l.bank, i.district, a.state, COALESCE(a.verdict, '') AS verdict, COUNT(*) AS n, SUM(a.amount) AS minor "
        "FROM attempt AS a JOIN instruction AS i ON i.key = a.instruction_key JOIN lot AS l ON l.key = a.lot_key "
        f"WHERE {keys_of(':run', 'a.key')} AND a.try_no = 1 GROUP BY l.bank, i.district, a.state, a.verdict ORDER BY 1, 2, 3, 4",
        run=run.key,
    )
    later = tx.rows(
        "SELECT l.bank, i.district, a.state, COALESCE(a.verdict, '') AS verdict, COUNT(*) AS n, SUM(a.amount) AS minor "
        "FROM attempt AS a JOIN instruction AS i ON i.key = a.instruction_key JOIN lot AS l ON l.key = a.lot_key "
        f"WHERE {keys_of(':run', 'a.instruction_key')} AND a.try_no > 1 GROUP BY l.bank, i.district, a.state, a.verdict ORDER BY 1, 2, 3, 4",
        run=run.key,
    )
    return {
        **_run(run),
        "first": [_figures(row) for row in first],
        "later": [_figures(row) for row in later],
        "conservation": control.line(tx, run.key, "origin"),
        "waiting": waiting(tx, run.key),
    }


def _figures(row: Any) -> dict[str, Any]:
    return {
        "bank": row.bank, "district": row.district, "state": row.state, "verdict": row.verdict, "count": int(row.n), "minor": int(row.minor),
    }  # fmt: skip


def waiting(tx: Tx, run_key: int, most: int = 10_000) -> list[dict[str, Any]]:
    """Open Cases of one Run with masked names and accounts: what each waits for, since when."""
    rows = tx.rows(
        "SELECT i.id, i.name, i.amount, i.district, i.sealed, l.bank, c.verdict, c.waits_for, c.since_ms, c.state FROM case_file AS c "
        "JOIN instruction AS i ON i.key = c.instruction_key JOIN attempt AS a ON a.key = c.attempt_key JOIN lot AS l ON l.key = a.lot_key "
        f"WHERE {keys_of(':run', 'c.instruction_key')} AND c.state <> 'closed' ORDER BY c.instruction_key LIMIT :most",
        run=run_key, most=most,
    )  # fmt: skip
    return [
        {
            "instruction": r.id, "name": mask_name(r.name), "account": mask_account(private.unseal(tx.atrest, bytes(r.sealed)).account),
            "bank": r.bank, "district": r.district, "minor": int(r.amount), "verdict": r.verdict, "waits_for": r.waits_for,
            "since_ms": int(r.since_ms), "state": r.state,
        }
        for r in rows
    ]  # fmt: skip


def show(tx: Tx, instruction_id: str, payer: str = "") -> dict[str, Any] | None:
    """One payment's whole life: the order, every try with its file, line, seal, receipt and result, every Act about it."""
    row = tx.row(
        "SELECT i.*, r.run_id FROM instruction AS i JOIN run AS r ON r.key = i.run_key WHERE i.id = :id AND (:payer = '' OR i.payer = :payer) "
        "ORDER BY i.rejected, i.key DESC LIMIT 1",
        id=instruction_id, payer=payer,
    )  # fmt: skip
    if row is None:
        return None
    hidden = private.unseal(tx.atrest, bytes(row.sealed))
    tries = tx.rows(
        "SELECT a.*, l.bank, l.fund, l.debit_account, l.pay_date, r.run_id FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key "
        f"JOIN run AS r ON r.key = l.run_key WHERE {tries_of(':key')} ORDER BY a.try_no",
        key=row.key,
    )
    return {
        "payer": row.payer, "instruction": row.id, "run": row.run_id, "rejected": bool(row.rejected), "name": mask_name(row.name),
        "person": {"name": mask_name(hidden.person_name), "id_type": hidden.person_id_type, "id_number": mask_id(hidden.person_id_number)},
        "relation": row.relation, "account": mask_account(hidden.account), "minor": int(row.amount), "item": row.item, "period": row.period,
        "district": row.district, "purpose": row.purpose, "attempts": [_try(tx, attempt) for attempt in tries],
        "case": _mapping(tx.row("SELECT * FROM case_file WHERE instruction_key = :key", key=row.key)),
        "acts": _acts(tx, row, tries),
    }  # fmt: skip


def _try(tx: Tx, attempt: Any) -> dict[str, Any]:
    document = (
        _mapping(tx.row("SELECT * FROM document WHERE key = :key", key=attempt.document_key))
        if attempt.document_key
        else None
    )
    if document:
        document["seal"] = f"detached, {len(document['seal'])} bytes" if document["seal"] else "inside the document"
        answers = tx.rows(
            "SELECT name, kind, state, digest, seal_by, received_ms, applied_ms FROM inbound WHERE bank = :bank AND original = :reference "
            "AND (kind <> 'result' OR key = :result) ORDER BY key",
            bank=attempt.bank, reference=document["reference"], result=attempt.result_key,
        )  # fmt: skip
        document["answers"] = [_mapping(answer) for answer in answers]
    changed = tx.row(
        "SELECT name, verifier, approver, evidence, sealed FROM correction WHERE attempt_key = :key", key=attempt.key
    )
    holds = tx.rows(
        "SELECT reason, what, opened_ms, closed_ms, closed_by FROM hold WHERE attempt_key = :key ORDER BY key",
        key=attempt.key,
    )
    return {
        "try": attempt.try_no, "key": attempt.key, "run": attempt.run_id, "bank": attempt.bank, "fund": attempt.fund,
        "pay_date": attempt.pay_date, "state": attempt.state, "verdict": attempt.verdict, "code": attempt.code, "bank_ref": attempt.bank_ref,
        "line": attempt.line, "document": document,
        "correction": {
            "name": changed.name, "verifier": changed.verifier, "approver": changed.approver, "evidence": changed.evidence,
            "account": mask_account(private.unseal_account(tx.atrest, bytes(changed.sealed))) if changed.sealed else None,
        } if changed else None,
        "holds": [_mapping(hold) for hold in holds],
    }  # fmt: skip


def _acts(tx: Tx, row: Any, tries: list[Any]) -> list[dict[str, Any]]:
    """Acts on the instruction itself, its Runs and its Documents, in the order of the chain."""
    subjects = {f"instruction:{row.payer}:{row.id}", f"run:{row.payer}:{row.run_id}"} | {
        f"run:{row.payer}:{a.run_id}" for a in tries
    }
    keys = [a.document_key for a in tries if a.document_key]
    if keys:
        listed = ", ".join(str(key) for key in keys)
        subjects |= {
            f"document:{r.reference}" for r in tx.rows(f"SELECT reference FROM document WHERE key IN ({listed})")
        }
    told = [str(int(a.result_key)) for a in tries if a.result_key]
    if told:
        subjects |= {
            f"letter:{r.bank}:{r.reference}"
            for r in tx.rows(
                f"SELECT bank, reference FROM inbound WHERE channel = 'letter' AND (key IN ({', '.join(told)}) OR original IN "
                f"(SELECT reference FROM document WHERE key IN ({', '.join(map(str, keys)) or 'NULL'})))"
            )
        }
    marks = ", ".join(f":s{n}" for n in range(len(subjects)))
    values = {f"s{n}": subject for n, subject in enumerate(sorted(subjects))}
    acts = tx.rows(
        f"SELECT seq, at_ms, actor, kind, subject, body FROM act WHERE subject IN ({marks}) ORDER BY seq", **values
    )
    return [{**_mapping(act), "body": msgspec.json.decode(act.body)} for act in acts]  # type: ignore[dict-item]  # rows are never None


def _mapping(row: Any) -> dict[str, Any] | None:
    return dict(row._mapping) if row is not None else None


def lanes(tx: Tx) -> list[dict[str, Any]]:
    """Every lane with its state and what stands in it."""
    return [
        _mapping(row) or {}
        for row in tx.rows("SELECT bank, state, reason, owner, epoch, until_ms FROM lane ORDER BY bank")
    ]


def parked(tx: Tx) -> list[dict[str, Any]]:
    """Open parked lines, and inbound Documents that were parked or quarantined whole."""
    lines = tx.rows(
        "SELECT key, bank, ref, code, what, raw, at_ms FROM parked WHERE closed_ms IS NULL ORDER BY key LIMIT 1000"
    )
    whole = tx.rows(
        "SELECT key, bank, name, state, code, what, digest, received_ms FROM inbound WHERE state IN ('parked', 'quarantined') ORDER BY key LIMIT 1000"
    )
    return [{"line": True, **(_mapping(r) or {})} for r in lines] + [
        {"line": False, **(_mapping(r) or {})} for r in whole
    ]


def held(tx: Tx) -> list[dict[str, Any]]:
    """Open Holds and held Runs."""
    rows = tx.rows(
        "SELECT r.payer, r.run_id, i.id, h.reason, h.what, h.opened_ms FROM hold AS h JOIN attempt AS a ON a.key = h.attempt_key "
        "JOIN instruction AS i ON i.key = a.instruction_key JOIN lot AS l ON l.key = a.lot_key JOIN run AS r ON r.key = l.run_key "
        "WHERE h.closed_ms IS NULL ORDER BY h.key LIMIT 1000"
    )
    whole = tx.rows(
        "SELECT payer, run_id, code AS reason, what, received_ms AS opened_ms FROM run WHERE state = 'held' ORDER BY key"
    )
    return [_mapping(r) or {} for r in rows] + [{"id": None, **(_mapping(r) or {})} for r in whole]


def totals(tx: Tx) -> dict[str, dict[str, int]]:
    """Over everything, by the latest try of each instruction: part → count and fen."""
    rows = tx.rows(
        "SELECT part, SUM(count) AS n, SUM(minor) AS minor FROM control WHERE view = 'origin' GROUP BY part ORDER BY part"
    )
    return {row.part: {"count": int(row.n), "minor": int(row.minor)} for row in rows}


# ---------------------------------------------------------------------------------------------------------------- for people's commands


def submitted(tx: Tx, payer: str, run_id: str) -> tuple[bytes | None, int]:
    """The header's digest of the Run of that id that stands (None for none), and how many of that id were rejected."""
    row = tx.row(
        "SELECT header_digest FROM run WHERE payer = :payer AND run_id = :id AND state <> 'rejected'",
        payer=payer, id=run_id,
    )  # fmt: skip
    rejected = tx.scalar(
        "SELECT COUNT(*) FROM run WHERE payer = :payer AND run_id = :id AND state = 'rejected'",
        payer=payer, id=run_id,
    )  # fmt: skip
    return (bytes(row.header_digest or b"") if row else None), int(rejected)


def outcome(tx: Tx, payer: str, run_id: str, header_digest: bytes, most: int = 20) -> dict[str, Any] | None:
    """What became of the Run with that header: state, why, the first bad lines and warnings, and its shares by bank and pay date."""
    run = tx.row(
        "SELECT * FROM run WHERE payer = :payer AND run_id = :id AND header_digest = :digest ORDER BY key DESC LIMIT 1",
        payer=payer, id=run_id, digest=header_digest,
    )  # fmt: skip
    if run is None:
        return None
    if run.state == RunState.RECEIVING:
        return _run(run)
    errors = tx.rows(
        'SELECT ordinal, instruction_id, code, "where", what, fatal FROM line_error WHERE run_key = :run ORDER BY fatal DESC, ordinal LIMIT :most',
        run=run.key, most=most,
    )  # fmt: skip
    counts = {
        bool(row.fatal): int(row.n)
        for row in tx.rows(
            "SELECT fatal, COUNT(*) AS n FROM line_error WHERE run_key = :run GROUP BY fatal", run=run.key
        )
    }
    shares = tx.rows(
        "SELECT l.bank, l.pay_date, COUNT(*) AS n, SUM(i.amount) AS minor FROM instruction AS i JOIN lot AS l ON l.key = i.lot_key "
        "WHERE i.run_key = :run GROUP BY l.bank, l.pay_date ORDER BY l.bank, l.pay_date",
        run=run.key,
    )
    return {
        **_run(run),
        "errors": [{**(_mapping(row) or {}), "fatal": bool(row.fatal)} for row in errors],
        "bad_lines": counts.get(True, 0), "warnings": counts.get(False, 0),
        "held": int(tx.scalar("SELECT COUNT(*) FROM instruction WHERE run_key = :run AND doubt IS NOT NULL", run=run.key)),
        "shares": [{"bank": s.bank, "pay_date": s.pay_date, "count": int(s.n), "minor": int(s.minor)} for s in shares],
    }  # fmt: skip


def release_preview(tx: Tx, run_id: str, payer: str = "", early: bool = False) -> dict[str, Any]:
    """What a maker would propose to release now, and the Run's state. A gathered Run of this day has no Attempts yet: its lines count."""
    run = the_run(tx, run_id, payer, locked=False)
    body = release_body(tx, run, early)
    if run.gathered and run.state == RunState.RECEIVING and run.kind != "second_payment":
        rows = tx.rows(
            "SELECT l.bank, l.fund, l.debit_account, l.pay_date, COUNT(*) AS count, SUM(i.amount) AS minor FROM instruction AS i "
            "JOIN lot AS l ON l.key = i.lot_key WHERE i.run_key = :run GROUP BY l.bank, l.fund, l.debit_account, l.pay_date ORDER BY 1, 2, 3, 4",
            run=run.key,
        )
        parts = [{**(_mapping(r) or {}), "count": int(r.count), "minor": int(r.minor)} for r in rows]
        body |= {"parts": parts, "count": sum(p["count"] for p in parts), "minor": sum(p["minor"] for p in parts)}
    return {**body, "state": run.state, "received_ms": int(run.received_ms), "corrections": _corrections(tx, run.key)}


def _corrections(tx: Tx, run_key: int) -> list[dict[str, Any]]:
    """Who is to be paid otherwise than first ordered, on whose word: what two people look at before they let a second payment go."""
    rows = tx.rows(
        "SELECT i.id, i.name AS ordered, i.sealed AS ordered_sealed, c.name, c.sealed, c.verifier, c.approver, c.evidence "
        "FROM lot AS l JOIN attempt AS a ON a.lot_key = l.key JOIN correction AS c ON c.attempt_key = a.key "
        "JOIN instruction AS i ON i.key = a.instruction_key WHERE l.run_key = :run ORDER BY c.attempt_key",
        run=run_key,
    )
    found = []
    for row in rows:
        if row.sealed is not None:
            before = mask_account(private.unseal(tx.atrest, row.ordered_sealed).account)
            after, what = mask_account(private.unseal_account(tx.atrest, row.sealed)), "account"
        else:
            before, after, what = row.ordered, row.name, "name"
        words = {"verifier": row.verifier, "approver": row.approver, "evidence": row.evidence}
        found.append({"instruction_id": row.id, "what": what, "before": before, "after": after, **words})
    return found


def case_figures(tx: Tx, run_id: str, payer: str = "") -> list[dict[str, Any]]:
    """Of one Run's open Cases: how many wait for what, and since when the oldest of them."""
    run = the_run(tx, run_id, payer, locked=False)
    rows = tx.rows(
        "SELECT c.waits_for, c.verdict, COUNT(*) AS n, SUM(i.amount) AS minor, MIN(c.since_ms) AS since_ms FROM case_file AS c "
        f"JOIN instruction AS i ON i.key = c.instruction_key WHERE {keys_of(':run', 'c.instruction_key')} AND c.state <> 'closed' "
        "GROUP BY c.waits_for, c.verdict ORDER BY c.waits_for, c.verdict",
        run=run.key,
    )
    return [
        {"waits_for": r.waits_for, "verdict": r.verdict, "count": int(r.n), "minor": int(r.minor), "since_ms": int(r.since_ms)}
        for r in rows
    ]  # fmt: skip
