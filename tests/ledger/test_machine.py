"""The town in any order of events, the same orders on every run; `SHEYIN_TEST_EXAMPLES=5000` plays so many new ones. And proof that it notices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.exc import IntegrityError

from gateway.core import results
from gateway.core.errors import SheyinError
from gateway.core.states import ATTEMPT, TABLES, AttemptEvent, AttemptState, DocumentEvent, DocumentState
from gateway.edge.ledger import control, doubt, lanes, mend, outbox
from gateway.edge.ledger.engine import Tx
from tests.ledger.arrows import ARROWS
from tests.ledger.town import Town

EXAMPLES = int(os.environ.get("SHEYIN_TEST_EXAMPLES", "0"))
QUICK = settings(
    max_examples=EXAMPLES or 30,
    stateful_step_count=30,
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
#: It stops at the first that finds the fault: usually among the first hundred.
NOTICED = settings(QUICK, max_examples=1_000, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
S, E = AttemptState, AttemptEvent


@pytest.mark.timeout(120 + EXAMPLES)
def test_the_town() -> None:
    """Whatever happens in whatever order: the books agree at every step, nothing is paid twice, and in the end everybody says the same."""
    run_state_machine_as_test(Town, settings=QUICK)


@pytest.mark.parametrize("name", ["Attempt", "Document out", "Document in", "Run"])
def test_the_tables_hold_no_other_arrows(name: str) -> None:
    """The code's tables allow what was agreed on and nothing more; corrections are two people's Acts, and the town has none."""
    agreed = ARROWS[{"Attempt": "attempt", "Document out": "document", "Document in": "inbound", "Run": "run"}[name]]
    for before, row in TABLES[name].items():
        after = {str(end) for event, end in row.items() if event not in (E.CORRECTED_PAID, E.CORRECTED_FAILED)}
        assert after <= set(agreed.get(str(before), "").split())


class Fault(NamedTuple):
    """A guard of the ledger that is taken away: ``where.what`` becomes ``instead``."""

    name: str
    where: Any
    what: str
    instead: Any


def _taken_for_unsent(tx: Tx, bank: str, epoch: int) -> int:
    found = lanes.documents(tx, bank, [DocumentState.SENDING])
    for document in found:
        lanes.move_document(tx, document, DocumentEvent.SURELY_NOT_SENT, sendings=document.sendings - 1)
    return len(found)


def _counted_twice(record: Callable[..., None]) -> Callable[..., None]:
    def twice(tx: Tx, moved: Iterable[control.Moved]) -> None:
        moves = list(moved)
        record(tx, [*moves, *moves])

    return twice


def _one_too_many(done: Callable[..., None]) -> Callable[..., None]:
    def marked(tx: Tx, seqs: Sequence[int]) -> None:
        done(tx, [*seqs, max(seqs) + 1] if seqs else seqs)

    return marked


FAULTS = [
    Fault("a second payment before the result set is closed", mend, "_open_sets", lambda *_: ""),
    Fault(
        "a result overwrites a final state", results, "ATTEMPT",
        {**ATTEMPT, S.FAILED: {E.PAID: S.PAID}, S.PAID: {**ATTEMPT[S.PAID], E.FAILED: S.FAILED}},
    ),
    Fault("a sender that died is taken for one that did not begin", lanes, "doubt_sendings", _taken_for_unsent),
    Fault("a result is counted twice", control, "record", _counted_twice(control.record)),
    Fault("an event is taken for confirmed with the one before it", outbox, "outbox_done", _one_too_many(outbox.outbox_done)),
    Fault("a contradiction holds nothing back", doubt, "hold_unsent", lambda *_: None),
]  # fmt: skip


@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_it_would_notice(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    """With a guard taken away the town finds what the guard is for: else its silence would mean nothing."""
    monkeypatch.setattr(fault.where, fault.what, fault.instead)
    with pytest.raises((AssertionError, IntegrityError, SheyinError)):
        run_state_machine_as_test(Town, settings=NOTICED)
