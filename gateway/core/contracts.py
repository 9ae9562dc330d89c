"""The messages that disbursement systems and the gateway exchange over RabbitMQ, as types.

CloudEvents 1.0, structured JSON mode. ``type`` is the message's name (``run.submitted``), ``source`` the payer's code (or ``sheyin``),
``dataschema`` names the version (``urn:sheyin:run.submitted:1``). JSON Schema and AsyncAPI in schemas/ are generated from here.

Money is an integer of fen. Patterns are ASCII and end in ``(?!\\n)$`` because ``$`` alone lets a trailing newline through.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.core.money import PAYMENT_MINOR_MAX, RUN_MINOR_MAX

CHUNK_MAX = 1_000
CHUNKS_MAX = 10_000
SCHEMA_VERSION = 1
GATEWAY_SOURCE = "sheyin"

Id = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{1,40}(?!\n)$", description="letters, digits, dot, underscore, hyphen")
]
PayerCode = Annotated[str, Meta(pattern=r"^[A-Z0-9]{2,16}(?!\n)$", description="code of a disbursement system")]
BankCode = Annotated[str, Meta(pattern=r"^[A-Z0-9_]{2,16}(?!\n)$", description="code of a configured Bank")]
AccountNo = Annotated[str, Meta(pattern=r"^[0-9A-Za-z-]{5,34}(?!\n)$", description="card or account number")]
Period = Annotated[
    str, Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])(?!\n)$", description="month the benefit is for, YYYY-MM")
]
District = Annotated[str, Meta(pattern=r"^[0-9A-Za-z]{0,12}(?!\n)$", description="administrative division code")]
Fund = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,32}(?!\n)$", description="benefit fund the money comes from")]
Minor = Annotated[int, Meta(gt=0, le=PAYMENT_MINOR_MAX, description="fen")]
RunMinor = Annotated[int, Meta(gt=0, le=RUN_MINOR_MAX, description="fen")]
Short = Annotated[str, Meta(max_length=140)]
PersonName = Annotated[
    str, Meta(min_length=1, max_length=100, description="as the bureau verified it; compared by core/names.py")
]
IdNumber = Annotated[str, Meta(pattern=r"^[0-9A-Za-z()/-]{4,32}(?!\n)$")]


class BenefitLine(StrEnum):
    """Which benefit is paid."""

    PENSION = "pension"  # 养老
    UNEMPLOYMENT = "unemployment"  # 失业
    WORK_INJURY_ONE_OFF = "work_injury_one_off"  # 工伤一次性待遇
    WORK_INJURY_LONG_TERM = "work_injury_long_term"  # 工伤长期待遇
    MEDICAL = "medical"  # 医疗
    MATERNITY = "maternity"  # 生育


class RunKind(StrEnum):
    """What sort of payroll a Run is."""

    REGULAR = "regular"
    SUPPLEMENTARY = "supplementary"
    ONE_OFF = "one_off"
    REIMBURSEMENT = "reimbursement"
    SECOND_PAYMENT = "second_payment"


class IdType(StrEnum):
    """Kind of identity document; only the first two have a check digit that we test."""

    RESIDENT = "resident"  # 居民身份证, GB 11643
    HMT_RESIDENT = "hmt_resident"  # 港澳台居民居住证, GB 11643
    PASSPORT = "passport"
    HM_PERMIT = "hm_permit"  # 港澳居民来往内地通行证
    TW_PERMIT = "tw_permit"  # 台湾居民来往大陆通行证
    FOREIGN_RESIDENT = "foreign_resident"  # 外国人永久居留身份证
    OTHER = "other"


class Relation(StrEnum):
    """Who the payee is to the insured person."""

    SELF = "self"
    SPOUSE = "spouse"
    PARENT = "parent"
    CHILD = "child"
    GUARDIAN = "guardian"
    HEIR = "heir"
    EMPLOYER = "employer"
    OTHER = "other"


class OnBadLine(StrEnum):
    """What one bad line does to its Run."""

    REJECT_RUN = "reject_run"
    REJECT_LINE = "reject_line"


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Common settings: immutable, unknown fields refused, defaults left out on the wire."""


# ---------------------------------------------------------------------------------------------------------------- in


class Party(_Strict, frozen=True):
    """A natural person (or, as payee, an organisation) with an identity document."""

    name: PersonName
    id_number: IdNumber
    id_type: IdType = IdType.RESIDENT


class Account(_Strict, frozen=True):
    """Where money can go."""

    bank: BankCode
    account: AccountNo


class Instruction(_Strict, frozen=True):
    """One payment to one payee as the payer orders it; immutable once accepted."""

    id: Id
    person: Party  # the insured person
    bank: BankCode
    account: AccountNo
    amount: Minor
    payee: Party | None = None  # None: the insured person
    relation: Relation = Relation.SELF
    item: Annotated[str, Meta(pattern=r"^[0-9A-Za-z_]{1,20}(?!\n)$", description="pay item within the benefit")] = "1"
    sequence: Annotated[
        int, Meta(ge=1, le=999, description="number of this payment among those of the item and period")
    ] = 1
    alternative: Account | None = None
    currency: Literal["CNY"] = "CNY"
    line: BenefitLine | None = None  # this and the next four: None or empty means the Run's
    fund: Fund | None = None
    debit_account: AccountNo | None = None
    period: Period | None = None
    district: District = ""
    purpose: Short = ""
    pay_date: dt.date | None = None


class RunSubmitted(_Strict, frozen=True):
    """``run.submitted``: the header of a payroll. It is accepted only when every chunk is there and count and total agree."""

    run_id: Id
    kind: RunKind
    line: BenefitLine
    period: Period
    fund: Fund
    debit_account: AccountNo
    count: Annotated[int, Meta(ge=1, le=CHUNK_MAX * CHUNKS_MAX)]
    total: RunMinor
    chunks: Annotated[int, Meta(ge=1, le=CHUNKS_MAX)]
    pay_date: dt.date
    district: District = ""
    on_bad_line: OnBadLine = OnBadLine.REJECT_RUN
    note: Short = ""


class RunChunk(_Strict, frozen=True):
    """``run.chunk``: up to 1,000 instructions of a Run; chunks come in any order, before or after the header."""

    run_id: Id
    chunk: Annotated[int, Meta(ge=1, le=CHUNKS_MAX, description="1-based")]
    instructions: Annotated[list[Instruction], Meta(min_length=1, max_length=CHUNK_MAX)]


class InstructionSubmitted(_Strict, frozen=True):
    """``instruction.submitted``: one payment (零星报销); the day's are gathered into a reimbursement Run."""

    instruction: Instruction
    line: BenefitLine
    fund: Fund
    debit_account: AccountNo
    period: Period
    pay_date: dt.date


class RunCancel(_Strict, frozen=True):
    """``run.cancel``: take a Run back, if nothing of it has left."""

    run_id: Id
    reason: Short


class InstructionWithdraw(_Strict, frozen=True):
    """``instruction.withdraw``: stop one payment (death, end of benefit), if it has not left."""

    instruction_id: Id
    reason: Short


class Correction(_Strict, frozen=True):
    """What a repayment changes, and who says so: exactly one of name or account, a verifier and a different approver."""

    verifier: Id
    approver: Id
    evidence: Short
    name: PersonName | None = None
    account: Account | None = None


class InstructionRepay(_Strict, frozen=True):
    """``instruction.repay``: second payment (二次支付) of an Instruction whose first try surely failed."""

    instruction_id: Id
    reason: Short
    correction: Correction | None = None


# ---------------------------------------------------------------------------------------------------------------- out


class LineError(_Strict, frozen=True):
    """One thing wrong with one line."""

    instruction_id: str
    code: str
    where: str
    what: str
    ordinal: int = 0  # 1-based line in the Run


class Window(_Strict, frozen=True):
    """When one Bank's share of a Run will be sent, as predicted at acceptance."""

    bank: str
    opens: dt.datetime
    cut_off: dt.datetime
    count: int
    total: int


class RunAccepted(_Strict, frozen=True):
    """``run.accepted``: from here on nothing of it is lost (P1)."""

    run_id: str
    count: int
    total: int
    rejected: int
    windows: list[Window]
    warnings: list[LineError] = []


class RunRejected(_Strict, frozen=True):
    """``run.rejected``: nothing of it was kept as payable; its ids are free again."""

    run_id: str
    code: str
    what: str
    errors: list[LineError] = []  # the first 1,000
    errors_total: int = 0


class RunHeld(_Strict, frozen=True):
    """``run.held``: complete and correct, but two people must look first."""

    run_id: str
    code: str
    what: str


class RunCancelled(_Strict, frozen=True):
    """``run.cancelled``."""

    run_id: str


class RunCancelRefused(_Strict, frozen=True):
    """``run.cancel_refused``."""

    run_id: str
    code: str
    what: str


class RunReleased(_Strict, frozen=True):
    """``run.released``: two people let the money go."""

    run_id: str
    count: int
    total: int
    maker: str
    checker: str


class Share(_Strict, frozen=True):
    """Count and fen of one part of a whole."""

    count: int
    total: int


class RunClosed(_Strict, frozen=True):
    """``run.closed``: every line has its end, or is carried forward as held."""

    run_id: str
    ordered: Share
    by_state: dict[str, Share]


class InstructionNotice(_Strict, frozen=True):
    """One instruction in an ``instruction.*`` event."""

    instruction_id: str
    run_id: str = ""
    code: str = ""
    what: str = ""


class InstructionEvents(_Strict, frozen=True):
    """``instruction.accepted | rejected | held | withdrawn | withdraw_refused | repay_refused``: up to 1,000 together."""

    items: Annotated[list[InstructionNotice], Meta(min_length=1, max_length=CHUNK_MAX)]


class DocumentEvent(_Strict, frozen=True):
    """``document.sent | receipted | refused | in_doubt | settled``: one Document, this payer's share of it."""

    document: str
    name: str
    bank: str
    digest: str
    count: int
    total: int
    code: str = ""
    what: str = ""


class PaymentResult(_Strict, frozen=True):
    """The bank's word on one Instruction, classified."""

    instruction_id: str
    run_id: str
    attempt: int  # 1 for the first try
    sequence: int  # 1, 2, ... per Instruction: tell a late message from a new one
    outcome: str  # paid, failed, refused, unknown, returned
    amount: int
    bank: str
    verdict: str
    move: str = ""
    code: str = ""  # the bank's own code
    text: str = ""
    bank_ref: str = ""
    document: str = ""
    corrects: str = ""  # the outcome told before that the bank takes back in writing: paid or failed


class PaymentResults(_Strict, frozen=True):
    """``payment.results``: up to 1,000, in order per Instruction."""

    results: Annotated[list[PaymentResult], Meta(min_length=1, max_length=CHUNK_MAX)]


class NameMismatch(_Strict, frozen=True):
    """``name.mismatch``: the bank holds another name; the bureau verifies with the person."""

    instruction_id: str
    run_id: str
    bank: str
    ordered_name: str
    bank_name: str = ""
    code: str = ""


class Alert(_Strict, frozen=True):
    """``alert``: something that a person must look at. No personal data."""

    severity: Literal["info", "warning", "critical"]
    subject: str
    code: str
    what: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """CloudEvents 1.0, structured mode. Unknown extension attributes are allowed by the standard and ignored."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1, max_length=255)]
    source: Annotated[str, Meta(min_length=1, max_length=64)]
    type: Annotated[str, Meta(min_length=1, max_length=64)]
    data: msgspec.Raw
    time: dt.datetime | None = None
    subject: str | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str = ""


#: Messages that payers publish: name → type.
INBOUND: dict[str, type[_Strict]] = {
    "run.submitted": RunSubmitted,
    "run.chunk": RunChunk,
    "instruction.submitted": InstructionSubmitted,
    "run.cancel": RunCancel,
    "instruction.withdraw": InstructionWithdraw,
    "instruction.repay": InstructionRepay,
}
#: Messages that the gateway publishes: name → type.
OUTBOUND: dict[str, type[_Strict]] = {
    "run.accepted": RunAccepted,
    "run.rejected": RunRejected,
    "run.held": RunHeld,
    "run.cancelled": RunCancelled,
    "run.cancel_refused": RunCancelRefused,
    "run.released": RunReleased,
    "run.closed": RunClosed,
    "instruction.accepted": InstructionEvents,
    "instruction.rejected": InstructionEvents,
    "instruction.held": InstructionEvents,
    "instruction.withdrawn": InstructionEvents,
    "instruction.withdraw_refused": InstructionEvents,
    "instruction.repay_refused": InstructionEvents,
    "document.sent": DocumentEvent,
    "document.receipted": DocumentEvent,
    "document.refused": DocumentEvent,
    "document.in_doubt": DocumentEvent,
    "document.settled": DocumentEvent,
    "payment.results": PaymentResults,
    "name.mismatch": NameMismatch,
    "alert": Alert,
}


def dataschema(name: str) -> str:
    """The version tag that goes into ``dataschema``."""
    return f"urn:sheyin:{name}:{SCHEMA_VERSION}"


def encode(
    name: str, data: msgspec.Struct, *, id: str, source: str, time: dt.datetime | None, subject: str | None = None
) -> bytes:
    """One message as bytes; ``name`` is a key of INBOUND or OUTBOUND."""
    envelope = Envelope(
        specversion="1.0",
        id=id,
        source=source,
        type=name,
        data=msgspec.Raw(msgspec.json.encode(data)),
        time=time,
        subject=subject,
        dataschema=dataschema(name),
    )
    return msgspec.json.encode(envelope)
