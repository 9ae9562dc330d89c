"""The conversation with the B2Bi client: what each command says, in which order, and where a doubt begins."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from adapters.pingan import ADAPTER, packet
from gateway.core.bank import Bank, DocKind, WireKind
from gateway.core.errors import InDoubt, NotSent
from gateway.core.route import (
    Answer,
    Asked,
    Awaited,
    Context,
    Fetched,
    Post,
    Put,
    Read,
    Request,
    SealedDocument,
    Sent,
    Stat,
    Take,
    Wait,
)
from tests.adapters.journeys import HOSTILE
from tests.adapters.replies.pingan import AGAIN, reply
from tests.adapters.suite import LINES, NOW, bank_of, written

ROUTES = ADAPTER.routes[WireKind.HTTPS]
BATCH = written(ADAPTER)
SINGLE = written(ADAPTER, [LINES[0]])
ORDER = str(LINES[0].key)


def bank(**options: str) -> Bank:
    """The client on a machine of ours, over plain HTTP."""
    given = msgspec.structs.replace(bank_of(ADAPTER), wire_options={"url": "http://127.0.0.1", "plain": True})
    return msgspec.structs.replace(given, format_options=options)


def document(payload: bytes) -> SealedDocument:
    """As sealed."""
    digest = hashlib.sha256(payload).hexdigest()
    return SealedDocument(reference="R1", name="R1.txt", digest=digest, size=len(payload), kind=DocKind.PAYMENT)


class Drive:
    """A route with a bank that answers each command from a list."""

    def __init__(self, route: Generator[Request, Any, Any], payload: bytes, **answers: list[Answer]) -> None:
        self.route, self.payload, self.answers = route, payload, answers
        self.asked: list[Request] = []

    def end(self) -> Any:
        """The result; raises what the route raises."""
        answer: Any = None
        while True:
            try:
                request = self.route.send(answer)
            except StopIteration as stop:
                return stop.value
            self.asked.append(request)
            answer = self.answer(request)

    def answer(self, request: Request) -> Any:
        """As the wire would."""
        match request:
            case Read():
                return self.payload[request.offset : request.offset + request.size]
            case Post():
                return self.answers[packet.read(request.body).transaction].pop(0)
            case Stat():
                return request.size or 1
            case Put() | Wait() | Take():
                return True
        raise AssertionError(request)

    def posts(self) -> list[tuple[str, dict[str, str], bool]]:
        """(command, what it says, whether money may move)."""
        found = []
        for request in self.asked:
            if isinstance(request, Post):
                read = packet.read(request.body)
                found.append((read.transaction, dict(read.leaves), request.final))
        return found


def good(transaction: str, **leaves: str) -> Answer:
    """A reply that says yes."""
    return Answer(200, reply(transaction, leaves), "text/xml")


def batch(*last: Answer) -> Drive:
    """A submission of a batch up to the answer to KHKF01."""
    options = {"corp_id": "Q1", "upload": "D:\\up", "busi_type": "00001"}
    return Drive(
        ROUTES.submit(document(BATCH), Context(bank=bank(**options), now=NOW)),
        BATCH,
        FILE01=[good("FILE01")],
        FILE02=[good("FILE02", Code="E1"), good("FILE02", Code="E7", RandomPwd="p&amp;w", HashData="h")],
        KHKF01=list(last),
    )


def test_a_batch_is_told_in_this_order() -> None:
    """The file laid down, seen to the bank, and only then the one command from which money moves."""
    drive = batch(good("KHKF01", BatchNo="R1"))
    assert drive.end() == Sent(document(BATCH).digest)
    assert [type(request).__name__ for request in drive.asked] == [
        *("Read", "Put", "Stat", "Post", "Post", "Wait", "Post", "Post", "Take")
    ]
    first, second, third, last = drive.posts()
    serial = first[1]["TradeSn"]
    assert first == ("FILE01", {"TradeSn": serial, "FileName": "R1.txt", "FilePath": "D:\\up"}, False)
    assert second == third == ("FILE02", {"TradeSn": serial}, False)
    minor = sum(line.amount for line in LINES)
    total = f"{minor // 100}.{minor % 100:02}"
    assert last == (
        "KHKF01",
        {
            "BatchNo": "R1", "AcctNo": "9900100000000000123", "BusiType": "00001", "CorpId": "Q1", "TotalNum": "4", "TotalAmount": total,
            "FileName": "R1.txt", "RandomPwd": "p&w", "HashData": "h",
        },
        True,
    )  # fmt: skip
    serials = [packet.read(request.body).head["serial"] for request in drive.asked if isinstance(request, Post)]
    assert len(set(serials)) == 4
    assert all(len(serial) == packet.SERIAL_BYTES for serial in serials)


DOUBTS = [
    *HOSTILE,
    *[Answer(200, reply("KHKF01", {}, code=code), "text/xml") for code in AGAIN],
    good("KHKF01", BatchNo="R2"),
    good("KHKF02", BatchNo="R1"),
    Answer(500, reply("KHKF01", {"BatchNo": "R1"}), "text/xml"),
]


@pytest.mark.parametrize("answer", DOUBTS, ids=range(len(DOUBTS)))
def test_whatever_does_not_say_yes_is_a_doubt(answer: Answer) -> None:
    """To the command that pays: nothing is taken in, nothing is said to have failed."""
    drive = batch(answer)
    with pytest.raises(InDoubt):
        drive.end()
    assert not any(isinstance(request, Take) for request in drive.asked)


@pytest.mark.parametrize("answer", [*HOSTILE, Answer(200, reply("FILE01", {}, code="GW3002"), "text/xml")])
def test_before_that_nothing_has_left(answer: Answer) -> None:
    """To a command that only moves a file."""
    drive = batch()
    drive.answers["FILE01"] = [answer]
    with pytest.raises(NotSent):
        drive.end()


def test_a_file_that_does_not_arrive() -> None:
    """The client is asked for a while; then the whole is begun again another time."""
    drive = batch()
    drive.answers["FILE02"] = [good("FILE02", Code="E1") for _ in range(99)]
    with pytest.raises(NotSent):
        drive.end()
    assert not any(final for _, _, final in drive.posts())


# -------------------------------------------------------------------------------------------------------------- single


def single(*last: Answer) -> Drive:
    """A submission of one payment."""
    return Drive(
        ROUTES.submit(document(SINGLE), Context(bank=bank(mode="single", encoding="utf-8"), now=NOW)),
        SINGLE,
        KHKF03=list(last),
    )


def test_a_single_payment_is_one_command() -> None:
    """Under its own number, with everything that stands in its line."""
    drive = single(good("KHKF03", OrderNumber=ORDER, BussFlowNo="B1"))
    assert drive.end() == Sent(document(SINGLE).digest)
    assert drive.posts() == [
        (
            "KHKF03",
            {
                "OrderNumber": ORDER, "AcctNo": "9900100000000000123", "CcyCode": "RMB", "TranAmount": "1840.00",
                "InAcctNo": "9900010000000000017", "InAcctName": "欧阳娜娜", "Remark": "2015年6月养老金", "BusiType": "00000",
            },
            True,
        )
    ]  # fmt: skip
    (post,) = [request for request in drive.asked if isinstance(request, Post)]
    assert post.once == ORDER


@pytest.mark.parametrize(
    "answer", [*HOSTILE, good("KHKF03", OrderNumber="8"), Answer(200, reply("KHKF03", {}, code="MA4045"), "")]
)
def test_a_single_payment_in_doubt(answer: Answer) -> None:
    """As with batches."""
    with pytest.raises(InDoubt):
        single(answer).end()


@pytest.mark.parametrize(("state", "taken"), [("20", 1), ("30", 1), ("40", 1), ("", 0)])
def test_a_doubt_about_a_single_payment_is_asked_for(state: str, taken: int) -> None:
    """Any state proves that the bank has it; a reply without one proves nothing."""
    leaves = {"OrderNumber": ORDER} | ({"Status": state} if state else {})
    route = ROUTES.inquire(document(SINGLE), Context(bank=bank(mode="single"), now=NOW))
    drive = Drive(route, SINGLE, KHKF04=[good("KHKF04", **leaves)])
    if taken:
        assert drive.end() == Asked()
    else:
        with pytest.raises(NotSent):
            drive.end()
    assert sum(isinstance(request, Take) for request in drive.asked) == taken
    assert drive.posts() == [("KHKF04", {"OrderNumber": ORDER, "AcctNo": "9900100000000000123"}, False)]


def awaited(ago_s: int) -> Awaited:
    """A single payment, sent so many seconds ago."""
    return Awaited(document=document(SINGLE), cursor="", sent=NOW - timedelta(seconds=ago_s))


def fetching(*ago_s: int, answers: list[Answer]) -> Drive:
    """Results asked for."""
    context = Context(bank=bank(mode="single"), now=NOW, awaited=tuple(awaited(ago) for ago in ago_s))
    return Drive(ROUTES.fetch(context), SINGLE, KHKF04=answers)


def test_what_the_bank_declines_about_one_does_not_stop_the_next() -> None:
    """It is asked about all; only where nothing came of it is there a word to report."""
    told = good("KHKF04", OrderNumber=ORDER, Status="20")
    no = Answer(200, reply("KHKF04", {}, code="AFE003"), "")
    assert fetching(900, 900, answers=[no, told]).end() == Fetched(1, 300)
    for other in (good("KHKF04", OrderNumber="9", Status="20"), Answer(502, b"<html>", "")):
        assert fetching(900, 900, answers=[other, told]).end() == Fetched(1, 300)
    with pytest.raises(NotSent, match="AFE003"):
        fetching(900, 900, answers=[no, no]).end()


def test_the_first_question_waits() -> None:
    """What has only just been sent is not asked about."""
    drive = fetching(299, answers=[])
    assert (drive.end(), drive.posts()) == (Fetched(0, 300), [])
