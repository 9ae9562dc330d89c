"""Intake: a Run is recorded chunk by chunk and accepted only whole.

Chunks are loaded in bulk and optimistically; only when the unique key says that an id is known does the slow path look which line it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Concatenate, NamedTuple, ParamSpec

from sqlalchemy import exc

from gateway.core.contracts import InstructionSubmitted, RunKind, RunSubmitted
from gateway.core.errors import Code
from gateway.core.ledger import BadLine, BankShare, Chunk, CompleteRun, Line, Meta, Recorded
from gateway.core.money import Totals
from gateway.core.states import RUN, RunEvent, RunState, step
from gateway.edge.ledger import private
from gateway.edge.ledger.bulk import load
from gateway.edge.ledger.engine import Tx
from gateway.edge.ledger.schema import RUN_SPAN

P = ParamSpec("P")
INSTRUCTION = (
    "key", "run_key", "lot_key", "payer", "id", "digest", "person_hash", "account_hash", "same_hash", "name", "amount", "item", "sequence",
    "period", "district", "relation", "purpose", "doubt", "sealed",
)  # fmt: skip
LINE_ERROR = ("run_key", "ordinal", "instruction_id", "code", "where", "what", "fatal", "raw")


class Defaults(NamedTuple):
    """What a line takes from its Run where it says nothing itself."""

    run_key: int
    line: str
    fund: str
    debit_account: str
    pay_date: str
    period: str
    district: str


def seen(tx: Tx, meta: Meta) -> Recorded:
    """Enter the message into the inbox: NEW, DUP or CONFLICT (P10)."""
    done = tx.run(
        "INSERT INTO inbox (source, message_id, digest, received_ms) VALUES (:source, :id, :digest, :now) ON CONFLICT DO NOTHING",
        source=meta.payer,
        id=meta.message_id,
        digest=meta.digest,
        now=tx.now_ms,
    )
    if done.rowcount:
        return Recorded.NEW
    known = tx.scalar(
        "SELECT digest FROM inbox WHERE source = :source AND message_id = :id", source=meta.payer, id=meta.message_id
    )
    return Recorded.DUP if bytes(known) == meta.digest else Recorded.CONFLICT


def comes_again(
    operation: Callable[Concatenate[Tx, Meta, P], Recorded],
) -> Callable[Concatenate[Tx, Meta, P], Recorded]:
    """A refusal leaves nothing in the inbox: where we die before it is told, the message comes again and is refused again, not taken for a repeat."""

    @functools.wraps(operation)
    def wrapped(tx: Tx, meta: Meta, /, *args: P.args, **kwargs: P.kwargs) -> Recorded:
        recorded = operation(tx, meta, *args, **kwargs)
        if recorded in (Recorded.CONFLICT, Recorded.LATE):
            tx.run(
                "DELETE FROM inbox WHERE source = :source AND message_id = :id AND digest = :digest",
                source=meta.payer, id=meta.message_id, digest=meta.digest,
            )  # fmt: skip
        return recorded

    return wrapped


def next_key(tx: Tx, name: str, count: int = 1) -> int:
    """Allot ``count`` numbers of a named counter, gapless per commit; returns the first."""
    last = tx.scalar(
        "INSERT INTO counter (name, value) VALUES (:name, :count) "
        "ON CONFLICT (name) DO UPDATE SET value = counter.value + :count RETURNING value",
        name=name,
        count=count,
    )
    return int(last) - count + 1


def find_run(tx: Tx, payer: str, run_id: str, *, shared: bool = False) -> Any | None:
    """The Run of that id which was not rejected, locked; ``shared`` for chunks, which load beside each other but not beside acceptance."""
    lock = tx.shared if shared else tx.locked
    return tx.row(
        lock("SELECT * FROM run WHERE payer = :payer AND run_id = :run_id AND state <> 'rejected'"),
        payer=payer,
        run_id=run_id,
    )


def open_run(tx: Tx, payer: str, run_id: str, header: dict[str, Any]) -> int:
    """A new Run in ``receiving``; returns its key."""
    key = next_key(tx, "run")
    values = {
        "key": key,
        "payer": payer,
        "run_id": run_id,
        "state": str(RunState.RECEIVING),
        "received_ms": tx.now_ms,
        **header,
    }
    names = ", ".join(values)
    tx.run(f"INSERT INTO run ({names}) VALUES ({', '.join(':' + name for name in values)})", **values)
    return key


def header_values(header: RunSubmitted, digest: bytes) -> dict[str, Any]:
    """The columns that a header fills."""
    return {
        "kind": str(header.kind),
        "line": str(header.line),
        "period": header.period,
        "district": header.district,
        "fund": header.fund,
        "debit_account": header.debit_account,
        "pay_date": header.pay_date.isoformat(),
        "on_bad_line": str(header.on_bad_line),
        "declared_count": header.count,
        "declared_minor": header.total,
        "declared_chunks": header.chunks,
        "header_digest": digest,
    }


@comes_again
def record_header(tx: Tx, meta: Meta, header: RunSubmitted) -> Recorded:
    """The Run exists from here on."""
    recorded = seen(tx, meta)
    if recorded is not Recorded.NEW:
        return recorded
    values = header_values(header, meta.digest)
    known = find_run(tx, meta.payer, header.run_id)
    if known:  # under another message id: what it says decides, not its bytes
        same = not known.gathered and all(
            getattr(known, name) == value for name, value in values.items() if name != "header_digest"
        )
        return Recorded.DUP if same else Recorded.CONFLICT
    open_run(tx, meta.payer, header.run_id, values)
    return Recorded.NEW


def keep_early(tx: Tx, meta: Meta, run_id: str, body: bytes) -> Recorded:
    """Keep a chunk that came before its header, sealed; the same message again is DUP, or CONFLICT with another body."""
    if find_run(tx, meta.payer, run_id):
        return Recorded.LATE
    kept = tx.run(
        "INSERT INTO early (payer, run_id, message_id, body) VALUES (:payer, :run_id, :id, :body) ON CONFLICT DO NOTHING",
        payer=meta.payer,
        run_id=run_id,
        id=meta.message_id,
        body=private.seal_raw(tx.atrest, body),
    )
    if kept.rowcount:
        return Recorded.NEW
    first = tx.scalar(
        "SELECT body FROM early WHERE payer = :payer AND message_id = :id", payer=meta.payer, id=meta.message_id
    )
    return Recorded.DUP if private.open_raw(tx.atrest, bytes(first)) == body else Recorded.CONFLICT


def early_chunks(tx: Tx) -> list[tuple[str, str, bytes]]:
    """Early chunks whose header has come; ``record_chunk`` takes them out again."""
    found = tx.rows(
        "SELECT e.payer, e.message_id, e.body FROM early AS e JOIN run AS r ON r.payer = e.payer AND r.run_id = e.run_id "
        "WHERE r.state <> 'rejected' ORDER BY e.payer, e.message_id LIMIT 20"
    )
    return [(row.payer, row.message_id, private.open_raw(tx.atrest, bytes(row.body))) for row in found]


@comes_again
def record_chunk(tx: Tx, meta: Meta, chunk: Chunk) -> Recorded:
    """All lines of the chunk in one transaction, bad ones beside the good."""
    recorded = seen(tx, meta)
    run = find_run(tx, meta.payer, chunk.run_id, shared=True) if recorded is Recorded.NEW else None
    if recorded is Recorded.NEW and run is None:
        tx.run("DELETE FROM inbox WHERE source = :s AND message_id = :m", s=meta.payer, m=meta.message_id)
        return Recorded.EARLY
    tx.run("DELETE FROM early WHERE payer = :payer AND message_id = :id", payer=meta.payer, id=meta.message_id)
    if run is None:
        return recorded
    first = "INSERT INTO chunk (run_key, no, digest, count, minor, bad) VALUES (:run, :no, :digest, 0, 0, 0) ON CONFLICT DO NOTHING"
    if not tx.run(first, run=run.key, no=chunk.no, digest=chunk.digest).rowcount:
        known = tx.scalar("SELECT digest FROM chunk WHERE run_key = :run AND no = :no", run=run.key, no=chunk.no)
        return Recorded.DUP if bytes(known) == chunk.digest else Recorded.CONFLICT
    if run.state != RunState.RECEIVING or run.gathered or chunk.no > run.declared_chunks:
        tx.run("DELETE FROM chunk WHERE run_key = :run AND no = :no", run=run.key, no=chunk.no)
        return Recorded.LATE
    good, bad = insert_lines(tx, meta.payer, _defaults(run), chunk.lines)
    tx.reach("intake.loaded")
    bad = [*chunk.bad, *bad]
    fatal = [line for line in bad if line.fatal]
    tx.run(
        "UPDATE chunk SET count = :count, minor = :minor, bad = :bad WHERE run_key = :run AND no = :no",
        run=run.key,
        no=chunk.no,
        count=len(good) + len(fatal),
        minor=sum(line.instruction.amount for line in good) + sum(line.amount for line in fatal),
        bad=len(fatal),
    )
    keep_errors(tx, run.key, bad)
    return Recorded.NEW


def keep_errors(tx: Tx, run_key: int, bad: Sequence[BadLine]) -> None:
    """What is wrong with which line, with the line's own bytes."""
    load(
        tx,
        "line_error",
        LINE_ERROR,
        [
            (
                run_key,
                b.ordinal,
                _text(b.instruction_id, 80),
                b.code,
                _text(b.where, 200),
                _text(b.what, 500),
                b.fatal,
                private.seal_raw(tx.atrest, b.raw),
            )
            for b in bad
        ],
    )


def _text(told: str, most: int) -> str:
    """Words that came from outside, so that both databases can hold them."""
    return told[:most].replace("\0", "\N{REPLACEMENT CHARACTER}")


def insert_lines(tx: Tx, payer: str, defaults: Defaults, lines: Sequence[Line]) -> tuple[list[Line], list[BadLine]]:
    """Load instructions; lines whose id is taken come back as bad ones (P3)."""
    good: list[Line] = list(lines)
    bad: list[BadLine] = []
    while good:
        try:
            with tx.c.begin_nested():
                load(tx, "instruction", INSTRUCTION, _rows(tx, payer, defaults, good))
            break
        except exc.IntegrityError:
            fresh, taken = _split_taken(tx, payer, good)
            if not taken:
                raise
            bad += taken
            good = fresh
    return good, bad


def _rows(tx: Tx, payer: str, defaults: Defaults, lines: Sequence[Line]) -> list[tuple[Any, ...]]:
    """Instruction rows in the order of INSTRUCTION."""
    atrest, run_key = tx.atrest, defaults.run_key
    base = run_key * RUN_SPAN
    lots = lot_keys(tx, run_key, run_key, {_route(defaults, line) for line in lines})
    sealed = private.seal_many(atrest, [private.private(line.instruction) for line in lines])
    person_hash, account_hash, same_hash = private.person_hash, private.account_hash, private.same_hash
    return [
        (
            base + line.ordinal,
            run_key,
            lots[_route(defaults, line)],
            payer,
            i.id,
            line.digest,
            person,
            account_hash(atrest, i.account),
            same_hash(person, i.amount, i.item, i.sequence, i.period or defaults.period),
            i.payee.name if i.payee else i.person.name,
            i.amount,
            i.item,
            i.sequence,
            i.period or defaults.period,
            i.district or defaults.district,
            i.relation.value,
            i.purpose,
            line.doubt or None,
            seal,
        )
        for line, seal in zip(lines, sealed, strict=True)
        for i in (line.instruction,)
        for person in (person_hash(atrest, i.person),)
    ]


def _route(defaults: Defaults, line: Line) -> tuple[str, str, str, str, str]:
    """Bank, fund, debit account, pay date and benefit line of one line."""
    i = line.instruction
    return (
        i.bank,
        i.fund or defaults.fund,
        i.debit_account or defaults.debit_account,
        i.pay_date.isoformat() if i.pay_date else defaults.pay_date,
        i.line.value if i.line else defaults.line,
    )


def lot_keys(
    tx: Tx, run_key: int, origin_key: int, routes: set[tuple[str, str, str, str, str]]
) -> dict[tuple[str, str, str, str, str], int]:
    """Keys of the Run's lots for these routes, made where missing."""
    where = "run_key = :run AND origin_key = :origin"
    query = f"SELECT key, bank, fund, debit_account, pay_date, line FROM lot WHERE {where}"
    known = {tuple(row[1:]): row.key for row in tx.rows(query, run=run_key, origin=origin_key)}
    missing = sorted(routes - known.keys())
    for bank, fund, debit, pay_date, line in missing:
        tx.run(
            "INSERT INTO lot (run_key, origin_key, bank, fund, debit_account, pay_date, line) "
            "VALUES (:run, :origin, :bank, :fund, :debit, :pay_date, :line) ON CONFLICT DO NOTHING",
            run=run_key, origin=origin_key, bank=bank, fund=fund, debit=debit, pay_date=pay_date, line=line,
        )  # fmt: skip
    if missing:
        known = {tuple(row[1:]): row.key for row in tx.rows(query, run=run_key, origin=origin_key)}
    return known


def _split_taken(tx: Tx, payer: str, lines: Sequence[Line]) -> tuple[list[Line], list[BadLine]]:
    """Which lines' ids are free, and what is wrong with the others: CONFLICT (other content) or DUP (the same line twice)."""
    ids = sorted({line.instruction.id for line in lines})
    marks = ", ".join(f":p{n}" for n in range(len(ids)))
    known = {
        row.id: bytes(row.digest)
        for row in tx.rows(
            f"SELECT id, digest FROM instruction WHERE payer = :payer AND NOT rejected AND id IN ({marks})",
            payer=payer,
            **{f"p{n}": id_ for n, id_ in enumerate(ids)},
        )
    }
    fresh: list[Line] = []
    bad: list[BadLine] = []
    for line in lines:
        i = line.instruction
        held = known.get(i.id)
        if held is None:
            known[i.id] = line.digest
            fresh.append(line)
            continue
        code = Code.DUP if held == line.digest else Code.CONFLICT
        what = (
            "this id is in the run twice, same content"
            if code is Code.DUP
            else "this id is known from another run or with other content: the first stands"
        )
        bad.append(BadLine(line.ordinal, i.id, code, "id", what, b"", i.amount))
    return fresh, bad


def _defaults(run: Any) -> Defaults:
    return Defaults(run.key, run.line, run.fund, run.debit_account, run.pay_date, run.period, run.district or "")


@comes_again
def record_single(tx: Tx, meta: Meta, message: InstructionSubmitted, line: Line, day: date) -> Recorded:
    """One payment joins its payer's reimbursement Run of the day, or is known already."""
    recorded = seen(tx, meta)
    if recorded is not Recorded.NEW:
        return recorded
    if taken := _split_taken(tx, meta.payer, [line])[1]:  # before a Run is made that would stay empty
        return Recorded.DUP if taken[0].code == Code.DUP else Recorded.CONFLICT
    run = gathering_run(tx, meta.payer, RunKind.REIMBURSEMENT, message, day)
    ordinal = next_key(tx, f"ordinal:{run.key}")
    defaults = Defaults(
        run.key, message.line, message.fund, message.debit_account, message.pay_date.isoformat(), message.period, ""
    )
    _, bad = insert_lines(tx, meta.payer, defaults, [line._replace(ordinal=ordinal)])
    if not bad:
        return Recorded.NEW
    keep_errors(tx, run.key, [b._replace(fatal=False) for b in bad])
    return Recorded.DUP if bad[0].code == Code.DUP else Recorded.CONFLICT


def gathering_run(tx: Tx, payer: str, kind: RunKind, like: Any, day: date) -> Any:
    """The payer's open gathered Run of this day, kind, benefit line, fund and debit account; made where missing.

    A second-payment Run takes its payments as they are mended, so it is found by the same fields of the Run that ordered them.
    """
    values = {
        "kind": str(kind),
        "line": str(like.line),
        "fund": like.fund,
        "debit_account": like.debit_account,
        "pay_date": day.isoformat(),
    }
    query = (
        "SELECT * FROM run WHERE payer = :payer AND kind = :kind AND line = :line AND fund = :fund AND debit_account = :debit_account "
        "AND gathered AND state = 'receiving' AND pay_date = :pay_date"
    )
    found = tx.row(tx.locked(query), payer=payer, **values)
    if found:
        return found
    serial = next_key(tx, f"gathered:{payer}")
    run_id = f"{'second' if kind is RunKind.SECOND_PAYMENT else 'sporadic'}-{values['line']}-{day:%Y%m%d}-{serial}"
    more = {"period": like.period, "district": "", "on_bad_line": "reject_line", "gathered": True}
    open_run(tx, payer, run_id, {**values, **more})
    return tx.row(tx.locked(query), payer=payer, **values)


def complete_runs(tx: Tx) -> list[CompleteRun]:
    """Runs in ``receiving`` whose declared chunks are all here, with their shares by bank and pay date."""
    found = tx.rows(
        "SELECT r.key, r.payer, r.run_id FROM run AS r WHERE r.state = 'receiving' AND NOT r.gathered "
        "AND r.declared_chunks = (SELECT COUNT(*) FROM chunk AS c WHERE c.run_key = r.key) ORDER BY r.key"
    )
    return [
        CompleteRun(key=row.key, payer=row.payer, run_id=row.run_id, shares=tuple(_shares(tx, row.key)))
        for row in found
    ]


def _shares(tx: Tx, run_key: int) -> list[BankShare]:
    return [
        BankShare(row.bank, date.fromisoformat(row.pay_date), Totals(int(row.n), int(row.minor)))
        for row in tx.rows(
            "SELECT l.bank, l.pay_date, COUNT(*) AS n, SUM(i.amount) AS minor FROM instruction AS i JOIN lot AS l ON l.key = i.lot_key "
            "WHERE i.run_key = :run GROUP BY l.bank, l.pay_date ORDER BY l.bank, l.pay_date",
            run=run_key,
        )
    ]


def set_run_state(tx: Tx, run: Any, event: RunEvent, **columns: Any) -> RunState:
    """Step the Run's table and write the state with ``columns``; the caller holds the Run's lock."""
    state = step(RUN, RunState(run.state), event)
    assigned = "".join(f", {name} = :{name}" for name in columns)
    tx.run(f"UPDATE run SET state = :state{assigned} WHERE key = :key", state=str(state), key=run.key, **columns)
    return state
