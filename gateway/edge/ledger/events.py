"""Events for the payers: rows of the outbox, written in the transaction of what they tell (P11)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from gateway.core import contracts
from gateway.core.contracts import CHUNK_MAX, GATEWAY_SOURCE, InstructionEvents, InstructionNotice
from gateway.edge.ledger.engine import Tx

T = TypeVar("T")


def emit(tx: Tx, payer: str, name: str, data: msgspec.Struct, subject: str = "") -> None:
    """One event for one payer; ``name`` is a key of ``contracts.OUTBOUND``."""
    message_id = tx.ids.message()
    body = contracts.encode(
        name,
        data,
        id=message_id,
        source=GATEWAY_SOURCE,
        time=datetime.fromtimestamp(tx.now_ms / 1000, UTC),
        subject=subject or None,
    )
    tx.run(
        "INSERT INTO outbox (message_id, routing_key, body, created_ms) VALUES (:id, :key, :body, :now)",
        id=message_id,
        key=f"{payer}.{name}",
        body=body,
        now=tx.now_ms,
    )


def notices(tx: Tx, payer: str, name: str, items: Iterable[InstructionNotice]) -> None:
    """``instruction.*`` events, up to 1,000 instructions each."""
    for page in pages(list(items), CHUNK_MAX):
        emit(tx, payer, name, InstructionEvents(items=list(page)))


def pages(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    """``items`` in slices of at most ``size``."""
    for at in range(0, len(items), size):
        yield items[at : at + size]
