"""What an adapter is, and what a configured Bank is.

An **adapter** speaks one format and is a value: writers, readers, a code table, limits, seals and a route, all pure. A **Bank** is a partner
that we have an agreement with; it names the adapter whose format it speaks. What operations change is the Bank (TOML); what developers change is
the adapter (Python).

A route is a plain generator that yields requests and is sent replies; ``flow.travel`` drives it and alone decides what is known about the
money. Keys are never seen here: a signature inside a body is a request like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeVar

import msgspec

from gateway.core.money import CNY
from gateway.core.verdicts import Judgement, Verdict


class Trust(StrEnum):
    """Where trust in inbound bytes comes from."""

    SEAL = "seal"  # every inbound byte is signed
    CHANNEL = "channel"  # the format has no seal; the wire is authenticated instead


class DocKind(StrEnum):
    """What a Document is for, in either direction."""

    PAYMENT = "payment"
    RECEIPT = "receipt"
    RESULT = "result"
    RETURN = "return"
    INQUIRY = "inquiry"
    ANSWER = "answer"
    STATEMENT = "statement"
    WHITELIST = "whitelist"
    NAME_CHECK = "name_check"
    CARD_STATUS = "card_status"


class WireKind(StrEnum):
    """How bytes travel."""

    FOLDER = "folder"
    SFTP = "sftp"
    AMQP = "amqp"
    HTTPS = "https"


class DuplicateAnswer(StrEnum):
    """What a Bank does with a Document whose duplicate key it has seen."""

    ERROR = "error"
    OVERWRITE = "overwrite"
    FIRST_RESULT = "first_result"
    NO_DEDUPE = "no_dedupe"


class NamePolicy(StrEnum):
    """How a Bank deals with a name that differs from its record."""

    CORRECTED = "corrected"
    WAIVE = "waive"
    SUBSTITUTE = "substitute"


# ---------------------------------------------------------------------------------------------------------------- the configured partner


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What fits. Sizes of names are bytes in the format's charset; amounts are fen."""

    rows_max: int = 10_000
    payment_minor_max: int = 1_000_000_000
    document_minor_max: int = 10_000_000_000_000
    documents_per_day_max: int = 9_999
    name_bytes_max: int = 140
    account_chars_max: int = 34
    purpose_bytes_max: int = 140
    document_bytes_max: int = 64 * 1024 * 1024


class Agreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a Bank has promised in writing. Every default is the careful reading, for a Bank that has promised nothing."""

    duplicate_key: str = (
        ""  # which field makes a Document a repeat ("reference", "name", ...); empty: the Bank has none
    )
    duplicate_window_days: int = 0
    duplicate_answer: DuplicateAnswer = DuplicateAnswer.NO_DEDUPE
    not_found_window_minutes: int = 120  # "not found" counts only after this long since the last sending
    inquiry_interval_minutes: int = 15
    credited: tuple[str, ...] = ("ACCC",)  # which status words mean "credited"
    fail_final_minutes: int = 0  # a FAIL may still be corrected within this time
    partial_results: bool = True  # results may come in several files
    reversal_notice: bool = False  # the Bank tells of returns by itself
    refunds: str = "bank"  # who refunds failed money: "bank" or "bureau"
    refund_days: int = 1
    name_policy: NamePolicy = NamePolicy.CORRECTED


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a Bank takes Documents, Asia/Shanghai wall clock."""

    opens: str = "08:30"
    cut_off: str = "16:30"
    every_day: bool = False  # False: working days of the Chinese calendar only, make-up days included


class Bank(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One configured partner."""

    code: str  # our short code, as payers write it in an instruction: ``[A-Z0-9_]{2,16}``
    name: str
    name_zh: str = ""
    adapter: str
    wire: WireKind
    customer: str  # our customer number at the Bank
    clearing_code: str = ""  # the Bank's 12-digit clearing number (大额行号), where the format wants it
    bin_prefixes: tuple[str, ...] = ()
    debit_accounts: Mapping[str, str] = {}  # benefit fund → our debit account (支出户) at this Bank
    agreement: Agreement = Agreement()
    window: Window = Window()
    calendar_extra_working: tuple[date, ...] = ()
    calendar_extra_closed: tuple[date, ...] = ()
    limits: Limits | None = None  # None: the adapter's
    file_name: str = ""  # template; empty: the adapter's
    sign_key: str = "bureau-sign"
    pins: tuple[str, ...] = ()  # names of the pinned partner certificates, two during an overlap
    sealed: bool = True  # False only in a test profile: no seal is made or asked for
    wire_options: Mapping[str, str | int | bool] = {}  # address, directories, host key, ...: see the wire's own page


# ---------------------------------------------------------------------------------------------------------------- what goes out


class PayLine(NamedTuple):
    """One Attempt as a Bank needs to see it."""

    line: int  # 1-based, gapless within the Document
    key: int  # the Attempt's key: its decimal text is our reference on the line and comes back in the result
    name: str
    account: str
    amount: int  # fen
    id_type: str = ""
    id_number: str = ""
    purpose: str = ""
    pair: str = ""  # number of the NamePair used, where the format has room


class PaymentHead(msgspec.Struct, frozen=True, kw_only=True):
    """What all lines of one payment Document share. Count and total are known before the first byte: membership precedes the file."""

    reference: str  # ours, unique for ever, 1..30 of [A-Z0-9]: the duplicate key at the Bank
    batch: str  # the Batch it belongs to, 1..30 of [A-Z0-9]
    sequence: int  # per bank and day, from 1
    created: datetime  # Asia/Shanghai, whole seconds
    pay_date: date
    fund: str
    benefit: str
    debit_account: str
    debit_name: str  # the bureau's name on that account
    count: int
    minor: int
    currency: str = CNY


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """A question about one Document of ours; ``lines`` empty asks about the whole."""

    reference: str  # of the inquiry itself
    original: str  # reference of the Document asked about
    original_name: str
    created: datetime
    lines: tuple[int, ...] = ()


class SealSlot(NamedTuple):
    """Yielded by a writer at the place where an enveloped signature goes; it is filled after the rest is hashed."""

    name: str = "signature"


class Enveloped(msgspec.Struct, frozen=True, tag="xmldsig"):
    """An XML signature inside the Document: exclusive c14n, RSA-SHA256, one reference to the whole, enveloped transform.

    The writer's bytes must already be canonical. ``location`` is the only place where a signature is accepted on the way in,
    a path of Clark names below the root.
    """

    location: tuple[str, ...]


class Detached(msgspec.Struct, frozen=True, tag="cms"):
    """A CMS signature beside the Document: name + ``suffix``, DER, SHA-256 with RSA, signed attributes, certificate included."""

    suffix: str = ".p7s"


Seal = Enveloped | Detached


# ---------------------------------------------------------------------------------------------------------------- what comes in


class Reason(NamedTuple):
    """One reason exactly as the bank wrote it; ``set`` names the code set (``cd``, ``prtry``, or the format's own)."""

    set: str
    code: str
    text: str = ""


class Head(msgspec.Struct, kw_only=True):
    """What a Document says about itself, before its lines."""

    kind: DocKind
    message: str  # the format's own name for it, e.g. ``pain.002.001.10``
    reference: str = ""
    original: str = ""  # reference of our Document that it answers
    original_kind: str = ""  # the format's name of what it answers
    original_digest: str = ""  # SHA-256 (hex) of our Document as the bank holds it, where the format tells
    inquiry: str = ""  # an ANSWER: reference of the Inquiry answered, where the format tells
    created: str = ""
    currency: str = ""
    status: str = ""
    reasons: tuple[Reason, ...] = ()
    declared_count: int | None = None
    declared_minor: int | None = None
    part: int = 1
    parts: int = 1  # how many parts the answer has; 0: not told


class Block(msgspec.Struct, kw_only=True):
    """One block of lines with a word of its own (``OrgnlPmtInfAndSts``, a statement entry); rows name it by its index."""

    ref: str
    status: str = ""
    reasons: tuple[Reason, ...] = ()


class Row(NamedTuple):
    """The bank's word on one line, exactly as written, except that the amount is already minor units."""

    ref: str
    amount: int | None
    currency: str
    status: str
    reasons: tuple[Reason, ...] = ()
    bank_ref: str = ""
    text: str = ""
    block: int = -1  # index of its Block, -1 if none
    name: str = ""  # the bank's spelling of the holder's name, where it tells
    account: str = ""


class Tail(msgspec.Struct, kw_only=True):
    """Last item of every decoded Document: reaching it proves the end was there. Declared values are the trailer's, if any."""

    count: int
    minor: int | None  # None where lines carry no amounts
    declared_count: int | None = None
    declared_minor: int | None = None


Item = Head | Block | Row | Tail
"""What a reader yields: exactly one Head first, Blocks and Rows, exactly one Tail last."""


# ---------------------------------------------------------------------------------------------------------------- codes


class CodeRow(NamedTuple):
    """One raw code of a bank or standard, with its meaning and where that is written."""

    family: str  # message family: "status", "return", ...
    set: str
    code: str
    verdict: Verdict
    words: str  # the code's own words
    source: str


class CodeTable(Mapping[tuple[str, str, str], CodeRow]):
    """Raw code → Verdict, keyed on (message family, code set, code): the same code means different things in different places."""

    def __init__(self, rows: Iterable[CodeRow]) -> None:
        self._rows: dict[tuple[str, str, str], CodeRow] = {}
        for row in rows:
            key = (row.family, row.set, row.code)
            if key in self._rows:
                raise ValueError(f"code listed twice: {key}")
            self._rows[key] = row

    def __getitem__(self, key: tuple[str, str, str]) -> CodeRow:
        return self._rows[key]

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def verdict(self, family: str, set_: str, code: str) -> Verdict:
        """The Verdict, or UNKNOWN_CODE: an unknown code is parked, never guessed."""
        row = self._rows.get((family, set_, code))
        return row.verdict if row else Verdict.UNKNOWN_CODE


def codes(family: str, set_: str, source: str, *rows: tuple[str, Verdict, str]) -> list[CodeRow]:
    """Rows of one family, set and source: ``("AC04", Verdict.ACCOUNT_CLOSED, "closed account number")``."""
    return [CodeRow(family, set_, code, verdict, words, source) for code, verdict, words in rows]


# ---------------------------------------------------------------------------------------------------------------- routes


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
    """Bring ``path`` (with its detached seal at ``seal_path``, if any) through the one inbound door. Reply: True if it is archived."""

    path: str
    name: str
    seal_path: str = ""


class Done(msgspec.Struct, frozen=True):
    """It is archived with us: the source may put ``path`` aside (move to done/, acknowledge). Reply: None."""

    path: str


class Publish(msgspec.Struct, frozen=True):
    """Publish the Document with its seal to the bank's queue, mandatory and confirmed. Reply: None. Always final."""

    queue: str
    document: SealedDocument


class Post(msgspec.Struct, frozen=True):
    """POST a body. Reply: the response's bytes. ``once``: the reference that makes a repeat harmless; ``final``: money may move."""

    path: str
    body: bytes
    content_type: str
    once: str = ""
    final: bool = True


class Offer(msgspec.Struct, frozen=True):
    """Lay the Document out for a partner that pulls. Reply: None."""

    document: SealedDocument


class Sign(msgspec.Struct, frozen=True):
    """Reply: signature bytes over ``data`` with the Bank's signing key."""

    data: bytes
    algorithm: str


class Verify(msgspec.Struct, frozen=True):
    """Reply: None, or raises Unverified."""

    data: bytes
    signature: bytes
    algorithm: str


class Encrypt(msgspec.Struct, frozen=True):
    """Reply: ciphertext."""

    data: bytes
    algorithm: str


class Open(msgspec.Struct, frozen=True):
    """Reply: plaintext of what the partner encrypted for us, or raises Unverified."""

    data: bytes
    algorithm: str


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
    """How many Documents were taken in."""

    count: int


T = TypeVar("T")
Route = Generator[Request, Any, T]


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a route may know."""

    bank: Bank
    now: datetime
    cursor: str = ""


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """The generators of one adapter on one wire."""

    submit: Callable[[SealedDocument, Context], Route[Sent]]
    inquire: Callable[[SealedDocument, Context], Route[Found | NotFound | Asked]]
    fetch: Callable[[Context], Route[Fetched]]


# ---------------------------------------------------------------------------------------------------------------- the adapter


class Judge(Protocol):
    """Classify one line's word in the light of its block and its Document; must be a pure function of its arguments."""

    def __call__(self, head: Head, block: Block | None, row: Row | None, agreement: Agreement) -> Judgement:
        """``row`` None asks about the block; ``block`` None as well asks about the whole Document."""
        ...


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Which Documents an adapter can write and read."""

    writes: frozenset[DocKind]
    reads: frozenset[DocKind]


class Adapter(msgspec.Struct, frozen=True, kw_only=True):
    """One format: the table of contents of its folder."""

    code: str
    title: str
    title_zh: str
    source: str  # whose specification
    confidence: str  # "certain", "likely", "partial" (see formats), "own" for our own specification
    trust: Trust
    seal: Seal | None
    charset: str
    limits: Limits
    capabilities: Capabilities
    routes: Mapping[WireKind, Routes]
    codes: CodeTable
    file_name: str  # default template: {customer} {date} {seq} {kind} {reference}
    write_payment: Callable[[PaymentHead, Iterable[PayLine], Bank], Iterator[bytes | SealSlot]]
    write_inquiry: Callable[[Inquiry, Bank], Iterator[bytes | SealSlot]] | None
    read: Callable[
        [BinaryIO], Iterator[Item]
    ]  # raises Malformed; strict about shape, generous about currency and codes
    sniff: Callable[[bytes], bool]  # do these first bytes look like this format?
    judge: Judge
    encodable: Callable[[str], str]  # the first character that the charset lacks, or ""
