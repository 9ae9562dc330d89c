"""A private RabbitMQ that a test may kill, start again, freeze and starve.

The node is started by tests/servers.py; what is needed to start the very same node again is read from /proc before it
is killed. A node that was started here dies with this process, by the kernel's doing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.servers import Rabbit

PR_SET_PDEATHSIG = 1
RABBITMQCTL = "/usr/lib/rabbitmq/bin/rabbitmqctl"


class Broker:
    """One node: its Erlang process, and the way it was started."""

    def __init__(self, rabbit: Rabbit) -> None:
        self.rabbit = rabbit
        self.pid = self._find()
        proc = Path(f"/proc/{self.pid}")
        self._program = str((proc / "exe").readlink())
        self._arguments = proc.joinpath("cmdline").read_bytes().split(b"\0")[:-1]
        pairs = (pair.split(b"=", 1) for pair in proc.joinpath("environ").read_bytes().split(b"\0") if b"=" in pair)
        self._environment = {name.decode(): value.decode() for name, value in pairs}
        self._folder = str((proc / "cwd").readlink())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the default vhost."""
        return self.rabbit.amqp_url

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        while Path(f"/proc/{self.pid}/exe").exists():
            time.sleep(0.02)

    def start(self) -> None:
        """The same node again, on the same data and ports; returns as soon as the process is there."""
        libc = ctypes.CDLL(None)
        self._process = subprocess.Popen(
            self._arguments,
            executable=self._program,
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - it takes no lock
        )
        self.pid = self._process.pid

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def starve(self) -> None:
        """Raise the memory alarm."""
        self._ctl("set_vm_memory_high_watermark", "absolute", "10MB")

    def feed(self) -> None:
        """Clear the memory alarm."""
        self._ctl("set_vm_memory_high_watermark", "0.4")

    def end(self) -> None:
        """Kill it if it was started here; the first one belongs to tests/servers.py."""
        with contextlib.suppress(ProcessLookupError):
            self.thaw()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _find(self) -> int:
        """The process id, by the management API, which knows it a few seconds after the start."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for node in self.rabbit.api("GET", "nodes"):
                if "os_pid" in node:
                    return int(node["os_pid"])
            time.sleep(0.1)
        raise AssertionError("the management API does not tell the node's process")

    def _ctl(self, *arguments: str) -> None:
        subprocess.run([RABBITMQCTL, *arguments], env=self._environment, check=True, capture_output=True, timeout=60)
