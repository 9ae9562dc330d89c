"""One story on each ledger, in a migrated database in which three people are known."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway.edge.atrest import AtRest
from gateway.edge.clock import ManualClock
from gateway.edge.ids import TimeIds
from gateway.edge.ledger import SqlLedger, World, migrate, open_driver
from gateway.edge.ledger.schema import metadata
from tests.ledger.kit import BOTH, CHECKER, MAKER, START, Story, Trap
from tests.servers import Postgres, in_a_thread, plain_url

MASTER = bytes(range(32))
ROLES = {MAKER: {"maker"}, CHECKER: {"checker"}, BOTH: {"maker", "checker"}}


def open_story(url: str) -> Story:
    """A story on the ledger at ``url``."""
    clock, trap = ManualClock(START), Trap()
    ledger = SqlLedger(open_driver(url, World(clock, TimeIds(clock), AtRest(MASTER), trap)))
    return Story(ledger, clock, trap, url)


async def _people(url: str) -> None:
    story = open_story(url)
    for actor, roles in ROLES.items():
        await story.ledger.add_actor("root", actor, actor, frozenset(roles), f"secret of {actor}")
    await story.change("DELETE FROM act")  # every story's chain begins with it
    await story.ledger.driver.close()


async def _prepare(url: str) -> None:
    await asyncio.to_thread(migrate.upgrade, url)
    await _people(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated ledger with people."""
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    in_a_thread(_prepare(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def pg_migrated(postgres: Postgres) -> Iterator[str]:
    """The URL of such a database; emptied between tests, because making and dropping one takes half a second."""
    with postgres.database() as url:
        in_a_thread(_prepare(url))
        yield url


@pytest.fixture
def sqlite_ledger_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A SQLite ledger of the test's own."""
    shutil.copy(sqlite_template, tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def pg_ledger_url(pg_migrated: str) -> str:
    """A PostgreSQL ledger that holds nothing but the people."""
    in_a_thread(_empty(pg_migrated))
    return pg_migrated


async def _empty(url: str) -> None:
    tables = ", ".join(f'"{table}"' for table in metadata.tables if table != "actor")
    connection = await asyncpg.connect(plain_url(url))
    try:
        await connection.execute(f"TRUNCATE {tables} RESTART IDENTITY; UPDATE actor SET active = true WHERE NOT active")
    finally:
        await connection.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """Each kind of ledger in turn."""
    name = "sqlite_ledger_url" if request.param == "sqlite" else "pg_ledger_url"
    return str(request.getfixturevalue(name))


@pytest.fixture
async def story(ledger_url: str) -> AsyncIterator[Story]:
    """A story whose every fen is accounted for at its end."""
    opened = open_story(ledger_url)
    yield opened
    faults = await opened.ledger.faults()
    await opened.ledger.driver.close()
    assert bool(faults) is not opened.conserved, faults


@pytest.fixture
async def pg_story(pg_ledger_url: str) -> AsyncIterator[Story]:
    """A story that only PostgreSQL can tell."""
    opened = open_story(pg_ledger_url)
    yield opened
    faults = await opened.ledger.faults()
    await opened.ledger.driver.close()
    assert bool(faults) is not opened.conserved, faults


@pytest.fixture
async def sqlite_story(sqlite_ledger_url: str) -> AsyncIterator[Story]:
    """A story on the quicker ledger, for long tables of cases that do not touch the database's own ways."""
    opened = open_story(sqlite_ledger_url)
    yield opened
    faults = await opened.ledger.faults()
    await opened.ledger.driver.close()
    assert bool(faults) is not opened.conserved, faults
