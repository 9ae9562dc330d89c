"""The ledger's port: what the flow asks of the truth, and the rows that pass between them.

Each method is one transaction: it happens whole, with its events, its audit row and its control totals, or not at all. Methods raise
``Unavailable`` when the database is away; the caller stops and later starts again from what the ledger says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.core.bank import DocKind, PayLine
from gateway.core.contracts import Instruction, InstructionRepay, InstructionSubmitted, RunSubmitted, Window
from gateway.core.money import Totals
from gateway.core.results import Told

# ---------------------------------------------------------------------------------------------------------------- intake


class Recorded(StrEnum):
    """What became of a message."""

    NEW = "new"
    DUP = "dup"  # seen before, same content: quiet
    CONFLICT = "conflict"  # seen before, other content: the first stands
    EARLY = "early"  # a chunk before its header: kept aside
    LATE = "late"  # for a Run that takes no more


class Meta(NamedTuple):
    """Where a message came from."""

    payer: str
    message_id: str
    digest: bytes  # SHA-256 of its body


class Line(NamedTuple):
    """One good line of a chunk."""

    ordinal: int  # 1-based within the Run
    instruction: Instruction
    digest: bytes  # of its content and Run
    doubt: str = ""  # code of the Hold that it is born with


class BadLine(NamedTuple):
    """One line that cannot be taken."""

    ordinal: int
    instruction_id: str
    code: str
    where: str
    what: str
    raw: bytes
    amount: int = 0  # fen, where it could be read
    fatal: bool = True


class Chunk(NamedTuple):
    """One decoded chunk."""

    run_id: str
    no: int
    digest: bytes
    lines: Sequence[Line]
    bad: Sequence[BadLine]  # warnings too, with fatal False


#: Per Bank, benefit fund → our debit account there; a Bank without any debits what the payer names.
Debits = Mapping[str, Mapping[str, str]]
NO_DEBITS: Debits = {}


class BankShare(NamedTuple):
    """A Run's part at one bank."""

    bank: str
    pay_date: date
    totals: Totals


class CompleteRun(msgspec.Struct, frozen=True, kw_only=True):
    """A Run whose chunks are all here, to be accepted or not."""

    key: int
    payer: str
    run_id: str
    shares: tuple[BankShare, ...]


# ---------------------------------------------------------------------------------------------------------------- dispatch


class LotGroup(NamedTuple):
    """Ready Attempts of one bank that may travel together."""

    bank: str
    fund: str
    debit_account: str
    pay_date: date
    line: str
    early: bool
    totals: Totals


class Ranks(NamedTuple):
    """One Document to be: which ranks of its group it takes, 1-based, in key order."""

    first: int
    last: int


class Naming(Protocol):
    """From a sequence number of the bank's day to the Document's reference and file name."""

    def __call__(self, sequence: int) -> tuple[str, str]:
        """(reference, file name)."""
        ...


class OutDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A Document that we send, as the lanes see it."""

    key: int
    bank: str
    kind: DocKind
    state: str
    reference: str
    name: str
    sequence: int
    batch_key: int | None
    count: int
    minor: int
    created_ms: int
    digest: str = ""
    size: int = 0
    seal: bytes | None = None
    seal_name: str = ""
    sendings: int = 0
    last_sending_ms: int = 0
    inquired_ms: int = 0
    inquiries: int = 0
    cursor: str = ""
    exported: bool = False
    fund: str = ""  # this and the next three: of its Batch, for payments
    debit_account: str = ""
    pay_date: str = ""
    line: str = ""
    about_key: int | None = None

    @property
    def departures(self) -> int:
        """How often it may have reached the bank, by its wire or by hand."""
        return self.sendings + self.exported


# ---------------------------------------------------------------------------------------------------------------- collect


class InDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A Document that arrived."""

    key: int
    bank: str
    name: str
    digest: str
    size: int
    state: str
    seal: bytes | None
    about: str = ""  # reference of the Document that was asked about, where it is the reply to a question


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """All that one inbound Document changes: applied whole."""

    inbound_key: int
    kind: DocKind
    reference: str
    original: str
    seal_by: str
    totals: Totals
    document_key: int | None
    document_event: str = ""  # a DocumentEvent for the Document that it answers, or empty
    document_code: str = ""
    document_what: str = ""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What an application did."""

    moved: Mapping[str, int]
    parked: int
    quiet: int


class Ledger(Protocol):
    """Everything the flow asks. Grouped by stage, in the order of the data."""

    # intake
    async def record_header(self, meta: Meta, header: RunSubmitted) -> Recorded:
        """The Run exists from here on, in ``receiving``."""
        ...

    async def record_chunk(self, meta: Meta, chunk: Chunk) -> Recorded:
        """The chunk's lines are in the ledger; EARLY changes nothing (keep it with ``keep_early``)."""
        ...

    async def keep_early(self, meta: Meta, run_id: str, body: bytes) -> Recorded:
        """Keep a chunk that came before its header; NEW, or LATE when the header is here by now (record the chunk again)."""
        ...

    async def early_chunks(self) -> list[tuple[str, str, bytes]]:
        """(payer, message id, body) of early chunks whose header has come."""
        ...

    async def record_single(self, meta: Meta, message: InstructionSubmitted, line: Line, day: date) -> Recorded:
        """One payment joins its payer's reimbursement Run of the day."""
        ...

    async def complete_runs(self) -> list[CompleteRun]:
        """Runs in ``receiving`` whose chunks are all here."""
        ...

    async def conclude_intake(self, run_key: int, windows: Sequence[Window], debits: Debits = NO_DEBITS) -> str:
        """Accept, hold or reject the complete Run; returns its state."""
        ...

    async def expire_incomplete(self, older_than_ms: int) -> int:
        """Reject (TOTALS) Runs that have waited too long for chunks; returns how many."""
        ...

    async def close_gathering(self, before_day: date) -> int:
        """Accept gathered Runs of days before ``before_day``; returns how many."""
        ...

    async def refuse_message(self, meta: Meta, name: str, subject: str, code: str, what: str) -> None:
        """Tell the payer that a message of theirs had no effect, in that message's own refusal event."""
        ...

    async def cancel_run(self, meta: Meta, run_id: str, reason: str) -> Recorded:
        """Cancelled, or refused with the reason; told either way."""
        ...

    async def withdraw(self, meta: Meta, instruction_id: str, reason: str) -> Recorded:
        """Withdrawn, or refused ("too late, sent in ..."); told either way."""
        ...

    async def repay(
        self, meta: Meta, message: InstructionRepay, final_minutes: Mapping[str, int], debits: Debits = NO_DEBITS
    ) -> Recorded:
        """A second Attempt joins its payer's second-payment Run, or is refused; told either way."""
        ...

    # lanes
    async def lane_lease(self, bank: str, owner: str, seconds: int) -> int | None:
        """Take or renew the lane; its epoch, or None while another replica holds it or it is stopped."""
        ...

    async def ready_groups(self, bank: str) -> list[LotGroup]:
        """What waits to be filed at ``bank``, from released Runs."""
        ...

    async def group_amounts(self, group: LotGroup) -> Sequence[int]:
        """Amounts of a group in key order: only asked for where the amount cap may cut."""
        ...

    async def file_batch(
        self, group: LotGroup, epoch: int, ranks: Sequence[Ranks], naming: Naming, day: date
    ) -> list[int]:
        """Write the membership of all Documents of one Batch, with names and references, before any file exists; Document keys."""
        ...

    async def documents(self, bank: str, states: Sequence[str]) -> list[OutDocument]:
        """Documents of a lane in these states, oldest first."""
        ...

    async def awaited(self, bank: str) -> list[tuple[OutDocument, bool]]:
        """Sent or receipted payment Documents with lines that the bank has not told the outcome of, oldest first; whether it said of one
        that nobody knows."""
        ...

    async def pay_lines(self, document_key: int, after_line: int, most: int) -> list[PayLine]:
        """A page of a Document's lines."""
        ...

    async def mark_sealed(
        self, document_key: int, epoch: int, digest: str, size: int, seal: bytes | None, seal_name: str
    ) -> bool:
        """open → sealed; False if it is no longer open or the lane is no longer ours."""
        ...

    async def set_aside(self, document_key: int, epoch: int, faults: Sequence[tuple[int, str, str]]) -> None:
        """An open Document cannot be written because of some lines, each (line, code, what): it is void, and they are held."""
        ...

    async def mark_sending(self, document_key: int, epoch: int) -> bool:
        """sealed → sending, committed before the first byte leaves."""
        ...

    async def mark_travelled(self, document_key: int, epoch: int, event: str, code: str = "", what: str = "") -> str:
        """How the sending ended; returns the new state."""
        ...

    async def lane_free(self, bank: str, owner: str) -> None:
        """Hand the lane over at once."""
        ...

    async def save_cursor(self, document_key: int, epoch: int, cursor: str) -> None:
        """A route's durable place."""
        ...

    async def doubt_sendings(self, bank: str, epoch: int) -> int:
        """After a crash everything in ``sending`` is ``in_doubt``; returns how many."""
        ...

    async def mark_inquired(self, document_key: int, epoch: int) -> None:
        """An inquiry was made now."""
        ...

    async def open_inquiry(self, about_key: int, epoch: int, naming: Naming, day: date) -> int:
        """A new inquiry Document about another; returns its key."""
        ...

    async def stop_lane(self, bank: str, reason: str, actor: str) -> None:
        """Stop it: nothing is filed or sent until a person resumes it."""
        ...

    # collect
    async def record_inbound(
        self, bank: str, name: str, digest: str, size: int, channel: str, seal: bytes | None, about: str = ""
    ) -> tuple[int, Recorded]:
        """It is archived; its key, and DUP if exactly this was applied before. ``about``: see InDocument."""
        ...

    async def inbound(self, states: Sequence[str], bank: str = "") -> list[InDocument]:
        """Arrived Documents in these states, oldest first."""
        ...

    async def close_inbound(self, inbound_key: int, event: str, code: str, what: str, kind: str = "") -> None:
        """Quarantine or park a whole Document, with its reason."""
        ...

    async def apply(self, application: Application, told: Told) -> Applied:
        """Every line applied or parked by the rules of ``core.results``, in one transaction, with events for the payers."""
        ...

    async def document_by_reference(self, bank: str, reference: str) -> OutDocument | None:
        """The Document of ours that a bank's answer names."""
        ...

    # closing, telling
    async def close_runs(self) -> list[str]:
        """Close Runs that have come to their end; their ids."""
        ...

    async def outbox_page(self, most: int, without: Collection[str] = ()) -> list[tuple[int, str, str, bytes]]:
        """(seq, message id, routing key, body) of waiting events in order, leaving out these payers."""
        ...

    async def outbox_done(self, seqs: Sequence[int]) -> None:
        """They are confirmed by the broker."""
        ...

    async def alert(self, severity: str, subject: str, code: str, what: str) -> None:
        """Raise an alert event."""
        ...

    async def faults(self) -> list[str]:
        """What does not add up, right now (P6, P13)."""
        ...

    async def status(self, run_id: str, payer: str = "") -> dict[str, Any] | None:
        """A Run at a glance."""
        ...
