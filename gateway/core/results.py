"""What a bank's words do to our Attempts: the rules, pure, for one page of lines at a time.

``Told`` holds a whole Document's classified lines in columns (some 90 bytes a line), because a result of 100,000 lines is applied in one
transaction and four lanes may do so at once. ``weigh`` compares a page of it with what the ledger knows.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from gateway.core.bank import Row
from gateway.core.errors import Code
from gateway.core.ids import mask_account
from gateway.core.money import CNY
from gateway.core.states import ATTEMPT, AttemptEvent, AttemptState
from gateway.core.verdicts import Judgement, Outcome, Verdict

_EVENT = {
    Outcome.PAID: AttemptEvent.PAID,
    Outcome.FAILED: AttemptEvent.FAILED,
    Outcome.REFUSED: AttemptEvent.REFUSED,
    Outcome.UNKNOWN: AttemptEvent.UNKNOWN,
    Outcome.RETURNED: AttemptEvent.RETURNED,
}
#: The state that a told outcome asserts; telling it again is quiet.
_ASSERTS = {
    Outcome.PAID: AttemptState.PAID,
    Outcome.FAILED: AttemptState.FAILED,
    Outcome.REFUSED: AttemptState.REFUSED,
    Outcome.UNKNOWN: AttemptState.UNKNOWN,
    Outcome.RETURNED: AttemptState.RETURNED,
}
#: How a final state is taken back: only by the bank's written word, entered by two people.
_CORRECTS = {Outcome.PAID: AttemptEvent.CORRECTED_PAID, Outcome.FAILED: AttemptEvent.CORRECTED_FAILED}
_ABSENT = -1
#: What says nothing that could contradict anything.
_SILENT = (Outcome.PENDING, Outcome.NONE)
#: What says that money may have moved.
_MOVED = (Outcome.PAID, Outcome.UNKNOWN, Outcome.RETURNED)
#: What says that it did not.
_DENIED = (Outcome.FAILED, Outcome.REFUSED)
#: Not at the bank now: to hear that it is not paid is no news.
_AT_HOME = (AttemptState.NEW, AttemptState.READY, AttemptState.HELD, AttemptState.WITHDRAWN)
_encode = msgspec.json.Encoder().encode


class Word(NamedTuple):
    """One distinct judgement with the bank's own code and text; lines share it."""

    outcome: Outcome
    verdict: Verdict
    code: str
    text: str


class ToldLine(NamedTuple):
    """One line, as it comes out of the columns again."""

    at: int  # 0-based place in the Document
    key: int  # of the Attempt, -1 where the reference is none of ours
    amount: int  # fen, -1 where the line carries none
    word: Word
    bank_ref: str


class Told:
    """A decoded Document's lines in columns. ``add`` each Row with its Judgement, then read it back in pages.

    ``letter``: the bank's written word, entered by two people, which may also correct a final state.
    """

    def __init__(self, *, letter: bool = False) -> None:
        self.letter = letter
        self._keys = array("q")
        self._amounts = array("q")
        self._word_of = array("L")
        self._bank_refs: list[str] = []
        self._words: list[Word] = []
        self._index: dict[Word, int] = {}
        self._raw: dict[int, Row] = {}
        self._names: dict[int, str] = {}
        self._disputed: frozenset[int] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, row: Row, judgement: Judgement) -> None:
        """Append one line. A reference that is not a plain number of ours, or another currency, is kept whole for parking."""
        key = int(row.ref) if row.ref.isascii() and row.ref.isdigit() and len(row.ref) <= 18 else _ABSENT
        reason = row.reasons[0] if row.reasons else None
        word = Word(
            judgement.outcome,
            judgement.verdict,
            reason.code if reason else row.status,
            (reason.text if reason else "") or row.text,
        )
        at = self._index.get(word)
        if at is None:
            at = self._index[word] = len(self._words)
            self._words.append(word)
        line = len(self._keys)
        if (
            key == _ABSENT
            or (row.currency and row.currency != CNY)
            or judgement.outcome not in (Outcome.PAID, Outcome.PENDING)
        ):
            self._raw[line] = row  # only lines that may be parked keep their words
        if row.name:
            self._names[line] = row.name
        self._keys.append(key)
        self._amounts.append(_ABSENT if row.amount is None else row.amount)
        self._word_of.append(at)
        self._bank_refs.append(row.bank_ref)

    def pages(self, size: int) -> Iterator[list[ToldLine]]:
        """Lines in order, ``size`` at a time."""
        words = self._words
        for start in range(0, len(self._keys), size):
            stop = min(start + size, len(self._keys))
            yield [
                ToldLine(line, self._keys[line], self._amounts[line], words[self._word_of[line]], self._bank_refs[line])
                for line in range(start, stop)
            ]

    def currency(self, at: int) -> str:
        """Another currency than CNY that the line was in, or empty."""
        row = self._raw.get(at)
        return row.currency if row is not None and row.currency != CNY else ""

    def disputed(self) -> frozenset[int]:
        """Keys of which this Document tells two different things: nobody can say which of them holds, so none is applied."""
        if self._disputed is None:
            self._disputed = self._find_disputed()
        return self._disputed

    def _find_disputed(self) -> frozenset[int]:
        ours = [key for key in self._keys if key != _ABSENT]
        if len(set(ours)) == len(ours):
            return frozenset()
        said: dict[int, set[tuple[Outcome, int]]] = {}
        for key, amount, word in zip(self._keys, self._amounts, self._word_of, strict=True):
            outcome = self._words[word].outcome
            if key != _ABSENT and outcome not in _SILENT:
                said.setdefault(key, set()).add((outcome, amount))
        return frozenset(key for key, words in said.items() if len(words) > 1)

    def doubt_refusals(self) -> None:
        """The Document left more than once: a refusal may be of the second copy, and says nothing of the first."""
        self._words = [
            word._replace(outcome=Outcome.UNKNOWN) if word.outcome is Outcome.REFUSED else word for word in self._words
        ]

    def name(self, at: int) -> str:
        """The bank's spelling of the name, where it told one."""
        return self._names.get(at, "")

    def reference(self, line: ToldLine) -> str:
        """The reference as the bank wrote it."""
        row = self._raw.get(line.at)
        return row.ref if row is not None else str(line.key)

    def raw(self, line: ToldLine) -> str:
        """The bank's words on the line as JSON, for a person; the account masked, because it is kept as it is told here."""
        row = self._raw.get(line.at)
        if row is not None:
            return _encode(row._replace(account=mask_account(row.account))._asdict()).decode()
        amount = None if line.amount == _ABSENT else line.amount
        return _encode(
            {"ref": str(line.key), "amount": amount, "code": line.word.code, "bank_ref": line.bank_ref}
        ).decode()


class Known(NamedTuple):
    """What the ledger knows of one Attempt."""

    key: int
    state: str
    amount: int
    lot_key: int
    instruction_key: int
    try_no: int
    told: int
    document_key: int | None
    instruction_id: str
    left: bool = True  # its Document may have reached the bank


class Applying(NamedTuple):
    """One line that changes one Attempt."""

    known: Known
    after: AttemptState
    line: ToldLine


class Parking(NamedTuple):
    """One line that no rule can apply, with the reason."""

    line: ToldLine
    code: Code
    what: str
    known: Known | None = None
    contradicts: bool = False  # a final state: whatever of the Instruction is unsent must be held


class Weighed(NamedTuple):
    """A page, weighed."""

    applying: list[Applying]
    parking: list[Parking]
    quiet: int  # lines that say what is known, or nothing about the money


def weigh(
    told: Told, page: list[ToldLine], known: Mapping[int, Known], documents: frozenset[int] | None, seen: set[int]
) -> Weighed:
    """Compare a page with what is known. ``known`` holds only Attempts that went to this bank.

    ``documents`` restricts to Attempts of the Document that the answer names (None: the message names none, as an account notice does).
    ``seen`` carries the keys that had a word over the pages of one Document: a line told twice alike is quiet, one told differently is parked,
    every word of it.
    """
    weighed = Weighed([], [], 0)
    quiet = 0
    disputed = told.disputed()
    for line in page:
        mine = known.get(line.key)
        if mine is None or not mine.left or (documents is not None and mine.document_key not in documents):
            weighed.parking.append(_foreign(line, mine))
            continue
        if line.key in disputed:
            weighed.parking.append(
                Parking(line, Code.CONFLICT, "one Document tells different things of it", mine, contradicts=True)
            )
            continue
        if line.key in seen:
            quiet += 1
            continue
        if line.word.outcome not in _SILENT:
            seen.add(line.key)
        fault = _fault(told, line, mine)
        if fault:  # whatever is wrong with it, unless it denies the payment money may have moved
            weighed.parking.append(fault._replace(contradicts=line.word.outcome not in _DENIED))
            continue
        applying = _apply(line, mine, letter=told.letter)
        if isinstance(applying, Parking):
            weighed.parking.append(applying)
        elif applying is None:
            quiet += 1
        else:
            weighed.applying.append(applying)
    return weighed._replace(quiet=quiet)


def _foreign(line: ToldLine, mine: Known | None) -> Parking:
    """A reference that the answer should not hold. If it is ours and money may have moved, whatever of it is unsent must not leave."""
    what = "the reference is not of a payment sent to this bank in that Document"
    if mine is None or line.word.outcome not in _MOVED:
        return Parking(line, Code.UNKNOWN_REF, what)
    return Parking(line, Code.UNKNOWN_REF, what, mine, contradicts=True)


def _fault(told: Told, line: ToldLine, mine: Known) -> Parking | None:
    """What keeps a line from being applied at all."""
    if line.amount not in (_ABSENT, mine.amount):
        return Parking(line, Code.CONFLICT, f"the bank tells {line.amount} fen, ordered were {mine.amount} fen", mine)
    if told.currency(line.at):
        return Parking(line, Code.CONFLICT, f"the bank tells the currency {told.currency(line.at)}", mine)
    if line.word.verdict is Verdict.UNKNOWN_CODE:
        return Parking(line, Code.UNKNOWN_CODE, f"no rule has a meaning for {line.word.code!r} here", mine)
    if line.word.outcome is Outcome.RETURNED and line.amount == _ABSENT:
        return Parking(line, Code.CONFLICT, "a return must carry its amount", mine)
    return None


def _apply(line: ToldLine, mine: Known, *, letter: bool) -> Applying | Parking | None:
    """The state it leads to; None where it says nothing new; a contradiction is parked."""
    outcome = line.word.outcome
    if outcome in _SILENT:
        return None
    state = AttemptState(mine.state)
    if state in _AT_HOME and outcome not in _MOVED:
        return None
    event = _EVENT[outcome]
    if state is AttemptState.UNKNOWN and outcome is Outcome.REFUSED:
        event = AttemptEvent.FAILED  # nothing was booked: that ends the doubt
    after = ATTEMPT[state].get(event)
    if after is None and letter and outcome in _CORRECTS:
        after = ATTEMPT[state].get(_CORRECTS[outcome])
    if after is not None and after is not state:
        return Applying(mine, after, line)
    if state is _ASSERTS[outcome] or (
        outcome is Outcome.UNKNOWN and state in (AttemptState.PAID, AttemptState.FAILED, AttemptState.RETURNED)
    ):
        return None  # known already, or a doubt that came after the answer
    return Parking(line, Code.CONFLICT, f"the bank tells {outcome}, but the payment is {state}", mine, contradicts=True)
