"""The floor does all of the bare work, on both databases, and says what each step took."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.floor import STEPS, Floor, floor, prepare
from bench.floor_files import FAILS_ONE_IN, results_of
from gateway.sandbox.month import generate
from gateway.sandbox.month_files import write_chunks

pytestmark = pytest.mark.servers

PAYMENTS = 2_000


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small month's messages."""
    path = tmp_path_factory.mktemp("month") / "month.bin"
    write_chunks(generate(PAYMENTS), path)
    return path


async def _measured(messages: Path, folder: Path, amqp_url: str, ledger_url: str) -> Floor:
    measured = await floor(prepare(messages, folder), amqp_url, ledger_url)
    assert set(measured.steps) == set(STEPS)
    assert all(seconds > 0 for seconds in measured.steps.values())
    assert measured.total == pytest.approx(sum(measured.steps.values()))
    assert measured.payments == PAYMENTS
    assert measured.paid == PAYMENTS - PAYMENTS // FAILS_ONE_IN
    return measured


async def test_floor_on_postgresql(messages: Path, tmp_path: Path, amqp_url: str, pg_url: str) -> None:
    """Every payment gets its outcome on PostgreSQL, and each step has its seconds."""
    assert (await _measured(messages, tmp_path, amqp_url, pg_url)).ledger == "postgresql"


async def test_floor_on_sqlite(messages: Path, tmp_path: Path, amqp_url: str) -> None:
    """Every payment gets its outcome on SQLite, and each step has its seconds."""
    measured = await _measured(messages, tmp_path, amqp_url, f"sqlite:///{tmp_path}/floor.db")
    assert measured.ledger == "sqlite"


def test_files_hold_every_payment(messages: Path, tmp_path: Path) -> None:
    """The result files made beforehand tell every payment once, to the fen."""
    inputs = prepare(messages, tmp_path)
    told = [row for path in inputs.results.values() for row in results_of(path)]
    assert sorted(row.key for row in told) == list(range(1, PAYMENTS + 1))
    assert sum(row.amount for row in told) == inputs.header.total
    assert {row.status for row in told} == {"ACCC", "RJCT"}
    assert {row.code for row in told if row.status == "RJCT"} == {"AC06"}
