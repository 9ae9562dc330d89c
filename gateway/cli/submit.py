"""``sheyin submit``: a run in a file takes the very same path as one from a disbursement system.

The same messages are encoded and published to the broker. With the bus inside the process they are handed to the same intake, here.
"""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gateway.cli import order_file
from gateway.cli.acting import instant, quiet, reach
from gateway.cli.config import Config, load
from gateway.cli.order_file import Order
from gateway.cli.output import AsJson, ConfigPath, Exit, Output, several
from gateway.core.contracts import CHUNK_MAX, Window
from gateway.core.errors import Code, Conflict, Refused, Unavailable
from gateway.core.ledger import BankShare, CompleteRun
from gateway.core.money import Totals, spoken
from gateway.core.states import RunState

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger
    from gateway.flow.intake import Intake

_POLL_S = 0.2
_LETTERS_AFTER_S = 3.0


def submit(
    file: Path,
    *,
    payer: Annotated[str, Parameter(help="Code of the payer; without it the only configured one.")] = "",
    run_id: str = "",
    kind: str = "",
    line: str = "",
    period: str = "",
    fund: str = "",
    debit_account: str = "",
    pay_date: str = "",
    district: str = "",
    on_bad_line: str = "",
    wait: Annotated[bool, Parameter(negative="--no-wait")] = True,
    wait_s: int = 60,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """Submit a run from a CSV or JSON lines file, and tell what became of it: accepted with its predicted windows, held, or rejected.

    The header is FILE's neighbour NAME.run.json, the options below, or both (an option wins). The whole file is read before anything is sent:
    a line that is not in the contract's shape is told by its number, and nothing is submitted. The same file again has no second effect.
    Exit codes: 0 accepted, 1 held for two people, 2 rejected or nothing submitted, 3 no answer in time.

    Parameters
    ----------
    file
        `.csv` (UTF-8 with column names, amounts as amount_fen or amount_yuan), anything else is JSON lines.
    run_id
        The run's id, new for this payer.
    kind
        regular (if not given), supplementary, one_off or reimbursement.
    line
        pension, unemployment, work_injury_one_off, work_injury_long_term, medical or maternity.
    period
        The month that the benefit is for, YYYY-MM.
    fund
        The benefit fund that the money comes from.
    debit_account
        The fund's account that is debited.
    pay_date
        The requested day, YYYY-MM-DD.
    district
        Administrative division code of the run.
    on_bad_line
        reject_run (if not given) or reject_line: what a line that breaks a rule does to the run.
    wait
        Wait for the outcome.
    wait_s
        At most so many seconds.
    """
    output = Output(as_json)
    loaded = load(config)
    quiet()
    payer = the_payer(loaded, payer)
    options = {
        "run_id": run_id, "kind": kind, "line": line, "period": period, "fund": fund, "debit_account": debit_account,
        "pay_date": order_file.pay_date(pay_date), "district": district, "on_bad_line": on_bad_line,
    }  # fmt: skip
    order = read_order(file, options, output)
    reach(loaded)
    found = asyncio.run(_submit(loaded, order, payer, wait_s if wait else 0, output))
    return _tell(order, payer, found, output, waited=wait)


def the_payer(config: Config, given: str) -> str:
    """The payer's code. Raises Refused for a stranger, or where there are several and none is named."""
    codes = [payer.code for payer in config.payers]
    if not given and len(codes) == 1:
        return codes[0]
    if given not in codes:
        raise Refused(f"name one of the payers: {', '.join(codes)}", code=Code.UNKNOWN_REF, where="--payer")
    return given


def read_order(file: Path, options: dict[str, Any], output: Output) -> Order:
    """The file checked whole, with a bar."""
    options = {**options, "kind": options["kind"] or ("" if order_file.header_path(file).is_file() else "regular")}
    try:
        size = file.stat().st_size
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(file)) from None
    with output.progress("checking", size, "bytes") as step:
        return order_file.read(file, options, step)


async def _submit(config: Config, order: Order, payer: str, wait_s: float, output: Output) -> dict[str, Any]:
    from gateway.cli.assembly import open_ledger
    from gateway.edge.clock import SystemClock

    async with open_ledger(config, SystemClock()) as ledger:
        intake = _intake(config, ledger)
        standing, rejected = await ledger.submitted(payer, order.header.run_id)
        attempt, header_digest = _attempt(order, payer, standing, rejected)
        if config.local_bus:
            await _record(intake, order, payer, attempt, output)
        else:
            await _publish(config, order, payer, attempt, output)
        found = await _outcome(config, ledger, order, payer, header_digest, wait_s)
        if found and found["state"] != RunState.RECEIVING:
            found["windows"] = [_window(window) for window in intake.windows(_complete(order, payer, found))]
        return {**(found or {}), "attempt": attempt}


def _intake(config: Config, ledger: SqlLedger) -> Intake:
    from gateway.core.partner import Partner
    from gateway.edge.clock import SystemClock
    from gateway.edge.points import CrashPoints
    from gateway.flow.bell import Bell
    from gateway.flow.intake import Intake

    partners = {bank.code: Partner(bank=bank, adapter=config.adapter(bank)) for bank in config.banks}
    payers = frozenset(payer.code for payer in config.payers)
    return Intake(ledger, SystemClock(), CrashPoints(), partners, payers, Bell(), Bell())


def _attempt(order: Order, payer: str, standing: bytes | None, rejected: int) -> tuple[int, bytes]:
    """Which trial this is, and the digest of its header. Raises Conflict where a Run of this id with other content stands."""

    def digest(attempt: int) -> bytes:
        return sha256(next(order_file.messages(order, payer, attempt))[1].body).digest()

    if standing is None:
        return rejected, digest(rejected)
    for attempt in range(rejected, -1, -1):
        if digest(attempt) == standing:
            return attempt, standing
    raise Conflict("a run of this id stands with other content: the first stands", where=order.header.run_id)


async def _record(intake: Intake, order: Order, payer: str, attempt: int, output: Output) -> None:
    """With the bus in the process: hand every message to the intake that the broker's consumers run."""
    with output.progress("submitting", order.header.count) as step:
        for name, message in order_file.messages(order, payer, attempt):
            await intake.record(message)
            step(CHUNK_MAX if name == "run.chunk" else 0)
    await intake.step()


async def _publish(config: Config, order: Order, payer: str, attempt: int, output: Output) -> None:
    from gateway.cli.assembly import open_bus
    from gateway.core.topology import DISBURSEMENT
    from gateway.edge.clock import SystemClock

    async with open_bus(config, SystemClock()) as bus:
        with output.progress("publishing", order.header.count) as step:
            for name, message in order_file.messages(order, payer, attempt):
                await bus.publish(DISBURSEMENT, name, message)
                step(CHUNK_MAX if name == "run.chunk" else 0)


async def _outcome(
    config: Config, ledger: SqlLedger, order: Order, payer: str, header_digest: bytes, wait_s: float
) -> dict[str, Any] | None:
    """What the ledger says, once it says more than that chunks are coming. Raises Refused with the reason of a dead letter."""
    from gateway.edge.backoff import pause

    started = time.monotonic()
    look_at = _LETTERS_AFTER_S
    never = asyncio.Event()
    while True:
        found = await ledger.outcome(payer, order.header.run_id, header_digest)
        waited_s = time.monotonic() - started
        if (found and found["state"] != RunState.RECEIVING) or waited_s >= wait_s:
            return found
        if waited_s >= look_at and not config.local_bus:
            await _raise_if_dead(config, order)
            look_at = 2 * waited_s
        await pause(never, _POLL_S)


async def _raise_if_dead(config: Config, order: Order) -> None:
    """Raises Refused where intake has refused a message of this file: it lies among the dead letters with the reason."""
    from gateway.cli.assembly import open_bus
    from gateway.edge.clock import SystemClock
    from gateway.edge.dead_letters import letters

    async with open_bus(config, SystemClock()) as bus:
        for letter in await letters(bus):
            if letter.message_id.startswith(f"{order.header.run_id}-{order.digest}"):
                code, _, what = letter.reason.partition(": ")
                known = Code(code.split(" ")[0]) if code.split(" ")[0] in set(Code) else Code.POLICY
                raise Refused(what or letter.reason, code=known, where=letter.message_id)


def _complete(order: Order, payer: str, found: dict[str, Any]) -> CompleteRun:
    import datetime as dt

    shares = tuple(
        BankShare(s["bank"], dt.date.fromisoformat(s["pay_date"]), Totals(s["count"], s["minor"]))
        for s in found["shares"]
    )
    return CompleteRun(key=0, payer=payer, run_id=order.header.run_id, shares=shares)


def _window(window: Window) -> dict[str, Any]:
    return {
        "bank": window.bank, "opens": window.opens.isoformat(), "cut_off": window.cut_off.isoformat(),
        "count": window.count, "minor": window.total,
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------- telling


def _tell(order: Order, payer: str, found: dict[str, Any], output: Output, *, waited: bool) -> Exit:
    header, state = order.header, found.get("state", "")
    document = {
        "payer": payer, "run": header.run_id, "state": state, "code": found.get("code") or "", "what": found.get("what") or "",
        "count": header.count, "minor": header.total, "chunks": header.chunks, "held": found.get("held", 0),
        "windows": found.get("windows", []),
        "errors_total": found.get("bad_lines", 0), "errors": _told(found, fatal=True),
        "warnings_total": found.get("warnings", 0), "warnings": _told(found, fatal=False),
    }  # fmt: skip
    pending = state in ("", RunState.RECEIVING)
    if output.as_json and not (pending and waited):
        output.json(document)
    if pending:
        if waited:
            error = Unavailable("submitted, but no gateway has concluded it yet", where=header.run_id)
            error.add_note(f"Is `sheyin serve` running? Later: sheyin status {header.run_id}")
            raise error
        output.say(f"run {header.run_id}: {several(header.count, 'payment')}, {spoken(header.total)}, submitted")
        return Exit.OK
    output.say(f"run {header.run_id}: {several(header.count, 'payment')}, {spoken(header.total)}: {state}")
    if document["what"]:
        output.say(f"  {document['code']}: {document['what']}")
    _tell_lines(document, output)
    if state == RunState.REJECTED:
        return Exit.REFUSED
    if state == RunState.HELD:
        output.say(f"  two people must accept it: sheyin held propose {header.run_id} --as ACTOR")
        return Exit.DIFFERS
    rows = [
        (w["bank"], _local(w["opens"]), _local(w["cut_off"]), f"{w['count']:,}", spoken(w["minor"]))
        for w in document["windows"]
    ]
    columns = ("bank", "window opens", "cut-off", ("payments", "right"), ("amount", "right"))
    output.table("predicted windows (Beijing time), once it is released", columns, rows)
    return Exit.OK


def _told(found: dict[str, Any], *, fatal: bool) -> list[dict[str, Any]]:
    names = ("ordinal", "instruction_id", "code", "where", "what")
    return [{name: one[name] for name in names} for one in found.get("errors", []) if one["fatal"] == fatal]


def _local(text: str) -> str:
    import datetime as dt

    return instant(round(dt.datetime.fromisoformat(text).timestamp() * 1000))[:-3]


def _tell_lines(document: dict[str, Any], output: Output) -> None:
    if document["held"]:
        output.say(f"  {document['held']} payments are held for two people: sheyin held list")
    for title, key in (("bad lines", "errors"), ("warnings", "warnings")):
        found = document[key]
        if found:
            rows = [(str(e["ordinal"]), e["instruction_id"], e["code"], e["where"], e["what"]) for e in found]
            output.table(f"{document[key + '_total']} {title}", ("line", "instruction", "code", "field", "what"), rows)
            if document[key + "_total"] > len(found):
                output.say(f"  and {document[key + '_total'] - len(found)} more")
