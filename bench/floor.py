"""The floor: the bare work of the month that nobody can avoid, with the gateway's own libraries, in one process.

It does what any gateway has to do with these bytes between these servers, and nothing of what makes it one: no check,
no event, no audit, no archive, no encryption, no seal, nothing read twice, no promise kept after a crash. The
benchmark's ratio is what the gateway takes in multiples of this.

========== =============================================================================================
publish    the chunks, made beforehand, to a quorum queue: persistent, mandatory, confirmed, pipelined
consume    take and acknowledge them
decode     with msgspec, into the types of the contracts
load       COPY instruction and attempt, one transaction per chunk
batch      one UPDATE that writes the batch membership of every attempt
write      read by cursor, write one XML file per bank by template, with SHA-256
read       iterparse the result files, made beforehand
apply      COPY to a staging table and UPDATE … FROM, one transaction per file
tell       encode ``payment.results`` and publish them in chunks, as above
========== =============================================================================================

Connecting, making tables and queues, and making the chunks and result files are not timed. As a program it prints one
line of JSON::

    python -m bench.floor --messages month.bin --folder work/ --amqp amqp://… --ledger postgresql+asyncpg://…/db
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import gc
import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from itertools import islice
from pathlib import Path

import msgspec

from bench.broker import Post, opened
from bench.floor_files import Told, pain001, results_of, write_results
from bench.floor_stores import AttemptRow, InstructionRow, Store, open_store
from gateway.core.contracts import CHUNK_MAX, Envelope, PaymentResult, PaymentResults, RunChunk, RunSubmitted, encode
from gateway.core.ports import Message
from gateway.sandbox.month import PAYER
from gateway.sandbox.month_files import read_chunks

STEPS = ("publish", "consume", "decode", "load", "batch", "write", "read", "apply", "tell")
PAGE_ROWS = 5_000

_ENVELOPE = msgspec.json.Decoder(Envelope)
_HEADER = msgspec.json.Decoder(RunSubmitted)
_CHUNK = msgspec.json.Decoder(RunChunk)


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """What the bare work took: wall seconds by step, and together."""

    ledger: str  # postgresql, sqlite
    payments: int
    paid: int
    steps: dict[str, float]
    total: float


class Stopwatch:
    """Wall seconds by step; a step may be entered many times."""

    def __init__(self) -> None:
        self.steps = dict.fromkeys(STEPS, 0.0)

    @contextmanager
    def time(self, step: str) -> Iterator[None]:
        """Count the block for ``step``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.steps[step] += time.perf_counter() - start


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What is made beforehand: the month's messages, and a result file per bank with as many payments."""

    messages: Path
    header: RunSubmitted
    results: dict[str, Path]  # by bank code


def prepare(messages: Path, folder: Path) -> Inputs:
    """Make the result files for the month in ``messages`` (see ``month_files``) in ``folder``. Not timed."""
    folder.mkdir(parents=True, exist_ok=True)
    header = _header_of(messages)
    chunks = (_CHUNK.decode(_ENVELOPE.decode(message.body).data) for message in islice(read_chunks(messages), 1, None))
    lines = ((row.key, row.bank, row.amount) for chunk in chunks for row in _instructions(chunk, header))
    return Inputs(messages=messages, header=header, results=write_results(lines, folder))


async def floor(inputs: Inputs, amqp_url: str, ledger_url: str) -> Floor:
    """Do the work once. ``ledger_url``: an empty PostgreSQL database, or ``sqlite:///path`` of a file that is not there yet."""
    watch = Stopwatch()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(ledger_url))
        post = await stack.enter_async_context(opened(amqp_url, "bench.floor.in"))
        results = await stack.enter_async_context(opened(amqp_url, "bench.floor.out"))
        bodies = await _over_the_bus(watch, post, inputs)
        await _into_the_ledger(watch, store, bodies, inputs.header)
        with watch.time("batch"):
            await store.batch(sorted(inputs.results))
        for bank in sorted(inputs.results):
            with watch.time("write"):
                await _write_file(store, bank, inputs)
        paid = 0
        for path in inputs.results.values():
            with watch.time("read"):
                told = list(results_of(path))
            with watch.time("apply"):
                await store.apply(told)
            with watch.time("tell"):
                await _tell(results, told, inputs.header.run_id, path.stem)
            paid += sum(row.status == "ACCC" for row in told)
        await store.check(inputs.header.count)
    return Floor(
        ledger=store.kind, payments=inputs.header.count, paid=paid, steps=watch.steps, total=sum(watch.steps.values())
    )


async def _over_the_bus(watch: Stopwatch, post: Post, inputs: Inputs) -> list[bytes]:
    with watch.time("publish"):
        count = await post.publish(read_chunks(inputs.messages))
    with watch.time("consume"):
        return await post.consume(count)


async def _into_the_ledger(watch: Stopwatch, store: Store, bodies: list[bytes], header: RunSubmitted) -> None:
    loaded = 0
    for body in bodies:
        with watch.time("decode"):
            envelope = _ENVELOPE.decode(body)
            chunk = _CHUNK.decode(envelope.data) if envelope.type == "run.chunk" else None
            if chunk is None:
                _HEADER.decode(envelope.data)
                continue
        with watch.time("load"):
            rows = _instructions(chunk, header)
            await store.load(rows, _attempts(rows))
        loaded += len(rows)
    if loaded != header.count:
        raise RuntimeError(f"{loaded} payments came out of the queue, {header.count} went in")


def _instructions(chunk: RunChunk, header: RunSubmitted) -> list[InstructionRow]:
    first = (chunk.chunk - 1) * CHUNK_MAX + 1
    shared = ("CNY", header.line.value, header.fund, header.debit_account, header.period, header.pay_date.isoformat())
    return [
        InstructionRow(
            key, 1, line.id, line.person.name, line.person.id_number, (line.payee or line.person).name,
            line.bank, line.account, line.amount, line.district, *shared,
        )
        for key, line in enumerate(chunk.instructions, first)
    ]  # fmt: skip


def _attempts(rows: Sequence[InstructionRow]) -> list[AttemptRow]:
    return [AttemptRow(row.key, row.key, 1, row.bank, row.amount, "ready") for row in rows]


async def _write_file(store: Store, bank: str, inputs: Inputs) -> None:
    digest = hashlib.sha256()
    path = inputs.results[bank].with_name(f"{bank}.pain001.xml")
    with path.open("wb") as file:

        def put(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        pages = store.pages(bank, PAGE_ROWS)
        async for part in pain001(pages, inputs.header, bank):
            put(part)
    path.with_suffix(".sha256").write_text(digest.hexdigest())


async def _tell(post: Post, told: list[Told], run_id: str, document: str) -> None:
    now = dt.datetime.now(dt.UTC)

    def messages() -> Iterator[Message]:
        rest = iter(told)
        number = 0
        while part := list(islice(rest, CHUNK_MAX)):
            number += 1
            results = PaymentResults(results=[_result(row, run_id, document) for row in part])
            message_id = f"{document}-{number}"
            body = encode("payment.results", results, id=message_id, source="sheyin", time=now, subject=PAYER)
            yield Message(message_id=message_id, body=body)

    await post.publish(messages())


def _result(row: Told, run_id: str, document: str) -> PaymentResult:
    paid = row.status == "ACCC"
    return PaymentResult(
        instruction_id=f"{run_id}-{row.key:07}",
        run_id=run_id,
        attempt=1,
        sequence=1,
        outcome="paid" if paid else "failed",
        amount=row.amount,
        bank=document,
        verdict="PAID" if paid else "CARD_LOST",
        code=row.code,
        bank_ref=row.bank_ref,
        document=document,
    )


def _header_of(messages: Path) -> RunSubmitted:
    return _HEADER.decode(_ENVELOPE.decode(next(read_chunks(messages)).body).data)


def main() -> int:
    """The program; see the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description="The bare work of the month, once.")
    parser.add_argument("--messages", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--amqp", required=True)
    parser.add_argument("--ledger", required=True)
    given = parser.parse_args()
    gc.disable()  # nothing here makes cycles, and bare work does not look for them
    inputs = prepare(given.messages, given.folder)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(floor(inputs, given.amqp, given.ledger))) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
