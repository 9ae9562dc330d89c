"""A profile of all threads of a program, by CPU time: ``python -m bench.sampler OUT -m MODULE ARGS…`` runs it.

Every few milliseconds each thread's stack is charged with the CPU time that the thread has used since the last look
(``schedstat``), so a thread that waits costs nothing. At the end ``OUT`` holds folded stacks with microseconds (for
flamegraph.pl, inferno or speedscope), ``OUT.txt`` the dearest functions.

To be read with care: it looks when it gets the interpreter's lock, so what C code spends while it holds the lock is
charged to whatever lets go of it next (a socket's write, mostly). py-spy looks from outside and is the better tool where
it is installed; cProfile sees one thread, and doubles the cost of short functions.
"""

from __future__ import annotations

import atexit
import contextlib
import runpy
import sys
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

INTERVAL_S = 0.005
TOP = 60

Stack = tuple[CodeType, ...]


class Sampler:
    """Charges stacks until it is ended."""

    def __init__(self) -> None:
        self.spent_ns: Counter[tuple[str, Stack]] = Counter()
        self._last_ns: dict[int, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """From here on."""
        self._thread.start()

    def end(self) -> None:
        """No more."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            frames = sys._current_frames()
            for thread in threading.enumerate():
                if thread is self._thread or thread.native_id is None or thread.ident not in frames:
                    continue
                now_ns = _cpu_ns(thread.native_id)
                spent_ns = now_ns - self._last_ns.get(thread.native_id, now_ns)
                self._last_ns[thread.native_id] = now_ns
                if spent_ns > 0:
                    self.spent_ns[thread.name.rstrip("0123456789_-"), _stack(frames[thread.ident])] += spent_ns

    def folded(self) -> Counter[str]:
        """Microseconds by folded stack, the thread's name first."""
        found: Counter[str] = Counter()
        for (thread, stack), spent_ns in self.spent_ns.items():
            found[";".join([thread, *map(_name, stack)])] += spent_ns // 1_000
        return found


def read(path: Path) -> Counter[str]:
    """Folded stacks as a file has them: ``frame;frame count``."""
    found: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        found[stack] += int(count)
    return found


def write(folded: Counter[str], path: Path, per_second: int, what: str = "CPU seconds") -> None:
    """Folded stacks at ``path``; beside it (``.txt``) the dearest functions, by themselves and with what they call."""
    own, whole, threads = Counter[str](), Counter[str](), Counter[str]()
    for stack, count in folded.items():
        thread, *names = stack.split(";")
        threads[thread] += count
        own[names[-1] if names else thread] += count
        whole.update(dict.fromkeys(names, count))
    path.write_text("".join(f"{stack} {count}\n" for stack, count in folded.most_common()), encoding="utf-8")
    with path.with_suffix(path.suffix + ".txt").open("w", encoding="utf-8") as file:
        for title, table in (("by thread", threads), ("by itself", own), ("with what it calls", whole)):
            file.write(f"--- {what} {title}\n")
            file.writelines(f"{count / per_second:9.3f}  {name}\n" for name, count in table.most_common(TOP))


def _cpu_ns(native_id: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/self/task/{native_id}/schedstat").read_text().split()[0])
    return 0


def _stack(frame: FrameType | None) -> Stack:
    found = []
    while frame is not None:
        found.append(frame.f_code)
        frame = frame.f_back
    return tuple(reversed(found))


def _name(code: CodeType) -> str:
    parts = Path(code.co_filename).with_suffix("").parts
    return f"{'.'.join(parts[-3:])}:{code.co_qualname}"


def main() -> None:
    """Run the module that the arguments name, as ``python -m`` would."""
    out, dash_m, module, *rest = sys.argv[1:]
    if dash_m != "-m":
        raise SystemExit("usage: python -m bench.sampler OUT -m MODULE ARGS...")
    sampler = Sampler()

    def finish() -> None:
        sampler.end()
        write(sampler.folded(), Path(out), 1_000_000)

    atexit.register(finish)
    sampler.start()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
