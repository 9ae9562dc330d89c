"""A lane: one Bank's line of work, owned by one replica at a time. File what is ready, seal, send, ask, fetch, apply.

In doubt the lane stops sending (P14): while one of its Documents is in doubt, nothing new leaves; asking and collecting go on.
"""

from __future__ import annotations

import datetime as dt

import msgspec
import structlog

from gateway.core import batching
from gateway.core.bank import Asked, Context, DocKind, Found, Get, SealedDocument
from gateway.core.calendar import CHINA_TIME, is_open, next_slot
from gateway.core.errors import Conflict, Halt, InDoubt, Malformed, NotSent, Refused, SheyinError, Unverified
from gateway.core.ledger import Ledger, LotGroup, OutDocument, Ranks
from gateway.core.partner import Partner
from gateway.core.points import Points
from gateway.core.ports import Clock, Crypto, Wire
from gateway.core.states import DocumentEvent, DocumentState
from gateway.flow.bell import Bell
from gateway.flow.collect import SEAL_BYTES_MAX, Collector
from gateway.flow.sealing import Sealer
from gateway.flow.travel import Traveller

log = structlog.get_logger(__name__)

LEASE_S = 60
#: One request of a route; a Document in doubt is asked about no sooner than lease and deadline together.
DEADLINE_S = 120
_UNSENT = (DocumentState.IN_DOUBT, DocumentState.OPEN, DocumentState.SEALED)


class Lane:
    """Everything between ready Attempts of one Bank and applied results."""

    def __init__(
        self, partner: Partner, owner: str, wire: Wire, *, ledger: Ledger, sealer: Sealer, collector: Collector, crypto: Crypto, clock: Clock,
        points: Points,
        bell: Bell,
        telling: Bell,
    ) -> None:  # fmt: skip
        self.partner, self._owner, self._wire = partner, owner, wire
        self._ledger, self._sealer, self._collector, self._crypto = ledger, sealer, collector, crypto
        self._clock, self._points, self._bell, self._telling = clock, points, bell, telling
        self._bank = partner.bank.code
        self._epoch: int | None = None
        self._renew_at: float = 0

    async def loop(self, *, poll_s: float) -> None:
        """``step`` for ever; looks at the bank's side every ``poll_s`` seconds at the latest."""
        while True:
            heard = self._bell.rung
            if not await self.step():
                await self._bell.wait(heard, poll_s)

    async def step(self) -> int:
        """One round; how many things were done. Raises Unavailable; stops the lane on a broken invariant or a wrong partner."""
        epoch = await self._lease()
        if epoch is None:
            self._epoch = None
            return 0
        done = 0
        try:
            if epoch != self._epoch:  # new here: whatever was under way when the owner before us ended is in doubt
                done += await self._ledger.doubt_sendings(self._bank, epoch)
                self._epoch = epoch
            done += await self._outward(epoch)
            done += await self._inward()
        except (Halt, Unverified) as error:
            await self._stop(error)
        except Conflict as error:  # stopped by a person, or taken over: ask for the lane again
            log.warning("lane_lost", bank=self._bank, what=error.what)
            self._epoch = None
        return done

    async def _lease(self) -> int | None:
        """The lane's epoch; the ledger is asked again once a sixth of the lease is over."""
        now = self._clock.monotonic()
        if self._epoch is not None and now < self._renew_at:
            return self._epoch
        epoch = await self._ledger.lane_lease(self._bank, self._owner, LEASE_S)
        self._renew_at = now + LEASE_S // 6
        return epoch

    async def hand_over(self) -> None:
        """Give the lane up at once, for another replica."""
        if self._epoch is not None:
            await self._ledger.lane_free(self._bank, self._owner)
        await self._wire.close()

    async def _stop(self, error: SheyinError) -> None:
        log.error("lane_stopped", bank=self._bank, code=error.code, what=error.what)
        self._epoch = None
        await self._ledger.stop_lane(self._bank, str(error)[:300], "gateway")
        await self._ledger.alert(
            "critical", f"lane:{self._bank}", error.code, f"the lane is stopped: {error.what}"[:300]
        )

    # ------------------------------------------------------------------------------------------------------ outward

    async def _outward(self, epoch: int) -> int:
        done = 0
        documents = await self._ledger.documents(self._bank, _UNSENT)
        doubtful = [document for document in documents if document.state == DocumentState.IN_DOUBT]
        for document in doubtful:
            done += await self._inquire(document, epoch)
        if not doubtful and self._open():
            done += await self._file(epoch)
        if done:
            documents = await self._ledger.documents(self._bank, _UNSENT)
        doubted = any(document.state == DocumentState.IN_DOUBT for document in documents)
        for document in documents:
            if document.state == DocumentState.OPEN:
                done += await self._seal_and_send(document, epoch, doubted=doubted)
            elif document.state == DocumentState.SEALED and self._may_send(document, doubted=doubted):
                done += await self._send(document, epoch)
        return done

    def _open(self) -> bool:
        try:
            return is_open(self.partner.bank, self._clock.now())
        except Refused:  # the year's calendar is not published: closed, and the acceptance said so
            return False

    def _may_send(self, document: OutDocument, *, doubted: bool) -> bool:
        return document.kind is DocKind.INQUIRY or (not doubted and self._open())

    def _due(self, group: LotGroup) -> bool:
        """Never before the first window of its pay date, unless its release says so."""
        now = self._clock.now()
        return (
            group.early
            or next_slot(self.partner.bank, group.pay_date, now, calendar=self.partner.calendar).opens <= now
        )

    async def _file(self, epoch: int) -> int:
        done = 0
        day = self._clock.now().astimezone(CHINA_TIME).date()
        for group in await self._ledger.ready_groups(self._bank):
            if self._due(group):
                ranks = await self._ranks(group)
                done += len(await self._ledger.file_batch(group, epoch, ranks, self._naming(DocKind.PAYMENT, day), day))
                self._points.reach("dispatch.filed")
        return done

    async def _ranks(self, group: LotGroup) -> list[Ranks]:
        """Cut by rows; by amount only where the whole group could reach the Document's cap."""
        limits = self.partner.limits
        count = group.totals.count
        if group.totals.minor <= limits.document_minor_max:
            step = limits.rows_max
            return [Ranks(first, min(first + step - 1, count)) for first in range(1, count + 1, step)]
        amounts = await self._ledger.group_amounts(group)
        whole = batching.Group(
            self._bank, group.fund, group.debit_account, group.pay_date, amounts, group.line, group.early
        )
        return [Ranks(planned.first_rank, planned.last_rank) for planned in batching.plan([whole], limits)]

    def _naming(self, kind: DocKind, day: dt.date) -> _Naming:
        return _Naming(self.partner, kind, day)

    async def _seal_and_send(self, document: OutDocument, epoch: int, *, doubted: bool) -> int:
        await self._lease()
        sealed = await self._sealer.seal(document, self.partner)
        if not await self._ledger.mark_sealed(
            document.key, epoch, sealed.digest, sealed.size, sealed.seal, sealed.seal_name
        ):
            return 0
        self._points.reach("seal.marked")
        if self._may_send(document, doubted=doubted):
            await self._send(
                msgspec.structs.replace(
                    document, digest=sealed.digest, size=sealed.size, seal=sealed.seal, seal_name=sealed.seal_name
                ),
                epoch,
            )
        return 1

    async def _send(self, document: OutDocument, epoch: int) -> int:
        """One sending. Whatever happens is written down before anything else is tried."""
        await self._lease()
        if not await self._ledger.mark_sending(document.key, epoch):
            return 0
        self._points.reach("send.marked")
        traveller = self._traveller(document.key, epoch)
        routes = self.partner.routes
        route = routes.submit
        event, code, what = DocumentEvent.DELIVERED, "", ""
        try:
            await traveller.travel(route(_sealed(document), self._context(document)))
            self._points.reach("send.travelled")
        except NotSent as error:
            event, code, what = DocumentEvent.SURELY_NOT_SENT, str(error.code), error.what
        except InDoubt as error:
            event, code, what = DocumentEvent.DOUBTED, str(error.code), error.what
        except (Unverified, Malformed) as error:
            await self._ledger.mark_travelled(
                document.key, epoch, DocumentEvent.SURELY_NOT_SENT, error.code, error.what
            )
            raise Unverified(error.what, code=error.code, where=error.where) from error
        state = await self._ledger.mark_travelled(document.key, epoch, event, code, what)
        self._points.reach("send.done")
        log.info("document_travelled", bank=self._bank, file=document.name, state=state, what=what)
        self._telling.ring()
        return 1 if event is DocumentEvent.DELIVERED else 0

    async def _inquire(self, document: OutDocument, epoch: int) -> int:
        """Ask about a Document in doubt: look on the wire first, then by an inquiry Document where the format has one."""
        agreement = self.partner.bank.agreement
        now_ms = int(self._clock.now().timestamp() * 1000)
        if document.kind is DocKind.INQUIRY:  # a question that may not have arrived: the next one asks again
            await self._ledger.mark_travelled(
                document.key, epoch, DocumentEvent.REFUSED, "", "a later inquiry takes its place"
            )
            return 1
        if now_ms < document.last_sending_ms + (LEASE_S + DEADLINE_S) * 1000 and document.inquiries:
            return 0
        if now_ms < document.inquired_ms + agreement.inquiry_interval_minutes * 60_000:
            return 0
        await self._ledger.mark_inquired(document.key, epoch)
        try:
            routes = self.partner.routes
            answer = await self._traveller(document.key, epoch).travel(
                routes.inquire(_sealed(document), self._context(document))
            )
        except (NotSent, InDoubt) as error:
            log.info("inquiry_unanswered", bank=self._bank, file=document.name, what=error.what)
            answer = None
        if isinstance(answer, Found):
            await self._ledger.mark_travelled(document.key, epoch, DocumentEvent.FOUND, "", "found on the bank's side")
            return 1
        if self.partner.adapter.write_inquiry is not None:
            day = self._clock.now().astimezone(CHINA_TIME).date()
            await self._ledger.open_inquiry(document.key, epoch, self._naming(DocKind.INQUIRY, day), day)
            return 1
        if answer is not None and not isinstance(answer, Asked):
            return await self._not_found(document, epoch, now_ms)
        return 0

    async def _not_found(self, document: OutDocument, epoch: int, now_ms: int) -> int:
        """The wire shows no such file: it counts after the Agreement's window, at a Bank with a duplicate key."""
        agreement = self.partner.bank.agreement
        if (
            not agreement.duplicate_key
            or now_ms < document.last_sending_ms + agreement.not_found_window_minutes * 60_000
        ):
            return 0
        await self._ledger.mark_travelled(
            document.key, epoch, DocumentEvent.NOT_FOUND, "", "not on the bank's side after the agreed window"
        )
        return 1

    def _context(self, document: OutDocument | None = None) -> Context:
        return Context(bank=self.partner.bank, now=self._clock.now(), cursor=document.cursor if document else "")

    def _traveller(self, document_key: int, epoch: int) -> Traveller:
        async def save(cursor: str) -> None:
            await self._ledger.save_cursor(document_key, epoch, cursor)

        return Traveller(
            self._wire,
            self._clock,
            self._crypto,
            self.partner.bank.sign_key,
            take_in=self._take_in,
            save=save,
            deadline_s=DEADLINE_S,
        )

    # ------------------------------------------------------------------------------------------------------ inward

    async def _inward(self) -> int:
        """Fetch what the bank holds for us, then apply what has arrived by any way."""
        count = 0
        try:
            fetched = await self._traveller(0, 0).travel(self.partner.routes.fetch(self._context()))
            count = fetched.count
        except (NotSent, InDoubt) as error:
            log.warning("fetch_failed", bank=self._bank, what=error.what)
        applied = await self._collector.step(self.partner)
        if applied:
            self._telling.ring()
        return count + applied

    async def _take_in(self, get: Get) -> bool:
        """One Document through the door, with its detached seal."""
        seal = None
        if get.seal_path:
            seal = b""
            async for part in self._wire.read(get.seal_path):
                seal += part
                if len(seal) > SEAL_BYTES_MAX:
                    seal = seal[:SEAL_BYTES_MAX]  # no seal is that long: the verification says so
                    break
        try:
            await self._collector.take_in(
                self.partner, get.name, self._wire.read(get.path), str(self.partner.bank.wire), seal
            )
        except Malformed as error:
            log.warning("not_taken_in", bank=self._bank, file=get.name, code=error.code, what=error.what)
            await self._ledger.alert("warning", f"inbound:{self._bank}:{get.name}"[:200], error.code, error.what[:200])
            return False
        return True


class _Naming:
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


def _sealed(document: OutDocument) -> SealedDocument:
    return SealedDocument(
        reference=document.reference, name=document.name, digest=document.digest, size=document.size, kind=document.kind, seal=document.seal,
        seal_name=document.seal_name,
    )  # fmt: skip
