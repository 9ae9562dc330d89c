"""What a process and its children have used, read from /proc (Linux): CPU seconds and resident memory."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SAMPLE_S = 0.2


def tree(pid: int) -> list[int]:
    """The process and everything below it that is alive."""
    below: defaultdict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                below[int(_stat(int(entry.name))[1])].append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += below[found[-1]]
    return found


def _stat(pid: int) -> list[str]:
    """State, parent, ...: what follows the command's name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(*pids: int) -> float:
    """CPU seconds of these processes and all below them, those that have ended included."""
    ticks = 0
    for pid in (each for root in pids for each in tree(root)):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, _stat(pid)[11:15]))  # utime, stime, and the same of children that were waited for
    return ticks / _TICKS_PER_S


def rss_mib(pid: int) -> float:
    """Resident memory of the process and everything below it, now."""
    return sum(_status_kib(each, "VmRSS:") for each in tree(pid)) / 1024


def peak_rss_mib(pid: int) -> float:
    """The most that the process itself, without its children, ever had resident (``VmHWM``)."""
    return _status_kib(pid, "VmHWM:") / 1024


def _status_kib(pid: int, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
    return 0


class Watch:
    """The memory of one process and its children while it lives."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most_mib = 0.0
        self._ended = threading.Event()

    @property
    def peak_mib(self) -> float:
        """The most seen: of the process alone exactly, of it with its children at the times of sampling."""
        return max(self._most_mib, peak_rss_mib(self._pid))

    def run(self) -> None:
        """Sample until ``end``; kept after the process is gone."""
        while not self._ended.wait(SAMPLE_S):
            self._most_mib = max(self._most_mib, rss_mib(self._pid), peak_rss_mib(self._pid))

    def end(self) -> None:
        """Stop sampling."""
        self._ended.set()


@contextmanager
def watched(pid: int) -> Iterator[Watch]:
    """Sample in a thread for the length of the block."""
    watch = Watch(pid)
    thread = threading.Thread(target=watch.run, name="watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
