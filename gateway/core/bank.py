"""What a configured Bank is, and what passes between it and us: what a writer is given, what a reader yields.

A **Bank** is a partner that we have an agreement with; it names the adapter whose format it speaks (``core.adapter``). What operations change is
the Bank (TOML); what developers change is the adapter (Python). How its bytes travel is ``core.route``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

from gateway.core.money import CNY


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
    format_options: Mapping[
        str, str | int | bool
    ] = {}  # what only this Bank's format asks for: see the format's own page


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
    payment: int = 0  # the Instruction's key, the same for every try of it; 0 where nobody asks twice


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


class ListHead(msgspec.Struct, frozen=True, kw_only=True):
    """What all entries of a name check or of a whitelist round share."""

    reference: str  # ours, unique for ever, 1..30 of [A-Z0-9]
    sequence: int  # per bank and day, from 1
    created: datetime  # Asia/Shanghai, whole seconds
    count: int


class CheckLine(NamedTuple):
    """A question: does this account belong to a person of this name and id number?"""

    line: int  # 1-based, gapless within the Document
    ref: str  # ours, comes back in the answer
    name: str
    account: str
    id_type: str = ""
    id_number: str = ""


class PairLine(NamedTuple):
    """One change of the name-mismatch whitelist shared with a Bank."""

    line: int  # 1-based, gapless within the Document
    number: str  # of the NamePair
    action: str  # "add", "amend", "remove"
    name: str  # the bureau's spelling
    account: str
    bank_name: str = ""  # the bank's spelling, empty where it is not known
    id_type: str = ""
    id_number: str = ""


class SealSlot(NamedTuple):
    """Yielded by a writer at the place where an enveloped signature goes; it is filled after the rest is hashed."""

    name: str = "signature"


class Enveloped(msgspec.Struct, frozen=True, tag="xmldsig"):
    """An XML signature inside the Document: exclusive c14n, RSA-SHA256, one reference to the whole, enveloped transform.

    The writer's bytes must already be canonical. ``location`` is the only place where a signature is accepted on the way in,
    a path of Clark names below the root.
    """

    location: tuple[str, ...]


class Detached(msgspec.Struct, frozen=True, tag="detached"):
    """A signature beside the Document: name + ``suffix``, DER, certificate included.

    ``cms``: RFC 5652, SHA-256 with RSA, signed attributes. ``gmt0010``: GM/T 0010 = GB/T 35275, SM3 with SM2, no attributes.
    """

    suffix: str = ".p7s"
    form: Literal["cms", "gmt0010"] = "cms"


class Attached(msgspec.Struct, frozen=True, tag="attached"):
    """The payload travels inside the signed data: what leaves or arrives is one DER file, what may be read is its content.

    ``pkcs7``: PKCS#7 1.5 signed data, SHA-256 with RSA. ``gmt0010``: GM/T 0010 = GB/T 35275, SM3 with SM2. ``sha1``: the partner's
    Agreement says that it still signs with SHA-1 (``pkcs7`` only); then such a seal is believed on the way in. None is ever made.
    """

    form: Literal["pkcs7", "gmt0010"] = "pkcs7"
    sha1: bool = False


class Inline(msgspec.Struct, frozen=True, tag="inline"):
    """The signature stands in a slot of the body itself.

    ``split`` takes a whole Document and gives (signed bytes, signature bytes); pure; raises Malformed or ValueError where there is no slot.
    ``algorithm`` as the Crypto port names it. ``signer_id`` gives SM2's signer id at a Bank; None is the standard's default.
    ``join`` puts ours into a Document whose slot is empty; None: the adapter's route does, by ``Sign``.

    ``whole``: what is signed is a string of chosen values that ``split`` makes of the Document by the reader's own code, and the Document itself
    is read. What is not among those values must decide nothing about money. ``bare``: whether the format has no signature for this message at all;
    then the wire's authentication is all there is, and its word may receipt or raise a doubt, never settle anything.
    """

    split: Callable[[bytes], tuple[bytes, bytes]]
    algorithm: str
    signer_id: Callable[[Bank], str] | None = None
    join: Callable[[bytes, bytes], bytes] | None = None
    whole: bool = False
    bare: Callable[[bytes], bool] | None = None


Seal = Enveloped | Detached | Attached | Inline


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
    id_number: str = ""  # the holder's, where it tells


class Tail(msgspec.Struct, kw_only=True):
    """Last item of every decoded Document: reaching it proves the end was there. Declared values are the trailer's, if any."""

    count: int
    minor: int | None  # None where lines carry no amounts
    declared_count: int | None = None
    declared_minor: int | None = None


Item = Head | Block | Row | Tail
"""What a reader yields: exactly one Head first, Blocks and Rows, exactly one Tail last."""
