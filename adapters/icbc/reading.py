"""Reading packages, ours and the bank's, and the envelope of the client program around them.

=========  ============================================  =====================================================================
TransCode  what stands in it                             read as
=========  ============================================  =====================================================================
PAYPER     ``in`` with ``rd`` (ours)                     PAYMENT: a Row for each payment
PAYPER     ``out`` with ``rd``, or ``pub`` alone         RESULT, RECEIPT: RetCode is the word on the package
QPAYPER    ``in``                                        INQUIRY
QPAYPER    ``out`` with ``rd``                           ANSWER
=========  ============================================  =====================================================================

Row.ref is our key in ERPSqn or Ref, if exactly one stands there; else ``#`` and the bank's number of the line: parked, never matched by guess.

The bank declares GB2312 and writes GBK, as every public client reads it; so do we. ``zip`` is opened under a cap.

Sources: as in ``layout``; answers quoted in public client code (York's XmlSpilt, shhxzq's simulator).
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from adapters.icbc.layout import ASK, PAY, RENMINBI
from adapters.standards.gbk_xml import DECLARATION
from gateway.codec import xml
from gateway.codec.xml import Element, Names, leaves, value
from gateway.core.bank import DocKind, Head, Item, Reason, Row, Tail
from gateway.core.errors import Code, Malformed
from gateway.core.money import CNY

PACKAGE_BYTES_MAX = 32 * 1024 * 1024
_DECLARED = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["'](?:GBK|GB2312|GB18030)["'][^>]*?\?>""", re.I)
_ZIP = re.compile(rb"<zip>([0-9A-Za-z+/=\s]*)</zip>")
_DIGITS = re.compile("[0-9]{1,15}")
_GZIP = 31  # window bits of zlib that take a gzip header
_RESULT = "reqData="
_WITHIN = {"rd": ("in", "out"), "pub": ("eb",), "in": ("eb",), "out": ("eb",), "eb": ("CMS",)}
Texts = dict[str, str]


def read(source: BinaryIO) -> Iterator[Item]:
    """Head, Rows, Tail; a package is small enough to be held. Raises Malformed."""
    names = Names("")
    head: Head | None = None
    rows: list[Row] = []
    for element in xml.stream(io.BytesIO(_plain(source.read(PACKAGE_BYTES_MAX + 1))), {"pub", "in", "out", "rd", "eb"}):
        name = names[str(element.tag)]
        parent = element.getparent()
        if parent is None or names[str(parent.tag)] not in _WITHIN[name]:
            raise Malformed(f"<{name}> stands where the package has none", code=Code.SCHEMA, where=xml.place(element))
        if name == "pub":
            if head is not None:
                raise Malformed("two packages in one", code=Code.SCHEMA)
            head = _head(leaves(element, names))
        elif head is None:
            raise Malformed("pub is not the first part", code=Code.SCHEMA, where=xml.place(element))
        elif name == "rd":
            rows.append(_row(leaves(element, names), f"payment {len(rows) + 1}", ours=head.kind is DocKind.PAYMENT))
        elif name in ("in", "out"):
            _body(head, _beside(element, names), name)
    if head is None:
        raise Malformed("no package of this format", code=Code.SCHEMA)
    yield from _checked(head, rows)


def _checked(head: Head, rows: list[Row]) -> Iterator[Item]:
    """All of it, once totals agree. An answer about a package tells all of it: another number of payments than ours is another package."""
    count, minor = len(rows), sum(row.amount or 0 for row in rows)
    if head.kind is DocKind.PAYMENT and (head.declared_count, head.declared_minor) != (count, minor):
        what = f"tells {head.declared_count} payments of {head.declared_minor} fen, holds {count} of {minor}"
        raise Malformed(what, code=Code.TOTALS)
    if head.kind is DocKind.ANSWER and rows:
        head.declared_count = count
    yield head
    yield from rows
    yield Tail(count=count, minor=minor)


def sniff(beginning: bytes) -> bool:
    """Whether these first bytes look like a package of the client program."""
    return b"<CMS>" in beginning and b"<eb>" in beginning


# ---------------------------------------------------------------------------------------------------------------- the envelope


def unwrapped(body: bytes) -> bytes:
    """The package in an answer of the client program: ``reqData=`` and base64. Raises Malformed for everything else, ``errorCode=`` included."""
    text = body.decode("ascii", "backslashreplace").strip()
    if not text.startswith(_RESULT):
        raise Malformed(f"the client program answers {text[:80]!r}")
    try:
        return base64.b64decode("".join(text[len(_RESULT) :].split()), validate=True)
    except binascii.Error as error:
        raise Malformed(f"not base64: {error}", code=Code.TRUNCATED) from None


def signed(body: bytes) -> bytes:
    """The signature in an answer of its sign port, as base64. Raises Malformed unless ``result`` is 0."""
    found: Texts = {}
    message = body if body.lstrip().startswith(b"<?xml") else DECLARATION.encode() + body
    for element in xml.stream(io.BytesIO(_declared(message)), {"result", "sign"}):
        found[xml.local(element)] = value(element).strip()
    sign = "".join(found.get("sign", "").split())
    if found.get("result") != "0" or not re.fullmatch("[0-9A-Za-z+/]+=*", sign):
        raise Malformed(f"the sign port answers {found.get('result', '')[:20]!r}")
    return sign.encode()


class Said(NamedTuple):
    """What the route needs to know of a package of the bank's."""

    code: str  # RetCode
    text: str  # RetMsg
    results: frozenset[str]  # Result of its payments
    original: str  # our package that it answers


def word(package: bytes) -> Said:
    """The bank's word on a package. Raises Malformed."""
    code = text = original = ""
    results: set[str] = set()
    for item in read(io.BytesIO(package)):
        if isinstance(item, Row):
            results.add(item.status)
        elif isinstance(item, Head):
            original = item.original
            code, text = next(
                ((told.code, told.text) for told in item.reasons if told.set == "RetCode"), (item.status, "")
            )
    return Said(code, text, frozenset(results), original)


def _plain(data: bytes) -> bytes:
    """The package with its ``rd`` in the open, declared as what it is. Raises Malformed."""
    if len(data) > PACKAGE_BYTES_MAX:
        raise Malformed(f"more than {PACKAGE_BYTES_MAX} bytes", code=Code.SIZE)
    found = _ZIP.search(data)
    if found is None:
        return _declared(data)
    try:
        opener = zlib.decompressobj(_GZIP)
        packed = base64.b64decode(b"".join(found[1].split()), validate=True)
        rows = opener.decompress(packed, PACKAGE_BYTES_MAX)
    except (binascii.Error, zlib.error) as error:
        raise Malformed(f"zip cannot be opened: {error}") from None
    if not opener.eof:
        raise Malformed("zip is cut, or opens to too much", code=Code.TRUNCATED)
    return _declared(data[: found.start()] + rows + data[found.end() :])


def _declared(data: bytes) -> bytes:
    found = _DECLARED.match(data)
    return DECLARATION.encode() + data[found.end() :] if found else data


# ---------------------------------------------------------------------------------------------------------------- parts


def _head(pub: Texts) -> Head:
    """``pub``; whether it is ours or the bank's shows with RetCode."""
    code, reply = pub.get("TransCode", ""), "RetCode" in pub
    head = Head(kind=DocKind.INQUIRY, message=code, parts=0)
    head.created = pub.get("TranDate", "") + pub.get("TranTime", "")
    if reply:
        head.kind = DocKind.ANSWER if code.startswith("Q") else DocKind.RECEIPT
        head.status = pub["RetCode"]
        head.reasons = (Reason("RetCode", pub["RetCode"], pub.get("RetMsg", "")),)
        head.reference = pub.get("SerialNo", "") or pub.get("fSeqno", "")
        head.original = pub.get("fSeqno", "") if code == PAY else ""
    else:
        head.kind = DocKind.PAYMENT if code == PAY else DocKind.INQUIRY
        head.reference = pub.get("fSeqno", "")
    return head


def _body(head: Head, texts: Texts, name: str) -> None:
    """What stands beside the payments."""
    if head.kind is DocKind.PAYMENT and name == "in":
        head.currency = CNY
        head.declared_count, head.declared_minor = _number(texts, "TotalNum"), _number(texts, "TotalAmt")
    elif name == "in":
        head.original = texts.get("QryfSeqno", "")
    elif head.message == PAY:
        head.kind = DocKind.RESULT
    elif head.message == ASK:
        head.original = texts.get("QryfSeqno", "")
        if texts.get("BatRetCode", "0") not in ("", "0"):
            head.status = texts["BatRetCode"]
            head.reasons = (Reason("BatRetCode", texts["BatRetCode"], texts.get("BatRetMsg", "")), *head.reasons)


def _row(texts: Texts, where: str, *, ours: bool) -> Row:
    number = texts.get("QryiSeqno", "") or texts.get("iSeqno", "")
    currency = texts.get("CurrType", "")
    reasons = [] if ours else [_reason(texts, code, text) for code, text in _REASONS]
    found = tuple(reason for reason in reasons if reason.code not in ("", "0") or reason.text)
    return Row(
        _key(number, texts.get("ERPSqn", ""), texts.get("Ref", "")),
        _number(texts, "PayAmt", where),
        CNY if currency in ("", RENMINBI) else currency,
        texts.get("Result", ""),
        found,
        bank_ref=texts.get("QryOrderNo", "") or texts.get("OrderNo", ""),
        text=texts.get("PostScript", "") if ours else next((reason.text for reason in found if reason.text), ""),
        name=texts.get("RecAccNameCN", ""),
        account=texts.get("RecAccNo", ""),
    )


_REASONS = (("instrRetCode", "instrRetMsg"), ("iRetCode", "iRetMsg"))


def _reason(texts: Texts, code: str, text: str) -> Reason:
    return Reason(code, texts.get(code, ""), texts.get(text, ""))


def _key(number: str, *told: str) -> str:
    """Our key, where the row tells exactly one; else the bank's own number behind ``#``."""
    ours = {text for text in told if text}
    return ours.pop() if len(ours) == 1 else f"#{number}"


def _beside(element: Element, names: Names) -> Texts:
    """The texts of ``in`` and ``out`` beside the payments, which have left the tree or not."""
    texts: Texts = {}
    for child in element:
        name = names[child.tag]  # type: ignore[index]  # a comment's tag is a function: Names answers ""
        if name in texts:
            raise Malformed("stands here twice", code=Code.SCHEMA, where=xml.place(child))
        if name not in ("", "rd"):
            texts[name] = value(child)
    return texts


def _number(texts: Texts, tag: str, where: str = "the package") -> int:
    text = texts.get(tag, "")
    if not _DIGITS.fullmatch(text):
        raise Malformed(f"{tag} is not a whole number: {text[:20]!r}", where=where)
    return int(text)
