"""The hardened XML reader against the corpus of PROMISES section 3 B: read exactly, or refused with its code."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codec import xml
from gateway.core.errors import Code, Malformed

GOOD = b'<?xml version="1.0" encoding="UTF-8"?>\n<a xmlns="urn:x"><!-- fine here -->\n<r i="1"><v>1</v></r><r><v>2</v></r>\n</a>\n'


def read(document: bytes | BinaryIO, name: str = "r") -> list[str]:
    """The values in all rows: what a format's reader would make of the document."""
    source = io.BytesIO(document) if isinstance(document, bytes) else document
    values = []
    for element in xml.stream(source, [name]):
        names = xml.Names(xml.namespace(element))
        values.append(xml.value(xml.at(element, names, "v")))
    return values


def code_of(document: bytes) -> Code | None:
    """Why the document is refused, None where it is read. Any other error than Malformed goes through."""
    try:
        read(document)
    except Malformed as error:
        return error.code
    return None


def row(content: str | bytes, before: str = "") -> bytes:
    """One row around ``content``."""
    inside = content if isinstance(content, bytes) else content.encode()
    return before.encode() + b"<a><r><v>" + inside + b"</v></r></a>"


def test_good_ones_are_read() -> None:
    """Values come out in order, whatever stands between them."""
    assert read(GOOD) == ["1", "2"]
    assert read(b"\xef\xbb\xbf" + GOOD) == ["1", "2"]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
QUADRATIC = "<!DOCTYPE a [<!ENTITY q '" + "x" * 50_000 + "'>]>"

FORMAT: dict[str, bytes] = {
    "B1 billion laughs": row("&l9;", f'<!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]>'),
    "B1 in an attribute": b'<!DOCTYPE a [<!ENTITY l "lol">]><a><r x="&l;"><v>1</v></r></a>',
    "B2 quadratic blow-up": row("&q;" * 2_000, QUADRATIC),
    "B3 external entity, file": row("&x;", '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'),
    "B3 external entity, network": row("&x;", '<!DOCTYPE a [<!ENTITY x SYSTEM "http://127.0.0.1:9/">]>'),
    "B4 external document type": row("1", '<!DOCTYPE a SYSTEM "file:///nowhere.dtd">'),
    "B4 public document type": row("1", '<!DOCTYPE a PUBLIC "-//X//Y" "http://127.0.0.1:9/y.dtd">'),
    "B4 empty document type": row("1", "<!DOCTYPE a>"),
    "B4 default attributes": row("1", "<!DOCTYPE a [<!ATTLIST v x CDATA 'evil'>]>"),
    "B4 parameter entity": row("1", '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>'),
    "B4 stylesheet": row("1", '<?xml-stylesheet href="file:///x.xsl"?>'),
    "B5 entity in an amount": row("1&z;00", '<!DOCTYPE a [<!ENTITY z "0">]>'),
    "B5 undeclared entity in an amount": row("1&z;00"),
    "B6 comment in an amount": row("100<!-- -->00.00"),
    "B6 comment before an amount": row("<!-- 9 -->100"),
    "B6 CDATA in an amount": row("1<![CDATA[0]]>0"),
    "B6 processing instruction in an amount": row("1<?x y?>00"),
    "B6 element in an amount": row("1<b/>00"),
    "B7 depth 257": b"<a>" * 257 + b"</a>" * 257,
    "B8 text above 10 MB": row(b"1" * 10_000_001),
    "B11 UTF-16 declared over UTF-8": row("1", '<?xml version="1.0" encoding="UTF-16"?>'),
    "B11 UTF-16 indeed": '<?xml version="1.0" encoding="UTF-16"?><a/>'.encode("utf-16"),
    "B11 UTF-16 without a mark": "<a><r><v>1</v></r></a>".encode("utf-16-le"),
    "B11 UTF-32": "<a><r><v>1</v></r></a>".encode("utf-32"),
    "B11 UTF-7": row("+ADw-", '<?xml version="1.0" encoding="UTF-7"?>'),
    "B11 EBCDIC": '<?xml version="1.0" encoding="cp037"?><a/>'.encode("cp037"),
    "B11 GBK with four bytes of GB18030": row("𠮷".encode("gb18030"), '<?xml version="1.0" encoding="GBK"?>'),
    "B11 GBK declared behind a UTF-8 mark": b"\xef\xbb\xbf" + row("1", '<?xml version="1.0" encoding="GBK"?>'),
    "B11 UTF-8 declared over GBK": row("张三".encode("gbk"), '<?xml version="1.0" encoding="UTF-8"?>'),
    "B12 NUL": row(b"1\x00"),
    "B12 NUL by number": row("1&#0;"),
    "B12 bad UTF-8": row(b"1\xff"),
    "B12 overlong UTF-8": row(b"\xc0\xb1"),
    "B12 a surrogate in UTF-8": row(b"\xed\xa0\x80"),
    "B12 two roots": b"<a/><a/>",
    "B12 trailing bytes": row("1") + b"x",
    "B12 trailing NUL": row("1") + b"\x00",
    "B12 trailing instruction": row("1") + b"<?x?>",
    "B12 duplicate attribute": b'<a x="1" x="2"/>',
    "B12 crossed tags": b"<a><r><v>1</r></v></a>",
    "B12 undeclared prefix": b"<a><q:r/></a>",
    "B12 declaration not at the start": b"\n" + GOOD,
    "B12 plain text": b"Bad Gateway",
    "B12 HTML": b"<!DOCTYPE html><html><body>502</body></html>",
}  # fmt: skip


@pytest.mark.parametrize("case", FORMAT)
def test_hostile_documents_are_refused(case: str) -> None:
    """Each is FORMAT, at once or at the end, and nothing is fetched, expanded or mended on the way."""
    with pytest.raises(Malformed) as error:
        read(FORMAT[case])
    assert error.value.code is Code.FORMAT


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(GOOD), bz2.compress(GOOD), lzma.compress(GOOD)],
    ids=["gzip", "bzip2", "xz"],
)
def test_compressed_bytes_are_never_expanded(packed: bytes) -> None:
    """B10: 200 KB could be 200 MB."""
    with pytest.raises(Malformed, match="compressed"):
        read(packed)


def test_a_zip_is_not_looked_into() -> None:
    """B10: an archive is not a document."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.xml", GOOD)
    with pytest.raises(Malformed, match="compressed"):
        read(packed.getvalue())


@pytest.mark.parametrize("count", [65, 200_000])
def test_too_many_attributes_are_refused(count: int) -> None:
    """B9: libxml2 takes any number of them; we do not, on a row or outside of one."""
    attributes = b" ".join(b'x%d="1"' % number for number in range(count))
    for document in (b"<a><r %s><v>1</v></r></a>", b"<a %s><r><v>1</v></r></a>", b"<a><r><v %s>1</v></r></a>"):
        with pytest.raises(Malformed) as error:
            read(document % attributes)
        assert error.value.code is Code.SCHEMA


def test_many_attributes_are_taken() -> None:
    """The limit itself is inside."""
    assert read(b"<a><r %s><v>1</v></r></a>" % b" ".join(b'x%d="1"' % number for number in range(64))) == ["1"]


def test_attributes_are_counted_in_every_row() -> None:
    """Rows leave the tree in portions: one that is too wide does not slip out between two of them."""
    wide = b"<r %s><v>1</v></r>" % b" ".join(b'x%d="1"' % number for number in range(65))
    for position in (0, 1, xml.KEPT_ELEMENTS - 1, xml.KEPT_ELEMENTS, 2 * xml.KEPT_ELEMENTS + 1, 499):
        rows = [b"<r><v>1</v></r>"] * 500
        rows[position] = wide
        with pytest.raises(Malformed, match="64 attributes"):
            read(b"<a>" + b"".join(rows) + b"</a>")


def test_depth_256_is_taken() -> None:
    """B7: the parser's own limit, from inside."""
    assert read(b"<a>" * 256 + b"</a>" * 256) == []


def test_a_document_that_stops_is_truncated_at_every_byte() -> None:
    """B13: TRUNCATED from no byte at all up to the last but one of the root's end tag; never a shorter document."""
    whole = GOOD.rstrip()
    for length in range(len(whole)):
        with pytest.raises(Malformed) as error:
            read(whole[:length])
        assert error.value.code is Code.TRUNCATED, length
    assert read(whole) == ["1", "2"]


def test_truncation_inside_a_character() -> None:
    """A character that is cut in half is a missing end, not a wrong byte."""
    whole = row("张三𠮷")
    for length in range(1, len(whole)):
        with pytest.raises(Malformed) as error:
            read(whole[:length])
        assert error.value.code is Code.TRUNCATED, length


class Dribble(io.BytesIO):
    """A source that gives one byte at a time, whatever was asked for."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1)


@pytest.mark.parametrize("case", ["B4 empty document type", "B6 CDATA in an amount", "B12 two roots"])
def test_cut_constructs_are_found_too(case: str) -> None:
    """What is forbidden is found across the chunks in which it comes."""
    with pytest.raises(Malformed) as error:
        read(Dribble(FORMAT[case]))
    assert error.value.code is Code.FORMAT


def test_chinese_charsets_are_read_when_declared() -> None:
    """GB18030 holds the characters that GBK lacks."""
    assert read(row("张三𠮷".encode("gb18030"), '<?xml version="1.0" encoding="GB18030"?>')) == ["张三𠮷"]
    assert read(row("张三".encode("gbk"), '<?xml version="1.0" encoding="gbk"?>')) == ["张三"]


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff<&>"), max_size=40
    )
)
def test_values_come_out_whole(text: str) -> None:
    """No blank is stripped, nothing normalised."""
    assert read(row(text)) == [text]


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """One oracle for everything: values, or Malformed with a code; no other error ever."""
    for document in (data, b"<a>" + data, row(data)):
        assert code_of(document) in (None, Code.FORMAT, Code.TRUNCATED, Code.SCHEMA)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_changed_byte_is_read_or_refused(position: int, byte: int) -> None:
    """A flipped byte never ends in anything but a value or Malformed."""
    changed = bytearray(GOOD)
    changed[position] = byte
    assert code_of(bytes(changed)) in (None, Code.FORMAT, Code.TRUNCATED, Code.SCHEMA)


class Rows(io.BytesIO):
    """A document of many rows, made while it is read."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._parts = self._make(count)

    def _make(self, count: int) -> Iterator[bytes]:
        yield b"<a>"
        for number in range(0, count, 500):
            yield b"".join(b"<r><v>%d</v><w>some more text</w></r>\n" % line for line in range(number, number + 500))
        yield b"</a>"

    def read(self, size: int | None = -1) -> bytes:
        return next(self._parts, b"")


def test_memory_does_not_grow_with_the_document() -> None:
    """Rows leave the tree: Python's own memory is flat from 5,000 to 50,000 rows."""

    def peak(count: int) -> int:
        tracemalloc.start()
        seen = 0
        for _ in xml.stream(Rows(count), ["r"]):
            seen += 1
        assert seen == count
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak_bytes

    small, large = peak(5_000), peak(50_000)
    assert large < small + 200_000


def test_rows_leave_the_tree() -> None:
    """libxml2's memory is not Python's: what stays below the root is counted instead."""
    most = 0
    for element in xml.stream(Rows(20_000), ["r"]):
        parent = element.getparent()
        assert parent is not None
        most = max(most, len(parent))
    assert most < xml.KEPT_ELEMENTS + 4_000  # the rows of one chunk of bytes, and those kept


def test_a_word_of_another_namespace_is_refused() -> None:
    """B15: same local name, other namespace."""
    with pytest.raises(Malformed) as error:
        read(b'<a xmlns="urn:x"><r><v xmlns="urn:evil">1</v></r></a>')
    assert error.value.code is Code.SCHEMA


def test_a_value_that_stands_there_twice_is_refused() -> None:
    """B14: nobody can say which amount counts."""
    for document in (b"<a><r><v>1</v><v>2</v></r></a>", b"<a><r><v/><v>2</v></r></a>"):
        with pytest.raises(Malformed) as error:
            read(document)
        assert error.value.code is Code.SCHEMA


def test_parts_take_an_element_apart() -> None:
    """Leaves by name as text, the rest as elements; a leaf twice, or with content, is refused; comments between are not."""
    names = xml.Names("")
    leaves = frozenset({"x", "y"})

    def taken(content: bytes) -> tuple[dict[str, str], list[str]]:
        element = next(xml.stream(io.BytesIO(b"<a><r>" + content + b"</r></a>"), ["r"]))
        texts, branches = xml.parts(element, names, leaves)
        return texts, [name for name, found in branches.items() for _ in found]

    assert taken(b"<!-- c --><x> 1 </x><z><q/></z><y/><z><q/></z><e/>") == ({"x": " 1 ", "y": ""}, ["z", "z"])
    for content, code in (
        (b"<x/><x/>", Code.SCHEMA),
        (b"<x>1<!-- --></x>", Code.FORMAT),
        (b"<x><y/></x>", Code.FORMAT),
    ):
        with pytest.raises(Malformed) as error:
            taken(content)
        assert error.value.code is code


def test_leaves_are_texts_by_name() -> None:
    """Every child's whole text; a name twice, another namespace, or anything inside a leaf is refused; comments between are not."""

    def taken(content: bytes) -> dict[str, str]:
        element = next(xml.stream(io.BytesIO(b"<a><r>" + content + b"</r></a>"), ["r"]))
        return xml.leaves(element, xml.Names(""))

    assert taken(b"<x> 1 </x><y/>") == {"x": " 1 ", "y": ""}
    assert taken(b"<!-- c --><x>1</x><!-- d -->") == {"x": "1"}
    assert taken(b"") == {}
    for content, code in (
        (b"<x/><x/>", Code.SCHEMA),
        (b"<!-- c --><x/><x/>", Code.SCHEMA),
        (b'<x xmlns="urn:evil">1</x>', Code.SCHEMA),
        (b"<x>1<!-- --></x>", Code.FORMAT),
        (b"<x><y/></x>", Code.FORMAT),
    ):
        with pytest.raises(Malformed) as error:
            taken(content)
        assert error.value.code is code


def test_where_tells_line_and_path() -> None:
    """A person finds the place: the line, and the names on the way to it."""
    with pytest.raises(Malformed) as error:
        read(b"<a>\n<r>\n<v>1<b/></v></r></a>")
    assert error.value.where == "line 3 a/r/v"
    with pytest.raises(Malformed) as error:
        read(b"<a>\n<r></a>")
    assert error.value.where.startswith("line 2 column ")
