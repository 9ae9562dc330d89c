"""The front-end's conversation: parts under one number, the doubt in the middle of a batch, and the questions afterwards."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from adapters.cmb_frontend import ADAPTER, route
from gateway.core.bank import DocKind
from gateway.core.errors import InDoubt, NotSent
from gateway.core.route import (
    Answer,
    Asked,
    Awaited,
    Context,
    Fetched,
    NotFound,
    Post,
    Request,
    Save,
    SealedDocument,
    Sent,
    Take,
)
from tests.adapters import journeys
from tests.adapters.replies import cmb_frontend as replies
from tests.adapters.suite import NOW, bank_of

PAYLOAD = replies.payload(DocKind.PAYMENT)
DOCUMENT = SealedDocument(reference="R1", name="a.xml", digest="ab" * 32, size=len(PAYLOAD), kind=DocKind.PAYMENT)


def context(cursor: str = "", *, waits: bool = False) -> Context:
    """Of a bank with one debit account."""
    bank = msgspec.structs.replace(bank_of(ADAPTER), debit_accounts={"pension": "755900008010306"})
    awaited = (Awaited(document=DOCUMENT, cursor=cursor, sent=NOW.replace(hour=1)),) if waits else ()
    return Context(bank=bank, now=NOW, cursor=cursor, awaited=awaited)


walk = partial(journeys.walk, PAYLOAD)


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


def test_an_empty_line_around_an_answer() -> None:
    """It is none of the answer."""
    end, _ = walk(route.submit(DOCUMENT, context("0099960770/1")), Answer(200, b"\n" + replies.taken().body + b"\n"))
    assert end == Sent(DOCUMENT.digest)


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
    """Every day since it was made is asked for, a week at a time. What the bank once confirmed in part is not begun anew on its silence."""
    document = msgspec.structs.replace(DOCUMENT, reference="BANKA2015060100001")
    nothing = [replies.answer("NTAGCINY", "")] * 2
    end, asked = walk(route.inquire(document, context()), *nothing)
    assert end == NotFound()
    with pytest.raises(InDoubt, match="took 1 parts under the number 0099960770"):
        walk(route.inquire(document, context("0099960770/1")), *nothing)
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
