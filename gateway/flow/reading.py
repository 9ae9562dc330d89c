"""From a message's bytes to lines: pure, strict, and one bad line does not hide the others.

The fast path decodes a chunk in one call. Only when that fails is each line tried alone, so that every bad one gets its own code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from gateway.codec.text import name_fault
from gateway.core import contracts
from gateway.core.contracts import CHUNK_MAX, Envelope, IdType, Instruction, Party, RunChunk
from gateway.core.errors import Code, Malformed, Refused
from gateway.core.ids import id_fault, luhn_ok
from gateway.core.ledger import BadLine, Line
from gateway.core.money import RUN_MINOR_MAX
from gateway.core.partner import Partner, Partners
from gateway.core.ports import Message

BODY_BYTES_MAX = 16 * 1024 * 1024
CONTENT_TYPES = ("application/cloudevents+json", "application/cloudevents+json; charset=utf-8")
_CARD = re.compile(r"[0-9]{16,19}", re.ASCII)
_DIGEST_BYTES = 16
_envelope = msgspec.json.Decoder(Envelope)
_instruction = msgspec.json.Decoder(Instruction)
_encode = msgspec.json.Encoder().encode
_data: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(type_) for name, type_ in contracts.INBOUND.items()
}


class _LooseChunk(msgspec.Struct):
    run_id: contracts.Id
    chunk: int
    instructions: list[msgspec.Raw]


_loose = msgspec.json.Decoder(_LooseChunk)


def envelope(message: Message) -> Envelope:
    """The envelope of a message. Raises Malformed: SIZE, FORMAT, SCHEMA (other version or type); Refused POLICY for its content type."""
    body = message.body
    if len(body) > BODY_BYTES_MAX:
        raise Malformed(f"a message of {len(body)} bytes is above {BODY_BYTES_MAX}", code=Code.SIZE)
    if not message.message_id or len(message.message_id.encode()) > 255:
        raise Malformed("a message needs a message_id of 1 to 255 bytes", code=Code.FORMAT)
    if message.content_type.lower() not in CONTENT_TYPES:
        raise Refused(
            f"content type {message.content_type[:80]!r} is not application/cloudevents+json", code=Code.POLICY
        )
    found: Envelope = _decoded(_envelope, body, "envelope")
    if found.type not in contracts.INBOUND:
        raise Malformed(f"no message is called {found.type[:64]!r}", code=Code.SCHEMA, where="type")
    if found.dataschema not in ("", contracts.dataschema(found.type)):
        raise Malformed(f"version {found.dataschema[:80]!r} is not spoken here", code=Code.SCHEMA, where="dataschema")
    return found


def _decoded(decoder: Any, body: bytes | msgspec.Raw, where: str) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Malformed(str(error)[:300], code=_code(str(error)), where=where) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not JSON that can be read: {str(error)[:200]}", code=Code.FORMAT, where=where) from None


def _code(text: str) -> Code:
    """A number outside its bounds is RANGE; anything else that breaks a type is SCHEMA."""
    return (
        Code.RANGE
        if "Expected `int` <=" in text or "Expected `int` >=" in text or "out of range" in text
        else Code.SCHEMA
    )


def data(found: Envelope) -> Any:
    """The message's own type. Raises Malformed: SCHEMA, RANGE, FORMAT (also for a JSON key given twice)."""
    value = _decoded(_data[found.type], found.data, found.type)
    refuse_repeated_keys(bytes(found.data), _encode(value).count(b'"'))
    return value


def refuse_repeated_keys(body: bytes, quotes: int) -> None:
    r"""Raises Malformed FORMAT where a JSON object names a key twice: the decoder would silently keep the last (A6).

    ``quotes`` is the number of quotation marks in our own encoding of what was decoded. Equal numbers and no ``\\u`` escape prove that no key
    was dropped, at a fiftieth of the cost of the full check; defaults written out, or escapes, only cost the full check.
    """
    if body.count(b'"') == quotes and b"\\u" not in body:
        return

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = dict(pairs)
        if len(keys) != len(pairs):
            raise Malformed("a JSON key stands twice in one object", code=Code.FORMAT)
        return keys

    json.loads(body, object_pairs_hook=unique)


# ---------------------------------------------------------------------------------------------------------------- chunks


class Reading(NamedTuple):
    """A chunk's header and lines."""

    run_id: str
    no: int
    lines: list[Line]
    bad: list[BadLine]


def chunk(body: bytes, partners: Partners, today: str) -> Reading:
    """Lines and bad lines of ``run.chunk`` data. Raises Malformed where not even the chunk can be told from its lines."""
    try:
        found: RunChunk = _data["run.chunk"].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _loosely(body, partners, today)
    check = Checker(partners, today)
    lines: list[Line] = []
    bad: list[BadLine] = []
    base = (found.chunk - 1) * CHUNK_MAX
    mark = found.run_id.encode() + b"\0"
    quotes = 0
    for ordinal, instruction in enumerate(found.instructions, base + 1):
        encoded = _encode(instruction)
        quotes += encoded.count(b'"')
        check.line(ordinal, instruction, _digest(mark, encoded), lines, bad)
    # run_id's value and the three keys of the chunk itself
    refuse_repeated_keys(body, quotes + 8)
    return Reading(found.run_id, found.chunk, lines, bad)


def _loosely(body: bytes, partners: Partners, today: str) -> Reading:
    """Line by line: slow, for chunks with something wrong in them."""
    found: _LooseChunk = _decoded(_loose, body, "run.chunk")
    if not 1 <= found.chunk <= contracts.CHUNKS_MAX or not 1 <= len(found.instructions) <= CHUNK_MAX:
        raise Malformed(
            f"a chunk is numbered 1 to {contracts.CHUNKS_MAX} and holds 1 to {CHUNK_MAX} lines",
            code=Code.RANGE,
            where="run.chunk",
        )
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


class Checker:
    """What one line must hold beyond its types. Doubts hold the line for a person; faults refuse it."""

    def __init__(self, partners: Partners, today: str) -> None:
        self._partners = partners
        self._today = today
        self._known: dict[str, tuple[Partner, Callable[[str], str], int, frozenset[str]]] = {}

    def line(self, ordinal: int, i: Instruction, digest: bytes, lines: list[Line], bad: list[BadLine]) -> None:
        """Append to ``lines`` or ``bad``; a warning goes to both."""
        known = self._known.get(i.bank) or self._look_up(i.bank)
        if known is None:
            bad.append(_bad(ordinal, i, Code.POLICY, "bank", f"no bank is called {i.bank}"))
            return
        _, encodable, amount_max, debit_accounts = known
        if i.amount > amount_max:
            bad.append(_bad(ordinal, i, Code.RANGE, "amount", f"{i.amount} fen is above the bank's {amount_max}"))
            return
        if i.debit_account and debit_accounts and i.debit_account not in debit_accounts:
            bad.append(_bad(ordinal, i, Code.POLICY, "debit_account", "not one of our accounts at that bank"))
            return
        if i.alternative and i.alternative.bank not in self._partners:
            bad.append(_bad(ordinal, i, Code.POLICY, "alternative.bank", f"no bank is called {i.alternative.bank}"))
            return
        payee = i.payee or i.person
        doubt = ""
        if name_fault(payee.name):
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

    def _id(self, party: Party) -> str:
        return id_fault(IdType(party.id_type), party.id_number, latest_birth=self._today)

    def _look_up(self, bank: str) -> tuple[Partner, Callable[[str], str], int, frozenset[str]] | None:
        partner = self._partners.get(bank)
        if partner is None:
            return None
        accounts = frozenset(partner.bank.debit_accounts.values())
        self._known[bank] = (partner, partner.adapter.encodable, partner.limits.payment_minor_max, accounts)
        return self._known[bank]


def _bad(ordinal: int, i: Instruction, code: Code, where: str, what: str) -> BadLine:
    return BadLine(ordinal, i.id, code, where, what, _encode(i), i.amount)
