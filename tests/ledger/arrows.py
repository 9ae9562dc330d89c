"""The agreed arrows written a second time, and a ledger that refuses every other one.

`gateway/core/states.py` says what the code may do. These pairs say what was agreed on, for payments on which no person has put in a correction; a
trigger on every UPDATE and INSERT holds the ledger to them, also between two looks, and lets no row that money stands on be taken away.
"""

from __future__ import annotations

from collections.abc import Iterator

#: Table → from → to. An inbound Document is verified, staged and applied in one transaction, which writes it once.
ARROWS: dict[str, dict[str, str]] = {
    "attempt": {
        "": "new ready held",
        "new": "ready held refused withdrawn",
        "ready": "held withdrawn batched",
        "held": "ready refused withdrawn",
        "batched": "held withdrawn ready refused failed paid unknown returned",
        "unknown": "paid failed returned",
        "paid": "returned",
    },
    "document": {
        "": "open",
        "open": "sealed void",
        "sealed": "sending in_doubt void",
        "sending": "sent receipted refused sealed in_doubt",
        "sent": "receipted refused in_doubt",
        "receipted": "refused in_doubt settled",
        "in_doubt": "receipted refused sealed",
    },
    "inbound": {
        "": "archived duplicate",
        "archived": "verified quarantined parked duplicate applied",
        "verified": "staged quarantined parked",
        "staged": "applied parked quarantined",
        "quarantined": "archived",
        "parked": "staged quarantined",
    },
    "run": {
        "": "receiving",
        "receiving": "held accepted rejected cancelled",
        "held": "accepted rejected cancelled",
        "accepted": "released cancelled",
        "released": "paying closed cancelled",
        "paying": "closed",
    },
}
KEPT = ("instruction", "attempt", "document", "inbound", "parked", "act", "control")


def triggers() -> Iterator[str]:
    """The SQL that holds a SQLite ledger to all this."""
    for table, arrows in ARROWS.items():
        pairs = ", ".join(f"'{before}>{after}'" for before, ends in arrows.items() for after in ends.split())
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table}: no such arrow was agreed on'); END"
        yield (
            f"CREATE TRIGGER {table}_moves BEFORE UPDATE OF state ON {table} "
            f"WHEN OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN ({pairs}) {refuse}"
        )
        yield f"CREATE TRIGGER {table}_begins BEFORE INSERT ON {table} WHEN '>' || NEW.state NOT IN ({pairs}) {refuse}"
    for table in KEPT:
        yield f"CREATE TRIGGER {table}_stays BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, '{table}: a row would be lost'); END"
    yield "CREATE TRIGGER act_as_written BEFORE UPDATE ON act BEGIN SELECT RAISE(ABORT, 'act: an Act would be changed'); END"
    for table in ("instruction", "attempt"):
        yield (
            f"CREATE TRIGGER {table}_amount BEFORE UPDATE OF amount ON {table} WHEN OLD.amount <> NEW.amount "
            f"BEGIN SELECT RAISE(ABORT, '{table}: an amount would be changed'); END"
        )
