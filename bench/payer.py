"""The payer of the benchmark: a disbursement system that publishes one run and listens for its results.

It takes nothing on trust: every payment must come to one final outcome, and those that fail must be exactly the ones
that the month says.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from bench.broker import PREFETCH, Publisher
from gateway.core.contracts import Envelope, PaymentResult, PaymentResults
from gateway.core.ports import Message
from gateway.core.topology import DISBURSEMENT, payer_queue
from gateway.sandbox.month import PAYER, Month
from gateway.sandbox.month_files import read_chunks

FINAL = ("paid", "failed", "refused", "returned")
RUN_EVENTS = ("run.accepted", "run.rejected", "run.held", "run.released", "run.closed")

_ENVELOPE = msgspec.json.Decoder(Envelope)
_RESULTS = msgspec.json.Decoder(PaymentResults)


class WrongOutcome(Exception):
    """What the gateway told is not what happened, or it told that something went wrong."""


class Outcomes:
    """What the payer knows about each payment of the month."""

    def __init__(self, month: Month) -> None:
        self._month = month
        self._prefix = month.instruction_id(0)[:-7]
        self._final = bytearray(month.payments)  # index of the outcome in FINAL, plus one
        self.left = month.payments
        self.minor = 0
        self.failed: set[str] = set()
        self.counts: Counter[str] = Counter()

    def take(self, results: Iterable[PaymentResult]) -> None:
        """Note final outcomes; a repeat is quiet. Raises WrongOutcome for a stranger, or for a change of mind."""
        for result in results:
            self.counts[result.outcome] += 1
            if result.outcome not in FINAL:
                continue
            ordinal = self._ordinal(result.instruction_id)
            code = FINAL.index(result.outcome) + 1
            if self._final[ordinal] not in (0, code):
                raise WrongOutcome(
                    f"{result.instruction_id} was {FINAL[self._final[ordinal] - 1]}, now {result.outcome}"
                )
            if self._final[ordinal] == 0:
                self._final[ordinal] = code
                self.left -= 1
                self.minor += result.amount
                if result.outcome != "paid":
                    self.failed.add(result.instruction_id)

    def _ordinal(self, instruction_id: str) -> int:
        number = instruction_id.removeprefix(self._prefix)
        if len(number) != 7 or not 1 <= int(number) <= self._month.payments:
            raise WrongOutcome(f"{instruction_id} was never ordered")
        return int(number) - 1

    def check(self) -> None:
        """Raises WrongOutcome unless all came out as the month says."""
        if self.left:
            raise WrongOutcome(f"{self.left} payments have no final outcome: {dict(self.counts)}")
        if self.minor != self._month.header.total:
            raise WrongOutcome(f"{self.minor} fen are told, {self._month.header.total} were ordered")
        expected = set(self._month.failures)
        if self.failed != expected:
            raise WrongOutcome(
                f"{len(self.failed)} failed, {len(expected)} should: {sorted(self.failed ^ expected)[:5]}"
            )


class Payer:
    """Publishes and listens; made by `connected`."""

    def __init__(self, channel: AbstractChannel, publisher: Publisher, month: Month) -> None:
        self.outcomes = Outcomes(month)
        self.at: dict[str, float] = {}  # event name → when its first one came, and "last result"
        self._channel = channel
        self._publisher = publisher
        self._came: dict[str, asyncio.Event] = {name: asyncio.Event() for name in (*RUN_EVENTS, "all")}
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def publish(self, messages: Path) -> None:
        """The header and all chunks; returns when all are confirmed."""
        await self._publisher.publish(_keyed(read_chunks(messages)))

    async def wait(self, name: str, timeout_s: float) -> None:
        """Until that event, or ``all`` outcomes, came. Raises WrongOutcome for a bad word, TimeoutError."""
        waiter = asyncio.ensure_future(self._came[name].wait())
        done, _ = await asyncio.wait((waiter, self._broken), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if self._broken in done:
            self._broken.result()  # raises
        if waiter not in done:
            raise TimeoutError(f"no {name} after {timeout_s:.0f} s: {self.outcomes.left} payments have no outcome")

    def fail(self, why: str) -> None:
        """Whoever waits need not wait any longer."""
        if not self._broken.done():
            self._broken.set_exception(WrongOutcome(why))

    async def listen(self) -> None:
        """Take events from here on."""
        await self._channel.set_qos(prefetch_count=PREFETCH)
        queue = await self._channel.get_queue(payer_queue(PAYER), ensure=True)
        await queue.consume(self._take)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        now = time.perf_counter()
        try:
            self._read(_ENVELOPE.decode(message.body), now)
        except (WrongOutcome, msgspec.MsgspecError) as error:
            self.fail(str(error))
        await message.ack()

    def _read(self, event: Envelope, now: float) -> None:
        self.at.setdefault(event.type, now)
        if event.type == "payment.results":
            self.outcomes.take(_RESULTS.decode(event.data).results)
            if not self.outcomes.left and "last result" not in self.at:
                self.at["last result"] = now
                self._came["all"].set()
        elif event.type in ("run.rejected", "run.held", "document.refused", "document.in_doubt", "alert"):
            raise WrongOutcome(f"{event.type}: {bytes(event.data)[:500].decode()}")
        elif event.type in self._came:
            self._came[event.type].set()


@asynccontextmanager
async def connected(amqp_url: str, month: Month) -> AsyncIterator[Payer]:
    """A payer on two connections, as a real one has: what is published must not hold up what is consumed."""
    async with await aio_pika.connect(amqp_url) as out, await aio_pika.connect(amqp_url) as back:
        channel = await out.channel(publisher_confirms=True, on_return_raises=True)
        publisher = Publisher(await channel.get_exchange(DISBURSEMENT, ensure=True))
        yield Payer(await back.channel(), publisher, month)


def _keyed(messages: Iterable[Message]) -> Iterator[tuple[str, Message]]:
    key = "run.submitted"
    for message in messages:
        yield key, message
        key = "run.chunk"
