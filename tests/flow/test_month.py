"""A small month through a whole gateway and four sandbox banks that misbehave: the ledger ends where their books do, and nothing is paid twice."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from gateway.cli.assembly import Gateway, Role, open_gateway
from gateway.cli.town import Setting, Town, town
from gateway.core import contracts
from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import Code
from gateway.core.ports import Message
from gateway.core.states import RunState
from gateway.edge.bus_local import LocalBus
from gateway.edge.ledger import migrate
from gateway.edge.supervisor import Supervisor
from gateway.sandbox.failures import APPROVER, VERIFIER
from gateway.sandbox.month import BANKS, PAYER, Month, generate
from gateway.sandbox.runner import Answers, Faults
from tests.flow.fakes import Ticks

PAYMENTS = 300
START = dt.datetime(2015, 6, 11, 9, 0, tzinfo=CHINA_TIME)
PATIENCE_S = 60.0
#: Virtual seconds that pass in each look of the test.
STEP_S = 1


class Night(NamedTuple):
    """One way in which the banks misbehave, and what is parked or quarantined by it: codes of lines, codes of Documents."""

    faults: Mapping[str, Faults]
    answers: Answers = Answers()
    lines: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    overdue: bool = False  # hours must pass before all is told


NIGHTS = {
    "split, turned round, each part twice": Night({}, Answers(parts=3, order="reverse", repeat=2)),
    "taken up first, no receipts": Night({}, Answers(pending_first=True, receipts=False, repeat=2)),
    "broken documents before the right ones": Night(
        {
            "BANKA": Faults(truncate_bytes=50, then_correct=True),
            "BANKB": Faults(seal="none", then_correct=True),
            "BANKC": Faults(seal="foreign", then_correct=True),
            "BANKD": Faults(wrong_totals=True, then_correct=True),
        },
        documents=frozenset({Code.SIG, Code.CERT, Code.TRUNCATED, Code.FORMAT, Code.TOTALS}),
    ),
    "wrong lines before the right ones": Night(
        {
            "BANKA": Faults(wrong_amount=2, then_correct=True, documents=(1,)),
            "BANKB": Faults(unknown_code=2, then_correct=True, documents=(1,)),
            "BANKC": Faults(foreign_reference=2, then_correct=True, documents=(1,)),
            "BANKD": Faults(contradict=2, documents=(1,)),
        },
        Answers(parts=2),
        lines=frozenset({Code.CONFLICT, Code.UNKNOWN_CODE, Code.UNKNOWN_REF}),
    ),
    "lost files, lost answers, unknown originals": Night(
        {
            "BANKA": Faults(unknown_original=True, then_correct=True),
            "BANKB": Faults(drop="file", documents=(1,)),
            "BANKC": Faults(sftp_lost_replies=1),
            "BANKD": Faults(drop="answers", documents=(1,)),
        },
        documents=frozenset({Code.SEQ}),
        overdue=True,
    ),
}


class Place(NamedTuple):
    """What runs."""

    town: Town
    gateway: Gateway
    bus: LocalBus
    clock: Ticks
    month: Month

    async def send(self, message: Message) -> None:
        """One message of the payer's."""
        found = msgspec.json.decode(message.body, type=contracts.Envelope)
        await self.bus.publish("disbursement", found.type, message)

    async def until(self, what: Callable[[], Awaitable[bool]]) -> None:
        """Let time pass, twenty times as fast as outside, until it is so."""
        end = time.monotonic() + PATIENCE_S
        while not await what():
            assert time.monotonic() < end, await self.gateway.ledger.status(self.month.run_id, PAYER)
            self.clock.advance(STEP_S)
            await asyncio.sleep(0.05)

    async def release(self, run_id: str) -> None:
        """Two people let it go."""
        await self.gateway.ledger.propose_release(VERIFIER, run_id, PAYER)
        await self.gateway.ledger.approve_release(APPROVER, run_id, PAYER)
        self.gateway.sending.ring()

    async def told(self, run_id: str) -> bool:
        """Every line of the run has its end."""
        _, parts = await self.gateway.ledger.progress(run_id, PAYER)
        return bool(parts) and not any(parts.get(part) for part in ("new", "ready", "batched", "unknown"))

    async def state(self, run_id: str) -> str:
        """The run's."""
        return (await self.gateway.ledger.progress(run_id, PAYER))[0]


@asynccontextmanager
async def place(folder: Path, night: Night) -> AsyncIterator[Place]:
    """A town with these faults, and a gateway in it whose stages all run."""
    month, clock = generate(PAYMENTS), Ticks(START)
    with town(folder, month, Setting(answers=night.answers, faults=night.faults)) as found:
        found.config.data_dir.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(migrate.upgrade, found.config.ledger_url())
        bus = LocalBus(found.config.topology(), clock=clock)
        async with open_gateway(found.config, clock, bus) as gateway:
            for actor, role in ((VERIFIER, "maker"), (APPROVER, "checker")):
                await gateway.ledger.add_actor("test", actor, actor, frozenset({role}), "no secret in a test")
            supervisor = Supervisor()
            gateway.supervise(supervisor, Role, poll_s=0.05)
            supervisor.start()
            try:
                yield Place(found, gateway, bus, clock, month)
            finally:
                assert [(task.name, task.last_error) for task in supervisor.census() if task.last_error] == []
                await supervisor.stop()
                await bus.close()


async def books_agree(here: Place) -> None:
    """Each bank's own books, reference by reference, and the ledger's Attempts: same payments, same fen, none twice."""
    paid = {
        (row.bank, str(row.key)): (int(row.amount), row.state)
        for row in await here.gateway.ledger.driver.read(
            lambda tx: tx.rows(
                "SELECT l.bank, a.key, a.amount, a.state FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key"
            )
        )
    }
    booked = 0
    for bank in BANKS:
        for payment in here.town.banks.payments(bank.code):
            amount, state = paid[bank.code, payment.reference]
            assert payment.times <= 1, f"{bank.code} {payment.reference} was paid {payment.times} times"
            assert (state == "paid") == (payment.times == 1), f"{bank.code} {payment.reference}: {state}"
            assert payment.minor == (amount if state == "paid" else 0)
            booked += payment.times
        assert here.town.banks.books(bank.code)["doubles"] == 0
    assert booked == sum(state == "paid" for _, state in paid.values())


async def first_payment(here: Place, night: Night) -> None:
    """Published, accepted, released, sent, told."""
    for message in here.month.messages():
        await here.send(message)

    async def accepted() -> bool:
        return await here.state(here.month.run_id) == RunState.ACCEPTED

    await here.until(accepted)
    await here.release(here.month.run_id)
    here.clock.advance_to(dt.datetime.combine(here.month.header.pay_date, dt.time(8, 35), CHINA_TIME))
    if night.overdue:
        await here.until(_all_left(here))
        here.clock.advance(2 * 3_600 + 600)

    async def told() -> bool:
        return await here.told(here.month.run_id)

    await here.until(told)


def _all_left(here: Place) -> Callable[[], Awaitable[bool]]:
    """Every Document has left, and a while has passed since."""
    looks = 0

    async def left() -> bool:
        nonlocal looks
        status = await here.gateway.ledger.status(here.month.run_id, PAYER)
        assert status is not None
        found = status["documents"]
        looks += len(found) >= len(BANKS) and all(document["sendings"] for document in found)
        return looks > 30

    return left


async def second_payment(here: Place) -> Counter[str]:
    """What can be mended is ordered again, released and paid; how it ended."""
    here.clock.advance_to(dt.datetime.combine(here.month.second_pay_date, dt.time(9, 0), CHINA_TIME))
    orders = here.month.repayments()
    for number, order in enumerate(orders):
        body = contracts.encode("instruction.repay", order, id=f"repay-{number}", source=PAYER, time=here.clock.now())
        await here.send(Message(message_id=f"repay-{number}", body=body))

    async def gathered() -> bool:
        return (await here.gateway.ledger.totals()).get("new", {}).get("count", 0) == len(orders)

    await here.until(gathered)
    found = Counter[str]()
    runs = [run["run_id"] for run in await here.gateway.ledger.list_runs() if run["kind"] == "second_payment"]
    for run_id in runs:
        await here.release(run_id)
    for run_id in runs:

        async def closed(run_id: str = run_id) -> bool:
            return await here.state(run_id) == RunState.CLOSED

        await here.until(closed)
        found.update((await here.gateway.ledger.progress(run_id, PAYER))[1])
    return found


@pytest.mark.parametrize("name", NIGHTS)
async def test_the_ledger_ends_where_the_books_do(name: str, tmp_path: Path) -> None:
    """Four banks with four answers to a repeat: every fen agrees, nothing twice, only what is wrong is kept apart, and the mended ones are paid."""
    night = NIGHTS[name]
    async with place(tmp_path, night) as here:
        await first_payment(here, night)
        ledger = here.gateway.ledger
        parts = (await ledger.progress(here.month.run_id, PAYER))[1]
        failures = Counter(map(str, here.month.failures.values()))
        assert (parts["paid"], parts["failed"]) == (PAYMENTS - failures.total(), failures.total())
        await books_agree(here)
        assert await ledger.faults() == []
        assert {code for code, kept in (await _kept(here)).items() if kept} <= night.lines | night.documents
        await _looked_at(here)

        async def closed() -> bool:
            return await here.state(here.month.run_id) == RunState.CLOSED

        await here.until(closed)
        mended = await second_payment(here)
        assert mended["paid"] == mended["ordered"] == len(here.month.repayments())
        await books_agree(here)
        assert await ledger.faults() == []
        assert {lane["state"] for lane in await ledger.list_lanes()} == {"running"}


async def _kept(here: Place) -> Counter[str]:
    """Codes of what was parked or quarantined."""
    return Counter(str(each["code"]) for each in await here.gateway.ledger.list_parked())


async def _looked_at(here: Place) -> None:
    """A person closes the parked lines: until then nothing of their files is closed or paid again."""
    lines = [each for each in await here.gateway.ledger.list_parked() if each["line"]]
    if lines:
        assert await here.state(here.month.run_id) == RunState.PAYING
    for line in lines:
        await here.gateway.ledger.close_parked(VERIFIER, line["key"], "compared with the bank by telephone")
    here.gateway.telling.ring()
