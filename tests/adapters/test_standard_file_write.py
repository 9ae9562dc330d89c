"""Writing standard files: hostile names come back or are refused, bytes are stable, memory does not grow."""

from __future__ import annotations

import hashlib
import io
import re
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.standard_file import ADAPTER, layout, writing
from adapters.standard_file.layout import Header
from adapters.standard_file.reading import read
from gateway.codec.lines import CHUNK_BYTES
from gateway.core.bank import DocKind, Head, Inquiry, PayLine, Row, Tail
from gateway.core.errors import Code, Halt, Refused
from tests.adapters.standard_file_examples import BANK, BEIJING, HEAD, LINES, PAYMENT, inquiry, payment

RARE = [
    "艾力·买买提",
    "迪丽热巴·迪力木拉提",
    "𠮷田",
    "李䶮",
    "㛃",
    "　张　三　",
    "周珅",
    " O'Neil ",
    "中" * 60,
    "𠮷" * 30,
    "㐀龥",
]


def one(name: str = "张三", **fields: object) -> bytes:
    """A payment file of one line."""
    line = PayLine(1, 7, name, "9900010000000000017", 100)._replace(**fields)  # type: ignore[arg-type]  # names of fields
    return payment(msgspec.structs.replace(HEAD, count=1, minor=line.amount), [line])


def names(data: bytes) -> list[str]:
    """The names on its lines, as they are read back."""
    return [item.name for item in read(io.BytesIO(data)) if isinstance(item, Row)]


@given(st.lists(st.text(min_size=1, max_size=30) | st.sampled_from(RARE), min_size=1, max_size=5))
def test_names_come_back_or_are_refused(texts: list[str]) -> None:
    """Exactly the same name, or Refused with a code that fits; never a name cut, padded or replaced."""
    lines = [PayLine(n, 10**15 + n, text, "9900-1", n) for n, text in enumerate(texts, 1)]
    head = msgspec.structs.replace(HEAD, count=len(lines), minor=sum(line.amount for line in lines))
    unfit = [text for text in texts if layout.PAYMENT.unfit(text)]
    long = [text for text in texts if not layout.PAYMENT.unfit(text) and len(text.encode("gb18030")) > 120]
    if unfit or long:
        with pytest.raises(Refused) as refused:
            payment(head, lines)
        assert refused.value.code in (Code.CHARSET, Code.SIZE)
        return
    data = payment(head, lines)
    assert names(data) == texts
    assert payment(head, lines) == data


@pytest.mark.parametrize("name", RARE)
def test_rare_names_are_written(name: str) -> None:
    """Minority names with U+00B7, characters beyond GBK and beyond the basic plane, ideographic spaces."""
    assert names(one(name)) == [name]
    assert ADAPTER.encodable(name) == ""


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("a|b", "U+007C"),
        ("a\nb", "U+000A"),
        ("a\x7fb", "U+007F"),
        ("a\u0085b", "U+0085"),
        ("a\u2029b", "U+2029"),
        ("\ufeffab", "U+FEFF"),
        ("a\ud842b", "U+D842"),
        ("龴", "U+9FB4"),
        ("a\ue81e", "U+E81E"),
        ("︐", "U+FE10"),
    ],
)
def test_a_character_that_is_not_written_is_named(name: str, point: str) -> None:
    """The separator, controls, line separators, half characters, and those whose bytes depend on the edition."""
    with pytest.raises(Refused, match=re.escape(point)) as refused:
        one(name)
    assert refused.value.code is Code.CHARSET
    assert refused.value.where == "payment line 1"
    assert f"U+{ord(ADAPTER.encodable(name)):04X}" == point


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "中" * 61}, Code.SIZE),
        ({"name": ""}, Code.SCHEMA),
        ({"account": "6217 0001"}, Code.FORMAT),
        ({"account": "1" * 35}, Code.FORMAT),
        ({"amount": 0}, Code.FORMAT),
        ({"key": 0}, Code.FORMAT),
        ({"id_type": "ID"}, Code.FORMAT),
        ({"id_number": "1|2"}, Code.FORMAT),
        ({"purpose": "养" * 71}, Code.SIZE),
        ({"pair": "x" * 21}, Code.FORMAT),
    ],
)
def test_a_value_that_does_not_fit_is_refused(fields: dict[str, object], code: Code) -> None:
    """Refused before the file has an end, with the line."""
    with pytest.raises(Refused) as refused:
        one(**{"name": "张三", **fields})  # type: ignore[arg-type]  # names of fields
    assert refused.value.code is code
    assert refused.value.where == "payment line 1"


def test_the_head_is_written() -> None:
    """Reference, count, total, customer and bank in the header; batch, day, fund and account in the second record."""
    header, batch = PAYMENT.decode("gb18030").split("\n")[:2]
    assert header == "H|SHEYIN|1|PAY|BANKA2015061000001|20150610090000|440600001|BANKA|||||||1|1|CNY|4|671549"
    assert batch.startswith(
        "B|BANKA20150610B00001|1|20150610|pension|pension|9900100000000000123|某市社会保险基金管理局"
    )


def test_the_header_is_the_table() -> None:
    """Header's fields are the columns, in their order."""
    assert Header.__struct_fields__ == layout.HEADER.names


@pytest.mark.parametrize(
    "lines",
    [
        LINES[:3],
        (*LINES, LINES[3]._replace(line=5)),
        (LINES[1], LINES[0], *LINES[2:]),
        (*LINES[:3], LINES[3]._replace(amount=1)),
    ],
)
def test_lines_that_are_not_the_heads_are_a_halt(lines: tuple[PayLine, ...]) -> None:
    """Membership and totals precede the file: a difference is a broken invariant, and the file gets no trailer."""
    told: list[bytes] = []
    with pytest.raises(Halt):
        told.extend(chunk for chunk in writing.write_payment(HEAD, lines, BANK) if isinstance(chunk, bytes))
    assert not any(b"\nT|" in chunk for chunk in told)


def test_heads_that_no_file_may_have() -> None:
    """Nothing to pay, more lines than six digits, another currency, a number without a code's characters."""
    for change in ({"count": 0}, {"count": 1_000_000}, {"currency": "USD"}, {"reference": "a-1"}, {"fund": "养老"}):
        with pytest.raises(Refused):
            payment(msgspec.structs.replace(HEAD, **change))


def test_an_inquiry_names_document_and_lines() -> None:
    """The whole file, or the lines asked about, each once."""
    head, *rows, tail = read(io.BytesIO(inquiry((3, 4))))
    assert isinstance(head, Head)
    assert (head.kind, head.original, head.original_kind) == (DocKind.INQUIRY, "BANKA2015061000001", "PAY")
    assert [row.ref for row in rows if isinstance(row, Row)] == ["3", "4"]
    assert isinstance(tail, Tail)
    with pytest.raises(Refused) as refused:
        inquiry((3, 3))
    assert refused.value.code is Code.SEQ


def test_times_are_beijing_time() -> None:
    """``created`` is told by the wall clock in Beijing, whatever zone the caller's value is in."""
    utc = datetime(2015, 6, 10, 1, 0, 0, tzinfo=UTC)
    assert payment(msgspec.structs.replace(HEAD, created=utc)) == PAYMENT
    question = Inquiry(reference="Q1", original="A1", original_name="", created=utc)
    told = b"".join(chunk for chunk in writing.write_inquiry(question, BANK) if isinstance(chunk, bytes))
    assert b"|20150610090000|" in told
    assert utc.astimezone(BEIJING).hour == 9


def test_the_digest_is_of_all_before_the_trailer() -> None:
    """Recomputed from the bytes alone."""
    before, _, trailer = PAYMENT[:-1].rpartition(b"\n")
    assert trailer.rpartition(b"|")[2].decode() == hashlib.sha256(before + b"\n").hexdigest()


def many(count: int) -> Iterator[PayLine]:
    """Payments made as they are asked for."""
    for line in range(1, count + 1):
        yield PayLine(line, 10**15 + line, "艾力·买买提", "9900010000000000017", 184000, purpose="2015年6月养老金")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file() -> None:
    """200,000 payments (20 MB) leave in chunks of at least 64 KiB but the last two, with less than 2 MiB held."""
    count = 200_000
    head = msgspec.structs.replace(HEAD, count=count, minor=184000 * count)
    sizes: list[int] = []
    tracemalloc.start()
    try:
        for chunk in writing.write_payment(head, many(count), BANK):
            assert isinstance(chunk, bytes)
            sizes.append(len(chunk))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert min(sizes[:-2]) >= CHUNK_BYTES
    assert max(sizes) < 4 * CHUNK_BYTES
    assert peak < 2 * 1024 * 1024


def test_a_full_document_fits_its_cap() -> None:
    """The longest line that the tables allow, as often as rows_max says, stays below document_bytes_max."""
    longest = sum(field.width + 1 for field in layout.PAYMENT.fields)
    assert longest * ADAPTER.limits.rows_max < ADAPTER.limits.document_bytes_max
    assert all(sum(f.width + 1 for f in table.fields) <= layout.LINE_BYTES_MAX for table in layout.RECORDS.values())
