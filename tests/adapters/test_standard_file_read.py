"""The bad files of PROMISES section 3 C on the standard file: every one is Malformed with its code, and nothing was told as whole."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.standard_file import layout, writing
from adapters.standard_file.kinds import RESERVED_KINDS, RESERVED_RECORDS, FileKind
from adapters.standard_file.reading import read, sniff
from gateway.core.bank import DocKind, Head, Item, Row, Tail
from gateway.core.errors import Code, Malformed
from tests.adapters.standard_file_examples import EXAMPLES, LINES, answer, file

RESULT = EXAMPLES["result-1"]
PAYMENT = EXAMPLES["payment"]


def items(data: bytes) -> list[Item]:
    """Everything that the reader tells of these bytes."""
    return list(read(io.BytesIO(data)))


def refusal(data: bytes) -> Malformed:
    """The error for these bytes; no Tail may come before it."""
    told: list[Item] = []
    with pytest.raises(Malformed) as refused:
        told.extend(read(io.BytesIO(data)))
    assert not any(isinstance(item, Tail) for item in told)
    return refused.value


def resealed(data: bytes) -> bytes:
    """The same records with the digest that fits them: what a bank's program would have written that made this mistake."""
    cut = data.rfind(b"\n", 0, -1) + 1
    head, _, _ = data[cut:].rpartition(b"|")
    return data[:cut] + head + b"|" + hashlib.sha256(data[:cut]).hexdigest().encode() + b"\n"


def changed(old: str, new: str, data: bytes = RESULT) -> bytes:
    """One place changed, the digest made to fit."""
    was, becomes = old.encode("gb18030"), new.encode("gb18030")
    assert data.count(was) == 1, old
    return resealed(data.replace(was, becomes))


def lines(data: bytes, edit: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The lines rearranged, the digest left as it was."""
    return b"".join(line + b"\n" for line in edit(data.split(b"\n")[:-1]))


# ------------------------------------------------------------------------------------------------------------- good ones


def test_the_examples_are_read() -> None:
    """One of every kind: the Head says what it is, the Tail comes last, counts agree."""
    kinds = set()
    for name, data in EXAMPLES.items():
        head, *rows, tail = items(data)
        assert isinstance(head, Head), name
        assert isinstance(tail, Tail)
        assert tail.count == tail.declared_count == len(rows)
        assert sniff(data[:16])
        kinds.add(head.kind)
    assert kinds == set(DocKind) - {
        DocKind.STATEMENT,
        DocKind.WHITELIST,
        DocKind.NAME_CHECK,
        DocKind.CARD_STATUS,
    }


def test_a_result_is_told_as_written() -> None:
    """Original reference and digest, part, and on each line the bank's own code, serial, text and spelling."""
    head, first, second, third, tail = items(RESULT)
    assert isinstance(head, Head)
    assert (head.message, head.original, head.part, head.parts) == ("SHEYIN.RES.1", "BANKA2015061000001", 1, 2)
    assert head.original_digest == hashlib.sha256(PAYMENT).hexdigest()
    assert isinstance(first, Row)
    assert first[:4] == ("1433899200000001", 184000, "CNY", "0000")
    assert first.bank_ref == "20150610000000017"
    assert isinstance(second, Row)
    assert (second.status, second.text, second.name) == ("1002", "户名不符", "艾力买买提")
    assert second.reasons == (("standard_file", "1002", "户名不符"),)
    assert isinstance(third, Row)
    assert (tail.count, tail.minor) == (3, 499049) if isinstance(tail, Tail) else False


def test_an_empty_result_is_valid() -> None:
    """C17: a header with count 0 is an answer without lines; it does not say how many parts there are."""
    head, tail = items(EXAMPLES["result-empty"])
    assert isinstance(head, Head)
    assert (head.declared_count, head.parts) == (0, 0)
    assert isinstance(tail, Tail)
    assert (tail.count, tail.minor) == (0, 0)


def test_a_receipt_tells_of_our_file() -> None:
    """Count and total in a receipt are those of the payment file as the bank read it; it has no lines of its own."""
    head, tail = items(EXAMPLES["receipt"])
    assert isinstance(head, Head)
    assert (head.declared_count, head.declared_minor, head.status) == (4, 671549, "0000")
    assert isinstance(tail, Tail)
    assert (tail.count, tail.minor) == (0, None)
    unread = file(answer(FileKind.RCT, "C2", "20150610090512", status="2001", count=None, total=None))
    head, _ = items(unread)
    assert isinstance(head, Head)
    assert (head.declared_count, head.declared_minor) == (None, None)


def test_a_name_may_hold_the_separators_byte() -> None:
    """珅 is AB 7C in GB 18030: split as bytes, the line would have a field too many."""
    assert b"\xab|" in PAYMENT
    assert [item.name for item in items(PAYMENT) if isinstance(item, Row)] == [line.name for line in LINES]


def test_results_come_in_any_order() -> None:
    """A bank settles lines in its own order."""
    swapped = resealed(lines(RESULT, lambda told: [told[0], told[2], told[3], told[1], told[4]]))
    assert {item for item in items(swapped) if isinstance(item, Row)} == {
        item for item in items(RESULT) if isinstance(item, Row)
    }


def test_the_banks_spelling_is_read_in_any_edition() -> None:
    """A character that we never write is read: one spelling must not stop a hundred thousand results."""
    name = b"\xfe\x59"  # another character in the editions of 2000 and 2022
    data = resealed(RESULT.replace("艾力买买提".encode("gb18030"), name))
    assert [item.name for item in items(data) if isinstance(item, Row)][1] == name.decode("gb18030")


# -------------------------------------------------------------------------------------------------------------- bad ones

NOT_EQUAL, SPELLING = "户名不符".encode("gb18030"), "艾力买买提".encode("gb18030")
HEADER_LINE, FIRST = RESULT.split(b"\n")[:2]
BAD: dict[str, tuple[bytes, Code]] = {
    "C1 last line cut": (RESULT[:-1], Code.TRUNCATED),
    "C2 no trailer": (lines(RESULT, lambda told: told[:-1]), Code.TOTALS),
    "C2 header alone": (HEADER_LINE + b"\n", Code.TOTALS),
    "C3 quotes": (changed("户名不符", '"户名|不符"'), Code.SCHEMA),
    "C4 separator in a name": (changed("艾力买买提", "艾力|买买提"), Code.SCHEMA),
    "C5 CRLF": (resealed(RESULT.replace(b"\n", b"\r\n")), Code.FORMAT),
    "C5 CR inside": (changed("户名不符", "户名\r不符"), Code.FORMAT),
    "C6 U+2028 inside": (changed("户名不符", "户名\u2028不符"), Code.FORMAT),
    "C6 U+0085 inside": (changed("户名不符", "户名\u0085不符"), Code.FORMAT),
    "C6 0x1C inside": (changed("户名不符", "户名\x1c不符"), Code.FORMAT),
    # The half character takes the separator for its other half, so that a field is missing.
    "C8 character cut before a separator": (resealed(RESULT.replace(NOT_EQUAL, NOT_EQUAL[:5])), Code.SCHEMA),
    "C8 character cut before a line end": (resealed(RESULT.replace(SPELLING, SPELLING[:7])), Code.FORMAT),
    "C9 UTF-8 mark": (b"\xef\xbb\xbf" + RESULT, Code.FORMAT),
    "C9 GB18030 mark": ("\ufeff".encode("gb18030") + RESULT, Code.FORMAT),
    "C10 UTF-16": (RESULT.decode("gb18030").encode("utf-16"), Code.FORMAT),
    "C10 UTF-8": (resealed(RESULT.decode("gb18030").encode()), Code.FORMAT),
    "C10 EBCDIC": (HEADER_LINE.decode("gb18030").encode("cp037"), Code.FORMAT),
    "C11 NUL": (changed("户名不符", "户名不符\0"), Code.FORMAT),
    "C11 NUL after the end": (RESULT + b"\0" * 512, Code.FORMAT),
    "C12 sign overpunch": (changed("|184000|", "|18400}|"), Code.FORMAT),
    "C12 implied decimals": (changed("|184000|", "|18400000|"), Code.TOTALS),
    "amount with a point": (changed("|184000|", "|1840.00|"), Code.FORMAT),
    "amount below zero": (changed("|184000|", "|-184000|"), Code.FORMAT),
    "amount of zero": (changed("|184000|", "|0|"), Code.FORMAT),
    "C15 unknown record": (resealed(RESULT.replace(b"\nR|2|", b"\nZ|2|")), Code.FORMAT),
    "C15 lower case": (resealed(RESULT.replace(b"\nR|2|", b"\nr|2|")), Code.FORMAT),
    "record of another kind": (resealed(RESULT.replace(b"\nR|2|", b"\nN|2|")), Code.SCHEMA),
    "a second header": (lines(RESULT, lambda told: [told[0], *told]), Code.SCHEMA),
    "C16 nothing": (b"", Code.TRUNCATED),
    "one line end": (b"\n", Code.FORMAT),
    "empty line": (lines(RESULT, lambda told: [*told[:2], b"", *told[2:]]), Code.FORMAT),
    "C18 long line": (changed("户名不符", "户" * 500), Code.SIZE),
    "text above its bytes": (changed("户名不符", "户" * 61), Code.SIZE),
    "C19 line number twice": (changed("R|2|", "R|1|"), Code.SEQ),
    "C19 reference twice": (changed("1433899200000002", "1433899200000001"), Code.SEQ),
    "C19 line twice": (lines(RESULT, lambda told: [*told[:2], *told[1:]]), Code.SEQ),
    "line missing": (lines(RESULT, lambda told: [*told[:2], *told[3:]]), Code.TOTALS),
    "lines swapped": (lines(RESULT, lambda told: [told[0], told[2], told[1], *told[3:]]), Code.FORMAT),
    "trailer count": (RESULT.replace(b"\nT|3|", b"\nT|2|"), Code.TOTALS),
    "trailer sum": (RESULT.replace(b"\nT|3|499049|", b"\nT|3|499048|"), Code.TOTALS),
    "trailer digest": (RESULT[:-2] + (b"0" if RESULT[-2:-1] != b"0" else b"1") + b"\n", Code.FORMAT),
    "trailer digest in capitals": (RESULT[:-65] + RESULT[-65:].upper(), Code.FORMAT),
    "trailer twice": (lines(RESULT, lambda told: [*told, told[-1]]), Code.FORMAT),
    "something after the trailer": (RESULT + FIRST + b"\n", Code.FORMAT),
    "two files in one": (RESULT + EXAMPLES["result-2"], Code.FORMAT),
    "header count": (changed("|CNY|3|", "|CNY|4|"), Code.TOTALS),
    "header count too small": (changed("|CNY|3|", "|CNY|2|"), Code.TOTALS),
    "header sum": (changed("|CNY|3|499049", "|CNY|3|499048"), Code.TOTALS),
    "field short": (changed("|0001|||", "|0001||"), Code.SCHEMA),
    "code of three digits": (changed("|0001|||", "|001|||"), Code.FORMAT),
    "full-width digits": (changed("|0001|||", "|０００1|||"), Code.FORMAT),
    "not this format": (changed("H|SHEYIN|", "H|SHEYIX|"), Code.FORMAT),
    "version 2": (changed("|SHEYIN|1|", "|SHEYIN|2|"), Code.SCHEMA),
    "kind unknown": (changed("|RES|", "|XYZ|"), Code.SCHEMA),
    "kind of lines": (changed("|RES|", "|PAY|"), Code.SCHEMA),
    "month 13": (changed("|20150610163000|", "|20151310163000|"), Code.FORMAT),
    "no status": (changed("||0000||1|2|", "||||1|2|"), Code.SCHEMA),
    "no original": (changed("|BANKA2015061000001|PAY|", "||PAY|"), Code.SCHEMA),
    "an inquiry that a result answers": (changed("||0000||1|2|", "|Q1|0000||1|2|"), Code.SCHEMA),
    "part 3 of 2": (changed("|0000||1|2|", "|0000||3|2|"), Code.SCHEMA),
    "part 0": (changed("|0000||1|2|", "|0000||0|2|"), Code.FORMAT),
    "refused with lines": (changed("|0000||1|2|", "|3001||1|2|"), Code.SCHEMA),
    "answer without digest": (
        changed(hashlib.sha256(PAYMENT).hexdigest(), "", EXAMPLES["answer"]),
        Code.SCHEMA,
    ),
    "receipt in parts": (changed("|1|1|CNY|", "|1|2|CNY|", EXAMPLES["receipt"]), Code.SCHEMA),
    "payment without batch": (lines(PAYMENT, lambda told: [told[0], *told[2:]]), Code.SCHEMA),
    "payment with a gap": (changed("D|3|", "D|5|", PAYMENT), Code.SEQ),
    "payment to be made on no day": (changed("|1|20150610|", "|1|20150631|", PAYMENT), Code.FORMAT),
    "return with a gap": (changed("\nN|1|", "\nN|2|", EXAMPLES["return"]), Code.SEQ),
    "inquiry about line 0": (changed("Q|3", "Q|0", EXAMPLES["inquiry-lines"]), Code.FORMAT),
    "inquiry about a line twice": (changed("Q|3", "Q|4", EXAMPLES["inquiry-lines"]), Code.SEQ),
    **{f"reserved kind {kind}": (changed("|RES|", f"|{kind}|"), Code.SCHEMA) for kind in RESERVED_KINDS},
    **{
        f"reserved record {letter}": (resealed(RESULT.replace(b"\nR|2|", f"\n{letter}|2|".encode())), Code.FORMAT)
        for letter in RESERVED_RECORDS
    },
}


@pytest.mark.parametrize(("data", "code"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused(data: bytes, code: Code) -> None:
    """Malformed with the code that the specification names, before any Tail."""
    assert refusal(data).code is code


@pytest.mark.parametrize("name", EXAMPLES)
def test_cut_anywhere_it_is_refused(name: str) -> None:
    """F30: at every byte of every kind of file; TRUNCATED inside a line, TOTALS at a line's end."""
    data = EXAMPLES[name]
    for length in range(len(data)):
        at_a_line_end = length > 0 and data[length - 1 : length] == b"\n"
        assert refusal(data[:length]).code is (Code.TOTALS if at_a_line_end else Code.TRUNCATED)


@pytest.mark.parametrize("name", ["result-1", "payment"])
def test_one_flipped_bit_anywhere_is_refused(name: str) -> None:
    """The digest covers every byte before it, and the trailer is checked against what was counted."""
    data = EXAMPLES[name]
    for at in range(len(data)):
        for bit in (0x01, 0x10, 0x80):
            refusal(data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :])


def test_a_fault_names_its_line_and_no_person() -> None:
    """The operator reads where and what; the value, which may be a name or an account, is not repeated."""
    error = refusal(changed("艾力买买提", "艾力买\x07买提"))
    assert error.where == "result line in line 3"
    assert "U+0007" in error.what
    assert "艾力" not in str(error)


# --------------------------------------------------------------------------------------------------------- round trips

TEXTS = st.text(
    st.characters(codec="gb18030", exclude_characters="|", exclude_categories=("Cc", "Zl", "Zp")), max_size=20
)
WORDS = TEXTS.filter(lambda text: not layout.RESULT.unfit(text))
ROWS = st.lists(
    st.tuples(
        st.integers(1, 999_999),
        st.integers(1, 10**19 - 1),
        st.integers(1, 10**12 - 1),
        st.from_regex(r"[0-9]{4}", fullmatch=True),
        st.from_regex(r"[0-9A-Za-z-]{0,40}", fullmatch=True),
        WORDS,
        WORDS,
    ),
    max_size=12,
    unique_by=(lambda row: row[0], lambda row: row[1]),
)


@given(ROWS)
def test_results_come_back(rows: list[tuple[int, int, int, str, str, str, str]]) -> None:
    """Whatever a bank says on its lines is told exactly so."""
    data = file(answer(FileKind.RES, "R1", "20150610163000"), layout.RESULT, rows)
    told = [item for item in items(data) if isinstance(item, Row)]
    assert [(int(row.ref), row.amount, row.status, row.bank_ref, row.text, row.name) for row in told] == [
        row[1:] for row in rows
    ]


@given(st.data())
def test_mutants_are_read_the_same_or_refused(data: st.DataObject) -> None:
    """Lines doubled, dropped and moved, the digest made to fit: Malformed, or the same set of lines."""
    told = RESULT.split(b"\n")[:-1]
    body = data.draw(st.lists(st.sampled_from(told[1:-1]), max_size=5))
    mutant = resealed(b"".join(line + b"\n" for line in (told[0], *body, told[-1])))
    if sorted(body) != sorted(told[1:-1]):
        assert refusal(mutant).code in (Code.SEQ, Code.TOTALS)
        return
    rows = [item for item in items(mutant) if isinstance(item, Row)]
    assert sorted(rows) == sorted(item for item in items(RESULT) if isinstance(item, Row))


# -------------------------------------------------------------------------------------------------------------- memory


class Stream(io.RawIOBase):
    """A stream of chunks that are made as they are asked for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int = -1) -> bytes:
        return next(self._chunks, b"")


@pytest.mark.slow
def test_memory_is_a_block_and_the_references() -> None:
    """200,000 lines: a bit over the references seen, far below the file (14 MB) and the rows (100 MB)."""
    count = 200_000
    header = layout.HEADER.pack(
        _values(answer(FileKind.RES, "R1", "20150610163000", count=count, total=184000 * count))
    )

    def records() -> Iterator[str]:
        yield header
        for line in range(1, count + 1):
            yield layout.RESULT.pack((line, 10**15 + line, 184000, "0000", f"20150610{line:09}", "", ""))

    stream = cast(BinaryIO, Stream(writing.assemble(records(), count, 184000 * count)))
    tracemalloc.start()
    try:
        told = 0
        for _ in read(stream):
            told += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told == count + 2
    assert peak < 32 * 1024 * 1024


def _values(header: layout.Header) -> tuple[str | int | None, ...]:
    return tuple(getattr(header, name) for name in layout.HEADER.names)
