"""The demo as a stranger runs it: its figures, its file, its manners when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.sandbox.month import month_minor
from tests.cli.conftest import Ran, run_in

PAYMENTS = 400


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """One small month, played and kept, with its figures in a file."""
    folder = tmp_path_factory.mktemp("demo")
    return run_in(folder, "demo", "--payments", str(PAYMENTS), "--json", "out.json", "--keep", "month"), folder


def test_its_figures_are_those_of_the_month(played: tuple[Ran, Path]) -> None:
    """One of each reason fails, the rest is paid, the mended are paid at the second try, to the fen."""
    done, folder = played
    assert done.code == 0, done.err
    figures = json.loads((folder / "out.json").read_bytes())
    assert (figures["payments"], figures["amount_fen"]) == (PAYMENTS, month_minor(PAYMENTS))
    first, second = figures["first"], figures["second"]
    assert first["by_verdict"] == {"CARD_LOST": 1, "CARD_REPLACING": 1, "NAME_MISMATCH": 1}
    assert (first["paid"], first["failed"]) == (PAYMENTS - 3, 3)
    assert second["attempted"] == second["paid"] + second["failed"] > 0
    assert (figures["conserved"], figures["audit_ok"], figures["faults"]) == (True, True, [])
    assert sum(bank["payments"] for bank in figures["banks"]) == PAYMENTS
    assert {bank["wire"] for bank in figures["banks"]} == {"folder", "sftp"}
    assert min(figures["peak_rss_mib"].values()) > 0
    assert figures["payments_per_second"] > 0


def test_people_read_the_same_on_the_screen(played: tuple[Ran, Path]) -> None:
    """The report goes to standard output and how far it is to standard error, with --json too."""
    done, _ = played
    assert f"{PAYMENTS - 3} paid, 3 failed" in done.out
    assert "every fen accounted for" in done.out
    assert "proposes" in done.err
    assert "approves" in done.err
    assert "{" not in done.out


def test_a_kept_month_can_be_looked_at(played: tuple[Ran, Path]) -> None:
    """The folder holds a configuration with which every command works."""
    _, folder = played
    figures = json.loads((folder / "out.json").read_bytes())
    checked = run_in(folder, "check", "--config", "month/sheyin.toml")
    assert checked.code == 0, checked.out + checked.err
    shown = run_in(folder, "show", figures["example"], "--config", "month/sheyin.toml", "--json")
    assert shown.code == 0
    assert figures["example"] in shown.out


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (("--payments", "2"), "SCHEMA"),
        (("--payments", "5", "--json", "nowhere/out.json"), "error: PATH at nowhere/out.json"),
        (("--payments", "5", "--json", "."), "error: PATH at ."),
        (("--payments", "5", "--json", "out.json", "--keep", "taken"), "error: PATH at taken"),
    ],
)
def test_an_error_is_told_in_words(tmp_path: Path, tokens: tuple[str, ...], says: str) -> None:
    """Exit code 2 and a sentence on standard error; --json names a file, so nothing is printed for programs."""
    (tmp_path / "taken").write_text("a file")
    done = run_in(tmp_path, "demo", *tokens)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert "Traceback" not in done.err


def test_no_old_figures_stand_after_an_error(tmp_path: Path) -> None:
    """The file is emptied before the month is played: what a program finds after an error is no month."""
    (tmp_path / "out.json").write_text('{"conserved": true}')
    (tmp_path / "month" / "sheyin.toml").mkdir(parents=True)  # no configuration can be written there
    done = run_in(tmp_path, "demo", "--payments", "5", "--json", "out.json", "--keep", "month")
    assert done.code != 0
    assert (tmp_path / "out.json").read_bytes() == b""
