"""The B2Bi client of the sandbox alone, talked to byte by byte: it books what is right, refuses what is not, and answers as published."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.sandbox.bank import Counterpart
from gateway.sandbox.books import summary
from gateway.sandbox.config import Faults, HttpWire, SandboxBank
from gateway.sandbox.conversation import Asked
from gateway.sandbox.pingan_side import CONVERSATION
from tests.sandbox.bureau import DEBIT

COMPANY = "00901000000000000001"
FILE = f"{DEBIT}|::|2|::|30.05\n11|::|990001|::|张三|::||::||::||::|10.00|::|养老金|::||::|\n12|::|990002|::|李四|::||::||::||::|20.05|::||::||::|\n"


def packet(
    transaction: str, body: str, *, company: str = COMPANY, length: int | None = None, charset: str = "gbk"
) -> bytes:
    """A request as the manual has it."""
    name, flag = ("GBK", "01") if charset == "gbk" else ("UTF-8", "02")
    inside = f'<?xml version="1.0" encoding="{name}"?><Result>{body}</Result>'.encode(charset)
    size = len(inside) if length is None else length
    head = f"A00101{flag}02{company:20}{size:010}{transaction:6}0000001201506100900002015061009000000ab01"
    return (head + " " * 106 + "0000" + "01" + " " * 12 + "0" * 10 + "0").encode() + inside


class Said(NamedTuple):
    """A reply taken apart."""

    code: str
    text: str
    body: str

    def leaf(self, name: str) -> str:
        """A value."""
        return self.body.partition(f"<{name}>")[2].partition(f"</{name}>")[0]


class Talk:
    """A client and the bank behind it."""

    def __init__(self, folder: Path, faults: Faults | None = None, **options: str) -> None:
        self.shared, self.state = folder / "shared", folder / "state"
        self._config = SandboxBank(
            code="PAB", adapter="pingan", customer=COMPANY, wire=HttpWire(directory=str(self.shared)), keys=None, state=str(self.state),
            debit_accounts=(DEBIT,), options=options, faults=faults or Faults(),
        )  # fmt: skip
        self.bank = Counterpart(self._config, None, now="2015-06-10T09:00:00")
        self.restart()
        self._serial = 0

    def restart(self) -> None:
        """The client was killed and runs again."""
        self.client = CONVERSATION(self._config, self.bank)

    def raw(self, body: bytes, charset: str = "gbk") -> Said:
        """Bytes in, bytes out."""
        said = self.client.reply(Asked("/", {}, body)).body
        assert said[51:53] == b"02"
        assert int(said[30:40]) == len(said) - 222
        return Said(said[87:93].decode(), said[93:193].decode(charset).strip(" :"), said[222:].decode(charset))

    def say(self, transaction: str, **leaves: str) -> Said:
        """A command."""
        return self.raw(packet(transaction, "".join(f"<{name}>{text}</{name}>" for name, text in leaves.items())))

    def serial(self) -> str:
        """Of a transfer."""
        self._serial += 1
        return f"{self._serial:020}"

    def upload(self, name: str = "B1.txt", text: str = FILE) -> Said:
        """A file, and what the client says of it once it is there."""
        (self.shared / "up" / name).write_bytes(text.encode("gbk"))
        serial = self.serial()
        assert self.say("FILE01", TradeSn=serial, FileName=name).code == "000000"
        return self.say("FILE02", TradeSn=serial)

    def batch(self, number: str = "B1", **changed: str) -> Said:
        """Upload and order."""
        sent = self.upload()
        leaves = {
            "BatchNo": number, "AcctNo": DEBIT, "BusiType": "00000", "TotalNum": "2", "TotalAmount": "30.05", "FileName": "B1.txt",
            "RandomPwd": sent.leaf("RandomPwd"), "HashData": sent.leaf("HashData"),
        }  # fmt: skip
        return self.say("KHKF01", **(leaves | changed))


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    """With nothing that goes wrong."""
    return Talk(tmp_path)


def booked(talk: Talk) -> int:
    """Payments in the books."""
    count: int = summary(talk.state)["paid"]["count"]
    return count


def test_a_batch_and_its_return_file(talk: Talk) -> None:
    """Uploaded, ordered, worked off, downloaded: each line with its code."""
    sent = talk.upload()
    assert (sent.leaf("Code"), sent.leaf("HashData")) == (
        "F0",
        hashlib.sha1(FILE.encode("gbk"), usedforsecurity=False).hexdigest(),
    )
    assert talk.batch().leaf("BatchNo") == "B1"
    talk.restart()
    state = talk.say("KHKF02", BatchNo="B1", AcctNo=DEBIT)
    assert (state.leaf("BatchStt"), booked(talk)) == ("20", 2)
    serial, name = talk.serial(), state.leaf("FileName")
    assert talk.say("FILE03", TradeSn=serial, FileName=name, RandomPwd=state.leaf("RandomPwd")).code == "000000"
    assert talk.say("FILE02", TradeSn=serial).leaf("Code") == "F0"
    lines = (talk.shared / "down" / name).read_bytes().decode("gbk").splitlines()
    assert lines[0] == f"{DEBIT}|::|2|::|30.05"
    assert lines[1] == "11|::|990001|::|张三|::|10.00|::|0.00|::|0000|::|交易成功"


@pytest.mark.parametrize(
    "changed",
    [
        {"TotalNum": "3"}, {"TotalAmount": "30.06"}, {"AcctNo": "1"}, {"RandomPwd": "x"}, {"HashData": "0"}, {"FileName": "B2.txt"},
        {"FileName": "../up/B1.txt"}, {"BatchNo": ""}, {"BatchNo": "B" * 21},
    ],
    ids=str,
)  # fmt: skip
def test_an_order_that_is_not_what_the_file_is(talk: Talk, changed: dict[str, str]) -> None:
    """Nothing is booked."""
    assert talk.batch(**changed).code == "SB0001"
    assert booked(talk) == 0


def test_a_number_that_was_used_before(talk: Talk) -> None:
    """MA4045, and the books stay as they are."""
    assert talk.batch().code == "000000"
    assert talk.batch().code == "MA4045"
    assert booked(talk) == 2


def test_ask_again(tmp_path: Path) -> None:
    """Booked, and not said so."""
    talk = Talk(tmp_path, again="1")
    assert talk.batch().code == "GW3002"
    assert talk.say("KHKF02", BatchNo="B1", AcctNo=DEBIT).leaf("BatchStt") == "20"
    assert booked(talk) == 2


@pytest.mark.parametrize(
    "body",
    [
        packet("S001", "", company="00901000000000000002"),
        packet("S001", "", length=3),
        packet("S001", "").replace(b"A00101", b"A00201"),
        packet("S001", "") + b" ",
        packet("S001", "<A>1</A><A>2</A>"),
        packet("S001", "<A>1</B>"),
        packet("S001", ""),
        packet("FILE02", "<TradeSn>1</TradeSn>"),
        packet("FILE01", "<TradeSn>00000000000000000001</TradeSn><FileName>none.txt</FileName>"),
        b"GET / HTTP/1.1",
    ],
    ids=range(10),
)
def test_what_is_no_command(talk: Talk, body: bytes) -> None:
    """Refused in a packet, never in silence."""
    assert talk.raw(body).code == "SB0001"


def test_a_reply_in_the_charset_that_was_asked_in(talk: Talk) -> None:
    """100 bytes of text in either."""
    found = talk.raw(packet("KHKF02", "<BatchNo>没有</BatchNo>", charset="utf-8"), "utf-8")
    assert (found.code, found.text) == ("SB0404", "查无此批次")


def test_a_single_payment(talk: Talk) -> None:
    """Ordered and asked for under its own number; a second time is a repeat."""
    leaves = {
        "OrderNumber": "11",
        "AcctNo": DEBIT,
        "CcyCode": "RMB",
        "TranAmount": "10.00",
        "InAcctNo": "990001",
        "InAcctName": "张三",
    }
    assert talk.say("KHKF03", **leaves).leaf("OrderNumber") == "11"
    state = talk.say("KHKF04", OrderNumber="11", AcctNo=DEBIT)
    assert (state.leaf("Status"), state.leaf("RetCode"), state.leaf("TranAmount")) == ("20", "0000", "10.00")
    assert talk.say("KHKF03", **leaves).code == "MA4045"
    assert talk.say("KHKF03", **(leaves | {"OrderNumber": "12", "TranAmount": "0.00"})).code == "SB0001"
    assert booked(talk) == 1
