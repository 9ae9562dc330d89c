"""What we read: our own 382 and 394 (for ``inspect``), and what the other side says of them: 383, 395, 900, 911, 990.

===== ============ ================================================================================================
382   PAYMENT      ``Row.ref`` = TxId
383   RESULT       the same; ``Row.status`` = Sts, its reason RjctCd with RjctInf beside it; the head's totals are the original's
394   NAME_CHECK   no reference on a line: account and name only
395   NAME_CHECK   the same, with Sts and RjctCd; AcctSts is shown as it is, its meaning is not public
900   RECEIPT      ``Head.status`` = PrcSts, reasons PtyPrcCd and PrcCd
911   RECEIPT      ``Head.status`` = PrcCd: the centre has thrown the message away, and says nothing of an earlier copy
990   RECEIPT      ``Head.status`` = MsgPrcCd
===== ============ ================================================================================================

911 and 990 name the transport's id, all others MsgId; in what we write these are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from adapters.cnaps2.messages import Message, Values, amount, open_message, text_at
from adapters.standards.message import Sum
from gateway.core.bank import DocKind, Head, Item, Reason, Row, Tail
from gateway.core.errors import Code, Malformed

PRC_STS, RJCT_CD, PRC_CD, ACCT_STS = "PrcSts", "RjctCd", "PrcCd", "AcctSts"
_BEGINNING = re.compile(rb"\{H:[ -~]{52}XML[ -~]{71}\}\r\n")
_NUMBER = re.compile("[0-9]{1,16}")


def sniff(beginning: bytes) -> bool:
    """Whether these first bytes are an envelope of this format."""
    return _BEGINNING.match(beginning) is not None


def read(source: BinaryIO) -> Iterator[Item]:
    """Head, Rows, Tail. Raises Malformed; only its end proves that the message was whole."""
    message, lines = open_message(source)
    yield from _READERS[message.shape.message](message, lines)


def _payment(message: Message, lines: Iterator[Values]) -> Iterator[Item]:
    values, inner = message.values, message.shape.inner
    minor, currency = amount(values, f"{inner}/TtlAmt")
    head = _head(message, DocKind.PAYMENT)
    head.currency, head.declared_minor = currency, minor
    head.declared_count = _count(values, f"{inner}/CdtrNb")
    yield head
    total = Sum()
    for line in lines:
        row = _row(line, "", ())
        total.add(row.amount, row.currency)
        yield row
    yield Tail(count=total.count, minor=total.minor)


def _result(message: Message, lines: Iterator[Values]) -> Iterator[Item]:
    values = message.values
    minor, currency = amount(values, "OrgnlMsgInf/OrgnlTtlAmt")
    head = _head(message, DocKind.RESULT)
    head.original = text_at(values, "OrgnlMsgInf/OrgnlMsgId")
    head.original_kind = "beps.382"
    head.currency, head.declared_minor, head.parts = currency, minor, 0
    head.declared_count = _count(values, "OrgnlMsgInf/OrgnlTtlNb")
    yield head
    total = Sum()
    for line in lines:
        row = _row(line, text_at(line, "RspnInf/Sts"), _reasons(line))
        total.add(row.amount, row.currency)
        yield row
    yield Tail(count=total.count, minor=total.minor)


def _row(line: Values, status: str, reasons: tuple[Reason, ...]) -> Row:
    minor, currency = amount(line, "Amt")
    ref = text_at(line, "TxId")
    if not _NUMBER.fullmatch(ref):  # what is signed has no borders but |: a name must not pass for a number
        raise Malformed("is not 1 to 16 digits", code=Code.SCHEMA, where="TxId")
    name, account = text_at(line, "Cdtr/Nm"), text_at(line, "CdtrAcct/Id/Othr/Id")
    words = line.get("RspnInf/RjctInf", "") or line.get("AddtlInf", "")
    return Row(ref, minor, currency, status, reasons, "", words, -1, name, account)


def _reasons(line: Values) -> tuple[Reason, ...]:
    """The code with its words; words without a code are a reason too."""
    code, words = line.get("RspnInf/RjctCd", ""), line.get("RspnInf/RjctInf", "")
    return (Reason(RJCT_CD, code, words),) if code or words else ()


def _question(message: Message, lines: Iterator[Values]) -> Iterator[Item]:
    head = _head(message, DocKind.NAME_CHECK)
    head.declared_count = _count(message.values, f"{message.shape.inner}/AcctCnt")
    yield from _accounts(head, lines)


def _answer(message: Message, lines: Iterator[Values]) -> Iterator[Item]:
    head = _head(message, DocKind.NAME_CHECK)
    head.declared_count = _count(message.values, f"{message.shape.inner}/AcctCnt")
    _answered(head, message.values)
    yield from _accounts(head, lines)


def _accounts(head: Head, lines: Iterator[Values]) -> Iterator[Item]:
    yield head
    count = 0
    for line in lines:
        count += 1
        state = line.get("AcctSts", "")
        reasons = (*_reasons(line), *((Reason(ACCT_STS, state),) if state else ()))
        status, words = line.get("RspnInf/Sts", ""), line.get("RspnInf/RjctInf", "")
        yield Row("", None, "", status, reasons, "", words, -1, text_at(line, "Nm"), text_at(line, "Id"))
    if count != head.declared_count:
        raise Malformed(f"declares {head.declared_count} accounts, has {count}", code=Code.TOTALS)
    yield Tail(count=count, minor=None)


def _confirmation(message: Message, lines: Iterator[Values]) -> Iterator[Item]:
    values = message.values
    head = _head(message, DocKind.RECEIPT)
    _answered(head, values)
    head.status = text_at(values, "CmonConfInf/PrcSts")
    words = values.get("CmonConfInf/RjctInf", "")
    codes = ((RJCT_CD, "PtyPrcCd"), (PRC_CD, "PrcCd"))
    told = [(set_, values.get(f"CmonConfInf/{path}", "")) for set_, path in codes]
    head.reasons = tuple(Reason(set_, code, words) for set_, code in told if code)
    if words and not head.reasons:
        head.reasons = (Reason(PRC_CD, "", words),)
    yield from _alone(head, lines)


def _discarded(message: Message, lines: Iterator[Values]) -> Iterator[Item]:
    head = _head(message, DocKind.RECEIPT)
    _transported(head, message.values, "DscrdInf")
    head.status = text_at(message.values, "DscrdInf/PrcCd")
    head.reasons = (Reason(PRC_CD, head.status, message.values.get("DscrdInf/RjctInf", "")),)
    yield from _alone(head, lines)


def _arrived(message: Message, lines: Iterator[Values]) -> Iterator[Item]:
    head = _head(message, DocKind.RECEIPT)
    _transported(head, message.values, "ConfInf")
    head.status = text_at(message.values, "ConfInf/MsgPrcCd")
    head.reasons = (Reason(PRC_CD, head.status),)
    yield from _alone(head, lines)


def _alone(head: Head, lines: Iterator[Values]) -> Iterator[Item]:
    """A word on the whole; running through the message to its end proves that it is whole."""
    yield head
    for _ in lines:
        raise Malformed("a line where the message has none", code=Code.SCHEMA)
    yield Tail(count=0, minor=None)


def _head(message: Message, kind: DocKind) -> Head:
    values = message.values
    head = Head(kind=kind, message=message.name, reference=message.header.id)
    if any(path.startswith("GrpHdr/") for path in values):
        head.reference, head.created = text_at(values, "GrpHdr/MsgId"), values.get("GrpHdr/CreDtTm", "")
    return head


def _answered(head: Head, values: Values) -> None:
    head.original = text_at(values, "OrgnlGrpHdr/OrgnlMsgId")
    head.original_kind = values.get("OrgnlGrpHdr/OrgnlMT", "")


def _transported(head: Head, values: Values, inner: str) -> None:
    head.original = text_at(values, f"{inner}/MsgId")
    head.original_kind = values.get(f"{inner}/MT", "")


def _count(values: Values, path: str) -> int:
    text = text_at(values, path)
    if not (text.isascii() and text.isdigit() and len(text) <= 8):
        raise Malformed("is not a count of up to 8 digits", code=Code.SCHEMA, where=path)
    return int(text)


_READERS: dict[str, Callable[[Message, Iterator[Values]], Iterator[Item]]] = {
    "beps.382.001": _payment,
    "beps.383.001": _result,
    "beps.394.001": _question,
    "beps.395.001": _answer,
    "ccms.900.001": _confirmation,
    "ccms.911.001": _discarded,
    "ccms.990.001": _arrived,
}
