"""Starts ``sheyin serve`` in a process of its own, and stops it: the one place that knows how.

The command says one line of JSON on its standard output when it is ready, and one with what it used when SIGTERM has
ended it; its log goes to its error output.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from bench import sampler

ROOT = Path(__file__).resolve().parent.parent
SERVE = ("-m", "gateway", "serve", "--config")
START_S = 60.0
STOP_S = 60.0
TAIL_CHARS = 4_000
SPY_HZ = 100

Profile = Literal["", "sampler", "cprofile", "py-spy"]


class ServeFailed(Exception):
    """The gateway did not start, died, or did not stop; the message ends with the end of its log."""


class Gateway:
    """A running gateway."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.ready: dict[str, Any] = {}
        self.last_words: dict[str, Any] = {}
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def must_be_alive(self) -> None:
        """Raises ServeFailed if it has ended."""
        if self.process.poll() is not None:
            raise ServeFailed(self.why(f"ended with {self.process.returncode}"))

    def line(self, timeout_s: float) -> dict[str, Any]:
        """The next line that it says. Raises ServeFailed if none comes in time."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            said = self.process.stdout.readline() if selector.select(timeout_s) else b""
        if not said.strip():
            raise ServeFailed(self.why("said nothing"))
        try:
            words: dict[str, Any] = msgspec.json.decode(said, type=dict[str, Any])
        except msgspec.DecodeError:
            raise ServeFailed(self.why(f"said {said[:200]!r}")) from None
        return words

    def why(self, what: str) -> str:
        """A sentence with the end of the log."""
        tail = self._log.read_text(encoding="utf-8", errors="backslashreplace")[-TAIL_CHARS:]
        return f"the gateway {what}\n{tail}"

    def stop(self) -> None:
        """SIGTERM, its last words, its end. Raises ServeFailed if it does not end cleanly."""
        self.must_be_alive()
        self.process.send_signal(signal.SIGTERM)
        self.last_words = self.line(STOP_S)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise ServeFailed(self.why("does not stop")) from None
        if code != 0:
            raise ServeFailed(self.why(f"ended with {code}"))


@contextmanager
def gateway(config: Path, environment: Mapping[str, str], folder: Path, *, profile: Profile = "") -> Iterator[Gateway]:
    """Serve for the length of the block; log and profile lie in ``folder``. Stopped on leaving, killed where the block fails."""
    log = folder / "gateway.log"
    command = [sys.executable, *_under(profile, folder), *SERVE, str(config)]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    running = Gateway(process, log)
    try:
        running.ready = running.line(START_S)
        with _spied(profile, process.pid, folder):
            yield running
            running.stop()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _under(profile: Profile, folder: Path) -> list[str]:
    """What stands between the interpreter and ``-m gateway``."""
    if profile == "cprofile":
        return ["-m", "cProfile", "-o", str(folder / "serve.pstats")]
    if profile == "sampler":
        return ["-m", "bench.sampler", str(folder / "serve.stacks")]
    return []


@contextmanager
def _spied(profile: Profile, pid: int, folder: Path) -> Iterator[None]:
    """py-spy beside the process, until that ends."""
    if profile != "py-spy":
        yield
        return
    program = shutil.which("py-spy")
    if program is None:
        raise ServeFailed("py-spy is not installed")
    output = folder / "serve.stacks"
    command = [program, "record", "--threads", "--native", "--function", "--rate", str(SPY_HZ), "--format", "raw"]
    with (folder / "py-spy.log").open("wb") as log:
        spy = subprocess.Popen([*command, "--output", str(output), "--pid", str(pid)], stdout=log, stderr=log)
    try:
        yield
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            spy.wait(STOP_S)
        if spy.poll() is None:
            spy.send_signal(signal.SIGINT)
            spy.wait()
    if output.exists():
        sampler.write(sampler.read(output), output, SPY_HZ, "seconds (waiting for the interpreter's lock is in them)")
