"""The month from end to end, once: the gateway and the banks in processes of their own, the payer in this one.

Measured from the first publish to the last result that the payer receives; the two people release as soon as the
acceptance is told. CPU seconds of each process are counted over the same span, until the gateway has closed the run.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import msgspec

from bench.installation import Installation, installation, introduce, people, release
from bench.payer import Payer, WrongOutcome, connected
from bench.serving import Gateway, Profile, gateway
from bench.statements import statements
from bench.usage import Watch, cpu_seconds, watched
from gateway.core.calendar import CHINA_TIME
from gateway.sandbox.month import SEED, Month, generate

SETTLE_S = 60.0
STALL_S = 120.0
"""Without anything new for so long the run is given up, and for as much longer as this many payments take in a second:"""
PATIENCE_PER_S = 2_000
POLL_S = 0.2

Report = Callable[[str, int], None]
"""Told now and then: (what is going on, payments with an outcome)."""


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One run's figures. Seconds of ``phases`` count from the first publish."""

    payments: int
    ledger: str
    e2e_seconds: float
    gateway_cpu_seconds: float
    banks_cpu_seconds: float
    payer_cpu_seconds: float
    servers_cpu_seconds: dict[str, float]  # the broker's and the database's own work
    peak_rss_mib: float
    idle_rss_mib: float  # before the first message
    banks_rss_mib: float
    documents: int
    phases: dict[str, float]
    outcomes: dict[str, int]
    last_words: dict[str, object]


def this_month(payments: int) -> Month:
    """The reference month in this size, to be paid today: the gateway runs on the real clock."""
    today = dt.datetime.now(CHINA_TIME).date()
    return generate(payments, SEED, period=f"{today:%Y-%m}", pay_date=today)


def play(
    month: Month,
    messages: Path,
    folder: Path,
    *,
    amqp_url: str,
    ledger_url: str,
    servers: Mapping[str, int],
    profile: Profile = "",
    report: Report = lambda _what, _done: None,
) -> Played:
    """Run it on a fresh vhost and an empty database. ``servers``: name → process id of each server on this machine.

    Raises ServeFailed, WrongOutcome, TimeoutError; nothing that did not come out as the month says is measured.
    """
    report("setting up", 0)
    with installation(folder, month, amqp_url=amqp_url, ledger_url=ledger_url) as installed:
        report("starting the gateway", 0)
        with (
            gateway(installed.path, installed.environment, folder, profile=profile) as running,
            watched(running.pid) as watch,
            statements(ledger_url, folder / "serve.sql.txt") if profile else nullcontext(),
        ):
            played = asyncio.run(_play(installed, messages, running, watch, servers, report))
        documents = _check_books(installed)
    return msgspec.structs.replace(played, documents=documents, last_words=dict(running.last_words))


async def _play(
    installed: Installation,
    messages: Path,
    running: Gateway,
    watch: Watch,
    servers: Mapping[str, int],
    report: Report,
) -> Played:
    month = installed.month
    processes = {"gateway": running.pid, "banks": installed.banks.pid, **servers}
    async with people(installed) as ledger, connected(installed.config.bus_url(), month) as payer:
        await introduce(ledger)
        await payer.listen()
        idle_mib = watch.peak_mib
        before = {name: cpu_seconds(pid) for name, pid in processes.items()}
        own_before, start = time.process_time(), time.perf_counter()
        payer.at["start"] = start

        others = [
            asyncio.create_task(_tell(payer, running, report)),
            asyncio.create_task(payer.publish(messages)),
        ]
        try:
            patience_s = STALL_S + month.payments / PATIENCE_PER_S
            await payer.wait("run.accepted", patience_s)
            await release(ledger, month)
            payer.at["released"] = time.perf_counter()
            await _until_all(payer, patience_s)
            own = time.process_time() - own_before
            await payer.wait("run.closed", SETTLE_S)
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        after = {name: cpu_seconds(pid) for name, pid in processes.items()}
    running.must_be_alive()
    payer.outcomes.check()
    spent = {name: round(after[name] - before[name], 2) for name in processes}
    return Played(
        payments=month.payments,
        ledger="sqlite" if installed.config.ledger_url().startswith("sqlite") else "postgresql",
        e2e_seconds=round(payer.at["last result"] - start, 3),
        gateway_cpu_seconds=spent.pop("gateway"),
        banks_cpu_seconds=spent.pop("banks"),
        payer_cpu_seconds=round(own, 2),
        servers_cpu_seconds=spent,
        peak_rss_mib=round(watch.peak_mib, 1),
        idle_rss_mib=round(idle_mib, 1),
        banks_rss_mib=installed.banks.usage().peak_rss_mib,
        documents=0,
        phases={name: round(at - start, 3) for name, at in sorted(payer.at.items(), key=lambda item: item[1])},
        outcomes=dict(payer.outcomes.counts),
        last_words={},
    )


async def _until_all(payer: Payer, patience_s: float) -> None:
    """All outcomes, as long as some keep coming."""
    while True:
        left = payer.outcomes.left
        try:
            return await payer.wait("all", patience_s)
        except TimeoutError:
            if payer.outcomes.left == left:
                raise


async def _tell(payer: Payer, running: Gateway, report: Report) -> None:
    """Progress, and an early end where the gateway dies."""
    while True:
        what = "paying" if "released" in payer.at else "releasing" if "run.accepted" in payer.at else "taking in"
        report(what, payer.outcomes.counts.total())
        if running.process.poll() is not None:
            payer.fail(running.why(f"ended with {running.process.returncode}"))
        await asyncio.sleep(POLL_S)


def _check_books(installed: Installation) -> int:
    """How many Documents the banks have booked. Raises WrongOutcome unless their books say what the payer was told."""
    paid = doubles = documents = 0
    for bank in installed.config.banks:
        books = installed.banks.books(bank.code)
        paid += books["paid"]["count"]
        doubles += books["doubles"]
        documents += len(books["documents"])
    expected = installed.month.payments - len(installed.month.failures)
    if paid != expected or doubles:
        raise WrongOutcome(f"the banks credited {paid} payments, {doubles} of them twice; {expected} were told as paid")
    return documents
