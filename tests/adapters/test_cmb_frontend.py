"""The front-end's messages: golden bytes, parts, the published samples, the bank's words, and the doubt in the middle of a batch."""

from __future__ import annotations

import io
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.cmb_frontend import ADAPTER, route
from gateway.core.bank import Agreement, Block, DocKind, Head, Reason, Row
from gateway.core.errors import Code, InDoubt, Malformed, NotSent, Refused
from gateway.core.route import (
    Answer,
    Asked,
    Awaited,
    Context,
    Fetched,
    NotFound,
    Post,
    Read,
    Request,
    Save,
    SealedDocument,
    Sent,
    Take,
)
from gateway.core.settings import check_bank
from gateway.core.verdicts import Judgement, Outcome, Verdict
from tests.adapters.examples import accepted
from tests.adapters.replies import cmb_frontend as replies
from tests.adapters.suite import ADAPTERS, NOW, bank_of, line_of, read, written

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
    end, _ = walk(route.submit(DOCUMENT, context("0099960770/1")), Answer(200, b"\n" + replies.taken().body + b"\n"))
    assert end == Sent(DOCUMENT.digest)


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


# ------------------------------------------------------------------------------------------------------------- the route

PAYLOAD = replies.payload(DocKind.PAYMENT)
DOCUMENT = SealedDocument(reference="R1", name="a.xml", digest="ab" * 32, size=len(PAYLOAD), kind=DocKind.PAYMENT)


def context(cursor: str = "", *, waits: bool = False) -> Context:
    """Of a bank with one debit account."""
    bank = msgspec.structs.replace(bank_of(ADAPTER), debit_accounts={"pension": "755900008010306"})
    awaited = (Awaited(document=DOCUMENT, cursor=cursor, sent=NOW.replace(hour=1)),) if waits else ()
    return Context(bank=bank, now=NOW, cursor=cursor, awaited=awaited)


def walk(generator: Generator[Request, Any, object], *answers: Answer) -> tuple[object, list[Request]]:
    """The end of a route that gets these answers to its Posts, and what it asked for besides reading."""
    waiting = list(answers)
    asked: list[Request] = []
    reply: Any = None
    try:
        while True:
            request = generator.send(reply)
            if isinstance(request, Read):
                reply = PAYLOAD[request.offset : request.offset + request.size]
                continue
            asked.append(request)
            reply = waiting.pop(0) if isinstance(request, Post) else isinstance(request, Take) or None
    except StopIteration as end:
        return end.value, asked


def sent_parts(asked: list[Request]) -> list[bytes]:
    """Bodies of the parts that left."""
    return [request.body for request in asked if isinstance(request, Post) and request.final]


def test_the_number_is_carried_on() -> None:
    """The first part without it, the second with the bank's; nothing else differs from the payload."""
    end, asked = walk(route.submit(DOCUMENT, context()), replies.taken(), replies.taken(state="NTE"))
    assert end == Sent(DOCUMENT.digest)
    first, second = sent_parts(asked)
    number = b"<REQNBR>0099960770</REQNBR>"
    assert [first, second.replace(number, b"<REQNBR></REQNBR>")] == PAYLOAD.split(b"\n")
    assert [request.cursor for request in asked if isinstance(request, Save)] == ["0099960770/1", "0099960770/2"]
    assert [request.about for request in asked if isinstance(request, Take)] == ["R1"]


def test_it_goes_on_from_the_cursor() -> None:
    """What the bank confirmed is not sent again."""
    end, asked = walk(route.submit(DOCUMENT, context("0099960770/1")), replies.taken(state="NTE"))
    assert end == Sent(DOCUMENT.digest)
    (second,) = sent_parts(asked)
    assert b"<ENDTAG>Y</ENDTAG><REQNBR>0099960770</REQNBR>" in second


@pytest.mark.parametrize("code", ["-3", "-4", "-5", "-6", "-7"])
def test_what_was_surely_not_executed(code: str) -> None:
    """These prove it for the first part; after another part has left they leave a doubt, and so do words of a repeat."""
    with pytest.raises(NotSent, match=f"RETCOD {code} 尚未"):
        walk(route.submit(DOCUMENT, context()), replies.answer("NTAGCAPY", "", code, "尚未登录系统"))
    with pytest.raises(InDoubt):
        walk(route.submit(DOCUMENT, context()), replies.taken(), replies.answer("NTAGCAPY", "", code))
    with pytest.raises(InDoubt):
        walk(route.submit(DOCUMENT, context()), replies.answer("NTAGCAPY", "", code, "业务参考号重复"))


@pytest.mark.parametrize(
    "strange",
    [
        *(replies.answer("NTAGCAPY", "", code) for code in ("-1", "-2", "-9", "-8", "")),
        replies.answer("NTAGCAPY", ""),
        replies.taken(""),
        replies.taken("</REQNBR>"),
        replies.answer("NTAGCAPY", "<NTAGCAGCZ1><REQNBR>1</REQNBR><ERRCOD>NCB4241</ERRCOD></NTAGCAGCZ1>"),
        Answer(500, replies.taken().body),
    ],
)
def test_everything_else_is_a_doubt(strange: Answer) -> None:
    """Other codes, no number, an error beside the number, another status of HTTP."""
    with pytest.raises(InDoubt):
        walk(route.submit(DOCUMENT, context()), strange)


def test_a_part_under_another_number_is_a_doubt() -> None:
    """Two numbers would be two batches."""
    with pytest.raises(InDoubt, match="'1'"):
        walk(route.submit(DOCUMENT, context()), replies.taken(), replies.taken("1"))


def test_the_bank_holds_the_first_part() -> None:
    """Lost in the middle: what the bank lists is exactly the first part, so the route goes on behind it."""
    receiving = replies.batch("R1", "OPR", "")
    pages = (replies.details(1, 1_000, "00001001"), replies.details(1_001, 3_000))
    end, asked = walk(route.inquire(DOCUMENT, context()), receiving, *pages)
    assert end == NotFound()
    assert [request.cursor for request in asked if isinstance(request, Save)] == ["0099960770/1"]
    assert b"<TRXSEQ>00001001</TRXSEQ>" in next(r for r in reversed(asked) if isinstance(r, Post)).body


def test_the_bank_holds_all_of_it() -> None:
    """Then its answer goes through the door."""
    end, asked = walk(
        route.inquire(DOCUMENT, context("0099960770/1")), replies.batch("R1", "OPR", ""), replies.details(1, 3_005)
    )
    assert end == Asked()
    assert [type(request) for request in asked[-2:]] == [Save, Take]


@pytest.mark.parametrize(
    ("cursor", "held"),
    [("", (1, 2)), ("", (2, 3_001)), ("0099960770/1", (1, 2)), ("0099960771/1", (1, 3_000))],
)
def test_anything_else_stays_in_doubt(cursor: str, held: tuple[int, int]) -> None:
    """No whole part, another beginning, less than was confirmed, another batch."""
    with pytest.raises(InDoubt):
        walk(route.inquire(DOCUMENT, context(cursor)), replies.batch("R1", "OPR", ""), replies.details(*held))


def test_no_list_has_it() -> None:
    """Every day since it was made is asked for, a week at a time; then it begins anew."""
    document = msgspec.structs.replace(DOCUMENT, reference="BANKA2015060100001")
    end, asked = walk(route.inquire(document, context("0099960770/1")), *[replies.answer("NTAGCINY", "")] * 2)
    assert end == NotFound()
    assert [request.cursor for request in asked if isinstance(request, Save)] == [""]
    days = [request.body for request in asked if isinstance(request, Post)]
    assert [b"20150601</BGNDAT><ENDDAT>20150607" in days[0], b"20150608</BGNDAT><ENDDAT>20150610" in days[1]] == [
        True,
        True,
    ]


def test_lists_that_do_not_reach_back_say_nothing() -> None:
    """The bank lists 90 days: of an older batch nobody knows by them that it is not there."""
    document = msgspec.structs.replace(DOCUMENT, reference="BANKA2015031100001")
    with pytest.raises(NotSent, match="older"):
        walk(route.inquire(document, context()), *[replies.answer("NTAGCINY", "")] * 13)
    document = msgspec.structs.replace(DOCUMENT, reference="BANKA2015031300001")
    assert walk(route.inquire(document, context()), *[replies.answer("NTAGCINY", "")] * 13)[0] == NotFound()


def test_one_that_is_not_answered_keeps_no_other_from_being_asked_about() -> None:
    """Nor the returns; where nothing came of it, the lane waits and asks again."""
    asking = context(waits=True)
    asking = msgspec.structs.replace(asking, awaited=asking.awaited * 2)
    no, nothing = replies.answer("NTAGCINY", "", "-2", "x"), replies.answer("NTAGDRFD", "")
    told = (replies.batch("R1", "FIN", "S"), replies.details(1, 3))
    assert walk(route.fetch(asking), no, *told, nothing)[0] == Fetched(2, 300)
    with pytest.raises(NotSent, match="RETCOD -2"):
        walk(route.fetch(asking), no, no, nothing)


def test_results_page_by_page_and_returns() -> None:
    """A finished batch: its word, each page of payments, and what came back to the account."""
    answers = (
        replies.batch("R1", "FIN", "S"),
        replies.details(1, 2, "00000003"),
        replies.details(3, 3),
        replies.answer("NTAGDRFD", "<NTAGDRFDZ1><TRSAMT>0.03</TRSAMT></NTAGDRFDZ1>"),
    )
    end, asked = walk(route.fetch(context(waits=True)), *answers)
    assert end == Fetched(4, 300)
    names = [(request.name.split("_")[0], request.about) for request in asked if isinstance(request, Take)]
    assert names == [("NTAGCINY", "R1"), ("NTAGDINF1", "R1"), ("NTAGDINF2", "R1"), ("NTAGDRFD", "")]


def test_nothing_is_asked_too_early_or_of_a_batch_under_way() -> None:
    """Five minutes after sending at the earliest; payments only once the batch is finished."""
    early = msgspec.structs.replace(context(waits=True), now=NOW.replace(hour=1, minute=4))
    assert walk(route.fetch(early), replies.answer("NTAGDRFD", ""))[0] == Fetched(0, 300)
    end, asked = walk(route.fetch(context(waits=True)), replies.batch("R1", "BNK", ""), replies.answer("NTAGDRFD", ""))
    assert end == Fetched(0, 300)
    assert not any(isinstance(request, Take) for request in asked)


def test_pages_that_never_end() -> None:
    """The same place twice ends the asking; nothing of it is taken in."""
    again = [replies.details(1, 2, "00000001")] * 3
    with pytest.raises(NotSent, match="same place"):
        walk(
            route.fetch(context(waits=True)),
            replies.batch("R1", "FIN", "S"),
            *again[:2],
            replies.answer("NTAGDRFD", ""),
        )
