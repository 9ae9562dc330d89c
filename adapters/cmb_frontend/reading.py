"""Reading messages of the front-end, ours and the bank's: a payment Document of several messages, or one answer.

=================  ===================================  ==========================================================================
function           what stands in it                    read as
=================  ===================================  ==========================================================================
NTAGCAPY           NTAGCAGCX1, NTAGCDTLY1 (ours)        PAYMENT: a Row for each payment
NTAGCAPY           NTAGCAGCZ1                           RECEIPT: REQSTA is the word, REQNBR the bank's number
NTAGCINY NTAGCINN  NTAGCINQZ                            ANSWER: one batch is the word on the whole; several are Blocks
NTAGDINF           NTAGCDTLY1                           RESULT: Row.ref is our key in CPRREF or CPRACT
GetAgentDetail     NTQATDQYZ                            RESULT: without any reference of ours
NTAGDRFD           NTAGDRFDZ1                           RETURN: Row.ref is our key in CPRACT
NTQRYRVL           NTRVLINFY, NTQRYRVLZ                 WHITELIST: the payees that may be paid
any other          whatever                             INQUIRY or ANSWER, its components as Rows, so that a person can look at it
=================  ===================================  ==========================================================================

Agency payments are in CNY, so their rows are. A row that does not hold one key of ours gets the bank's own number behind ``#``: it is parked,
never matched by guess.

Source: as in ``layout``; the samples of that repository's tests.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import BinaryIO, NamedTuple

from adapters.cmb_frontend.codes import reasons_of
from adapters.cmb_frontend.layout import RENMINBI
from gateway.codec import xml
from gateway.codec.xml import Element, Names, leaves
from gateway.core.bank import Block, DocKind, Head, Item, Reason, Row, Tail
from gateway.core.errors import Code, Malformed
from gateway.core.money import CNY, parse_decimal

ROOT = "CMBSDKPGK"
_PAY = "NTAGCAPY"
_NEXT = b"\n<?xml "
_BLOCK_BYTES = 256 * 1024
#: Components that are read one by one and let go.
_DETAILS = ("NTAGCDTLY1", "NTQATDQYZ", "NTAGDRFDZ1", "NTRVLINFY")
_KINDS = {
    _PAY: DocKind.RECEIPT,
    "NTAGCINY": DocKind.ANSWER,
    "NTAGCINN": DocKind.ANSWER,
    "NTAGDINF": DocKind.RESULT,
    "GetAgentDetail": DocKind.RESULT,
    "NTAGDRFD": DocKind.RETURN,
    "NTQRYRVL": DocKind.WHITELIST,
}
_ORDER = "NTAGCAGCX1"
#: Components whose order counts; the names of all others are not known beforehand, and they come at the end.
_KNOWN = frozenset({"INFO", "NTBUSMODY", _ORDER, "NTAGCAGCZ1", "NTAGCINQZ", "NTAGDINFY1", "NTQRYRVLZ", *_DETAILS})
Texts = Mapping[str, str]


class Component(NamedTuple):
    """One element below the root, taken apart."""

    name: str
    texts: Texts


def read(source: BinaryIO) -> Iterator[Item]:
    """Head, Blocks and Rows, Tail. Raises Malformed; only the Tail proves that it was whole."""
    messages = _messages(source)
    first = next(messages)
    second = next(messages, None)
    components = _components(first)
    info = next(components).texts
    order = next(components, None)
    if order is not None and order.name == _ORDER and info.get("FUNNAM") == _PAY:
        yield from _payment(info, order.texts, components, second, messages)
        return
    if second is not None:
        raise Malformed("two messages in one answer", code=Code.SCHEMA)
    yield from _answer(info, components if order is None else chain((order,), components))


def opened(body: bytes) -> tuple[Texts, list[Component]]:
    """INFO and the components of one answer, for the route. Raises Malformed."""
    info, *components = _components(body)
    return info.texts, components


def sniff(beginning: bytes) -> bool:
    """Whether these first bytes look like a message of the front-end."""
    return b"<" + ROOT.encode() in beginning


# ---------------------------------------------------------------------------------------------------------------- messages


def _messages(source: BinaryIO) -> Iterator[bytes]:
    """The messages of a file, each with its declaration; at least one, and one in memory at a time. Ours are separated by LF."""
    rest = b""
    while data := source.read(_BLOCK_BYTES):
        searched = max(0, len(rest) - len(_NEXT))
        rest = rest + data if rest else data.lstrip()
        while (cut := rest.find(_NEXT, searched)) >= 0:
            yield rest[:cut]
            rest, searched = rest[cut + 1 :], 0
    yield rest


def _components(message: bytes) -> Iterator[Component]:
    """INFO first, then every other component in order, those of unknown names last. Raises Malformed."""
    names = Names("")
    seen = False
    for element in xml.stream(io.BytesIO(message.strip()), _KNOWN | {ROOT}):  # some servers put an empty line first
        name = names[str(element.tag)]
        parent = element.getparent()
        if name == ROOT:
            if parent is not None or not seen:
                raise Malformed("no message of the front-end", code=Code.SCHEMA, where=xml.place(element))
            yield from _others(element, names)
            continue
        if parent is None or names[str(parent.tag)] != ROOT or parent.getparent() is not None:
            raise Malformed(f"<{name}> stands where the message has none", code=Code.SCHEMA, where=xml.place(element))
        if (name == "INFO") == seen:
            raise Malformed("INFO is not the first component", code=Code.SCHEMA, where=xml.place(element))
        seen = True
        if name != "NTBUSMODY":
            yield Component(name, leaves(element, names))
    if not seen:
        raise Malformed("no message of the front-end", code=Code.SCHEMA)


def _others(root: Element, names: Names) -> Iterator[Component]:
    for child in root:
        name = names[child.tag]  # type: ignore[index]  # a comment's tag is a function: Names answers ""
        if name and name not in _KNOWN:
            yield Component(name, leaves(child, names))


# ---------------------------------------------------------------------------------------------------------------- payments


class _Payments:
    """What a payment Document has shown so far."""

    def __init__(self, order: Texts) -> None:
        self.reference = order.get("YURREF", "")
        self.totals = (order.get("TTLCNT", ""), order.get("TTLAMT", ""), order.get("TTLNUM", ""))
        self.count = self.minor = self.messages = 0
        self.ended = False

    def rows(self, order: Texts, components: Iterable[Component]) -> Iterator[Row]:
        """The payments of one message, whose own count and sum must agree."""
        self.messages += 1
        where = f"message {self.messages}"
        shared = (order.get("TTLCNT", ""), order.get("TTLAMT", ""), order.get("TTLNUM", ""))
        if self.ended or order.get("YURREF", "") != self.reference or shared != self.totals:
            raise Malformed("does not belong to the batch before it", code=Code.SCHEMA, where=where)
        self.ended = order.get("ENDTAG") == "Y"
        count = minor = 0
        for component in components:
            if component.name != "NTAGCDTLY1":
                raise Malformed(f"<{component.name}> in a payment message", code=Code.SCHEMA, where=where)
            row = _detail(component.texts, f"payment {count + 1} of {where}", paid=True)
            count, minor = count + 1, minor + (row.amount or 0)
            yield row
        if (count, minor) != (_count(order, "CURCNT"), _money(order, "CURAMT", where)):
            what = f"tells {order.get('CURCNT')} payments of {order.get('CURAMT')}, holds {count} of {minor} fen"
            raise Malformed(what, code=Code.TOTALS, where=where)
        self.count, self.minor = self.count + count, self.minor + minor


def _payment(
    info: Texts, order: Texts, components: Iterator[Component], second: bytes | None, messages: Iterator[bytes]
) -> Iterator[Item]:
    """All messages of a batch, or one of them alone."""
    begins, ends = order.get("BEGTAG") == "Y", order.get("ENDTAG") == "Y"
    whole = begins and (ends or second is not None)
    count, money = ("TTLCNT", "TTLAMT") if whole else ("CURCNT", "CURAMT")
    yield Head(
        kind=DocKind.PAYMENT,
        message=info.get("FUNNAM", ""),
        reference=order.get("YURREF", ""),
        created=order.get("EPTDAT", ""),
        currency=_currency(order),
        declared_count=_count(order, count),
        declared_minor=_money(order, money, "message 1"),
        part=1 if begins else 0,
        parts=1 if whole else _count(order, "TTLNUM"),
    )
    told = _Payments(order)
    yield from told.rows(order, components)
    for message in chain(() if second is None else (second,), messages):
        following = _components(message)
        next(following)
        component = next(following, None)
        if component is None or component.name != _ORDER or component.texts.get("BEGTAG") == "Y":
            raise Malformed("is not another part of the batch", code=Code.SCHEMA, where=f"message {told.messages + 1}")
        yield from told.rows(component.texts, following)
    if whole and not told.ended:
        raise Malformed("the last part of the batch is missing", code=Code.TRUNCATED)
    declared = (_count(order, count), _money(order, money, "message 1"))
    if (told.count, told.minor) != declared:
        what = f"tells {declared[0]} payments of {declared[1]} fen, holds {told.count} of {told.minor}"
        raise Malformed(what, code=Code.TOTALS)
    yield Tail(count=told.count, minor=told.minor)


# ---------------------------------------------------------------------------------------------------------------- answers


def _answer(info: Texts, components: Iterable[Component]) -> Iterator[Item]:
    function = info.get("FUNNAM", "")
    reply = "RETCOD" in info
    head = Head(kind=_KINDS.get(function, DocKind.ANSWER) if reply else DocKind.INQUIRY, message=function, parts=0)
    if info.get("RETCOD", "0") != "0":
        head.status = info["RETCOD"]
        head.reasons = reasons_of("RETCOD", info["RETCOD"], info.get("ERRMSG", ""))
    waiting: list[Block] = []
    rows = _Rows(head)
    for component in components:
        if component.name == "NTAGCAGCZ1" and head.kind is DocKind.RECEIPT:
            head.reference, head.status = component.texts.get("REQNBR", ""), component.texts.get("REQSTA", "")
            head.reasons = reasons_of("ERRCOD", component.texts.get("ERRCOD", ""), component.texts.get("ERRDSP", ""))
        elif component.name == "NTAGCINQZ":
            waiting.append(_batch(component.texts))
            head.declared_count = _count(component.texts, "TRSNUM") if component.texts.get("TRSNUM") else None
            head.declared_minor = (
                _money(component.texts, "TOTAMT", component.name) if component.texts.get("TOTAMT") else None
            )
            head.reference = component.texts.get("REQNBR", "")
            head.created = component.texts.get("OPRDAT", "")
        elif component.name in ("NTAGDINFY1", "NTQRYRVLZ") and reply:
            head.reference = component.texts.get("REQNBR", "") or component.texts.get("CHKSUM", "")
        else:
            yield from rows.take(component)
    if len(waiting) == 1:
        head.original, head.status, head.reasons = waiting[0].ref, waiting[0].status, waiting[0].reasons
    elif waiting:
        head.declared_count = head.declared_minor = None
        head.reference = head.created = ""
        head.original = waiting[0].ref if len({block.ref for block in waiting}) == 1 else ""
    yield from rows.begin()
    if len(waiting) > 1:
        yield from waiting
    yield Tail(count=rows.count, minor=rows.minor if rows.priced else None)


class _Rows:
    """The rows of an answer behind their Head, which is told once the first of them is there."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._begun = False
        self.count = self.minor = 0
        self.priced = True

    def begin(self) -> Iterator[Item]:
        """The Head, once."""
        if not self._begun:
            self._begun = True
            yield self._head

    def take(self, component: Component) -> Iterator[Item]:
        """One component as a Row."""
        yield from self.begin()
        self.count += 1
        row = _ROW.get(component.name, _anything)(component.texts, f"{component.name} {self.count}")
        self.priced = self.priced and row.amount is not None
        self.minor += row.amount or 0
        yield row


def _batch(texts: Texts) -> Block:
    """NTAGCINQZ: the state of a batch, its result, and why."""
    reasons = reasons_of("ERRCOD", texts.get("ERRCOD", ""), texts.get("ERRDSP", ""))
    if flag := texts.get("RTNFLG", ""):
        reasons = (Reason("RTNFLG", flag), *reasons)
    return Block(ref=texts.get("YURREF", ""), status=texts.get("REQSTA", ""), reasons=reasons)


def _detail(texts: Texts, where: str, *, paid: bool = False) -> Row:
    """NTAGCDTLY1, ours and the bank's."""
    text = texts.get("ERRDSP", "") or texts.get("ERRTXT", "")
    reasons = () if paid else reasons_of("ERRCOD", texts.get("ERRCOD", ""), text)
    return Row(
        _key(texts.get("TRXSEQ", ""), texts.get("CPRREF", ""), texts.get("CPRACT", "")),
        _money(texts, "TRSAMT", where),
        CNY,
        texts.get("STSCOD", ""),
        reasons,
        text=texts.get("TRSDSP", "") if paid else text,
        name=texts.get("ACCNAM", ""),
        account=texts.get("ACCNBR", ""),
    )


def _old_detail(texts: Texts, where: str) -> Row:
    """NTQATDQYZ, of the older function: no reference, no number."""
    reasons = reasons_of("ERRCOD", "", texts.get("ERRDSP", ""))
    return Row(
        "#",
        _money(texts, "TRSAMT", where),
        CNY,
        texts.get("STSCOD", ""),
        reasons,
        text=texts.get("ERRDSP", ""),
        name=texts.get("CLTNAM", ""),
        account=texts.get("ACCNBR", ""),
    )


def _returned(texts: Texts, where: str) -> Row:
    """NTAGDRFDZ1; the sample calls the code RTNCOD, the component's description ERRCOD."""
    code = texts.get("RTNCOD", "") or texts.get("ERRCOD", "")
    number = f"{texts.get('YURREF', '')}/{texts.get('BTHDTL', '')}"
    return Row(
        _key(number, texts.get("CPRACT", "")),
        _money(texts, "TRSAMT", where),
        CNY,
        texts.get("STSCOD", ""),
        reasons_of("RTNCOD", code, texts.get("RTNTXT", "")),
        bank_ref=f"{texts.get('REQNBR', '')}/{texts.get('BTHDTL', '')}",
        text=texts.get("RTNTXT", ""),
        name=texts.get("EACNAM", ""),
        account=texts.get("EACNBR", ""),
    )


def _payee(texts: Texts, where: str) -> Row:
    """NTRVLINFY: one payee that may be paid."""
    del where
    return Row(texts.get("CRTSQN", ""), None, "", "", name=texts.get("CRTNAM", ""), account=texts.get("CRTACC", ""))


def _anything(texts: Texts, where: str) -> Row:
    """A component of a function that is not used here."""
    reference = next((texts[tag] for tag in ("YURREF", "REQNBR", "ACCNBR", "DBTACC") if texts.get(tag)), "")
    status = next((texts[tag] for tag in ("REQSTS", "REQSTA", "STSCOD", "RSV50Z") if texts.get(tag)), "")
    reasons = reasons_of("ERRCOD", texts.get("ERRCOD", ""), texts.get("ERRTXT", "") or texts.get("ERRDSP", ""))
    name = texts.get("CRTNAM", "") or texts.get("ACCNAM", "") or texts.get("CLTNAM", "")
    return Row(
        f"#{reference}",
        _money(texts, "TRSAMT", where) if texts.get("TRSAMT") else None,
        "",
        status,
        reasons,
        name=name,
        account=texts.get("CRTACC", "") or texts.get("ACCNBR", ""),
    )


_ROW = {"NTAGCDTLY1": _detail, "NTQATDQYZ": _old_detail, "NTAGDRFDZ1": _returned, "NTRVLINFY": _payee}


def _key(number: str, *told: str) -> str:
    """Our key, where the row tells exactly one; else the bank's own number behind ``#``."""
    ours = {text for text in told if text}
    return ours.pop() if len(ours) == 1 else f"#{number}"


def _count(texts: Texts, tag: str) -> int:
    text = texts.get(tag, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 8):
        raise Malformed(f"{tag} is not a count: {text[:20]!r}")
    return int(text)


def _money(texts: Texts, tag: str, where: str) -> int:
    return parse_decimal(texts.get(tag, ""), where=f"{tag} of {where}")


def _currency(order: Texts) -> str:
    code = order.get("CCYNBR", "")
    return CNY if code in ("", RENMINBI) else code
