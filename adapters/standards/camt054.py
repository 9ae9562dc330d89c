"""camt.054, debit and credit notification (.01 to .14), and camt.053, statement, which has the same entries.

Every booking is told, and is a Row: one for each ``TxDtls``, or one for an entry without details. Its entry is its
Block, whose reasons are the entry's own marks: ``CdtDbtInd``, ``RvslInd``, ``BkTxCd``. Row.status is the entry's
status (``BOOK``, ``PDNG``, ``INFO``), Row.reasons are those of ``RtrInf``.

Row.ref is ``EndToEndId``, else ``InstrId``, else ``AcctSvcrRef``, else the entry's own references: banks leave out what
they did not get. Row.amount is the detail's own; the entry's only where the entry has one detail or none.

Raises Malformed TOTALS where an account's ``TxsSummry/TtlNtries`` differs from its entries.

Source: ISO 20022 Bank-to-Customer Cash Management, camt.054.001.01 to .001.14 and camt.053.001.02 to .001.14.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from adapters.standards.message import (
    NOT_PROVIDED,
    Message,
    Parts,
    Shape,
    Sum,
    count_of,
    misplaced,
    money_of,
    reasons_of,
    sum_of,
)
from gateway.codec import xml
from gateway.codec.xml import Element, Names, at, before, children, only, parts, value
from gateway.core.bank import Block, DocKind, Head, Item, Reason, Row, Tail
from gateway.core.errors import Code, Malformed

_PARTS = ("GrpHdr", "Ntry", "TxDtls")
NOTIFICATION = Shape("camt.054", (*_PARTS, "Ntfctn"))
STATEMENT = Shape("camt.053", (*_PARTS, "Stmt"))
#: Sets of a Block's reasons: the marks of an entry.
DIRECTION, REVERSAL, BOOKING_CODE = "CdtDbtInd", "RvslInd", "BkTxCd"
#: Set (and code) of a Row's reason where its return gives none.
RETURN = "RtrInf"

_HEADER = frozenset({"MsgId", "CreDtTm"})
_DETAIL = frozenset({"AddtlTxInf"})
_REFERENCES = frozenset({"EndToEndId", "InstrId", "AcctSvcrRef"})


def read_notification(message: Message, elements: Parts) -> Iterator[Item]:
    """A camt.054: kind RETURN, though other bookings may stand in it too."""
    return _read(message, elements, DocKind.RETURN)


def read_statement(message: Message, elements: Parts) -> Iterator[Item]:
    """A camt.053: kind STATEMENT."""
    return _read(message, elements, DocKind.STATEMENT)


def _read(message: Message, elements: Parts, kind: DocKind) -> Iterator[Item]:
    bookings = _Bookings(message)
    head = Head(kind=kind, message=message.name, parts=0)
    lines = Sum()
    told = False
    for name, element in elements:
        if name == "GrpHdr":
            texts, _ = parts(element, message.names, _HEADER)
            head.reference, head.created = texts.get("MsgId", ""), texts.get("CreDtTm", "")
            continue
        for item in bookings.take(name, element):
            if not told:
                told = True
                yield head
            if isinstance(item, Row):
                lines.add(item.amount, item.currency)
            yield item
    if not told:
        yield head
    yield Tail(count=lines.count, minor=lines.minor)


class _Entry(NamedTuple):
    """What an entry says before its details."""

    element: Element
    block: Block
    amount: int
    currency: str
    reference: str  # the account servicer's
    text: str


class _Bookings:
    """Entries and their details, in the order of their ends: details first, then their entry, then its account."""

    def __init__(self, message: Message) -> None:
        self._names = message.names
        self._root = message.root
        self._entry: _Entry | None = None
        self._held: Row | None = None  # a detail waits until it is known whether it is its entry's only one
        self._details = 0
        self._blocks = 0
        self._account = Sum()

    def take(self, name: str, element: Element) -> Iterator[Item]:
        """What one more complete part of the message tells."""
        if element is self._root:
            return
        parent = element.getparent()
        if name == "TxDtls":
            above = parent.getparent() if parent is not None else None
            if parent is None or above is None or xml.local(parent) != "NtryDtls" or not self._is_entry(above):
                misplaced(element)
                return
            yield from self._open(above)
            if self._held is not None:
                yield self._held
            self._details += 1
            self._held = self._detail(element)
        elif name == "Ntry":
            if not self._is_entry(element):
                misplaced(element)
                return
            yield from self._open(element)
            yield self._close(element)
        elif parent is self._root:
            self._check_account(element)
        else:
            misplaced(element)

    def _is_entry(self, element: Element) -> bool:
        account = element.getparent()
        return xml.local(element) == "Ntry" and account is not None and account.getparent() is self._root

    def _open(self, element: Element) -> Iterator[Block]:
        if self._entry is None or self._entry.element is not element:
            self._entry = _entry(element, before(element, self._names, "NtryDtls"), self._names)
            self._details, self._held = 0, None
            self._blocks += 1
            yield self._entry.block

    def _close(self, element: Element) -> Row:
        """The entry's last row, now that all of it is known."""
        announced = self._entry
        entry = _entry(element, element, self._names)
        if announced is None or announced._replace(text="") != entry._replace(text=""):
            what = "an entry's own marks stand behind its details"
            raise Malformed(what, code=Code.SCHEMA, where=xml.place(element))
        self._account.add(entry.amount, entry.currency)
        row = self._held or Row(
            entry.reference or entry.block.ref,
            entry.amount,
            entry.currency,
            entry.block.status,
            bank_ref=entry.reference,
            block=self._blocks - 1,
        )
        if self._details > 1:
            return row
        if row.amount is None:
            row = row._replace(amount=entry.amount, currency=entry.currency)
        return row._replace(text="; ".join(text for text in (row.text, entry.text) if text))

    def _detail(self, element: Element) -> Row:
        entry, names = self._entry, self._names
        assert entry is not None
        texts, branches = parts(element, names, _DETAIL)
        references = only(branches, "Refs")
        refs = parts(references, names, _REFERENCES)[0] if references is not None else {}
        given = (refs.get("EndToEndId", ""), refs.get("InstrId", ""))
        ref = next((ref for ref in given if ref not in NOT_PROVIDED), "")
        bank_ref = refs.get("AcctSvcrRef", "") or entry.reference
        returned = branches.get(RETURN, ())
        reasons, text = reasons_of(returned, names)
        told = tuple(reason for reason in reasons if reason.code)
        if returned and not told:
            told = (Reason(RETURN, RETURN),)  # a return that gives no reason is one all the same
        code = _booking_code(only(branches, BOOKING_CODE), names)
        if code and Reason(BOOKING_CODE, code) not in entry.block.reasons:
            told = (*told, Reason(BOOKING_CODE, code))
        own = _amount(element, names)
        amount, currency = money_of(own) if own is not None else (None, "")
        return Row(
            ref or bank_ref or entry.block.ref,
            amount,
            currency,
            entry.block.status,
            told,
            bank_ref,
            "; ".join(part for part in (text, texts.get("AddtlTxInf", "")) if part),
            self._blocks - 1,
        )

    def _check_account(self, element: Element) -> None:
        """Raises Malformed TOTALS where the account's own summary differs from its entries."""
        counted, self._account = self._account, Sum()
        total = at(element, self._names, "TxsSummry", "TtlNtries")
        if total is None:
            return
        texts, _ = parts(total, self._names, frozenset({"NbOfNtries", "Sum"}))
        count = count_of(texts.get("NbOfNtries"))
        minor = sum_of(texts.get("Sum", ""), counted.currency)
        if count not in (None, counted.count) or (None not in (minor, counted.minor) and minor != counted.minor):
            what = f"declares {count} entries of {minor} together, holds {counted.count} of {counted.minor}"
            raise Malformed(what, code=Code.TOTALS, where=xml.place(element))


def _entry(element: Element, words: Iterable[Element], names: Names) -> _Entry:
    """``words``: those of its children that are to be read."""
    found = children(words, names)
    amount = only(found, "Amt")
    if amount is None:
        raise Malformed("an entry without an amount", code=Code.SCHEMA, where=xml.place(element))
    marks = {mark: value(only(found, mark)) for mark in (DIRECTION, REVERSAL)}
    marks[BOOKING_CODE] = _booking_code(only(found, BOOKING_CODE), names)
    block = Block(
        ref=value(only(found, "NtryRef")),
        status=_status(only(found, "Sts"), names),
        reasons=tuple(Reason(mark, word) for mark, word in marks.items() if word),
    )
    return _Entry(
        element, block, *money_of(amount), value(only(found, "AcctSvcrRef")), value(only(found, "AddtlNtryInf"))
    )


def _status(status: Element | None, names: Names) -> str:
    """A choice of codes since .05; before that the code stood there by itself."""
    chosen = at(status, names, "Cd")
    if chosen is None:
        chosen = at(status, names, "Prtry")
    return value(status if chosen is None else chosen)


def _amount(detail: Element, names: Names) -> Element | None:
    amount = at(detail, names, "Amt")
    return amount if amount is not None else at(detail, names, "AmtDtls", "TxAmt", "Amt")


def _booking_code(code: Element | None, names: Names) -> str:
    """``PMNT/RCDT/RRTN``, the proprietary code, or ""."""
    domain = at(code, names, "Domn")
    if domain is None:
        return value(at(code, names, "Prtry", "Cd"))
    family = at(domain, names, "Fmly")
    levels = (at(domain, names, "Cd"), at(family, names, "Cd"), at(family, names, "SubFmlyCd"))
    return "/".join(value(level) for level in levels)
