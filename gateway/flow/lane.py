"""A lane: one Bank's line of work, owned by one replica at a time. Fetch, apply, ask, file what is ready, seal, send.

What the bank says is heard before anything leaves. In doubt the lane stops sending (P14): while one of its Documents is in doubt, nothing new
leaves; asking and collecting go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import structlog

from gateway.core import batching
from gateway.core.bank import DocKind
from gateway.core.calendar import CHINA_TIME, is_open, next_slot
from gateway.core.errors import Code, Conflict, Halt, InDoubt, Malformed, NotSent, Refused, SheyinError, Unverified
from gateway.core.ledger import Ledger, LotGroup, OutDocument, Ranks
from gateway.core.partner import Partner
from gateway.core.points import Points
from gateway.core.ports import Clock, Crypto, Wire
from gateway.core.route import Asked, Awaited, Context, Found, Get, NotFound, Read, SealedDocument, Take
from gateway.core.states import DocumentEvent, DocumentState
from gateway.flow.asking import DEADLINE_S, LEASE_S, Asker, Naming
from gateway.flow.bell import Bell
from gateway.flow.collect import SEAL_BYTES_MAX, Collector
from gateway.flow.sealing import Sealer
from gateway.flow.travel import Traveller

log = structlog.get_logger(__name__)

#: What surely did not leave is tried again after so long, twice as long each time, up to the last; at the n-th time people are told.
FETCH_WAIT_MAX_S = 60
RESEND_FIRST_S, RESEND_MAX_S = 2, 300
TELL_AT_FAILURE = 3
#: A file that we do not take (too large, no plain file) is looked at again after so long; so many unreadable ones end a round of fetching.
LOOK_AGAIN_S = 3_600
UNREADABLE_MAX = 3
NOT_TAKEN_MAX = 1_000
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
        self._fetch_at: float = 0
        self._fetch_failures = 0
        self._failures: dict[int, tuple[int, float]] = {}  # Document → how often it did not leave, when to try again
        self._not_taken: dict[str, float] = {}  # path → when to look again
        self._unreadable = 0  # in this round of fetching
        self._asker = Asker(partner, ledger, clock, telling)

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
            done += await self._inward()
            done += await self._outward(epoch)
        except Conflict as error:  # stopped by a person, or taken over: ask for the lane again
            log.warning("lane_lost", bank=self._bank, what=error.what)
            self._epoch = None
        except (Halt, Unverified, Refused) as error:
            await self._stop(error)
        except BaseException:
            self._epoch = None  # whatever was under way is in doubt when this lane begins again
            raise
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
        """Give the lane up at once, for another replica; also where the step that held it was cut off in its middle."""
        try:
            await self._wire.close()
        finally:
            await self._ledger.lane_free(self._bank, self._owner)

    async def _stop(self, error: SheyinError) -> None:
        log.error("lane_stopped", bank=self._bank, code=error.code, what=error.what)
        self._epoch = None
        await self._ledger.stop_lane(self._bank, str(error)[:300], "gateway")
        await self._ledger.alert(
            "critical", f"lane:{self._bank}", error.code, f"the lane is stopped: {error.what}"[:300]
        )

    # ------------------------------------------------------------------------------------------------------ outward

    async def _outward(self, epoch: int) -> int:
        documents = await self._ledger.documents(self._bank, _UNSENT)
        doubtful = [document for document in documents if document.state == DocumentState.IN_DOUBT]
        waiting = [document for document in documents if document.state != DocumentState.IN_DOUBT]
        asking = {document.about_key for document in waiting if document.kind is DocKind.INQUIRY}
        done = await self._asker.overdue(epoch, asking)
        for document in doubtful:
            done += await self._asker.doubtful(document, epoch, asking, self._look)
        if not doubtful and self._open():
            done += await self._file(epoch)
        if done:
            documents = await self._ledger.documents(self._bank, _UNSENT)
        return done + await self._dispatch(documents, epoch)

    async def _dispatch(self, documents: list[OutDocument], epoch: int) -> int:
        """Seal what is open, send what may leave. The first doubt ends the sending, and so does a line that is down."""
        done = 0
        doubted = any(document.state == DocumentState.IN_DOUBT for document in documents)
        down = False
        for found in documents:
            document: OutDocument | None = found
            if found.state == DocumentState.OPEN:
                document = await self._seal(found, epoch)
                done += 1
            if document is None or document.state != DocumentState.SEALED or down:
                continue
            if not self._may_send(document, doubted=doubted):
                continue
            event = await self._send(document, epoch)
            done += event is DocumentEvent.DELIVERED
            doubted = doubted or event is DocumentEvent.DOUBTED
            down = event is DocumentEvent.SURELY_NOT_SENT
        return done

    def _open(self) -> bool:
        try:
            return is_open(self.partner.bank, self._clock.now(), self.partner.calendar)
        except Refused:  # the year's calendar is not published: closed, and the acceptance said so
            return False

    def _may_send(self, document: OutDocument, *, doubted: bool) -> bool:
        if document.kind is not DocKind.INQUIRY and (doubted or not self._open()):
            return False
        _, again_at = self._failures.get(document.key, (0, 0))
        return self._clock.monotonic() >= again_at

    def _due(self, group: LotGroup) -> bool:
        """Never before the first window of its pay date, unless its release says so."""
        now = self._clock.now()
        try:
            slot = next_slot(self.partner.bank, group.pay_date, now, calendar=self.partner.calendar)
        except Refused:  # nobody knows the working days of that year yet: it waits, and nothing else waits for it
            return group.early
        return group.early or slot.opens <= now

    async def _file(self, epoch: int) -> int:
        done = 0
        day = self._clock.now().astimezone(CHINA_TIME).date()
        for group in await self._ledger.ready_groups(self._bank):
            if self._due(group):
                ranks = await self._ranks(group)
                done += len(
                    await self._ledger.file_batch(group, epoch, ranks, Naming(self.partner, DocKind.PAYMENT, day), day)
                )
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

    async def _seal(self, document: OutDocument, epoch: int) -> OutDocument | None:
        """The sealed Document; None where it was voided meanwhile, or cannot be written."""
        await self._lease()
        try:
            sealed = await self._sealer.seal(document, self.partner)
        except Refused as error:
            await self._unwritable(document, epoch, error)
            return None
        except Malformed as error:
            raise Halt(f"{document.reference} cannot be sealed: {error.what}", code=error.code) from error
        if not await self._ledger.mark_sealed(
            document.key, epoch, sealed.digest, sealed.size, sealed.seal, sealed.seal_name
        ):
            return None
        self._points.reach("seal.marked")
        return msgspec.structs.replace(
            document,
            state=DocumentState.SEALED,
            digest=sealed.digest,
            size=sealed.size,
            seal=sealed.seal,
            seal_name=sealed.seal_name,
        )

    async def _unwritable(self, document: OutDocument, epoch: int, error: Refused) -> None:
        """Hold the lines that the format cannot carry, so that the others go. Raises the error where no line is to blame."""
        if document.kind is DocKind.INQUIRY and error.code is Code.SEQ:
            await self._ledger.mark_travelled(document.key, epoch, DocumentEvent.VOIDED, "", error.what)
            return
        faults = await self._sealer.unfit(document, self.partner) if document.kind is DocKind.PAYMENT else []
        if not faults or len(faults) == document.count > 1:
            raise error
        log.warning("lines_set_aside", bank=self._bank, file=document.name, lines=len(faults), what=error.what)
        await self._ledger.set_aside(document.key, epoch, faults)
        await self._ledger.alert(
            "warning",
            f"document:{document.reference}",
            error.code,
            f"{len(faults)} lines cannot be written and are held",
        )
        self._telling.ring()

    async def _send(self, document: OutDocument, epoch: int) -> DocumentEvent | None:
        """One sending; how it ended. Whatever happens is written down before anything else is tried."""
        await self._lease()
        if not await self._ledger.mark_sending(document.key, epoch):
            return None
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
        except (Unverified, Malformed, Halt) as error:
            await self._ledger.mark_travelled(
                document.key, epoch, DocumentEvent.SURELY_NOT_SENT, error.code, error.what
            )
            if isinstance(error, Malformed):
                raise Unverified(error.what, code=error.code, where=error.where) from error
            raise
        state = await self._ledger.mark_travelled(document.key, epoch, event, code, what)
        self._points.reach("send.done")
        log.info("document_travelled", bank=self._bank, file=document.name, state=state, what=what)
        await self._remember(document, event, what)
        self._telling.ring()
        return event

    async def _remember(self, document: OutDocument, event: DocumentEvent, what: str) -> None:
        """When what surely did not leave may be tried again; people are told once it goes on."""
        if event is not DocumentEvent.SURELY_NOT_SENT:
            self._failures.pop(document.key, None)
            return
        times = self._failures.get(document.key, (0, 0.0))[0] + 1
        wait_s = min(RESEND_FIRST_S << min(times - 1, 16), RESEND_MAX_S)
        self._failures[document.key] = (times, self._clock.monotonic() + wait_s)
        if times == TELL_AT_FAILURE:
            await self._ledger.alert(
                "warning", f"document:{document.reference}", "", f"did not leave {times} times: {what}"[:300]
            )

    async def _look(self, document: OutDocument, epoch: int) -> Found | NotFound | Asked | None:
        """What the wire shows of a Document in doubt; None where it gives no answer."""
        route = self.partner.routes.inquire(_sealed(document), self._context(document))
        try:
            return await self._traveller(document.key, epoch).travel(route)
        except (NotSent, InDoubt, Malformed) as error:
            log.info("inquiry_unanswered", bank=self._bank, file=document.name, what=error.what)
            return None

    def _context(self, document: OutDocument | None = None) -> Context:
        return Context(bank=self.partner.bank, now=self._clock.now(), cursor=document.cursor if document else "")

    def _traveller(self, document_key: int, epoch: int) -> Traveller:
        async def save(cursor: str) -> None:
            await self._ledger.save_cursor(document_key, epoch, cursor)
            self._points.reach("send.saved")

        return Traveller(
            self._wire,
            self._clock,
            self._crypto,
            self.partner.bank,
            take_in=self._take_in,
            read=self._read,
            save=save,
            deadline_s=DEADLINE_S,
        )

    # ------------------------------------------------------------------------------------------------------ inward

    async def _inward(self) -> int:
        """Fetch what the bank holds for us, then apply what has arrived by any way."""
        count = 0
        self._unreadable = 0
        if self._clock.monotonic() >= self._fetch_at:
            count = await self._fetch()
        applied = await self._collector.step(self.partner)
        if applied:
            self._telling.ring()
        return count + applied

    async def _fetch(self) -> int:
        """How many Documents came in; a bank that does not answer is asked again after a wait that doubles."""
        try:
            context = self._context()
            if self.partner.routes.asks:
                context = msgspec.structs.replace(context, awaited=await self._awaited())
            fetched = await self._traveller(0, 0).travel(self.partner.routes.fetch(context))
        except (NotSent, InDoubt, Malformed) as error:
            self._fetch_failures += 1
            wait_s = min(1 << min(self._fetch_failures - 1, 16), FETCH_WAIT_MAX_S)
            self._fetch_at = self._clock.monotonic() + wait_s
            log.warning("fetch_failed", bank=self._bank, what=error.what, again_in_s=wait_s)
            return 0
        self._fetch_failures = 0
        self._fetch_at = self._clock.monotonic() + fetched.again_s
        return fetched.count

    async def _awaited(self) -> tuple[Awaited, ...]:
        """What the bank is to be asked about."""
        return tuple(
            Awaited(
                document=_sealed(document),
                cursor=document.cursor,
                sent=datetime.fromtimestamp(document.last_sending_ms / 1000, UTC),
            )
            for document, _ in await self._ledger.awaited(self._bank)
        )

    async def _read(self, read: Read) -> bytes:
        return await self._sealer.read(read.document.digest, read.offset, read.size)

    async def _take_in(self, request: Get | Take) -> bool:
        """One Document through the door. One that cannot be taken keeps no other from coming in."""
        if isinstance(request, Get):
            return await self._take_file(request)
        try:
            await self._collector.take_in(
                self.partner, request.name, _once(request.body), str(self.partner.bank.wire), None, request.about
            )
        except Malformed as error:
            await self._cannot_take(request.name, error)
            return False
        return True

    async def _take_file(self, get: Get) -> bool:
        """What lies at the bank's side, with its detached seal."""
        if self._clock.monotonic() < self._not_taken.get(get.path, 0):
            return False
        try:
            seal = await self._seal_bytes(get.seal_path) if get.seal_path else None
            await self._collector.take_in(
                self.partner, get.name, self._wire.read(get.path), str(self.partner.bank.wire), seal, get.about
            )
        except Malformed as error:
            if len(self._not_taken) >= NOT_TAKEN_MAX:
                self._not_taken.clear()
            self._not_taken[get.path] = self._clock.monotonic() + LOOK_AGAIN_S
            await self._cannot_take(get.name, error)
            return False
        except NotSent as error:  # it vanished, or changes while it is read; or the line is down
            self._unreadable += 1
            if self._unreadable >= UNREADABLE_MAX:
                raise
            log.info("not_readable", bank=self._bank, file=get.name, what=error.what)
            return False
        self._not_taken.pop(get.path, None)
        return True

    async def _cannot_take(self, name: str, error: Malformed) -> None:
        log.warning("not_taken_in", bank=self._bank, file=name, code=error.code, what=error.what)
        await self._ledger.alert("warning", f"inbound:{self._bank}:{name}"[:200], error.code, error.what[:200])
        self._telling.ring()

    async def _seal_bytes(self, path: str) -> bytes:
        seal = b""
        async for part in self._wire.read(path):
            seal += part
            if len(seal) > SEAL_BYTES_MAX:
                return seal[:SEAL_BYTES_MAX]  # no seal is that long: the verification says so
        return seal


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _sealed(document: OutDocument) -> SealedDocument:
    return SealedDocument(
        reference=document.reference, name=document.name, digest=document.digest, size=document.size, kind=document.kind, seal=document.seal,
        seal_name=document.seal_name,
    )  # fmt: skip
