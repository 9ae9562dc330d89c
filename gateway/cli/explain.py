"""A decoded Document in the words of ``inspect``: every level exactly as the bank wrote it, with what it means beside.

Rows go to a temporary file as they come, because only the end of a Document proves that it was whole: until then nothing may be shown.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import IO, BinaryIO, Self

import msgspec

from gateway.core.adapter import Adapter
from gateway.core.bank import Agreement, Block, DocKind, Head, Reason, Row, Tail
from gateway.core.errors import Code, Malformed
from gateway.core.verdicts import Judgement, Outcome, Verdict

_MEMORY_BYTES = 8 * 1024 * 1024
_encode = msgspec.json.Encoder().encode
#: Outcomes of which nobody has to do anything.
QUIET = frozenset({Outcome.PAID, Outcome.PENDING, Outcome.NONE})
Sets = frozenset[str]
"""The code sets that the format's table knows. A reason of another set is a mark of a booking: for people, never among ``codes``."""


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """One level's word: status and reasons as written, and what they mean."""

    status: str
    reasons: list[str]
    outcome: Outcome


class BlockWord(msgspec.Struct, frozen=True, kw_only=True):
    """A Block's word."""

    ref: str
    status: str
    reasons: list[str]
    outcome: Outcome


class RowWord(msgspec.Struct, frozen=True, kw_only=True):
    """One line. ``amount_minor`` is minor units, None where the line carries none."""

    ref: str
    amount_minor: int | None
    currency: str
    status: str
    codes: list[str]
    outcome: Outcome
    verdict: str
    text: str


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Declared by the Document (of the original, where it answers one), and counted here; None where not told."""

    declared_count: int | None
    declared_minor: int | None
    count: int
    minor: int | None


class Explained:
    """What ``explain`` found. A context manager: the rows' temporary file ends with it."""

    def __init__(self) -> None:
        self.head = Head(kind=DocKind.RESULT, message="")
        self.group = Word(status="", reasons=[], outcome=Outcome.NONE)
        self.group_verdict = ""
        self.blocks: list[BlockWord] = []
        self.marks: list[str] = []  # of each Block, for people: its direction, its kind of booking
        self.totals = Totals(declared_count=None, declared_minor=None, count=0, minor=None)
        self.outcomes: Counter[Outcome] = Counter()
        self.outcome_minor: Counter[Outcome] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.currencies: Counter[str] = Counter()
        self.first: list[RowWord] = []
        self.first_loud: list[RowWord] = []
        self._rows: IO[bytes] = tempfile.SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115 - closed by the context

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()

    def add(self, row: RowWord, most: int) -> None:
        """Count one line and keep it; ``most`` lines are kept for people."""
        self.outcomes[row.outcome] += 1
        self.currencies[row.currency] += 1
        if row.amount_minor is not None:
            self.outcome_minor[row.outcome] += row.amount_minor
        if row.verdict:
            self.verdicts[row.verdict] += 1
        if len(self.first) < most:
            self.first.append(row)
        if row.outcome not in QUIET and len(self.first_loud) < most:
            self.first_loud.append(row)
        self._rows.write(_encode(row) + b"\n")

    def json_rows(self) -> Iterator[bytes]:
        """Every line as JSON, in order."""
        self._rows.seek(0)
        for line in self._rows:
            yield line.rstrip(b"\n")


def explain(adapter: Adapter, source: BinaryIO, agreement: Agreement, *, most: int) -> Explained:
    """Decode all of it and judge every level. ``most``: lines kept for people.

    Raises Malformed; then nothing of it may be shown.
    """
    found = Explained()
    try:
        _explain(found, adapter, source, agreement, most)
    except BaseException:
        found.__exit__(None, None, None)
        raise
    return found


def _explain(found: Explained, adapter: Adapter, source: BinaryIO, agreement: Agreement, most: int) -> None:
    sets: Sets = frozenset(row.set for row in adapter.codes.values())
    head: Head | None = None
    tail: Tail | None = None
    blocks: list[Block] = []
    for item in adapter.read(source):
        if isinstance(item, Row):
            assert head is not None  # a reader's first item is its Head
            block = blocks[item.block] if item.block >= 0 else None
            found.add(_row(item, adapter.judge(head, block, item, agreement), sets), most)
        elif isinstance(item, Block):
            blocks.append(item)
        elif isinstance(item, Head):
            head = item
        else:
            tail = item
    if head is None or tail is None:
        raise Malformed("stops before its end", code=Code.TRUNCATED)
    found.head = head
    judgement = adapter.judge(head, None, None, agreement)
    found.group = Word(status=head.status, reasons=_codes(head.reasons, sets), outcome=judgement.outcome)
    found.group_verdict = _verdict(judgement, bool(head.status))
    found.blocks = [_block(block, adapter.judge(head, block, None, agreement), sets) for block in blocks]
    found.marks = [_marks(block, sets) for block in blocks]
    found.totals = Totals(
        declared_count=tail.declared_count if head.declared_count is None else head.declared_count,
        declared_minor=tail.declared_minor if head.declared_minor is None else head.declared_minor,
        count=tail.count,
        minor=tail.minor,
    )


def _row(row: Row, judgement: Judgement, sets: Sets) -> RowWord:
    return RowWord(
        ref=row.ref,
        amount_minor=row.amount,
        currency=row.currency,
        status=row.status,
        codes=_codes(row.reasons, sets),
        outcome=judgement.outcome,
        verdict=_verdict(judgement, bool(row.status or row.reasons)),
        text=row.text,
    )


def _block(block: Block, judgement: Judgement, sets: Sets) -> BlockWord:
    reasons = _codes(block.reasons, sets)
    return BlockWord(ref=block.ref, status=block.status, reasons=reasons, outcome=judgement.outcome)


def _codes(reasons: Iterable[Reason], sets: Sets) -> list[str]:
    """Codes exactly as written. A reason told by text alone has none, and a mark of a booking is none."""
    return [reason.code for reason in reasons if reason.code and reason.set in sets]


def _marks(block: Block, sets: Sets) -> str:
    return " ".join(reason.code for reason in block.reasons if reason.code and reason.set not in sets)


def _verdict(judgement: Judgement, spoken: bool) -> str:
    """Empty where nobody has said anything about the line yet."""
    silent = judgement.outcome is Outcome.NONE and (not spoken or judgement.verdict is Verdict.RECEIVED)
    return "" if silent else str(judgement.verdict)
