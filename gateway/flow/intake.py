"""Intake: whatever a payer publishes is recorded, refused with a code, or kept for a person; then it is acknowledged (P1)."""

from __future__ import annotations

import datetime as dt
from contextlib import aclosing
from hashlib import sha256

import structlog

from gateway.codec.text import name_fault
from gateway.core import contracts
from gateway.core.calendar import CHINA_TIME, next_slot
from gateway.core.contracts import (
    Envelope,
    InstructionRepay,
    InstructionSubmitted,
    InstructionWithdraw,
    RunCancel,
    RunSubmitted,
    Window,
)
from gateway.core.errors import Code, Malformed, Refused, SheyinError, Unavailable
from gateway.core.ledger import BadLine, Chunk, CompleteRun, Ledger, Line, Meta, Recorded
from gateway.core.partner import Partners
from gateway.core.points import Points
from gateway.core.ports import Bus, Clock, Delivery, Message
from gateway.flow import reading
from gateway.flow.bell import Bell

log = structlog.get_logger(__name__)

QUEUE = "gateway.intake"
_UPKEEP_S = 60
_REFUSALS = {
    Recorded.CONFLICT: (Code.CONFLICT, "the same id with other content: the first stands"),
    Recorded.LATE: (Code.SEQ, "the run takes no more chunks, or has no such chunk"),
}


class Intake:
    """One competing consumer's work, and the acceptance of complete Runs."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        points: Points,
        partners: Partners,
        payers: frozenset[str],
        bell: Bell,
        telling: Bell,
    ) -> None:
        self._ledger, self._clock, self._points = ledger, clock, points
        self._partners, self._payers, self._bell, self._telling = partners, payers, bell, telling
        self._debits = {code: partner.bank.debit_accounts for code, partner in partners.items()}

    # ------------------------------------------------------------------------------------------------------ messages

    async def consume(self, bus: Bus, *, prefetch: int = 2) -> None:
        """Take messages for ever; start several of these to overlap our work with the database's."""
        async with aclosing(bus.consume(QUEUE, prefetch)) as deliveries:
            async for delivery in deliveries:
                await self.settle(delivery)

    async def settle(self, delivery: Delivery) -> None:
        """Record one message and settle it. Where the ledger is away it goes back to the queue."""
        self._points.reach("intake.received")
        try:
            await self.record(delivery.message)
        except Unavailable:
            await delivery.requeue()
            raise
        except SheyinError as error:
            log.warning(
                "message_refused",
                code=error.code,
                where=error.where,
                what=error.what,
                message_id=delivery.message.message_id,
            )
            await delivery.reject(str(error))
            return
        self._points.reach("intake.recorded")
        await delivery.ack()
        self._bell.ring()

    async def record(self, message: Message) -> Recorded:
        """The message is in the ledger, or was before. Raises Malformed, Refused, Conflict: the payer has been told where we know them."""
        try:
            found = reading.envelope(message)
        except Malformed as error:
            if error.code is Code.SIZE:
                await self._too_large(message, error)
            raise
        if found.source not in self._payers:
            raise Refused(f"no payer is called {found.source!r}", code=Code.AUTH, where="source")
        if found.id != message.message_id:
            raise Malformed("the envelope's id is not the message_id", code=Code.FORMAT, where="id")
        meta = Meta(found.source, found.id, sha256(message.body).digest())
        try:
            self._check_time(found.time)
            recorded = await self._dispatch(found, meta, message.body)
            if recorded in _REFUSALS:
                code, what = _REFUSALS[recorded]
                raise Refused(what, code=code, where=found.type)
        except (Malformed, Refused) as error:
            await self._tell(meta, found, error)
            raise
        return recorded

    async def _dispatch(self, found: Envelope, meta: Meta, body: bytes) -> Recorded:
        if found.type == "run.chunk":
            return await self._chunk(found, meta, body)
        value = reading.data(found)
        match value:
            case RunSubmitted():
                self._check_header(value)
                return await self._ledger.record_header(meta, value)
            case InstructionSubmitted():
                return await self._single(meta, value)
            case RunCancel():
                return await self._ledger.cancel_run(meta, value.run_id, value.reason)
            case InstructionWithdraw():
                return await self._ledger.withdraw(meta, value.instruction_id, value.reason)
            case InstructionRepay():
                _check_name(value)
                minutes = {code: partner.bank.agreement.fail_final_minutes for code, partner in self._partners.items()}
                return await self._ledger.repay(meta, value, minutes, self._debits)
        raise Malformed(f"no message is called {found.type}", code=Code.SCHEMA)

    async def _chunk(self, found: Envelope, meta: Meta, body: bytes) -> Recorded:
        data = bytes(found.data)
        read = reading.chunk(data, self._partners, self._today())
        chunk = Chunk(read.run_id, read.no, sha256(data).digest(), read.lines, read.bad)
        for _ in range(2):
            recorded = await self._ledger.record_chunk(meta, chunk)
            if recorded is not Recorded.EARLY:
                return recorded
            recorded = await self._ledger.keep_early(meta, read.run_id, body)
            if recorded is not Recorded.LATE:
                return recorded
        return Recorded.LATE

    def _check_header(self, header: RunSubmitted) -> None:
        if header.kind is contracts.RunKind.SECOND_PAYMENT:
            raise Refused("second payments are ordered with instruction.repay", code=Code.POLICY, where="kind")
        if not header.chunks <= header.count <= header.chunks * contracts.CHUNK_MAX:
            raise Refused(f"{header.count} lines do not fit {header.chunks} chunks", code=Code.TOTALS, where="chunks")
        self._check_date(header.pay_date)

    def _check_time(self, time: dt.datetime | None) -> None:
        """A message of another year is old, replayed, or of a clock that is wrong: kept for a person (A25)."""
        if time is not None and abs((time.date() - self._today()).days) > reading.FAR_DAYS:
            raise Refused(f"the message says it is of {time:%Y-%m-%d}", code=Code.POLICY, where="time")

    def _check_date(self, day: dt.date) -> None:
        if abs((day - self._today()).days) > reading.FAR_DAYS:
            raise Refused(f"pay date {day} is more than a year away", code=Code.POLICY, where="pay_date")

    async def _single(self, meta: Meta, value: InstructionSubmitted) -> Recorded:
        self._check_date(value.pay_date)
        today = self._today()
        lines: list[Line] = []
        bad: list[BadLine] = []
        checker = reading.Checker(self._partners, today)
        checker.line(1, value.instruction, reading.single(value.instruction, meta.payer), lines, bad)
        if not lines:
            raise Refused(bad[0].what, code=Code(bad[0].code), where=bad[0].where)
        self._check_debit(value)
        return await self._ledger.record_single(meta, value, lines[0], today)

    def _check_debit(self, value: InstructionSubmitted) -> None:
        one = value.instruction
        fund, account = one.fund or value.fund, one.debit_account or value.debit_account
        ours = self._debits.get(one.bank)
        if ours and ours.get(fund) != account:
            what = f"{account} is not our account of the fund {fund} at {one.bank}"
            raise Refused(what, code=Code.POLICY, where="debit_account")

    async def _too_large(self, message: Message, error: Malformed) -> None:
        """The payer is told, where the message says who that is; else people are. Its bytes go to the dead letters either way (A5)."""
        claimed = reading.claimed(message)
        if claimed is not None and claimed[0].source in self._payers:
            found, subject = claimed
            meta = Meta(found.source, found.id, sha256(message.body).digest())
            await self._ledger.refuse_message(meta, found.type, subject, error.code, error.what)
        else:
            what = f"{error.what}; it does not tell which payer sent it"
            await self._ledger.alert("warning", f"queue:{QUEUE}", error.code, what)
        self._telling.ring()

    async def _tell(self, meta: Meta, found: Envelope, error: SheyinError) -> None:
        subject = reading.subject(bytes(found.data)) or found.subject or ""
        await self._ledger.refuse_message(meta, found.type, subject, error.code, f"{error.where}: {error.what}"[:500])
        self._telling.ring()

    def _today(self) -> dt.date:
        return self._clock.now().astimezone(CHINA_TIME).date()

    # ------------------------------------------------------------------------------------------------------ acceptance

    async def step(self) -> int:
        """Take early chunks in, conclude complete Runs; how many things were done."""
        done = 0
        for payer, message_id, body in await self._ledger.early_chunks():
            done += await self._early(payer, message_id, body)
        for run in await self._ledger.complete_runs():
            await self._ledger.conclude_intake(run.key, self.windows(run), self._debits)
            self._points.reach("accept.done")
            done += 1
            self._telling.ring()
        return done

    async def _early(self, payer: str, message_id: str, body: bytes) -> int:
        """A chunk that came before its header; what is wrong with it only now that the header is here is told like any refusal."""
        found = reading.envelope(Message(message_id=message_id, body=body))
        meta = Meta(payer, message_id, sha256(body).digest())
        recorded = await self._chunk(found, meta, body)
        if recorded in _REFUSALS:
            code, what = _REFUSALS[recorded]
            await self._tell(meta, found, Refused(what, code=code, where=found.type))
        return 1

    def windows(self, run: CompleteRun) -> list[Window]:
        """When each bank's share will go, as far as the calendar knows; a share whose year is not published has no window."""
        found = []
        for share in run.shares:
            try:
                slot = next_slot(
                    self._partners[share.bank].bank,
                    share.pay_date,
                    self._clock.now(),
                    calendar=self._partners[share.bank].calendar,
                )
            except Refused:
                continue
            found.append(
                Window(
                    bank=share.bank,
                    opens=slot.opens,
                    cut_off=slot.cut_off,
                    count=share.totals.count,
                    total=share.totals.minor,
                )
            )
        return found

    async def upkeep(self, incomplete_after: dt.timedelta) -> int:
        """Reject Runs whose chunks never came; accept gathered Runs of earlier days."""
        expired = await self._ledger.expire_incomplete(int(incomplete_after.total_seconds() * 1000))
        return expired + await self._ledger.close_gathering(self._today())

    async def upkeep_loop(self, incomplete_after: dt.timedelta) -> None:
        """``upkeep`` for ever."""
        while True:
            await self.upkeep(incomplete_after)
            await self._clock.sleep(_UPKEEP_S)

    async def loop(self) -> None:
        """``step`` for ever."""
        while True:
            heard = self._bell.rung
            if not await self.step():
                await self._bell.wait(heard, 1)


def _check_name(order: InstructionRepay) -> None:
    """A corrected name is held to what any name is held to: nobody would look at it again before it leaves."""
    name = order.correction.name if order.correction else None
    if name is not None and (fault := name_fault(name)):
        raise Refused(f"the corrected name {fault}", code=Code.NAME, where="correction.name")
