"""The composition root: from a configuration to running stages.

``serve`` runs them under the supervisor on RabbitMQ and the clock on the wall; the demo runs the very same on the in-process bus and a virtual
clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from typing import Any

from gateway.cli.config import Config
from gateway.core.partner import Partner
from gateway.core.ports import Bus, Clock
from gateway.edge.clock import SystemClock
from gateway.edge.ids import TimeIds
from gateway.edge.ledger import SqlLedger, World, open_driver
from gateway.edge.points import CrashPoints
from gateway.edge.supervisor import Supervisor
from gateway.edge.wires import open_wire
from gateway.edge.work import ThreadWork
from gateway.flow.bell import Bell
from gateway.flow.collect import Collector
from gateway.flow.intake import Intake
from gateway.flow.lane import Lane
from gateway.flow.sealing import Sealer
from gateway.flow.telling import Teller

#: Competing intake consumers in one process: while one waits for the database's commit, another decodes.
CONSUMERS = 3
POLL_S = 1.0


class Role(StrEnum):
    """Parts of the work that replicas can take apart."""

    INTAKE = "intake"
    LANES = "lanes"
    OUTBOX = "outbox"


@asynccontextmanager
async def open_ledger(config: Config, clock: Clock, *, checkpoints: bool = False) -> AsyncIterator[SqlLedger]:
    """The ledger alone, for commands of people. Only the serving process checkpoints a SQLite file."""
    world = World(clock, TimeIds(clock), config.at_rest(), CrashPoints())
    ledger = SqlLedger(open_driver(config.ledger_url(), world, checkpoints=checkpoints))
    try:
        yield ledger
    finally:
        await ledger.driver.close()


@asynccontextmanager
async def open_bus(config: Config, clock: Clock) -> AsyncIterator[Any]:
    """The configured bus: RabbitMQ, or the one inside this process."""
    if config.local_bus:
        from gateway.edge.bus_local import LocalBus

        local = LocalBus(config.topology(), clock=clock)
        try:
            yield local
        finally:
            await local.close()
        return
    from gateway.edge.bus_amqp import AmqpBus

    amqp = await AmqpBus.open(config.bus_url(), tls=config.bus_tls())
    try:
        yield amqp
    finally:
        await amqp.close()


class Gateway:
    """All stages of one process, ready to run."""

    def __init__(self, config: Config, ledger: SqlLedger, bus: Bus, clock: Clock) -> None:
        self.config, self.ledger, self.bus, self.clock = config, ledger, bus, clock
        self.work = ThreadWork()
        self.accepting, self.sending, self.telling = Bell(), Bell(), Bell()
        points = CrashPoints()
        self.crypto = config.crypto(clock, self.work)
        self.archive = config.archive(config.at_rest())
        self.partners = {bank.code: Partner(bank=bank, adapter=config.adapter(bank)) for bank in config.banks}
        payers = frozenset(payer.code for payer in config.payers)
        self.intake = Intake(ledger, clock, points, self.partners, payers, self.accepting, self.telling)
        self.sealer = Sealer(ledger, self.archive, self.crypto, self.work, clock, points, config.gateway.bureau)
        self.collector = Collector(ledger, self.archive, self.crypto, self.work, clock, points)
        # one process, for ever: a restarted one must not pass for the one that died with a Document half sent
        owner = f"{config.owner}-{TimeIds(clock).message()}"
        self.teller = Teller(ledger, bus, points, owner, self.telling)
        self.lanes = [
            Lane(
                partner,
                owner,
                open_wire(partner.bank, self.archive, config.credentials, bus=bus, clock=clock, work=self.work),
                ledger=ledger,
                sealer=self.sealer,
                collector=self.collector,
                crypto=self.crypto,
                clock=clock,
                points=points,
                bell=self.sending,
                telling=self.telling,
            )
            for partner in self.partners.values()
        ]

    def supervise(self, supervisor: Supervisor, roles: Iterable[Role], *, poll_s: float = POLL_S) -> None:
        """Give every stage of these roles to the supervisor."""
        wanted = set(roles)
        if Role.INTAKE in wanted:
            for number in range(CONSUMERS):
                supervisor.add(f"intake-{number + 1}", lambda: self.intake.consume(self.bus))
            incomplete_after = dt.timedelta(minutes=self.config.gateway.incomplete_run_minutes)
            supervisor.add("acceptance", self.intake.loop)
            supervisor.add("upkeep", partial(self.intake.upkeep_loop, incomplete_after))
        if Role.LANES in wanted:
            for lane in self.lanes:
                supervisor.add(f"lane-{lane.partner.bank.code}", partial(lane.loop, poll_s=poll_s))
        if Role.OUTBOX in wanted:
            supervisor.add("outbox", self.teller.loop)

    async def close(self) -> None:
        """Hand over lanes and relay, let go of wires and threads."""
        for lane in self.lanes:
            await lane.hand_over()
        await self.teller.hand_over()
        await self.crypto.close()
        self.work.close()


@asynccontextmanager
async def open_gateway(config: Config, clock: Clock | None = None, bus: Bus | None = None) -> AsyncIterator[Gateway]:
    """A process's stages on its ledger and bus; ``bus`` given where the caller shares one (the demo's payer)."""
    clock = clock or SystemClock()
    async with open_ledger(config, clock, checkpoints=True) as ledger:
        if bus is None:
            async with open_bus(config, clock) as opened:
                gateway = Gateway(config, ledger, opened, clock)
                try:
                    yield gateway
                finally:
                    await gateway.close()
            return
        gateway = Gateway(config, ledger, bus, clock)
        try:
            yield gateway
        finally:
            await gateway.close()
