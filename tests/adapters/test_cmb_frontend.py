"""The front-end's messages: golden bytes, parts, the published samples, and the bank's words."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from adapters.cmb_frontend import ADAPTER
from gateway.core.bank import Agreement, Block, DocKind, Head, Reason, Row
from gateway.core.errors import Code, Malformed, Refused
from gateway.core.route import (
    Answer,
)
from gateway.core.settings import check_bank
from gateway.core.verdicts import Judgement, Outcome, Verdict
from tests.adapters.examples import accepted
from tests.adapters.replies import cmb_frontend as replies
from tests.adapters.suite import ADAPTERS, bank_of, line_of, read, written

SAMPLES = Path(__file__).parents[3] / "shared/samples/china/cmb-frontend"
GOLDEN = Path(__file__).parent / "golden" / "cmb_frontend"


# ------------------------------------------------------------------------------------------------------------- writing


def test_golden_payment() -> None:
    """The message of four invented people, byte for byte."""
    assert written(ADAPTER) == (GOLDEN / "payment.xml").read_bytes().removesuffix(b"\n")


def test_parts_of_a_batch() -> None:
    """3,000 payments a message: tags, sums of the part and of the whole, numbers that run on, and an empty slot for the bank's number."""
    lines = [line_of(number) for number in range(1, 6_002)]
    parts = written(ADAPTER, lines).split(b"\n")
    assert [part.count(b"<NTAGCDTLY1>") for part in parts] == [3_000, 3_000, 1]
    for part, begin, end in zip(parts, (b"Y", b"N", b"N"), (b"N", b"N", b"Y"), strict=True):
        assert b"<BEGTAG>%s</BEGTAG><ENDTAG>%s</ENDTAG><REQNBR></REQNBR>" % (begin, end) in part
        assert b"<TTLAMT>11041840.00</TTLAMT><TTLCNT>6001</TTLCNT><TTLNUM>3</TTLNUM>" in part
    assert b"<CURAMT>1840.00</CURAMT><CURCNT>1</CURCNT>" in parts[2]
    assert b"<TRXSEQ>00006001</TRXSEQ>" in parts[2]
    head, _, rows, tail = read(ADAPTER, b"\n".join(parts))
    assert (head.parts, head.declared_count, len(rows), tail.count) == (1, 6_001, 6_001, 6_001)


def test_a_part_alone_is_not_the_whole() -> None:
    """The first part of two says so; two of three are cut short; a part of another batch does not belong there."""
    lines = [line_of(number) for number in range(1, 6_002)]
    first, second, third = written(ADAPTER, lines).split(b"\n")
    head, _, _, tail = read(ADAPTER, first)
    assert (head.part, head.parts, head.declared_count, tail.count) == (1, 3, 3_000, 3_000)
    with pytest.raises(Malformed) as error:
        read(ADAPTER, first + b"\n" + second)
    assert error.value.code is Code.TRUNCATED
    for wrong in (
        [first, third, second],
        [first, first],
        [first, second.replace(b"BANKA2015061000001", b"BANKA2015061000002"), third],
        [first, second, third.replace(b"<CURCNT>1<", b"<CURCNT>2<")],
    ):
        with pytest.raises(Malformed):
            read(ADAPTER, b"\n".join(wrong))


@pytest.mark.parametrize(
    ("name", "code"),
    [("张" * 31, None), ("张" * 32, Code.SIZE), ("张\U00020bb7三", Code.CHARSET), ("张\n三", Code.CHARSET), ("张•三", Code.CHARSET)],
)  # fmt: skip
def test_names_in_bytes_of_gbk(name: str, code: Code | None) -> None:
    """31 characters of two bytes fit; what GBK lacks is refused with its code point, and so is a line's end."""
    if code is None:
        assert read(ADAPTER, written(ADAPTER, [line_of(1, name)]))[2][0].name == name
        return
    with pytest.raises(Refused) as error:
        written(ADAPTER, [line_of(1, name)])
    assert error.value.code is code
    assert name not in str(error.value)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"bbknbr": "69"}, "busmod"),
        ({"bbknbr": "6", "busmod": "00001"}, "bbknbr"),
        ({"bbknbr": "69", "busmod": "00001", "trstyp": "BYSA"}, "trstyp"),
        ({"bbknbr": "69", "busmod": "00001", "bus": "1"}, "bus"),
    ],
)
def test_options_are_checked(options: dict[str, str], what: str) -> None:
    """What the format asks for is checked when the configuration is read."""
    bank = bank_of(ADAPTER)
    check_bank(bank, ADAPTERS, "某市社保局")
    with pytest.raises(Refused, match=what):
        check_bank(msgspec.structs.replace(bank, format_options=options), ADAPTERS, "某市社保局")


def test_the_example_of_the_page_is_accepted(tmp_path: Path) -> None:
    """The [[bank]] of the README, as a whole configuration."""
    accepted(ADAPTER.code, tmp_path)


# ------------------------------------------------------------------------------------------------------------- reading


def test_every_sample_is_read() -> None:
    """To its end, a request as a request and an answer as an answer; every line is judged."""
    if not SAMPLES.is_dir():
        pytest.skip(f"no {SAMPLES.name} beside the project")
    for path in sorted(SAMPLES.glob("*.xml")):
        payload = path.read_bytes()
        assert ADAPTER.sniff(payload)
        head, _, rows, _ = read(ADAPTER, payload)
        assert f">{head.message}<" in payload.decode()
        assert (head.kind in (DocKind.INQUIRY, DocKind.PAYMENT)) == (".request" in path.name)
        for row in rows:
            ADAPTER.judge(head, None, row, Agreement())


def answer_of(answer: Answer) -> tuple[Head, list[Block], list[Row]]:
    """One answer, read."""
    head, blocks, rows, _ = read(ADAPTER, answer.body)
    return head, blocks, rows


def test_a_return_is_matched_by_our_key() -> None:
    """CPRACT is ours; without it the bank's own numbers are told and nothing is matched."""
    row = (
        "<NTAGDRFDZ1><BTHDTL>00000001</BTHDTL><CPRACT>{}</CPRACT><EACNAM>张三</EACNAM><EACNBR>9900010000000000017</EACNBR>"
        "<REQNBR>0030899420</REQNBR><RTNCOD>002</RTNCOD><RTNTXT>账号、户名不符</RTNTXT><STSCOD>E</STSCOD><TRSAMT>0.03</TRSAMT>"
        "<YURREF>R1</YURREF></NTAGDRFDZ1>"
    )
    head, _, rows = answer_of(replies.answer("NTAGDRFD", row.format("1433899200000001") + row.format("")))
    assert head.kind is DocKind.RETURN
    assert [(found.ref, found.amount, found.name) for found in rows] == [
        ("1433899200000001", 3, "张三"),
        ("#R1/00000001", 3, "张三"),
    ]
    assert rows[0].reasons == (Reason("RTNCOD", "002", "账号、户名不符"),)
    assert ADAPTER.judge(head, None, rows[0], Agreement()) == Judgement(Outcome.RETURNED, Verdict.NAME_MISMATCH)


def test_an_empty_line_before_and_after_an_answer() -> None:
    """Some servers send them; the answer is the same."""
    body = replies.batch("R1", "FIN", "S", 3, "5.00").body
    assert read(ADAPTER, b"\r\n" + body + b"\n\n")[0] == read(ADAPTER, body)[0]


def test_a_batch_without_totals() -> None:
    """Then it declares none."""
    text = replies.batch("R1").body.decode("gbk").replace("<TRSNUM>003005</TRSNUM><TOTAMT>0.00</TOTAMT>", "")
    head, _, _ = answer_of(Answer(200, text.encode("gbk")))
    assert (head.original, head.declared_count, head.declared_minor) == ("R1", None, None)


def test_one_batch_is_the_word_on_the_whole() -> None:
    """Two batches under one reference are told apart as blocks, and declare no totals."""
    head, blocks, _ = answer_of(replies.batch("R1", "FIN", "F", 3, "5.00"))
    assert (head.original, head.status, head.declared_count, head.declared_minor) == ("R1", "FIN", 3, 500)
    assert not blocks
    two = replies.batch("R1", "FIN", "F", 3, "5.00").body.decode("gbk")
    row = two[two.index("<NTAGCINQZ>") : two.index("</CMBSDKPGK>")]
    head, blocks, _ = answer_of(Answer(200, two.replace(row, row * 2).encode("gbk")))
    assert (head.original, head.status, head.declared_count, len(blocks)) == ("R1", "", None, 2)


@pytest.mark.parametrize(
    "text",
    [
        "<CMBSDKPGK></CMBSDKPGK>",
        "<CMBSDKPGK><NTAGCDTLY1/><INFO/></CMBSDKPGK>",
        "<CMBSDKPGK><INFO/><INFO/></CMBSDKPGK>",
        "<CMBSDKPGK><INFO><FUNNAM>A</FUNNAM><FUNNAM>B</FUNNAM></INFO></CMBSDKPGK>",
        "<CMBSDKPGK><INFO/><A><NTAGCDTLY1/></A></CMBSDKPGK>",
        "<OTHER><INFO/></OTHER>",
        '<!DOCTYPE a [<!ENTITY b "c">]><CMBSDKPGK><INFO/></CMBSDKPGK>',
        "<CMBSDKPGK><INFO><RETCOD>0</RETCOD></INFO></CMBSDKPGK>\n<?xml version='1.0'?><CMBSDKPGK><INFO/></CMBSDKPGK>",
    ],
)
def test_other_shapes_are_refused(text: str) -> None:
    """INFO first and once, components below the root, each field once, one answer a file, no document type."""
    with pytest.raises(Malformed):
        list(ADAPTER.read(io.BytesIO(text.encode())))


# ------------------------------------------------------------------------------------------------------------- judging


def line_word(status: str, *reasons: Reason) -> Judgement:
    """The word on one payment."""
    return ADAPTER.judge(
        Head(kind=DocKind.RESULT, message="NTAGDINF"), None, Row("1", 1, "CNY", status, reasons), Agreement()
    )


@pytest.mark.parametrize(
    ("status", "code", "outcome", "verdict"),
    [
        ("S", "", Outcome.PAID, Verdict.PAID),
        ("A", "", Outcome.PENDING, Verdict.RECEIVED),
        ("I", "", Outcome.PENDING, Verdict.RECEIVED),
        ("C", "", Outcome.FAILED, Verdict.CANCELLED),
        ("E", "", Outcome.FAILED, Verdict.NO_REASON),
        ("F", "CMB1003", Outcome.FAILED, Verdict.NAME_MISMATCH),
        ("E", "CPB0089", Outcome.FAILED, Verdict.NAME_MISMATCH),
        ("E", "CSAB051", Outcome.FAILED, Verdict.ACCOUNT_UNKNOWN),
        ("E", "NCB4241", Outcome.UNKNOWN, Verdict.DUPLICATE),
        ("E", "XYZ9999", Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
        ("X", "", Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
        ("", "", Outcome.NONE, Verdict.NO_REASON),
    ],
)
def test_words_on_a_payment(status: str, code: str, outcome: Outcome, verdict: Verdict) -> None:
    """Success, waiting, failure by its code; a repeat is never a failure."""
    assert line_word(status, *([Reason("ERRCOD", code)] if code else [])) == Judgement(outcome, verdict)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("业务参考号重复", Judgement(Outcome.UNKNOWN, Verdict.DUPLICATE)),
        ("该笔重复", Judgement(Outcome.UNKNOWN, Verdict.DUPLICATE)),
        ("主机处理超时", Judgement(Outcome.UNKNOWN, Verdict.TIMEOUT)),
        ("其他", Judgement(Outcome.FAILED, Verdict.NO_REASON)),
    ],
)
def test_words_without_a_code_that_free_no_payment(words: str, expected: Judgement) -> None:
    """A repeat or a time-out may stand for a payment that was made: it is not paid again."""
    assert line_word("E", Reason("ERRCOD", "", words)) == expected


@pytest.mark.parametrize(
    ("status", "reasons", "outcome", "verdict"),
    [
        ("OPR", (), Outcome.PENDING, Verdict.RECEIVED),
        ("BNK", (Reason("RTNFLG", "S"),), Outcome.PENDING, Verdict.RECEIVED),
        ("FIN", (Reason("RTNFLG", "S"),), Outcome.PENDING, Verdict.RECEIVED),
        ("FIN", (Reason("RTNFLG", "F"), Reason("ERRCOD", "", "无一笔成功入账")), Outcome.PENDING, Verdict.NO_REASON),
        ("FIN", (Reason("RTNFLG", "F"), Reason("ERRCOD", "NCB4241")), Outcome.UNKNOWN, Verdict.DUPLICATE),
        ("FIN", (Reason("RTNFLG", "R"),), Outcome.REFUSED, Verdict.NOT_ALLOWED),
        ("FIN", (Reason("RTNFLG", "D"),), Outcome.REFUSED, Verdict.NOT_ALLOWED),
        ("FIN", (Reason("RTNFLG", "C"),), Outcome.PENDING, Verdict.CANCELLED),
        ("FIN", (Reason("RTNFLG", "Z"),), Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
        ("XXX", (), Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
        ("-9", (Reason("RETCOD", "-9"),), Outcome.UNKNOWN, Verdict.BANK_FAULT),
        ("-1", (Reason("RETCOD", "-1"),), Outcome.UNKNOWN, Verdict.TIMEOUT),
        ("-77", (Reason("RETCOD", "-77"),), Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
    ],
)
def test_words_on_a_batch(status: str, reasons: tuple[Reason, ...], outcome: Outcome, verdict: Verdict) -> None:
    """A batch's payments tell for themselves, unless no person of ours let it go."""
    head = Head(kind=DocKind.ANSWER, message="NTAGCINY", status=status, reasons=reasons)
    assert ADAPTER.judge(head, None, None, Agreement()) == Judgement(outcome, verdict)
    assert ADAPTER.judge(head, Block(ref="R1", status=status, reasons=reasons), None, Agreement()) == Judgement(
        outcome, verdict
    )
