"""From a message's bytes to lines: pure, strict, and one bad line does not hide the others.

The fast path decodes a chunk in one call. Only when that fails is each line tried alone, so that every bad one gets its own code.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from gateway.codec.text import UTF_8, name_fault, unencodable, width
from gateway.core import contracts
from gateway.core.contracts import CHUNK_MAX, Envelope, IdType, Instruction, Party, RunChunk
from gateway.core.errors import Code, Malformed, Refused
from gateway.core.ids import id_fault, luhn_ok
from gateway.core.ledger import BadLine, Line
from gateway.core.money import RUN_MINOR_MAX
from gateway.core.partner import Partners
from gateway.core.ports import Message

BODY_BYTES_MAX = 16 * 1024 * 1024
CONTENT_TYPES = ("application/cloudevents+json", "application/cloudevents+json; charset=utf-8")
#: A time of a message or a pay date further away than this is a slip of the pen.
FAR_DAYS = 366
#: What a message must not bring along: intake reads plain bytes, and answers nobody but the payer's own queue (A12, A24).
_REFUSED_HEADERS = ("content-encoding", "reply-to")
_CARD = re.compile(r"[0-9]{16,19}", re.ASCII)
_CONTROL = re.compile("[\x00-\x1f]")
_NO_NUMBER = re.compile(rb"[:\[,]\s*-?(?:NaN|Infinity)\b")
_BYTES_PER_CHAR_MAX = 4
_DIGEST_BYTES = 16
_envelope = msgspec.json.Decoder(Envelope)
_instruction = msgspec.json.Decoder(Instruction)
_encode = msgspec.json.Encoder().encode
_data: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(type_) for name, type_ in contracts.INBOUND.items()
}


class _LooseChunk(msgspec.Struct, forbid_unknown_fields=True):
    run_id: contracts.Id
    chunk: int
    instructions: list[msgspec.Raw]


_loose = msgspec.json.Decoder(_LooseChunk)


class _Named(msgspec.Struct, frozen=True):
    id: str = ""


class _About(msgspec.Struct):
    run_id: str = ""
    instruction_id: str = ""
    instruction: _Named = _Named()


_about = msgspec.json.Decoder(_About)  # whatever else there is, is stepped over


def envelope(message: Message) -> Envelope:
    """The envelope of a message.

    Raises Malformed: SIZE, FORMAT, SCHEMA (other version or type), RANGE; Refused POLICY for its content type, encoding or reply-to.
    """
    body = message.body
    if len(body) > BODY_BYTES_MAX:
        raise Malformed(f"a message of {len(body)} bytes is above {BODY_BYTES_MAX}", code=Code.SIZE)
    if not 1 <= len(message.message_id.encode(UTF_8, "surrogatepass")) <= 255 or _CONTROL.search(message.message_id):
        raise Malformed("a message needs a message_id of 1 to 255 bytes, without control characters", code=Code.FORMAT)
    if message.content_type.lower() not in CONTENT_TYPES:
        raise Refused(
            f"content type {message.content_type[:80]!r} is not application/cloudevents+json", code=Code.POLICY
        )
    for name in message.headers:
        if name.lower() in _REFUSED_HEADERS:
            raise Refused(f"a message with {name.lower()} is not taken", code=Code.POLICY, where=name.lower())
    if body.lstrip()[:1] not in (b"{", b""):  # FORMAT is what is no envelope at all, SCHEMA one with a wrong field
        raise Malformed("not a JSON object", code=Code.FORMAT, where="envelope")
    found: Envelope = _decoded(_envelope, body, "envelope")
    data = bytes(found.data)
    at = body.find(data)
    _refuse_repeated_keys(
        body[:at] + b"0" + body[at + len(data) :]
    )  # of the envelope alone: the data has its own check
    if found.type not in contracts.INBOUND:
        raise Malformed(f"no message is called {found.type[:64]!r}", code=Code.SCHEMA, where="type")
    if found.dataschema not in ("", contracts.dataschema(found.type)):
        raise Malformed(f"version {found.dataschema[:80]!r} is not spoken here", code=Code.SCHEMA, where="dataschema")
    if found.time is not None and found.time.tzinfo is None:
        raise Malformed("the time has no offset from UTC", code=Code.SCHEMA, where="time")
    return found


def _without(body: bytes, part: bytes) -> bytes:
    """The message with a 0 in the place of its data. (A search for so long a text would cost more than reading it.)"""
    start = part[:32]
    at = body.find(start)
    while not body.startswith(part, at):
        at = body.find(start, at + 1)
    return body[:at] + b"0" + body[at + len(part) :]


def _decoded(decoder: Any, body: bytes | msgspec.Raw, where: str) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Malformed(str(error)[:300], code=_code(str(error)), where=where) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        code = Code.RANGE if _NO_NUMBER.search(bytes(body)) else Code.FORMAT
        raise Malformed(f"not JSON that can be read: {str(error)[:200]}", code=code, where=where) from None


def _code(text: str) -> Code:
    """A number outside its bounds is RANGE, one that no machine holds FORMAT; anything else that breaks a type is SCHEMA."""
    if text.startswith("Integer value out of range"):
        return Code.FORMAT
    return (
        Code.RANGE
        if "Expected `int` <=" in text or "Expected `int` >=" in text or "out of range" in text
        else Code.SCHEMA
    )


def data(found: Envelope) -> Any:
    """The message's own type. Raises Malformed: SCHEMA, RANGE, FORMAT (also for a JSON key given twice), CHARSET (U+0000)."""
    value = _decoded(_data[found.type], found.data, found.type)
    body = bytes(found.data)
    refuse_repeated_keys(body, _encode(value).count(b'"'))
    if b"\\u0000" in body and found.type != "instruction.submitted":  # an instruction's own check names the field
        raise Malformed("a text holds U+0000", code=Code.CHARSET, where=found.type)
    return value


def refuse_repeated_keys(body: bytes, quotes: int) -> None:
    r"""Raises Malformed FORMAT where a JSON object names a key twice: the decoder would silently keep the last (A6).

    ``quotes`` is the number of quotation marks in our own encoding of what was decoded. Equal numbers and no ``\\u`` escape prove that no key
    was dropped, at a fiftieth of the cost of the full check; defaults written out, or escapes, only cost the full check.
    """
    if body.count(b'"') != quotes or b"\\u" in body:
        _refuse_repeated_keys(body)


def _refuse_repeated_keys(body: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = dict(pairs)
        if len(keys) != len(pairs):
            raise Malformed("a JSON key stands twice in one object", code=Code.FORMAT)
        return keys

    try:
        json.loads(body, object_pairs_hook=unique)
    except (
        ValueError,
        RecursionError,
    ) as error:  # what our decoder skips unread: text that is no text, a number of 5,000 digits
        raise Malformed(f"not JSON that can be read: {str(error)[:200]}", code=Code.FORMAT) from None


# ---------------------------------------------------------------------------------------------------------------- chunks


class Reading(NamedTuple):
    """A chunk's header and lines."""

    run_id: str
    no: int
    lines: list[Line]
    bad: list[BadLine]


def chunk(body: bytes, partners: Partners, today: dt.date) -> Reading:
    """Lines and bad lines of ``run.chunk`` data. Raises Malformed where not even the chunk can be told from its lines."""
    try:
        found: RunChunk = _data["run.chunk"].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _loosely(body, partners, today)
    check = Checker(partners, today, escapes=b"\\" in body)
    lines: list[Line] = []
    bad: list[BadLine] = []
    base = (found.chunk - 1) * CHUNK_MAX
    mark = found.run_id.encode() + b"\0"
    quotes = 0
    for ordinal, instruction in enumerate(found.instructions, base + 1):
        encoded = _encode(instruction)
        quotes += encoded.count(b'"')
        check.line(ordinal, instruction, _digest(mark, encoded), lines, bad)
    try:
        refuse_repeated_keys(body, quotes + 8)  # run_id's value and the three keys of the chunk itself
    except Malformed:  # in one line, or around them: that decides whether the others suffer from it
        return _loosely(body, partners, today)
    return Reading(found.run_id, found.chunk, lines, bad)


def _loosely(body: bytes, partners: Partners, today: dt.date) -> Reading:
    """Line by line: slow, for chunks with something wrong in them."""
    try:
        body.decode()  # what is skipped unread is not looked at by the decoder either
    except UnicodeDecodeError as error:
        raise Malformed(f"no text: {error}"[:200], code=Code.FORMAT, where="run.chunk") from None
    found: _LooseChunk = _decoded(_loose, body, "run.chunk")
    if not 1 <= found.chunk <= contracts.CHUNKS_MAX or not 1 <= len(found.instructions) <= CHUNK_MAX:
        raise Malformed(
            f"a chunk is numbered 1 to {contracts.CHUNKS_MAX} and holds 1 to {CHUNK_MAX} lines",
            code=Code.RANGE,
            where="run.chunk",
        )
    _refuse_repeated_outside(body, found)
    check = Checker(partners, today)
    lines: list[Line] = []
    bad: list[BadLine] = []
    for ordinal, raw in enumerate(found.instructions, (found.chunk - 1) * CHUNK_MAX + 1):
        try:
            instruction: Instruction = _decoded(_instruction, raw, f"line {ordinal}")
            encoded = _encode(instruction)
            refuse_repeated_keys(bytes(raw), encoded.count(b'"'))
        except Malformed as error:
            id_, amount = _told(bytes(raw))
            bad.append(BadLine(ordinal, id_, error.code, error.where, error.what, bytes(raw), amount))
            continue
        check.line(ordinal, instruction, _digest(found.run_id.encode() + b"\0", encoded), lines, bad)
    return Reading(found.run_id, found.chunk, lines, bad)


def _refuse_repeated_outside(body: bytes, found: _LooseChunk) -> None:
    """The chunk's own keys; its lines have a check of their own. Raises Malformed FORMAT."""
    first, last = bytes(found.instructions[0]), bytes(found.instructions[-1])
    start, end = body.find(first), body.rfind(last) + len(last)
    _refuse_repeated_keys(body[:start] + b"0" + body[end:])


def _told(raw: bytes) -> tuple[str, int]:
    """Id and amount of a bad line, as far as they can be read: the id for the payer, the amount for the declared total."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", 0
    if not isinstance(found, dict):
        return "", 0
    amount = found.get("amount")
    return str(found.get("id", ""))[:80], amount if type(amount) is int and 0 < amount <= RUN_MINOR_MAX else 0


def _digest(mark: bytes, encoded: bytes) -> bytes:
    """Of an instruction's content in its Run: our own encoding, so that the payer's spacing does not matter."""
    return blake2b(mark + encoded, digest_size=_DIGEST_BYTES).digest()


def claimed(message: Message) -> tuple[Envelope, str] | None:
    """Of a message that is too large to be read: its envelope, and the run or instruction that it is about; None where it does not tell.

    Only names are taken from it, so that whoever sent it can be told.
    """
    try:
        found: Envelope = _envelope.decode(message.body)
        about = _about.decode(found.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if found.type not in contracts.INBOUND or found.id != message.message_id:
        return None
    return found, (about.run_id or about.instruction_id or about.instruction.id)[:80]


def subject(raw: bytes) -> str:
    """The run or instruction that a message's data is about, as far as it can be read; else empty."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(found, dict):
        return ""
    inner = found.get("instruction")
    value = found.get("run_id") or found.get("instruction_id") or (inner.get("id") if isinstance(inner, dict) else "")
    return str(value or "")[:80]


def single(instruction: Instruction, source: str) -> bytes:
    """The digest of an instruction that came alone."""
    return _digest(source.encode() + b"\0", _encode(instruction))


class _Known(NamedTuple):
    """What a line is compared with, of one bank."""

    encodable: Callable[[str], str]
    charset: str
    payment_minor_max: int
    debit_accounts: frozenset[str]
    account_max: int
    name_max: int
    purpose_max: int
    name_sure: int  # so many characters surely fit
    purpose_sure: int


class Checker:
    """What one line must hold beyond its types. Doubts hold the line for a person; faults refuse it."""

    def __init__(self, partners: Partners, today: dt.date, *, escapes: bool = True) -> None:
        """``escapes`` False: the message holds no backslash, so no text of it can hold a control character."""
        self._partners = {code: partner for code, partner in partners.items() if partner.adapter.pays}
        self._today = today.strftime("%Y%m%d")
        self._first, self._last = today - dt.timedelta(FAR_DAYS), today + dt.timedelta(FAR_DAYS)
        self._escapes = escapes
        self._known: dict[str, _Known] = {}

    def line(self, ordinal: int, i: Instruction, digest: bytes, lines: list[Line], bad: list[BadLine]) -> None:
        """Append to ``lines`` or ``bad``; a warning goes to both."""
        known = self._known.get(i.bank) or self._look_up(i.bank)
        if known is None:
            bad.append(_bad(ordinal, i, Code.POLICY, "bank", f"no bank that takes payments is called {i.bank}"))
            return
        payee = i.payee or i.person
        fault = self._fault(i, payee, known)
        if fault:
            bad.append(_bad(ordinal, i, *fault))
            return
        encodable = known.encodable
        doubt = ""
        if name_fault(payee.name) or (i.payee and name_fault(i.person.name)):
            doubt = Code.NAME
        elif encodable(payee.name) or encodable(i.purpose):
            doubt = Code.CHARSET
        elif self._id(i.person) or (i.payee and self._id(i.payee)):
            doubt = Code.NAME_ID
        if not luhn_ok(i.account) and _CARD.fullmatch(i.account):
            bad.append(
                _bad(
                    ordinal, i, Code.POLICY, "account", "a card number of this length has another check digit"
                )._replace(fatal=False)
            )
        lines.append(Line(ordinal, i, digest, doubt))

    def _fault(self, i: Instruction, payee: Party, known: _Known) -> tuple[Code, str, str] | None:
        """Why the line cannot be taken at all: (code, where, what)."""
        if i.amount > known.payment_minor_max:
            return Code.RANGE, "amount", f"{i.amount} fen is above the bank's {known.payment_minor_max}"
        if i.debit_account and known.debit_accounts and i.debit_account not in known.debit_accounts:
            return Code.POLICY, "debit_account", "not one of our accounts at that bank"
        if i.alternative and i.alternative.bank not in self._partners:
            return Code.POLICY, "alternative.bank", f"no bank that takes payments is called {i.alternative.bank}"
        if i.pay_date and not self._first <= i.pay_date <= self._last:
            return Code.POLICY, "pay_date", f"pay date {i.pay_date} is more than a year away"
        if self._escapes and any(_CONTROL.search(text) for text in (payee.name, i.person.name, i.purpose)):
            return Code.NAME, "name", "a name or purpose holds a control character"
        if (
            len(payee.name) > known.name_sure
            or len(i.purpose) > known.purpose_sure
            or len(i.account) > known.account_max
        ):
            return _too_long(i, payee, known)
        return None

    def _id(self, party: Party) -> str:
        return id_fault(IdType(party.id_type), party.id_number, latest_birth=self._today)

    def _look_up(self, bank: str) -> _Known | None:
        partner = self._partners.get(bank)
        if partner is None:
            return None
        limits, adapter = partner.limits, partner.adapter
        self._known[bank] = _Known(
            adapter.encodable,
            adapter.charset,
            limits.payment_minor_max,
            frozenset(partner.bank.debit_accounts.values()),
            limits.account_chars_max,
            limits.name_bytes_max,
            limits.purpose_bytes_max,
            limits.name_bytes_max // _BYTES_PER_CHAR_MAX,
            limits.purpose_bytes_max // _BYTES_PER_CHAR_MAX,
        )
        return self._known[bank]


def _too_long(i: Instruction, payee: Party, known: _Known) -> tuple[Code, str, str] | None:
    for where, size, most in (
        ("name", _size(payee.name, known.charset), known.name_max),
        ("purpose", _size(i.purpose, known.charset), known.purpose_max),
        ("account", len(i.account), known.account_max),
    ):
        if size > most:
            return Code.SIZE, where, f"is {size} long as the bank counts, at most {most}"
    return None


def _size(text: str, charset: str) -> int:
    """As a bank counts: characters where the format is Unicode, bytes elsewhere. What the charset lacks is a doubt of its own."""
    return len(text) if charset == UTF_8 or unencodable(text, charset) else width(text, charset)


def _bad(ordinal: int, i: Instruction, code: Code, where: str, what: str) -> BadLine:
    return BadLine(ordinal, i.id, code, where, what, _encode(i), i.amount)
