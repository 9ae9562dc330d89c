"""A whole gateway without a process around it: every stage on SQLite, an archive in a folder, dev keys, fake wires and a virtual clock."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

import adapters
from gateway.core import contracts
from gateway.core.bank import Agreement, Bank, Limits, WireKind
from gateway.core.bank import Window as BankWindow
from gateway.core.calendar import CHINA_TIME
from gateway.core.contracts import BenefitLine, Instruction, RunChunk, RunKind, RunSubmitted
from gateway.core.partner import Partner
from gateway.core.ports import Crypto, Message
from gateway.core.topology import DEAD, OPERATIONS, payer_queue, topology
from gateway.edge.archive import FolderArchive
from gateway.edge.atrest import AtRest
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.keys import PrivateKey, load_keys, load_pins
from gateway.edge.crypto.pins import Pins
from gateway.edge.crypto.pki import DevPki, sign_name
from gateway.edge.crypto.seals import EngineCrypto
from gateway.edge.crypto.software import SoftwareEngine
from gateway.edge.dead_letters import DeadLetter, describe
from gateway.edge.ids import TimeIds
from gateway.edge.ledger import SqlLedger, World, open_driver
from gateway.edge.work import InlineWork
from gateway.flow.bell import Bell
from gateway.flow.collect import Collector
from gateway.flow.intake import Intake
from gateway.flow.lane import Lane
from gateway.flow.sealing import Sealer
from gateway.flow.telling import Teller
from gateway.sandbox.month import DEBIT_ACCOUNT, FUND, generate
from gateway.sandbox.people import card
from tests.flow.fakes import FakeWire, Points, RefusingBus, Ticks

PAYER = "PENSION"
START = dt.datetime(2015, 6, 10, 9, 0, tzinfo=CHINA_TIME)
TODAY = START.date()
ISO, OWN = "BANKA", "BANKB"  # one bank of each format
ADAPTERS = adapters.discover()
MAKER, CHECKER = "anna", "bert"
AGREEMENT = Agreement(duplicate_key="reference", not_found_window_minutes=60, inquiry_interval_minutes=15)
_BINS = {ISO: ("990001", 19), OWN: ("990002", 19)}


def bank(code: str, **more: Any) -> Bank:
    """One of the two banks, ``more`` instead of what it has."""
    settings: dict[str, Any] = {
        "code": code,
        "name": code,
        "adapter": "iso20022" if code == ISO else "standard_file",
        "wire": WireKind.FOLDER,
        "customer": "C440600001",
        "clearing_code": "990588000001",
        "debit_accounts": {FUND: DEBIT_ACCOUNT},
        "agreement": AGREEMENT,
        "window": BankWindow(),
        "pins": (sign_name(code),),
    }
    return Bank(**(settings | more))


def limits(code: str, **more: int) -> Limits:
    """The format's limits with some smaller ones."""
    return msgspec.structs.replace(ADAPTERS["iso20022" if code == ISO else "standard_file"].limits, **more)


def orders(count: int, code: str = OWN, *, first: int = 1, amount: int = 100_000) -> list[Instruction]:
    """So many instructions to one bank; every person, account and amount is another one."""
    people = generate(max(3, first + count), 7).instructions()
    bin_prefix, digits = _BINS[code]
    return [
        msgspec.structs.replace(
            person,
            id=f"I{number:05}",
            bank=code,
            account=card(bin_prefix, digits, number),
            amount=amount + number,
            payee=None,
            relation=contracts.Relation.SELF,
        )
        for number, person in enumerate(people, 1)
        if first <= number < first + count
    ]


def header(lines: Sequence[Instruction], run_id: str = "R1", **more: Any) -> RunSubmitted:
    """The header of a run of these lines."""
    settings: dict[str, Any] = {
        "run_id": run_id,
        "kind": RunKind.SUPPLEMENTARY,
        "line": BenefitLine.PENSION,
        "period": "2015-06",
        "fund": FUND,
        "debit_account": DEBIT_ACCOUNT,
        "count": len(lines),
        "total": sum(line.amount for line in lines),
        "chunks": 1,
        "pay_date": TODAY,
    }
    return RunSubmitted(**(settings | more))


async def people(path: Path) -> None:
    """A maker and a checker in the ledger at ``path``."""
    clock = Ticks(START)
    world = World(clock, TimeIds(clock), AtRest(bytes(32)), Points())
    ledger = SqlLedger(open_driver(f"sqlite:///{path}", world))
    for actor, role in ((MAKER, "maker"), (CHECKER, "checker")):
        await ledger.add_actor("test", actor, actor, frozenset({role}), "no secret in a test")
    await ledger.driver.close()


_LOADED: dict[Path, tuple[dict[str, PrivateKey], Pins]] = {}


def loaded(keys: DevPki) -> tuple[dict[str, PrivateKey], Pins]:
    """Our keys and the banks' pins, read once a run: opening a key takes longer than most tests."""
    if keys.folder not in _LOADED:
        own = load_keys(keys.bureau.keys, Credentials(keys.folder, {}), keys.folder)
        _LOADED[keys.folder] = own, Pins(load_pins(keys.bureau.pins, own, keys.folder))
    return _LOADED[keys.folder]


class House:
    """All stages, and what a test wants to do and to know."""

    def __init__(self, folder: Path, keys: DevPki, template: Path, banks: Iterable[Bank]) -> None:
        self.folder = folder
        self.keys = keys
        self.clock = Ticks(START)
        self.points = Points()
        self.path = folder / "ledger.db"
        if not self.path.exists():
            shutil.copyfile(template, self.path)
        at_rest = AtRest(bytes(32))
        world = World(self.clock, TimeIds(self.clock), at_rest, self.points)
        self.ledger = SqlLedger(open_driver(f"sqlite:///{self.path}", world))
        self.archive = FolderArchive(folder / "archive", at_rest)
        self.partners = {one.code: Partner(bank=one, adapter=ADAPTERS[one.adapter]) for one in banks}
        configured = [partner.bank for partner in self.partners.values()]
        own_keys, pins = loaded(keys)
        pins.check(configured)
        self.crypto: Crypto = EngineCrypto(SoftwareEngine(own_keys, InlineWork()), pins, self.clock, InlineWork())
        self.bus = RefusingBus(topology([PAYER]), clock=self.clock)
        self.bus.plan(lambda _key, _message: None)
        self.bell = Bell()
        self.intake = Intake(
            self.ledger, self.clock, self.points, self.partners, frozenset({PAYER}), self.bell, self.bell
        )
        work = InlineWork()
        self.sealer = Sealer(self.ledger, self.archive, self.crypto, work, self.clock, self.points, "社保局")
        self.collector = Collector(self.ledger, self.archive, self.crypto, work, self.clock, self.points)
        self.wires = {code: FakeWire(self.archive) for code in self.partners}
        self.teller = Teller(self.ledger, self.bus, self.points, "teller", self.bell)
        self._lanes: dict[str, Lane] = {}
        self._owners = 0
        self.events: list[tuple[str, Any]] = []

    async def close(self) -> None:
        """Let go of the ledger."""
        await self.bus.close()
        await self.ledger.driver.close()

    # ------------------------------------------------------------------------------------------------ stages

    def new_lane(self, code: str) -> Lane:
        """A lane as a fresh process has it."""
        self._owners += 1
        return Lane(
            self.partners[code],
            f"process-{self._owners}",
            self.wires[code],
            ledger=self.ledger,
            sealer=self.sealer,
            collector=self.collector,
            crypto=self.crypto,
            clock=self.clock,
            points=self.points,
            bell=self.bell,
            telling=self.bell,
        )

    def lane(self, code: str) -> Lane:
        """The bank's lane, always the same one."""
        if code not in self._lanes:
            self._lanes[code] = self.new_lane(code)
        return self._lanes[code]

    def restarted(self, code: str) -> Lane:
        """The process died and another one began, after the lease of the first is over."""
        self.clock.advance(61)
        self._lanes[code] = self.new_lane(code)
        return self._lanes[code]

    async def step(self, code: str = OWN, times: int = 1) -> int:
        """Some rounds of one lane; how many things were done. Where it waits, the clock moves on for it."""
        done = 0
        for _ in range(times):
            going = asyncio.ensure_future(self.lane(code).step())
            while not (await asyncio.wait({going}, timeout=0.05))[0]:
                self.clock.advance_to_next()
            done += await going
        return done

    async def tell(self) -> list[tuple[str, Any]]:
        """Relay the outbox to its end; everything that the payer has been told so far."""
        while await self.teller.step():
            pass
        for queue in (payer_queue(PAYER), payer_queue(OPERATIONS)):
            while (delivery := await self.bus.take(queue)) is not None:
                found = msgspec.json.decode(delivery.message.body, type=contracts.Envelope)
                self.events.append((found.type, msgspec.json.decode(found.data, type=contracts.OUTBOUND[found.type])))
                await delivery.ack()
        return self.events

    async def told(self, name: str) -> list[Any]:
        """The data of all events of one type so far."""
        return [data for kind, data in await self.tell() if kind == name]

    # ------------------------------------------------------------------------------------------------ the payer's side

    async def publish(self, message: Message, key: str = "run.submitted") -> None:
        """A payer's message, and what intake does with it."""
        await self.bus.publish("disbursement", key, message)
        await self.take_all()

    async def take_all(self) -> None:
        """Everything that waits for intake."""
        while (delivery := await self.bus.take("gateway.intake")) is not None:
            await self.intake.settle(delivery)

    async def send(self, name: str, data: msgspec.Struct, message_id: str = "", **more: Any) -> Message:
        """Publish one well-formed message."""
        message = self.message(name, data, message_id, **more)
        await self.publish(message, name)
        return message

    def message(self, name: str, data: msgspec.Struct, message_id: str = "", **more: Any) -> Message:
        """One well-formed message."""
        identity = message_id or f"m-{TimeIds(self.clock).message()}"
        settings: dict[str, Any] = {"source": PAYER, "time": self.clock.now()}
        body = contracts.encode(name, data, id=identity, **(settings | more))
        return Message(message_id=identity, body=body)

    async def submit(self, lines: Sequence[Instruction], run_id: str = "R1", **more: Any) -> str:
        """A run, published and concluded; its state."""
        await self.send("run.submitted", header(lines, run_id, **more))
        await self.send("run.chunk", RunChunk(run_id=run_id, chunk=1, instructions=list(lines)))
        await self.intake.step()
        return (await self.ledger.progress(run_id, PAYER))[0]

    async def release(self, run_id: str = "R1", *, early: bool = False) -> None:
        """Two people let it go."""
        await self.ledger.propose_release(MAKER, run_id, PAYER, early)
        await self.ledger.approve_release(CHECKER, run_id, PAYER)

    async def paying(self, count: int = 3, code: str = OWN, run_id: str = "R1", **more: Any) -> list[Instruction]:
        """A run of so many payments to one bank, accepted and released."""
        first = 1 + len(self.rows("SELECT 1 FROM instruction"))
        lines = orders(count, code, first=first)
        assert await self.submit(lines, run_id, **more) == "accepted"
        await self.release(run_id)
        return lines

    # ------------------------------------------------------------------------------------------------ what stands there

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the ledger, read beside it."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as db:
            return db.execute(sql, values).fetchall()

    def states(self) -> list[str]:
        """States of all Attempts in the order of their keys."""
        return [state for (state,) in self.rows("SELECT state FROM attempt ORDER BY key")]

    def documents(self, kind: str = "payment") -> list[tuple[str, int]]:
        """State and sendings of our Documents of one kind, oldest first."""
        return [
            (state, sendings)
            for state, sendings in self.rows("SELECT state, sendings FROM document WHERE kind = ? ORDER BY key", kind)
        ]

    def inbound(self) -> list[tuple[str, str]]:
        """State and code of what arrived, oldest first."""
        return [(state, code or "") for state, code in self.rows("SELECT state, code FROM inbound ORDER BY key")]

    def parked(self) -> list[str]:
        """Codes of parked lines."""
        return [code for (code,) in self.rows("SELECT code FROM parked WHERE closed_ms IS NULL ORDER BY key")]

    def totals(self) -> list[tuple[Any, ...]]:
        """The control rows: what must not change where nothing was applied."""
        return self.rows(
            "SELECT view, run_key, bank, part, count, minor FROM control WHERE count <> 0 ORDER BY 1, 2, 3, 4"
        )

    def archived(self) -> dict[str, bytes]:
        """Every archived payload by digest."""
        return {digest: self._read(digest) for digest in self.archive.digests()}

    def _read(self, digest: str) -> bytes:
        with self.archive.open(digest) as source:
            return source.read()

    async def letters(self) -> list[tuple[DeadLetter, bytes]]:
        """Dead letters with their bytes; they are gone afterwards."""
        found = []
        while (delivery := await self.bus.take(DEAD)) is not None:
            found.append((describe(delivery), delivery.message.body))
            await delivery.ack()
        return found

    async def sound(self) -> None:
        """Every fen is accounted for, and the audit chain holds."""
        assert await self.ledger.faults() == []

    async def untouched(self) -> None:
        """No run that stands, no instruction, no money; and what stands is sound."""
        assert self.totals() == []
        assert self.rows("SELECT 1 FROM instruction WHERE NOT rejected") == []
        assert self.rows("SELECT 1 FROM attempt") == []
        await self.sound()

    def lanes(self) -> Mapping[str, str]:
        """Bank → state of its lane."""
        return dict(self.rows("SELECT bank, state FROM lane WHERE bank <> '_outbox'"))


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """``items`` in slices."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
