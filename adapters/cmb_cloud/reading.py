"""What the CDC cloud says, and what we wrote to it, as Head, Rows and Tail.

=========== ===================================== ==========================================================================
BB6BTHHL    receipt                               ``bb6cdcbhz1``: the batch's number and state
BB1PAYBH    receipt                               ``bb1paybhz1``: our batch number, its state
BB6BPDQY    result of an agency payment           ``bb6bpdqyz1`` the batch, ``bb6bpdqyz2`` its payments
BB1QRYBD    result of a batch payment             ``bb1qrybdz1`` the payments
BAKOPRRVL   allow-list: what became of entries    ``BAKOPRRTNZ``
BAKQRYRVL   allow-list: the entries in force      ``BAKRVLIN2Y``
=========== ===================================== ==========================================================================

Source of the shapes: the bank's document centre (2026-09-03); for BB6BTHHL and BB6BPDQY ahKevinXy/go-cmb, models of 2023-04-14.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar

import msgspec

from adapters.cmb_cloud.codes import CODE, DONE, RECEIVED, RESULTCODE, leading_code
from adapters.cmb_cloud.layout import AGENCY, ALLOW, BATCH
from gateway.core.bank import DocKind, Head, Item, Reason, Row, Tail
from gateway.core.errors import Code, Malformed
from gateway.core.money import CNY, parse_decimal

AGENCY_QUERY, BATCH_QUERY, LIST_QUERY = "BB6BPDQY", "BB1QRYBD", "BAKQRYRVL"
#: The largest reply or part that is read.
TEXT_BYTES_MAX = 16 * 1024 * 1024
_PAYLOAD, _REPLY = b'{"body":{"', b'{"'
_KEY = re.compile(r"(?:^| )([0-9]{1,18})$")


class _Record(msgspec.Struct):
    """One record of a body. Every value is a text; what is not known here is left alone."""


class _Batch6(_Record):
    """bb6bpdqyz1: one batch."""

    yurref: str = ""
    reqnbr: str = ""
    reqsta: str = ""
    rtnflg: str = ""
    errdsp: str = ""
    trsnum: str = ""
    totamt: str = ""


class _Detail6(_Record):
    """bb6bpdqyz2: one payment of it."""

    trxseq: str = ""
    cprref: str = ""
    trsdsp: str = ""
    trsamt: str = ""
    stscod: str = ""
    errcod: str = ""
    errtxt: str = ""
    errdsp: str = ""
    bthnbr: str = ""


class _Detail1(_Record, rename="camel"):
    """bb1qrybdz1: one payment; bb1paybhz1: the batch."""

    bth_nbr: str = ""
    crt_sqn: str = ""
    yur_ref: str = ""
    trs_amt: str = ""
    req_sts: str = ""
    rtn_flg: str = ""
    err_cod: str = ""
    err_txt: str = ""
    req_nbr: str = ""


class _Entry(_Record, rename="camel"):
    """BAKOPRRTNZ: one entry that was handed in."""

    req_nbr: str = ""
    req_sta: str = ""
    opr_als: str = ""
    rsv30z: str = ""


class _Listed(_Record, rename="camel"):
    """BAKRVLIN2Y: one entry in force."""

    y_crt_sqn: str = ""
    y_crt_acc: str = ""
    y_crt_nam: str = ""
    note: str = msgspec.field(name="yRsv30z", default="")


class ReplyHead(msgspec.Struct):
    """The head of a reply."""

    funcode: str
    resultcode: str
    resultmsg: str = ""
    rspid: str = ""
    reqid: str = ""


class Reply(msgspec.Struct):
    """What a reply says, opened and with its signature left out."""

    head: ReplyHead
    body: dict[str, Any] = {}

    def records(self, name: str, type_: type[R]) -> list[R]:
        """The records under a name; none where it is absent or empty. Raises Malformed SCHEMA."""
        return _converted(self.body.get(name) or [], list[type_])  # type: ignore[valid-type]  # one of the structs above

    def first(self, name: str) -> dict[str, str]:
        """The first record under a name as it stands, without what is empty."""
        records = _converted(self.body.get(name) or [], list[dict[str, str]])
        return {key: value for key, value in records[0].items() if value} if records else {}


class _Message(msgspec.Struct):
    response: Reply


R = TypeVar("R", bound=_Record)
T = TypeVar("T")
_decode = msgspec.json.Decoder(_Message).decode


def reply(text: bytes) -> Reply:
    """An opened reply. Raises Malformed FORMAT, SCHEMA."""
    try:
        return _decode(text).response
    except msgspec.ValidationError as error:
        raise Malformed(f"not a reply: {error}", code=Code.SCHEMA) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        code = Code.TRUNCATED if "truncated" in str(error) else Code.FORMAT
        raise Malformed(f"not JSON: {error}", code=code) from None


def sniff(beginning: bytes) -> bool:
    """A payload of ours, or a reply of the bank."""
    start = beginning.lstrip()
    if start.startswith(_PAYLOAD):
        return start[len(_PAYLOAD) :].startswith((b"bb6", b"bb1", b"BAK"))
    return start.startswith(b'{"response":{')


def read(stream: BinaryIO) -> Iterator[Item]:
    """See ``Adapter.read``. A payload of ours is read part by part, a reply of the bank in one piece."""
    first = stream.readline(TEXT_BYTES_MAX + 1)
    if first.startswith(_PAYLOAD):
        return _payload(first, stream)
    text = first + stream.read(TEXT_BYTES_MAX + 1 - len(first))
    if len(text) > TEXT_BYTES_MAX:
        raise Malformed(f"larger than {TEXT_BYTES_MAX} bytes", code=Code.SIZE)
    if not text.strip():
        raise Malformed("nothing is in it", code=Code.TRUNCATED)
    return _told(reply(text))


# -------------------------------------------------------------------------------------------------------------- the bank's


def _told(said: Reply) -> Iterator[Item]:
    readers: dict[str, Callable[[Reply], Iterator[Item]]] = {
        AGENCY: _receipt,
        BATCH: _receipt,
        AGENCY_QUERY: _agency,
        BATCH_QUERY: _batch,
        ALLOW: _entries,
        LIST_QUERY: _listed,
    }
    reader = readers.get(said.head.funcode)
    if reader is None:
        raise Malformed(f"a reply to {said.head.funcode[:20]!r}", code=Code.SCHEMA, where="funcode")
    return reader(said)


def _head(said: Reply, kind: DocKind, status: str, **more: Any) -> Head:
    """``status`` unless the bank says that the request was not even taken."""
    reasons: tuple[Reason, ...] = ()
    if said.head.resultcode != RECEIVED:
        status = said.head.resultcode
        reasons = (Reason(RESULTCODE, said.head.resultcode, said.head.resultmsg),)
    return Head(
        kind=kind, message=said.head.funcode, reference=said.head.rspid, status=status, reasons=reasons, currency=CNY, **more
    )  # fmt: skip


def _receipt(said: Reply) -> Iterator[Item]:
    if said.head.funcode == BATCH:
        records = said.records("bb1paybhz1", _Detail1)
        told = records[0] if records else _Detail1()
        yield _head(said, DocKind.RECEIPT, _state(told.req_sts, told.rtn_flg) or RECEIVED, original=told.bth_nbr)
    else:
        state = said.first("bb6cdcbhz1").get("reqsta", "")
        yield _head(said, DocKind.RECEIPT, state or RECEIVED)
    yield Tail(count=0, minor=None)


def _agency(said: Reply) -> Iterator[Item]:
    batches = said.records("bb6bpdqyz1", _Batch6)
    batch = batches[0] if batches else _Batch6()
    details = said.records("bb6bpdqyz2", _Detail6)
    yield _head(
        said,
        DocKind.RESULT,
        _state(batch.reqsta, "" if details else batch.rtnflg) or RECEIVED,
        original=batch.yurref,
        declared_count=_number(batch.trsnum, "trsnum"),
        declared_minor=_amount(batch.totamt),
    )
    minor = 0
    for detail in details:
        amount = _amount(detail.trsamt)
        minor += amount or 0
        text = detail.errtxt or detail.errdsp
        yield Row(_agency_ref(detail), amount, CNY, detail.stscod, _reasons(detail.errcod, text), batch.reqnbr, text)
    yield Tail(count=len(details), minor=minor if details else None)


def _agency_ref(detail: _Detail6) -> str:
    """Our reference: in its own field, or at the end of the note; else the bank's number of the line, which is none of ours."""
    note = _KEY.search(detail.trsdsp)
    return detail.cprref or (note[1] if note else f"trxseq {detail.trxseq}")


def _batch(said: Reply) -> Iterator[Item]:
    details = said.records("bb1qrybdz1", _Detail1)
    yield _head(said, DocKind.RESULT, RECEIVED, original=details[0].bth_nbr if details else "")
    minor = 0
    for detail in details:
        amount = _amount(detail.trs_amt)
        minor += amount or 0
        ref = detail.crt_sqn or f"yurRef {detail.yur_ref}"
        state = _state(detail.req_sts, detail.rtn_flg)
        yield Row(ref, amount, CNY, state, _reasons(detail.err_cod, detail.err_txt), detail.req_nbr, detail.err_txt)
    yield Tail(count=len(details), minor=minor if details else None)


def _entries(said: Reply) -> Iterator[Item]:
    entries = said.records("BAKOPRRTNZ", _Entry)
    yield _head(said, DocKind.WHITELIST, RECEIVED)
    for entry in entries:
        yield Row(entry.rsv30z, None, "", entry.req_sta, (), entry.req_nbr, entry.opr_als)
    yield Tail(count=len(entries), minor=None)


def _listed(said: Reply) -> Iterator[Item]:
    listed = said.records("BAKRVLIN2Y", _Listed)
    yield _head(said, DocKind.WHITELIST, RECEIVED)
    for entry in listed:  # the bank pads with blanks
        ref, number = entry.note.strip(), entry.y_crt_sqn.strip()
        yield Row(ref, None, "", "A", (), number, name=entry.y_crt_nam.strip(), account=entry.y_crt_acc.strip())
    yield Tail(count=len(listed), minor=None)


def _state(status: str, flag: str) -> str:
    return f"{status}/{flag}" if status == DONE and flag else status


def _reasons(code: str, text: str) -> tuple[Reason, ...]:
    return (Reason(CODE, code or leading_code(text), text),) if code or text else ()


def _amount(text: str) -> int | None:
    return parse_decimal(text) if text else None


def _number(text: str, where: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Malformed(f"not a number: {text[:20]!r}", code=Code.RANGE, where=where)
    return int(text)


# -------------------------------------------------------------------------------------------------------------------- ours


class _Part(msgspec.Struct):
    body: dict[str, list[dict[str, str]]]
    funcode: str


def _payload(first: bytes, stream: BinaryIO) -> Iterator[Item]:
    """A payload of ours: for people, and for comparing what was written with what is there."""
    count = minor = 0
    last = False
    declared: tuple[int | None, int | None] = (None, None)
    line = first
    while line:
        part = _whole_part(line, count)
        head, rows, last = _PARTS[part.funcode](part)
        if not count:
            declared = (head.declared_count, head.declared_minor)
            yield head
        for row in rows:
            count += 1
            minor += row.amount or 0
            yield row
        line = stream.readline(TEXT_BYTES_MAX + 1)
        if line and last:
            raise Malformed("a part after the last", code=Code.FORMAT)
    if not last:
        raise Malformed("the last part is missing", code=Code.TRUNCATED)
    for mine, theirs in zip((count, minor), declared, strict=True):
        if theirs not in (None, mine):
            raise Malformed(f"declared {theirs}, counted {mine}", code=Code.TOTALS)
    yield Tail(count=count, minor=minor)


def _whole_part(line: bytes, count: int) -> _Part:
    if not line.endswith(b"}\n"):
        raise Malformed("the end of a part is missing", code=Code.TRUNCATED)
    try:
        part = msgspec.json.decode(line, type=_Part)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"not a part: {error}", code=Code.SCHEMA, where=f"after line {count}") from None
    if part.funcode not in _PARTS:
        raise Malformed(f"a part for {part.funcode[:20]!r}", code=Code.SCHEMA, where="funcode")
    return part


_Read = tuple[Head, list[Row], bool]


def _our_agency(part: _Part) -> _Read:
    told = _only(part, "bb6cdcbhx1")
    head = Head(
        kind=DocKind.PAYMENT,
        message=part.funcode,
        reference=told.get("yurref", ""),
        currency=CNY,
        declared_count=_number(told.get("ttlcnt", ""), "ttlcnt"),
        declared_minor=_amount(told.get("ttlamt", "")),
    )
    if None in (head.declared_count, head.declared_minor):
        raise Malformed("a part without the sums of the whole", code=Code.SCHEMA)
    rows = [_our_row(d, "cprref", "trsamt", "accnam", "accnbr") for d in part.body.get("bb6cdcdlx1", [])]
    if (sum(row.amount or 0 for row in rows), len(rows)) != (
        _amount(told.get("curamt", "")),
        _number(told.get("curcnt", ""), "curcnt"),
    ):
        raise Malformed("the sums of the part are not its own", code=Code.TOTALS)
    return head, rows, told.get("endtag") == "Y"


def _our_batch(part: _Part) -> _Read:
    told = _only(part, "bb1bmdbhx1")
    head = Head(
        kind=DocKind.PAYMENT,
        message=part.funcode,
        reference=told.get("bthNbr", ""),
        currency=CNY,
        declared_count=_number(told.get("dtlNbr", ""), "dtlNbr"),
    )
    rows = [_our_row(d, "crtSqn", "trsAmt", "crtNam", "crtAcc") for d in part.body.get("bb1paybhx1", [])]
    return head, rows, told.get("ctnFlg") == "N" or told.get("ctnSts") == "3"


def _our_entries(part: _Part) -> _Read:
    entries = part.body.get("BAKOPRRVLX1", [])
    rows = [
        Row(e.get("rsv30z", ""), None, "", e.get("oprTyp", ""), name=e.get("crtNam", ""), account=e.get("crtAcc", ""))
        for e in entries
    ]
    return Head(kind=DocKind.WHITELIST, message=part.funcode), rows, True


def _our_row(record: dict[str, str], ref: str, amount: str, name: str, account: str) -> Row:
    try:
        return Row(record[ref], parse_decimal(record[amount]), CNY, "", name=record[name], account=record[account])
    except KeyError as error:
        raise Malformed(f"a payment without {error}", code=Code.SCHEMA) from None


def _only(part: _Part, name: str) -> dict[str, str]:
    records = part.body.get(name, [])
    if len(records) != 1:
        raise Malformed(f"{len(records)} of {name}", code=Code.SCHEMA)
    return records[0]


_PARTS: dict[str, Callable[[_Part], _Read]] = {AGENCY: _our_agency, BATCH: _our_batch, ALLOW: _our_entries}


def _converted(value: Any, type_: type[T]) -> T:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise Malformed(f"another shape than agreed: {error}", code=Code.SCHEMA) from None
