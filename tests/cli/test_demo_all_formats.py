"""``sheyin demo --all-formats``: the month through every format that pays, as a stranger runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import adapters
from gateway.sandbox.books import summary
from gateway.sandbox.failures import counts
from gateway.sandbox.month import ALL_BANKS, ALL_PAYMENTS, ALL_PAYMENTS_MIN, month_minor
from tests.cli.conftest import Ran, run_in


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """Played and kept, with its figures in a file."""
    folder = tmp_path_factory.mktemp("demo")
    return run_in(folder, "demo", "--all-formats", "--json", "out.json", "--keep", "month"), folder


@pytest.fixture
def figures(played: tuple[Ran, Path]) -> dict[str, Any]:
    """What the file holds."""
    done, folder = played
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads((folder / "out.json").read_bytes())
    return found


def test_everything_is_paid_or_failed(figures: dict[str, Any]) -> None:
    """To the payment and the fen; the mended are paid the second time, and nothing waits for a person."""
    assert (figures["payments"], figures["amount_fen"]) == (ALL_PAYMENTS, month_minor(ALL_PAYMENTS))
    planned = counts(ALL_PAYMENTS)
    first, second = figures["first"], figures["second"]
    assert first["by_verdict"] == {str(verdict): count for verdict, count in planned.items()}
    assert first["paid"] == ALL_PAYMENTS - sum(planned.values())
    assert second == {"attempted": 10, "paid": 10, "failed": 0}
    assert (figures["conserved"], figures["audit_ok"], figures["faults"]) == (True, True, [])


def test_every_format_and_wire_has_paid(figures: dict[str, Any]) -> None:
    """By discovery; each bank's Documents left and were told of."""
    assert {bank["format"] for bank in figures["banks"]} == {
        code for code, adapter in adapters.discover().items() if adapter.pays
    }
    assert {bank["wire"] for bank in figures["banks"]} == {"folder", "sftp", "https", "http"}
    assert all(bank["documents"] and bank["payments"] for bank in figures["banks"])
    assert sum(bank["payments"] for bank in figures["banks"]) == ALL_PAYMENTS


def test_the_banks_books_say_the_same(played: tuple[Ran, Path], figures: dict[str, Any]) -> None:
    """Each bank's own: as many paid as the ledger has it, none twice; the one over HTTPS asked for our certificate."""
    _, folder = played
    banks = folder / "month" / "banks"
    for bank in figures["banks"]:
        books = summary(banks / bank["code"] / "state")
        assert (books["paid"]["count"], books["doubles"]) == (figures["conservation"][bank["code"]]["paid"][0], 0)
    wires = {bank["code"]: bank["wire"] for bank in json.loads((banks / "banks.json").read_bytes())["banks"]}
    guarded = [code for code, wire in wires.items() if wire.get("certificate") and wire.get("clients")]
    assert guarded == [bank["code"] for bank in figures["banks"] if bank["wire"] == "https"]


def test_what_is_left_out_is_said(played: tuple[Ran, Path], figures: dict[str, Any]) -> None:
    """On the screen and in the file, bank by bank."""
    done, _ = played
    assert all(note in done.out for note in figures["notes"])
    for bank in ALL_BANKS:
        if not bank.tells:
            assert f"{bank.code}, {bank.adapter}: no failure is planned." in done.out


def test_the_kept_month_can_be_looked_at(played: tuple[Ran, Path]) -> None:
    """With the configuration that lies beside it: keys, pins, shared keys and the options of every format."""
    _, folder = played
    checked = run_in(folder, "check", "--config", "month/sheyin.toml")
    assert checked.code == 0, checked.out + checked.err
    listed = run_in(folder, "banks", "--config", "month/sheyin.toml", "--json")
    assert {bank["code"] for bank in listed.json["banks"]} == {bank.code for bank in ALL_BANKS}


def test_too_few_payments(tmp_path: Path) -> None:
    """Refused before anything is made."""
    done = run_in(tmp_path, "demo", "--all-formats", "--payments", str(ALL_PAYMENTS_MIN - 1), "--keep", "month")
    assert done.code == 2
    assert f"{ALL_PAYMENTS_MIN} payments or more" in done.err
    assert not (tmp_path / "month").exists()


def test_without_the_program_that_signs(tmp_path: Path) -> None:
    """Said at once; the month of four banks does not need it."""
    done = run_in(tmp_path, "demo", "--all-formats", "--keep", "month", PATH=str(tmp_path))
    assert done.code == 2
    assert "openssl" in done.err
    assert not (tmp_path / "month").exists()
