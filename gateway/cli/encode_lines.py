"""Reading instructions in JSON lines, twice: once to check and to plan, once to write. Held in memory are some 24 bytes a line.

Every bad line is told by its code, place and sentence; where there is one, nothing is written.
"""

from __future__ import annotations

import datetime as dt
from array import array
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

import msgspec

from gateway.codec.text import name_fault, spoken
from gateway.core.adapter import Adapter
from gateway.core.bank import Bank, Limits, PayLine
from gateway.core.contracts import BenefitLine, Instruction, LineError
from gateway.core.errors import Code, Malformed
from gateway.core.ids import id_fault
from gateway.flow.reading import refuse_repeated_keys

LINE_BYTES_MAX = 64 * 1024
TOLD_MAX = 1_000
_decode = msgspec.json.Decoder(Instruction).decode
_encode = msgspec.json.Encoder().encode
_BOUNDS = ("Expected `int` <=", "Expected `int` >=", "out of range")


class Defaults(NamedTuple):
    """What stands in where an instruction leaves it to its run."""

    line: BenefitLine
    fund: str
    debit_account: str
    pay_date: dt.date


class Key(NamedTuple):
    """What may travel together."""

    bank: str
    fund: str
    debit_account: str
    pay_date: dt.date
    line: BenefitLine


class Group:
    """One Key's lines: where each begins in the file, which number it has, and its amount in fen."""

    def __init__(self) -> None:
        self.offsets = array("Q")
        self.numbers = array("L")
        self.amounts = array("q")


class Partner(NamedTuple):
    """A bank of the file as it will be written to."""

    bank: Bank
    adapter: Adapter

    @property
    def limits(self) -> Limits:
        """The bank's own, or the format's."""
        return self.bank.limits or self.adapter.limits


class Read:
    """What the first pass found."""

    def __init__(self) -> None:
        self.groups: dict[Key, Group] = {}
        self.bad: list[LineError] = []  # the first thousand
        self.bad_total = 0
        self.doubts: list[LineError] = []  # ids that fail their check: a doubt holds a payment, it does not refuse it
        self.doubts_total = 0
        self.count = 0

    def refuse(self, number: int, id_: str, code: Code, where: str, what: str) -> None:
        """One bad line."""
        self.bad_total += 1
        if len(self.bad) < TOLD_MAX:
            place = f"line {number}: {where}" if where else f"line {number}"
            self.bad.append(LineError(instruction_id=id_, code=code, where=place, what=what, ordinal=number))

    def doubt(self, number: int, id_: str, what: str) -> None:
        """One line that a person would have to look at."""
        self.doubts_total += 1
        if len(self.doubts) < TOLD_MAX:
            error = LineError(instruction_id=id_, code=Code.NAME_ID, where=f"line {number}", what=what, ordinal=number)
            self.doubts.append(error)


def read(
    source: BinaryIO,
    defaults: Defaults,
    partner: Callable[[str], Partner],
    today: str,
    step: Callable[[int], None],
) -> Read:
    """The first pass: every line decoded and checked. ``today`` (YYYYMMDD) bounds birth dates; ``step`` is told of bytes."""
    found = Read()
    seen: dict[str, int] = {}
    offset = number = 0
    while line := source.readline(LINE_BYTES_MAX + 1):
        number += 1
        start, offset = offset, offset + len(line)
        step(len(line))
        if len(line) > LINE_BYTES_MAX:
            found.refuse(number, "", Code.SIZE, "", f"a line has at most {LINE_BYTES_MAX} bytes")
            while line and not line.endswith(b"\n"):
                line = source.readline(LINE_BYTES_MAX)
                offset += len(line)
            continue
        if not line.strip():
            continue
        instruction = _instruction(line, number, found)
        if instruction is None or not _once(instruction, number, seen, found):
            continue
        if not _fits(instruction, partner(instruction.bank), number, today, found):
            continue
        key = _key(instruction, defaults)
        group = found.groups.get(key) or found.groups.setdefault(key, Group())
        group.offsets.append(start)
        group.numbers.append(number)
        group.amounts.append(instruction.amount)
        found.count += 1
    return found


def pay_lines(
    source: BinaryIO, group: Group, first: int, last: int, first_key: int, step: Callable[[int], None]
) -> Iterator[PayLine]:
    """The second pass over the members ``first`` to ``last`` (1-based, both included) of a group.

    A payment's reference is its line number in the file plus ``first_key`` minus one.
    """
    for line, rank in enumerate(range(first - 1, last), 1):
        source.seek(group.offsets[rank])
        instruction = _decode(source.readline(LINE_BYTES_MAX))
        payee = instruction.payee or instruction.person
        step(1)
        yield PayLine(
            line,
            group.numbers[rank] + first_key - 1,
            payee.name,
            instruction.account,
            instruction.amount,
            payee.id_type,
            payee.id_number,
            instruction.purpose,
        )


def _instruction(line: bytes, number: int, found: Read) -> Instruction | None:
    try:
        instruction = _decode(line)
        refuse_repeated_keys(line, _encode(instruction).count(b'"'))
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        code = Code.RANGE if what.startswith(_BOUNDS) or _BOUNDS[2] in what else Code.SCHEMA
        found.refuse(number, "", code, where.rstrip("`"), what.removesuffix(" - at `$`"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found.refuse(number, "", Code.FORMAT, "", f"not JSON that can be read: {error}")
    except Malformed as error:
        found.refuse(number, "", error.code, error.where, error.what)
    else:
        return instruction
    return None


def _once(instruction: Instruction, number: int, seen: dict[str, int], found: Read) -> bool:
    """An id stands once: written twice it would be paid twice."""
    if instruction.id not in seen:
        seen[instruction.id] = hash(instruction)
        return True
    if seen[instruction.id] == hash(instruction):
        found.refuse(number, instruction.id, Code.DUP, "id", "this instruction stands before")
    else:
        found.refuse(number, instruction.id, Code.CONFLICT, "id", "this id stands before with another content")
    return False


def _fits(instruction: Instruction, partner: Partner, number: int, today: str, found: Read) -> bool:
    """Whether the bank's format can carry the line; tells why not."""
    adapter, limits = partner.adapter, partner.limits
    payee = instruction.payee or instruction.person

    def refuse(code: Code, where: str, what: str) -> bool:
        found.refuse(number, instruction.id, code, where, what)
        return False

    if instruction.amount > limits.payment_minor_max:
        return refuse(
            Code.RANGE, "amount", f"{instruction.amount} fen; the bank takes at most {limits.payment_minor_max}"
        )
    if fault := name_fault(payee.name):
        return refuse(Code.NAME, "payee.name" if instruction.payee else "person.name", fault)
    for where, text, most in (
        ("name", payee.name, limits.name_bytes_max),
        ("purpose", instruction.purpose, limits.purpose_bytes_max),
    ):
        if not text:
            continue
        if lacking := adapter.encodable(text):
            return refuse(Code.CHARSET, where, f"{adapter.code} cannot write {spoken(lacking)}")
        size = len(text.encode(adapter.charset))
        if size > most:
            return refuse(Code.SIZE, where, f"{size} bytes in {adapter.charset}; the bank takes at most {most}")
    if len(instruction.account) > limits.account_chars_max:
        return refuse(
            Code.SIZE,
            "account",
            f"{len(instruction.account)} characters; the bank takes at most {limits.account_chars_max}",
        )
    if doubt := id_fault(payee.id_type, payee.id_number, latest_birth=today):
        found.doubt(number, instruction.id, doubt)
    return True


def _key(instruction: Instruction, defaults: Defaults) -> Key:
    return Key(
        instruction.bank,
        instruction.fund or defaults.fund,
        instruction.debit_account or defaults.debit_account,
        instruction.pay_date or defaults.pay_date,
        instruction.line or defaults.line,
    )
