"""Start and stop the banks' process from the demo, the tests and the benchmark, and read its books and what it used.

::

    with banks(Sandbox(banks=(SandboxBank(...),)), folder) as running:
        running.ready["GFB"]["port"]
        ...
    running.report.cpu_seconds
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gateway.sandbox.bank import RELEASE
from gateway.sandbox.books import Payment, payments, summary
from gateway.sandbox.config import (
    AmqpWire,
    Answers,
    Faults,
    FolderWire,
    HttpWire,
    Keys,
    Sandbox,
    SandboxBank,
    SftpWire,
    save,
)

__all__ = [
    "AmqpWire",
    "Answers",
    "BanksFailed",
    "Faults",
    "FolderWire",
    "HttpWire",
    "Keys",
    "Payment",
    "Report",
    "Running",
    "Sandbox",
    "SandboxBank",
    "SftpWire",
    "Usage",
    "banks",
]

START_S = 30.0
STOP_S = 30.0


class BanksFailed(Exception):
    """The process did not start, or died; the message ends with what it wrote to its error output."""


class Usage(msgspec.Struct, frozen=True):
    """What the process has used so far."""

    cpu_seconds: float
    peak_rss_mib: float


class Report(msgspec.Struct, frozen=True):
    """The process's last words: usage, and counts per bank (files, payments, refused, inquiries, receipts, results, returns, ...)."""

    cpu_seconds: float
    peak_rss_mib: float
    banks: dict[str, dict[str, int]]


class Running:
    """A running process of sandbox banks."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.sandbox = sandbox
        self.ready: dict[str, dict[str, Any]] = {}
        self.report: Report | None = None
        self._log = folder / "banks.log"
        self._config = folder / "banks.json"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process while it runs."""
        return self._alive().pid

    @property
    def started(self) -> bool:
        """Whether it was started and not yet stopped or killed."""
        return self._process is not None

    def start(self) -> None:
        """Start, and wait until every door is open. Raises BanksFailed."""
        save(self.sandbox, self._config)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway.sandbox", "--config", str(self._config), "--watch-stdin"],
                stdin=subprocess.PIPE,  # it ends when we end, in whatever way
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        self.ready = self._line(START_S)["ready"]

    def stop(self) -> Report:
        """Ask it to end (SIGTERM to its own pid), wait, and return its last words. Raises BanksFailed if it died or hangs."""
        if self.report is None:
            process = self._alive()
            process.terminate()
            said = self._line(STOP_S)
            if process.wait(STOP_S) != 0:
                raise BanksFailed(self._why("ended badly"))
            self.report = msgspec.convert(said, Report)
            self._close()
        return self.report

    def kill(self) -> None:
        """End it without a word (SIGKILL), as a crash does."""
        process = self._alive()
        process.kill()
        process.wait(STOP_S)
        self._close()

    def usage(self) -> Usage:
        """CPU seconds and peak memory so far, read from /proc (Linux)."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(stat[11]) + int(stat[12])
        status = Path(f"/proc/{self.pid}/status").read_text()
        peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        return Usage(ticks / os.sysconf("SC_CLK_TCK"), round(peak_kib / 1024, 1))

    def release(self, code: str) -> None:
        """Let a bank that holds its results give them."""
        (self._folder(code) / RELEASE).touch()

    def hold(self, code: str) -> None:
        """From here on its results wait again."""
        (self._folder(code) / RELEASE).unlink(missing_ok=True)

    def books(self, code: str) -> dict[str, Any]:
        """Totals of a bank's books, see ``books.summary``; the bank may be running."""
        return summary(self._folder(code))

    def payments(self, code: str) -> Iterator[Payment]:
        """Every reference in a bank's books."""
        return payments(self._folder(code))

    def _folder(self, code: str) -> Path:
        return next(Path(bank.state) for bank in self.sandbox.banks if bank.code == code)

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BanksFailed("not started")
        return self._process

    def _line(self, timeout_s: float) -> dict[str, Any]:
        process = self._alive()
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(timeout_s) else b""
        if not line:
            process.kill()
            process.wait(STOP_S)
            raise BanksFailed(self._why("said nothing"))
        decoded: dict[str, Any] = msgspec.json.decode(line)
        return decoded

    def _why(self, what: str) -> str:
        tail = self._log.read_text(encoding="utf-8", errors="backslashreplace")[-2_000:]
        return f"the sandbox banks {what}\n{tail}"

    def _close(self) -> None:
        process = self._alive()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None


@contextmanager
def banks(sandbox: Sandbox, folder: Path) -> Iterator[Running]:
    """The process for as long as the block runs; its configuration and log lie in ``folder``. ``report`` is there afterwards."""
    running = Running(sandbox, folder)
    running.start()
    try:
        yield running
    except BaseException:
        if running.started:
            running.kill()
        raise
    if running.started:
        running.stop()
