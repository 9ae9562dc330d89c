"""Bad messages of a payer (PROMISES 3 A1 to A5, A11 to A13, A17, A23 to A25) as data: how a good one is spoilt, and the code it is refused with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from gateway.core.errors import Code
from gateway.core.ports import Message


class MessageCase(NamedTuple):
    """``spoil`` makes the bad message of a good ``run.submitted``; ``code`` empty: it is taken all the same, exactly as the good one."""

    name: str
    spoil: Callable[[Message], Message]
    code: str
    told: bool = True  # the payer hears of it: the envelope could be read and named them


def body(change: Callable[[bytes], bytes]) -> Callable[[Message], Message]:
    """Spoil the body."""
    return lambda message: msgspec.structs.replace(message, body=change(message.body))


def instead(data: bytes) -> Callable[[Message], Message]:
    """Another body altogether."""
    return body(lambda _: data)


def envelope(**fields: Any) -> Callable[[Message], Message]:
    """Other attributes; None leaves one out."""

    def change(data: bytes) -> bytes:
        found = {**json.loads(data), **fields}
        return json.dumps(
            {name: value for name, value in found.items() if value is not None}, ensure_ascii=False
        ).encode()

    return body(change)


def data(**fields: Any) -> Callable[[Message], Message]:
    """Other fields of the data; None leaves one out."""

    def change(whole: bytes) -> bytes:
        found = json.loads(whole)
        inner = {**found["data"], **fields}
        found["data"] = {name: value for name, value in inner.items() if value is not None}
        return json.dumps(found, ensure_ascii=False).encode()

    return body(change)


def extra(text: bytes) -> Callable[[Message], Message]:
    """One more attribute, as raw JSON, at the end of the envelope."""
    return body(lambda whole: whole[:-1] + b"," + text + b"}")


def first(text: bytes) -> Callable[[Message], Message]:
    """One more attribute at the beginning."""
    return body(lambda whole: b"{" + text + b"," + whole[1:])


def properties(**fields: Any) -> Callable[[Message], Message]:
    """Other properties of the message itself."""
    return lambda message: msgspec.structs.replace(message, **fields)


MESSAGES = [
    MessageCase("A1 empty body", instead(b""), Code.FORMAT, False),
    MessageCase("A1 blanks", instead(b"   "), Code.FORMAT, False),
    MessageCase("A2 UTF-16", body(lambda whole: whole.decode().encode("utf-16")), Code.FORMAT, False),
    MessageCase("A2 a byte order mark", body(lambda whole: b"\xef\xbb\xbf" + whole), Code.FORMAT, False),
    MessageCase("A2 not UTF-8", body(lambda whole: whole.replace(b"PENSION", b"PENSI\xffN", 1)), Code.FORMAT, False),
    MessageCase("A2 not UTF-8 in what nobody reads", extra(b'"ext": "\xff\xfe"'), Code.FORMAT, False),
    MessageCase("A3 truncated", body(lambda whole: whole[:-1]), Code.FORMAT, False),
    MessageCase("A3 truncated in the middle", body(lambda whole: whole[: len(whole) // 2]), Code.FORMAT, False),
    MessageCase("A3 two documents", body(lambda whole: whole + whole), Code.FORMAT, False),
    MessageCase("A3 something behind it", body(lambda whole: whole + b"\0"), Code.FORMAT, False),
    MessageCase("A4 100,000 deep", instead(b"[" * 100_000), Code.FORMAT, False),
    MessageCase("A4 a list", instead(b"[]"), Code.FORMAT, False),
    MessageCase("A4 a text", instead(b'"{}"'), Code.FORMAT, False),
    MessageCase("A4 100,000 deep in an attribute", extra(b'"ext": ' + b"[" * 100_000), Code.FORMAT, False),
    MessageCase("A4 100,000 deep and whole", extra(b'"ext": ' + b"[" * 100_000 + b"]" * 100_000), Code.FORMAT, False),
    MessageCase(
        "A4 100,000 deep in the data",
        body(lambda w: w.replace(b'"data":{', b'"data":{"x":' + b"[" * 100_000)),
        Code.FORMAT,
        False,
    ),
    MessageCase("A6 data twice", extra(b'"data": {}'), Code.FORMAT, False),
    MessageCase("A6 data twice, the good one last", first(b'"data": {"run_id": "R9"}'), Code.FORMAT, False),
    MessageCase("A6 source twice", extra(b'"source": "PENSION"'), Code.FORMAT, False),
    MessageCase("A6 source twice by an escape", extra(b'"s\\u006furce": "PENSION"'), Code.FORMAT, False),
    MessageCase("A6 an attribute nobody reads twice", extra(b'"ext": 1, "ext": 2'), Code.FORMAT, False),
    MessageCase(
        "A6 a key of the data twice", body(lambda w: w.replace(b'"data":{', b'"data":{"run_id":"R9",')), Code.FORMAT
    ),
    MessageCase("A10 5,000 digits in what nobody reads", extra(b'"ext": ' + b"9" * 5_000), Code.FORMAT, False),
    MessageCase("A7 NaN in what nobody reads", extra(b'"ext": NaN'), Code.RANGE, False),
    MessageCase("A11 no id", envelope(id=None), Code.SCHEMA, False),
    MessageCase("A11 no data", envelope(data=None), Code.SCHEMA, False),
    MessageCase("A11 data is a string", envelope(data="{}"), Code.SCHEMA),
    MessageCase("A11 another version of the envelope", envelope(specversion="0.3"), Code.SCHEMA, False),
    MessageCase("A11 another type of the data", envelope(datacontenttype="text/xml"), Code.SCHEMA, False),
    MessageCase("A11 a field of the data missing", data(fund=None), Code.SCHEMA),
    MessageCase("A11 a field of the data too many", data(urgent=True), Code.SCHEMA),
    MessageCase("A9 a total below nothing", data(total=-1), Code.RANGE),
    MessageCase("A9 a count of nothing", data(count=0), Code.RANGE),
    MessageCase("A26 lines that do not fit the chunks", data(count=3_000), Code.TOTALS),
    MessageCase("A26 more chunks than lines", data(chunks=4), Code.TOTALS),
    MessageCase("a second payment as a run", data(kind="second_payment"), Code.POLICY),
    MessageCase("a pay date in two years", data(pay_date="2017-06-20"), Code.POLICY),
    MessageCase("U+0000 in a text", data(note="a\0b"), Code.CHARSET),
    MessageCase("A12 another content type", properties(content_type="application/json"), Code.POLICY, False),
    MessageCase("A12 no content type", properties(content_type=""), Code.POLICY, False),
    MessageCase("A12 gzip", properties(headers={"content-encoding": "gzip"}), Code.POLICY, False),
    MessageCase(
        "A24 reply_to an internal queue", properties(headers={"reply-to": "bank.BANKA.out"}), Code.POLICY, False
    ),
    MessageCase("A13 another id than the message's", properties(message_id="another"), Code.FORMAT, False),
    MessageCase("A13 an id of 256 bytes", properties(message_id="é" * 128), Code.FORMAT, False),
    MessageCase("A13 a newline in the id", properties(message_id="a\nb"), Code.FORMAT, False),
    MessageCase("A17 a newer version", envelope(dataschema="urn:sheyin:run.submitted:2"), Code.SCHEMA, False),
    MessageCase("A17 another message's version", envelope(dataschema="urn:sheyin:run.chunk:1"), Code.SCHEMA, False),
    MessageCase("A17 an unknown message", envelope(type="run.destroy", dataschema=None), Code.SCHEMA, False),
    MessageCase("a payer that nobody knows", envelope(source="NOBODY"), Code.AUTH, False),
    MessageCase("a payer in small letters", envelope(source="pension"), Code.AUTH, False),
    MessageCase("ourselves as a payer", envelope(source="sheyin"), Code.AUTH, False),
    MessageCase("A25 of last century", envelope(time="1999-06-10T08:00:00+08:00"), Code.POLICY),
    MessageCase("A25 of the next decade", envelope(time="2025-06-10T08:00:00+08:00"), Code.POLICY),
    MessageCase("A25 the first moment of all", envelope(time="0001-01-01T00:00:00+14:00"), Code.POLICY),
    MessageCase("A25 without an offset", envelope(time="2015-06-10T08:00:00"), Code.SCHEMA, False),
    MessageCase("no time at all", envelope(time=None), ""),
    MessageCase("no version named", envelope(dataschema=None), ""),
    MessageCase("an extension attribute", envelope(traceparent="00-ab-cd-01"), ""),
    MessageCase(
        "blanks and another order",
        body(lambda w: json.dumps(dict(reversed(json.loads(w).items())), indent=3).encode()),
        "",
    ),
    MessageCase(
        "A23 forged headers",
        properties(headers={"x-death": "[]", "x-delivery-count": "99", "x-sheyin-reason": "DUP", "user-id": "bank"}),
        "",
    ),
]
