"""The floor's tables on either database: plain, unencrypted, with the least indexes that the work needs.

``instruction`` has 16 columns and its key; ``attempt`` its key and an index on (batch, state), because that is how both
files and results find it. PostgreSQL through asyncpg's COPY with fsync on; SQLite through the standard library, WAL,
``synchronous=FULL``: the fastest ways that LIBRARIES.md measured.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any, NamedTuple, Protocol

import asyncpg

from bench.floor_files import PayRow, Told


class InstructionRow(NamedTuple):
    """One row of ``instruction``."""

    key: int
    run_key: int
    id: str
    person_name: str
    person_id: str
    payee_name: str
    bank: str
    account: str
    amount: int
    district: str
    currency: str
    line: str
    fund: str
    debit_account: str
    period: str
    pay_date: str


class AttemptRow(NamedTuple):
    """What of ``attempt`` is there from the start."""

    key: int
    instruction_key: int
    try_no: int
    bank: str
    amount: int
    state: str


_TEXT = "text NOT NULL"
_TYPES = {"key": "bigint PRIMARY KEY", "run_key": "bigint NOT NULL", "amount": "bigint NOT NULL"}
TABLES = (
    f"CREATE TABLE instruction ({', '.join(f'{name} {_TYPES.get(name, _TEXT)}' for name in InstructionRow._fields)})",
    "CREATE TABLE attempt (key bigint PRIMARY KEY, instruction_key bigint NOT NULL, try_no integer NOT NULL, "
    "bank text NOT NULL, amount bigint NOT NULL, state text NOT NULL, batch_key bigint, code text, bank_ref text)",
    "CREATE INDEX attempt_batch ON attempt (batch_key, state)",
    "CREATE TABLE batch (key bigint PRIMARY KEY, bank text NOT NULL)",
)
BATCH = (
    "UPDATE attempt SET batch_key = batch.key, state = 'batched' FROM batch "
    "WHERE batch.bank = attempt.bank AND attempt.state = 'ready'"
)
READ = (
    "SELECT a.key, i.payee_name, i.account, i.amount, i.person_id FROM attempt AS a JOIN instruction AS i "
    "ON i.key = a.instruction_key WHERE a.batch_key = {mark} AND a.state = 'batched' ORDER BY a.key"
)
OUTCOME = "CASE status WHEN 'ACCC' THEN 'paid' ELSE 'failed' END"
LEFT = "SELECT COUNT(*) FROM attempt WHERE state IN ('paid', 'failed')"


class Store(Protocol):
    """What the floor asks of a database."""

    kind: str

    async def load(self, instructions: Sequence[InstructionRow], attempts: Sequence[AttemptRow]) -> None:
        """One chunk, one transaction."""
        ...

    async def batch(self, banks: Sequence[str]) -> None:
        """A batch for each bank, and every membership."""
        ...

    def pages(self, bank: str, rows_max: int) -> AsyncIterator[list[PayRow]]:
        """The lines of a bank's batch, in order."""
        ...

    async def apply(self, told: Sequence[Told]) -> None:
        """One result file, one transaction."""
        ...

    async def check(self, count: int) -> None:
        """Raises RuntimeError unless so many have an outcome. Not timed."""
        ...


class _Postgres:
    kind = "postgresql"

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._c = connection

    async def load(self, instructions: Sequence[InstructionRow], attempts: Sequence[AttemptRow]) -> None:
        async with self._c.transaction():
            for table, rows in (("instruction", instructions), ("attempt", attempts)):
                await self._c.copy_records_to_table(table, columns=rows[0]._fields, records=rows)

    async def batch(self, banks: Sequence[str]) -> None:
        async with self._c.transaction():
            await self._c.executemany("INSERT INTO batch VALUES ($1, $2)", list(enumerate(banks, 1)))
            await self._c.execute(BATCH)

    async def pages(self, bank: str, rows_max: int) -> AsyncIterator[list[PayRow]]:
        async with self._c.transaction():
            key = await self._c.fetchval("SELECT key FROM batch WHERE bank = $1", bank)
            cursor = await self._c.cursor(READ.format(mark="$1"), key)
            while rows := await cursor.fetch(rows_max):
                yield rows  # type: ignore[misc]  # a Record unpacks like the row that it is

    async def apply(self, told: Sequence[Told]) -> None:
        async with self._c.transaction():
            await self._c.execute(
                "CREATE TEMP TABLE told (key bigint, status text, code text, amount bigint, bank_ref text) ON COMMIT DROP"
            )
            await self._c.copy_records_to_table("told", columns=Told._fields, records=told)
            await self._c.execute(
                f"UPDATE attempt SET state = {OUTCOME}, code = told.code, bank_ref = told.bank_ref FROM told "
                "WHERE attempt.key = told.key AND attempt.amount = told.amount AND attempt.state = 'batched'"
            )

    async def check(self, count: int) -> None:
        _check(await self._c.fetchval(LEFT), count)


class _Sqlite:
    kind = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._c = connection

    async def load(self, instructions: Sequence[InstructionRow], attempts: Sequence[AttemptRow]) -> None:
        with self._transaction() as c:
            for table, rows in (("instruction", instructions), ("attempt", attempts)):
                c.executemany(_insert(table, rows[0]._fields), rows)

    async def batch(self, banks: Sequence[str]) -> None:
        with self._transaction() as c:
            c.executemany("INSERT INTO batch VALUES (?, ?)", list(enumerate(banks, 1)))
            c.execute(BATCH)

    async def pages(self, bank: str, rows_max: int) -> AsyncIterator[list[PayRow]]:
        (key,) = self._c.execute("SELECT key FROM batch WHERE bank = ?", (bank,)).fetchone()
        cursor = self._c.execute(READ.format(mark="?"), (key,))
        while rows := cursor.fetchmany(rows_max):
            yield rows

    async def apply(self, told: Sequence[Told]) -> None:
        with self._transaction() as c:
            c.executemany(
                "UPDATE attempt SET state = ?, code = ?, bank_ref = ? WHERE key = ? AND amount = ? AND state = 'batched'",
                (
                    ("paid" if status == "ACCC" else "failed", code, bank_ref, key, amount)
                    for key, status, code, amount, bank_ref in sorted(told)
                ),
            )

    async def check(self, count: int) -> None:
        _check(self._c.execute(LEFT).fetchone()[0], count)

    def _transaction(self) -> sqlite3.Connection:
        self._c.execute("BEGIN IMMEDIATE")
        return self._c  # as a context manager it commits


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _check(found: Any, count: int) -> None:
    if found != count:
        raise RuntimeError(f"{found} of {count} payments have an outcome")


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Connect and make the tables. ``sqlite:///path``, ``postgresql://…`` or ``postgresql+asyncpg://…``; the database is empty."""
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as sqlite:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536", "temp_store=MEMORY"):
                sqlite.execute(f"PRAGMA {pragma}")
            for statement in TABLES:
                sqlite.execute(statement)
            yield _Sqlite(sqlite)
        return
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://", 1))
    try:
        for statement in TABLES:
            await connection.execute(statement)
        yield _Postgres(connection)
    finally:
        await connection.close()
