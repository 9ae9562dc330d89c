"""What the CDC cloud typically answers. The suite's Encrypt and Open hide nothing, so the form's DATA is the signed text itself."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs

import msgspec

from adapters.cmb_cloud.layout import PER_PART
from gateway.core.bank import DocKind, ListHead, PairLine, SealSlot
from gateway.core.route import Answer, Post, Request, SealedDocument
from tests.adapters.suite import ADAPTERS, NOW, bank_of, head_of, line_of

LINES = [line_of(number) for number in range(1, 2 * PER_PART + 501)]
MARKED = "BB6NUMBER1"


def payload(kind: DocKind) -> bytes:
    """Two and a half thousand payments, three parts; or two entries of the allow-list."""
    adapter = ADAPTERS["cmb_cloud"]
    bank = bank_of(adapter, sealed=False)
    if kind is DocKind.PAYMENT:
        chunks = adapter.payment(head_of(LINES), iter(LINES), bank)
    else:
        assert adapter.write_pairs is not None
        place = {"crtbnk": "某银行", "crtpvc": "广东省", "crtcty": "佛山市"}
        bank = msgspec.structs.replace(bank, format_options={**bank.format_options, **place})
        pairs = [
            PairLine(1, "WL000123", "add", "张三", "9900010000000000017"),
            PairLine(2, "WL000124", "remove", "李四", "9900010000000000025"),
        ]
        chunks = adapter.write_pairs(ListHead(reference="R1", sequence=1, created=NOW, count=2), pairs, bank)
    return b"".join(chunk for chunk in chunks if not isinstance(chunk, SealSlot))


def asked(post: Post) -> dict[str, Any]:
    """What a form holds, in plain."""
    data = parse_qs(post.body.decode(), strict_parsing=True)["DATA"][0]
    decoded: dict[str, Any] = msgspec.json.decode(base64.b64decode(data))
    return decoded


def said(funcode: str, body: dict[str, Any], resultcode: str = "SUC0000", reqid: str = "") -> Answer:
    """A reply with a signature of any kind; ``reqid``: of the request that it names."""
    head = {"bizcode": "", "funcode": funcode, "resultcode": resultcode, "resultmsg": "", "rspid": "1", "reqid": reqid}
    text = {"response": {"body": body, "head": head}, "signature": {"sigdat": "c2ln", "sigtim": "20150610090000"}}
    return Answer(200, base64.b64encode(msgspec.json.encode(text, order="sorted")), "text/plain")


def details(first: int, last: int, state: str = "S") -> list[dict[str, str]]:
    """What the bank tells of some payments."""
    return [
        {"trxseq": f"{line.line:08d}", "cprref": str(line.key), "trsamt": "1840.00", "stscod": state}
        for line in LINES[first - 1 : last]
    ]


def batch(state: str, **more: str) -> dict[str, str]:
    """What the bank tells of the batch."""
    return {"yurref": "R1", "reqnbr": MARKED, "reqsta": state, **more}


def replies(request: Request, document: SealedDocument) -> list[Any]:
    """By function: taken; finished, in two pages; at work; taking it in, one or two parts of it; not known."""
    if not isinstance(request, Post):
        return []
    message = asked(request)
    funcode, body = message["request"]["head"]["funcode"], message["request"]["body"]
    if funcode == "BB6BTHHL":
        told = [said(funcode, {"bb6cdcbhz1": [{"reqnbr": MARKED, "reqsta": "OPR"}]})]
        return [
            *told,
            said(funcode, {}, "FABZ002"),
            said(funcode, {"bb6cdcbhz1": [{"reqnbr": "OTHER", "reqsta": "OPR"}]}),
        ]
    if funcode == "BB6BPDQY" and body["bb6bpdqyy1"][0].get("trxseq"):
        return [said(funcode, {"bb6bpdqyz1": [batch("FIN", rtnflg="S")], "bb6bpdqyz2": details(1501, 2500)})]
    if funcode == "BB6BPDQY":
        more = [{"bthnbr": "B1", "trxseq": "00001500"}]
        finished = {"bb6bpdqyz1": [batch("FIN", rtnflg="S")], "bb6bpdqyz2": details(1, 1500), "bb6bpdqyy1": more}
        taking = [
            {"bb6bpdqyz1": [batch("OPR")], "bb6bpdqyz2": details(1, last, "A")}
            for last in (0, PER_PART, 2 * PER_PART, 2500)
        ]
        bodies = [finished, {"bb6bpdqyz1": [batch("BNK")]}, *taking, {}]
        return [*(said(funcode, body) for body in bodies), said(funcode, {}, "FABZ002")]
    if funcode == "BAKOPRRVL":
        return [said(funcode, {"BAKOPRRTNZ": [{"reqNbr": "BAK1", "reqSta": "AUT", "oprSqn": "001", "oprAls": "AUT"}]})]
    if funcode == "BAKQRYRVL":
        listed = {
            "yCrtSqn": "CMB000002222",
            "yCrtAcc": "9900010000000000025  ",
            "yCrtNam": "李四",
            "yRsv30z": "WL000124",
        }
        return [said(funcode, {"BAKQRYRVLY": [{}], "BAKRVLIN2Y": [listed]}), said(funcode, {})]
    return []
