"""Bring a ledger to the newest schema, or say how far it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.core.errors import Refused
from gateway.edge.ledger.schema import metadata


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config


def upgrade(url: str) -> None:
    """Run every migration that the ledger at ``url`` lacks. A new SQLite file is made."""
    _on(url, lambda connection: command.upgrade(_config(connection), "head"))


def revise(url: str, message: str) -> None:
    """Write a new migration file for what ``schema`` has and the ledger at ``url`` lacks (developers only)."""
    _on(url, lambda connection: command.revision(_config(connection), message, autogenerate=True))


def differences(url: str) -> list[str]:
    """What the migrated ledger and ``schema.metadata`` disagree about."""
    found: list[str] = []

    def compare(connection: sa.Connection) -> None:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found.extend(str(difference) for difference in compare_metadata(context, metadata))

    _on(url, compare)
    return found


def revision(url: str) -> str:
    """The migration that the ledger at ``url`` is at; empty for none."""
    found: list[str] = []
    _on(url, lambda connection: found.append(MigrationContext.configure(connection).get_current_revision() or ""))
    return found[0]


def check(url: str) -> None:
    """Raises Refused unless the ledger is at the newest migration."""

    def look(connection: sa.Connection) -> None:
        newest = ScriptDirectory.from_config(_config(connection)).get_current_head()
        now = MigrationContext.configure(connection).get_current_revision()
        if now != newest:
            raise Refused(
                f"the ledger's schema is at {now or 'nothing'}, this program needs {newest}: run `sheyin db upgrade`"
            )

    _on(url, look)


def _on(url: str, work: Callable[[sa.Connection], object]) -> None:
    if url.startswith("sqlite"):
        _begin_private(url)
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            work(connection)
        engine.dispose()
        return
    asyncio.run(_on_async(url, work))


def _begin_private(url: str) -> None:
    """A new ledger's file is its owner's alone, and what SQLite lays beside it follows: names stand in it in the clear."""
    name = sa.make_url(url).database
    if name and not Path(name).exists():
        with contextlib.suppress(OSError):  # SQLite itself says why it cannot be made
            Path(name).touch(0o600)


async def _on_async(url: str, work: Callable[[sa.Connection], object]) -> None:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(work)
    finally:
        await engine.dispose()
