"""The codec table: payments a second to encode, seal, verify and decode, format by format, beside others' libraries and programs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from statistics import median

import msgspec
from rich.table import Table

from bench import peers
from bench.serving import ROOT
from gateway.core.adapter import Adapter
from gateway.core.bank import Detached, Enveloped

STEPS = ("encode", "validate", "seal", "verify", "outside", "decode")
SEALED = ("seal", "verify", "outside")
SIZES = (10_000, 100_000)
TASK_S_MAX = 600


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one subject: a format's code, or another's library."""

    subject: str
    step: str  # one of STEPS; of a peer always ``validate``: encode and hold to the schema
    payments: int
    seconds: float  # median of the repeats
    peak_mib: float  # highest
    bytes: int

    @property
    def per_second(self) -> int:
        """Payments a second."""
        return round(self.payments / self.seconds)


def subjects() -> Iterator[tuple[str, str]]:
    """(step, subject) of everything that is measured."""
    from adapters import discover

    for code, adapter in discover().items():
        if adapter.pays:
            yield from ((step, code) for step in STEPS if _has(adapter, step))
    yield from (("validate", peer) for peer in peers.PEERS)


def _has(adapter: Adapter, step: str) -> bool:
    if step == "validate":
        return adapter.code == "iso20022"
    return step not in SEALED or isinstance(adapter.seal, Enveloped | Detached)


def measure(repeat: int, report: Callable[[str], None]) -> list[Measured]:
    """Everything at every size, ``repeat`` times in turn, each in a process of its own."""
    found: dict[tuple[str, str, int], list[Measured]] = {}
    for _ in range(repeat):
        for count in SIZES:
            for step, subject in subjects():
                if subject in peers.PEERS and count != SIZES[0]:
                    continue  # ten times as many takes some of them minutes
                report(f"{subject}: {step}, {count:,} payments")
                found.setdefault((step, subject, count), []).append(_one(step, subject, count))
    return [_median(each) for each in found.values()]


def _one(step: str, subject: str, count: int) -> Measured:
    with tempfile.TemporaryDirectory(prefix="sheyin-codecs-") as folder:
        command = [sys.executable, "-m", "bench.codec_task", step, subject, str(count), folder]
        said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=TASK_S_MAX)
    return msgspec.json.decode(said.stdout, type=Measured)


def _median(found: list[Measured]) -> Measured:
    return msgspec.structs.replace(
        found[0],
        seconds=round(median(each.seconds for each in found), 4),
        peak_mib=max(each.peak_mib for each in found),
    )


def table(found: list[Measured]) -> Table:
    """The figures for people: payments a second, and the peak of memory, of the smaller and the larger size."""
    shown = Table(
        title="Codecs: payments a second (peak MiB), " + " and ".join(f"{size:,}" for size in SIZES) + " payments"
    )
    for name in ("subject", "step", *(f"{size:,}" for size in SIZES)):
        shown.add_column(name, justify="left" if name in ("subject", "step") else "right")
    by_key = {(each.subject, each.step, each.payments): each for each in found}
    for step, subject in dict.fromkeys((each.step, each.subject) for each in found):
        cells = [by_key.get((subject, step, size)) for size in SIZES]
        shown.add_row(subject, step, *(f"{cell.per_second:,} ({cell.peak_mib:.0f})" if cell else "" for cell in cells))
    return shown
