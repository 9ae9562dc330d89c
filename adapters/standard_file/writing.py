"""Writing standard files as a stream of chunks: nothing is held but the lines of the chunk at hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from adapters.standard_file import layout
from adapters.standard_file.kinds import FileKind
from adapters.standard_file.layout import Header
from gateway.codec.lines import chunks
from gateway.core.bank import Bank, Inquiry, PayLine, PaymentHead, SealSlot
from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import Code, Halt, Refused
from gateway.core.money import CNY


def write_payment(head: PaymentHead, lines: Iterable[PayLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """A payment file in chunks of at least 64 KiB but the last; the trailer's digest is made on the way.

    Raises Refused (CHARSET, SIZE, FORMAT, SCHEMA, RANGE) for a value that the format cannot hold, before the chunk
    that would hold it, and Halt where the lines are not numbered 1, 2, … or do not add up to the head. Whatever was
    yielded until then is no file: it has no trailer.
    """
    if head.currency != CNY:
        raise Refused(f"this format pays {CNY} only", code=Code.POLICY, where="currency")
    if not 0 < head.count <= layout.COUNT_MAX:
        raise Refused(f"{head.count} lines, must be 1..{layout.COUNT_MAX}", code=Code.RANGE, where=head.reference)
    header = Header(
        kind=FileKind.PAY,
        reference=head.reference,
        created=head.created.astimezone(CHINA_TIME).strftime(layout.STAMP),
        customer=bank.customer,
        bank=bank.code,
        count=head.count,
        total=head.minor,
    )
    batch = (
        head.batch,
        head.sequence,
        head.pay_date.strftime(layout.DAY),
        head.fund,
        head.benefit,
        head.debit_account,
        head.debit_name,
    )

    def records() -> Iterator[str]:
        yield layout.HEADER.pack(msgspec.structs.astuple(header), 1)
        yield layout.BATCH.pack(batch, 2)
        yield from _payments(head, lines)

    yield from assemble(records(), head.count, head.minor)


def _payments(head: PaymentHead, lines: Iterable[PayLine]) -> Iterator[str]:
    pack = layout.PAYMENT.pack
    number = minor = 0
    for number, line in enumerate(lines, 1):
        if line.line != number:
            raise Halt(f"line {line.line} of {head.reference} stands at {number}")
        minor += line.amount
        yield pack(line[:9], number)
    if (number, minor) != (head.count, head.minor):
        raise Halt(f"{head.reference} has {number} lines and {minor} fen, its head says {head.count} and {head.minor}")


def write_inquiry(inquiry: Inquiry, bank: Bank) -> Iterator[bytes | SealSlot]:
    """A question about one payment file of ours, or about some of its lines. Raises Refused."""
    header = Header(
        kind=FileKind.INQ,
        reference=inquiry.reference,
        created=inquiry.created.astimezone(CHINA_TIME).strftime(layout.STAMP),
        customer=bank.customer,
        bank=bank.code,
        original=inquiry.original,
        original_kind=FileKind.PAY,
        count=len(inquiry.lines),
    )
    if len(set(inquiry.lines)) != len(inquiry.lines):
        raise Refused("asks twice about a line", code=Code.SEQ, where=inquiry.reference)

    def records() -> Iterator[str]:
        yield layout.HEADER.pack(msgspec.structs.astuple(header), 1)
        for at, line in enumerate(inquiry.lines, 2):
            yield layout.QUESTION.pack((line,), at)

    yield from assemble(records(), len(inquiry.lines), 0)


def assemble(records: Iterable[str], count: int, minor: int) -> Iterator[bytes]:
    """The records as bytes, with their ends, and the trailer that closes them; ``minor`` is fen."""
    digest = hashlib.sha256()
    for chunk in chunks(records, layout.CHARSET):
        digest.update(chunk)
        yield chunk
    yield from chunks((layout.TRAILER.pack((count, minor, digest.hexdigest())),), layout.CHARSET)
