"""What the bank's front-end machine answers: to a part, to a question about a batch, about its payments, about returns."""

from __future__ import annotations

from functools import cache

import msgspec

from adapters.cmb_frontend import ADAPTER
from gateway.core.bank import DocKind
from gateway.core.route import Answer, Post, Request, SealedDocument
from tests.adapters.suite import head_of, line_of, written

#: Two parts: the second goes under the number that the first was given.
COUNT = 3_005
NUMBER = "0099960770"


@cache
def payload(kind: DocKind) -> bytes:
    """A batch of two parts."""
    assert kind is DocKind.PAYMENT
    lines = [line_of(number) for number in range(1, COUNT + 1)]
    return written(ADAPTER, lines, msgspec.structs.replace(head_of(lines), reference="R1"))


def answer(function: str, body: str, code: str = "0", words: str = "") -> Answer:
    """One answer of the machine."""
    text = (
        f'<?xml version="1.0" encoding="GBK"?><CMBSDKPGK><INFO><DATTYP>2</DATTYP><ERRMSG>{words}</ERRMSG><FUNNAM>{function}</FUNNAM>'
        f"<LGNNAM>440600001</LGNNAM><RETCOD>{code}</RETCOD></INFO>{body}</CMBSDKPGK>"
    )
    return Answer(200, text.encode("gbk"), "text/xml")


def taken(number: str = NUMBER, state: str = "OPR") -> Answer:
    """A part was taken."""
    return answer("NTAGCAPY", f"<NTAGCAGCZ1><REQNBR>{number}</REQNBR><REQSTA>{state}</REQSTA></NTAGCAGCZ1>")


def batch(reference: str, state: str = "FIN", flag: str = "S", count: int = COUNT, amount: str = "0.00") -> Answer:
    """The state of a batch."""
    return answer(
        "NTAGCINY",
        f"<NTAGCINQZ><REQNBR>{NUMBER}</REQNBR><REQSTA>{state}</REQSTA><RTNFLG>{flag}</RTNFLG><TRSNUM>{count:06d}</TRSNUM>"
        f"<TOTAMT>{amount}</TOTAMT><YURREF>{reference}</YURREF></NTAGCINQZ>",
    )


def details(first: int, last: int, more: str = "") -> Answer:
    """Some payments of a batch, all paid; ``more``: where the next answer begins."""
    rows = "".join(
        f"<NTAGCDTLY1><TRXSEQ>{number:08d}</TRXSEQ><ACCNBR>9900010000000000017</ACCNBR><ACCNAM>张三</ACCNAM><TRSAMT>1840.00</TRSAMT>"
        f"<STSCOD>S</STSCOD><CPRREF>{line_of(number).key}</CPRREF></NTAGCDTLY1>"
        for number in range(first, last + 1)
    )
    place = (
        f"<NTAGDINFY1><REQNBR>{NUMBER}</REQNBR><BTHNBR>1</BTHNBR><TRXSEQ>{more}</TRXSEQ></NTAGDINFY1>" if more else ""
    )
    return answer("NTAGDINF", place + rows)


def replies(request: Request, document: SealedDocument) -> list[Answer]:
    """Typical answers, best first."""
    if not isinstance(request, Post):
        return []
    if b"<FUNNAM>NTAGCAPY<" in request.body:
        return [
            taken(),
            answer("NTAGCAPY", "", "-4", "尚未登录系统"),
            answer("NTAGCAPY", "", "-9", "NCB4241 -业务参考号重复"),
            taken("1"),
        ]
    if b"<FUNNAM>NTAGCINY<" in request.body:
        return [batch(document.reference), answer("NTAGCINY", ""), batch(document.reference, "OPR", "")]
    if b"<FUNNAM>NTAGDINF<" in request.body:
        if b"<TRXSEQ>" in request.body:
            return [details(3, 4)]
        return [details(1, 2, "00000003"), details(1, 2)]
    return [answer("NTAGDRFD", ""), answer("NTAGDRFD", "<NTAGDRFDZ1><TRSAMT>0.03</TRSAMT></NTAGDRFDZ1>")]
