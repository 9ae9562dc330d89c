"""A run in a file of the user's, CSV or JSON lines, read twice: once to check and to sum, once to send. Held in memory is one chunk.

JSON lines: one instruction a line, in the shape of the contract. CSV: UTF-8 with a line of column names, amounts in fen or in yuan. The header
(``run.submitted``) stands beside either as ``<name>.run.json``, or is given by options; count, total and chunks are counted where it
does not declare them.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from gateway.core import contracts
from gateway.core.contracts import CHUNK_MAX, Instruction, LineError, RunChunk, RunSubmitted
from gateway.core.errors import Code, Malformed, Refused, SheyinError
from gateway.core.money import parse_decimal
from gateway.core.ports import Message
from gateway.flow.reading import refuse_repeated_keys

LINE_BYTES_MAX = 64 * 1024
TOLD_MAX = 20
_BOM = b"\xef\xbb\xbf"
REQUIRED = ("id", "person_name", "person_id_number", "bank", "account")
AMOUNTS = ("amount_fen", "amount_yuan")
#: Column → place in the instruction.
COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id",),
    "person_name": ("person", "name"),
    "person_id_type": ("person", "id_type"),
    "person_id_number": ("person", "id_number"),
    "bank": ("bank",),
    "account": ("account",),
    "payee_name": ("payee", "name"),
    "payee_id_type": ("payee", "id_type"),
    "payee_id_number": ("payee", "id_number"),
    "relation": ("relation",),
    "item": ("item",),
    "sequence": ("sequence",),
    "district": ("district",),
    "alternative_bank": ("alternative", "bank"),
    "alternative_account": ("alternative", "account"),
    "purpose": ("purpose",),
    "line": ("line",),
    "fund": ("fund",),
    "debit_account": ("debit_account",),
    "period": ("period",),
    "pay_date": ("pay_date",),
}
_DIGITS = re.compile(r"[0-9]{1,12}", re.ASCII)
_BOUNDS = ("Expected `int` <=", "Expected `int` >=", "out of range")
_decode = msgspec.json.Decoder(Instruction).decode
_encode = msgspec.json.Encoder().encode
Step = Callable[[int], None]


class Order(NamedTuple):
    """A run that was read whole and found to be well formed."""

    path: Path
    header: RunSubmitted
    digest: str  # of the header and every instruction: part of every message's id


def read(path: Path, options: dict[str, Any], step: Step) -> Order:
    """The first pass. ``options`` are the header's fields as given on the command line; ``step`` is told of bytes.

    Raises Malformed or Refused naming file and line: CHARSET, FORMAT, SCHEMA, RANGE, SIZE, TOTALS, PATH. Then nothing was sent.
    """
    declared = _declared(path) | {name: value for name, value in options.items() if value}
    summed, count, total = hashlib.sha256(), 0, 0
    bad: list[LineError] = []
    bad_total = 0
    for found in lines(path, step):
        if isinstance(found, LineError):
            bad_total += 1
            bad += [found] * (len(bad) < TOLD_MAX)
            continue
        summed.update(_encode(found))
        count, total = count + 1, total + found.amount
    if bad:
        raise _bad_lines(path, bad, bad_total)
    if not count:
        raise Malformed("no instruction in it", where=path.name)
    header = _header(path, declared, count, total)
    summed.update(_encode(header))
    return Order(path, header, summed.hexdigest()[:16])


def messages(order: Order, payer: str, attempt: int = 0) -> Iterator[tuple[str, Message]]:
    """The second pass: (routing key, message) of the header and every chunk; the same file gives the same ids and bytes.

    ``attempt`` tells a new trial after a rejection from a repeat. Raises Malformed where the file changed since the first pass.
    """
    stem = f"{order.header.run_id}-{order.digest}" + (f"-{attempt}" if attempt else "")

    def message(name: str, data: msgspec.Struct, part: str) -> tuple[str, Message]:
        message_id = f"{stem}-{part}"
        run_id = order.header.run_id
        body = contracts.encode(name, data, id=message_id, source=payer, time=None, subject=run_id)
        return name, Message(message_id=message_id, body=body)

    summed = hashlib.sha256()
    yield message("run.submitted", order.header, "header")
    page: list[Instruction] = []
    number = 0
    for found in lines(order.path, lambda _: None):
        if isinstance(found, LineError):
            raise Malformed("changed while it was read", where=order.path.name)
        summed.update(_encode(found))
        page.append(found)
        if len(page) == CHUNK_MAX:
            number += 1
            yield message("run.chunk", _chunk(order, number, page), f"chunk-{number:05}")
            page = []
    summed.update(_encode(order.header))
    if summed.hexdigest()[:16] != order.digest:
        raise Malformed("changed while it was read", where=order.path.name)
    if page:
        yield message("run.chunk", _chunk(order, number + 1, page), f"chunk-{number + 1:05}")


def _chunk(order: Order, number: int, page: list[Instruction]) -> RunChunk:
    return RunChunk(run_id=order.header.run_id, chunk=number, instructions=page)


# ---------------------------------------------------------------------------------------------------------------- header


def header_path(path: Path) -> Path:
    """Where the header stands beside a file."""
    return path.parent / f"{path.stem}.run.json"


def _declared(path: Path) -> dict[str, Any]:
    beside = header_path(path)
    if not beside.is_file():
        return {}
    try:
        found = msgspec.json.decode(beside.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise Malformed(f"not JSON that can be read: {error}", where=beside.name) from None
    if not isinstance(found, dict):
        raise Malformed("a header is one JSON object", code=Code.SCHEMA, where=beside.name)
    return found


def _header(path: Path, declared: dict[str, Any], count: int, total: int) -> RunSubmitted:
    chunks = -(-count // CHUNK_MAX)
    counted = {"count": count, "total": total, "chunks": chunks}
    missing = [
        field.name
        for field in msgspec.structs.fields(RunSubmitted)
        if field.required and field.name not in declared | counted
    ]
    if missing:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise Refused(
            f"no {header_path(path).name} beside it, and not given: {options}", code=Code.SCHEMA, where=path.name
        )
    try:
        header = msgspec.convert(counted | declared, RunSubmitted)
    except msgspec.ValidationError as error:
        raise Malformed(str(error), code=_code(str(error)), where=f"header of {path.name}") from None
    if (header.count, header.total) != (count, total):
        what = f"the header declares {header.count} lines and {header.total} fen, the file has {count} and {total} fen"
        raise Refused(what, code=Code.TOTALS, where=path.name)
    return msgspec.structs.replace(header, chunks=chunks)


# ---------------------------------------------------------------------------------------------------------------- lines


def lines(path: Path, step: Step) -> Iterator[Instruction | LineError]:
    """Every instruction in order, or what is wrong with its line. Raises Malformed where the file as such cannot be read."""
    try:
        with path.open("rb") as source:
            if path.suffix.lower() == ".csv":
                yield from _csv(path, source, step)
            else:
                yield from _json_lines(path, source, step)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(path)) from None


def _texts(path: Path, source: BinaryIO, step: Step) -> Iterator[str]:
    """Lines as text, split on LF alone. Raises Malformed with the line's number for what is not plain UTF-8."""
    number = 0
    while raw := source.readline(LINE_BYTES_MAX + 1):
        number += 1
        step(len(raw))
        where = f"{path.name} line {number}"
        if len(raw) > LINE_BYTES_MAX:
            raise Malformed(f"a line has at most {LINE_BYTES_MAX} bytes", code=Code.SIZE, where=where)
        if number == 1 and raw.startswith(_BOM):
            raise Malformed(
                "begins with a byte-order mark: save it as UTF-8 without one", code=Code.CHARSET, where=where
            )
        if b"\0" in raw:
            raise Malformed("a NUL byte", code=Code.FORMAT, where=where)
        try:
            yield raw.decode()
        except UnicodeDecodeError as error:
            what = f"byte {error.start + 1} is not UTF-8: a file in GBK, say, must be saved as UTF-8 first"
            raise Malformed(what, code=Code.CHARSET, where=where) from None


def _json_lines(path: Path, source: BinaryIO, step: Step) -> Iterator[Instruction | LineError]:
    for number, text in enumerate(_texts(path, source, step), 1):
        if not text.strip():
            continue
        try:
            instruction = _decode(text)
            refuse_repeated_keys(text.encode(), _encode(instruction).count(b'"'))
        except msgspec.ValidationError as error:
            yield _invalid(number, error)
        except (msgspec.DecodeError, RecursionError) as error:
            yield _error(number, Code.FORMAT, "", f"not JSON that can be read: {error}")
        except Malformed as error:
            yield _error(number, error.code, "", error.what)
        else:
            yield instruction


def _csv(path: Path, source: BinaryIO, step: Step) -> Iterator[Instruction | LineError]:
    reader = csv.reader(_texts(path, source, step), strict=True)
    names: list[str] | None = None
    while True:
        first = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            what = "a quotation mark is never closed" if "end of data" in str(error) else str(error)
            raise Malformed(what, code=Code.FORMAT, where=f"{path.name} line {first}") from None
        if row is None:
            break
        if names is None:
            names = _columns(path, row)
        elif row:
            yield _instruction(first, names, row)
    if names is None:
        raise Malformed("no line of column names", code=Code.FORMAT, where=f"{path.name} line 1")


def _columns(path: Path, names: list[str]) -> list[str]:
    """The column names, once they are all known, each stands once and none is missing."""
    where = f"{path.name} line 1"
    missing = [name for name in REQUIRED if name not in names]
    if not missing and sum(name in names for name in AMOUNTS) != 1:
        missing = [" or ".join(AMOUNTS)]
    if missing:
        raise Malformed(f"columns are missing: {', '.join(missing)}", code=Code.SCHEMA, where=where)
    unknown = [name for name in names if name not in COLUMNS and name not in AMOUNTS]
    if unknown:
        known = ", ".join((*COLUMNS, *AMOUNTS))
        raise Malformed(f"no column is called {unknown[0]!r}; there are {known}", code=Code.SCHEMA, where=where)
    if twice := [name for name in names if names.count(name) > 1]:
        raise Malformed(f"column {twice[0]} stands twice", code=Code.SCHEMA, where=where)
    return names


def _instruction(number: int, names: list[str], row: list[str]) -> Instruction | LineError:
    if len(row) != len(names):
        return _error(number, Code.SCHEMA, "", f"{len(row)} fields, there are {len(names)} columns")
    found: dict[str, Any] = {}
    try:
        for name, value in zip(names, row, strict=True):
            if name == "amount_yuan":
                found["amount"] = parse_decimal(value, where=name)
            elif name in ("amount_fen", "sequence"):
                if value or name == "amount_fen":
                    found["amount" if name == "amount_fen" else name] = _integer(name, value)
            elif value:
                place = found
                *above, last = COLUMNS[name]
                for part in above:
                    place = place.setdefault(part, {})
                place[last] = value
        return msgspec.convert(found, Instruction)
    except msgspec.ValidationError as error:
        return _invalid(number, error)
    except SheyinError as error:
        return _error(number, error.code, error.where, error.what)


def _integer(name: str, value: str) -> int:
    if not _DIGITS.fullmatch(value):
        raise Malformed(f"not a plain whole number: {value[:40]!r}", code=Code.FORMAT, where=name)
    return int(value)


def _invalid(number: int, error: msgspec.ValidationError) -> LineError:
    what, _, where = str(error).partition(" - at `$.")
    return _error(number, _code(what), where.rstrip("`"), what)


def _code(what: str) -> Code:
    return Code.RANGE if any(bound in what for bound in _BOUNDS) else Code.SCHEMA


def _error(number: int, code: Code, where: str, what: str) -> LineError:
    return LineError(instruction_id="", code=code, where=where, what=what, ordinal=number)


def _bad_lines(path: Path, bad: list[LineError], count: int) -> Malformed:
    def place(one: LineError) -> str:
        return f"{path.name} line {one.ordinal}" + (f": {one.where}" if one.where else "")

    more = f" ({count} bad lines; nothing was submitted)" if count > 1 else " (nothing was submitted)"
    error = Malformed(bad[0].what + more, code=Code(bad[0].code), where=place(bad[0]))
    for one in bad[1:]:
        error.add_note(f"{one.code} at {place(one)}: {one.what}")
    return error


def pay_date(text: str) -> str:
    """A date of the command line, checked. Raises Refused FORMAT."""
    try:
        return dt.date.fromisoformat(text).isoformat() if text else ""
    except ValueError:
        raise Refused(f"not a date like 2015-06-15: {text[:40]!r}", code=Code.FORMAT, where="--pay-date") from None
