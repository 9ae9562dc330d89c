"""DER, strictly: definite and shortest lengths, shortest integers, nothing left over, one shape for everything.

Seals are read with this and not with a general ASN.1 library, because those also read BER: a seal in two encodings is
two files with one meaning, and an indefinite length has no length to check. What does not fit raises ValueError;
callers turn it into their own error. Only what signatures need is here: ITU-T X.690 sections 8, 10 and 11.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL_TAG, OID, UTC_TIME, GENERALIZED_TIME = 1, 2, 3, 4, 5, 6, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
NULL = b"\x05\x00"
_DEPTH_MAX = 32


class Element(NamedTuple):
    """One value: its tag byte, its content, and the whole of it as it stood."""

    tag: int
    body: bytes
    whole: bytes

    def children(self) -> list[Element]:
        """The values inside a constructed one."""
        if not self.tag & 0x20:
            raise ValueError("a primitive value has no members")
        return list(_elements(self.body))

    def expect(self, tag: int) -> Element:
        """Itself, if it has this tag."""
        if self.tag != tag:
            raise ValueError(f"tag 0x{self.tag:02X} where 0x{tag:02X} belongs")
        return self

    def integer(self) -> int:
        """The value of an INTEGER in its shortest form."""
        body = self.expect(INTEGER).body
        if not body or (len(body) > 1 and body[0] in (0, 0xFF) and (body[0] ^ body[1]) < 0x80):
            raise ValueError("an integer that is not in its shortest form")
        return int.from_bytes(body, "big", signed=True)

    def oid(self) -> str:
        """The value of an OBJECT IDENTIFIER, dotted."""
        body = self.expect(OID).body
        if not body or body[-1] & 0x80:
            raise ValueError("an object identifier without its end")
        arcs: list[int] = []
        arc = 0
        for byte in body:
            if arc == 0 and byte == 0x80:
                raise ValueError("an object identifier that is not in its shortest form")
            arc = arc << 7 | byte & 0x7F
            if not byte & 0x80:
                arcs.append(arc)
                arc = 0
        first = min(arcs[0] // 40, 2)
        return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))

    def time(self) -> datetime:
        """A UTCTime or GeneralizedTime in DER: with seconds, without fractions, in UTC."""
        body = self.body.decode("ascii")
        if not body.endswith("Z") or not body[:-1].isdigit():
            raise ValueError("a time that is not in UTC with seconds")
        if self.tag == UTC_TIME and len(body) == 13:
            century = "19" if body[:2] >= "50" else "20"
            return datetime.strptime(century + body, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
        if self.tag == GENERALIZED_TIME and len(body) == 15:
            return datetime.strptime(body, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
        raise ValueError("not a time")


def parse(data: bytes) -> Element:
    """Exactly one value, checked to its leaves. Raises ValueError."""
    found = list(_elements(data))
    if len(found) != 1:
        raise ValueError("not exactly one value")
    _check(found[0], 0)
    return found[0]


def _check(element: Element, depth: int) -> None:
    if depth > _DEPTH_MAX:
        raise ValueError("too deep")
    if element.tag & 0x20:
        for child in element.children():
            _check(child, depth + 1)


def _elements(data: bytes) -> Iterable[Element]:
    at = 0
    while at < len(data):
        tag = data[at]
        if tag & 0x1F == 0x1F or tag == 0 or at + 1 >= len(data):
            raise ValueError("a tag that no seal has")
        length = data[at + 1]
        start = at + 2
        if length == 0x80:
            raise ValueError("an indefinite length")
        if length > 0x80:
            count = length & 0x7F
            digits = data[start : start + count]
            start += count
            length = int.from_bytes(digits, "big")
            if count > 4 or len(digits) != count or digits[0] == 0 or length < 0x80:
                raise ValueError("a length that is not in its shortest form")
        end = start + length
        if end > len(data):
            raise ValueError("longer than its place")
        yield Element(tag, data[start:end], data[at:end])
        at = end


def tlv(tag: int, *parts: bytes) -> bytes:
    """One value: tag, shortest length, the parts one after the other."""
    body = b"".join(parts)
    length = len(body)
    if length < 0x80:
        return bytes((tag, length)) + body
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + body


def set_of(parts: Iterable[bytes], tag: int = SET) -> bytes:
    """A SET OF: its members in the order of their encodings (X.690, 11.6)."""
    return tlv(tag, *sorted(parts))


def integer(value: int) -> bytes:
    """An INTEGER."""
    bits = (value if value >= 0 else ~value).bit_length()
    return tlv(INTEGER, value.to_bytes(bits // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    body = bytearray()
    for arc in (40 * first + second, *rest):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(arc & 0x7F | 0x80)
        body += bytes(reversed(digits))
    return tlv(OID, bytes(body))


def time(moment: datetime) -> bytes:
    """A UTCTime until 2049, a GeneralizedTime after (RFC 5652, 11.3), of an aware ``moment``; whole seconds."""
    utc = moment.astimezone(UTC)
    if 1950 <= utc.year < 2050:
        return tlv(UTC_TIME, f"{utc:%y%m%d%H%M%S}Z".encode("ascii"))
    return tlv(GENERALIZED_TIME, f"{utc.year:04d}{utc:%m%d%H%M%S}Z".encode("ascii"))
