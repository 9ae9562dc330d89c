"""``sheyin payer``: a reference disbursement system. It knows the broker and the contract, and nothing of the ledger.

A programmer of a real one reads here what is asked of it: publish with confirms and stable ids, acknowledge after writing down, expect
repeats, and trust the sequence of results per instruction.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import msgspec
from cyclopts import App, Parameter

from gateway.cli import order_file
from gateway.cli.acting import quiet
from gateway.cli.config import Config, load
from gateway.cli.events import Listener
from gateway.cli.output import AsJson, ConfigPath, Exit, Output, several
from gateway.cli.submit import read_order, the_payer
from gateway.core import contracts
from gateway.core.contracts import CHUNK_MAX
from gateway.core.errors import Code, Malformed, Refused
from gateway.core.money import spoken
from gateway.core.ports import Message
from gateway.core.topology import DISBURSEMENT, payer_queue
from gateway.edge.clock import SystemClock

if TYPE_CHECKING:
    from gateway.core.ports import Delivery

app = App(name="payer", help="A reference disbursement system: it speaks to the gateway over RabbitMQ alone.")
T = TypeVar("T")
PREFETCH = 64
OfPayer = Annotated[str, Parameter(name="--payer", help="Code of the payer; without it the only configured one.")]
_IN_FLIGHT = 8
_ALONE = [name for name in contracts.INBOUND if name not in ("run.submitted", "run.chunk")]


@app.command
def publish(
    file: Path,
    *,
    payer: OfPayer = "",
    run_id: str = "",
    kind: str = "",
    line: str = "",
    period: str = "",
    fund: str = "",
    debit_account: str = "",
    pay_date: str = "",
    district: str = "",
    on_bad_line: str = "",
    attempt: int = 0,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """Publish a run from a CSV or JSON lines file: header and chunks, each confirmed by the broker. The outcome comes as an event.

    The header is FILE's neighbour NAME.run.json or the options, as for `sheyin submit`. The same file gives the same message ids.

    Parameters
    ----------
    file
        `.csv`, or anything else for JSON lines.
    attempt
        A number above 0 gives new message ids: the same file again after a rejection.
    """
    output, loaded = Output(as_json), _loaded(config)
    payer = the_payer(loaded, payer)
    options = {
        "run_id": run_id, "kind": kind, "line": line, "period": period, "fund": fund, "debit_account": debit_account,
        "pay_date": order_file.pay_date(pay_date), "district": district, "on_bad_line": on_bad_line,
    }  # fmt: skip
    order = read_order(file, options, output)
    with output.progress("publishing", order.header.count) as step:

        async def work(bus: Any) -> int:
            return await _publish(bus, order_file.messages(order, payer, attempt), step)

        count = asyncio.run(_on_bus(loaded, work))
    header = order.header
    if as_json:
        output.json({"payer": payer, "run": header.run_id, "count": header.count, "minor": header.total, "messages": count})  # fmt: skip
    output.say(
        f"run {header.run_id}: {several(header.count, 'payment')}, {spoken(header.total)}, {count} messages confirmed"
    )
    return Exit.OK


@app.command
def send(message: str, file: Path, *, payer: OfPayer = "", as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Publish single messages: one JSON object a line, in the shape of the contract. All are read before the first is sent.

    Parameters
    ----------
    message
        instruction.submitted, instruction.withdraw, instruction.repay or run.cancel.
    file
        The data of each message; `-` reads standard input.
    """
    output, loaded = Output(as_json), _loaded(config)
    payer = the_payer(loaded, payer)
    if message not in _ALONE:
        raise Refused(f"no such message; there are {', '.join(_ALONE)}", code=Code.SCHEMA, where=message)
    found = list(_single(message, file, payer))

    async def work(bus: Any) -> int:
        return await _publish(bus, iter(found), lambda _: None)

    count = asyncio.run(_on_bus(loaded, work))
    if as_json:
        output.json({"payer": payer, "message": message, "messages": count, "ids": [m.message_id for _, m in found]})
    output.say(f"{count} {message} confirmed")
    return Exit.OK


@app.command
def listen(
    *,
    payer: OfPayer = "",
    follow: bool = False,
    until: str = "",
    out: Path | None = None,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """Take the payer's events off its queue and tell them; each is acknowledged once it is written down.

    A repeat (same message id) is told once. Results must be in order per instruction: sequence 1, 2, 3. Ends with the totals by outcome.
    Exit code 1 where a result came out of order, or something was no event (it goes to the dead letters).

    Parameters
    ----------
    follow
        Wait for more until Ctrl-C or SIGTERM; without it what is there now is taken.
    until
        With --follow: end after the first event of this type, e.g. run.closed.
    out
        Append every event to this file, one JSON document a line; what is in it already is not told again.
    """
    output, loaded = Output(as_json), _loaded(config)
    queue = payer_queue(the_payer(loaded, payer))
    listener = Listener(from_start=out is not None)
    if out is None:
        asyncio.run(_on_bus(loaded, lambda bus: _listen(bus, queue, listener, None, output, follow, until)))
    else:
        with _appending(out, listener) as stream:
            asyncio.run(_on_bus(loaded, lambda bus: _listen(bus, queue, listener, stream, output, follow, until)))
    if as_json:
        output.json(listener.totals())
    else:
        _tell(listener, output)
    return Exit.DIFFERS if listener.disorder_total or listener.rejected else Exit.OK


# ---------------------------------------------------------------------------------------------------------------- publishing


async def _publish(bus: Any, messages: Any, step: Callable[[int], None]) -> int:
    """Publish with a few under way at once; returns how many were confirmed. Raises Unavailable: then publish all again, ids are stable."""
    count = 0
    page: list[tuple[str, Message]] = []

    async def flush() -> None:
        await asyncio.gather(*(bus.publish(DISBURSEMENT, name, message) for name, message in page))
        step(sum(CHUNK_MAX for name, _ in page if name == "run.chunk"))
        page.clear()

    for found in messages:
        page.append(found)
        count += 1
        if len(page) == _IN_FLIGHT:
            await flush()
    await flush()
    return count


def _single(name: str, file: Path, payer: str) -> list[tuple[str, Message]]:
    from hashlib import sha256

    decoder = msgspec.json.Decoder(contracts.INBOUND[name])
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(file)) from None
    messages = []
    for number, text in enumerate(raw.split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            data = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(str(error), code=Code.SCHEMA, where=f"{file.name} line {number}") from None
        message_id = f"{name}-{sha256(msgspec.json.encode(data)).hexdigest()[:24]}"
        body = contracts.encode(name, data, id=message_id, source=payer, time=None)
        messages.append((name, Message(message_id=message_id, body=body)))
    if not messages:
        raise Malformed("no message in it", where=str(file))
    return messages


# ---------------------------------------------------------------------------------------------------------------- listening


async def _listen(
    bus: Any, queue: str, listener: Listener, stream: BinaryIO | None, output: Output, follow: bool, until: str
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with aclosing(_followed(bus, queue, stopping) if follow else _waiting(bus, queue, stopping)) as deliveries:
        async for delivery in deliveries:
            try:
                event = listener.take(delivery.message)
            except Malformed as error:
                listener.rejected += 1
                await delivery.reject(str(error))
                continue
            if event is not None:
                if stream is not None:
                    stream.write(event.line + b"\n")
                    stream.flush()
                    os.fsync(stream.fileno())
                output.say(event.sentence)
            await delivery.ack()
            if event is not None and event.type == until:
                return


async def _waiting(bus: Any, queue: str, stopping: asyncio.Event) -> AsyncGenerator[Delivery, None]:
    while not stopping.is_set() and (delivery := await bus.take(queue)) is not None:
        yield delivery


async def _followed(bus: Any, queue: str, stopping: asyncio.Event) -> AsyncGenerator[Delivery, None]:
    """Deliveries until somebody stops us."""
    stopped = asyncio.ensure_future(stopping.wait())
    async with aclosing(bus.consume(queue, PREFETCH)) as deliveries:
        while not stopping.is_set():
            coming = asyncio.ensure_future(anext(deliveries))
            await asyncio.wait((coming, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                await asyncio.wait((coming,))
                break
            yield coming.result()
    stopped.cancel()


def _appending(path: Path, listener: Listener) -> BinaryIO:
    """The file of events, opened to append and readable by its owner alone; what it holds is remembered, half a last line cut off."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        stream = os.fdopen(handle, "r+b")
    except OSError as error:
        raise Refused(f"cannot be written: {error.strerror}", code=Code.PATH, where=str(path)) from None
    whole = 0
    for line in stream:
        if not line.endswith(b"\n"):
            break
        listener.remember(line, where=f"{path.name} at byte {whole}")
        whole += len(line)
    stream.truncate(whole)
    stream.seek(whole)
    return stream


def _tell(listener: Listener, output: Output) -> None:
    found = listener.totals()
    rows = [(outcome, f"{one['count']:,}", spoken(one["minor"])) for outcome, one in found["outcomes"].items()]
    output.say(f"{found['events']} events, {found['repeats']} repeats, {found['rejected']} rejected")
    if rows:
        output.table("results", ("outcome", ("results", "right"), ("amount", "right")), rows)
    for one in found["disorder"]:
        output.say(f"out of order: {one}")


# ---------------------------------------------------------------------------------------------------------------- parts


def _loaded(config: ConfigPath) -> Config:
    loaded = load(config)
    if loaded.local_bus:
        what = "the bus is inside the serving process: a disbursement system needs a broker. `sheyin submit` works without one"
        raise Refused(what, where=loaded.key("gateway.bus"))
    quiet()
    return loaded


async def _on_bus(config: Config, work: Callable[[Any], Awaitable[T]]) -> T:
    from gateway.cli.assembly import open_bus

    async with open_bus(config, SystemClock()) as bus:
        return await work(bus)
