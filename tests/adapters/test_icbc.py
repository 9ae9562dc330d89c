"""PAYPER packages: golden bytes, times and zip of a sending, the client program's envelopes, the bank's words, the route."""

from __future__ import annotations

import base64
import gzip
import io
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from adapters.icbc import ADAPTER, layout, reading, route
from gateway.core.bank import Agreement, DocKind, Head, Reason, Row
from gateway.core.errors import Code, InDoubt, Malformed, NotSent, Refused
from gateway.core.route import (
    Answer,
    Asked,
    Awaited,
    Context,
    Fetched,
    NotFound,
    Post,
    SealedDocument,
    Sent,
    Take,
)
from gateway.core.settings import check_bank
from gateway.core.verdicts import Judgement, Outcome, Verdict
from tests.adapters import journeys
from tests.adapters.examples import accepted
from tests.adapters.replies import icbc as replies
from tests.adapters.suite import ADAPTERS, NOW, bank_of, line_of, read, written

GOLDEN = Path(__file__).parent / "golden" / "icbc"
PAYLOAD = written(ADAPTER)
DOCUMENT = SealedDocument(reference="R1", name="a.xml", digest="ab" * 32, size=len(PAYLOAD), kind=DocKind.PAYMENT)


# ------------------------------------------------------------------------------------------------------------- packages


def test_golden_package() -> None:
    """Four invented people, byte for byte; the times stand empty."""
    assert written(ADAPTER) == (GOLDEN / "payment.xml").read_bytes().removesuffix(b"\n")
    assert all(slot in PAYLOAD for slot in layout.SLOTS)


def test_a_sending_fills_the_times_only() -> None:
    """Day, time to the millisecond and both together; without them it is the payload again."""
    sent = layout.dated(PAYLOAD, NOW.replace(microsecond=125_000))
    times = (b"20150610", b"090000125", b"20150610090000125")
    for text in (times[2], *times[:2]):
        assert sent.count(b">%s<" % text) == 1
        sent = sent.replace(b">%s<" % text, b"><")
    assert sent == PAYLOAD


def test_zip_is_gzip_in_base64() -> None:
    """An outside reader opens it; it is read back as the same package, and the same package is packed to the same bytes."""
    packed = layout.zipped(PAYLOAD)
    assert packed == layout.zipped(PAYLOAD)
    assert b"<rd>" not in packed
    rows = gzip.decompress(base64.b64decode(packed[packed.index(b"<zip>") + 5 : packed.index(b"</zip>")]))
    assert rows.startswith(b"<rd><iSeqno>1<")
    assert read(ADAPTER, packed)[2] == read(ADAPTER, PAYLOAD)[2]


@pytest.mark.parametrize(
    "change", [lambda zip_: zip_[:-4], lambda zip_: zip_[:80] + b"AAAA" + zip_[84:], lambda _: b"", lambda _: b"eHg="]
)
def test_a_damaged_zip(change: Any) -> None:
    """Cut, changed, empty, no gzip: refused."""
    packed = layout.zipped(PAYLOAD)
    start, stop = packed.index(b"<zip>") + 5, packed.index(b"</zip>")
    with pytest.raises(Malformed):
        read(ADAPTER, packed[:start] + change(packed[start:stop]) + packed[stop:])


def test_a_zip_bomb() -> None:
    """What opens to more than the cap is not opened to its end."""
    bomb = base64.b64encode(gzip.compress(b" " * (reading.PACKAGE_BYTES_MAX + 1)))
    with pytest.raises(Malformed, match="too much"):
        read(ADAPTER, b"<CMS><eb><pub></pub><in><zip>%s</zip></in></eb></CMS>" % bomb)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (line_of(1, "张" * 31), Code.SIZE),
        (line_of(1, "张\U00020bb7三"), Code.CHARSET),
        (line_of(1, "张\t三"), Code.CHARSET),
        (line_of(1, account="9" * 35), Code.SIZE),
        (line_of(1, amount=0), Code.RANGE),
        (line_of(1, ""), Code.NAME),
    ],
)
def test_what_does_not_fit(line: Any, code: Code) -> None:
    """Names and accounts in bytes of GBK; what it lacks; nothing to pay."""
    with pytest.raises(Refused) as error:
        written(ADAPTER, [line])
    assert error.value.code is code


@pytest.mark.parametrize(
    "options", [{}, {"id": "x y"}, {"id": "a", "zip": "yes"}, {"id": "a", "sign_port": 0}, {"id": "a", "more": "b"}]
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    """The certificate's ID is asked for; ports and words are what they can be."""
    bank = bank_of(ADAPTER)
    check_bank(bank, ADAPTERS, "某市社保局")
    with pytest.raises(Refused, match="format_options"):
        check_bank(msgspec.structs.replace(bank, format_options=options), ADAPTERS, "某市社保局")


def test_the_example_of_the_page_is_accepted(tmp_path: Path) -> None:
    """The [[bank]] of the README, as a whole configuration."""
    accepted(ADAPTER.code, tmp_path)


# ------------------------------------------------------------------------------------------------------------- answers


def read_of(answer: Answer) -> tuple[Head, list[Row]]:
    """An answer of the client program, read."""
    head, _, rows, _ = read(ADAPTER, reading.unwrapped(answer.body))
    return head, rows


def test_declared_gb2312_is_read_as_gbk() -> None:
    """珺 is in GBK and not in GB2312; every public client reads it so."""
    text = replies.package("QPAYPER", "Q1", f"<out>{replies.detail(1, 7, '7')}</out>").replace("张三", "王珺")
    _, rows = read_of(replies.wrapped(text))
    assert rows[0].name == "王珺"


def test_what_became_of_a_package() -> None:
    """Our key in ERPSqn and Ref, the bank's number, words and codes as written."""
    more = (
        "<iRetCode>0</iRetCode><iRetMsg></iRetMsg><instrRetCode>1234</instrRetCode><instrRetMsg>户名不符</instrRetMsg>"
    )
    head, rows = read_of(
        replies.asked(
            "R1", replies.detail(1, 1433899200000001, "7", asked=True), replies.detail(2, "", "6", more, asked=True)
        )
    )
    assert (head.kind, head.original, head.status) == (DocKind.ANSWER, "R1", "0")
    assert [(row.ref, row.amount, row.status, row.bank_ref) for row in rows] == [
        ("1433899200000001", 184000, "7", "1"),
        ("#2", 184000, "6", "2"),
    ]
    assert rows[1].reasons == (Reason("instrRetCode", "1234", "户名不符"),)
    head, rows = read_of(replies.taken("R1"))
    assert (head.kind, head.original, len(rows)) == (DocKind.RESULT, "R1", 1)
    head, rows = read_of(replies.refused("PAYPER", "B0012", "指令包序列号为空或重复"))
    assert (head.kind, head.original, head.status, rows) == (DocKind.RECEIPT, "R1", "B0012", [])


@pytest.mark.parametrize(
    "body", [b"", b"errorCode=-1", b"reqData=!", b"reqData=QUJ", b"<CMS></CMS>", "系统提示".encode("gbk")]
)
def test_no_envelope(body: bytes) -> None:
    """Only reqData= and whole base64 is an answer."""
    with pytest.raises(Malformed):
        reading.unwrapped(body)


@pytest.mark.parametrize(
    "text",
    [
        "<CMS><eb></eb></CMS>",
        "<CMS><eb><in><rd><PayAmt>1</PayAmt></rd></in><pub></pub></eb></CMS>",
        "<CMS><eb><pub></pub><pub></pub></eb></CMS>",
        "<CMS><eb><pub><RetCode>0</RetCode><RetCode>1</RetCode></pub></eb></CMS>",
        "<CMS><eb><pub><TransCode>QPAYPER</TransCode></pub><rd><PayAmt>1</PayAmt></rd></eb></CMS>",
        "<CMS><eb><pub><RetCode>0</RetCode></pub><out><rd><PayAmt>1.00</PayAmt></rd></out></eb></CMS>",
        "<CMS><eb><pub><TransCode>PAYPER</TransCode></pub><in><TotalNum>2</TotalNum><TotalAmt>1</TotalAmt><rd><PayAmt>1</PayAmt></rd></in></eb></CMS>",
        "<eb><pub></pub></eb>",
    ],
)
def test_other_shapes_are_refused(text: str) -> None:
    """pub first and once, payments inside in or out, fen without a point, totals that agree."""
    with pytest.raises(Malformed):
        list(ADAPTER.read(io.BytesIO(text.encode())))


# ------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("result", "code", "outcome", "verdict"),
    [
        *(
            (number, "", Outcome.PENDING, Verdict.RECEIVED)
            for number in ("0", "1", "2", "3", "4", "5", "9", "10", "20", "86")
        ),
        ("7", "", Outcome.PAID, Verdict.PAID),
        ("6", "", Outcome.FAILED, Verdict.NO_REASON),
        ("6", "0", Outcome.FAILED, Verdict.NO_REASON),
        ("6", "1234", Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
        ("6", "B0012", Outcome.UNKNOWN, Verdict.DUPLICATE),
        ("8", "", Outcome.FAILED, Verdict.NOT_ALLOWED),
        ("11", "", Outcome.FAILED, Verdict.CANCELLED),
        ("95", "", Outcome.UNKNOWN, Verdict.TIMEOUT),
        ("98", "", Outcome.UNKNOWN, Verdict.TIMEOUT),
        ("77", "", Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
        ("", "", Outcome.NONE, Verdict.NO_REASON),
    ],
)
def test_words_on_a_payment(result: str, code: str, outcome: Outcome, verdict: Verdict) -> None:
    """The table of Result; a code that no table has is not guessed."""
    row = Row("1", 1, "CNY", result, (Reason("instrRetCode", code),) if code else ())
    head = Head(kind=DocKind.ANSWER, message="QPAYPER", status="0")
    assert ADAPTER.judge(head, None, row, Agreement()) == Judgement(outcome, verdict)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("指令重复", Judgement(Outcome.UNKNOWN, Verdict.DUPLICATE)),
        ("通讯超时", Judgement(Outcome.UNKNOWN, Verdict.TIMEOUT)),
        ("其他", Judgement(Outcome.FAILED, Verdict.NO_REASON)),
    ],
)
def test_words_without_a_code_that_free_no_payment(words: str, expected: Judgement) -> None:
    """A repeat or a time-out may stand for a payment that was made: it is not paid again."""
    row = Row("1", 1, "CNY", "6", (Reason("instrRetCode", "", words),))
    head = Head(kind=DocKind.ANSWER, message="QPAYPER", status="0")
    assert ADAPTER.judge(head, None, row, Agreement()) == expected


@pytest.mark.parametrize(
    ("code", "outcome", "verdict"),
    [
        ("0", Outcome.PENDING, Verdict.RECEIVED),
        ("B0012", Outcome.UNKNOWN, Verdict.DUPLICATE),
        ("B0116", Outcome.UNKNOWN, Verdict.NOT_FOUND),
        ("B9999", Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
    ],
)
def test_words_on_a_package(code: str, outcome: Outcome, verdict: Verdict) -> None:
    """Taken, repeated, not there; all else is unknown."""
    head, _ = read_of(replies.refused("PAYPER", code, "x"))
    assert ADAPTER.judge(head, None, None, Agreement()) == Judgement(outcome, verdict)


# ------------------------------------------------------------------------------------------------------------- the route


def context(*, waits: int = 0, **options: Any) -> Context:
    """Of a bank with these options."""
    bank = bank_of(ADAPTER)
    bank = msgspec.structs.replace(bank, format_options={**bank.format_options, **options})
    return Context(
        bank=bank, now=NOW, awaited=(Awaited(document=DOCUMENT, cursor="", sent=NOW.replace(hour=1)),) * waits
    )


walk = partial(journeys.walk, PAYLOAD)


@pytest.mark.parametrize("zip_", [False, True])
def test_signed_then_sent(zip_: bool) -> None:
    """The sign port gets the dated package, the other port the form with the signature; the bank's word goes through the door."""
    end, asked = walk(route.submit(DOCUMENT, context(zip=zip_)), replies.SIGNED, replies.taken("R1"))
    assert end == Sent(DOCUMENT.digest)
    sign, send, take = asked
    assert isinstance(sign, Post)
    assert (sign.path, sign.content_type, sign.port, sign.final) == ("/", "INFOSEC_SIGN/1.0", 449, False)
    assert (b"<zip>" in sign.body) == zip_
    assert b"<SignTime>20150610090000000</SignTime>" in sign.body
    assert isinstance(send, Post)
    assert (send.port, send.final, send.once) == (0, True, "R1")
    assert urlsplit(send.path).path == "/servlet/ICBCCMPAPIReqServlet"
    assert parse_qs(urlsplit(send.path).query) == {
        "userID": ["example.y.4400"],
        "PackageID": ["R1"],
        "SendTime": ["20150610090000000"],
    }
    form = {name: values[0] for name, values in parse_qs(send.body.decode(), keep_blank_values=True).items()}
    assert form.pop("zipFlag", "") == ("1" if zip_ else "")
    assert form == {
        "Version": "0.0.1.0", "TransCode": "PAYPER", "BankCode": "102", "GroupCIS": "440600001", "ID": "example.y.4400",
        "PackageID": "R1", "Cert": "", "reqData": "TUlJQUFB",
    }  # fmt: skip
    assert isinstance(take, Take)
    assert (take.about, take.body[:5]) == ("R1", b"<?xml")


@pytest.mark.parametrize(
    "strange",
    [
        Answer(500, replies.SIGNED.body),
        Answer(200, b"<html><head><result>-1</result></head><body>no card</body></html>"),
        Answer(200, b"<html><head><result>0</result></head><body></body></html>"),
        Answer(200, b"<html><head><result>0</result></head><body><sign>&lt;x</sign></body></html>"),
    ],
)
def test_not_signed_is_not_sent(strange: Answer) -> None:
    """Nothing has left the bureau's network."""
    with pytest.raises(NotSent):
        walk(route.submit(DOCUMENT, context()), strange)


@pytest.mark.parametrize(
    "strange",
    [
        replies.refused("PAYPER", "B0012", "指令包序列号为空或重复"),
        replies.refused("PAYPER", "B9999", "x"),
        Answer(200, b"errorCode=-1"),
        Answer(500, replies.taken("R1").body),
        replies.taken("R2"),
        Answer(200, b"reqData=" + base64.b64encode(b"<CMS>")),
    ],
)
def test_every_other_answer_is_a_doubt(strange: Answer) -> None:
    """A repeat, an unknown code, the client program's own error, another status, another package, no package."""
    with pytest.raises(InDoubt):
        walk(route.submit(DOCUMENT, context()), replies.SIGNED, strange)


def test_asking() -> None:
    """The bank has it, has nothing under the number, or gives no answer."""
    row = replies.detail(1, 7, "7", asked=True)
    assert walk(route.inquire(DOCUMENT, context()), replies.asked("R1", row))[0] == Asked()
    assert (
        walk(route.inquire(DOCUMENT, context()), replies.refused("QPAYPER", "B0116", "没有符合条件的记录"))[0]
        == NotFound()
    )
    for strange in (replies.asked("R1"), replies.refused("QPAYPER", "B9999", "x"), Answer(200, b"errorCode=-1")):
        with pytest.raises(NotSent):
            walk(route.inquire(DOCUMENT, context()), strange)


def test_results() -> None:
    """Each awaited package is asked about under a number of its own, in the open."""
    row = replies.detail(1, 7, "7", asked=True)
    end, asked = walk(route.fetch(context(waits=2)), replies.asked("R1", row), replies.asked("R1", row))
    assert end == Fetched(2, 300)
    forms = [parse_qs(request.body.decode()) for request in asked if isinstance(request, Post)]
    assert len({form["PackageID"][0] for form in forms}) == 2
    assert all("<QryfSeqno>R1</QryfSeqno>" in form["reqData"][0] for form in forms)


def test_one_that_is_not_answered_keeps_no_other_from_being_asked_about() -> None:
    """A code for the first package alone would hide the results of all that were sent after it; where nothing came of it, the lane waits."""
    row, no = replies.detail(1, 7, "7", asked=True), replies.refused("QPAYPER", "B9999", "x")
    assert walk(route.fetch(context(waits=2)), no, replies.asked("R1", row))[0] == Fetched(1, 300)
    with pytest.raises(NotSent, match="B9999"):
        walk(route.fetch(context(waits=2)), no, no)
