"""Column tables: one table packs, unpacks, validates and describes one record of a text file.

::

    LINE = Delimited("payment line",
        Field("type", 1, CONST, const="D"),
        Field("name", 120, en="name of the account holder", zh="户名"),
        Field("amount", 12, NUMBER, positive=True, unit="fen"),
        charset="gb18030")
    LINE.pack(("张三", 184000))       # 'D|张三|184000'
    LINE.split("D|张三|184000")       # ('张三', '184000')

:class:`Delimited` joins fields with a separator and knows no quoting: a value that holds the separator's first
character, a control character or a line separator is refused on the way out and on the way in. :class:`Fixed` gives
every field its width and pads it. Widths count BYTES in the record's charset in both: that is what the bank's own
program counts, and a multibyte character that does not fit whole is refused, never cut.

A Delimited line is decoded before it is split: in GBK and GB18030 the byte 0x7C (``|``) occurs as the second byte of
a character. The bytes 0x0A, 0x0D and 0x00 never do, so a file is split into lines as bytes (``codec/lines.py``).

What is wrong with a value that we write raises Refused (CHARSET with the code point, SIZE, SCHEMA, FORMAT); what is
wrong with a line that we read raises Malformed (FORMAT, SCHEMA, SIZE). Neither message repeats the value: it may be a
name or an account.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NoReturn

import msgspec

from gateway.codec.text import GB18030, GBK, UTF_8, spoken, unencodable
from gateway.core.errors import Code, Malformed, Refused

#: Never inside a field: controls, the characters that some programs take for a line end, the byte order mark, lone
#: surrogates.
CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff"
#: The longest character of a charset, in bytes: text of so many times fewer characters than the width surely fits.
_CHARACTER_BYTES = {GBK: 2}
_CHARACTER_BYTES_MAX = 4
_COMPLETE = {GB18030, UTF_8}  # charsets that hold every character

Value = str | int | None


class Of(StrEnum):
    """What a field holds."""

    TEXT = "text"  # any character of the charset but controls and the separator
    CODE = "code"  # characters of one ASCII class
    NUMBER = "number"  # a whole number, digits only, without leading zeros where the width is free
    CONST = "const"  # always the same, not among the values


class Pad(StrEnum):
    """Where a Fixed field is filled up, and with what."""

    RIGHT = "right"  # blanks after the value
    LEFT = "left"  # blanks before the value
    ZEROS = "zeros"  # zeros before the number


TEXT, CODE, NUMBER, CONST = Of.TEXT, Of.CODE, Of.NUMBER, Of.CONST
RIGHT, LEFT, ZEROS = Pad.RIGHT, Pad.LEFT, Pad.ZEROS


class Field(msgspec.Struct, frozen=True):
    """One column. ``width`` is in bytes: the most in a Delimited record (with ``exact`` all), all in a Fixed one."""

    name: str
    width: int
    of: Of = Of.TEXT
    chars: str = ""  # CODE: the class as a regular expression writes it, e.g. ``0-9A-Z``
    const: str = ""
    optional: bool = False  # may be empty: "" or None
    exact: bool = False
    positive: bool = False  # NUMBER: not zero
    pad: Pad | None = None  # Fixed: None means ZEROS for a NUMBER, else RIGHT
    unit: str = ""
    en: str = ""
    zh: str = ""
    example: str = ""

    def __post_init__(self) -> None:
        kept = bool(self.chars) == (self.of is CODE) and bool(self.const) == (self.of is CONST) and self.width > 0
        if not kept or (self.of is CONST and len(self.const) != self.width):
            raise ValueError(f"column {self.name} contradicts itself")

    @property
    def type(self) -> str:
        """The type as a specification writes it: ``text 1..120``, ``number 1..12``, ``code [0-9] 4``, ``"D"``."""
        if self.of is CONST:
            return f'"{self.const}"'
        least = self.width if self.exact else 1
        span = f"{least}" if least == self.width else f"{least}..{self.width}"
        return f"{self.of} [{self.chars}] {span}" if self.of is CODE else f"{self.of} {span}"

    def pattern(self, inside: str, character_bytes: int = _CHARACTER_BYTES_MAX) -> str:
        """A regular expression for a value in a Delimited line; ``inside`` is the class of characters that TEXT may
        hold, each of at most ``character_bytes``.

        For TEXT it is sufficient, not necessary: longer text may still fit, and is counted in bytes when the pattern
        fails.
        """
        if self.of is CONST:
            return re.escape(self.const)
        if self.of is NUMBER:
            body = f"[1-9][0-9]{{0,{self.width - 1}}}" + ("" if self.positive else "|0")
        elif self.of is CODE:
            body = f"[{self.chars}]" + (f"{{{self.width}}}" if self.exact else f"{{1,{self.width}}}")
        else:
            most = self.width // character_bytes
            body = f"{inside}{{1,{most}}}" if most else f"(?=[ -~]){inside}"
        return f"(?:{body})?" if self.optional else f"(?:{body})"


class Record:
    """What both shapes share: a name for error messages, the columns, and what a table can say about a value.

    ``unwritten`` is a class of characters that TEXT never holds when we write, and may hold when we read.
    """

    def __init__(self, name: str, *fields: Field, charset: str, separator: str = "", unwritten: str = "") -> None:
        self.name = name
        self.fields = fields
        self.charset = charset
        self._values = tuple(field for field in fields if field.of is not CONST)
        first = re.escape(separator[:1])
        self._inside = f"[^{first}{CONTROLS}]"
        self._outside = re.compile(f"[{first}{CONTROLS}]")
        self._inside_ours = f"[^{first}{CONTROLS}{unwritten}]"
        self._outside_ours = re.compile(f"[{first}{CONTROLS}{unwritten}]")
        self._character_bytes = _CHARACTER_BYTES.get(charset, _CHARACTER_BYTES_MAX)
        self._whole = {field.name: re.compile(field.pattern(self._inside)) for field in fields}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values, in order, constants left out."""
        return tuple(field.name for field in self._values)

    def unfit(self, text: str) -> str:
        """The first character of ``text`` that we never write into a field of this record, or ``""``."""
        found = self._outside_ours.search(text)
        before = text[: found.start()] if found else text
        return unencodable(before, self.charset) or (found[0] if found else "")

    def _problem(self, field: Field, text: str, outside: re.Pattern[str]) -> tuple[Code, str] | None:
        """What is wrong with ``text`` as a value of ``field``, or None. The message never holds the value."""
        if field.of is not TEXT:
            if self._whole[field.name].fullmatch(text):
                return None
            return (Code.FORMAT, f"is not {field.type}") if text else (Code.SCHEMA, "is empty")
        if not text:
            return None if field.optional else (Code.SCHEMA, "is empty")
        if found := outside.search(text):
            return Code.CHARSET, f"holds {spoken(found[0])}"
        if lacking := unencodable(text, self.charset):
            return Code.CHARSET, f"holds {spoken(lacking)}, which {self.charset} lacks"
        size = len(text.encode(self.charset))
        return (Code.SIZE, f"has {size} bytes, at most {field.width}") if size > field.width else None

    def _refuse(self, field: Field, at: int, problem: tuple[Code, str]) -> NoReturn:
        raise Refused(f"{field.name} {problem[1]}", code=problem[0], where=f"{self.name} {at}")

    def _malformed(self, field: Field, at: int, problem: tuple[Code, str]) -> NoReturn:
        code = Code.FORMAT if problem[0] is Code.CHARSET else problem[0]  # CHARSET is about what we would write
        raise Malformed(f"{field.name} {problem[1]}", code=code, where=f"{self.name} in line {at}")

    def _count(self, values: Sequence[object]) -> None:
        if len(values) != len(self._values):
            raise TypeError(f"{self.name} takes {len(self._values)} values, got {len(values)}")


class Delimited(Record):
    """Fields joined by ``separator``, without quoting, one record a line. The line's end is not part of it."""

    def __init__(self, name: str, *fields: Field, charset: str, separator: str = "|", unwritten: str = "") -> None:
        super().__init__(name, *fields, charset=charset, separator=separator, unwritten=unwritten)
        self.separator = separator
        self._template = separator.join(
            field.const.replace("%", "%%") if field.of is CONST else "%s" for field in fields
        )
        self._line = self._pattern(self._inside)
        self._line_ours = self._pattern(self._inside_ours)
        self._complete = codecs.lookup(charset).name in _COMPLETE
        self._numbers = tuple(field.of is NUMBER for field in self._values)

    def _pattern(self, inside: str) -> re.Pattern[str]:
        patterns = ((field, field.pattern(inside, self._character_bytes)) for field in self.fields)
        parts = (pattern if field.of is CONST else f"({pattern})" for field, pattern in patterns)
        return re.compile(re.escape(self.separator).join(parts))

    def pack(self, values: Sequence[Value], at: int = 0) -> str:
        """One line, without its end. ``at`` is the number that an error names. Raises Refused."""
        line = self._template % tuple(values)
        if (
            self._line_ours.fullmatch(line)
            and None not in values
            and (self._complete or not unencodable(line, self.charset))
        ):
            return line
        return self._pack_slowly(values, at)

    def _pack_slowly(self, values: Sequence[Value], at: int) -> str:
        self._count(values)
        texts = tuple("" if value is None else str(value) for value in values)
        for field, text in zip(self._values, texts, strict=True):
            if problem := self._problem(field, text, self._outside_ours):
                self._refuse(field, at, problem)
        return self._template % texts

    def split(self, line: str, at: int = 0) -> tuple[str, ...]:
        """The values as checked text, constants left out: the fast way in. ``at`` is the line's number."""
        found = self._line.fullmatch(line)
        return found.groups() if found else self._split_slowly(line, at)

    def _split_slowly(self, line: str, at: int) -> tuple[str, ...]:
        parts = line.split(self.separator)
        if len(parts) != len(self.fields):
            raise Malformed(
                f"{len(parts)} fields, must be {len(self.fields)}",
                code=Code.SCHEMA,
                where=f"{self.name} in line {at}",
            )
        for field, part in zip(self.fields, parts, strict=True):
            if problem := self._problem(field, part, self._outside):
                self._malformed(field, at, problem)
        return tuple(part for field, part in zip(self.fields, parts, strict=True) if field.of is not CONST)

    def unpack(self, line: str, at: int = 0) -> tuple[Value, ...]:
        """Like ``split``, numbers as int and empty numbers as None."""
        return tuple(
            (int(text) if text else None) if number else text
            for number, text in zip(self._numbers, self.split(line, at), strict=True)
        )


class Fixed(Record):
    """Fields of fixed width in bytes, padded, one after the other."""

    def __init__(self, name: str, *fields: Field, charset: str, unwritten: str = "") -> None:
        super().__init__(name, *fields, charset=charset, unwritten=unwritten)
        self.size = sum(field.width for field in fields)
        self._slices = struct.Struct("".join(f"{field.width}s" for field in fields))
        self._digits = re.compile(rb"[0-9]+")

    def pack(self, values: Sequence[Value], at: int = 0) -> bytes:
        """Exactly ``size`` bytes. Raises Refused, also for a value that ends in the pad: it would not come back."""
        self._count(values)
        rest = iter(values)
        return b"".join(
            field.const.encode(self.charset) if field.of is CONST else self._fill(field, next(rest), at)
            for field in self.fields
        )

    def _fill(self, field: Field, value: Value, at: int) -> bytes:
        text = "" if value is None else str(value)
        raw = self._sure(field, text)
        if raw is None:
            if problem := self._problem(field, text, self._outside_ours):
                self._refuse(field, at, problem)
            raw = text.encode(self.charset)
        pad = _pad(field)
        if pad is ZEROS and raw:
            return raw.rjust(field.width, b"0")
        if (raw[:1] if pad is LEFT else raw[-1:]) == b" ":
            self._refuse(field, at, (Code.FORMAT, "begins or ends with the blank that fills it up"))
        return raw.rjust(field.width) if pad is LEFT else raw.ljust(field.width)

    def _sure(self, field: Field, text: str) -> bytes | None:
        """The bytes of a TEXT value with which surely nothing is wrong: the fast way."""
        if field.of is not TEXT or not text or self._outside_ours.search(text):
            return None
        try:
            raw = text.encode(self.charset)
        except UnicodeEncodeError:
            return None
        return raw if len(raw) <= field.width else None

    def unpack(self, raw: bytes, at: int = 0) -> tuple[Value, ...]:
        """The values of one record; text keeps every blank but the pad. Raises Malformed."""
        if len(raw) != self.size:
            where = f"{self.name} in line {at}"
            raise Malformed(f"{len(raw)} bytes, must be {self.size}", code=Code.FORMAT, where=where)
        return tuple(self._values_of(self._slices.unpack(raw), at))

    def _values_of(self, parts: tuple[bytes, ...], at: int) -> Iterator[Value]:
        for field, part in zip(self.fields, parts, strict=True):
            if field.of is CONST:
                if part != field.const.encode(self.charset):
                    self._malformed(field, at, (Code.FORMAT, f"is not {field.type}"))
            elif _pad(field) is ZEROS:
                yield self._number(field, part, at)
            else:
                yield self._text(field, part, at)

    def _number(self, field: Field, part: bytes, at: int) -> int | None:
        if field.optional and not part.strip(b" "):
            return None
        if not self._digits.fullmatch(part):  # so a sign overpunched on the last digit (``}``, ``J``) is refused
            self._malformed(field, at, (Code.FORMAT, "is not all digits"))
        number = int(part)
        if field.positive and not number:
            self._malformed(field, at, (Code.FORMAT, "is zero"))
        return number

    def _text(self, field: Field, part: bytes, at: int) -> Value:
        try:
            text = (part.lstrip(b" ") if _pad(field) is LEFT else part.rstrip(b" ")).decode(self.charset)
        except UnicodeDecodeError:
            self._malformed(field, at, (Code.FORMAT, f"is not {self.charset}, or a character is cut at its edge"))
        if field.of is TEXT and (text or field.optional) and not self._outside.search(text):
            return text  # it came in the charset and in the width
        if problem := self._problem(field, text, self._outside):
            self._malformed(field, at, problem)
        if field.of is NUMBER:
            return int(text) if text else None
        return text


def _pad(field: Field) -> Pad:
    return field.pad or (ZEROS if field.of is NUMBER else RIGHT)
