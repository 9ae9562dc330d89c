"""Dead letters: what they say about themselves, and the acts that ``sheyin dlq list|show|replay|discard`` does on them.

A message gets here in two ways: we rejected it, and a copy carries our reason (`death_headers`); or the broker did
(delivery limit, a payer's own reject), and its ``x-death`` header says from where. What the sender itself wrote under
those names is never believed (PROMISES, A23): our copy leaves such headers out, and the broker puts its own first.

A letter is named by its message id and the SHA-256 of its bytes, because ids repeat. Works on both buses. Looking at
letters holds them for a moment: they are taken and given back, in order, and nobody else sees them meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.ports import Message
from gateway.core.topology import DEAD, DLX

OWN = "x-sheyin-"  # prefix of the headers that are ours
REASON = OWN + "reason"
QUEUE = OWN + "queue"
EXCHANGE = OWN + "exchange"
KEY = OWN + "key"
AT = OWN + "at"
REPLAYS = OWN + "replays"
NOTES = ("CC", "BCC", "x-delivery-count", "x-death")  # no copy of ours carries these on
NOTE_STARTS = ("x-first-death-", "x-last-death-", OWN)
REASON_CHARS_MAX = 1_000
LETTERS_MAX = 10_000  # looked at in one go
DIGEST_CHARS_MIN = 8


class Rejectable(Protocol):
    """A delivery that knows how it came."""

    message: Message
    queue: str
    exchange: str
    key: str


class Letter(Rejectable, Protocol):
    """A dead letter in our hand."""

    async def ack(self) -> None:
        """It is gone from the queue."""
        ...

    async def give_back(self) -> None:
        """Back to where it was, at once."""
        ...


class LetterBus(Protocol):
    """The part of a bus that dead letters need; both buses have it."""

    async def publish(self, exchange: str, key: str, message: Message) -> None:
        """As in the Bus port."""
        ...

    async def take(self, queue: str) -> Letter | None:
        """As in the Bus port."""
        ...


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter as people see it; the body is not part of it."""

    message_id: str
    digest: str  # SHA-256 of the body, hex
    size: int  # of the body, bytes
    content_type: str
    reason: str
    queue: str  # where it died
    exchange: str  # how it was published
    key: str
    at: str  # when it died, ISO 8601, UTC; empty if unknown
    replays: int  # how often it was replayed already
    headers: Mapping[str, str]


class OpenLetter:
    """One letter in our hand: `replay` or `discard` it, or leave it, and it goes back to where it was."""

    def __init__(self, bus: LetterBus, delivery: Letter) -> None:
        self.letter = describe(delivery)
        self.body = delivery.message.body
        self.done = False
        self._bus = bus
        self._delivery = delivery

    async def replay(self) -> None:
        """Publish it again to the queue where it died (else as it was published first), confirmed; then take it away.

        Raises Refused if it does not say where it came from. Raises Unavailable, and then it is still here; if only the
        confirm was lost, it arrives twice under one id.
        """
        letter = self.letter
        exchange, key = ("", letter.queue) if letter.queue else (letter.exchange, letter.key)
        if not key or key == DEAD or exchange == DLX:
            raise Refused("it does not say where it came from", code=Code.UNKNOWN_REF, where=letter.message_id)
        headers = {name: value for name, value in letter.headers.items() if not is_note(name)}
        headers[REPLAYS] = str(letter.replays + 1)
        message = Message(
            message_id=letter.message_id, body=self.body, content_type=letter.content_type, headers=headers
        )
        await self._bus.publish(exchange, key, message)
        await self.discard()

    async def discard(self) -> None:
        """Take it away for ever. The caller has recorded the Act before."""
        await self._delivery.ack()
        self.done = True

    async def put_down(self) -> None:
        """Give it back, if nothing was done with it."""
        if not self.done:
            with contextlib.suppress(Unavailable):  # the connection is gone: the broker has it back already
                await self._delivery.give_back()

    def forget_body(self) -> None:
        """Let go of the bytes: many letters may be held at once."""
        self.body = b""
        self._delivery.message = msgspec.structs.replace(self._delivery.message, body=b"")


Act = Callable[[OpenLetter], Awaitable[bool]]
"""What is done with one letter; it returns whether to go on to the next."""


async def each(bus: LetterBus, act: Act, *, queue: str = DEAD, most: int = LETTERS_MAX) -> int:
    """Go through the letters, oldest first, and let ``act`` do with each what it will; returns how many it saw.

    What was left alone goes back in the old order, also if ``act`` raises. Raises Unavailable.
    """
    held: list[OpenLetter] = []
    seen = 0
    try:
        while seen < most and (delivery := await bus.take(queue)) is not None:
            seen += 1
            letter = OpenLetter(bus, delivery)
            held.append(letter)
            go_on = await act(letter)
            if letter.done:
                held.pop()
            else:
                letter.forget_body()
            if not go_on:
                break
    finally:
        for letter in held:
            await letter.put_down()
    return seen


async def letters(bus: LetterBus, *, queue: str = DEAD, most: int = LETTERS_MAX) -> list[DeadLetter]:
    """All of them, oldest first; none is consumed."""
    found: list[DeadLetter] = []

    async def note(opened: OpenLetter) -> bool:
        found.append(opened.letter)
        return True

    await each(bus, note, queue=queue, most=most)
    return found


async def one(bus: LetterBus, message_id: str, digest: str, act: Act, *, queue: str = DEAD) -> DeadLetter:
    """Let ``act`` do with this letter what it will; of equal ones with the first. ``digest`` may be shortened to 8 digits.

    Raises Refused (UNKNOWN_REF) if there is none such.
    """
    if len(digest) < DIGEST_CHARS_MIN:
        raise Refused("too little of the digest to know the letter by", code=Code.FORMAT, where=message_id)
    found: list[DeadLetter] = []

    async def look(opened: OpenLetter) -> bool:
        if opened.letter.message_id != message_id or not opened.letter.digest.startswith(digest.lower()):
            return True
        found.append(opened.letter)
        await act(opened)
        return False

    await each(bus, look, queue=queue)
    if not found:
        raise Refused("no such dead letter", code=Code.UNKNOWN_REF, where=message_id)
    return found[0]


def describe(delivery: Letter) -> DeadLetter:
    """What a dead letter says about itself. With an ``x-death`` the broker put it here, and only that is believed."""
    message = delivery.message
    headers = message.headers
    death = _broker_death(headers)
    if death is None:
        death = {name: headers.get(OWN + name, "") for name in ("reason", "queue", "exchange", "key", "at")}
    return DeadLetter(
        message_id=message.message_id,
        digest=hashlib.sha256(message.body).hexdigest(),
        size=len(message.body),
        content_type=message.content_type,
        replays=int(replays) if (replays := headers.get(REPLAYS, "0")).isdecimal() and len(replays) < 9 else 0,
        headers=headers,
        **death,
    )


def _broker_death(headers: Mapping[str, str]) -> dict[str, str] | None:
    """The newest entry of the broker's ``x-death`` array (as JSON text), in the words of `DeadLetter`."""
    try:
        newest = json.loads(headers["x-death"])[0]
        keys = newest.get("routing-keys") or [""]
        return {
            "reason": f"broker: {newest['reason']}",
            "queue": str(newest["queue"]),
            "exchange": str(newest.get("exchange", "")),
            "key": str(keys[0]),
            "at": str(newest.get("time", "")),
        }
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return None


def is_note(name: str) -> bool:
    """Is it a header in which the broker or we note what happened to a message, or one that routes copies elsewhere?"""
    return name in NOTES or name.startswith(NOTE_STARTS)


def death_headers(delivery: Rejectable, reason: str, at: datetime) -> dict[str, str]:
    """The headers that tell why a message died, from which queue, how it was published and when."""
    return {
        REASON: reason[:REASON_CHARS_MAX],
        QUEUE: delivery.queue,
        EXCHANGE: delivery.exchange,
        KEY: delivery.key,
        AT: at.astimezone(UTC).isoformat(timespec="milliseconds"),
        REPLAYS: delivery.message.headers.get(REPLAYS, "0"),
    }
