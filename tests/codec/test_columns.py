"""Column tables and lines: round trips with hostile text, widths in bytes, and the bad files of PROMISES section 3 C."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.codec import columns, lines
from gateway.codec.columns import CODE, CONST, LEFT, NUMBER, RIGHT, ZEROS, Delimited, Field, Fixed
from gateway.core.errors import Code, Malformed, Refused

PIPE = Delimited(
    "line",
    Field("type", 1, CONST, const="D"),
    Field("name", 120),
    Field("account", 34, CODE, chars="0-9A-Za-z-"),
    Field("amount", 12, NUMBER, positive=True),
    Field("note", 10, optional=True),
    Field("pair", 8, NUMBER, optional=True),
    charset="gb18030",
)
CARD = Fixed(
    "record",
    Field("kind", 2, CONST, const="BK"),
    Field("name", 12, pad=RIGHT),
    Field("account", 10, CODE, chars="0-9", pad=LEFT),
    Field("amount", 8, NUMBER, pad=ZEROS),
    Field("count", 4, NUMBER, pad=LEFT, optional=True),
    Field("note", 6, optional=True),
    charset="gbk",
)
NAMES = ["张三", "艾力·买买提", "𠮷田", "李䶮", "㛃", "　张　三　", "O'Neil | no"[:6], "a" * 120, "中" * 60, "𠮷" * 30]
HOSTILE = (
    st.text(min_size=1, max_size=30) | st.sampled_from(NAMES) | st.text("·　䶮㛃𠮷 |\r\n\u2028\x85\x1c瓅", max_size=9)
)


def codes(error: pytest.ExceptionInfo[Refused | Malformed]) -> Code:
    return error.value.code


# ---------------------------------------------------------------------------------------------------------- delimited


@given(HOSTILE, st.integers(-1, 10**13), st.none() | st.integers(0, 10**8))
def test_what_is_packed_comes_back(name: str, amount: int, pair: int | None) -> None:
    """Whatever the values: refused, or one line of the charset that gives exactly the same values back."""
    values = (name, "62-17A", amount, "", pair)
    try:
        line = PIPE.pack(values)
    except Refused:
        bad = any(c == "|" or c < " " or "\x7f" <= c <= "\x9f" or c in "\u2028\u2029\ufeff" for c in name)
        surrogate = any("\ud800" <= c <= "\udfff" for c in name)
        long = not surrogate and len(name.encode("gb18030")) > 120
        assert bad or surrogate or long or not name or not 0 < amount < 10**12 or (pair or 0) >= 10**8
        return
    assert line.encode("gb18030").count(b"\n") == 0
    assert PIPE.unpack(line.encode("gb18030").decode("gb18030")) == values


@pytest.mark.parametrize("name", [name for name in NAMES if "|" not in name])
def test_rare_names_pass(name: str) -> None:
    """Minority names, supplementary-plane characters, ideographic spaces: kept as they are, up to the width in bytes."""
    assert PIPE.split(PIPE.pack((name, "1", 1, "", None)))[0] == name


def test_the_second_byte_of_a_character_may_be_the_separator() -> None:
    """GB18030 writes 瓅 as AD 7C: the line is decoded before it is split."""
    line = PIPE.pack(("瓅", "1", 1, "", None))
    assert b"|" in "瓅".encode("gb18030")
    assert PIPE.split(line.encode("gb18030").decode("gb18030"))[0] == "瓅"


BAD_VALUES = {
    "C4 separator": (("a|b", "1", 1, "", None), Code.CHARSET, "U+007C"),
    "carriage return": (("a\rb", "1", 1, "", None), Code.CHARSET, "U+000D"),
    "line feed": (("a\n", "1", 1, "", None), Code.CHARSET, "U+000A"),
    "C6 line separator": (("a\u2028b", "1", 1, "", None), Code.CHARSET, "U+2028"),
    "C6 next line": (("a\x85b", "1", 1, "", None), Code.CHARSET, "U+0085"),
    "surrogate": (("a\ud842", "1", 1, "", None), Code.CHARSET, "U+D842"),
    "empty": (("", "1", 1, "", None), Code.SCHEMA, "empty"),
    "no name": ((None, "1", 1, "", None), Code.SCHEMA, "empty"),
    "too many bytes": (("中" * 61, "1", 1, "", None), Code.SIZE, "122 bytes, at most 120"),
    "account of other characters": (("a", "1_2", 1, "", None), Code.FORMAT, "account"),
    "full-width digits": (("a", "１", 1, "", None), Code.FORMAT, "account"),
    "zero": (("a", "1", 0, "", None), Code.FORMAT, "amount"),
    "negative": (("a", "1", -1, "", None), Code.FORMAT, "amount"),
    "decimal text": (("a", "1", "1.00", "", None), Code.FORMAT, "amount"),
    "too many digits": (("a", "1", 10**12, "", None), Code.FORMAT, "amount"),
    "long note of few characters": (("a", "1", 1, "𠮷𠮷𠮷", None), Code.SIZE, "note"),
}


@pytest.mark.parametrize(("values", "code", "what"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_bad_value_is_refused_on_the_way_out(values: tuple[str | int | None, ...], code: Code, what: str) -> None:
    """The code says what kind of fault, the sentence which field and which character; the value is not repeated."""
    with pytest.raises(Refused, match=what.replace("+", r"\+")) as refused:
        PIPE.pack(values, at=7)
    assert refused.value.code is code
    assert refused.value.where == "line 7"


BAD_LINES = {
    "C4 separator inside a name": ("D|a|b|1|1||", Code.SCHEMA),
    "a field short": ("D|a|1|1|", Code.SCHEMA),
    "empty line": ("", Code.SCHEMA),
    "C15 another record type": ("X|a|1|1||", Code.FORMAT),
    "leading zeros": ("D|a|1|01||", Code.FORMAT),
    "C12 sign overpunch": ("D|a|1|1840}||", Code.FORMAT),
    "decimal point": ("D|a|1|18.40||", Code.FORMAT),
    "plus sign": ("D|a|1|+18||", Code.FORMAT),
    "other digits": ("D|a|1|１８||", Code.FORMAT),
    "blank amount": ("D|a|1| 18||", Code.FORMAT),
    "no amount": ("D|a|1|||", Code.SCHEMA),
    "name too long": ("D|" + "中" * 61 + "|1|1||", Code.SIZE),
    "tab in a name": ("D|a\tb|1|1||", Code.FORMAT),
    "C11 NUL": ("D|a\0|1|1||", Code.FORMAT),
}


@pytest.mark.parametrize(("line", "code"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_refused_on_the_way_in(line: str, code: Code) -> None:
    """Malformed with its code and the line's number, never a guess."""
    with pytest.raises(Malformed) as refused:
        PIPE.split(line, at=3)
    assert refused.value.code is code
    assert "line 3" in refused.value.where


def test_quotes_are_ordinary_characters() -> None:
    """C3: an unterminated quote swallows nothing, because there is no quoting."""
    assert PIPE.split('D|"a|1|1||')[0] == '"a'


def test_a_longer_separator_refuses_its_first_character_inside() -> None:
    """With ``|::|`` a value holding ``|`` could close a field early, so it is refused."""
    table = Delimited("line", Field("a", 10), Field("b", 10), charset="gbk", separator="|::|")
    assert table.pack(("x:", ":y")) == "x:|::|:y"
    assert table.split("x:|::|:y") == ("x:", ":y")
    with pytest.raises(Refused):
        table.pack(("x|::", "y"))


@pytest.mark.parametrize("name", ["𠮷", "㛃", "•", "李䶮"])
def test_a_character_that_the_charset_lacks_is_named(name: str) -> None:
    """A21: CHARSET with the code point, never a question mark."""
    table = Delimited("line", Field("name", 60), charset="gbk")
    with pytest.raises(Refused, match=r"U\+[0-9A-F]{4,5}.*which gbk lacks") as refused:
        table.pack((name,))
    assert refused.value.code is Code.CHARSET


def test_a_narrow_text_field_counts_bytes() -> None:
    """A field of two bytes holds one Chinese character, not one of four bytes."""
    table = Delimited("line", Field("a", 2), charset="gb18030")
    assert table.pack(("中",)) == "中"
    for text in ("𠮷", "中a"):
        with pytest.raises(Refused):
            table.pack((text,))
        with pytest.raises(Malformed):
            table.split(text)


def test_types_are_described() -> None:
    """The table tells a specification what stands in each column."""
    described = [field.type for field in PIPE.fields]
    assert described == ['"D"', "text 1..120", "code [0-9A-Za-z-] 1..34", "number 1..12", "text 1..10", "number 1..8"]
    assert Field("d", 8, CODE, chars="0-9", exact=True).type == "code [0-9] 8"
    with pytest.raises(ValueError, match="contradicts"):
        Field("x", 3, CODE)


# -------------------------------------------------------------------------------------------------------------- fixed


@given(
    st.text("中a·。堃 ", max_size=8), st.integers(0, 10**11), st.integers(0, 10**9), st.none() | st.integers(0, 10**5)
)
def test_fixed_comes_back(name: str, account: int, amount: int, count: int | None) -> None:
    """Refused, or exactly the record's size in bytes and the same values back."""
    values = (name, str(account), amount, count, "")
    try:
        raw = CARD.pack(values)
    except Refused:
        blank = name.endswith(" ") or not name
        assert blank or len(name.encode("gbk")) > 12 or account >= 10**10 or amount >= 10**8 or (count or 0) >= 10**4
        return
    assert len(raw) == CARD.size == 42
    assert CARD.unpack(raw) == values


def test_fixed_counts_bytes() -> None:
    """C7: the width is counted in bytes of the charset."""
    assert CARD.pack(("欧阳娜娜", "123", 5, None, "")) == "BK欧阳娜娜           12300000005          ".encode("gbk")


BAD_FIXED = {
    "C7 counted in characters": ("BK" + "欧阳娜娜".ljust(12) + "       12300000005          ").encode("gbk"),
    "C8 character cut at the edge": b"BK" + "欧阳娜娜张三".encode("gbk")[:11] + b" " + b"       12300000005          ",
    "a byte short": CARD.pack(("a", "1", 1, None, ""))[:-1],
    "a byte long": CARD.pack(("a", "1", 1, None, "")) + b" ",
    "C12 sign overpunch": CARD.pack(("a", "1", 1, None, "")).replace(b"00000001", b"0000000}"),
    "amount of blanks": CARD.pack(("a", "1", 1, None, "")).replace(b"00000001", b"        "),
    "another record": b"SH" + CARD.pack(("a", "1", 1, None, ""))[2:],
    "name of blanks": CARD.pack(("a", "1", 1, None, "")).replace(b"BKa", b"BK "),
    "count with leading zero": CARD.pack(("a", "1", 1, 7, "")).replace(b"   7", b"  07"),
    "NUL for padding": CARD.pack(("a", "1", 1, None, "")).replace(b"a ", b"a\0"),
}


@pytest.mark.parametrize("raw", BAD_FIXED.values(), ids=BAD_FIXED)
def test_a_bad_fixed_record_is_refused(raw: bytes) -> None:
    """Shifted, cut or filled with something else: Malformed, never a value that was not meant."""
    with pytest.raises(Malformed) as refused:
        CARD.unpack(raw, at=2)
    assert refused.value.code in (Code.FORMAT, Code.SCHEMA)


@pytest.mark.parametrize("name", ["欧阳娜娜张三李", "a ", "a\n", "", "𠮷"])
def test_a_fixed_value_that_does_not_fit_is_refused(name: str) -> None:
    """Never cut, never followed by a pad that would be taken for its own blank."""
    with pytest.raises(Refused):
        CARD.pack((name, "1", 1, None, ""))


def test_ideographic_spaces_stay() -> None:
    """C13: U+3000 at the end is part of the value; only the pad is taken off."""
    assert CARD.unpack(CARD.pack(("张三　", "1", 1, None, "")))[0] == "张三　"


def test_another_number_of_values_is_a_mistake() -> None:
    """Too few values are a programming error, not a bank's."""
    with pytest.raises(TypeError):
        CARD.pack(("a",))
    with pytest.raises(TypeError):
        PIPE.pack(("a",))


def test_numbers_of_zero_and_positive() -> None:
    """A positive number in a fixed field is not all zeros; an optional one may be blank."""
    table = Fixed("r", Field("n", 3, NUMBER, positive=True), Field("m", 3, NUMBER, optional=True), charset="gbk")
    assert table.unpack(table.pack((7, None))) == (7, None)
    with pytest.raises(Malformed):
        table.unpack(b"000001")
    with pytest.raises(Refused):
        table.pack((0, 1))


# -------------------------------------------------------------------------------------------------------------- lines


def read(data: bytes, size: int = 7, **options: object) -> bytes:
    settings = {"line_bytes_max": 20, "starts": b"H|", **options}
    return b"".join(lines.blocks(io.BytesIO(data), block_bytes=size, **settings))  # type: ignore[arg-type]  # the table above


GOOD_FILE = b"H|1\nD|2\nT|3\n"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12, 100])
def test_blocks_join_to_the_file(size: int) -> None:
    """However the bytes arrive, the blocks are whole lines and together the file."""
    assert read(GOOD_FILE, size) == GOOD_FILE
    found = list(lines.blocks(io.BytesIO(GOOD_FILE), line_bytes_max=20, starts=b"H|", block_bytes=size))
    assert all(block.endswith(b"\n") for block in found)


BAD_FILES = {
    "C1 last line cut": (GOOD_FILE[:-1], Code.TRUNCATED),
    "C5 CRLF": (GOOD_FILE.replace(b"\n", b"\r\n"), Code.FORMAT),
    "C5 one CR": (b"H|1\r\nD|2\n", Code.FORMAT),
    "C5 CR inside": (b"H|1\nD|\r2\n", Code.FORMAT),
    "C9 UTF-8 mark": (b"\xef\xbb\xbf" + GOOD_FILE, Code.FORMAT),
    "C9 GB18030 mark": (b"\x84\x31\x95\x33" + GOOD_FILE, Code.FORMAT),
    "C10 UTF-16": (GOOD_FILE.decode().encode("utf-16"), Code.FORMAT),
    "C10 UTF-16 without mark": (GOOD_FILE.decode().encode("utf-16-be"), Code.FORMAT),
    "C10 UTF-16 little-endian": (GOOD_FILE.decode().encode("utf-16-le"), Code.FORMAT),
    "C10 EBCDIC": (GOOD_FILE.decode().encode("cp037"), Code.FORMAT),
    "C11 NUL": (b"H|1\nD|2\0\n", Code.FORMAT),
    "C11 NUL at the end": (GOOD_FILE + b"\0", Code.FORMAT),
    "C16 nothing": (b"", Code.TRUNCATED),
    "one byte": (b"H", Code.TRUNCATED),
    "C18 a long line": (b"H|" + b"x" * 18 + b"\n", Code.SIZE),
    "C18 a line without end": (b"H|" + b"x" * 1000, Code.SIZE),
}


@pytest.mark.parametrize("size", [1, 3, 100, 4096])
@pytest.mark.parametrize(("data", "code"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused(data: bytes, code: Code, size: int) -> None:
    """The same code however the bytes arrive."""
    with pytest.raises(Malformed) as refused:
        read(data, size)
    assert refused.value.code is code


def test_the_longest_line_passes() -> None:
    """The cap is the last length that passes."""
    assert read(b"H|" + b"x" * 17 + b"\n")


def test_crlf_where_the_format_says_so() -> None:
    """With CRLF declared every line ends in it, and CR stands nowhere else."""
    data = b"H|1\r\nD|2\r\n"
    assert read(data, 4, ending=lines.CRLF) == data
    assert lines.text_lines(data, "gbk", 0, lines.CRLF) == ["H|1", "D|2"]
    for bad in (b"H|1\nD|2\r\n", b"H|1\r\nD|2\n", b"H|1\r\nD\r|2\r\n", b"H|1\r\r\n"):
        with pytest.raises(Malformed) as refused:
            read(bad, 100, ending=lines.CRLF)
        assert refused.value.code is Code.FORMAT


def test_bytes_of_another_charset_name_their_line() -> None:
    """C10, C8: what is not the charset is refused with the line where it stands."""
    with pytest.raises(Malformed, match="line 12"):
        lines.text_lines(b"D|1\nD|\xd5\n", "gb18030", 10)


def test_a_line_without_end_takes_no_memory() -> None:
    """C18: a gigabyte without a line end is given up after one block."""

    class Endless(io.RawIOBase):
        served = 0

        def read(self, size: int = -1) -> bytes:
            self.served += size
            assert self.served < 10 * lines.BLOCK_BYTES
            return b"H|" + b"x" * (size - 2)

    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            list(lines.blocks(Endless(), line_bytes_max=1024, starts=b"H|"))  # type: ignore[arg-type]  # read is all it needs
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


@given(st.lists(st.text("中a·𠮷", max_size=20), max_size=50), st.integers(1, 60))
def test_chunks_join_to_the_lines(texts: list[str], size: int) -> None:
    """Lines as bytes: each with its end, in chunks of at least the size asked for, but the last."""
    found = list(lines.chunks(texts, "gb18030", chunk_bytes=size))
    assert b"".join(found) == "".join(text + "\n" for text in texts).encode("gb18030")
    assert all(len(chunk) >= size for chunk in found[:-1])
    assume(found)
    assert lines.text_lines(b"".join(found), "gb18030", 0) == texts


def test_chunks_name_a_character_that_is_lacking() -> None:
    """CHARSET, with the code point."""
    with pytest.raises(Refused, match=r"U\+20BB7") as refused:
        list(lines.chunks(["𠮷"], "gbk"))
    assert refused.value.code is Code.CHARSET


def test_controls_are_never_text() -> None:
    """Everything that ``str.splitlines`` cuts at is among the characters that no field holds."""
    every = "".join(map(chr, range(0x110000)))
    table = Delimited("t", Field("a", 1000), charset="gb18030")
    cuts = {c for c in every if len(f"a{c}b".splitlines()) > 1}
    assert cuts
    for cut in cuts:
        with pytest.raises(Refused):
            table.pack((f"a{cut}b",))
    assert columns.CONTROLS
