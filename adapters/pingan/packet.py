"""The B2Bi packet: a header of 222 bytes, then an XML body, in GBK or UTF-8 as the header says.

Every place is counted in BYTES: a header cut by characters is shifted by each Chinese one in its text.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from gateway.codec import xml
from gateway.codec.text import GBK, UTF_8, lacking, unencodable, xml_text
from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import Code, Malformed

HEAD_BYTES = 222
BODY_BYTES_MAX = 1024 * 1024
REQUEST, REPLY = "01", "02"
OK = "000000"
STARTS = b"A00101"
#: Charset → its flag, and the name that the body's declaration gives it.
CHARSETS = {GBK: ("01", "GBK"), UTF_8: ("02", "UTF-8")}
_BY_FLAG = {flag: charset for charset, (flag, _) in CHARSETS.items()}
SERIAL_BYTES = 20

# type+system, charset, protocol, company, length, transaction, operator, service, time, serial, code, text, more, count,
# signed, its format, algorithm, length, attachments
_HEAD = struct.Struct("6s2s2s20s10s6s5s2s14s20s6s100s1s3s1s1s12s10s1s")
_FIELDS = (
    "type", "charset", "protocol", "company", "length", "transaction", "operator", "service", "time", "serial", "code", "text", "more",
    "count", "signed", "seal_format", "algorithm", "seal_length", "attachments",
)  # fmt: skip


class Packet(NamedTuple):
    """One packet, taken apart: its header's fields as text, without the blanks that fill them, and the leaves of its body."""

    head: Mapping[str, str]
    leaves: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether it is a reply that says so."""
        return self.head["service"] == REPLY and self.head["code"] == OK

    @property
    def transaction(self) -> str:
        """KHKF01, FILE02, …"""
        return self.head["transaction"]

    def leaf(self, name: str) -> str:
        """A value of the body, empty where it has none."""
        return self.leaves.get(name, "").strip(" \r\n\t")


def write(
    transaction: str,
    leaves: Mapping[str, str],
    *,
    charset: str,
    protocol: str,
    company: str,
    operator: str,
    serial: str,
    now: datetime,
) -> bytes:
    """A request. Raises Refused CHARSET for a character that the charset lacks, or that XML cannot hold."""
    flag, name = CHARSETS[charset]
    inside = "".join(f"<{leaf}>{xml_text(text)}</{leaf}>" for leaf, text in leaves.items())
    text = f'<?xml version="1.0" encoding="{name}"?><Result>{inside}</Result>'
    if character := unencodable(text, charset):
        raise lacking(character, charset)
    body = text.encode(charset)
    stamp = now.astimezone(CHINA_TIME).strftime("%Y%m%d%H%M%S")
    head = (
        f"A00101{flag}{protocol}{company:<20}{len(body):010}{transaction:<6}{operator:<5}{REQUEST}{stamp}{serial:<20}"
        f"{'':6}{'':100}0000{'01':2}{'':12}{0:010}0"
    ).encode("ascii")
    if len(head) != HEAD_BYTES:
        raise ValueError(f"a header of {len(head)} bytes")
    return head + body


def read(data: bytes) -> Packet:
    """Raises Malformed: TRUNCATED, FORMAT, SCHEMA, SIZE."""
    if len(data) < HEAD_BYTES:
        raise Malformed("the header is cut off", code=Code.TRUNCATED, where="header")
    raw = dict(zip(_FIELDS, _HEAD.unpack(data[:HEAD_BYTES]), strict=True))
    charset = _BY_FLAG.get(_ascii(raw["charset"], "charset"))
    if raw["type"] != STARTS or charset is None:
        raise Malformed("does not begin with A00101 and a charset that is known", where="header")
    head = {name: _ascii(part, name) for name, part in raw.items() if name != "text"}
    head["text"] = _cut_text(raw["text"], charset).removeprefix(":").strip(" ")
    if not head["length"].isdecimal() or int(head["length"]) > BODY_BYTES_MAX:
        raise Malformed("its length is no number that is taken", code=Code.SIZE, where="header")
    if head["more"] not in ("", "0") or head["attachments"] not in ("", "0") or head["signed"] == "1":
        raise Malformed("more packets, attachments or a signature follow, which nothing here reads", code=Code.SCHEMA)
    body = data[HEAD_BYTES:]
    if len(body) != int(head["length"]):
        code = Code.TRUNCATED if len(body) < int(head["length"]) else Code.FORMAT
        raise Malformed(f"{len(body)} bytes of body, the header says {int(head['length'])}", code=code)
    return Packet(head, _leaves(body) if body else {})


def _leaves(body: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    whole = False
    for element in xml.stream(io.BytesIO(body), ("*",)):
        name = xml.local(element)
        if name == "Result":
            whole = True
        elif name in found:
            raise Malformed(f"{name} stands there twice", code=Code.SCHEMA)
        else:
            found[name] = xml.value(element)
    if not whole:
        raise Malformed("the body is no Result", code=Code.SCHEMA)
    return found


def _ascii(part: bytes, name: str) -> str:
    try:
        return part.decode("ascii").strip(" ")
    except UnicodeDecodeError:
        raise Malformed(f"{name} is not ASCII: a header counted in characters?", where="header") from None


def _cut_text(part: bytes, charset: str) -> str:
    """The text, less a character that was cut at the field's end."""
    for less in range(4):
        try:
            return part[: len(part) - less].decode(charset).rstrip(" ")
        except UnicodeDecodeError:
            continue
    raise Malformed("the text is not in the charset of the header", where="header")
