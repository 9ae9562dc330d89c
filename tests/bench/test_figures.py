"""What `--json` writes has the fields that were agreed, and the arithmetic behind them is right."""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec
import pytest

from bench.figures import Row, exponent, figures
from bench.floor import STEPS, Floor
from bench.month import Played
from bench.payer import Outcomes, WrongOutcome
from gateway.cli.toml_text import toml
from gateway.core.contracts import PaymentResult
from gateway.sandbox.month import Month, generate

ROW_FIELDS = {
    *("payments", "ledger", "bus", "e2e_seconds", "gateway_cpu_seconds", "banks_cpu_seconds"),
    *("floor_seconds", "ratio", "peak_rss_mib"),
}


def _played(payments: int, ledger: str, e2e: float, cpu: float, peak: float = 200.0) -> Played:
    return Played(
        payments=payments,
        ledger=ledger,
        e2e_seconds=e2e,
        gateway_cpu_seconds=cpu,
        banks_cpu_seconds=1.0,
        payer_cpu_seconds=1.0,
        servers_cpu_seconds={},
        peak_rss_mib=peak,
        idle_rss_mib=90.0,
        banks_rss_mib=80.0,
        documents=4,
        phases={},
        outcomes={},
        last_words={},
    )


def _floor(payments: int, ledger: str, total: float) -> Floor:
    return Floor(ledger=ledger, payments=payments, paid=payments, steps=dict.fromkeys(STEPS, total / 9), total=total)


def test_json_has_its_fields() -> None:
    """Rows with exactly the agreed fields, one for each ledger and size, and an exponent."""
    runs = [_played(1_000, "postgresql", 2.0, 1.0), _played(10_000, "postgresql", 20.0, 10.0)]
    runs += [_played(1_000, "sqlite", 3.0, 1.0)]
    floors = [_floor(1_000, "postgresql", 1.0), _floor(10_000, "postgresql", 8.0), _floor(1_000, "sqlite", 2.0)]
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(figures(runs, floors, [], [], {"cores": 2})))
    assert [set(row) for row in document["rows"]] == [ROW_FIELDS] * 3
    assert [(row["ledger"], row["payments"], row["ratio"]) for row in document["rows"]] == [
        ("postgresql", 1_000, 2.0),
        ("postgresql", 10_000, 2.5),
        ("sqlite", 1_000, 1.5),
    ]
    assert {row["bus"] for row in document["rows"]} == {"rabbitmq"}
    assert document["exponent"] == 1.0
    assert document["exponents"] == {"postgresql": 1.0, "sqlite": None}


def test_medians_of_repeats_and_the_highest_peak() -> None:
    """One slow run does not move the seconds; one fat run does move the memory."""
    runs = [_played(1_000, "sqlite", e2e, e2e, peak) for e2e, peak in ((2.0, 100.0), (9.0, 300.0), (3.0, 120.0))]
    (row,) = figures(runs, [_floor(1_000, "sqlite", total) for total in (1.0, 5.0, 1.5)], [], [], {}).rows
    assert (row.e2e_seconds, row.gateway_cpu_seconds, row.floor_seconds, row.ratio) == (3.0, 3.0, 1.5, 2.0)
    assert row.peak_rss_mib == 300.0


@pytest.mark.parametrize(("power", "sizes"), [(1.0, (1, 10)), (1.05, (1, 10, 100)), (2.0, (3, 7))])
def test_exponent_is_the_growth(power: float, sizes: tuple[int, ...]) -> None:
    """CPU seconds that grow with a power of the size give that power."""
    rows = [
        Row(
            payments=size * 1_000,
            ledger="sqlite",
            bus="rabbitmq",
            e2e_seconds=1.0,
            gateway_cpu_seconds=0.5 * size**power,
            banks_cpu_seconds=1.0,
            floor_seconds=1.0,
            ratio=1.0,
            peak_rss_mib=1.0,
        )
        for size in sizes
    ]
    assert exponent(rows) == pytest.approx(power, abs=0.001)
    assert exponent(rows[:1]) is None


def _result(month: Month, ordinal: int, outcome: str = "paid", amount: int | None = None) -> PaymentResult:
    order = month.chunk(1).instructions[ordinal]
    return PaymentResult(
        instruction_id=order.id,
        run_id=month.run_id,
        attempt=1,
        sequence=1,
        outcome=outcome,
        amount=order.amount if amount is None else amount,
        bank=order.bank,
        verdict="",
    )


def test_payer_believes_only_what_the_month_says() -> None:
    """All outcomes as the month has them pass, told twice too; a wrong failure, a missing fen and a change of mind do not."""
    month = generate(20)
    right = [
        _result(month, ordinal, "failed" if month.instruction_id(ordinal) in month.failures else "paid")
        for ordinal in range(20)
    ]
    good = Outcomes(month)
    good.take(right[:15])
    with pytest.raises(WrongOutcome, match="5 payments have no final outcome"):
        good.check()
    good.take(right)
    good.check()
    assert good.left == 0

    all_paid = Outcomes(month)
    all_paid.take([_result(month, ordinal) for ordinal in range(20)])
    with pytest.raises(WrongOutcome, match="0 failed, 3 should"):
        all_paid.check()

    short = Outcomes(month)
    short.take([_result(month, 0, right[0].outcome, 1), *right[1:]])
    with pytest.raises(WrongOutcome, match="fen are told"):
        short.check()

    with pytest.raises(WrongOutcome, match="was paid, now failed"):
        all_paid.take([_result(month, 0, "failed")])


def test_configuration_survives_being_written() -> None:
    """What is written as TOML is read back as it was, whatever the names hold; None is left out."""
    document: dict[str, Any] = {
        "gateway": {"bureau": '社保局 "一"\\', "production": False, "pages": 5},
        "keys": {"a.b": {"file": "x"}, "c-d": {"file": "y"}},
        "bank": [{"code": "A", "pins": ["p", "q"], "window": {"opens": "00:00"}, "limits": None}, {"code": "B"}],
    }
    found = tomllib.loads(toml(document))
    del document["bank"][0]["limits"]
    assert found == document
