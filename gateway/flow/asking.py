"""Asking: what became of a Document in doubt, or of one that was delivered and never spoken of.

An answer comes through the inbound door like everything else. "Not found" is believed only under the Agreement: ``counts_from_ms``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Collection

import structlog

from gateway.core import batching
from gateway.core.bank import Agreement, DocKind
from gateway.core.calendar import CHINA_TIME
from gateway.core.ledger import Ledger, OutDocument
from gateway.core.partner import Partner
from gateway.core.ports import Clock
from gateway.core.route import Asked, Found, NotFound
from gateway.core.states import DocumentEvent, DocumentState
from gateway.flow.bell import Bell

log = structlog.get_logger(__name__)

#: Of a lane; and of one request of a route. A sender that slept through both may still have been writing until then.
LEASE_S = 60
DEADLINE_S = 120
#: How often Documents are looked for whose answer is overdue, and how long a bank that receipted one may take to tell its results.
OVERDUE_EVERY_S = 300
RESULT_WITHIN_MINUTES = 24 * 60
#: The wait between two questions about one Document is doubled after so many, so many times.
ASKED_PER_STEP, ASK_STEPS_MAX = 4, 6
Look = Callable[[OutDocument, int], Awaitable[Found | NotFound | Asked | None]]


def window_ms(agreement: Agreement) -> int:
    """How long after a sending "not found" says nothing: the agreed window, and no less than a sender that slept could have taken."""
    return max(agreement.not_found_window_minutes * 60, LEASE_S + DEADLINE_S) * 1000


def counts_from_ms(document: OutDocument, agreement: Agreement) -> int:
    """From when on "not found" counts."""
    return document.last_sending_ms + window_ms(agreement)


class Naming:
    """From a sequence number of the bank's day to reference and file name."""

    def __init__(self, partner: Partner, kind: DocKind, day: dt.date) -> None:
        self._partner, self._kind, self._day = partner, kind, day

    def __call__(self, sequence: int) -> tuple[str, str]:
        bank = self._partner.bank
        mark = "Q" if self._kind is DocKind.INQUIRY else ""
        reference = batching.reference(bank.code, self._day, sequence, mark=mark)
        name = batching.file_name(
            self._partner.file_name,
            customer=bank.customer,
            date=self._day,
            sequence=sequence,
            kind=str(self._kind),
            reference=reference,
        )
        return reference, name


class Asker:
    """The questions of one lane."""

    def __init__(self, partner: Partner, ledger: Ledger, clock: Clock, telling: Bell) -> None:
        self._partner, self._ledger, self._clock, self._telling = partner, ledger, clock, telling
        self._bank = partner.bank.code
        self._overdue_at: float = 0

    async def doubtful(self, document: OutDocument, epoch: int, asking: Collection[int | None], look: Look) -> int:
        """Ask about a Document in doubt: look on the wire first, then by an inquiry Document where the format has one."""
        if document.kind is DocKind.INQUIRY:  # a question that may not have arrived: the next one asks again
            await self._ledger.mark_travelled(
                document.key, epoch, DocumentEvent.REFUSED, "", "a later inquiry takes its place"
            )
            return 1
        if self._now_ms() < document.inquired_ms + self._patience_ms(document):
            return 0
        await self._ledger.mark_inquired(document.key, epoch)
        answer = await look(document, epoch)
        if isinstance(answer, Found):
            await self._ledger.mark_travelled(document.key, epoch, DocumentEvent.FOUND, "", "found on the bank's side")
            return 1
        if self._partner.adapter.write_inquiry is not None:
            return await self._ask(document, epoch, asking)
        if answer is not None and not isinstance(answer, Asked):
            return await self._not_found(document, epoch)
        return 0

    async def _ask(self, document: OutDocument, epoch: int, asking: Collection[int | None]) -> int:
        """An inquiry Document, unless one about the same still waits to leave."""
        if document.key in asking:
            return 0
        day = self._clock.now().astimezone(CHINA_TIME).date()
        await self._ledger.open_inquiry(document.key, epoch, Naming(self._partner, DocKind.INQUIRY, day), day)
        return 1

    def _patience_ms(self, document: OutDocument) -> int:
        """How long to wait between two questions about one Document: longer the more were asked."""
        doublings = min(document.inquiries // ASKED_PER_STEP, ASK_STEPS_MAX)
        return self._partner.bank.agreement.inquiry_interval_minutes * 60_000 << doublings

    async def _not_found(self, document: OutDocument, epoch: int) -> int:
        """The wire shows no such file: it counts after the Agreement's window, at a Bank with a duplicate key."""
        agreement = self._partner.bank.agreement
        if document.exported or not agreement.duplicate_key or self._now_ms() < counts_from_ms(document, agreement):
            return 0  # what left by hand was never on the wire: that it is not there says nothing
        await self._ledger.mark_travelled(
            document.key, epoch, DocumentEvent.NOT_FOUND, "", "not on the bank's side after the agreed window"
        )
        return 1

    async def overdue(self, epoch: int, asking: Collection[int | None]) -> int:
        """Ask about what was delivered and then never spoken of: no receipt, or a receipt and no results; or lines that nobody knows of.

        Only an inquiry Document asks the bank; where the format has none, people are told. The Document stays as it is: silence is no doubt,
        but the answer "not found" is one.
        """
        if self._clock.monotonic() < self._overdue_at:
            return 0
        self._overdue_at = self._clock.monotonic() + OVERDUE_EVERY_S
        done = 0
        for document, doubtful in await self._ledger.awaited(self._bank):
            within = RESULT_WITHIN_MINUTES
            if doubtful or document.state == DocumentState.SENT:
                within = self._partner.bank.agreement.not_found_window_minutes
            due_ms = document.last_sending_ms + within * 60_000
            if self._now_ms() < max(due_ms, document.inquired_ms + self._patience_ms(document)):
                continue
            await self._ledger.mark_inquired(document.key, epoch)
            what = "no receipt" if document.state == DocumentState.SENT else "no result"
            log.warning("answer_overdue", bank=self._bank, file=document.name, what=what)
            if document.inquiries % ASKED_PER_STEP == 0:
                text = f"sent as {document.name}, and the bank gives {what}"
                await self._ledger.alert("warning", f"document:{document.reference}", "OVERDUE", text)
                self._telling.ring()
            if self._partner.adapter.write_inquiry is not None:
                done += await self._ask(document, epoch, asking)
        return done

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)
