"""Which answers a bank will give to a file it has taken, when, and in which order. Pure: times go in, planned answers come out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from gateway.sandbox.config import Answers, Faults
from gateway.sandbox.orders import Answer, Kind

# The bank's own clock: how long after our file's date each answer is dated, in minutes.
RECEIPT_MINUTES = 1
PENDING_MINUTES = 5
RESULT_MINUTES = 30
CONTRADICTION_MINUTES = 90
RETURN_MINUTES = 24 * 60
UNTOLD = 0  # number of parts, as long as the bank does not say


def later(created: str, minutes: int) -> str:
    """``2015-06-10T09:00:00+08:00`` and 30 → ``2015-06-10T09:30:00``; offsets and fractions of the file's date are left out."""
    return (datetime.fromisoformat(created[:19]) + timedelta(minutes=minutes)).isoformat()


def parts(first: int, last: int, count: int) -> list[tuple[int, int]]:
    """Row ranges of ``count`` parts, as equal as they can be; never more parts than rows."""
    rows = last - first + 1
    count = max(1, min(count, rows))
    ends = [first + rows * index // count for index in range(count + 1)]
    return [(start, end - 1) for start, end in pairwise(ends)]


def answers(
    how: Answers,
    faults: Faults,
    *,
    document: int,
    created: str,
    rows: tuple[int, int],
    now: float,
    held: bool,
    faulty: bool,
) -> Iterator[Answer]:
    """Everything the bank will say about a booked file except a return, in the order in which it will be said.

    ``rows``: first and last row in the books; ``now``: seconds since the epoch; ``faulty``: ``faults`` apply to this file.
    """
    if faulty and faults.drop:
        return
    first, last = rows
    if how.receipts:
        yield _answer(Kind.RECEIPT, document, (first, last), later(created, RECEIPT_MINUTES), now + how.receipt_delay_s)
    due = now + how.delay_s
    if how.pending_first:
        pending = _answer(Kind.PENDING, document, (first, last), later(created, PENDING_MINUTES), due)
        pending.parts = UNTOLD
        yield pending
        due += how.part_delay_s
    ranges = list(enumerate(parts(first, last, how.parts), start=2 if how.pending_first else 1))
    many = ranges[-1][0]
    for part, span in ranges if how.order == "straight" else reversed(ranges):
        for wrong in (True, False) if faulty and faults.then_correct else (faulty,):
            answer = _answer(Kind.RESULT, document, span, later(created, RESULT_MINUTES + part), due)
            answer.part, answer.parts, answer.held = part, many, held
            answer.times, answer.faulty = how.repeat, wrong
            yield answer
        due += how.part_delay_s
    if faulty and faults.contradict:
        span = (first, min(last, first + faults.contradict - 1))
        answer = _answer(Kind.CONTRADICTION, document, span, later(created, CONTRADICTION_MINUTES), due)
        answer.part, answer.parts, answer.held = many + 1, UNTOLD, held
        yield answer


def returned(how: Answers, *, document: int, created: str, rows: tuple[int, int], after: float, held: bool) -> Answer:
    """The notice that some of the file's payments came back, once the last result is due at ``after``."""
    answer = _answer(Kind.RETURN, document, rows, later(created, RETURN_MINUTES), after + how.return_delay_s)
    answer.held = held
    return answer


def _answer(kind: Kind, document: int, rows: tuple[int, int], created: str, due: float) -> Answer:
    return Answer(kind=kind, document=document, first=rows[0], last=rows[1], created=created, due=due)
