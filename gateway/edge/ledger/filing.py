"""Filing: ready Attempts of a Bank become Batches and Documents by ranks, set-based, before any file exists; and inquiries about a Document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from gateway.core.bank import DocKind
from gateway.core.errors import Conflict
from gateway.core.ledger import LotGroup, Naming, Ranks
from gateway.core.money import Totals
from gateway.core.states import (
    ATTEMPT,
    RUN,
    AttemptEvent,
    AttemptState,
    DocumentState,
    RunEvent,
    RunState,
    step,
)
from gateway.edge.ledger import control, lanes
from gateway.edge.ledger.engine import Tx
from gateway.edge.ledger.intake import next_key
from gateway.edge.ledger.schema import RUN_SPAN

_READY = str(AttemptState.READY)
_BATCHED = str(step(ATTEMPT, AttemptState.READY, AttemptEvent.BATCHED))


def ready_groups(tx: Tx, bank: str) -> list[LotGroup]:
    """Ready Attempts at ``bank`` from released Runs, by what may travel together."""
    runs = tx.rows(
        "SELECT r.key FROM run AS r JOIN control AS c ON c.run_key = r.key AND c.view = 'own' AND c.part = :ready AND c.bank = :bank "
        "WHERE r.state IN ('released', 'paying') AND c.count > 0 ORDER BY r.key",
        ready=_READY, bank=bank,
    )  # fmt: skip
    groups: dict[tuple[Any, ...], Totals] = {}
    for run in runs:
        for row in tx.rows(
            "SELECT l.fund, l.debit_account, l.pay_date, l.line, r.early, COUNT(*) AS n, SUM(a.amount) AS minor "
            "FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key JOIN run AS r ON r.key = l.run_key "
            "WHERE a.key BETWEEN :low AND :high AND a.state = :ready AND l.bank = :bank "
            "GROUP BY l.fund, l.debit_account, l.pay_date, l.line, r.early",
            low=run.key * RUN_SPAN, high=(run.key + 1) * RUN_SPAN - 1, ready=_READY, bank=bank,
        ):  # fmt: skip
            key = (row.fund, row.debit_account, row.pay_date, row.line, bool(row.early))
            groups[key] = groups.get(key, Totals()).plus(Totals(int(row.n), int(row.minor)))
    return [
        LotGroup(bank, fund, debit, date.fromisoformat(pay_date), line, early, totals)
        for (fund, debit, pay_date, line, early), totals in sorted(groups.items())
    ]


def _members(tx: Tx, group: LotGroup) -> str:
    """WHERE for the group's ready Attempts (alias ``a``)."""
    found = tx.rows(
        "SELECT l.key, l.run_key FROM lot AS l JOIN run AS r ON r.key = l.run_key WHERE l.bank = :bank AND l.fund = :fund "
        "AND l.debit_account = :debit AND l.pay_date = :pay_date AND l.line = :line AND r.early = :early AND r.state IN ('released', 'paying')",
        bank=group.bank, fund=group.fund, debit=group.debit_account, pay_date=group.pay_date.isoformat(), line=group.line, early=group.early,
    )  # fmt: skip
    if not found:
        return "1 = 0"
    lots = ", ".join(str(row.key) for row in found)
    runs = sorted({row.run_key for row in found})
    spans = " OR ".join(f"a.key BETWEEN {run * RUN_SPAN} AND {(run + 1) * RUN_SPAN - 1}" for run in runs)
    return f"a.state = '{_READY}' AND a.lot_key IN ({lots}) AND ({spans})"


def group_amounts(tx: Tx, group: LotGroup) -> list[int]:
    """Amounts in key order."""
    return [
        int(row.amount)
        for row in tx.rows(f"SELECT a.amount FROM attempt AS a WHERE {_members(tx, group)} ORDER BY a.key")
    ]


def file_batch(tx: Tx, group: LotGroup, epoch: int, ranks: Sequence[Ranks], naming: Naming, day: date) -> list[int]:
    """Membership, names and references of all Documents of one Batch, in one transaction.

    Raises Conflict if what is ready is not what was planned any more (a payment was withdrawn or freed meanwhile): plan it again.
    """
    lanes.fenced(tx, group.bank, epoch, outward=True)
    batch = tx.scalar(
        "INSERT INTO batch (bank, fund, debit_account, pay_date, line, created_ms) VALUES (:bank, :fund, :debit, :pay_date, :line, :now) "
        "RETURNING key",
        bank=group.bank, fund=group.fund, debit=group.debit_account, pay_date=group.pay_date.isoformat(), line=group.line, now=tx.now_ms,
    )  # fmt: skip
    first = next_key(tx, f"document:{group.bank}:{DocKind.PAYMENT}:{day}", len(ranks))
    planned = []
    for offset, rank in enumerate(ranks):
        key = _open_document(tx, group.bank, DocKind.PAYMENT, day, first + offset, naming, batch_key=int(batch))
        planned.append((key, rank))
    members = _members(tx, group)
    plan = " UNION ALL ".join(
        f"SELECT {key} AS document_key, {rank.first} AS first_rank, {rank.last} AS last_rank" for key, rank in planned
    )
    tx.run(
        f"WITH ranked AS (SELECT a.key, ROW_NUMBER() OVER (ORDER BY a.key) AS rank FROM attempt AS a WHERE {members}), plan AS ({plan}), "
        "placed AS (SELECT r.key, p.document_key, r.rank - p.first_rank + 1 AS line FROM ranked AS r "
        "JOIN plan AS p ON r.rank BETWEEN p.first_rank AND p.last_rank) "
        f"UPDATE attempt SET state = '{_BATCHED}', document_key = placed.document_key, line = placed.line FROM placed "
        f"WHERE attempt.key = placed.key AND attempt.state = '{_READY}'"  # again: it may have been withdrawn while we waited for it
    )
    tx.reach("dispatch.placed")
    got = Totals()
    for key, rank in planned:
        got = got.plus(_count_members(tx, key, rank.last - rank.first + 1))
    if got.count == group.totals.count and got.minor != group.totals.minor:
        raise Conflict(f"{group.totals.minor} fen were planned and {got.minor} are ready", where=group.bank)
    _start_paying(tx, [key for key, _ in planned])
    return [key for key, _ in planned]


def _open_document(
    tx: Tx,
    bank: str,
    kind: DocKind,
    day: date,
    sequence: int,
    naming: Naming,
    *,
    batch_key: int | None = None,
    about_key: int | None = None,
) -> int:
    reference, name = naming(sequence)
    key = tx.scalar(
        "INSERT INTO document (batch_key, about_key, bank, kind, state, reference, name, day, sequence, count, minor, created_ms) "
        "VALUES (:batch, :about, :bank, :kind, :state, :reference, :name, :day, :sequence, 0, 0, :now) RETURNING key",
        batch=batch_key, about=about_key, bank=bank, kind=str(kind), state=str(DocumentState.OPEN), reference=reference, name=name,
        day=day.isoformat(), sequence=sequence, now=tx.now_ms,
    )  # fmt: skip
    return int(key)


def _count_members(tx: Tx, document_key: int, expected: int) -> Totals:
    """Shares by payer, the Document's totals, the controls; checked against the plan."""
    rows = tx.rows(
        "SELECT a.lot_key, r.payer, COUNT(*) AS n, SUM(a.amount) AS minor FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key "
        "JOIN run AS r ON r.key = l.run_key WHERE a.document_key = :key GROUP BY a.lot_key, r.payer",
        key=document_key,
    )
    count, minor = sum(int(r.n) for r in rows), sum(int(r.minor) for r in rows)
    if count != expected:
        raise Conflict(
            f"a Document was planned with {expected} lines and {count} are ready", where=f"document {document_key}"
        )
    tx.run(
        "UPDATE document SET count = :count, minor = :minor WHERE key = :key",
        count=count,
        minor=minor,
        key=document_key,
    )
    shares: dict[str, Totals] = {}
    for r in rows:
        shares[r.payer] = shares.get(r.payer, Totals()).plus(Totals(int(r.n), int(r.minor)))
    for payer, share in shares.items():
        tx.run(
            "INSERT INTO document_share (document_key, payer, count, minor) VALUES (:key, :payer, :count, :minor)",
            key=document_key, payer=payer, count=share.count, minor=share.minor,
        )  # fmt: skip
    control.record(tx, [control.Moved(r.lot_key, _READY, _BATCHED, int(r.n), int(r.minor)) for r in rows])
    return Totals(count, minor)


def _start_paying(tx: Tx, documents: list[int]) -> None:
    """Released Runs with a payment in a file are paying."""
    listed = ", ".join(str(key) for key in documents)
    tx.run(
        "UPDATE run SET state = :paying WHERE state = :released AND key IN (SELECT l.run_key FROM lot AS l WHERE l.key IN "
        f"(SELECT DISTINCT a.lot_key FROM attempt AS a WHERE a.document_key IN ({listed})))",
        paying=str(step(RUN, RunState.RELEASED, RunEvent.DISPATCHED)), released=str(RunState.RELEASED),
    )  # fmt: skip


def open_inquiry(tx: Tx, about_key: int, epoch: int, naming: Naming, day: date) -> int:
    """A new inquiry Document about another."""
    about = lanes.one(tx, about_key)
    lanes.fenced(tx, about.bank, epoch)
    sequence = next_key(tx, f"document:{about.bank}:{DocKind.INQUIRY}:{day}")
    return _open_document(tx, about.bank, DocKind.INQUIRY, day, sequence, naming, about_key=about_key)
