"""The migrations make exactly the schema that the code declares, once, on both databases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.core.errors import Refused
from gateway.edge.ledger import migrate
from gateway.edge.ledger.schema import metadata
from tests.servers import Postgres, in_a_thread


async def _on(url: str, work: Any) -> Any:
    if url.startswith("sqlite"):
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            found = work(connection)
        engine.dispose()
        return found
    asynchronous = create_async_engine(url)
    async with asynchronous.begin() as open_:
        found = await open_.run_sync(work)
    await asynchronous.dispose()
    return found


def on(url: str, work: Any) -> Any:
    """What ``work`` finds over one connection."""
    return in_a_thread(_on(url, work))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def two_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Two empty databases of a kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'one.db'}", f"sqlite:///{tmp_path / 'two.db'}"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    with postgres.database() as one, postgres.database() as two:
        yield one, two


def described(connection: sa.Connection) -> dict[str, Any]:
    """Everything that a database says of its tables: columns, keys, checks, indexes with their conditions."""
    inspector = sa.inspect(connection)
    found: dict[str, Any] = {}
    for table in inspector.get_table_names():
        if table == "alembic_version":
            continue
        found[table] = {
            "columns": {c["name"]: (str(c["type"]), c["nullable"], str(c["default"])) for c in inspector.get_columns(table)},
            "key": sorted(inspector.get_pk_constraint(table)["constrained_columns"]),
            "foreign": sorted(str((f["constrained_columns"], f["referred_table"])) for f in inspector.get_foreign_keys(table)),
            "unique": sorted(str((u["name"], u["column_names"])) for u in inspector.get_unique_constraints(table)),
            "checks": sorted(f"{c['name']}: {c['sqltext']}" for c in inspector.get_check_constraints(table)),
            "indexes": sorted(
                str((i["name"], i["column_names"], i["unique"], [f"{k}: {v}" for k, v in sorted(i.get("dialect_options", {}).items())]))
                for i in inspector.get_indexes(table)
            ),
        }  # fmt: skip
    return found


def test_the_migrations_make_the_schema(two_urls: tuple[str, str]) -> None:
    """Tables, columns, defaults, keys, checks, partial indexes: what was migrated is what is declared."""
    migrated, declared = two_urls
    migrate.upgrade(migrated)
    on(declared, metadata.create_all)
    assert migrate.differences(migrated) == []
    assert on(migrated, described) == on(declared, described)


def test_what_the_promises_stand_on_is_in_the_database(two_urls: tuple[str, str]) -> None:
    """The constraints that P2, P3, P4 and P12 lean on are there by name after the migrations."""
    url, _ = two_urls
    migrate.upgrade(url)
    found = on(url, described)
    names = {name.partition(":")[0] for table in found.values() for name in table["checks"]}
    assert {
        "ck_proposal_maker_is_not_checker",
        "ck_correction_verifier_is_not_approver",
        "ck_correction_name_or_account",
        "ck_instruction_amount",
        "ck_proposal_decision",
        "ck_actor_kind",
        "ck_lane_state",
        "ck_control_view",
    } <= names
    indexes = " ".join(index for table in found.values() for index in table["indexes"])
    for name in ("uq_attempt_live", "uq_instruction_id", "uq_run_id", "uq_inbound_applied", "uq_proposal_open"):
        assert name in indexes


def test_upgrading_twice_changes_nothing(two_urls: tuple[str, str]) -> None:
    """An upgrade of a ledger that is new enough does nothing, and the check says that it is."""
    url, _ = two_urls
    with pytest.raises(Refused, match="sheyin db upgrade"):
        migrate.check(url)
    migrate.upgrade(url)
    before = on(url, described)
    migrate.upgrade(url)
    migrate.check(url)
    assert on(url, described) == before


def test_a_new_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    """Nobody else on the machine reads the people's names out of it, whatever the umask; what stands already keeps its mode."""
    path = tmp_path / "ledger.db"
    before = os.umask(0)
    try:
        migrate.upgrade(f"sqlite:///{path}")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    migrate.upgrade(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_changed_ledger_is_told(two_urls: tuple[str, str]) -> None:
    """A column too many or an index too few is a difference."""
    url, _ = two_urls
    migrate.upgrade(url)
    on(url, lambda c: c.execute(sa.text("ALTER TABLE outbox ADD COLUMN extra TEXT")))
    on(url, lambda c: c.execute(sa.text("DROP INDEX uq_attempt_live")))
    assert len(migrate.differences(url)) == 2


def _source() -> str:
    folder = Path(migrate.__file__).parent
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.py")))


def test_every_table_and_column_is_used() -> None:
    """Nothing is declared that no operation names."""
    source = _source()
    for table in metadata.tables.values():
        assert table.name in source, table.name
        for column in table.columns:
            assert column.name in source, f"{table.name}.{column.name}"


def test_names_say_their_kind() -> None:
    """Instants end in _ms, flags are Boolean, money is an integer called amount or minor, and nothing is a float."""
    for table in metadata.tables.values():
        for column in table.columns:
            kind = column.type.__class__.__name__
            assert kind in ("Text", "BigInteger", "Integer", "Boolean", "LargeBinary"), column
            if column.name.endswith("_ms") or column.name in ("amount", "minor") or column.name.endswith("_minor"):
                assert kind == "BigInteger", column
