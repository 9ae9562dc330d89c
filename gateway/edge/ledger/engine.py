"""How a ledger operation gets its transaction, on either database.

An operation is a plain synchronous function ``operation(tx, ...)`` over one SQLAlchemy connection: it runs whole or not at all. On PostgreSQL it
runs through the async engine's ``run_sync``; on SQLite in one dedicated thread that owns the only writing connection (two connections that
checkpoint at the same instant can corrupt a WAL before SQLite 3.51.3), while readers have ``query_only`` connections of their own.
The simulation calls operations directly, in line.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.core.errors import Code, Malformed, Unavailable
from gateway.core.points import Points
from gateway.core.ports import Clock, Ids
from gateway.edge.atrest import AtRest
from gateway.edge.ledger.schema import RUN_SPAN

R = TypeVar("R")
P = ParamSpec("P")
#: Serialization failure, deadlock, and a key that another transaction took between our look and our insert: nothing was done, and the
#: transaction may run again whole. The second time it sees what the other wrote; a duplicate of our own making comes back and is raised.
_AGAIN = frozenset({"40001", "40P01", "23505"})
_TRIES = 5
#: SQLite's page cache per connection. Updates in key order want the writer's; readers only look.
_WRITER_CACHE_KIB = 65_536
_READER_CACHE_KIB = 8_192


class World(NamedTuple):
    """What operations need beside the database."""

    clock: Clock
    ids: Ids
    atrest: AtRest
    points: Points


class Tx:
    """One transaction: the connection, the instant (one for the whole transaction), the at-rest keys."""

    def __init__(self, connection: sa.Connection, world: World) -> None:
        self.c = connection
        self.now_ms = now_ms(world.clock)
        self.atrest = world.atrest
        self.ids = world.ids
        self.reach = world.points.reach
        self.sqlite = connection.dialect.name == "sqlite"

    def run(self, sql: str, **values: Any) -> sa.CursorResult[Any]:
        """Execute one statement with named parameters."""
        return self.c.execute(_text(sql), values)

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """All rows of a query, as tuples with names."""
        return list(self.run(sql, **values).all())  # at once: one by one they cost three times as much

    def row(self, sql: str, **values: Any) -> Any:
        """First row or None."""
        return self.run(sql, **values).first()

    def scalar(self, sql: str, **values: Any) -> Any:
        """First column of the first row, or None."""
        return self.run(sql, **values).scalar()

    def shared(self, sql: str) -> str:
        """The query with a lock that many may hold at once, and ``locked`` waits for."""
        return sql if self.sqlite else sql + " FOR SHARE"

    def locked(self, sql: str) -> str:
        """The query with a row lock, where the database has them (SQLite has one writer anyway)."""
        return sql if self.sqlite else sql + " FOR UPDATE"


@functools.lru_cache(maxsize=1_000)
def _text(sql: str) -> sa.TextClause:
    return sa.text(sql)


def tries_of(instruction_key: str, alias: str = "a") -> str:
    """WHERE for all Attempts of one instruction: the first has its key, the later ones a partial index."""
    return f"({alias}.key = {instruction_key} OR ({alias}.instruction_key = {instruction_key} AND {alias}.try_no > 1))"


def keys_of(run_key: str, column: str) -> str:
    """WHERE for the keys of one Run's instructions or Attempts: a range of the primary key."""
    return f"{column} BETWEEN {run_key} * {RUN_SPAN} AND {run_key} * {RUN_SPAN} + {RUN_SPAN - 1}"


class Driver(Protocol):
    """Runs an operation in a transaction of its own."""

    async def write(self, operation: Callable[[Tx], R]) -> R:
        """Commit on return, roll back on any error. Raises Unavailable where the database is away or the commit's fate is unknown."""
        ...

    async def read(self, operation: Callable[[Tx], R]) -> R:
        """Never commits anything."""
        ...

    async def snapshot(self, operation: Callable[[Tx], R]) -> R:
        """``read`` whose statements all see one instant: what compares figures with each other must not see money on its way."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class PostgresDriver:
    """asyncpg through SQLAlchemy; READ COMMITTED with explicit locks and unique keys, retried whole on deadlock."""

    def __init__(self, url: str, world: World, *, pool: int = 12) -> None:
        self._engine = create_async_engine(
            url,
            pool_size=pool,
            max_overflow=4,
            pool_timeout=30,
            connect_args={
                "timeout": 10,
                "command_timeout": 300,
                "server_settings": {"application_name": "sheyin", "random_page_cost": "1.1"},
            },
        )
        # Under READ COMMITTED every statement has a snapshot of its own anyway: BEGIN and ROLLBACK would only be two more round trips.
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._still = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._world = world

    async def write(self, operation: Callable[[Tx], R]) -> R:
        """See Driver."""
        for attempt in range(_TRIES):
            try:
                async with self._engine.begin() as connection:
                    return await connection.run_sync(lambda c: operation(Tx(c, self._world)))
            except exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) in _AGAIN and attempt + 1 < _TRIES:
                    continue
                raise _unavailable(error) from error
            except (OSError, TimeoutError) as error:
                raise Unavailable(f"the ledger does not answer: {error}") from error
        raise Unavailable("the ledger kept refusing the transaction")

    async def read(self, operation: Callable[[Tx], R]) -> R:
        """See Driver."""
        return await self._look(self._reading, operation)

    async def snapshot(self, operation: Callable[[Tx], R]) -> R:
        """See Driver."""
        return await self._look(self._still, operation)

    async def _look(self, engine: AsyncEngine, operation: Callable[[Tx], R]) -> R:
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(lambda c: operation(Tx(c, self._world)))
        except exc.DBAPIError as error:
            raise _unavailable(error) from error
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"the ledger does not answer: {error}") from error

    async def close(self) -> None:
        """See Driver."""
        await self._engine.dispose()


class SqliteDriver:
    """One writing connection in one thread; WAL, synchronous=FULL. ``checkpoints`` False for every process but the serving one."""

    def __init__(self, url: str, world: World, *, checkpoints: bool = True, readers: int = 2) -> None:
        self._world = world
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ledger-write")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="ledger-read")
        self._local = threading.local()
        self._open: list[sa.Connection] = []
        self._engines = {
            True: _sqlite_engine(url, write=True, checkpoints=checkpoints),
            False: _sqlite_engine(url, write=False, checkpoints=False),
        }

    async def write(self, operation: Callable[[Tx], R]) -> R:
        """See Driver."""
        return await _in(self._writer, self.write_here, operation)

    async def read(self, operation: Callable[[Tx], R]) -> R:
        """See Driver."""
        return await _in(self._readers, self._transact, operation, write=False)

    async def snapshot(self, operation: Callable[[Tx], R]) -> R:
        """See Driver: in WAL every reading transaction has one."""
        return await self.read(operation)

    def write_here(self, operation: Callable[[Tx], R]) -> R:
        """``write`` in the calling thread: the writer's own, or a program without a loop."""
        return self._transact(operation, write=True)

    def _transact(self, operation: Callable[[Tx], R], *, write: bool) -> R:
        connection: sa.Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = self._local.connection = self._engines[write].connect()
                self._open.append(connection)
            with connection.begin():
                return operation(Tx(connection, self._world))
        except exc.DBAPIError as error:
            raise _unavailable(error) from error

    async def close(self) -> None:
        """See Driver."""
        for pool in (self._writer, self._readers):
            pool.shutdown(wait=True)
        for connection in self._open:
            connection.close()
        for engine in self._engines.values():
            engine.dispose()


async def _in(pool: ThreadPoolExecutor, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run in ``pool``; a cancelled caller still waits for the end, because a commit under way cannot be taken back."""
    future = asyncio.get_running_loop().run_in_executor(pool, functools.partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


def _sqlite_engine(url: str, *, write: bool, checkpoints: bool) -> sa.Engine:
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"check_same_thread": False, "timeout": 30})

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late; ours is below
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=30000",
            f"cache_size=-{_WRITER_CACHE_KIB if write else _READER_CACHE_KIB}",
            "temp_store=MEMORY",
            f"wal_autocheckpoint={4000 if checkpoints else 0}",
            *(() if write else ("query_only=ON",)),
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _unavailable(error: exc.DBAPIError) -> Exception:
    """Broken constraints and statements are our own faults and pass through; a server that is away, full or read-only is Unavailable.

    Class 22 (data exception) is the message's fault: PostgreSQL holds no U+0000. It must not look like a server that is away, or the same
    message would come back for ever.
    """
    if str(getattr(error.orig, "sqlstate", "")).startswith("22"):
        return Malformed(f"the ledger cannot hold a value of it: {str(error.orig)[:200]}", code=Code.CHARSET)
    if isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
        return error
    return Unavailable(f"the ledger cannot do it now: {str(error.orig)[:300]}")


def now_ms(clock: Clock) -> int:
    """The clock's instant as integer milliseconds UTC."""
    return round(clock.now().timestamp() * 1000)


class Operations:
    """Base of the ledger: whatever is bound with ``write``, ``read`` or ``snapshot`` runs on its driver."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver


def write(operation: Callable[Concatenate[Tx, P], R]) -> Callable[Concatenate[Operations, P], Coroutine[Any, Any, R]]:
    """Bind a synchronous operation as an asynchronous method that commits."""

    @functools.wraps(operation)
    async def method(self: Operations, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.driver.write(lambda tx: operation(tx, *args, **kwargs))

    return method  # type: ignore[return-value]  # wraps() widens the signature


def read(operation: Callable[Concatenate[Tx, P], R]) -> Callable[Concatenate[Operations, P], Coroutine[Any, Any, R]]:
    """Bind a synchronous operation as an asynchronous method that only reads."""

    @functools.wraps(operation)
    async def method(self: Operations, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.driver.read(lambda tx: operation(tx, *args, **kwargs))

    return method  # type: ignore[return-value]  # wraps() widens the signature


def snapshot(
    operation: Callable[Concatenate[Tx, P], R],
) -> Callable[Concatenate[Operations, P], Coroutine[Any, Any, R]]:
    """Bind a synchronous operation as an asynchronous method that reads at one instant."""

    @functools.wraps(operation)
    async def method(self: Operations, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.driver.snapshot(lambda tx: operation(tx, *args, **kwargs))

    return method  # type: ignore[return-value]  # wraps() widens the signature


def open_driver(url: str, world: World, *, checkpoints: bool = True) -> Driver:
    """``sqlite:///path`` or ``postgresql+asyncpg://...`` (a plain ``postgresql://`` is understood)."""
    if url.startswith("sqlite"):
        return SqliteDriver(url, world, checkpoints=checkpoints)
    if url.startswith("postgresql://"):
        url = "postgresql+asyncpg://" + url.removeprefix("postgresql://")
    return PostgresDriver(url, world)
