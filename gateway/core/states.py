"""The state tables, and the one function that steps through them.

A table maps *state → event → next state*. A transition that is not written here is an error, so an impossible move (a blind resend out of
``in_doubt``, say) cannot be coded. The diagrams in docs/states.md are drawn from these tables (``sheyin schemas``).

Guards that need more than the state (the Document still open, nothing exported, two people) belong to the caller and are named beside the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from gateway.core.errors import Halt


class AttemptState(StrEnum):
    """Where one try to pay an Instruction stands."""

    NEW = "new"
    READY = "ready"
    HELD = "held"
    BATCHED = "batched"
    PAID = "paid"
    FAILED = "failed"
    UNKNOWN = "unknown"
    RETURNED = "returned"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class AttemptEvent(StrEnum):
    """What can happen to an Attempt."""

    CHECKED = "checked"
    DOUBTED = "doubted"
    FREED = "freed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    BATCHED = "batched"
    DOCUMENT_REFUSED = "document_refused"
    DOCUMENT_VOID = "document_void"
    PAID = "paid"
    FAILED = "failed"
    UNKNOWN = "unknown"
    RETURNED = "returned"
    CORRECTED_PAID = "corrected_paid"
    CORRECTED_FAILED = "corrected_failed"


class DocumentState(StrEnum):
    """Where a Document that we send stands."""

    OPEN = "open"
    SEALED = "sealed"
    SENDING = "sending"
    SENT = "sent"
    RECEIPTED = "receipted"
    REFUSED = "refused"
    IN_DOUBT = "in_doubt"
    SETTLED = "settled"
    VOID = "void"


class DocumentEvent(StrEnum):
    """What can happen to a Document that we send."""

    SEALED = "sealed"
    VOIDED = "voided"
    EXPORTED = "exported"
    STARTED = "started"
    DELIVERED = "delivered"
    RECEIPTED = "receipted"
    REFUSED = "refused"
    SURELY_NOT_SENT = "surely_not_sent"
    DOUBTED = "doubted"
    FOUND = "found"
    NOT_FOUND = "not_found"
    SETTLED = "settled"


class InboundState(StrEnum):
    """Where a Document that arrived stands."""

    ARCHIVED = "archived"
    VERIFIED = "verified"
    STAGED = "staged"
    APPLIED = "applied"
    QUARANTINED = "quarantined"
    PARKED = "parked"
    DUPLICATE = "duplicate"


class InboundEvent(StrEnum):
    """What can happen to a Document that arrived."""

    VERIFIED = "verified"
    STAGED = "staged"
    APPLIED = "applied"
    QUARANTINED = "quarantined"
    PARKED = "parked"
    REPEATED = "repeated"
    RETRIED = "retried"
    ACCEPTED = "accepted"


class RunState(StrEnum):
    """Where a Run stands."""

    RECEIVING = "receiving"
    HELD = "held"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    RELEASED = "released"
    PAYING = "paying"
    CLOSED = "closed"


class RunEvent(StrEnum):
    """What can happen to a Run."""

    DOUBTED = "doubted"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    RELEASED = "released"
    DISPATCHED = "dispatched"
    CLOSED = "closed"


class CaseState(StrEnum):
    """Where the mending of one failed or held payment stands."""

    OPEN = "open"
    MENDED = "mended"
    REPAYING = "repaying"
    CLOSED = "closed"


class CaseEvent(StrEnum):
    """What can happen to a Case."""

    MENDED = "mended"
    REPAID = "repaid"
    FAILED_AGAIN = "failed_again"
    CLOSED = "closed"


class LaneState(StrEnum):
    """Whether anything new leaves for a Bank. No table: either state may follow the other, each change is an audited Act."""

    RUNNING = "running"
    STOPPED = "stopped"


S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)
Transitions = Mapping[S, Mapping[E, S]]

_A, _AE = AttemptState, AttemptEvent
ATTEMPT: Transitions[AttemptState, AttemptEvent] = {
    _A.NEW: {
        _AE.CHECKED: _A.READY,
        _AE.DOUBTED: _A.HELD,
        _AE.REFUSED: _A.REFUSED,
        _AE.WITHDRAWN: _A.WITHDRAWN,
    },
    _A.READY: {_AE.DOUBTED: _A.HELD, _AE.WITHDRAWN: _A.WITHDRAWN, _AE.BATCHED: _A.BATCHED},
    _A.HELD: {_AE.FREED: _A.READY, _AE.REFUSED: _A.REFUSED, _AE.WITHDRAWN: _A.WITHDRAWN},
    _A.BATCHED: {
        _AE.DOUBTED: _A.HELD,  # guard: its Document is open
        _AE.WITHDRAWN: _A.WITHDRAWN,  # guard: its Document is open
        _AE.DOCUMENT_REFUSED: _A.HELD,  # guard: the whole Document refused with proof that nothing was booked
        _AE.DOCUMENT_VOID: _A.READY,  # guard: the Document is void and surely never left
        _AE.REFUSED: _A.REFUSED,  # inherited from a block whose reason proves it
        _AE.PAID: _A.PAID,
        _AE.FAILED: _A.FAILED,
        _AE.UNKNOWN: _A.UNKNOWN,
        _AE.RETURNED: _A.RETURNED,  # guard: original reference and amount match
    },
    _A.UNKNOWN: {_AE.PAID: _A.PAID, _AE.FAILED: _A.FAILED, _AE.RETURNED: _A.RETURNED},
    _A.PAID: {_AE.RETURNED: _A.RETURNED, _AE.CORRECTED_FAILED: _A.FAILED},  # guard: two people with the bank's evidence
    _A.FAILED: {_AE.CORRECTED_PAID: _A.PAID},  # guard: two people with the bank's evidence
    _A.RETURNED: {},
    _A.REFUSED: {},
    _A.WITHDRAWN: {},
}
#: An Instruction has at most one Attempt in these states (P2): the partial unique index is written from this tuple.
LIVE_OR_PAID = (_A.NEW, _A.READY, _A.HELD, _A.BATCHED, _A.UNKNOWN, _A.PAID)
#: What the conservation line calls pending.
PENDING = (_A.NEW, _A.READY, _A.BATCHED)

_D, _DE = DocumentState, DocumentEvent
DOCUMENT: Transitions[DocumentState, DocumentEvent] = {
    _D.OPEN: {_DE.SEALED: _D.SEALED, _DE.VOIDED: _D.VOID},
    _D.SEALED: {
        _DE.STARTED: _D.SENDING,  # guard: never exported
        _DE.EXPORTED: _D.IN_DOUBT,  # guard: two people; the wire is blocked for it from here on
        _DE.DOUBTED: _D.IN_DOUBT,  # guard: it left before, was not found, and now the bank speaks of it
        _DE.VOIDED: _D.VOID,  # guard: every sending ended surely-not-sent, nothing exported
    },
    _D.SENDING: {
        _DE.DELIVERED: _D.SENT,
        _DE.RECEIPTED: _D.RECEIPTED,
        _DE.REFUSED: _D.REFUSED,
        _DE.SURELY_NOT_SENT: _D.SEALED,
        _DE.DOUBTED: _D.IN_DOUBT,
    },
    _D.SENT: {_DE.RECEIPTED: _D.RECEIPTED, _DE.REFUSED: _D.REFUSED, _DE.DOUBTED: _D.IN_DOUBT},
    _D.RECEIPTED: {_DE.REFUSED: _D.REFUSED, _DE.DOUBTED: _D.IN_DOUBT, _DE.SETTLED: _D.SETTLED},
    _D.IN_DOUBT: {  # only on the bank's word; no arrow leads back to sending
        _DE.RECEIPTED: _D.RECEIPTED,
        _DE.FOUND: _D.RECEIPTED,
        _DE.REFUSED: _D.REFUSED,
        _DE.NOT_FOUND: _D.SEALED,  # guard: the Agreement's not-found window has passed; same bytes, name, reference
    },
    _D.REFUSED: {},
    _D.SETTLED: {},
    _D.VOID: {},
}

_I, _IE = InboundState, InboundEvent
INBOUND: Transitions[InboundState, InboundEvent] = {
    _I.ARCHIVED: {
        _IE.VERIFIED: _I.VERIFIED,
        _IE.QUARANTINED: _I.QUARANTINED,
        _IE.REPEATED: _I.DUPLICATE,
        _IE.PARKED: _I.PARKED,
    },
    _I.VERIFIED: {_IE.STAGED: _I.STAGED, _IE.QUARANTINED: _I.QUARANTINED, _IE.PARKED: _I.PARKED},
    _I.STAGED: {_IE.APPLIED: _I.APPLIED, _IE.PARKED: _I.PARKED, _IE.QUARANTINED: _I.QUARANTINED},
    _I.QUARANTINED: {_IE.RETRIED: _I.ARCHIVED},  # by an Act
    _I.PARKED: {_IE.ACCEPTED: _I.STAGED, _IE.QUARANTINED: _I.QUARANTINED},  # by an Act; two people where money changes
    _I.APPLIED: {},
    _I.DUPLICATE: {},
}

_R, _RE = RunState, RunEvent
RUN: Transitions[RunState, RunEvent] = {
    _R.RECEIVING: {
        _RE.DOUBTED: _R.HELD,
        _RE.ACCEPTED: _R.ACCEPTED,
        _RE.REJECTED: _R.REJECTED,
        _RE.CANCELLED: _R.CANCELLED,
    },
    _R.HELD: {_RE.ACCEPTED: _R.ACCEPTED, _RE.REJECTED: _R.REJECTED, _RE.CANCELLED: _R.CANCELLED},
    _R.ACCEPTED: {_RE.RELEASED: _R.RELEASED, _RE.CANCELLED: _R.CANCELLED},
    _R.RELEASED: {
        _RE.DISPATCHED: _R.PAYING,
        _RE.CLOSED: _R.CLOSED,  # guard: nothing to send
        _RE.CANCELLED: _R.CANCELLED,  # guard: nothing has left
    },
    _R.PAYING: {_RE.CLOSED: _R.CLOSED},  # guard: no Attempt new, ready, batched or unknown; all result sets closed
    _R.REJECTED: {},
    _R.CANCELLED: {},
    _R.CLOSED: {},
}

_C, _CE = CaseState, CaseEvent
CASE: Transitions[CaseState, CaseEvent] = {
    _C.OPEN: {_CE.MENDED: _C.MENDED, _CE.REPAID: _C.REPAYING, _CE.CLOSED: _C.CLOSED},
    _C.MENDED: {_CE.REPAID: _C.REPAYING, _CE.CLOSED: _C.CLOSED},
    _C.REPAYING: {_CE.FAILED_AGAIN: _C.OPEN, _CE.CLOSED: _C.CLOSED},
    _C.CLOSED: {},
}

TABLES: Mapping[str, Transitions[Any, Any]] = {
    "Attempt": ATTEMPT,
    "Document out": DOCUMENT,
    "Document in": INBOUND,
    "Run": RUN,
    "Case": CASE,
}


def step(table: Transitions[S, E], state: S, event: E) -> S:
    """The next state; raises Halt where the table has no such arrow."""
    try:
        return table[state][event]
    except KeyError:
        raise Halt(f"no arrow {event!r} leaves {state!r}") from None


def sources(table: Transitions[S, E], event: E) -> Mapping[S, S]:
    """Every *from → to* that ``event`` has: what a set-based UPDATE needs for its WHERE and its CASE."""
    arrows = {state: row[event] for state, row in table.items() if event in row}
    if not arrows:
        raise Halt(f"no arrow is called {event!r}")
    return arrows
