"""Batching: which Attempts travel together, planned as ranges before any file exists; and what Documents are called.

A Group is everything that may share a Batch: one Bank, one fund, one debit account, one pay date. Its Attempts are
ordered by key and cut into Documents greedily: every ``rows_max`` rows, or earlier where the next amount would exceed
``document_minor_max``. The plan names ranks in that order, so the ledger moves each Document's members with one
statement (``row_number() OVER (ORDER BY key) BETWEEN first AND last``), and the same input makes the same Documents.
"""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from string import Formatter
from typing import NamedTuple

import msgspec

from gateway.core.bank import Limits
from gateway.core.errors import Code, Halt, Refused


class Group(NamedTuple):
    """What may travel together, with its amounts (fen) in key order: an ``array('q')`` keeps a month at 3 MB."""

    bank: str
    fund: str
    debit_account: str
    pay_date: dt.date
    amounts: Sequence[int]
    line: str = ""  # benefit line, where the Document's head names it
    early: bool = False  # released to go before a pay date without a window


class PlannedDocument(msgspec.Struct, frozen=True):
    """One Document to be: the members of ``group`` from ``first_rank`` to ``last_rank``, 1-based, both included."""

    group: Group
    first_rank: int
    last_rank: int
    count: int
    minor: int


def plan(groups: Iterable[Group], limits: Limits, *, used_today: int = 0) -> list[PlannedDocument]:
    """Cut one Bank's groups into Documents under its limits, in the order given.

    ``used_today`` is how many Documents the Bank has had today: where ``documents_per_day_max`` is reached the plan ends, and
    what it does not name stays ready for the next day. A group is never mixed with another and its order is kept.

    Raises Refused RANGE for one payment above ``document_minor_max`` or limits that let nothing through; Halt if the groups are
    of several Banks, if one is listed twice, or if an amount is not positive: intake lets none of these in.
    """
    documents: list[PlannedDocument] = []
    room = check_limits(limits).documents_per_day_max - used_today
    seen: set[Group] = set()
    for group in groups:
        key = group._replace(amounts=())
        if key in seen or any(group.bank != other.bank for other in seen):
            raise Halt(f"a plan is for one Bank, each group once: {group.bank} {group.fund} {group.pay_date}")
        seen.add(key)
        for first, last, minor in _cut(group, limits):
            if len(documents) >= room:
                return documents
            documents.append(PlannedDocument(group, first, last, last - first + 1, minor))
    return documents


def _cut(group: Group, limits: Limits) -> Iterator[tuple[int, int, int]]:
    """(first rank, last rank, fen) of each Document, in order."""
    amounts, cap = group.amounts, limits.document_minor_max
    if not amounts:
        return
    if min(amounts) <= 0:
        raise Halt(f"an amount that is not positive is ready at {group.bank}")
    if max(amounts) > cap:
        raise Refused(f"one payment is above what {group.bank} takes in a Document ({cap} fen)", code=Code.RANGE)
    sums = list(accumulate(amounts, initial=0))
    start, rows = 0, len(amounts)
    while start < rows:
        end = min(start + limits.rows_max, rows)
        if sums[end] - sums[start] > cap:
            end = bisect_right(sums, sums[start] + cap, start, end) - 1
        yield start + 1, end, sums[end] - sums[start]
        start = end


def check_limits(limits: Limits) -> Limits:
    """The same limits. Raises Refused RANGE where one lets nothing through."""
    for name in limits.__struct_fields__:
        if getattr(limits, name) < 1:
            raise Refused(f"{name} must be at least 1", code=Code.RANGE, where=f"limits.{name}")
    return limits


# ------------------------------------------------------------------------------------------------- references

_BANK_CODE = re.compile(r"[A-Z0-9_]{2,16}", re.ASCII)
SEQUENCE_MAX = 99_999


def reference(bank_code: str, day: dt.date, sequence: int, *, mark: str = "") -> str:
    """Our name for a Document, unique for ever: code without underscores, ``YYYYMMDD``, mark, five digits; at most 30 of [A-Z0-9].

    ``sequence`` counts from 1 per Bank, day and mark. ``mark`` is one letter for what is no Document of its own count: ``B`` a Batch,
    ``Q`` an inquiry. It cannot be read in two ways: the last 13 (with a mark 14) characters have fixed places.

    Raises Refused RANGE beyond 99,999 a day, FORMAT for a code that no Bank may have.
    """
    if not _BANK_CODE.fullmatch(bank_code) or not bank_code.strip("_"):
        raise Refused(f"not a Bank's code: {bank_code[:20]!r}", code=Code.FORMAT, where="code")
    if not 1 <= sequence <= SEQUENCE_MAX:
        raise Refused(f"no more than {SEQUENCE_MAX} a day: {sequence}", code=Code.RANGE, where=bank_code)
    if mark and not (len(mark) == 1 and "A" <= mark <= "Z"):
        raise Refused(f"a mark is one letter: {mark[:20]!r}", code=Code.FORMAT, where=bank_code)
    return f"{bank_code.replace('_', '')}{day:%Y%m%d}{mark}{sequence:05}"


def check_codes(bank_codes: Iterable[str]) -> None:
    """Raises Refused CONFLICT for two Banks whose codes differ only by underscores: their references would be the same."""
    seen: dict[str, str] = {}
    for code in bank_codes:
        other = seen.setdefault(code.replace("_", ""), code)
        if other != code:
            raise Refused(f"{code} and {other} would share references", code=Code.CONFLICT, where="code")


# ------------------------------------------------------------------------------------------------- file names

NAME_CHARS_MAX = 100
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
_FIELDS = ("customer", "date", "seq", "kind", "reference")
_SEQ_WIDTH = re.compile(r"(?:0[1-9])?", re.ASCII)
_LONGEST = {"customer": "", "date": "20991231", "kind": "card_status", "reference": "X" * 30}


def check_template(template: str, *, customer: str) -> None:
    """Check a file name's template when the configuration is read: ``{customer}_{date}_{seq:04}.{kind}``.

    Fields: customer, date (``YYYYMMDD``), seq (plain or zero-padded as ``{seq:04}``), kind, reference. It must tell Documents apart: by
    the reference, or by date and seq. Raises Refused FORMAT, and PATH where its longest name is one that we do not take.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise Refused(f"not a template: {error}", code=Code.FORMAT, where="file_name") from None
    used = [field for _, field, _, _ in parts if field is not None]
    for _, field, spec, conversion in parts:
        if field is not None and field not in _FIELDS:
            raise Refused(
                f"no such field: {{{field}}}; there are {', '.join(_FIELDS)}", code=Code.FORMAT, where="file_name"
            )
        if conversion or (spec and field != "seq") or (field == "seq" and not _SEQ_WIDTH.fullmatch(spec or "")):
            raise Refused(f"only seq takes a width, as in {{seq:04}}: {template}", code=Code.FORMAT, where="file_name")
    if "reference" not in used and not {"date", "seq"} <= set(used):
        raise Refused("needs {reference}, or {date} and {seq}: names must differ", code=Code.FORMAT, where="file_name")
    _checked(template.format(**{**_LONGEST, "customer": customer, "seq": 1}))


def file_name(template: str, *, customer: str, date: dt.date, sequence: int, kind: str, reference: str) -> str:
    """The name under which a Document travels: 1 to 100 of ``[A-Za-z0-9._-]``, beginning with a letter or digit.

    The template has passed ``check_template``. Raises Refused PATH for a name that we do not take, RANGE where the
    sequence does not fit the template's width (a longer name would not be the bank's).
    """
    widths = [int(width) for width in re.findall(r"\{seq:0([1-9])\}", template)]
    if sequence < 1 or len(str(sequence)) > min(widths, default=len(str(SEQUENCE_MAX))):
        raise Refused(f"sequence {sequence} does not fit {template}", code=Code.RANGE, where="file_name")
    fields = {"customer": customer, "date": f"{date:%Y%m%d}", "seq": sequence, "kind": kind, "reference": reference}
    return _checked(template.format(**fields))


def _checked(name: str) -> str:
    """The name itself. ``.tmp`` is how a file that is not whole yet is called on every wire."""
    if not _NAME.fullmatch(name) or not name[0].isalnum() or ".." in name or name.endswith((".", ".tmp")):
        raise Refused(f"not a file name that we take: {name[:NAME_CHARS_MAX]!r}", code=Code.PATH, where="file_name")
    return name
