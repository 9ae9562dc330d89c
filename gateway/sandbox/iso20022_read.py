"""pain.001.001.09 as a bank reads it: seal first, then the head from a small tree, then the transactions in portions.

Own code on lxml. Only canonical bytes that were proven to be signed are read. The transactions are cut out between their first and last tag;
what is left is parsed as one small document, and the cut-out region is parsed again in portions of a thousand: the file's size never shows in
memory as a tree, and every byte of it is still seen by an XML parser.

Sources: ISO 20022 message definition pain.001.001.09; head.001.001.02.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lxml import etree

from gateway.core.verdicts import Verdict
from gateway.sandbox import seals
from gateway.sandbox.orders import FileRefused, Line, Order

PAIN_001 = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
HEAD_001 = "urn:iso:std:iso:20022:tech:xsd:head.001.001.02"
PORTION = 1_000

_FIRST = re.compile(rb"<(?:([A-Za-z_][\w.-]*):)?CdtTrfTxInf>")
_N = {"p": PAIN_001, "h": HEAD_001, "ds": seals.DS}
_MESSAGE_ID = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?MsgId>([A-Za-z0-9]{1,35})</")


def _texts(path: str) -> etree.XPath:
    return etree.XPath(path + "/text()", namespaces=_N, smart_strings=False)


_REFERENCES = _texts("p:CdtTrfTxInf/p:PmtId/p:EndToEndId")
_ACCOUNTS = _texts("p:CdtTrfTxInf/p:CdtrAcct/p:Id/p:Othr/p:Id")
_NAMES = _texts("p:CdtTrfTxInf/p:Cdtr/p:Nm")
_AMOUNTS = _texts("p:CdtTrfTxInf/p:Amt/p:InstdAmt[@Ccy='CNY']")


class IsoOrder:
    """An opened pain.001."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        found = _FIRST.search(data)
        if found is None:
            raise FileRefused(Verdict.FORMAT_REFUSED, "no transaction", reference=guess(data))
        prefix = found[1] + b":" if found[1] else b""
        self._end_tag = b"</" + prefix + b"CdtTrfTxInf>"
        self._open = b"<x xmlns%s=%s>" % (b":" + found[1] if found[1] else b"", b'"%s"' % PAIN_001.encode())
        self._start = found.start()
        self._stop = data.rfind(self._end_tag) + len(self._end_tag)
        self.head = _head(parse(data[: self._start] + data[self._stop :]))

    def lines(self) -> Iterator[list[Line]]:
        """The transactions, a thousand at a time. Raises FileRefused."""
        start = self._start
        ends = (found.end() for found in re.finditer(re.escape(self._end_tag), self._data))
        while portion := list(islice(ends, PORTION)):
            stop = portion[-1]
            yield self._portion(self._data[start:stop], len(portion))
            start = stop

    def _portion(self, data: bytes, count: int) -> list[Line]:
        tree = parse(self._open + data + b"</x>", self.head)
        columns = [path(tree) for path in (_REFERENCES, _ACCOUNTS, _NAMES)]
        amounts = [_fen(text, self.head) for text in _AMOUNTS(tree)]
        if {len(column) for column in (*columns, amounts)} != {count} or len(tree) != count:
            self._refuse("a transaction lacks its reference, account, name or CNY amount, or has one twice")
        return list(zip(*columns, amounts, strict=True))

    def _refuse(self, text: str) -> None:
        raise FileRefused(Verdict.FORMAT_REFUSED, text, reference=self.head.reference, created=self.head.created)


def parse(data: bytes, order: Order | None = None) -> etree._Element:
    """One well-formed tree without a document type. Raises FileRefused."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    reference, created = (order.reference, order.created) if order else (guess(data), "")
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise FileRefused(
            Verdict.FORMAT_REFUSED, f"not XML: {error.msg}", reference=reference, created=created
        ) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise FileRefused(Verdict.FORMAT_REFUSED, "a document type is not taken", reference=reference, created=created)
    return root


def skeleton(payload: bytes) -> etree._Element:
    """The tree of a file without its transactions: enough to find header and signature."""
    first = _FIRST.search(payload)
    if first is None:
        return parse(payload)
    tag = b"</" + (first[1] + b":" if first[1] else b"") + b"CdtTrfTxInf>"
    return parse(payload[: first.start()] + payload[max(payload.rfind(tag) + len(tag), first.start()) :])


def opened(payload: bytes, wrapper: str, pins: seals.Pins | None) -> IsoOrder:
    """Verify the enveloped signature (unless ``pins`` is None: the unsigned test profile) and read the head. Raises FileRefused."""
    if pins is None:
        return IsoOrder(payload)
    root = skeleton(payload)
    parts = [f"{{{HEAD_001}}}AppHdr", f"{{{PAIN_001}}}Document"]
    if root.tag != wrapper or [child.tag for child in root] != parts:
        raise FileRefused(Verdict.FORMAT_REFUSED, "not header and Document in their wrapper", reference=guess(payload))
    signatures = root.xpath("h:AppHdr/h:Sgntr/ds:Signature", namespaces=_N)
    try:
        if not isinstance(signatures, list) or len(signatures) != 1:
            raise seals.SealWrong("there is not exactly one signature in the header")
        signature = signatures[0]
        assert isinstance(signature, etree._Element)
        return IsoOrder(seals.canonical(payload, signature, pins))
    except seals.SealWrong as error:
        raise FileRefused(Verdict.SEAL_REFUSED, str(error), reference=guess(payload)) from error


def validate(payload: bytes, folder: Path) -> None:
    """Check header and Document against the official XSDs (whole trees: for tests, not for bulk). Raises FileRefused."""
    root = parse(payload)
    for tag, schema in (
        (f"{{{HEAD_001}}}AppHdr", "head.001.001.02.xsd"),
        (f"{{{PAIN_001}}}Document", "pain.001.001.09.xsd"),
    ):
        for element in root.iter(tag):
            checker = etree.XMLSchema(etree.parse(folder / schema))
            if not checker.validate(element):
                text = str(checker.error_log.last_error)
                raise FileRefused(Verdict.FORMAT_REFUSED, f"against {schema}: {text}", reference=guess(payload))


def guess(payload: bytes) -> str:
    """The reference of a file that cannot be trusted or read, for the refusal only."""
    found = _MESSAGE_ID.search(payload)
    return found[1].decode() if found else ""


def _head(root: etree._Element) -> Order:
    document = root if root.tag == f"{{{PAIN_001}}}Document" else root.find(f"{{{PAIN_001}}}Document")
    if document is None:
        raise FileRefused(Verdict.FORMAT_REFUSED, "no pain.001.001.09 Document")

    def text(path: str) -> str:
        values = document.xpath(f"p:CstmrCdtTrfInitn/{path}/text()", namespaces=_N)
        if not isinstance(values, list) or len(values) != 1:
            raise FileRefused(Verdict.FORMAT_REFUSED, f"{path.replace('p:', '')} is not there exactly once")
        return str(values[0])

    order = Order(
        bank=_addressed(root),
        reference=text("p:GrpHdr/p:MsgId"),
        batch=text("p:PmtInf/p:PmtInfId"),
        created=text("p:GrpHdr/p:CreDtTm"),
        pay_date=text("p:PmtInf/p:ReqdExctnDt/p:Dt"),
        customer=text("p:GrpHdr/p:InitgPty/p:Id/p:OrgId/p:Othr/p:Id"),
        debit_account=text("p:PmtInf/p:DbtrAcct/p:Id/p:Othr/p:Id"),
        count=int(text("p:GrpHdr/p:NbOfTxs")),
        minor=_fen(text("p:GrpHdr/p:CtrlSum")),
    )
    inner = (int(text("p:PmtInf/p:NbOfTxs")), _fen(text("p:PmtInf/p:CtrlSum")))
    announced = [root.findtext(f"h:AppHdr/h:{name}", "", _N) for name in ("BizMsgIdr", "MsgDefIdr")]
    if root is not document and announced != [order.reference, "pain.001.001.09"]:
        raise FileRefused(
            Verdict.FORMAT_REFUSED,
            "the header announces another message",
            reference=order.reference,
            created=order.created,
        )
    if inner != (order.count, order.minor):
        raise FileRefused(
            Verdict.TOTALS_REFUSED,
            "message and block declare other totals",
            reference=order.reference,
            created=order.created,
        )
    return order


def _addressed(root: etree._Element) -> str:
    """The bank that the business header names by its code, or "" where it names it otherwise or not at all."""
    return root.findtext("h:AppHdr/h:To/h:FIId/h:FinInstnId/h:Othr/h:Id", "", _N)


def _fen(text: str, order: Order | None = None) -> int:
    whole, _, fraction = text.partition(".")
    if not (text.isascii() and whole.isdigit() and len(fraction) <= 2 and (not fraction or fraction.isdigit())):
        reference, created = (order.reference, order.created) if order else ("", "")
        raise FileRefused(
            Verdict.FORMAT_REFUSED, f"{text[:30]!r} is no amount of CNY", reference=reference, created=created
        )
    return int(whole) * 100 + int((fraction + "00")[:2])
