"""One ISO 20022 message in a file: which one it is, where its parts may stand, and what its parts have in common.

Files are read by local names, so that all versions of a message, files without any namespace (a US bank sends such) and
national dialects (``http://www.six-interbank-clearing.com/de/pain.002.001.03.ch.02.xsd``) are one case. Within a file,
though, everything must stand in the message's own namespace: the same word elsewhere means something else.

Source: ISO 20022 message definitions, https://www.iso20022.org (pain.001, pain.002, camt.053, camt.054, head.001).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import BinaryIO, NamedTuple

from gateway.codec import xml
from gateway.codec.xml import Element, Names, at, children, only, value
from gateway.core.bank import Reason
from gateway.core.errors import Code, Malformed
from gateway.core.money import CNY, parse_decimal

#: What stands where an end-to-end reference was not given.
NOT_PROVIDED = frozenset({"", "NOTPROVIDED"})
_COUNT = re.compile("[0-9]{1,15}")
_ENVELOPE = "Envlp"


class Shape(NamedTuple):
    """A message as this package reads it: its ISO name without a version, and the parts that a reader asks for."""

    message: str
    parts: tuple[str, ...]


class Message(NamedTuple):
    """The message that a file holds. ``name`` is its full name, as far as the file tells (``pain.002.001.10``)."""

    kind: str  # local name of its element: a key of the shapes
    name: str
    root: Element
    names: Names


Parts = Iterator[tuple[str, Element]]


def open_message(source: BinaryIO, shapes: Mapping[str, Shape]) -> tuple[Message, Parts]:
    """The one message in ``source``, and its parts by local name when they are complete; its own element comes last.

    ``shapes`` is by the local name of the message's element. Raises Malformed: SCHEMA for a message that is not among
    them, for two in one file, for a header that names another message, for another namespace; else what the XML reader
    raises.
    """
    wanted = {"AppHdr", *shapes, *(name for shape in shapes.values() for name in shape.parts)}
    elements = xml.stream(source, wanted)
    announced = ""
    for element in elements:
        root = _message_of(element, shapes)
        if root is not None:
            message = _open(root, shapes, announced)
            return message, _parts(message, element, elements, shapes)
        announced = announced or _announced(element)
    raise Malformed("holds no message that is read here", code=Code.SCHEMA)


def _parts(message: Message, first: Element, elements: Iterator[Element], shapes: Mapping[str, Shape]) -> Parts:
    names, root = message.names, message.root
    closed = False
    for element in chain((first,), elements):
        if closed:
            if _message_of(element, shapes) is not None:
                raise Malformed("two messages in one file", code=Code.SCHEMA, where=xml.place(element))
            continue
        name = names.get(str(element.tag)) or _own_name(element, names)
        if name:
            closed = element is root
            yield name, element


def _message_of(element: Element, shapes: Mapping[str, Shape]) -> Element | None:
    """The outermost element around (or at) ``element`` that holds a message."""
    outermost_first = [*reversed([*element.iterancestors()]), element]
    return next((found for found in outermost_first if xml.local(found) in shapes), None)


def _open(root: Element, shapes: Mapping[str, Shape], announced: str) -> Message:
    kind = xml.local(root)
    shape = shapes[kind]
    above = [xml.local(ancestor) for ancestor in root.iterancestors()]
    if len(above) > 2 or (above and above[0] != "Document"):
        raise Malformed("a message stands inside something else", code=Code.SCHEMA, where=xml.place(root))
    namespace = xml.namespace(root)
    version = re.search(re.escape(shape.message) + r"\.[0-9]{3}\.[0-9]{2}(?![0-9])", namespace)
    if namespace and not version:
        raise Malformed(f"not a namespace of {shape.message}", code=Code.SCHEMA, where=xml.place(root))
    message = version[0] if version else shape.message
    if announced and not announced.startswith(message):
        what = f"the header announces {announced[:35]}, the document is {message}"
        raise Malformed(what, code=Code.SCHEMA, where=xml.place(root))
    return Message(kind, message, root, Names(namespace))


def _announced(header: Element) -> str:
    """``MsgDefIdr`` of a business header, in whichever version it is."""
    if xml.local(header) != "AppHdr":
        return ""
    return value(next((child for child in header if xml.local(child) == "MsgDefIdr"), None))


def _own_name(element: Element, names: Names) -> str:
    """Local name, or "" inside supplementary data, where anybody may put anything."""
    if any(xml.local(ancestor) == _ENVELOPE for ancestor in element.iterancestors()):
        return ""
    return names[str(element.tag)]


def misplaced(element: Element) -> None:
    """A part stands where the standard has none. Raises Malformed SCHEMA unless it is supplementary data."""
    if all(xml.local(ancestor) != _ENVELOPE for ancestor in element.iterancestors()):
        raise Malformed("stands where the message has no such part", code=Code.SCHEMA, where=xml.place(element))


def count_of(text: str | None) -> int | None:
    """A number of transactions, or None where none is given. Raises Malformed FORMAT."""
    if text is None:
        return None
    if not _COUNT.fullmatch(text):
        raise Malformed(f"not a count: {text[:20]!r}", where="number of transactions")
    return int(text)


def money_of(element: Element) -> tuple[int, str]:
    """Minor units and currency of an amount with its ``Ccy``. Raises Malformed FORMAT, RANGE, SCHEMA (no currency)."""
    currency = element.get("Ccy")
    if currency is None:
        raise Malformed("an amount without its currency", code=Code.SCHEMA, where=xml.place(element))
    try:
        return parse_decimal(value(element), currency), currency
    except Malformed as error:
        raise Malformed(error.what, code=error.code, where=xml.place(element)) from None


def sum_of(text: str, currency: str) -> int | None:
    """A control sum in minor units. It names no currency: the lines' own is taken, CNY where there are no lines.

    None where none is given, and where there are no lines and it has more decimals than CNY: it cannot be told then.
    """
    if not text:
        return None
    try:
        return parse_decimal(text, currency or CNY, where="control sum")
    except Malformed as error:
        if error.code is Code.RANGE and not currency:
            return None
        raise


def instructed_amount(holder: Element, names: Names) -> tuple[int | None, str]:
    """``Amt/InstdAmt`` or ``Amt/EqvtAmt/Amt`` below ``holder``, or (None, "")."""
    amount = at(holder, names, "Amt")
    element = at(amount, names, "InstdAmt")
    if element is None:
        element = at(amount, names, "EqvtAmt", "Amt")
    return (None, "") if element is None else money_of(element)


def reasons_of(informations: Iterable[Element], names: Names) -> tuple[tuple[Reason, ...], str]:
    """Reasons in the bank's order (``Rsn/Cd`` or ``Rsn/Prtry``), and all their free text.

    A reason without a code is ``Reason("", "", text)``: a bank may tell by text alone.
    """
    reasons: list[Reason] = []
    texts: list[str] = []
    for information in informations:
        found = children(information, names)
        text = "; ".join(value(line) for line in found.get("AddtlInf", ()))
        if text:
            texts.append(text)
        reason = only(found, "Rsn")
        codes = children(reason, names) if reason is not None else {}
        said = [Reason(name.lower(), value(code), text) for name in ("Cd", "Prtry") for code in codes.get(name, ())]
        reasons += said or ([Reason("", "", text)] if text else [])
    return tuple(reasons), "; ".join(texts)


def account_of(account: Element | None, names: Names) -> str:
    """``Id/IBAN`` or ``Id/Othr/Id`` of a cash account, or ""."""
    identification = at(account, names, "Id")
    iban = at(identification, names, "IBAN")
    return value(iban if iban is not None else at(identification, names, "Othr", "Id"))


def name_of(party: Element | None, names: Names) -> str:
    """``Nm`` or, where a party may be an agent too, ``Pty/Nm``; "" if none."""
    name = at(party, names, "Nm")
    return value(name if name is not None else at(party, names, "Pty", "Nm"))


class Sum:
    """Counts lines and adds their amounts; the sum is None once a line had no amount or another currency."""

    def __init__(self) -> None:
        self.count = 0
        self.currency = ""
        self._minor: int | None = 0

    def add(self, amount: int | None, currency: str) -> None:
        """One line more."""
        if not self.count:
            self.currency = currency
        self.count += 1
        if amount is None or currency != self.currency:
            self._minor = None
        elif self._minor is not None:
            self._minor += amount

    @property
    def minor(self) -> int | None:
        """Minor units of all lines, or None."""
        return self._minor
