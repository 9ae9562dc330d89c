"""``make bench``: the reference month through real RabbitMQ and PostgreSQL, and SQLite, beside the bare work. docs/benchmarks.md."""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import codecs, seals
from bench.codecs import Measured
from bench.figures import Figures, figures
from bench.floor import Floor
from bench.month import Played, play, this_month
from bench.payer import WrongOutcome
from bench.serving import ROOT, Profile, ServeFailed
from gateway.core.errors import SheyinError
from gateway.sandbox.failures import MONTH_PAYMENTS
from gateway.sandbox.month import Month
from gateway.sandbox.month_files import write_chunks
from gateway.sandbox.runner import BanksFailed
from tests.servers import MissingServer, Postgres, Rabbit, SharedServers

LEDGERS = ("postgresql", "sqlite")
PARTS = ("month", "codecs", "seals")
SHARED_BUFFERS_MIB = 512
FLOOR_S_MAX = 1_200.0
TABLE_COLUMNS = 110


class Servers:
    """The private servers of this benchmark, fresh places on them, and their processes."""

    def __init__(self, shared: SharedServers) -> None:
        self._shared = shared
        self.rabbit: Rabbit = shared.rabbit()
        self.postgres: Postgres = shared.postgres(fsync=True, shared_buffers_mib=SHARED_BUFFERS_MIB)

    @property
    def processes(self) -> dict[str, int]:
        """Name → the process above each server's."""
        return {path.stem: int(path.read_text()) for path in self._shared.folder.glob("*.pid")}

    @contextmanager
    def fresh(self, ledger: str, folder: Path) -> Iterator[tuple[str, str]]:
        """(AMQP URL of a fresh vhost, URL of an empty database), both gone afterwards; what was written before is on disk."""
        with self.rabbit.vhost() as amqp_url, self.postgres.database() as postgres_url:
            self.postgres.execute("CHECKPOINT")
            os.sync()
            yield amqp_url, postgres_url if ledger == "postgresql" else f"sqlite:///{folder}/ledger.db"


class Bench:
    """Runs what was asked for, one after another, and keeps the figures."""

    def __init__(self, servers: Servers, folder: Path, progress: Progress, *, profile: Profile) -> None:
        self.runs: list[Played] = []
        self.floors: list[Floor] = []
        self._servers = servers
        self._folder = folder
        self._progress = progress
        self._profile = profile
        self._number = 0
        self._made: dict[int, tuple[Month, Path]] = {}

    def made(self, payments: int) -> tuple[Month, Path]:
        """The month and its messages, made once and not timed."""
        if payments not in self._made:
            month, path = this_month(payments), self._folder / f"month-{payments}.bin"
            write_chunks(month, path)
            self._made[payments] = month, path
        return self._made[payments]

    def month(self, payments: int, ledger: str) -> None:
        """The whole month once."""
        month, messages = self.made(payments)
        with (
            self._place(f"month-{ledger}-{payments}") as folder,
            self._task(ledger, payments) as task,
            self._servers.fresh(ledger, folder) as (amqp_url, ledger_url),
        ):

            def report(what: str, done: int) -> None:
                self._progress.update(task, description=f"{ledger}: {what}", completed=min(done, payments))

            played = play(
                month,
                messages,
                folder,
                amqp_url=amqp_url,
                ledger_url=ledger_url,
                servers=self._servers.processes,
                profile=self._profile,
                report=report,
            )
        self.runs.append(played)

    def floor(self, payments: int, ledger: str) -> None:
        """The bare work once, in a process of its own."""
        _, messages = self.made(payments)
        with (
            self._place(f"floor-{ledger}-{payments}") as folder,
            self._task(f"{ledger}: the floor", payments),
            self._servers.fresh(ledger, folder) as (amqp_url, ledger_url),
        ):
            command = [sys.executable, "-m", "bench.floor", "--messages", str(messages), "--folder", str(folder)]
            command += ["--amqp", amqp_url, "--ledger", ledger_url]
            said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=FLOOR_S_MAX)
        self.floors.append(msgspec.json.decode(said.stdout, type=Floor))

    @contextmanager
    def _place(self, name: str) -> Iterator[Path]:
        """A folder for one run; kept only with its profile in it."""
        self._number += 1
        folder = self._folder / f"{self._number:02}-{name}"
        folder.mkdir()
        yield folder
        if not self._profile:
            shutil.rmtree(folder)

    @contextmanager
    def _task(self, what: str, payments: int) -> Iterator[TaskID]:
        task = self._progress.add_task(what, total=payments)
        yield task
        self._progress.remove_task(task)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see the module. 0; 1 where the month did not come out as it must; 3 where a server's programs are missing."""
    given = _parsed(arguments)
    console = Console(stderr=True)
    folder = Path(tempfile.mkdtemp(prefix="sheyin-bench-"))
    keep = bool(given.profile)
    try:
        found = _measured(given, folder, console)
    except MissingServer as error:
        console.print(str(error))
        return 3
    except (ServeFailed, WrongOutcome, BanksFailed, SheyinError, TimeoutError) as error:
        keep = True
        console.print(f"{type(error).__name__}: {error}", markup=False, highlight=False)
        return 1
    finally:
        if keep:
            console.print(f"logs and profiles are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    wide = Console(width=max(Console().width, TABLE_COLUMNS))
    if found.rows:
        wide.print(table(found))
    if found.codecs:
        wide.print(codecs.table(found.codecs))
    for seal in found.seals:
        wide.print(
            f"a {seal.form} seal beside {seal.bytes / 1e6:.0f} MB: made in {seal.seal_s:.2f} s, verified in {seal.verify_s:.2f} s, "
            f"peak {seal.peak_mib:.0f} MiB"
        )
    return 0


def _measured(given: argparse.Namespace, folder: Path, console: Console) -> Figures:
    """Everything that was asked for: sizes and ledgers in turn, so that a slow minute is not one row's alone."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with SharedServers.own() as shared, Progress(*columns, console=console, transient=True) as progress:
        starting = progress.add_task("starting RabbitMQ and PostgreSQL", total=None)
        servers = Servers(shared)
        progress.remove_task(starting)
        bench = Bench(servers, folder, progress, profile=given.profile)
        measured = _codecs(given.repeat, progress) if "codecs" in given.what else []
        sealed = [seals.measure(form) for form in seals.FORMS] if "seals" in given.what else []
        ledgers = given.ledger if "month" in given.what else []
        sizes = [max(3, round(given.payments * scale)) for scale in given.scales]
        for ledger, payments in itertools.chain.from_iterable(
            itertools.product(ledgers, sizes) for _ in range(given.repeat)
        ):
            bench.month(payments, ledger)
            bench.floor(payments, ledger)
            run, floor = bench.runs[-1], bench.floors[-1]
            console.print(
                f"{ledger:>10} {payments:>9,}: {run.e2e_seconds:.1f} s, floor {floor.total:.1f} s, "
                f"gateway {run.gateway_cpu_seconds:.1f} CPU s, {run.peak_rss_mib:.0f} MiB"
            )
        return figures(bench.runs, bench.floors, measured, sealed, machine(servers))


def _codecs(repeat: int, progress: Progress) -> list[Measured]:
    task = progress.add_task("codecs", total=None)
    found = codecs.measure(repeat, lambda what: progress.update(task, description=what))
    progress.remove_task(task)
    return found


def machine(servers: Servers) -> dict[str, str | int | float]:
    """Where this was measured."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    overview = servers.rabbit.api("GET", "overview")
    return {
        "cores": os.cpu_count() or 0,
        "cpu": model[0].partition(":")[2].strip() if model else platform.machine(),
        "python": platform.python_version(),
        "rabbitmq": str(overview["rabbitmq_version"]),
        "load_afterwards": os.getloadavg()[1],
    }


def table(found: Figures) -> Table:
    """The figures for people."""
    title = "exponent of CPU seconds: " + ", ".join(
        f"{ledger} {'one size only' if value is None else value}" for ledger, value in found.exponents.items()
    )
    shown = Table(title="The month, end to end", caption=title)
    for name in ("payments", "ledger", "end to end s", "floor s", "ratio", "gateway CPU s", "banks CPU s", "peak MiB"):
        shown.add_column(name, justify="left" if name == "ledger" else "right")
    for row in found.rows:
        seconds = (row.gateway_cpu_seconds, row.banks_cpu_seconds)
        shown.add_row(
            f"{row.payments:,}",
            row.ledger,
            f"{row.e2e_seconds:.1f}",
            f"{row.floor_seconds:.1f}",
            f"{row.ratio:.2f}",
            *(f"{each:.1f}" for each in seconds),
            f"{row.peak_rss_mib:.0f}",
        )
    return shown


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--payments", type=int, default=MONTH_PAYMENTS, help="payments of the whole month")
    parser.add_argument(
        "--scales", type=_scales, default=[0.1, 1.0], help="parts of it to measure: 0.1,1 (or 0.1,1,10)"
    )
    parser.add_argument("--what", type=_some_of(PARTS), default=list(PARTS), help="month,codecs,seals")
    parser.add_argument("--ledger", type=_some_of(LEDGERS), default=list(LEDGERS), help="postgresql,sqlite")
    parser.add_argument("--repeat", type=int, default=3, help="times each is measured; medians are told")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--profile",
        nargs="?",
        const="py-spy" if shutil.which("py-spy") else "sampler",
        default="",
        choices=("sampler", "cprofile", "py-spy"),
        help="profile the gateway: from outside (where py-spy is installed), from inside, or the main thread's calls",
    )
    return parser.parse_args(arguments)


def _scales(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads a list of these words."""

    def read(text: str) -> list[str]:
        found = text.split(",")
        if unknown := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]}: there are {', '.join(known)}")
        return found

    return read


if __name__ == "__main__":
    sys.exit(main())
