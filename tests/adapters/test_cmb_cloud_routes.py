"""The CDC cloud's routes: the number that is carried on, envelopes renewed around bodies that never change, and what a doubt leads to."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from adapters.cmb_cloud import envelope
from adapters.cmb_cloud.layout import PER_PART
from adapters.cmb_cloud.route import PAGES_MAX, Cursor, fetch, inquire, submit
from gateway.core.bank import Bank, DocKind
from gateway.core.errors import InDoubt, NotSent, SheyinError
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
    Wait,
)
from tests.adapters.replies.cmb_cloud import MARKED, batch, details, payload, said
from tests.adapters.suite import ADAPTERS, NOW, bank_of

BANK: Bank = bank_of(ADAPTERS["cmb_cloud"])
DATA = payload(DocKind.PAYMENT)
DOCUMENT = SealedDocument(reference="R1", name="a.jsonl", digest="ab" * 32, size=len(DATA), kind=DocKind.PAYMENT)
ENDS = [index + 1 for index, byte in enumerate(DATA) if byte == 10]


def drive(route: Any, replies: list[Answer], data: bytes = DATA) -> tuple[list[Request], object]:
    """Everything asked for, and the result or the error; Encrypt and Open hide nothing."""
    requests: list[Request] = []
    answers = iter(replies)
    reply: Any = None
    while True:
        try:
            request = route.send(reply)
        except StopIteration as end:
            return requests, end.value
        except SheyinError as error:
            return requests, error
        requests.append(request)
        reply = None
        if isinstance(request, Read):
            reply = data[request.offset : request.offset + request.size]
        elif isinstance(request, Post):
            reply = next(answers)
        elif isinstance(request, Take):
            reply = True
        elif type(request).__name__ in ("Encrypt", "Open"):
            reply = request.data
        elif type(request).__name__ == "Sign":
            reply = b"s" * 64


def context(cursor: str = "") -> Context:
    """At some time, somewhere in the Document."""
    return Context(bank=BANK, now=NOW, cursor=cursor)


def posted(requests: list[Request]) -> list[dict[str, Any]]:
    """What the forms held."""
    found = []
    for request in requests:
        if isinstance(request, Post):
            hidden = envelope.hidden_in(parse_qs(request.body.decode())["DATA"][0].encode())
            found.append(json.loads(hidden))
    return found


TAKEN = said("BB6BTHHL", {"bb6cdcbhz1": [{"reqnbr": MARKED, "reqsta": "OPR"}]})


def test_the_number_is_carried_on_and_the_cursor_says_where() -> None:
    """Empty in the first part, the bank's in the others; saved after each but the last, whose reply is the receipt."""
    requests, result = drive(submit(DOCUMENT, context()), [TAKEN] * 3)
    assert result == Sent(DOCUMENT.digest)
    assert [message["request"]["body"]["bb6cdcbhx1"][0]["reqnbr"] for message in posted(requests)] == [
        "",
        MARKED,
        MARKED,
    ]
    assert [request.cursor for request in requests if isinstance(request, Save)] == [
        f"2:{ENDS[0]}:{MARKED}",
        f"3:{ENDS[1]}:{MARKED}",
    ]
    (taken,) = [request for request in requests if isinstance(request, Take)]
    assert taken.about == "R1"
    assert [request.once for request in requests if isinstance(request, Post)] == ["R1-1", "R1-2", "R1-3"]


def test_only_the_envelope_is_renewed() -> None:
    """An hour later: another time and request id, the very same body."""
    first, again = (
        posted(drive(submit(DOCUMENT, Context(bank=BANK, now=now)), [TAKEN] * 3)[0])
        for now in (NOW, NOW.replace(hour=11))
    )
    assert [one["request"]["body"] for one in first] == [one["request"]["body"] for one in again]
    assert first[0]["signature"]["sigtim"] != again[0]["signature"]["sigtim"]
    assert first[0]["request"]["head"]["reqid"] != again[0]["request"]["head"]["reqid"]


@pytest.mark.parametrize(
    "answer",
    [
        said("BB6BTHHL", {}, "FABZ002"),
        said("BB6BTHHL", {"bb6cdcbhz1": []}),
        said("BB6BTHHL", {"bb6cdcbhz1": [{"reqnbr": "OTHER", "reqsta": "OPR"}]}),
        said("BB6BTHHL", {"bb6cdcbhz1": "x"}),
        said("BB6BPDQY", {"bb6bpdqyz1": [batch("OPR")]}),
        said("BB1PAYBH", {"bb1paybhz1": [{"bthNbr": "R1", "reqSts": "OPR"}]}),
        said("BB6BTHHL", {"bb6cdcbhz1": [{"reqnbr": MARKED, "reqsta": "OPR"}]}, reqid="20150610090000000R1001"),
        Answer(500, b"CDCServer:busy"),
    ],
)
def test_anything_but_taken_is_a_doubt(answer: Answer) -> None:
    """In the second part: another code, no number, another number, another shape, the answer to a question, to another function, to the
    part before, plain text. Nothing more leaves."""
    requests, result = drive(submit(DOCUMENT, context()), [TAKEN, answer])
    assert isinstance(result, InDoubt)
    assert len(posted(requests)) == 2


def listing(state: str, last: int) -> Answer:
    """The bank's list of the batch up to a payment."""
    return said("BB6BPDQY", {"bb6bpdqyz1": [batch(state)], "bb6bpdqyz2": details(1, last, "A")})


def of_batch(**other: str) -> Answer:
    """The first part, listed for a batch that is called otherwise."""
    return said("BB6BPDQY", {"bb6bpdqyz1": [batch("OPR") | other], "bb6bpdqyz2": details(1, PER_PART, "A")})


AT2, AT3 = f"2:{ENDS[0]}:{MARKED}", f"3:{ENDS[1]}:{MARKED}"


@pytest.mark.parametrize(
    ("cursor", "answer", "saved", "result"),
    [
        ("", said("BB6BPDQY", {}), None, NotFound),
        ("", listing("OPR", PER_PART), AT2, NotFound),
        ("", listing("OPR", 0), None, NotSent),
        (AT2, listing("OPR", PER_PART), None, NotFound),
        (AT2, listing("OPR", 2 * PER_PART), AT3, NotFound),
        (AT2, said("BB6BPDQY", {}), None, InDoubt),
        (AT3, listing("OPR", 2 * PER_PART), None, NotFound),
        ("", listing("OPR", PER_PART - 1), None, InDoubt),
        ("", listing("OPR", 2 * PER_PART), None, InDoubt),
        (AT3, listing("OPR", PER_PART), None, InDoubt),
        ("", of_batch(yurref="R2"), None, InDoubt),
        (AT2, of_batch(reqnbr="OTHER"), None, InDoubt),
        ("", of_batch(reqnbr=""), None, InDoubt),
        ("", said("BB6BPDQY", {}, reqid="20150610085900000R1Q000"), None, NotSent),
        (AT3, listing("OPR", 2_500), None, Asked),
        (AT3, listing("BNK", 2_500), None, Asked),
        ("", listing("FIN", 2_500), None, Asked),
        (AT2, said("BB6BPDQY", {}, "FABZ002"), None, NotSent),
        (AT2, Answer(502, b"<html>"), None, NotSent),
    ],
)
def test_what_a_doubt_leads_to(cursor: str, answer: Answer, saved: str | None, result: type) -> None:
    """By the bank's list alone: not arrived, arrived without a reply, whole, contradicted, about another batch, or no answer."""
    requests, found = drive(inquire(DOCUMENT, context(cursor)), [answer])
    assert isinstance(found, result), found
    assert [request.cursor for request in requests if isinstance(request, Save)] == ([saved] if saved else [])
    assert any(isinstance(request, Take) for request in requests) == (result is Asked)
    assert not any(request.final for request in requests if isinstance(request, Post))


def test_a_list_without_its_end_proves_nothing() -> None:
    """What stands on a page that never comes would be taken for not arrived, and leave again."""
    more = {"bb6bpdqyy1": [{"bthnbr": "B1", "trxseq": "00000001"}]}
    again = said("BB6BPDQY", {"bb6bpdqyz1": [batch("OPR")], "bb6bpdqyz2": details(1, PER_PART, "A"), **more})
    requests, found = drive(inquire(DOCUMENT, context(AT2)), [again] * 2)
    assert isinstance(found, NotSent), found
    assert len(posted(requests)) == 2
    pages = [
        said("BB6BPDQY", {"bb6bpdqyz1": [batch("OPR")], "bb6bpdqyy1": [{"bthnbr": "B1", "trxseq": f"{nth:08d}"}]})
        for nth in range(PAGES_MAX)
    ]
    assert isinstance(drive(inquire(DOCUMENT, context()), pages)[1], NotSent)


def test_cursors_come_back_from_their_text() -> None:
    """A number may hold anything but is the last."""
    assert Cursor.of("2:17:A:B") == Cursor(2, 17, "A:B")
    assert Cursor.of("") == Cursor()
    assert Cursor.of(str(Cursor(3, 9, ""))) == Cursor(3, 9, "")


def test_an_amendment_names_the_banks_own_number() -> None:
    """Looked up on its list by the account; an addition has none; what is not on the list does not leave."""
    data = payload(DocKind.WHITELIST)
    document = msgspec.structs.replace(DOCUMENT, kind=DocKind.WHITELIST, size=len(data))
    listed = said("BAKQRYRVL", {"BAKRVLIN2Y": [{"yCrtSqn": "CMB0000001", "yCrtAcc": "9900010000000000025   "}]})
    taken = said("BAKOPRRVL", {"BAKOPRRTNZ": [{"reqNbr": "BAK1", "reqSta": "AUT"}]})
    requests, result = drive(submit(document, context()), [listed, taken], data)
    assert result == Sent(document.digest)
    entries = posted(requests)[1]["request"]["body"]["BAKOPRRVLX1"]
    assert [(entry["oprTyp"], entry["crtSqn"]) for entry in entries] == [("A", ""), ("D", "CMB0000001")]
    requests, result = drive(submit(document, context()), [said("BAKQRYRVL", {})], data)
    assert isinstance(result, NotSent)
    assert len(posted(requests)) == 1


def test_one_that_is_not_answered_keeps_no_other_from_being_asked_about() -> None:
    """Unless the bank answers nothing at all: then the lane waits before it asks again."""
    sent = NOW.replace(day=9)
    awaited = tuple(
        Awaited(document=msgspec.structs.replace(DOCUMENT, reference=name), cursor="", sent=sent)
        for name in ("R0", "R1")
    )
    finished = said("BB6BPDQY", {"bb6bpdqyz1": [batch("FIN", rtnflg="S")], "bb6bpdqyz2": details(1, 2_500)})
    asking = msgspec.structs.replace(context(), awaited=awaited)
    requests, result = drive(fetch(asking), [Answer(500, b"ErrMsg: busy"), finished])
    assert result == Fetched(1, 300)
    assert [request.about for request in requests if isinstance(request, Take)] == ["R1"]
    assert [request.seconds for request in requests if isinstance(request, Wait)] == [2]
    _, result = drive(fetch(asking), [Answer(500, b"ErrMsg: busy")] * 2)
    assert isinstance(result, NotSent)


def test_nobody_is_asked_too_early() -> None:
    """Five minutes after sending at the soonest, and when the first is due."""
    awaited = (Awaited(document=DOCUMENT, cursor="", sent=NOW.replace(hour=8, minute=57)),)
    requests, result = drive(fetch(msgspec.structs.replace(context(), awaited=awaited)), [])
    assert (requests, result) == ([], Fetched(0, 120))
    assert drive(fetch(context()), []) == ([], Fetched(0))
