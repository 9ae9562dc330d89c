"""The messages taken apart, and the string of chosen values that is signed: one walk for both, so that what is read is what was signed.

The signed string holds the values of elements in a fixed order, each followed by ``|``; amounts as currency and two decimals. An element that
is not there contributes nothing, not even its ``|`` (so does the one public program that shows a case; the standard's own word is not public).
``|`` inside a value would move the borders between values, and is refused in both directions. 911 and 990 have no signature by the standard.

Not signed, in any message: ``RjctInf``, ``AddtlInf``, ``NPCPrcInf``, ``PrcPty``, the header. So none of them ever makes a payment paid, failed or
refused: words only name the cause of what a signed code has said, or raise a doubt.

Source: caijianfang/zcbs-cnaps develop 6d3a475 (element trees from its JAXB classes; signed strings of 382, 383, 394, 395);
happyjianguo/tpp-root feature_beps (signed string of ccms.900; 911 and 990 without one). README.md says what is unknown.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

from adapters.cnaps2 import envelope
from adapters.cnaps2.envelope import Header
from gateway.codec import xml
from gateway.codec.xml import Element, Names
from gateway.core.errors import Code, Malformed
from gateway.core.money import decimal, parse_decimal

CCY = "@Ccy"
_PARTIES = (
    "GrpHdr/MsgId",
    "GrpHdr/CreDtTm",
    "GrpHdr/InstgPty/InstgDrctPty",
    "GrpHdr/InstgPty/InstgPty",
    "GrpHdr/InstdPty/InstdDrctPty",
    "GrpHdr/InstdPty/InstdPty",
    "GrpHdr/SysCd",
)
_GROUP = (*_PARTIES, "GrpHdr/Rmk")
_ORIGINAL = ("OrgnlGrpHdr/OrgnlMsgId", "OrgnlGrpHdr/OrgnlInstgPty", "OrgnlGrpHdr/OrgnlMT")


class Shape(NamedTuple):
    """One message: where its lines stand, and what of it is signed in which order (``Amt@Ccy`` is an amount with its currency)."""

    message: str  # without the last part, which counts editions
    inner: str = ""  # the element that holds the lines, last of the message; "" where there are none
    line: str = ""
    signed: tuple[str, ...] = ()  # empty: never signed
    signed_line: tuple[str, ...] = ()


def _in(inner: str, *paths: str) -> tuple[str, ...]:
    return tuple(f"{inner}/{path}" for path in paths)


#: By the local name of the message's element.
SHAPES = {
    "BtchPmtByAgcy": Shape(
        "beps.382.001",
        "BtchPmtByAgcyInf",
        "CdtrDtls",
        (
            *_GROUP,
            *_in(
                "BtchPmtByAgcyInf",
                "BtchNb",
                "RtrLtd",
                "EndToEndId",
                "ChckFlg",
                "Dbtr/Nm",
                "DbtrAcct/Id/Othr/Id",
                "DbtrAgt/FIId/ClrSysMmbId/MmbId",
                "DbtrAgt/BrnchId/Id",
                "CdtrAgt/FIId/ClrSysMmbId/MmbId",
                "TtlAmt@Ccy",
                "PmtTpInf/CtgyPurp/Prtry",
                "CdtrNb",
            ),
        ),
        ("Purp/Prtry", "TxId", "BrnchId", "Cdtr/Nm", "CdtrAcct/Id/Othr/Id", "Amt@Ccy"),
    ),
    "BtchPmtByAgcyRspn": Shape(
        "beps.383.001",
        "BtchPmtByAgcyRspnInf",
        "SndgDtls",
        (
            *_GROUP,
            *_in("OrgnlMsgInf", "OrgnlMsgId", "OrgnlInstgPty", "OrgnlBtchNb", "OrgnlTtlAmt@Ccy", "OrgnlTtlNb"),
            *_in(
                "BtchPmtByAgcyRspnInf",
                "SndgTtlAmt@Ccy",
                "SndgTtlNb",
                "DbtrAgt/BrnchId/Id",
                "Dbtr/Nm",
                "DbtrAcct/Id/Othr/Id",
            ),
        ),
        ("RspnInf/Sts", "RspnInf/RjctCd", "TxId", "Cdtr/Nm", "CdtrAcct/Id/Othr/Id", "BrnchId", "Amt@Ccy"),
    ),
    "BtchCstmrsAcctQry": Shape(
        "beps.394.001",
        "BtchCstmrsAcctQryInf",
        "AcctDtls",
        (*_GROUP, "BtchCstmrsAcctQryInf/AcctCnt"),
        ("Id", "Nm", "AcctBk"),
    ),
    "BtchCstmrsAcctQryRspn": Shape(
        "beps.395.001",
        "BtchCstmrsAcctQryRspnInf",
        "AcctDtls",
        (*_GROUP, *_ORIGINAL, "BtchCstmrsAcctQryRspnInf/AcctCnt"),
        ("Id", "Nm", "RspnInf/Sts", "RspnInf/RjctCd", "AcctSts", "AcctBk"),
    ),
    "CmonConf": Shape(
        "ccms.900.001",
        signed=(
            *_PARTIES,
            *_ORIGINAL,
            *_in("CmonConfInf", "PrcSts", "PrcCd", "PtyId", "PtyPrcCd", "PrcDt", "NetgRnd"),
        ),
    ),
    "DscrdMsgNtfctn": Shape("ccms.911.001"),
    "ComConf": Shape("ccms.990.001"),
}
_WANTED = frozenset({*SHAPES, *(shape.line for shape in SHAPES.values() if shape.line)})
_NAMESPACE = re.compile(r"urn:cnaps:std:(?:beps|ccms):2010:tech:xsd:((?:beps|ccms)\.[0-9]{3}\.[0-9]{3})\.[0-9]{2}")
_UNSIGNED = {shape.message for shape in SHAPES.values() if not shape.signed}

#: An element's leaves by their paths below it; an amount's currency stands under its path with ``@Ccy``.
Values = dict[str, str]


class Message(NamedTuple):
    """A message whose lines are still to come. ``values`` are all leaves in front of the first line."""

    shape: Shape
    name: str  # with its edition, ``beps.383.001.01``
    header: Header
    slot: bytes | None
    values: Values


def open_message(source: BinaryIO) -> tuple[Message, Iterator[Values]]:
    """The message in ``source``, and its lines as they are complete; their end proves that it was whole.

    Raises Malformed: what the envelope and the XML raise; SCHEMA for another message, another namespace, a header that names another type,
    lines that are missing or stand elsewhere.
    """
    around = envelope.opened(source)
    elements = xml.stream(around.behind, _WANTED)
    first = next(elements, None)
    root = next((each for each in _around(first) if xml.local(each) in SHAPES), None)
    if first is None or root is None:
        raise Malformed("holds no message that is read here", code=Code.SCHEMA)
    shape = SHAPES[xml.local(root)]
    space = xml.namespace(root)
    found = _NAMESPACE.fullmatch(space)
    above = [xml.local(each) for each in root.iterancestors()]
    if found is None or found[1] != shape.message or above != ["Document"]:
        raise Malformed(f"not a {shape.message} in its own namespace", code=Code.SCHEMA, where=xml.place(root))
    name = space.rpartition(":")[2]
    if around.header.message != name:
        what = f"the header announces {around.header.message!r}, the document is {name}"
        raise Malformed(what, code=Code.SCHEMA, where="{H:}")
    names = Names(space)
    values: Values = {}
    _leaves(root, names, shape.line, "", values)
    return Message(shape, name, around.header, around.slot, values), _lines(shape, names, root, first, elements)


def _around(element: Element | None) -> Iterator[Element]:
    if element is not None:
        yield element
        yield from element.iterancestors()


def _lines(shape: Shape, names: Names, root: Element, first: Element, rest: Iterator[Element]) -> Iterator[Values]:
    closed = False
    for element in chain((first,), rest):
        if closed:
            raise Malformed("two messages in one file", code=Code.SCHEMA, where=xml.place(element))
        if element is root:
            closed = True
            _check_end(shape, names, root)
            continue
        parent = element.getparent()
        in_place = parent is not None and parent.getparent() is root and xml.local(parent) == shape.inner
        if not in_place or names[str(element.tag)] != shape.line:
            raise Malformed("stands where the message has no such part", code=Code.SCHEMA, where=xml.place(element))
        line: Values = {}
        _leaves(element, names, "", "", line)
        yield line


def _check_end(shape: Shape, names: Names, root: Element) -> None:
    """Lines stand last: whatever came behind them was neither read nor signed."""
    last = root
    for step in (shape.inner, shape.line) if shape.line else ():
        inside = [child for child in last if isinstance(child.tag, str)]
        if not inside or names[str(inside[-1].tag)] != step:
            raise Malformed(f"does not end with its {step}", code=Code.SCHEMA, where=xml.place(root))
        last = inside[-1]


def _leaves(element: Element, names: Names, stop: str, prefix: str, found: Values) -> bool:
    """Collect the leaves in front of the first ``stop``; True once that was met. Raises Malformed SCHEMA for a leaf that stands twice."""
    for child in element:
        name = names[child.tag]  # type: ignore[index]  # a comment's tag is a function: Names answers ""
        if not name:
            continue
        if name == stop:
            return True
        path = prefix + name
        if len(child):
            if _leaves(child, names, stop, path + "/", found):
                return True
        elif path in found:
            raise Malformed("stands here twice", code=Code.SCHEMA, where=xml.place(child))
        else:
            found[path] = child.text or ""
            if (currency := child.get("Ccy")) is not None:
                found[path + CCY] = currency
    return False


def amount(values: Values, path: str) -> tuple[int, str]:
    """Minor units and currency at a path. Raises Malformed SCHEMA where either is missing, FORMAT, RANGE."""
    text, currency = values.get(path), values.get(path + CCY)
    if text is None or not currency:
        raise Malformed("an amount or its currency is missing", code=Code.SCHEMA, where=path)
    return parse_decimal(text, currency, where=path), currency


def text_at(values: Values, path: str) -> str:
    """A value that must be there. Raises Malformed SCHEMA."""
    text = values.get(path)
    if not text:
        raise Malformed("is missing", code=Code.SCHEMA, where=path)
    return text


# ---------------------------------------------------------------------------------------------------------------- what is signed


def unsigned(document: bytes) -> bool:
    """Whether the standard gives this message no signature at all (911, 990). Raises Malformed."""
    around = envelope.opened(io.BytesIO(document))
    return around.slot is None and around.header.message.rpartition(".")[0] in _UNSIGNED


def split(document: bytes) -> tuple[bytes, bytes]:
    """The signed string in UTF-8, and the DER signature ("" where the slot is still empty).

    Raises Malformed: SIG where there is no slot; CHARSET for a value that holds ``|``; else what ``open_message`` raises.
    """
    message, lines = open_message(io.BytesIO(document))
    if message.slot is None or not message.shape.signed:
        raise Malformed("there is no slot for a signature, or nothing that is signed", code=Code.SIG, where="{S:}")
    parts: list[str] = []
    _add(message.values, message.shape.signed, parts)
    for line in lines:
        _add(line, message.shape.signed_line, parts)
    return "".join(parts).encode(), envelope.signature_of(message.slot)


def _add(values: Values, paths: tuple[str, ...], parts: list[str]) -> None:
    for path in paths:
        if path.endswith(CCY):
            minor, currency = amount(values, path.removesuffix(CCY))
            text: str | None = f"{currency}{decimal(minor, currency)}"
        else:
            text = values.get(path)
        if text is None:
            continue
        if "|" in text:
            raise Malformed("holds |, which parts the values that are signed", code=Code.CHARSET, where=path)
        parts += (text, "|")
