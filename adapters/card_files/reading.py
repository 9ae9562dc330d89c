"""Reading card files, and the notices of the card service, as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

import msgspec

from adapters.card_files.codes import BIND, SET, UNBIND
from adapters.card_files.layout import BK, FILL, HEADER_BYTES, HEADERS, RECORDS, RH, SH
from gateway.core.bank import DocKind, Head, Item, Reason, Row, Tail
from gateway.core.errors import Code, Malformed

LF = b"\n"
BLOCK_BYTES = 256 * 1024
NOTICE_BYTES_MAX = 16 * 1024 * 1024
NOTICES_MAX = 100_000
_HEADER = re.compile(rb"(?:SH|RH|BK)[0-9]{16}F{10}\r?\n")
_NOTICE = re.compile(rb'\s*\[\s*\{[^{}\[\]]*"trcode"\s*:\s*"B005[67]"')
_KINDS = {SH: DocKind.NAME_CHECK, RH: DocKind.NAME_CHECK, BK: DocKind.CARD_STATUS}


class Notice(msgspec.Struct, frozen=True):
    """One element of B0056 or B0057, as the card service is called with it; what is not named here is passed over."""

    trcode: str
    bizid: str = ""  # the bank
    termno: str = ""  # running number of the sender
    cardno: str = ""  # social-security card
    sfz: str = ""  # id number
    name: str = ""
    bankcardno: str = ""
    date: str = ""
    time: str = ""


_notices = msgspec.json.Decoder(list[Notice])


def sniff(beginning: bytes) -> bool:
    """Whether these first bytes look like a card file or a notice."""
    return bool(_HEADER.match(beginning) or _NOTICE.match(beginning))


def read(stream: BinaryIO) -> Iterator[Item]:
    """Head, one Row a record, Tail. Raises Malformed: TRUNCATED, TOTALS, FORMAT, SCHEMA, SIZE.

    ``Row.ref`` is the detail number (SH, RH), the social-security card (BK) or the sender's running number (notices).
    """
    beginning = stream.read(HEADER_BYTES)
    if not beginning:
        raise Malformed("the file is empty", code=Code.TRUNCATED)
    if beginning.lstrip()[:1] == b"[":
        yield from _read_notices(beginning + stream.read(NOTICE_BYTES_MAX + 1))
    else:
        yield from _read_records(beginning, stream)


# ---------------------------------------------------------------------------------------------------------------- files


def _read_records(beginning: bytes, stream: BinaryIO) -> Iterator[Item]:
    kind, count = _header(beginning)
    record = RECORDS[kind]
    lines = _lines(stream, record.size)
    left = next(lines, None)  # of the header's line
    if left != b"":
        raise Malformed("the header has no end", code=Code.FORMAT if left else Code.TRUNCATED, where="line 1")
    first = next(lines, None)
    task = _task(kind, first) if first is not None else ""
    yield Head(
        kind=_KINDS[kind],
        message=kind,
        reference=task if kind == SH else "",
        original=task if kind == RH else "",
        original_kind=SH if kind == RH else "",
        declared_count=count,
    )
    number = 0
    for number, line in enumerate(chain([first] if first is not None else [], lines), 1):
        values = record.unpack(line, number + 1)
        yield _ROWS[kind](tuple(str(value or "") for value in values), task, number + 1)
    if number != count:
        code, what = (Code.TRUNCATED, "the end is missing") if number < count else (Code.TOTALS, "more than declared")
        raise Malformed(f"{number} records, the header says {count}: {what}", code=code)
    yield Tail(count=number, minor=None)


def _header(beginning: bytes) -> tuple[str, int]:
    """(kind, number of records)."""
    if len(beginning) < HEADER_BYTES:
        raise Malformed("the header is cut off", code=Code.TRUNCATED, where="line 1")
    kind = next((kind for kind in HEADERS if beginning.startswith(kind.encode("ascii"))), None)
    if kind is None:
        raise Malformed("does not begin with SH, RH or BK", code=Code.FORMAT, where="line 1")
    count, size = HEADERS[kind].unpack(beginning, 1)
    if size != RECORDS[kind].size:
        what = f"records of {size} bytes, {kind} has {RECORDS[kind].size}"
        raise Malformed(what, code=Code.SCHEMA, where="line 1")
    return kind, int(count or 0)


def _lines(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Lines without their ends, LF or CR LF; the last one must have one."""
    rest = b""
    while data := stream.read(BLOCK_BYTES):
        *whole, rest = (rest + data).split(LF)
        for line in whole:
            yield line[:-1] if line.endswith(b"\r") else line
        if len(rest) > size + 1:
            raise Malformed(f"a record longer than {size} bytes", code=Code.SIZE)
    if rest:
        raise Malformed("the last line has no end", code=Code.TRUNCATED)


def _task(kind: str, line: bytes) -> str:
    """The task of the first record; for the head, which comes before it."""
    record = RECORDS[kind]
    return str(record.unpack(line, 2)[record.names.index("task")]) if "task" in record.names else ""


def _request(values: tuple[str, ...], task: str, at: int) -> Row:
    _same(values[1], task, at)
    return Row(values[0], None, "", "", name=values[2], account=values[-1].rstrip(FILL), id_number=values[5])


def _result(values: tuple[str, ...], task: str, at: int) -> Row:
    flag, detail, of, name, _, _, id_number, reason, reserve = values
    _same(of, task, at)
    reasons = (Reason(SET, flag, reason),)
    return Row(
        detail, None, "", flag, reasons, text=reason, name=name, account=reserve.rstrip(FILL), id_number=id_number
    )


def _map(values: tuple[str, ...], task: str, at: int) -> Row:
    del task, at
    social, card, name, *_ = values
    return Row(social, None, "", "", bank_ref=values[-2], name=name, account=card, id_number=values[5])


_ROWS = {SH: _request, RH: _result, BK: _map}


def _same(task: str, first: str, at: int) -> None:
    if task != first:
        raise Malformed("records of several tasks: they answer several Documents", code=Code.SCHEMA, where=f"line {at}")


# -------------------------------------------------------------------------------------------------------------- notices


def _read_notices(body: bytes) -> Iterator[Item]:
    if len(body) > NOTICE_BYTES_MAX:
        raise Malformed(f"notices of more than {NOTICE_BYTES_MAX} bytes", code=Code.SIZE)
    try:
        found = _notices.decode(body)
    except msgspec.ValidationError as error:
        raise Malformed(str(error)[:200], code=Code.SCHEMA) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        code = Code.TRUNCATED if "truncated" in str(error) else Code.FORMAT
        raise Malformed(f"not JSON that can be read: {str(error)[:200]}", code=code) from None
    if not 1 <= len(found) <= NOTICES_MAX or {notice.trcode for notice in found} - {BIND, UNBIND}:
        raise Malformed(f"not 1 to {NOTICES_MAX} notices of {BIND} or {UNBIND}", code=Code.SCHEMA)
    if len({notice.trcode for notice in found}) > 1:
        raise Malformed("binds and unbinds in one message", code=Code.SCHEMA)
    yield Head(kind=DocKind.CARD_STATUS, message=found[0].trcode, created=found[0].date + found[0].time)
    for at, notice in enumerate(found, 1):
        if not (notice.sfz and notice.bankcardno):
            raise Malformed("names no person or no bank card", code=Code.SCHEMA, where=f"notice {at}")
        yield Row(
            notice.termno,
            None,
            "",
            notice.trcode,
            bank_ref=notice.cardno,
            name=notice.name,
            account=notice.bankcardno,
            id_number=notice.sfz,
        )
    yield Tail(count=len(found), minor=None)
