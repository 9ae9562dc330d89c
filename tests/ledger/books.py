"""What is known of everybody in the town, and what always holds; ``Town`` says what can happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis.stateful import RuleBasedStateMachine, invariant

from gateway.core.ledger import OutDocument
from gateway.core.states import LIVE_OR_PAID, DocumentState
from gateway.core.verdicts import Outcome
from gateway.edge.ledger import lanes, outbox
from tests.ledger.hearing import Hearing
from tests.ledger.inline import Inline
from tests.ledger.kit import NORTH, SOUTH

BANKS = (NORTH, SOUTH)
PAID, FAILED, UNKNOWN, RETURNED = Outcome.PAID, Outcome.FAILED, Outcome.UNKNOWN, Outcome.RETURNED
FINAL = ("paid", "failed", "refused", "returned", "withdrawn")
ROUNDS_MAX = 99
_LIVE = ", ".join(f"'{state}'" for state in LIVE_OR_PAID)


class Letter(NamedTuple):
    """What a bank wrote, so that it can write it again: about a Document of ours (None: about a payment alone), lines, a word on the whole."""

    bank: str
    document: OutDocument | None
    words: list[tuple[int, Outcome]]
    event: str
    name: str


class Books(RuleBasedStateMachine):
    """The reference: what was ordered, and what the banks really did."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Inline()
        self.ordered: dict[str, int] = {}  # what the payer has had accepted
        self.files: set[str] = set()  # the references that are at a bank: what comes again is a repeat
        self.truth: dict[int, Outcome] = {}  # attempt → what the bank really did
        self.wrong: set[int] = set()  # told as failed, in truth paid, not corrected yet
        self.before: dict[int, str] = {}
        self.letters: list[Letter] = []
        self.taken: set[str] = set()  # names of letters that were delivered
        self.payer = Hearing()
        self.runs = self.hour = self.renamed = 0
        self.epochs = {bank: self.ledger.do(lanes.lane_lease, bank, "here", 10**9) or 0 for bank in BANKS}

    # ------------------------------------------------------------------------------------------------------ what always holds

    @invariant()
    def the_books_agree(self) -> None:
        """Every fen is accounted for, in both views, and the chain of Acts is whole."""
        assert self.ledger.do(outbox.faults) == []
        found = self.ledger.rows("SELECT SUM(minor) AS fen FROM control WHERE view = 'origin' AND part = 'ordered'")
        assert (found[0].fen or 0) == sum(self.ordered.values())
        stands = self.ledger.rows(
            "SELECT i.id, MIN(a.amount) AS least, MAX(a.amount) AS most FROM instruction AS i "
            "LEFT JOIN attempt AS a ON a.instruction_key = i.key GROUP BY i.id"
        )
        assert {row.id: (row.least, row.most) for row in stands} == {
            id_: (fen, fen) for id_, fen in self.ordered.items()
        }

    @invariant()
    def one_live_or_paid_try(self) -> None:
        """No instruction has two tries that are under way or paid, and none was credited twice by the bank."""
        assert (
            self.ledger.rows(
                f"SELECT instruction_key FROM attempt WHERE state IN ({_LIVE}) GROUP BY instruction_key HAVING COUNT(*) > 1"
            )
            == []
        )
        credited = [row.instruction_key for row in self._attempts() if self.truth.get(row.key) is PAID]
        assert len(credited) == len(set(credited)), "paid twice"

    @invariant()
    def final_states_stay(self) -> None:
        """What was final is what it was, but for a return of what was paid; and it is what the bank did, unless the bank misspoke."""
        for row in self._attempts():
            was = self.before.get(row.key, row.state)
            assert was not in FINAL or row.state == was or (was, row.state) == ("paid", "returned")
            self.before[row.key] = row.state
            truth = self.truth.get(row.key)
            if row.state == "paid":
                assert truth is PAID
            if row.state in ("withdrawn", "ready", "new"):
                assert truth is not PAID, f"{row.state}, but credited"

    def _check(self) -> None:
        self.the_books_agree()
        self.one_live_or_paid_try()
        self.final_states_stay()

    # ------------------------------------------------------------------------------------------------------ looking

    def _attempts(self) -> list[Any]:
        return self.ledger.rows(
            "SELECT a.key, a.instruction_key, a.try_no, a.state, i.id FROM attempt AS a "
            "JOIN instruction AS i ON i.key = a.instruction_key ORDER BY a.key"
        )

    def _until_none(self, left: Callable[[], Any], act: Callable[[], None]) -> None:
        for _ in range(ROUNDS_MAX):
            if not left():
                return
            act()
        raise AssertionError("it does not come to an end")

    def _some(self, sql: str, pick: int) -> Any:
        found = self.ledger.rows(sql)
        return found[pick % len(found)] if found else None

    def _id(self, pick: int) -> str:
        return list(self.ordered)[pick % len(self.ordered)]

    def _documents(self, *states: DocumentState) -> list[OutDocument]:
        return [d for bank in BANKS for d in self.ledger.do(lanes.documents, bank, states)]

    def _document(self, pick: int, *states: DocumentState) -> OutDocument | None:
        found = self._documents(*states)
        return found[pick % len(found)] if found else None

    def _members(self, document: OutDocument) -> list[int]:
        rows = self.ledger.rows("SELECT key FROM attempt WHERE document_key = :key ORDER BY line", key=document.key)
        return [row.key for row in rows]

    def _amount(self, key: int) -> int:
        rows = self.ledger.rows("SELECT amount FROM attempt WHERE key = :key", key=key)
        return int(rows[0].amount) if rows else 1

    def _bank_of(self, key: int) -> str:
        rows = self.ledger.rows(
            "SELECT l.bank FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key WHERE a.key = :key", key=key
        )
        return str(rows[0].bank)
