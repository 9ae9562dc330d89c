"""Where a month is played: town, broker, ledger, ``sheyin serve`` as a process that can be killed, and the payer's ear."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aio_pika
import asyncpg
import msgspec

from bench.installation import write_config
from gateway.cli.assembly import open_ledger
from gateway.cli.config import Config
from gateway.cli.town import Setting, town
from gateway.core.bank import Agreement, DuplicateAnswer, WireKind
from gateway.core.calendar import CHINA_TIME
from gateway.core.contracts import Envelope, PaymentResult, PaymentResults, encode
from gateway.core.ports import Message
from gateway.core.states import DocumentState, RunState
from gateway.core.topology import DISBURSEMENT, payer_queue
from gateway.edge.bus_topology import declare
from gateway.edge.clock import SystemClock
from gateway.edge.ledger import SqlLedger
from gateway.edge.points import VARIABLE
from gateway.sandbox.failures import APPROVER, VERIFIER
from gateway.sandbox.month import PAYER, SEED, Month, generate
from gateway.sandbox.runner import Running
from tests.servers import ROOT, plain_url

#: Both formats, three ways; what is in doubt can be cleared at each of them (pain.001 has no inquiry that a queue could carry).
WIRES = {"BANKA": WireKind.FOLDER, "BANKB": WireKind.AMQP, "BANKC": WireKind.SFTP, "BANKD": WireKind.FOLDER}
PATIENCE_S = 90.0
#: How far the ledger's past is moved back where a test would have to wait: beyond every lease, window and interval.
AWAY_MS = 3 * 3_600_000
POLL_S = 0.05
_PEOPLE = {VERIFIER: "maker", APPROVER: "checker"}


def agreed(answer: DuplicateAnswer) -> Agreement:
    """A bank that recognises a repeat by its reference and answers it in this way."""
    return Agreement(duplicate_key="reference", duplicate_answer=answer, inquiry_interval_minutes=1)


AGREEMENTS = {
    "BANKA": agreed(DuplicateAnswer.ERROR),
    "BANKB": agreed(DuplicateAnswer.OVERWRITE),
    "BANKC": agreed(DuplicateAnswer.FIRST_RESULT),
    "BANKD": agreed(DuplicateAnswer.ERROR),
}


def this_month(payments: int) -> Month:
    """A month to be paid today: the gateway runs on the clock on the wall."""
    today = dt.datetime.now(CHINA_TIME).date()
    return generate(payments, SEED, period=f"{today:%Y-%m}", pay_date=today)


class Event(NamedTuple):
    """One delivery at the payer's queue, repeats included."""

    message_id: str
    type: str
    body: bytes


class Ear:
    """The payer's side: everything that its queue delivered, in order."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    async def take(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        """Write down, then acknowledge."""
        found = msgspec.json.decode(message.body, type=Envelope)
        assert message.message_id == found.id
        self.heard.append(Event(found.id, found.type, message.body))
        await message.ack()

    def distinct(self) -> dict[str, Event]:
        """By message id; a repeat must be byte for byte what was told before."""
        found: dict[str, Event] = {}
        for event in self.heard:
            assert found.setdefault(event.message_id, event) == event, event.message_id
        return found

    def count(self, name: str) -> int:
        """How many different events of a type."""
        return sum(event.type == name for event in self.distinct().values())

    def results(self) -> dict[str, list[PaymentResult]]:
        """By instruction, as told, each sequence number once. A number is never told before the one before it, nor with two contents."""
        found: dict[str, list[PaymentResult]] = {}
        for event in self.heard:
            if event.type != "payment.results":
                continue
            envelope = msgspec.json.decode(event.body, type=Envelope)
            for result in msgspec.json.decode(envelope.data, type=PaymentResults).results:
                told = found.setdefault(result.instruction_id, [])
                if result.sequence <= len(told):
                    assert told[result.sequence - 1] == result
                else:
                    assert result.sequence == len(told) + 1, f"{result.instruction_id}: {result.sequence} came early"
                    told.append(result)
        return found


class Served:
    """One ``sheyin serve``."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    @property
    def ended(self) -> int | None:
        """Its exit status, once it has one."""
        return self.process.poll()

    def tail(self) -> str:
        """The end of its log."""
        return self._log.read_text(encoding="utf-8", errors="backslashreplace")[-5_000:]

    def stop(self) -> None:
        """SIGTERM, and a clean end."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_S) == 0, self.tail()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


class Place:
    """Everything that a test of the whole holds in its hands."""

    def __init__(self, folder: Path, month: Month, config: Config, banks: Running, ledger: SqlLedger, ear: Ear) -> None:
        self.folder, self.month, self.config, self.banks, self.ledger, self.ear = (
            folder,
            month,
            config,
            banks,
            ledger,
            ear,
        )
        self.path = folder / "sheyin.toml"
        self.environment = {"SHEYIN_LEDGER_URL": config.ledger_url(), "SHEYIN_BUS_URL": config.bus_url()}
        self.released: set[str] = set()
        self._logs = 0

    # ------------------------------------------------------------------------------------------------------ the gateway

    @contextlib.contextmanager
    def serving(self, crash_at: str = "") -> Iterator[Served]:
        """``sheyin serve``; killed at the end of the block if it still runs."""
        self._logs += 1
        log = self.folder / f"serve-{self._logs}.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--poll-ms", "100", "--config", str(self.path)],
                cwd=ROOT,
                env=os.environ | self.environment | ({VARIABLE: crash_at} if crash_at else {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        served = Served(process, log)
        try:
            yield served
        finally:
            if process.poll() is None:
                served.kill()

    async def time_passes(self) -> None:
        """Three hours, for all that waits for time: leases, and how long ago something was sent or asked about."""
        for statement in (
            f"UPDATE document SET last_sending_ms = last_sending_ms - {AWAY_MS}, inquired_ms = inquired_ms - {AWAY_MS}",
            f"UPDATE lane SET until_ms = until_ms - {AWAY_MS}",
        ):
            await rows(self.config.ledger_url(), statement)

    async def until(self, served: Served, holds: Callable[[], Awaitable[bool]], *, waits: bool = True) -> None:
        """Play the two people, and let time pass where a Document is in doubt, until it holds."""
        deadline, passed = time.monotonic() + PATIENCE_S, time.monotonic()
        while not await holds():
            assert served.ended is None, f"ended with {served.ended}\n{served.tail()}"
            assert time.monotonic() < deadline, f"{await self.standing()}\n{served.tail()}"
            await self.release()
            if waits and time.monotonic() > passed + 1 and await self.doubtful():
                await self.time_passes()
                passed = time.monotonic()
            await asyncio.sleep(POLL_S)

    async def until_true(self, holds: Callable[[], bool]) -> None:
        """Wait for what somebody else does."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, await self.standing()
            await asyncio.sleep(POLL_S)

    async def until_dead(self, served: Served) -> int:
        """Until the process has ended by itself; its exit status. It must end before the month is over."""
        deadline = time.monotonic() + PATIENCE_S
        while served.ended is None:
            assert time.monotonic() < deadline, f"{await self.standing()}\n{served.tail()}"
            assert not await self.closed(), "the month is over and the point was not reached"
            await self.release()
            await asyncio.sleep(POLL_S)
        return served.ended

    async def standing(self) -> object:
        """Where it stands, for a message that must explain."""
        found = await self.ledger.list_runs()
        documents = await rows(self.config.ledger_url(), "SELECT bank, kind, state, sendings, code, what FROM document")
        return found, documents, await self.ledger.list_parked(), await self.ledger.list_lanes()

    async def doubtful(self) -> bool:
        """Whether a Document is in doubt."""
        query = f"SELECT 1 FROM document WHERE state = '{DocumentState.IN_DOUBT}'"
        return bool(await rows(self.config.ledger_url(), query))

    async def closed(self) -> bool:
        """Every Run is closed, and everything was told."""
        found = await self.ledger.list_runs()
        over = bool(found) and all(run["state"] == RunState.CLOSED for run in found)
        return over and not await self.ledger.outbox_page(1)

    # ------------------------------------------------------------------------------------------------------ people, payer

    async def release(self) -> None:
        """Two people let go whatever is accepted, each signed in with a secret of their own."""
        for run in await self.ledger.list_runs():
            if run["state"] == RunState.ACCEPTED and run["kind"] == "regular" and run["run_id"] not in self.released:
                self.released.add(run["run_id"])
                await self.let_go(run["run_id"])

    async def let_go(self, run_id: str) -> None:
        """Propose as one, approve as the other."""
        for actor in _PEOPLE:
            await self.ledger.authenticate(actor, secret(actor))
        await self.ledger.propose_release(VERIFIER, run_id, PAYER)
        await self.ledger.approve_release(APPROVER, run_id, PAYER)

    async def publish(self) -> None:
        """Header and chunks, each confirmed by the broker."""
        await self._send(self.month.messages())

    async def order_second(self) -> int:
        """The second payment of what can be mended; how many were ordered."""
        orders = self.month.repayments()
        now = dt.datetime.now(dt.UTC)
        messages = [
            Message(
                message_id=f"repay-{number}",
                body=encode("instruction.repay", order, id=f"repay-{number}", source=PAYER, time=now),
            )
            for number, order in enumerate(orders)
        ]
        await self._send(iter(messages))
        return len(orders)

    async def _send(self, messages: Iterator[Message]) -> None:
        async with await aio_pika.connect(self.config.bus_url()) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            exchange = await channel.get_exchange(DISBURSEMENT, ensure=True)
            for message in messages:
                found = msgspec.json.decode(message.body, type=Envelope)
                out = aio_pika.Message(
                    message.body,
                    message_id=message.message_id,
                    content_type="application/cloudevents+json",
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )
                await exchange.publish(out, found.type, mandatory=True)


def secret(actor: str) -> str:
    """What that person would type."""
    return f"only a test, {actor}"


async def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """One statement on the ledger's database, beside the gateway."""
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as base, base:
            return base.execute(statement).fetchall()
    connection = await asyncpg.connect(plain_url(url))
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


@asynccontextmanager
async def open_place(
    folder: Path, month: Month, *, amqp_url: str, ledger_url: str, **changed: Any
) -> AsyncIterator[Place]:
    """A town on a fresh vhost and a migrated ledger, the payer listening; ``changed`` are settings of the town."""
    given: dict[str, Any] = {
        "ledger": ledger_url,
        "bus": amqp_url,
        "wires": WIRES,
        "every_day": True,
        "agreements": AGREEMENTS,
    }
    with town(folder, month, Setting(**(given | changed))) as built:
        write_config(built.config, folder / "sheyin.toml")
        await declare(amqp_url, built.config.topology())
        ear = Ear()
        async with open_ledger(built.config, SystemClock()) as ledger, listening(amqp_url, ear):
            for actor, role in _PEOPLE.items():
                await ledger.add_actor("test", actor, actor, frozenset({role}), secret(actor))
            yield Place(folder, month, built.config, built.banks, ledger, ear)


@asynccontextmanager
async def listening(url: str, ear: Ear) -> AsyncIterator[None]:
    """The payer at its queue for as long as the block runs, whatever becomes of its connection."""
    task = asyncio.create_task(_listen(url, ear))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _listen(url: str, ear: Ear) -> None:
    while True:
        try:
            await _hear(url, ear)
        except (aio_pika.exceptions.AMQPError, ConnectionError, RuntimeError):
            pass
        except (
            asyncio.CancelledError
        ):  # aiormq cancels whoever waits on a connection that it gives up: only our own cancellation counts
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
        await asyncio.sleep(POLL_S)


async def _hear(url: str, ear: Ear) -> None:
    ended = asyncio.Event()
    async with await aio_pika.connect(url) as connection:
        connection.close_callbacks.add(lambda *_: ended.set())
        queue = await (await connection.channel()).get_queue(payer_queue(PAYER), ensure=True)
        await queue.consume(ear.take)
        await ended.wait()
