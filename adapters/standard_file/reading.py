"""Reading standard files as a stream: held are one block of lines, one bit of memory a line number, and the references."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO

from adapters.standard_file import codes, kinds, layout
from adapters.standard_file.kinds import FileKind
from adapters.standard_file.layout import Header
from gateway.codec.lines import LF, blocks, text_lines
from gateway.core.bank import Head, Item, Reason, Row, Tail
from gateway.core.errors import Code, Malformed
from gateway.core.verdicts import Verdict

_REASONS_MAX = 1_000  # words kept to be shared by lines; a bank that writes another text on every line gets no further


class _Sums:
    """What is counted while the lines go by."""

    def __init__(self, header: Header) -> None:
        self.currency = header.currency
        self.count_max = header.count if header.count is not None and header.kind != FileKind.RCT else 0
        self.count = 0
        self.minor = 0
        self._lines = bytearray(layout.COUNT_MAX + 1)
        self._references: set[int] = set()
        self._reasons: dict[tuple[str, str], tuple[Reason, ...]] = {}

    def line(self, number: int, at: int) -> None:
        """Count one line; its number may not come twice."""
        self.count += 1
        if self._lines[number]:
            raise Malformed("line number came before", code=Code.SEQ, where=f"line {at}")
        self._lines[number] = 1
        if self.count > self.count_max:  # said here, so that memory is bounded by what the header announced
            raise Malformed(f"more lines than the {self.count_max} declared", code=Code.TOTALS, where=f"line {at}")

    def payment(self, number: int, reference: int, minor: int, at: int) -> None:
        """Count one line with money on it; its reference may not come twice either."""
        self.line(number, at)
        if reference in self._references:
            raise Malformed("reference came before", code=Code.SEQ, where=f"line {at}")
        self._references.add(reference)
        self.minor += minor

    def gapless(self, number: int, at: int) -> None:
        """Where lines are numbered in their own file: 1, 2, …"""
        if number != self.count:
            raise Malformed(f"line number {number}, must be {self.count}", code=Code.SEQ, where=f"line {at}")

    def reasons(self, code: str, text: str) -> tuple[Reason, ...]:
        """The line's word as a reason; one object for all lines with the same word."""
        word = (code, text)
        found = self._reasons.get(word)
        if found is None:
            found = (Reason(codes.SET, code, text),)
            if len(self._reasons) < _REASONS_MAX:
                self._reasons[word] = found
        return found


def sniff(first: bytes) -> bool:
    """Whether these first bytes are a standard file's."""
    return first.startswith(layout.STARTS)


def read(stream: BinaryIO) -> Iterator[Item]:
    """Any standard file: one Head, its Rows, one Tail. Nothing may be applied before the Tail has come.

    In a payment file a Row's ``ref`` is our payment's reference and ``status`` is empty; in an inquiry ``ref`` is a
    line number.

    Raises Malformed: TRUNCATED (cut in a line, or empty), TOTALS (no trailer; count or sum differ), FORMAT (bytes,
    record types, values, or the digest), SCHEMA (fields missing, not allowed here, or of an unknown version or kind),
    SEQ (a line number or a reference twice, a gap in a payment file), SIZE (a line too long).
    """
    digest = hashlib.sha256()
    records = _records(stream, digest.update)
    header = _header(_next(records)[1])
    yield _head(header)
    kind = FileKind(header.kind)
    if kind is FileKind.PAY:
        at, line = _next(records)
        _batch(line, at)
    sums = _Sums(header)
    at, line = _next(records)
    if letter := kinds.LINES[kind]:
        row_of = _ROWS[letter](sums)
        prefix = letter + "|"
        while line.startswith(prefix):
            yield row_of(line, at)
            at, line = _next(records)
    tail = _tail(line, at, header, sums, digest.hexdigest())
    if after := next(records, None):
        raise Malformed("something follows the trailer", code=Code.FORMAT, where=f"line {after[0]}")
    yield tail


def _records(stream: BinaryIO, hashed: Callable[[bytes], None]) -> Iterator[tuple[int, str]]:
    """(line number, line) of every record; every byte before a trailer that ends its block is hashed before it is yielded."""
    before = 0
    for block in blocks(stream, line_bytes_max=layout.LINE_BYTES_MAX, starts=layout.STARTS):
        last = block.rfind(LF, 0, -1) + 1
        hashed(block[:last] if block.startswith(b"T|", last) else block)
        lines = text_lines(block, layout.CHARSET, before)
        yield from enumerate(lines, before + 1)
        before += len(lines)


def _next(records: Iterator[tuple[int, str]]) -> tuple[int, str]:
    for record in records:
        return record
    raise Malformed("there is no trailer", code=Code.TOTALS, where="end")


# ------------------------------------------------------------------------------------------------------------- the
# header


def _header(line: str) -> Header:
    header = Header(*layout.HEADER.unpack(line, 1))  # type: ignore[arg-type]  # the table's types are the tuple's
    if header.version != layout.VERSION:
        raise _wrong(f"version {header.version}, this is version {layout.VERSION}")
    if header.kind not in kinds.DOC_KINDS:
        reserved = header.kind in kinds.RESERVED_KINDS
        raise _wrong(f"kind {header.kind} is {'reserved for a later version' if reserved else 'not known'}")
    kind = FileKind(header.kind)
    _check_fields(header, kind)
    if header.parts and header.part > header.parts:
        raise _wrong(f"part {header.part} of {header.parts}")
    if kind not in kinds.IN_PARTS and (header.part, header.parts) != (1, 1):
        raise _wrong(f"a {kind} file comes in one part")
    if header.count and kind in kinds.IN_PARTS and codes.refuses_whole(header.status):
        raise _wrong("a file that is refused whole has no lines")
    if kind is FileKind.ANS and not header.original_digest and not _not_found(header):
        raise _wrong("original_digest is empty")
    try:
        datetime.strptime(header.created, layout.STAMP)  # noqa: DTZ007 - only whether it is a time
    except ValueError:
        raise Malformed("created is not a time", code=Code.FORMAT, where="header in line 1") from None
    return header


def _check_fields(header: Header, kind: FileKind) -> None:
    rule = kinds.RULES[kind]
    for field in layout.HEADER.fields:
        if not field.optional:
            continue
        empty = getattr(header, field.name) in ("", None)
        if empty and field.name in rule.must:
            raise _wrong(f"{field.name} is empty")
        if not empty and field.name not in rule.must | rule.may:
            raise _wrong(f"{field.name} is not for {kind} files")


def _not_found(header: Header) -> bool:
    return codes.CODES.verdict(codes.DOCUMENT, codes.SET, header.status) is Verdict.NOT_FOUND


def _wrong(what: str) -> Malformed:
    return Malformed(what, code=Code.SCHEMA, where="header in line 1")


def _head(header: Header) -> Head:
    return Head(
        kind=kinds.DOC_KINDS[FileKind(header.kind)],
        message=f"{layout.FORMAT}.{header.kind}.{header.version}",
        reference=header.reference,
        original=header.original,
        original_kind=header.original_kind,
        original_digest=header.original_digest,
        inquiry=header.inquiry,
        created=header.created,
        currency=header.currency,
        status=header.status,
        reasons=(Reason(codes.SET, header.status, header.text),) if header.status else (),
        declared_count=header.count,
        declared_minor=header.total,
        part=header.part,
        parts=header.parts,
    )


def _batch(line: str, at: int) -> None:
    if not line.startswith("B|"):
        raise Malformed("a payment file's second record is B", code=Code.SCHEMA, where=f"line {at}")
    pay_date = layout.BATCH.split(line, at)[2]
    try:
        datetime.strptime(pay_date, layout.DAY)  # noqa: DTZ007 - only whether it is a day
    except ValueError:
        raise Malformed("pay_date is not a day", code=Code.FORMAT, where=f"batch in line {at}") from None


# -------------------------------------------------------------------------------------------------------------- the
# lines

_RowOf = Callable[[str, int], Row]


def _payments(sums: _Sums) -> _RowOf:
    def row(line: str, at: int) -> Row:
        number, reference, name, account, amount, *_ = layout.PAYMENT.split(line, at)
        minor = int(amount)
        sums.payment(int(number), int(reference), minor, at)
        sums.gapless(int(number), at)
        return Row(reference, minor, sums.currency, "", (), "", "", -1, name, account)

    return row


def _results(sums: _Sums) -> _RowOf:
    def row(line: str, at: int) -> Row:
        number, reference, amount, code, serial, text, name = layout.RESULT.split(line, at)
        minor = int(amount)
        sums.payment(int(number), int(reference), minor, at)
        return Row(reference, minor, sums.currency, code, sums.reasons(code, text), serial, text, -1, name, "")

    return row


def _returns(sums: _Sums) -> _RowOf:
    def row(line: str, at: int) -> Row:
        number, reference, amount, code, serial, text, name = layout.RETURNED.split(line, at)
        minor = int(amount)
        sums.payment(int(number), int(reference), minor, at)
        sums.gapless(int(number), at)
        return Row(reference, minor, sums.currency, code, sums.reasons(code, text), serial, text, -1, name, "")

    return row


def _questions(sums: _Sums) -> _RowOf:
    def row(line: str, at: int) -> Row:
        (number,) = layout.QUESTION.split(line, at)
        sums.line(int(number), at)
        return Row(number, None, sums.currency, "")

    return row


_ROWS: dict[str, Callable[[_Sums], _RowOf]] = {
    "D": _payments,
    "R": _results,
    "N": _returns,
    "Q": _questions,
}

# ------------------------------------------------------------------------------------------------------------ the
# trailer


def _tail(line: str, at: int, header: Header, sums: _Sums, digest: str) -> Tail:
    if not line.startswith("T|"):
        raise _stray(line, at, header.kind)
    count, total, declared_digest = layout.TRAILER.split(line, at)
    declared = (int(count), int(total))
    if declared != (sums.count, sums.minor):
        what = f"trailer says {declared[0]} lines and {declared[1]} fen, counted {sums.count} and {sums.minor}"
        raise Malformed(what, code=Code.TOTALS, where=f"line {at}")
    if header.kind != FileKind.RCT and declared != (header.count, header.total):
        what = f"header says {header.count} lines and {header.total} fen, trailer {declared[0]} and {declared[1]}"
        raise Malformed(what, code=Code.TOTALS, where=f"line {at}")
    if declared_digest != digest:
        raise Malformed("the digest is not that of what stands before", code=Code.FORMAT, where=f"line {at}")
    money = header.kind not in (FileKind.RCT, FileKind.INQ)
    return Tail(
        count=sums.count,
        minor=sums.minor if money else None,
        declared_count=declared[0],
        declared_minor=declared[1] if money else None,
    )


def _stray(line: str, at: int, kind: str) -> Malformed:
    letter = line.partition("|")[0]
    if letter in layout.RECORDS:
        return Malformed(f"record {letter} does not belong here in a {kind} file", code=Code.SCHEMA, where=f"line {at}")
    what = "is reserved for a later version" if letter in kinds.RESERVED_RECORDS else "is not known"
    return Malformed(f"the record type {what}", code=Code.FORMAT, where=f"line {at}")
