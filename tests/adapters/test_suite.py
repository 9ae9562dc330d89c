"""One behaviour suite over every format that is installed: a new folder in adapters/ joins by being there.

What a format must add by itself is said in adapters/README.md; here is what holds for all of them. Routes are in
test_suite_routes.py.
"""

from __future__ import annotations

import io
import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.adapter import Adapter, CodeTable, Trust
from gateway.core.bank import (
    Agreement,
    Block,
    CheckLine,
    DocKind,
    Enveloped,
    Head,
    Inquiry,
    PayLine,
    Reason,
    Row,
    SealSlot,
    WireKind,
)
from gateway.core.errors import Code, Halt, Malformed, Refused
from gateway.core.verdicts import MEANINGS, Judgement, Outcome, Verdict
from tests.adapters.suite import (
    ADAPTERS,
    CHECKING,
    CHECKS,
    LINES,
    NOW,
    PAYING,
    any_document,
    bank_of,
    checked,
    head_of,
    line_of,
    read,
    written,
)

REFUSALS = {Code.CHARSET, Code.SIZE, Code.NAME, Code.RANGE, Code.FORMAT, Code.SCHEMA}


# ------------------------------------------------------------------------------------------------------ what it says


def test_formats_are_found() -> None:
    """The folders are the list; there is no other."""
    assert {"iso20022", "standard_file"} <= set(ADAPTERS)
    assert list(ADAPTERS) == sorted(ADAPTERS)


def test_it_says_what_it_is(adapter: Adapter) -> None:
    """Titles in two languages, a source, one of the agreed words of confidence; a seal exactly where trust comes from one."""
    assert adapter.title
    assert not adapter.title_zh.isascii()
    assert adapter.source
    assert adapter.confidence in {"certain", "likely", "partial", "own"}
    assert (adapter.seal is not None) == (adapter.trust is Trust.SEAL)
    assert adapter.routes
    assert set(adapter.routes) <= set(WireKind)
    "".encode(adapter.charset)


def test_capabilities_are_what_it_has(adapter: Adapter) -> None:
    """A format that writes a kind of Document says so, and the other way round."""
    writers = {
        DocKind.PAYMENT: adapter.write_payment,
        DocKind.INQUIRY: adapter.write_inquiry,
        DocKind.NAME_CHECK: adapter.write_check,
        DocKind.WHITELIST: adapter.write_pairs,
    }
    assert adapter.capabilities.writes == {kind for kind, writer in writers.items() if writer is not None}
    assert adapter.pays == (adapter.write_payment is not None)
    assert adapter.capabilities.reads


def test_file_names_are_safe(adapter: Adapter) -> None:
    """The default name uses known places only, tells payments apart by day and number or reference, and needs no quoting."""
    places = {
        "customer": "440600001",
        "date": "20150610",
        "seq": "0001",
        "kind": "payment",
        "reference": "BANKA2015061000001",
    }
    name = adapter.file_name.format(**places)
    assert set(name) <= set(string.ascii_letters + string.digits + "._-")
    used = {place for _, place, _, _ in string.Formatter().parse(adapter.file_name) if place}
    assert "reference" in used or {"date", "seq"} <= used


# ------------------------------------------------------------------------------------------------------------- writing


def test_payments_come_back(paying: Adapter) -> None:
    """What is written is read back: reference (where the file has a place for it), every line's amount, name and account, totals that agree."""
    head, _, rows, tail = read(paying, written(paying))
    assert head.kind is DocKind.PAYMENT
    assert head.reference in ("BANKA2015061000001", "")
    assert [(row.ref, row.amount, row.currency, row.name, row.account) for row in rows] == [
        (str(line.key), line.amount, "CNY", line.name, line.account) for line in LINES
    ]
    declared = {(totals.declared_count, totals.declared_minor) for totals in (head, tail)} - {(None, None)}
    assert declared == {(len(LINES), sum(line.amount for line in LINES))}
    assert (tail.count, tail.minor) == (len(LINES), sum(line.amount for line in LINES))


def refusal(write: Callable[[], bytes]) -> Code | None:
    """Why the writer refuses, None where it writes."""
    try:
        write()
    except Refused as error:
        return error.code
    return None


HOSTILE = st.one_of(
    st.text(min_size=1, max_size=30),
    st.text(
        st.sampled_from("张三·•‧𠮷㛃⽟䶮|,;\"'&<>]\\/ \t\r\n\u200b\u202e\u3000\ufeff\x00\x1c\x85\u2028"),
        min_size=1,
        max_size=12,
    ),
    st.text(st.characters(codec="gb18030"), min_size=1, max_size=30),
)


@pytest.mark.parametrize("code", PAYING)
@given(names=st.lists(HOSTILE, min_size=1, max_size=4), amount=st.integers(1, 1_000_000_000), account=HOSTILE)
def test_hostile_text_comes_back_or_is_refused(code: str, names: list[str], amount: int, account: str) -> None:
    """One oracle: exactly the same text comes back, or the writer refuses with a code. Never cut, never replaced."""
    adapter = ADAPTERS[code]
    lines = [line_of(number, name, account, amount) for number, name in enumerate(names, 1)]
    refused = refusal(lambda: written(adapter, lines))
    if refused is not None:
        assert refused in REFUSALS
        return
    document = written(adapter, lines)
    assert not any(adapter.encodable(text) for text in (*names, account))
    _, _, rows, tail = read(adapter, document)
    assert [(row.name, row.account, row.amount) for row in rows] == [(name, account, amount) for name in names]
    assert tail.minor == amount * len(names)


@pytest.mark.parametrize("code", ADAPTERS)
@given(text=st.text(max_size=20))
def test_encodable_tells_the_first_character_that_is_lacking(code: str, text: str) -> None:
    """Empty, or a character of the text; what stands before it is fine."""
    adapter = ADAPTERS[code]
    lacking = adapter.encodable(text)
    if lacking:
        assert len(lacking) == 1
        assert not adapter.encodable(text[: text.index(lacking)])


def test_a_character_that_is_lacking_is_refused(paying: Adapter) -> None:
    """CHARSET, with the code point; half a surrogate pair is in no charset."""
    assert paying.encodable("张\ud842三") == "\ud842"
    with pytest.raises(Refused, match=r"U\+D842") as error:
        written(paying, [line_of(1, "张\ud842三")])
    assert error.value.code is Code.CHARSET


def test_bytes_are_stable(adapter: Adapter) -> None:
    """The same lines give the same bytes, however often they are handed over."""
    first = any_document(adapter)
    assert any_document(adapter) == first


def test_a_slot_stands_exactly_where_a_seal_is_enveloped(paying: Adapter) -> None:
    """One slot for an enveloped seal, none for a detached one, none in the unsealed test profile."""

    def slots(*, sealed: bool) -> int:
        chunks = paying.payment(head_of(LINES), iter(LINES), bank_of(paying, sealed=sealed))
        return sum(isinstance(chunk, SealSlot) for chunk in chunks)

    assert slots(sealed=True) == (1 if isinstance(paying.seal, Enveloped) else 0)
    assert slots(sealed=False) == 0


@pytest.mark.parametrize("lines", [LINES[:3], (*LINES, line_of(5)), (LINES[0]._replace(amount=7), *LINES[1:])])
def test_other_lines_than_declared_are_a_halt(paying: Adapter, lines: Sequence[PayLine]) -> None:
    """Membership and totals precede the file: lines that do not add up stop it."""
    with pytest.raises(Halt):
        written(paying, lines, head_of(LINES))


def test_it_is_written_as_a_stream(paying: Adapter) -> None:
    """Lines are drawn while chunks are given: nobody holds a whole Document."""
    drawn = 0

    def source() -> Iterator[PayLine]:
        nonlocal drawn
        for number in range(1, 5_001):
            drawn = number
            yield line_of(number)

    head = msgspec.structs.replace(head_of(LINES), count=5_000, minor=5_000 * 184000)
    sizes = []
    for chunk in paying.payment(head, source(), bank_of(paying)):
        if not isinstance(chunk, SealSlot):
            sizes.append((drawn, len(chunk)))
    assert max(size for _, size in sizes) < 512 * 1024
    assert any(0 < count < 5_000 for count, _ in sizes)


# ------------------------------------------------------------------------------------------------------ asking about names


def test_questions_about_names_come_back(checking: Adapter) -> None:
    """Reference of the Document, name and account, and each line's reference where the file has a place for it; nothing is said about money."""
    head, _, rows, tail = read(checking, checked(checking))
    assert (head.kind, head.reference) == (DocKind.NAME_CHECK, "BANKA2015061000001")
    assert [(row.name, row.account) for row in rows] == [(line.name, line.account) for line in CHECKS]
    assert [row.ref for row in rows] in ([line.ref for line in CHECKS], [""] * len(CHECKS))
    assert (tail.count, tail.minor) == (len(CHECKS), None)
    for row in rows:
        assert checking.judge(head, None, row, Agreement()).outcome is Outcome.NONE


@pytest.mark.parametrize("code", CHECKING)
@given(names=st.lists(HOSTILE, min_size=1, max_size=4), account=HOSTILE, id_number=HOSTILE)
def test_hostile_questions_come_back_or_are_refused(code: str, names: list[str], account: str, id_number: str) -> None:
    """As with payments: exactly the same text comes back, or the writer refuses with a code."""
    adapter = CHECKING[code]
    lines = [CheckLine(number, f"{number}", name, account, "other", id_number) for number, name in enumerate(names, 1)]
    refused = refusal(lambda: checked(adapter, lines))
    if refused is not None:
        assert refused in REFUSALS
        return
    _, _, rows, _ = read(adapter, checked(adapter, lines))
    assert [(row.name, row.account) for row in rows] == [(name, account) for name in names]


@pytest.mark.parametrize("count", [len(CHECKS) - 1, len(CHECKS) + 1])
def test_other_questions_than_declared_are_a_halt(checking: Adapter, count: int) -> None:
    """How many there are is known before the first byte."""
    with pytest.raises(Halt):
        checked(checking, count=count)


# -------------------------------------------------------------------------------------------------------------- limits


def with_field(field: str, text: str) -> PayLine:
    """A payment with another text in one field."""
    return LINES[0]._replace(**{field: text})  # type: ignore[arg-type]  # the fields that are text


def test_limits_are_those_of_the_writer(paying: Adapter) -> None:
    """A name, account or purpose at its limit is written; one more ASCII character is refused."""
    limits = paying.limits
    fields = {"name": limits.name_bytes_max, "account": limits.account_chars_max, "purpose": limits.purpose_bytes_max}
    for field, most in fields.items():
        fits, too_long = ("9" * size for size in (most, most + 1))
        assert read(paying, written(paying, [with_field(field, fits)]))[3].count == 1
        assert refusal(partial(written, paying, [with_field(field, too_long)])) in (Code.SIZE, Code.FORMAT)


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_is_not_paid(paying: Adapter, amount: int) -> None:
    """An amount of zero or less is refused, whatever the head says."""
    with pytest.raises(Refused):
        written(paying, [line_of(1, amount=amount)])


def test_a_full_document_fits(paying: Adapter) -> None:
    """As many ordinary lines as a Document may have stay below its size."""
    few, more = len(written(paying, [line_of(1)] * 1)), len(written(paying, [line_of(n) for n in range(1, 101)]))
    assert few + (more - few) / 99 * paying.limits.rows_max < paying.limits.document_bytes_max


# ------------------------------------------------------------------------------------------------------------- reading


def test_truncation_at_every_byte(adapter: Adapter) -> None:
    """Not one prefix of a Document is taken for a whole one."""
    document = any_document(adapter)
    for length in range(len(document)):
        with pytest.raises(Malformed):
            list(adapter.read(io.BytesIO(document[:length])))


@pytest.mark.parametrize("code", ADAPTERS)
@given(data=st.data())
def test_damaged_documents_are_read_or_refused(code: str, data: st.DataObject) -> None:
    """A flipped byte, a line twice, two lines swapped, a hole: items in order, or Malformed; never another error."""
    adapter = ADAPTERS[code]
    document = bytearray(any_document(adapter))
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(document))] * 2)))
    piece = bytes(document[start:stop])
    document[start:stop] = data.draw(
        st.sampled_from([b"", piece * 2, piece[::-1], b"\x00", b"9"]) | st.binary(max_size=4)
    )
    with suppress(Malformed):
        read(adapter, bytes(document))  # which checks the order of its items


@pytest.mark.parametrize("code", ADAPTERS)
@given(document=st.binary(max_size=200))
def test_any_bytes_are_refused(code: str, document: bytes) -> None:
    """Noise is no Document."""
    with pytest.raises(Malformed):
        list(ADAPTERS[code].read(io.BytesIO(document)))


def test_a_document_is_recognised_by_its_own_format_only(adapter: Adapter) -> None:
    """The first bytes tell formats apart, so that nobody has to guess."""
    beginning = any_document(adapter)[:4096]
    assert [code for code, other in ADAPTERS.items() if other.sniff(beginning)] == [adapter.code]
    assert not adapter.sniff(b"")
    assert not adapter.sniff(b"<html><body>502 Bad Gateway</body></html>")


# ------------------------------------------------------------------------------------------------------------ judging


def test_the_code_table_is_total_and_sourced(adapter: Adapter) -> None:
    """Every row has its words and its source; a code that is not there is UNKNOWN_CODE and never an error."""
    table: CodeTable = adapter.codes
    assert len(table) > 0
    for key, row in table.items():
        assert key == (row.family, row.set, row.code)
        assert row.code
        assert row.words
        assert row.source
        assert row.verdict in MEANINGS
        assert row.verdict is not Verdict.UNKNOWN_CODE
    assert table.verdict("status", "cd", "no such code") is Verdict.UNKNOWN_CODE


WORDS = st.sampled_from(sorted({code for adapter in ADAPTERS.values() for _, _, code in adapter.codes})) | st.text(
    max_size=6
)
SETS = st.sampled_from(sorted({set_ for adapter in ADAPTERS.values() for _, set_, _ in adapter.codes})) | st.text(
    max_size=4
)
SAID = st.lists(st.builds(Reason, SETS, WORDS, st.text(max_size=4)), max_size=2).map(tuple)


@pytest.mark.parametrize("code", ADAPTERS)
@given(kind=st.sampled_from(DocKind), words=st.tuples(WORDS, WORDS, WORDS), said=st.tuples(SAID, SAID, SAID))
def test_whatever_is_said_is_judged(
    code: str, kind: DocKind, words: tuple[str, str, str], said: tuple[tuple[Reason, ...], ...]
) -> None:
    """Total on every level, and careful: a duplicate or unknown code never means failed, refused or unpaid."""
    adapter = ADAPTERS[code]
    head = Head(kind=kind, message="x", status=words[0], reasons=said[0])
    block = Block(ref="B", status=words[1], reasons=said[1])
    row = Row("1", 1, "CNY", words[2], said[2])
    for block_of, row_of in ((block, row), (None, row), (block, None), (None, None)):
        judgement = adapter.judge(head, block_of, row_of, Agreement())
        assert isinstance(judgement, Judgement)
        if judgement.verdict in (Verdict.DUPLICATE, Verdict.TIMEOUT, Verdict.UNKNOWN_CODE):
            assert judgement.outcome in (Outcome.UNKNOWN, Outcome.RETURNED, Outcome.NONE)
        if row_of is None and judgement.outcome is Outcome.REFUSED:
            assert MEANINGS[judgement.verdict].proves_unbooked


def test_inquiries_can_be_written(adapter: Adapter) -> None:
    """A format that can ask writes the same bytes for the same question."""
    if adapter.write_inquiry is None:
        assert adapter.routes
        return
    question = Inquiry(reference="Q1", original="R1", original_name="a.txt", created=NOW, lines=(1, 3))
    first, second = (
        b"".join(
            chunk
            for chunk in adapter.write_inquiry(question, bank_of(adapter, sealed=False))
            if isinstance(chunk, bytes)
        )
        for _ in range(2)
    )
    assert first
    assert first == second
