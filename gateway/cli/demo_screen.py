"""What the demo shows: a bar for each step while it plays, and the month's report at its end."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gateway.cli.output import Output
from gateway.core.money import spoken
from gateway.core.verdicts import MEANINGS, Verdict

_PLAIN_EVERY_S = 5.0


class Steps:
    """A bar for each step on a terminal; elsewhere a line when a step ends, and now and then while it lasts."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=Console(stderr=True))
        self._tasks: dict[str, TaskID] = {}
        self._ended: set[str] = set()
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bars.stop()

    def say(self, what: str, done: int, whole: int) -> None:
        """``done`` of ``whole`` of the step called ``what``."""
        if self._live:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=whole)
            self._bars.update(self._tasks[what], completed=done, total=whole)
            return
        ended = done >= whole
        if (ended and what not in self._ended) or (not ended and time.monotonic() - self._told > _PLAIN_EVERY_S):
            self._told = time.monotonic()
            print(f"{what}: {done:,} of {whole:,}", file=sys.stderr, flush=True)
            if ended:
                self._ended.add(what)

    def note(self, text: str) -> None:
        """A sentence between the steps: who did what."""
        if self._live:
            self._bars.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)


def tell(figures: dict[str, Any], kept: Path | None) -> None:
    """The month on one screen."""
    output = Output()
    first, second = figures["first"], figures["second"]
    output.say()
    output.say(f"June 2015 (synthetic): {figures['payments']:,} payments, {spoken(figures['amount_fen'])}")
    output.table(
        "Banks 银行",
        [
            "Bank",
            "",
            "Format",
            "Wire",
            ("Documents", "right"),
            ("Payments", "right"),
            ("Paid", "right"),
            ("Waiting", "right"),
        ],
        [_bank(bank, figures["conservation"].get(bank["code"], {})) for bank in figures["banks"]],
    )
    for note in figures.get("notes", ()):
        output.say(note)
    output.table(
        "Failed at first 首次失败",
        ["Reason", "", ("Payments", "right")],
        [
            (MEANINGS[Verdict(name)].zh, MEANINGS[Verdict(name)].en, f"{count:,}")
            for name, count in sorted(first["by_verdict"].items())
        ],
    )
    output.table(
        "Districts 区 (first payment)",
        ["District", ("Paid", "right"), ("Failed", "right"), ("Amount paid", "right")],
        [
            (name, f"{row['paid']:,}", f"{row['failed']:,}", spoken(row["minor"]))
            for name, row in sorted(figures["by_district"].items())
        ],
    )
    rate = 100 * first["paid"] / figures["payments"]
    output.say(f"First payment    {first['paid']:,} paid, {first['failed']:,} failed: {rate:.2f} % at the first try")
    output.say(
        f"Second payment   {second['attempted']:,} tried, {second['paid']:,} paid, {second['failed']:,} failed again"
    )
    output.say(f"Conservation     {_line(figures['conservation'])}")
    output.say(
        f"                 {'every fen accounted for' if figures['conserved'] else 'DOES NOT ADD UP: ' + str(figures['faults'])}"
    )
    output.say(f"Audit chain      {'verified' if figures['audit_ok'] else 'BROKEN'}")
    peak = figures["peak_rss_mib"]
    output.say(
        f"Time             {figures['seconds']:.1f} s, {figures['payments_per_second']:,} payments/s; "
        f"peak memory: gateway {peak['gateway']:.0f} MiB, banks {peak['banks']:.0f} MiB"
    )
    if kept is not None:
        output.say(f"Kept in          {kept}; look around with")
        output.say(f"                 sheyin report {figures['run_id']} --config {kept}/sheyin.toml")
        output.say(f"                 sheyin show {figures['example']} --config {kept}/sheyin.toml")


def _bank(bank: dict[str, Any], parts: dict[str, Any]) -> tuple[str, ...]:
    paid = parts.get("paid", (0, 0))[0]
    waiting = sum(parts.get(part, (0, 0))[0] for part in ("failed", "returned", "held", "unknown"))
    return (
        bank["code"], bank["name"], bank["format"], bank["wire"], f"{bank['documents']:,}", f"{bank['payments']:,}", f"{paid:,}",
        f"{waiting:,}",
    )  # fmt: skip


def _line(conservation: dict[str, dict[str, Any]]) -> str:
    """ordered = paid + failed + ..., in payments and yuan."""
    parts: dict[str, list[int]] = {}
    for by_part in conservation.values():
        for part, (count, minor) in by_part.items():
            summed = parts.setdefault(part, [0, 0])
            summed[0] += count
            summed[1] += minor
    ordered = parts.pop("ordered", [0, 0])
    for moved in ("moved_in", "moved_out"):
        parts.pop(moved, None)
    right = " + ".join(f"{part} {count:,} ({spoken(minor)})" for part, (count, minor) in sorted(parts.items()) if count)
    return f"ordered {ordered[0]:,} ({spoken(ordered[1])}) = {right}"
