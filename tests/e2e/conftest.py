"""Keys made once, ledgers migrated once: each test gets copies."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.edge.crypto import pki
from gateway.edge.ledger import migrate
from gateway.sandbox.month import BANKS
from tests.servers import Postgres, database_name, in_a_thread

SINCE = dt.datetime(2015, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="session")
def town_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The throwaway keys of the bureau and of every bank."""
    folder = tmp_path_factory.mktemp("town") / "keys"
    pki.make(folder, [bank.code for bank in BANKS], SINCE, years=30)
    return folder


@pytest.fixture
def town_folder(town_keys: Path, tmp_path: Path) -> Path:
    """An empty town that has its keys."""
    shutil.copytree(town_keys, tmp_path / "keys")
    return tmp_path


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> Iterator[str]:
    """The name of a migrated database without a connection to it."""
    with postgres.database() as url:
        in_a_thread(asyncio.to_thread(migrate.upgrade, url))
        yield database_name(url)


@pytest.fixture
def pg_ledger(postgres: Postgres, migrated: str) -> Iterator[str]:
    """The URL of an empty ledger on PostgreSQL."""
    with postgres.database(migrated) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger on SQLite."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    in_a_thread(asyncio.to_thread(migrate.upgrade, f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_ledger(sqlite_migrated: Path, tmp_path: Path) -> str:
    """The URL of one of the test's own."""
    return f"sqlite:///{shutil.copy(sqlite_migrated, tmp_path / 'ledger.db')}"
