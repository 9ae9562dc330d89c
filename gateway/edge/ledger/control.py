"""Conservation: control rows kept in the same transaction as every move, and the query that compares them with the Attempts (P6).

Two views of the same money. ``origin``: Instructions by their latest Attempt, under the Run that ordered them. ``own``: a Run's own Attempts,
which is another view only for second-payment Runs. Parts are the Attempt's states plus ``ordered``, ``moved_in`` and ``moved_out`` (a second try
at another bank). Per run and bank: ordered + moved_in - moved_out = the sum of all states.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from gateway.core.states import ATTEMPT, AttemptEvent, AttemptState, sources
from gateway.edge.ledger.engine import Tx


class Lot(NamedTuple):
    """Which Run, ordering Run and bank a lot of payments belongs to."""

    run_key: int
    origin_key: int
    bank: str


class Change(msgspec.Struct, frozen=True):
    """A change of one control row."""

    view: str
    run_key: int
    bank: str
    part: str
    count: int
    minor: int


class Moved(msgspec.Struct, frozen=True):
    """So many Attempts of one lot went from one state to another."""

    lot_key: int
    before: str
    after: str
    count: int
    minor: int


def lots(tx: Tx, keys: Iterable[int]) -> dict[int, Lot]:
    """The lots by key."""
    wanted = set(keys)
    if not wanted:
        return {}
    listed = ", ".join(str(key) for key in sorted(wanted))
    return {
        r.key: Lot(r.run_key, r.origin_key, r.bank)
        for r in tx.rows(f"SELECT key, run_key, origin_key, bank FROM lot WHERE key IN ({listed})")
    }


def apply(tx: Tx, changes: Iterable[Change]) -> None:
    """Add the changes, summed per row and in one order for all transactions (so that two of them cannot wait for each other)."""
    summed: dict[tuple[str, int, str, str], list[int]] = {}
    for change in changes:
        row = summed.setdefault((change.view, change.run_key, change.bank, change.part), [0, 0])
        row[0] += change.count
        row[1] += change.minor
    values = [
        {"view": view, "run": run, "bank": bank, "part": part, "count": count, "minor": minor}
        for (view, run, bank, part), (count, minor) in sorted(summed.items())
        if count or minor
    ]
    for value in values:
        tx.run(
            "INSERT INTO control (view, run_key, bank, part, count, minor) VALUES (:view, :run, :bank, :part, :count, :minor) "
            "ON CONFLICT (view, run_key, bank, part) "
            "DO UPDATE SET count = control.count + excluded.count, minor = control.minor + excluded.minor",
            **value,
        )


def record(tx: Tx, moved: Iterable[Moved]) -> None:
    """Enter moves between states into both views."""
    moves = [move for move in moved if move.count]
    known = lots(tx, (move.lot_key for move in moves))
    changes = []
    for move in moves:
        lot = known[move.lot_key]
        for view, run_key in (("origin", lot.origin_key), ("own", lot.run_key)):
            changes.append(Change(view, run_key, lot.bank, move.before, -move.count, -move.minor))
            changes.append(Change(view, run_key, lot.bank, move.after, move.count, move.minor))
    apply(tx, changes)


def move(tx: Tx, event: AttemptEvent, where: str, *, also: str = "", **values: object) -> list[Moved]:
    """Take every Attempt that ``where`` selects (alias ``a``) along its arrow for ``event``, set-based, controls included.

    ``also`` is a further assignment (``document_key = NULL``). Attempts in a state without that arrow are left alone.
    """
    moved: list[Moved] = []
    for before, after in sources(ATTEMPT, event).items():
        moved += move_between(tx, before, after, where, also=also, **values)
    record(tx, moved)
    return moved


def move_between(
    tx: Tx, before: AttemptState, after: AttemptState, where: str, *, also: str = "", **values: object
) -> list[Moved]:
    """One arrow of ``move``, controls not included: the caller calls ``record``."""
    assign = f"state = :after{', ' + also if also else ''}"
    condition = f"a.state = :before AND ({where})"
    values = {**values, "before": str(before), "after": str(after)}
    if tx.sqlite:
        counted = tx.rows(
            f"SELECT a.lot_key, COUNT(*) AS n, SUM(a.amount) AS minor FROM attempt AS a WHERE {condition} GROUP BY a.lot_key",
            **values,
        )
        if counted:
            tx.run(f"UPDATE attempt AS a SET {assign} WHERE {condition}", **values)
    else:
        counted = tx.rows(
            f"WITH moved AS (UPDATE attempt AS a SET {assign} WHERE {condition} RETURNING a.lot_key, a.amount) "
            "SELECT lot_key, COUNT(*) AS n, CAST(SUM(amount) AS BIGINT) AS minor FROM moved GROUP BY lot_key",
            **values,
        )
    return [Moved(row.lot_key, str(before), str(after), int(row.n), int(row.minor)) for row in counted]


def line(tx: Tx, run_key: int, view: str = "origin") -> dict[str, dict[str, tuple[int, int]]]:
    """Bank → part → (count, fen) of one Run."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for row in tx.rows(
        "SELECT bank, part, count, minor FROM control WHERE run_key = :run AND view = :view ORDER BY bank, part",
        run=run_key,
        view=view,
    ):
        found.setdefault(row.bank, {})[row.part] = (int(row.count), int(row.minor))
    return found


def faults(tx: Tx) -> list[str]:
    """Everything that does not add up, as sentences; empty means that every fen is accounted for."""
    wrong = []
    for row in tx.rows(
        "SELECT view, run_key, bank, "
        "SUM(CASE WHEN part IN ('ordered', 'moved_in') THEN count WHEN part = 'moved_out' THEN -count ELSE 0 END) AS ordered_n, "
        "SUM(CASE WHEN part IN ('ordered', 'moved_in') THEN minor WHEN part = 'moved_out' THEN -minor ELSE 0 END) AS ordered_minor, "
        "SUM(CASE WHEN part IN ('ordered', 'moved_in', 'moved_out') THEN 0 ELSE count END) AS held_n, "
        "SUM(CASE WHEN part IN ('ordered', 'moved_in', 'moved_out') THEN 0 ELSE minor END) AS held_minor "
        "FROM control GROUP BY view, run_key, bank"
    ):
        if (int(row.ordered_n), int(row.ordered_minor)) != (int(row.held_n), int(row.held_minor)):
            wrong.append(
                f"{row.view} run {row.run_key} bank {row.bank}: ordered {row.ordered_n} / {row.ordered_minor} fen, "
                f"by state {row.held_n} / {row.held_minor} fen"
            )
    return wrong + _differences(tx, "own") + _differences(tx, "origin")


def _differences(tx: Tx, view: str) -> list[str]:
    """Control rows against a fresh count of the Attempts themselves."""
    run = "l.run_key" if view == "own" else "l.origin_key"
    latest = (
        ""
        if view == "own"
        else "LEFT JOIN (SELECT instruction_key, MAX(try_no) AS try_no FROM attempt WHERE try_no > 1 GROUP BY instruction_key) AS later "
        "ON later.instruction_key = a.instruction_key AND later.try_no > a.try_no WHERE later.try_no IS NULL"
    )
    counted = {
        (row.run_key, row.bank, row.state): (int(row.n), int(row.minor))
        for row in tx.rows(
            f"SELECT {run} AS run_key, l.bank, a.state, COUNT(*) AS n, SUM(a.amount) AS minor "
            f"FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key {latest} GROUP BY {run}, l.bank, a.state"
        )
    }
    kept = {
        (row.run_key, row.bank, row.part): (int(row.count), int(row.minor))
        for row in tx.rows(
            "SELECT run_key, bank, part, count, minor FROM control "
            "WHERE view = :view AND part NOT IN ('ordered', 'moved_in', 'moved_out') AND (count <> 0 OR minor <> 0)",
            view=view,
        )
    }
    return [
        f"{view} run {key[0]} bank {key[1]} {key[2]}: control {kept.get(key, (0, 0))}, Attempts {counted.get(key, (0, 0))}"
        for key in sorted(set(counted) | set(kept), key=str)
        if counted.get(key, (0, 0)) != kept.get(key, (0, 0))
    ]
