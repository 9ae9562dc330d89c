"""From single runs to the figures that are told: medians, the ratio to the floor, the growth of CPU seconds with size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from bench.codecs import Measured
from bench.floor import STEPS, Floor
from bench.month import Played
from bench.seals import Sealed

BUS = "rabbitmq"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One size on one ledger. Medians of the repeats, except for the peak of memory, which is the highest."""

    payments: int
    ledger: str
    bus: str
    e2e_seconds: float
    gateway_cpu_seconds: float
    banks_cpu_seconds: float
    floor_seconds: float
    ratio: float
    peak_rss_mib: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` writes. ``exponent`` is the first ledger's; null where there was one size only."""

    rows: list[Row]
    exponent: float | None
    exponents: dict[str, float | None]
    floor_steps: dict[str, dict[str, float]]  # "<ledger> <payments>" → step → seconds
    machine: dict[str, str | int | float]
    runs: list[Played]
    codecs: list[Measured]
    seals: list[Sealed]


def figures(
    runs: Sequence[Played],
    floors: Sequence[Floor],
    codecs: Sequence[Measured],
    seals: Sequence[Sealed],
    machine: dict[str, str | int | float],
) -> Figures:
    """Put it all together; runs and floors in the order in which they were measured."""
    keys = list(dict.fromkeys((run.ledger, run.payments) for run in runs))
    rows = [_row(*key, [r for r in runs if (r.ledger, r.payments) == key], _floors(floors, *key)) for key in keys]
    ledgers = list(dict.fromkeys(ledger for ledger, _ in keys))
    exponents = {ledger: exponent(row for row in rows if row.ledger == ledger) for ledger in ledgers}
    return Figures(
        rows=rows,
        exponent=exponents[ledgers[0]] if ledgers else None,
        exponents=exponents,
        floor_steps={f"{ledger} {payments}": _steps(_floors(floors, ledger, payments)) for ledger, payments in keys},
        machine=machine,
        runs=list(runs),
        codecs=list(codecs),
        seals=list(seals),
    )


def exponent(rows: Iterable[Row]) -> float | None:
    """How the gateway's CPU seconds grow with the number of payments: the slope of a line through the logarithms."""
    points = [
        (math.log(row.payments), math.log(row.gateway_cpu_seconds)) for row in rows if row.gateway_cpu_seconds > 0
    ]
    if len({x for x, _ in points}) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return round(slope, 3)


def _row(ledger: str, payments: int, runs: Sequence[Played], floors: Sequence[Floor]) -> Row:
    e2e, floor = median(run.e2e_seconds for run in runs), median(each.total for each in floors)
    return Row(
        payments=payments,
        ledger=ledger,
        bus=BUS,
        e2e_seconds=round(e2e, 3),
        gateway_cpu_seconds=round(median(run.gateway_cpu_seconds for run in runs), 2),
        banks_cpu_seconds=round(median(run.banks_cpu_seconds for run in runs), 2),
        floor_seconds=round(floor, 3),
        ratio=round(e2e / floor, 2),
        peak_rss_mib=max(run.peak_rss_mib for run in runs),
    )


def _floors(floors: Sequence[Floor], ledger: str, payments: int) -> list[Floor]:
    return [each for each in floors if (each.ledger, each.payments) == (ledger, payments)]


def _steps(floors: Sequence[Floor]) -> dict[str, float]:
    return {step: round(median(each.steps[step] for each in floors), 3) for step in STEPS}
