"""``sheyin demo``: the reference month, June 2015, from the payer's first message to the second payment, with nothing but Python.

The stages are the production ones. Only the bus (in process), the ledger (SQLite in a folder), the clock (virtual) and the banks (sandbox, in a
process of their own) are those of a trial.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
from cyclopts import Parameter, validators

from gateway.cli.assembly import Gateway, Role, open_gateway
from gateway.cli.demo_screen import Steps, tell
from gateway.cli.output import Exit
from gateway.cli.toml_text import write_config
from gateway.cli.town import Setting, Town, town
from gateway.core import contracts
from gateway.core.bank import Bank
from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import Code, Halt, Refused
from gateway.core.money import spoken
from gateway.core.ports import Message
from gateway.core.states import RunState
from gateway.core.topology import payer_queue
from gateway.core.verdicts import MEANINGS
from gateway.edge.bus_local import LocalBus
from gateway.edge.clock import ManualClock
from gateway.edge.ledger import actors, migrate
from gateway.edge.log import configure
from gateway.edge.supervisor import Supervisor
from gateway.edge.work import one_heap
from gateway.sandbox.failures import APPROVER, MONTH_PAYMENTS, VERIFIER
from gateway.sandbox.month import ALL_BANKS, ALL_PAYMENTS, ALL_PAYMENTS_MIN, BANKS, PAYER, DemoBank, Month, generate

START = dt.datetime(2015, 6, 11, 9, 0, tzinfo=CHINA_TIME)
_POLL_S = 0.1
_TOLD = "answered by the banks"
_AHEAD_MAX = 16  # chunks that the payer may be ahead of intake: it is the same process
_MAKER, _CHECKER = VERIFIER, APPROVER
#: A bank that has to be asked wants to be left alone for minutes first. So while the story waits the clock moves on at each look: a little
#: where something has moved, more where nothing has; from _LATE on only a little, to stay within the banks' hours.
_PASS_S, _PASS_IDLE_S, _LATE = 1, 15, dt.time(15, 0)
#: Longer than this without any progress, and the demo says where it stands instead of waiting for ever.
_STALL_S = 120.0


class Told:
    """The payer's side: what its queue told it, counted."""

    def __init__(self) -> None:
        self.by_type: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()

    async def listen(self, bus: LocalBus) -> None:
        """Read the payer's queue for ever."""
        results = msgspec.json.Decoder(contracts.PaymentResults)
        async with aclosing(bus.consume(payer_queue(PAYER), 8)) as deliveries:
            async for delivery in deliveries:
                found = msgspec.json.decode(delivery.message.body, type=contracts.Envelope)
                self.by_type[found.type] += 1
                if found.type == "payment.results":
                    self.outcomes.update(result.outcome for result in results.decode(found.data).results)
                await delivery.ack()


class Story:
    """The month, step by step. The screen shows how far it is."""

    def __init__(
        self,
        town: Town,
        gateway: Gateway,
        bus: LocalBus,
        clock: ManualClock,
        month: Month,
        screen: Steps,
    ) -> None:
        self.town, self.gateway, self.bus, self.clock, self.month, self.screen = (
            town,
            gateway,
            bus,
            clock,
            month,
            screen,
        )
        self.ledger = gateway.ledger
        self.told = Told()
        self.marks: dict[str, float] = {}
        self._asking = any(partner.routes.asks for partner in gateway.partners.values())

    async def play(self) -> dict[str, Any]:
        """All of it; returns the figures."""
        started = time.perf_counter()
        await self._people()
        await self._publish()
        await self._release(self.month.run_id)
        self.clock.advance_to(dt.datetime.combine(self.month.header.pay_date, dt.time(8, 35), CHINA_TIME))
        await self._paid(self.month.run_id, self.month.header.count)
        self._mark("first payment", started)
        second = await self._second()
        self._mark("second payment", started)
        seconds = time.perf_counter() - started
        return await self._figures(seconds, second)

    def _mark(self, what: str, started: float) -> None:
        self.marks[what] = round(time.perf_counter() - started, 2)

    async def _people(self) -> None:
        """Two demo Actors; outside the demo each has a secret of their own."""
        for actor, role in ((_MAKER, actors.MAKER), (_CHECKER, actors.CHECKER)):
            await self.ledger.add_actor("demo", actor, actor, frozenset({role}), f"{actor}: no secret in a demo")

    async def _publish(self) -> None:
        """The payer's side: header and chunks, while intake is taking them."""
        header = self.month.header
        for number, message in enumerate(self.month.messages()):
            while await self.bus.depth("gateway.intake") > _AHEAD_MAX:
                await self._breathe()
            await self._send(message)
            self.screen.say("published and recorded", min(number * contracts.CHUNK_MAX, header.count), header.count)
        await self._until("accepted", header.count, lambda: self._in_state(self.month.run_id, RunState.ACCEPTED))

    async def _breathe(self) -> None:
        """Let the other tasks of this process run: payer and gateway share it."""
        await asyncio.sleep(0.005)

    async def _send(self, message: Message) -> None:
        found = msgspec.json.decode(message.body, type=contracts.Envelope)
        await self.bus.publish("disbursement", found.type, message)

    async def _release(self, run_id: str) -> dict[str, Any]:
        body = await self.ledger.propose_release(_MAKER, run_id, PAYER)
        await self.ledger.approve_release(_CHECKER, run_id, PAYER)
        self.gateway.sending.ring()
        self.screen.note(
            f"{run_id}: {_MAKER} proposes, {_CHECKER} approves: {body['count']:,} payments, {spoken(body['minor'])}"
        )
        return body

    async def _in_state(self, run_id: str, state: RunState) -> int:
        return 1 if (await self.ledger.progress(run_id, PAYER))[0] == state else 0

    async def _paid(self, run_id: str, count: int) -> None:
        """Until every payment of a Run has its result and the Run is closed."""

        async def told() -> int:
            state, parts = await self.ledger.progress(run_id, PAYER)
            if state == RunState.CLOSED:
                return count + 1
            return min(count, sum(parts.get(part, 0) for part in ("paid", "failed", "returned", "refused")))

        await self._until(_TOLD, count + 1, told)

    async def _until(self, what: str, whole: int, progress: Callable[[], Awaitable[int]]) -> None:
        last, since = -1, time.monotonic()
        target = 1 if what == "accepted" else whole
        while (done := await progress()) < target:
            if done != last:
                last, since = done, time.monotonic()
            elif time.monotonic() - since > _STALL_S:
                raise Halt(f"nothing has moved for {_STALL_S:.0f} s while waiting for: {what}")
            if self._asking and what == _TOLD:
                self._pass_time(idle=time.monotonic() - since > 2 * _POLL_S)
            self.screen.say(what, min(done, whole - 1), whole - (what == _TOLD))
            await asyncio.sleep(_POLL_S)
        self.screen.say(what, whole - (what == _TOLD), whole - (what == _TOLD))

    def _pass_time(self, *, idle: bool) -> None:
        early = self.clock.now().astimezone(CHINA_TIME).time() < _LATE
        self.clock.advance(_PASS_IDLE_S if idle and early else _PASS_S)

    async def _second(self) -> dict[str, int]:
        """The payer orders the second payment of what can be mended; the same two people release it."""
        self.clock.advance_to(dt.datetime.combine(self.month.second_pay_date, dt.time(9, 0), CHINA_TIME))
        orders = self.month.repayments()
        for number, order in enumerate(orders):
            message_id = f"repay-{number}"
            body = contracts.encode("instruction.repay", order, id=message_id, source=PAYER, time=self.clock.now())
            await self._send(Message(message_id=message_id, body=body))
        runs: list[dict[str, Any]] = []

        async def gathered() -> int:
            nonlocal runs
            runs = [run for run in await self.ledger.list_runs() if run["kind"] == "second_payment"]
            totals = await self.ledger.totals()
            return totals.get("new", {}).get("count", 0) + self.told.by_type["instruction.repay_refused"]

        await self._until("second payments ordered", len(orders), gathered)
        found = Counter[str]()
        for run in runs:
            released = await self._release(run["run_id"])
            await self._paid(run["run_id"], released["count"])
            found.update((await self.ledger.progress(run["run_id"], PAYER))[1])
        return {"attempted": found["ordered"], "paid": found["paid"], "failed": found["failed"]}

    async def _figures(self, seconds: float, second: dict[str, int]) -> dict[str, Any]:
        report = await self.ledger.report(self.month.run_id, PAYER)
        status = await self.ledger.status(self.month.run_id, PAYER) or {}
        by_state, by_verdict = Counter[str](), Counter[str]()
        for part in report["first"]:
            by_state[part["state"]] += part["count"]
            if part["state"] != "paid":
                by_verdict[part["verdict"]] += part["count"]
        faults = await self.ledger.faults()
        audit_broken = [fault for fault in faults if "audit chain" in fault]
        banks = self.town.banks.usage()
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "run_id": self.month.run_id,
            "example": next(iter(self.month.failures)),
            "payments": self.month.header.count,
            "amount_fen": self.month.header.total,
            "first": {"paid": by_state["paid"], "failed": by_state["failed"], "by_verdict": dict(by_verdict)},
            "second": second,
            "conserved": not [fault for fault in faults if fault not in audit_broken],
            "audit_ok": not audit_broken,
            "seconds": round(seconds, 2),
            "payments_per_second": round(self.month.header.count / seconds),
            "peak_rss_mib": {
                "gateway": round(peak_kib / 1024, 1),
                "banks": banks.peak_rss_mib,
            },
            "banks": self._banks(status),
            "marks": self.marks,
            "told": dict(self.told.outcomes),
            "conservation": report["conservation"],
            "by_district": _by_district(report["first"]),
            "faults": faults,
        } | ({"notes": notes} if (notes := _notes(self.month)) else {})

    def _banks(self, status: dict[str, Any]) -> list[dict[str, Any]]:
        documents, payments = Counter[str](), Counter[str]()
        for document in status.get("documents", []):
            documents[document["bank"]] += 1
            payments[document["bank"]] += document["count"]
        return [
            {
                "code": bank.code, "name": bank.name_zh, "format": bank.adapter, "wire": _wire(bank), "documents": documents[bank.code],
                "payments": payments[bank.code],
            }
            for bank in self.town.config.banks
        ]  # fmt: skip


def _notes(month: Month) -> list[str]:
    """What a month in all formats leaves out. Nothing of the reference month."""
    if month.banks == BANKS:
        return []
    reasons = frozenset().union(*(bank.tells for bank in month.banks))
    notes = ["Queues are left out: they need a broker."]
    for bank in month.banks:
        if bank.tells == reasons:
            continue
        if told := ", ".join(MEANINGS[verdict].en for verdict in sorted(bank.tells)):
            planned = f"the only failures planned are: {told}. Its format has no public words for the others."
        else:
            planned = (
                "no failure is planned. Its format has no public words for the reasons: each would wait for a person."
            )
        notes.append(f"{bank.code}, {bank.adapter}: {planned}")
    return notes


def _wire(bank: Bank) -> str:
    """HTTP without TLS is told as that: it is spoken only to a program that stands in the bureau's own network."""
    return "http" if bank.wire_options.get("plain") else str(bank.wire)


def _by_district(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        figures = found.setdefault(row["district"], {"paid": 0, "failed": 0, "minor": 0})
        if row["state"] in figures:
            figures[row["state"]] += row["count"]
        figures["minor"] += row["minor"] if row["state"] == "paid" else 0
    return found


async def play(folder: Path, month: Month, screen: Steps) -> dict[str, Any]:
    """Set the town up in ``folder``, play the month, return its figures."""
    clock = ManualClock(START)
    screen.say("keys and banks", 0, 1)
    with town(folder, month, Setting()) as place:
        screen.say("keys and banks", 1, 1)
        place.config.data_dir.mkdir(parents=True, exist_ok=True)
        write_config(place.config, folder / "sheyin.toml")
        await asyncio.to_thread(migrate.upgrade, place.config.ledger_url())
        bus = LocalBus(place.config.topology(), clock=clock)
        async with open_gateway(place.config, clock, bus) as gateway:
            story = Story(place, gateway, bus, clock, month, screen)
            supervisor = Supervisor()
            gateway.supervise(supervisor, Role, poll_s=_POLL_S)
            supervisor.add("payer", lambda: story.told.listen(bus))
            supervisor.start()
            try:
                return await story.play()
            finally:
                await supervisor.stop()
                await bus.close()


def demo(
    *,
    payments: Annotated[
        int | None,
        Parameter(
            help=f"How many payments the month has, {MONTH_PAYMENTS:,} unless told; failures scale in proportion.",
            validator=validators.Number(gte=3, lte=4_000_000),
        ),
    ] = None,
    all_formats: Annotated[
        bool,
        Parameter(
            help=f"Pay through every payment format, over folder, SFTP, HTTPS with certificates of both sides and HTTP "
            f"({ALL_PAYMENTS:,} payments unless told).",
            negative="",
        ),
    ] = False,
    json: Annotated[
        Path | None,
        Parameter(
            help="Write the figures to this file. It is emptied at once, so that after an error nothing old stands in it."
        ),
    ] = None,
    keep: Annotated[
        Path | None, Parameter(help="Work in this folder and keep it; otherwise a temporary one is removed.")
    ] = None,
) -> Exit:
    """Play June 2015: 369,370 pensions to four sandbox banks, 238 that fail, and the second payment of those that can be mended.

    Nothing but Python is needed: SQLite, an in-process bus, a virtual clock, banks in a process of their own.
    With --all-formats every format that pays has a bank, so there are more of them, and the program openssl is needed
    for the SM2 of the banks' side. Left out are queues, which need a broker. Payments fail only where the format has
    public words for the reason; at a bank without them, where each refusal waits for a person, none is planned.
    Exit codes: 0 everything adds up, 1 it does not (the figures say what), 2 bad input, 4 nothing moved any more. Errors
    are told in words on standard error, with --json too.

    Parameters
    ----------
    payments
        3 to 4,000,000; with --all-formats 100 or more.
    json
        A file for programs; the report goes to standard output all the same.
    keep
        The folder then holds the ledger, the archive, and the banks' files and books.
    """
    configure(level="WARNING")
    one_heap()
    month = _month(payments, ALL_BANKS if all_formats else BANKS)
    folder, clean = workspace(keep)
    try:
        with nullcontext() if json is None else emptied(json) as file:
            with Steps() as steps:
                figures = asyncio.run(play(folder, month, steps))
            if file is not None:
                file.write(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
        tell(figures, keep)
    finally:
        clean()
    return Exit.OK if figures["conserved"] and figures["audit_ok"] else Exit.DIFFERS


def _month(payments: int | None, banks: Sequence[DemoBank]) -> Month:
    """The month to be played. Raises Refused for what cannot be."""
    if banks is BANKS:
        return generate(payments or MONTH_PAYMENTS)
    if payments is not None and payments < ALL_PAYMENTS_MIN:
        raise Refused(f"in all formats a month has {ALL_PAYMENTS_MIN} payments or more", where="--payments")
    if shutil.which("openssl") is None:
        raise Refused("the banks' side signs with the program openssl, which is not installed", where="--all-formats")
    return generate(payments or ALL_PAYMENTS, banks=banks)


def emptied(path: Path) -> BinaryIO:
    """The file for the figures, open and empty. Raises Refused PATH: before the month is played, not after."""
    try:
        return path.open("wb")
    except OSError as error:
        what = f"the figures cannot be written there: {error.strerror}"
        raise Refused(what, code=Code.PATH, where=str(path)) from None


def workspace(keep: Path | None) -> tuple[Path, Callable[[], None]]:
    """The demo's folder, and what to do with it afterwards: a given one is kept, a temporary one removed."""
    if keep is not None:
        try:
            keep.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"the demo cannot work there: {error.strerror}", code=Code.PATH, where=str(keep)) from None
        return keep, lambda: None
    folder = Path(tempfile.mkdtemp(prefix="sheyin-demo-"))
    return folder, lambda: shutil.rmtree(folder, ignore_errors=True)
