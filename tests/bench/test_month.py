"""The benchmark's month runs through the real command on real servers, small, so that it does not rot unseen."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.month import Played, play, this_month
from gateway.sandbox.month_files import write_chunks

pytestmark = pytest.mark.servers

PAYMENTS = 300


def _play(folder: Path, amqp_url: str, ledger_url: str, report: Callable[[str, int], None]) -> Played:
    month = this_month(PAYMENTS)
    messages = folder / "month.bin"
    write_chunks(month, messages)
    servers = {"own": os.getpid()}
    place = folder / "run"
    place.mkdir()
    return play(month, messages, place, amqp_url=amqp_url, ledger_url=ledger_url, servers=servers, report=report)


@pytest.mark.parametrize("ledger", ["postgresql", "sqlite"])
def test_month_end_to_end(ledger: str, tmp_path: Path, amqp_url: str, pg_url: str) -> None:
    """Everything is paid but the three that fail, in the order of the phases, and each figure is there."""
    told: set[str] = set()
    url = pg_url if ledger == "postgresql" else f"sqlite:///{tmp_path}/ledger.db"
    played = _play(tmp_path, amqp_url, url, lambda what, _: told.add(what))
    assert (played.payments, played.ledger) == (PAYMENTS, ledger)
    assert played.outcomes == {"paid": PAYMENTS - 3, "failed": 3}
    assert played.documents == 4
    phases = [name for name in played.phases if name in ("start", "run.accepted", "run.released", "payment.results")]
    assert phases == ["start", "run.accepted", "run.released", "payment.results"]
    assert played.phases["last result"] == played.e2e_seconds <= played.phases["run.closed"]
    assert 0 < played.idle_rss_mib <= played.peak_rss_mib
    assert min(played.gateway_cpu_seconds, played.banks_cpu_seconds, played.banks_rss_mib) > 0
    assert "cpu_seconds" in played.last_words
    assert {"setting up", "starting the gateway"} <= told
