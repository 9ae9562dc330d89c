"""The audit chain: every Act hashes the one before it, so that nothing can be changed, left out or slipped in unnoticed (P13).

``hash(n) = SHA-256(hash(n-1) || canonical JSON of [n, at_ms, actor, kind, subject, body])``, ``hash(0)`` is 32 zero bytes.
Acts are appended last in a transaction: the chain's lock is then held only for the commit.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from gateway.core.errors import Halt
from gateway.edge.ledger.engine import Tx

#: The gateway's own Actor; people have their own.
SERVICE = "gateway"
_GENESIS = bytes(32)
_LOCK = 7305  # an arbitrary number that names the chain among PostgreSQL's advisory locks
_encode = msgspec.json.Encoder(order="sorted").encode


class Head(NamedTuple):
    """The chain's last link."""

    seq: int
    hash: bytes


def link(previous: bytes, seq: int, at_ms: int, actor: str, kind: str, subject: str, body: str) -> bytes:
    """The hash of one Act."""
    return hashlib.sha256(previous + _encode([seq, at_ms, actor, kind, subject, body])).digest()


def append(tx: Tx, actor: str, kind: str, subject: str, body: dict[str, Any]) -> int:
    """Write one Act; returns its number. ``body`` holds no account or id number: the chain is kept for ever and read by many."""
    if not tx.sqlite:
        tx.run("SELECT pg_advisory_xact_lock(:lock)", lock=_LOCK)
    last = head(tx)
    seq = last.seq + 1
    text = _encode(body).decode()
    tx.run(
        "INSERT INTO act (seq, at_ms, actor, kind, subject, body, hash) VALUES (:seq, :at, :actor, :kind, :subject, :body, :hash)",
        seq=seq,
        at=tx.now_ms,
        actor=actor,
        kind=kind,
        subject=subject,
        body=text,
        hash=link(last.hash, seq, tx.now_ms, actor, kind, subject, text),
    )
    return seq


def head(tx: Tx) -> Head:
    """The last link, or the genesis."""
    row = tx.row("SELECT seq, hash FROM act ORDER BY seq DESC LIMIT 1")
    return Head(int(row.seq), bytes(row.hash)) if row else Head(0, _GENESIS)


def verify(tx: Tx) -> Head:
    """Recompute the whole chain; returns its head. Raises Halt naming the first Act that does not fit."""
    previous = Head(0, _GENESIS)
    after = -(1 << 62)  # before all numbers: an Act slipped in below the first is looked at too
    while page := tx.rows("SELECT * FROM act WHERE seq > :after ORDER BY seq LIMIT 5000", after=after):
        for row in page:
            expected = link(previous.hash, row.seq, row.at_ms, row.actor, row.kind, row.subject, row.body)
            if row.seq != previous.seq + 1 or bytes(row.hash) != expected:
                raise Halt(f"the audit chain breaks at Act {row.seq}", where=f"act {row.seq}")
            previous = Head(row.seq, expected)
        after = previous.seq
    return previous
