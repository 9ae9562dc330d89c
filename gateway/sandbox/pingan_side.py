"""Ping An's B2Bi client and the bank behind it: packets of 222 bytes and XML over HTTP, batch files in the folder shared with the bureau.

Own code, bytes cut by hand. What was uploaded and how transfers stand lies in ``b2bi/`` of the bank's state, so that a client that is
killed goes on where it was.

``options`` of the bank: ``slow`` how often FILE02 says "not yet" of each transfer; ``again`` the n-th orders (``1 3``) that are booked and
answered with GW3002; ``upload`` and ``download`` the folders as the bureau must name them (empty: any).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec

from gateway.core.verdicts import Verdict
from gateway.sandbox.bank import Counterpart
from gateway.sandbox.config import HttpWire, SandboxBank
from gateway.sandbox.conversation import Asked, Said, Told, Word
from gateway.sandbox.orders import Line, Order

HEAD_BYTES = 222
SPLIT = "|::|"
CHARSETS = {b"01": "gbk", b"02": "utf-8"}
OK, REPEATED, AGAIN, WRONG = "000000", "MA4045", "GW3002", "SB0001"
#: How the bank words what went wrong with a line. Only 0000 and 9001 are public codes; the others are this sandbox's own.
LINE_CODES = {
    Verdict.NAME_MISMATCH: ("SB11", "账户户名不符"),
    Verdict.CARD_LOST: ("SB12", "挂失"),
    Verdict.CARD_REPLACING: ("SB13", "换卡中"),
    Verdict.ACCOUNT_UNKNOWN: ("SB14", "账号不存在"),
    Verdict.ACCOUNT_CLOSED: ("SB15", "已销户"),
    Verdict.ACCOUNT_BLOCKED: ("SB16", "账户冻结"),
    Verdict.ACCOUNT_DORMANT: ("SB17", "长期不动户"),
    Verdict.DECEASED: ("SB18", "已死亡"),
    Verdict.TIMEOUT: ("9001", "结果不明确"),
}
ELSE = ("SB99", "其它")
_LEAF = re.compile(r"<([A-Za-z]+)>([^<]*)</\1>")
_BODY = re.compile(r'<\?xml version="1\.0" encoding="(GBK|UTF-8)"\?><Result>((?:<([A-Za-z]+)>[^<]*</\3>)*)</Result>')
_AMOUNT = re.compile(r"([0-9]{1,12})\.([0-9]{2})")


class Transfer(msgspec.Struct):
    """One file on its way between the shared folder and the bank."""

    name: str
    digest: str  # SHA-1, as the client tells it
    asked: int = 0


class _No(Exception):
    """What a command is answered instead of success."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Client:
    """One bank's B2Bi client."""

    def __init__(self, config: SandboxBank, bank: Counterpart) -> None:
        self._config, self._bank = config, bank
        assert isinstance(config.wire, HttpWire)
        self._shared = Path(config.wire.directory)
        for folder in ("up", "down"):
            (self._shared / folder).mkdir(parents=True, exist_ok=True)
        self._server = Path(config.state) / "b2bi"
        self._server.mkdir(parents=True, exist_ok=True)
        self._file = self._server / "transfers.json"
        kept = self._file.read_bytes() if self._file.exists() else b"{}"
        self._transfers = msgspec.json.decode(kept, type=dict[str, Transfer])
        self._again = {int(nth) for nth in config.options.get("again", "").split()}
        self._orders = 0

    def orders(self, asked: Asked) -> bool:
        """Whether it is a batch or a single payment."""
        return asked.body[40:46] in (b"KHKF01", b"KHKF03")

    def reply(self, asked: Asked) -> Said:
        """One packet, one answer."""
        body = asked.body
        charset = CHARSETS.get(body[6:8], "gbk")
        code, text, leaves = OK, "交易受理成功", {}
        try:
            leaves = self._answer(body[40:46].decode("ascii").strip(), self._leaves(body, charset))
        except _No as no:
            code, text = no.code, no.text
        return Said(_packet(body, charset, code, text, leaves), "text/xml")

    def _leaves(self, packet: bytes, charset: str) -> dict[str, str]:
        """The body's values, once the header is as it must be, byte by byte."""
        head, body = packet[:HEAD_BYTES], packet[HEAD_BYTES:]
        plain = (len(head) == HEAD_BYTES and head[:6] == b"A00101" and head[8:10] == b"02" and head[51:53] == b"01"
                 and head[30:40].isdigit() and int(head[30:40]) == len(body) and head[53:67].isdigit() and not head[87:193].strip()
                 and head[193:194] == b"0" and head[197:198] == b"0")  # fmt: skip
        if not plain or head[10:30].decode("ascii").strip() != self._config.customer or len(head[67:87].strip()) != 20:
            raise _No(WRONG, "报文头错误")
        found = _BODY.fullmatch(body.decode(charset))
        if found is None or (found[1] == "GBK") != (charset == "gbk"):
            raise _No(WRONG, "报文体错误")
        leaves = _LEAF.findall(found[2])
        if len(dict(leaves)) != len(leaves):
            raise _No(WRONG, "字段重复")
        return {name: text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for name, text in leaves}

    def _answer(self, transaction: str, asked: dict[str, str]) -> dict[str, str]:
        answers = {
            "FILE01": self._upload, "FILE02": self._progress, "FILE03": self._download, "KHKF01": self._batch, "KHKF02": self._batch_state,
            "KHKF03": self._single, "KHKF04": self._single_state,
        }  # fmt: skip
        if transaction not in answers:
            raise _No(WRONG, "交易码不支持")
        return answers[transaction](asked)

    # ------------------------------------------------------------------------------------------------ files

    def _upload(self, asked: dict[str, str]) -> dict[str, str]:
        self._place(asked, "upload")
        source = self._shared / "up" / _plain(asked.get("FileName", ""))
        if not source.is_file():
            raise _No(WRONG, "文件不存在")
        data = source.read_bytes()
        (self._server / source.name).write_bytes(data)
        self._keep(asked, source.name, data)
        return {}

    def _download(self, asked: dict[str, str]) -> dict[str, str]:
        self._place(asked, "download")
        source = self._server / _plain(asked.get("FileName", ""))
        if not source.is_file() or asked.get("RandomPwd") != _password(source.name):
            raise _No(WRONG, "文件不存在或密码错误")
        data = source.read_bytes()
        target = self._shared / "down" / source.name
        target.with_suffix(".tmp").write_bytes(data)
        target.with_suffix(".tmp").replace(target)
        self._keep(asked, source.name, data)
        return {}

    def _progress(self, asked: dict[str, str]) -> dict[str, str]:
        transfer = self._transfers.get(asked.get("TradeSn", ""))
        if transfer is None:
            raise _No(WRONG, "流水号不存在")
        transfer.asked += 1
        if transfer.asked <= int(self._config.options.get("slow", "0")):
            return {"Code": "E1", "Desc": "处理中", "FileName": transfer.name}
        return {"Code": "F0", "Desc": "完成"} | _proof(transfer)

    def _place(self, asked: dict[str, str], which: str) -> None:
        agreed = self._config.options.get(which, "")
        if agreed and asked.get("FilePath") != agreed:
            raise _No(WRONG, "文件路径错误")

    def _keep(self, asked: dict[str, str], name: str, data: bytes) -> None:
        serial = asked.get("TradeSn", "")
        if len(serial) != 20 or serial in self._transfers:
            raise _No(WRONG, "流水号重复")
        self._transfers[serial] = Transfer(name, _digest(data))
        self._file.write_bytes(msgspec.json.encode(self._transfers))

    # ------------------------------------------------------------------------------------------------ batches

    def _batch(self, asked: dict[str, str]) -> dict[str, str]:
        name = _plain(asked.get("FileName", ""))
        file = self._server / name
        if not file.is_file() or asked.get("RandomPwd") != _password(name):
            raise _No(WRONG, "批量文件未上传")
        data = file.read_bytes()
        if asked.get("HashData", _digest(data)) != _digest(data):
            raise _No(WRONG, "文件摘要不符")
        lines = _lines(data, (asked.get("AcctNo", ""), asked.get("TotalNum", ""), asked.get("TotalAmount", "")))
        self._hear(asked.get("BatchNo", ""), asked, lines)
        return {name: asked.get(name, "") for name in ("BatchNo", "BusiType", "CorpId", "TotalNum", "TotalAmount")}

    def _batch_state(self, asked: dict[str, str]) -> dict[str, str]:
        told = self._told(asked.get("BatchNo", ""))
        assert told.order is not None
        number = {"BatchNo": told.order.reference}
        if told.refused:
            return number | {"BatchStt": "30", "BatchInfo": f"批次处理失败 {told.refused}"}
        if not all(word.told for word in told.words):
            return number | {"BatchStt": "40", "BatchInfo": "处理中"}
        order = told.order
        first = SPLIT.join((order.debit_account, str(order.count), _yuan(order.minor)))
        data = "".join(f"{line}\n" for line in (first, *map(_returned, told.words))).encode("gbk")
        file = self._server / f"{order.reference}R.txt"
        file.write_bytes(data)
        transfer = Transfer(file.name, _digest(data))
        return number | {"BatchStt": "20", "BatchInfo": "处理完成"} | _proof(transfer)

    # ------------------------------------------------------------------------------------------------ single payments

    def _single(self, asked: dict[str, str]) -> dict[str, str]:
        number = asked.get("OrderNumber", "")
        if asked.get("CcyCode") != "RMB" or not asked.get("InAcctNo") or not asked.get("InAcctName"):
            raise _No(WRONG, "字段不完整")
        line = (number, asked["InAcctNo"], asked["InAcctName"], _fen(asked.get("TranAmount", "")))
        self._hear(number, asked, [line])
        return {"OrderNumber": number, "BussFlowNo": f"B{number}"}

    def _single_state(self, asked: dict[str, str]) -> dict[str, str]:
        told = self._told(asked.get("OrderNumber", ""))
        word = told.words[0] if told.words else None
        number = {"OrderNumber": asked["OrderNumber"], "BussFlowNo": f"B{asked['OrderNumber']}"}
        if told.refused:
            return number | {"Status": "30", "RetCode": "SB20", "RetMsg": str(told.refused)}
        if word is None or not word.told:
            return number | {"Status": "40"}
        code, text = _said(word)
        state = "20" if code == "0000" else "30"
        return number | {
            "Status": state, "RetCode": code, "RetMsg": text, "TranFlowNo": f"T{word.booked.id}", "TranAmount": _yuan(word.booked.minor)
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------ the bank behind

    def _hear(self, number: str, asked: dict[str, str], lines: list[Line]) -> None:
        if not 0 < len(number) <= 20:
            raise _No(WRONG, "批次号错误")
        self._orders += 1
        order = Order(
            reference=number,
            batch=number,
            created="2015-06-10T09:00:00",
            pay_date="2015-06-10",
            customer=self._config.customer,
            debit_account=asked.get("AcctNo", ""),
            count=len(lines),
            minor=sum(line[3] for line in lines),
        )
        refusal = self._bank.hear(order, lines)
        if refusal is not None and refusal.verdict is Verdict.DUPLICATE:
            raise _No(REPEATED, "重复的第三方流水号或凭证号")
        if refusal is not None:
            raise _No(WRONG, refusal.text[:40])
        if self._orders in self._again:
            raise _No(AGAIN, "通讯异常，请稍后查询交易结果")

    def _told(self, number: str) -> Told:
        told = self._bank.told(number)
        if told is None or told.order is None:
            raise _No("SB0404", "查无此批次")
        return told


def _packet(asked: bytes, charset: str, code: str, text: str, leaves: dict[str, str]) -> bytes:
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in leaves.items())
    name = "GBK" if charset == "gbk" else "UTF-8"
    body = f'<?xml version="1.0" encoding="{name}" ?><Result>{inside}</Result>'.encode(charset)
    said = f":{text}".encode(charset)[:100].ljust(100)
    head = asked[:30].ljust(30) + f"{len(body):010}".encode() + asked[40:51].ljust(11) + b"02" + asked[53:87].ljust(34)
    return head + code.encode().ljust(6) + said + b"0" + b"001" + b"0" + b"1" + b" " * 12 + b"0" * 10 + b"0" + body


def _lines(data: bytes, told: tuple[str, str, str]) -> list[Line]:
    """The payments of a batch file that is what the command says of it."""
    first, *rest = data.decode("gbk").removesuffix("\n").split("\n")
    if tuple(first.split(SPLIT)) != told:
        raise _No(WRONG, "文件首行与批次不符")
    lines = []
    for line in rest:
        fields = line.split(SPLIT)
        if len(fields) != 10:
            raise _No(WRONG, "文件明细格式错误")
        lines.append((fields[0], fields[1], fields[2], _fen(fields[6])))
    if (str(len(lines)), _yuan(sum(line[3] for line in lines))) != told[1:]:
        raise _No(WRONG, "笔数或金额不符")
    return lines


def _returned(word: Word) -> str:
    line = word.booked
    code, text = _said(word)
    return SPLIT.join((line.reference, line.account, line.name, _yuan(line.minor), "0.00", code, text))


def _said(word: Word) -> tuple[str, str]:
    verdict = word.booked.verdict
    return ("0000", "交易成功") if verdict is None else LINE_CODES.get(verdict, ELSE)


def _proof(transfer: Transfer) -> dict[str, str]:
    return {"FileName": transfer.name, "RandomPwd": _password(transfer.name), "HashData": transfer.digest}


def _digest(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _password(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,29}", name):
        raise _No(WRONG, "文件名错误")
    return name


def _fen(text: str) -> int:
    found = _AMOUNT.fullmatch(text)
    if found is None or int(found[1] + found[2]) == 0:
        raise _No(WRONG, "金额错误")
    return int(found[1] + found[2])


def _yuan(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


CONVERSATION = Client
