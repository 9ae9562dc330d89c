"""A route: how a Document reaches a Bank and how its answers are fetched, as requests and their replies.

A route is a plain generator that yields requests and is sent replies; ``flow.travel`` drives it and alone decides what is known about the
money. Keys are never seen here: a signature inside a body is a request like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from gateway.core.bank import Bank, DocKind


class SealedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A Document as a route sees it: never its keys, never its content in memory."""

    reference: str
    name: str
    digest: str  # SHA-256 of the payload, hex
    size: int
    kind: DocKind
    seal: bytes | None = None  # a detached seal's bytes
    seal_name: str = ""


class Entry(NamedTuple):
    """One thing a bank holds for us."""

    name: str
    size: int
    changed: int  # seconds since the epoch at the bank, only ever compared with itself


class Put(msgspec.Struct, frozen=True):
    """Write the Document's payload (or, with ``seal``, its detached seal) at ``path``. Reply: None."""

    path: str
    document: SealedDocument
    seal: bool = False
    final: bool = False  # True: the bank may act on it as soon as it stands there


class Rename(msgspec.Struct, frozen=True):
    """Rename without overwriting. Reply: None. ``final``: the bank may act on it from here on."""

    old: str
    new: str
    final: bool = True


class Stat(msgspec.Struct, frozen=True):
    """Reply: the size in bytes, or None if absent. With ``size`` given, another size raises NotSent."""

    path: str
    size: int | None = None


class List(msgspec.Struct, frozen=True):
    """Reply: tuple of Entry, at most ``most``, oldest first; temporary names are left out."""

    path: str
    most: int = 1_000


class Get(msgspec.Struct, frozen=True):
    """Bring ``path`` (with its detached seal at ``seal_path``, if any) through the one inbound door. Reply: True if it is archived.

    ``about``: reference of the Document that was asked about, for a format whose files do not name it.
    """

    path: str
    name: str
    seal_path: str = ""
    about: str = ""


class Take(msgspec.Struct, frozen=True):
    """Bring what a reply held through the one inbound door under ``name``. Reply: True if it is archived.

    ``about``: reference of the Document that was asked about, for a format whose answers do not name it.
    """

    name: str
    body: bytes
    about: str = ""


class Read(msgspec.Struct, frozen=True):
    """Reply: ``size`` bytes of the Document's payload from ``offset`` on; fewer at its end."""

    document: SealedDocument
    offset: int
    size: int


class Done(msgspec.Struct, frozen=True):
    """It is archived with us: the source may put ``path`` aside (move to done/, acknowledge). Reply: None."""

    path: str


class Publish(msgspec.Struct, frozen=True):
    """Publish the Document with its seal to the bank's queue, mandatory and confirmed. Reply: None. Always final."""

    queue: str
    document: SealedDocument


class Post(msgspec.Struct, frozen=True):
    """POST a body. Reply: an Answer, whatever its status. ``once``: the reference that makes a repeat harmless; ``final``: money may move.

    ``port``: another one of the same host, for a client program that listens on two; 0 is that of the configured address.
    """

    path: str
    body: bytes
    content_type: str
    once: str = ""
    final: bool = True
    port: int = 0


class Answer(msgspec.Struct, frozen=True):
    """What came back of a Post. What a status means for the money is the bank's own rule, so the route reads it."""

    status: int
    body: bytes
    content_type: str = ""


class Offer(msgspec.Struct, frozen=True):
    """Lay the Document out for a partner that pulls. Reply: None."""

    document: SealedDocument


class Sign(msgspec.Struct, frozen=True):
    """Reply: signature bytes over ``data`` with our signing key at this Bank. ``signer_id``: of SM2; empty: the standard's."""

    data: bytes
    algorithm: str
    signer_id: str = ""


class Verify(msgspec.Struct, frozen=True):
    """Check a bare signature against the Bank's pins. Reply: None, or raises Unverified."""

    data: bytes
    signature: bytes
    algorithm: str
    signer_id: str = ""


class Encrypt(msgspec.Struct, frozen=True):
    """Reply: ciphertext. ``key``: name of the shared secret, or of the pin that it is for."""

    data: bytes
    algorithm: str
    key: str
    iv: bytes = b""


class Open(msgspec.Struct, frozen=True):
    """Reply: plaintext of what the partner encrypted for us, or raises Unverified. ``key``: name of the shared secret, or of our key."""

    data: bytes
    algorithm: str
    key: str
    iv: bytes = b""


class Login(msgspec.Struct, frozen=True):
    """Reply: the conversation's token. A refused login is NotSent."""

    path: str
    body: bytes


class Wait(msgspec.Struct, frozen=True):
    """Reply: None, after ``seconds``."""

    seconds: int


class Save(msgspec.Struct, frozen=True):
    """Keep ``cursor`` durably: once the bank's word clears a doubt, the route goes on from here. Reply: None."""

    cursor: str


Request = (
    Put
    | Rename
    | Stat
    | List
    | Get
    | Take
    | Read
    | Done
    | Publish
    | Post
    | Offer
    | Sign
    | Verify
    | Encrypt
    | Open
    | Login
    | Wait
    | Save
)


class Sent(msgspec.Struct, frozen=True):
    """Delivered; a Receipt is the bank's word, never our own."""

    digest: str


class Found(msgspec.Struct, frozen=True):
    """The bank's side holds the Document (inquiry)."""

    size: int


class NotFound(msgspec.Struct, frozen=True):
    """The bank's side says it has no such Document (inquiry); it counts only after the Agreement's window."""


class Asked(msgspec.Struct, frozen=True):
    """The question is on its way; the answer comes through the inbound door."""


class Fetched(msgspec.Struct, frozen=True):
    """How many Documents were taken in, and in how many seconds the bank may be asked again."""

    count: int
    again_s: int = 0


T = TypeVar("T")
Route = Generator[Request, Any, T]


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """A Document that the bank has and whose lines it has not all told."""

    document: SealedDocument
    cursor: str
    sent: datetime  # the last sending


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a route may know."""

    bank: Bank
    now: datetime
    cursor: str = ""  # of the Document, as the route saved it last
    awaited: tuple[Awaited, ...] = ()  # for ``fetch``, where ``Routes.asks``


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """The generators of one adapter on one wire."""

    submit: Callable[[SealedDocument, Context], Route[Sent]]
    inquire: Callable[[SealedDocument, Context], Route[Found | NotFound | Asked]]
    fetch: Callable[[Context], Route[Fetched]]
    asks: bool = False  # ``fetch`` asks about each Document by name: results never come by themselves
