"""What the bank's client answers: FILE01 to FILE03 with success, KHKF01 taken up, KHKF02 worked off with the name of its return file."""

from __future__ import annotations

from typing import Any

from adapters.pingan import packet
from gateway.core.route import Answer, Post, Request, SealedDocument, Stat

#: Codes that say neither yes nor no.
AGAIN = ("GW3002", "YQ9999", "MA4045", "XX0000")


def reply(transaction: str, leaves: dict[str, str], *, code: str = packet.OK, text: str = "交易受理成功") -> bytes:
    """A packet as the bank's client sends it; made here byte by byte, not by the format's own writer."""
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in leaves.items())
    body = f'<?xml version="1.0" encoding="GBK" ?><Result>{inside}</Result>'.encode("gbk")
    head = (
        b"A00101" + b"01" + b"02" + b"440600001".ljust(20) + f"{len(body):010}".encode() + transaction.encode().ljust(6)
    )
    head += b"00000" + b"02" + b"20150610090001" + b"S".ljust(20) + code.encode().ljust(6)
    head += (":" + text).encode("gbk").ljust(100) + b"0" + b"001" + b"0" + b"1" + b" " * 12 + b"0" * 10 + b"0"
    assert len(head) == packet.HEAD_BYTES
    return head + body


def replies(request: Request, document: SealedDocument) -> list[Any]:
    """Best first."""
    if isinstance(request, Stat) and request.size is None:
        return [document.size, None]
    if not isinstance(request, Post):
        return []
    asked = packet.read(request.body)
    known: dict[str, list[dict[str, str]]] = {
        "FILE01": [{}],
        "FILE03": [{}],
        "FILE02": [{"Code": "F0", "Desc": "完成", "RandomPwd": "p", "HashData": "h", "SignData": ""}, {"Code": "E1"}],
        "KHKF01": [{"BatchNo": asked.leaf("BatchNo")}, {"BatchNo": "ANOTHER"}],
        "KHKF02": [
            {"BatchNo": asked.leaf("BatchNo"), "BatchStt": "20", "FileName": "R1.txt", "RandomPwd": "p"},
            {"BatchNo": asked.leaf("BatchNo"), "BatchStt": "40", "BatchInfo": "处理中"},
            {"BatchNo": asked.leaf("BatchNo"), "BatchStt": "30", "BatchInfo": "批次处理失败"},
            {"BatchNo": asked.leaf("BatchNo"), "BatchStt": "20", "FileName": "../R1.txt"},
            {"BatchNo": "ANOTHER", "BatchStt": "20", "FileName": "R1.txt"},
            {"BatchNo": asked.leaf("BatchNo")},
        ],
    }
    good = [Answer(200, reply(asked.transaction, leaves), "text/xml") for leaves in known[asked.transaction]]
    bad = [Answer(200, reply(asked.transaction, {}, code=code, text="通讯异常"), "text/xml") for code in AGAIN]
    return [*good, *bad, Answer(200, reply("S001", {}), "text/xml")]
