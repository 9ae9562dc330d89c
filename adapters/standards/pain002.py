"""pain.002, customer payment status report: versions .03 to .15 by the paths that they share.

A word stands on three levels that may disagree, and each is kept exactly as written: the message (``GrpSts`` → Head),
the payment block (``PmtInfSts`` → Block), the transaction (``TxSts`` → Row). Some dialects put transactions directly
below the message; those have no Block.

Kind: NAME_CHECK if its first word, of the message, else of the first block or transaction, is one of verification of payee: such a
report says nothing about payments. Else RECEIPT if the message only says that the file was taken up (no transaction, no word beyond
acceptance), else RESULT. Totals in the Head are the ORIGINAL file's, as the bank repeats them; the Tail counts what is told here. The
message does not tell how many parts an answer has.

Row.ref is ``OrgnlEndToEndId``, or ``OrgnlInstrId`` where that is absent or NOTPROVIDED. Row.name and Row.account are
the creditor's in ``OrgnlTxRef``, read beside a reason only: there some banks write what they have, others repeat
ours.

Source: ISO 20022 Payments Initiation, pain.002.001.03 to .001.15; the paths were compared over the XSDs .03, .10, .12,
.14 and .15.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.standards import verification
from adapters.standards.message import (
    NOT_PROVIDED,
    Message,
    Parts,
    Shape,
    Sum,
    account_of,
    count_of,
    instructed_amount,
    misplaced,
    name_of,
    reasons_of,
    sum_of,
)
from gateway.codec import xml
from gateway.codec.xml import Element, Names, at, before, only, parts
from gateway.core.bank import Block, DocKind, Head, Item, Row, Tail
from gateway.core.errors import Code, Malformed

TRANSACTION = "TxInfAndSts"
SHAPE = Shape("pain.002", ("GrpHdr", "OrgnlGrpInfAndSts", "OrgnlPmtInfAndSts", TRANSACTION))
#: Words that say no more than that a file was taken up.
ACCEPTANCE = frozenset({"RCVD", "ACTC", "ACCP", "ACSP", "ACWC", "ACFC", "ACFW", "ACPD", "PATC", "PDNG"})

_HEADER = frozenset({"MsgId", "CreDtTm"})
_GROUP = frozenset({"OrgnlMsgId", "OrgnlMsgNmId", "OrgnlNbOfTxs", "OrgnlCtrlSum", "GrpSts"})
_BLOCK = frozenset({"OrgnlPmtInfId", "PmtInfSts"})
_LINE = frozenset({"OrgnlEndToEndId", "OrgnlInstrId", "TxSts", "AcctSvcrRef"})


def read(message: Message, elements: Parts) -> Iterator[Item]:
    """Head, Blocks and Rows, Tail. Head and Blocks wait for the first Row, or the end, to show what the message is."""
    report = _Report(message)
    lines = Sum()
    for name, element in elements:
        if name != TRANSACTION:
            report.take(name, element)
            continue
        row = report.transaction(element)
        if row is None:
            continue
        if report.waiting:
            yield from report.told(row)
        lines.add(row.amount, row.currency)
        yield row
    yield from report.told()
    yield Tail(count=lines.count, minor=lines.minor)


class _Report:
    """What was read of the message so far, apart from its rows."""

    def __init__(self, message: Message) -> None:
        self._names = message.names
        self._root = message.root
        self._head = Head(kind=DocKind.RECEIPT, message=message.name, parts=0)
        self._grouped = False
        self._control_sum = ""
        self._blocks = 0
        self._open: tuple[Element, Block] | None = None  # the block whose transactions are coming
        self.waiting: list[Head | Block] = [self._head]

    def take(self, name: str, element: Element) -> None:
        """A part that is not a transaction."""
        if element is self._root:
            return
        if element.getparent() is not self._root:
            misplaced(element)
        elif name == "GrpHdr":
            texts, _ = parts(element, self._names, _HEADER)
            self._head.reference, self._head.created = texts.get("MsgId", ""), texts.get("CreDtTm", "")
        elif name == "OrgnlGrpInfAndSts":
            self._group(element)
        elif self._open is None or self._open[0] is not element:
            self._announce(element)
        elif self._block(element) != self._open[1]:
            what = "a block's own word stands behind its transactions"
            raise Malformed(what, code=Code.SCHEMA, where=xml.place(element))

    def transaction(self, element: Element) -> Row | None:
        """One transaction's Row; None for a copy in supplementary data."""
        parent = element.getparent()
        if self._open is not None and parent is self._open[0]:
            return _row(element, self._names, self._blocks - 1)
        if parent is self._root:
            self._after_group(element)
            self._open = None
            return _row(element, self._names, -1)
        if parent is None or parent.getparent() is not self._root or xml.local(parent) != "OrgnlPmtInfAndSts":
            misplaced(element)
            return None
        self._announce(parent)
        return _row(element, self._names, self._blocks - 1)

    def told(self, first: Row | None = None) -> Iterator[Item]:
        """Head and Blocks that were waiting for the first line, or for the end (None)."""
        head = self._head
        if self.waiting and self.waiting[0] is head:
            if not self._grouped:
                raise Malformed("no OrgnlGrpInfAndSts", code=Code.SCHEMA, where=xml.place(self._root))
            words = {item.status for item in self.waiting}
            if next((item.status for item in (*self.waiting, first) if item and item.status), "") in verification.WORDS:
                head.kind = DocKind.NAME_CHECK
            elif first or not (words - {""} and words <= ACCEPTANCE | {""}):
                head.kind = DocKind.RESULT
            head.currency = first.currency if first else ""
            head.declared_minor = sum_of(self._control_sum, head.currency)
        yield from self.waiting
        self.waiting.clear()

    def _group(self, element: Element) -> None:
        if self._grouped:
            raise Malformed("OrgnlGrpInfAndSts stands here twice", code=Code.SCHEMA, where=xml.place(element))
        self._grouped = True
        texts, branches = parts(element, self._names, _GROUP)
        head = self._head
        head.original, head.original_kind = texts.get("OrgnlMsgId", ""), texts.get("OrgnlMsgNmId", "")
        head.status = texts.get("GrpSts", "")
        head.reasons, _ = reasons_of(branches.get("StsRsnInf", ()), self._names)
        head.declared_count = count_of(texts.get("OrgnlNbOfTxs"))
        self._control_sum = texts.get("OrgnlCtrlSum", "")

    def _announce(self, element: Element) -> None:
        self._after_group(element)
        block = self._block(before(element, self._names, TRANSACTION))
        self._open = element, block
        self._blocks += 1
        self.waiting.append(block)

    def _block(self, words: Iterable[Element]) -> Block:
        texts, branches = parts(words, self._names, _BLOCK)
        reasons, _ = reasons_of(branches.get("StsRsnInf", ()), self._names)
        return Block(ref=texts.get("OrgnlPmtInfId", ""), status=texts.get("PmtInfSts", ""), reasons=reasons)

    def _after_group(self, element: Element) -> None:
        if not self._grouped:
            raise Malformed("stands before OrgnlGrpInfAndSts", code=Code.SCHEMA, where=xml.place(element))


def _row(element: Element, names: Names, block: int) -> Row:
    texts, branches = parts(element, names, _LINE)
    ref = texts.get("OrgnlEndToEndId", "")
    if ref in NOT_PROVIDED:
        ref = texts.get("OrgnlInstrId", "") or ref
    amount, currency = None, ""
    original = only(branches, "OrgnlTxRef")
    if original is not None:
        amount, currency = instructed_amount(original, names)
    # In the order of Row's fields: by position costs half of by name.
    row = Row(ref, amount, currency, texts.get("TxSts", ""), (), texts.get("AcctSvcrRef", ""), "", block)
    if "StsRsnInf" not in branches:
        return row
    reasons, text = reasons_of(branches["StsRsnInf"], names)
    return row._replace(
        reasons=tuple(reason for reason in reasons if reason.code),
        text=text,
        name=name_of(at(original, names, "Cdtr"), names),
        account=account_of(at(original, names, "CdtrAcct"), names),
    )
