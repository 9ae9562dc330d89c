"""The state tables: total, without dead ends or orphans, and with exactly the arrows of the design, section 5."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from gateway.core.errors import Halt
from gateway.core.states import (
    ATTEMPT,
    CASE,
    DOCUMENT,
    INBOUND,
    LIVE_OR_PAID,
    PENDING,
    RUN,
    TABLES,
    AttemptEvent,
    AttemptState,
    CaseEvent,
    CaseState,
    DocumentEvent,
    DocumentState,
    InboundEvent,
    InboundState,
    RunEvent,
    RunState,
    Transitions,
    sources,
    step,
)

Table = Transitions[Any, Any]
KINDS: list[tuple[str, Table, type[StrEnum], type[StrEnum], StrEnum]] = [
    ("Attempt", ATTEMPT, AttemptState, AttemptEvent, AttemptState.NEW),
    ("Document out", DOCUMENT, DocumentState, DocumentEvent, DocumentState.OPEN),
    ("Document in", INBOUND, InboundState, InboundEvent, InboundState.ARCHIVED),
    ("Run", RUN, RunState, RunEvent, RunState.RECEIVING),
    ("Case", CASE, CaseState, CaseEvent, CaseState.OPEN),
]
every_table = pytest.mark.parametrize(
    ("name", "table", "states", "events", "first"), KINDS, ids=[row[0] for row in KINDS]
)

# The arrows as the design's section 5 says them, typed in by hand: state → the states that may follow.
DESIGN: Mapping[str, Mapping[str, str]] = {
    "Attempt": {
        "new": "ready held refused withdrawn",
        "ready": "held withdrawn batched",
        "held": "ready refused withdrawn",
        "batched": "held withdrawn ready refused failed paid unknown returned",
        "unknown": "paid failed returned",
        "paid": "returned failed",
        "failed": "paid",
    },
    "Document out": {
        "open": "sealed void",
        "sealed": "sending in_doubt void",
        "sending": "sent receipted refused sealed in_doubt",
        "sent": "receipted refused in_doubt",
        "receipted": "refused in_doubt settled",
        "in_doubt": "receipted refused sealed",
    },
    "Document in": {
        "archived": "verified quarantined parked duplicate",
        "verified": "staged quarantined parked",
        "staged": "applied quarantined parked",
        "quarantined": "archived",
        "parked": "staged quarantined",
    },
    "Run": {
        "receiving": "held accepted rejected cancelled",
        "held": "accepted rejected cancelled",
        "accepted": "released cancelled",
        "released": "paying closed cancelled",
        "paying": "closed",
    },
}


def reachable(table: Table, start: StrEnum) -> set[StrEnum]:
    """Every state that can come after ``start``."""
    seen: set[StrEnum] = set()
    todo = [start]
    while todo:
        for state in table[todo.pop()].values():
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return seen


@every_table
def test_a_table_is_total(
    name: str, table: Table, states: type[StrEnum], events: type[StrEnum], first: StrEnum
) -> None:
    """Every state has its row, every event an arrow, every arrow ends in a state, and every state can be reached."""
    assert set(table) == set(states)
    assert {event for row in table.values() for event in row} == set(events)
    assert {state for row in table.values() for state in row.values()} <= set(states)
    assert reachable(table, first) | {first} == set(states)
    assert TABLES[name] is table


@every_table
def test_every_state_comes_to_an_end(
    name: str, table: Table, states: type[StrEnum], events: type[StrEnum], first: StrEnum
) -> None:
    """From everywhere a state can be reached that nothing leaves."""
    ends = {state for state in states if not table[state]}
    for state in states:
        assert state in ends or reachable(table, state) & ends, f"{name}: {state} goes round for ever"


@pytest.mark.parametrize("name", DESIGN)
def test_the_arrows_are_the_designs(name: str) -> None:
    """No arrow more, none less; what the design gives no arrow is an end."""
    drawn = {str(state): {str(target) for target in row.values()} for state, row in TABLES[name].items() if row}
    assert drawn == {state: set(targets.split()) for state, targets in DESIGN[name].items()}


def test_no_table_stands_outside() -> None:
    """What has a table is drawn and tested here."""
    assert set(TABLES) == {row[0] for row in KINDS}


def test_a_blind_resend_cannot_be_written() -> None:
    """Nothing leads from in_doubt to sending but the bank's own word that it has no such Document."""
    doubt, said = DocumentState.IN_DOUBT, DocumentEvent.NOT_FOUND
    assert DocumentState.SENDING in reachable(DOCUMENT, doubt)
    silent = {**DOCUMENT, doubt: {event: to for event, to in DOCUMENT[doubt].items() if event is not said}}
    assert reachable(silent, doubt).isdisjoint({DocumentState.SENDING, DocumentState.SEALED, DocumentState.VOID})
    assert set(sources(DOCUMENT, said)) == {doubt}


def test_what_has_left_is_never_void() -> None:
    """Void is reached from open and sealed only: its payments go into another file."""
    assert set(sources(DOCUMENT, DocumentEvent.VOIDED)) == {DocumentState.OPEN, DocumentState.SEALED}


def test_at_most_one_live_attempt() -> None:
    """The states of the partial unique index: all but those in which it is sure that no money stands with the payee."""
    assert set(AttemptState) - set(LIVE_OR_PAID) == {
        AttemptState.FAILED,
        AttemptState.REFUSED,
        AttemptState.WITHDRAWN,
        AttemptState.RETURNED,
    }
    assert len(set(LIVE_OR_PAID)) == len(LIVE_OR_PAID)
    assert set(PENDING) == {AttemptState.NEW, AttemptState.READY, AttemptState.BATCHED}
    assert set(PENDING) < set(LIVE_OR_PAID)


def test_a_final_attempt_changes_only_by_correction_or_return() -> None:
    """P5: paid and failed move by two people with evidence, or by a verified return."""
    assert set(ATTEMPT[AttemptState.PAID]) == {AttemptEvent.RETURNED, AttemptEvent.CORRECTED_FAILED}
    assert set(ATTEMPT[AttemptState.FAILED]) == {AttemptEvent.CORRECTED_PAID}
    for state in (AttemptState.RETURNED, AttemptState.REFUSED, AttemptState.WITHDRAWN):
        assert ATTEMPT[state] == {}


def test_money_that_may_have_moved_cannot_be_withdrawn() -> None:
    """Withdrawing and refiling need a Document that is open, void or surely refused: never unknown, never paid."""
    for state in (AttemptState.UNKNOWN, AttemptState.PAID):
        after = reachable(ATTEMPT, state)
        assert after.isdisjoint({AttemptState.READY, AttemptState.HELD, AttemptState.WITHDRAWN, AttemptState.BATCHED})


@every_table
def test_a_step_is_an_arrow_or_a_halt(
    name: str, table: Table, states: type[StrEnum], events: type[StrEnum], first: StrEnum
) -> None:
    """step() knows exactly the table's arrows, and sources() the same from the other side."""
    for event in events:
        arrows = sources(table, event)
        for state in states:
            if state in arrows:
                assert step(table, state, event) is arrows[state] is table[state][event]
            else:
                with pytest.raises(Halt):
                    step(table, state, event)


def test_an_unknown_event_is_a_halt() -> None:
    """A typing mistake is no empty set of rows."""
    table: Table = ATTEMPT
    with pytest.raises(Halt):
        sources(table, RunEvent.CLOSED)
