"""What stands around the XML: a header of 132 bytes and, where the message is signed, a slot with the signature.

::

    {H:02<sender 14><system 4><receiver 14><system 4><date 8><time 6>XML<type 20><id 20><related id 20><priority><direction><reserve 9>}CRLF
    {S:<base64 of the DER signature>}CRLF
    <?xml …

All fields are ASCII, left-justified, filled with blanks. The signature's base64 may be folded; messages without one have no ``{S:``.

Source: happyjianguo/tpp-root feature_beps (PMTS_HEAD), caijianfang/zcbs-cnaps develop 6d3a475 (MessageHeadBean), fib-gateway, read for
their facts only; two real envelopes were measured at 132 bytes.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import Code, Malformed

HEADER_BYTES = 132
#: The longest signature that is looked for: far more than RSA of 4,096 bits in base64.
SLOT_BYTES_MAX = 2_048
VERSION = "02"
NORMAL = "3"  # priority 普通
UPWARD = "U"  # to the clearing centre
PARTY_CHARS_MAX = 14
ID_CHARS_MAX = 20

_HEADER = re.compile(
    rb"\{H:[ -~]{2}(?P<sender>[ -~]{14})[ -~]{4}(?P<receiver>[ -~]{14})[ -~]{4}(?P<date>[0-9]{8})(?P<time>[0-9]{6})XML"
    rb"(?P<message>[ -~]{20})(?P<id>[ -~]{20})(?P<related>[ -~]{20})[ -~][UD][ -~]{9}\}\r\n"
)
_SLOT, _SLOT_END = b"{S:", b"}\r\n"
_BLANKS = re.compile(rb"[ \t\r\n]+")


class Header(NamedTuple):
    """What the header says, blanks taken off."""

    sender: str
    receiver: str
    message: str  # ``beps.382.001.01``
    id: str  # of the transport; 990 and 911 name it
    related: str


class Envelope(NamedTuple):
    """What stood before the XML. ``slot`` is the signature's base64 as it stands there, None where there is no slot."""

    header: Header
    slot: bytes | None
    behind: BinaryIO  # the XML, to be read once


def written(
    *, sender: str, receiver: str, message: str, reference: str, created: datetime, system: str = "BEPS"
) -> bytes:
    """The header of a message of ours; every value fits (the caller has checked)."""
    at = created.astimezone(CHINA_TIME)
    header = (
        f"{{H:{VERSION}{sender:<14}{system:<4}{receiver:<14}{system:<4}{at:%Y%m%d%H%M%S}XML"
        f"{message:<20}{reference:<20}{reference:<20}{NORMAL}{UPWARD}{'':9}}}\r\n"
    ).encode("ascii")
    assert len(header) == HEADER_BYTES
    return header


def opened(source: BinaryIO) -> Envelope:
    """Read up to the XML's first byte; ``source`` need not be one that goes back. Raises Malformed: TRUNCATED, FORMAT."""
    head = source.read(HEADER_BYTES)
    found = _HEADER.fullmatch(head)
    if found is None:
        short = len(head) < HEADER_BYTES and b"{H:".startswith(head[:3])
        raise Malformed("no header of 132 bytes", code=Code.TRUNCATED if short else Code.FORMAT, where="{H:}")
    texts = {name: value.decode("ascii").rstrip(" ") for name, value in found.groupdict().items()}
    header = Header(texts["sender"], texts["receiver"], texts["message"], texts["id"], texts["related"])
    beginning = source.read(SLOT_BYTES_MAX)
    if not beginning.startswith(_SLOT):
        return Envelope(header, None, _behind(beginning, source))
    end = beginning.find(_SLOT_END)
    if end < 0:
        short = len(beginning) < SLOT_BYTES_MAX
        raise Malformed("the signature has no end", code=Code.TRUNCATED if short else Code.FORMAT, where="{S:}")
    return Envelope(header, beginning[len(_SLOT) : end], _behind(beginning[end + len(_SLOT_END) :], source))


class _Behind(io.RawIOBase):
    """Bytes that were read already, then the rest of their source."""

    def __init__(self, first: bytes, source: BinaryIO) -> None:
        self._first, self._source = first, source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        into = memoryview(buffer)
        part = self._first[: len(into)] or self._source.read(len(into))
        self._first = self._first[len(part) :]
        into[: len(part)] = part
        return len(part)


def _behind(first: bytes, source: BinaryIO) -> BinaryIO:
    return io.BufferedReader(_Behind(first, source), buffer_size=64 * 1024)


def signature_of(slot: bytes) -> bytes:
    """The DER signature in a slot. Raises Malformed FORMAT."""
    try:
        return base64.b64decode(_BLANKS.sub(b"", slot), validate=True)
    except binascii.Error:
        raise Malformed("the signature is no base64", where="{S:}") from None


def slot_of(signature: bytes = b"") -> bytes:
    """The slot with this signature, on one line; empty where it is still to be made."""
    return _SLOT + base64.b64encode(signature) + _SLOT_END


def join(document: bytes, signature: bytes) -> bytes:
    """A Document of ours whose slot is empty, with the signature in it. Raises Malformed FORMAT where there is no empty slot."""
    empty = slot_of()
    if not document.startswith(empty, HEADER_BYTES):
        raise Malformed("no empty slot for the signature", where="{S:}")
    return document[:HEADER_BYTES] + slot_of(signature) + document[HEADER_BYTES + len(empty) :]
