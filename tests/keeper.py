"""The keeper: runs one private server for one owner process, and ends it when the owner ends. See servers.py.

Started as `python -m tests.keeper ORDER`, ORDER being the JSON that `SharedServers` writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import random
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, TypeVar

from tests.servers import STOP_TIMEOUT_S, Kind, MissingServer, Postgres, Rabbit, StartFailed

START_TIMEOUT_S = 90.0
START_TRIES = 3

S = TypeVar("S", Rabbit, Postgres)


def keep(kind: Kind, folder: Path, owner_pid: int, options: dict[str, Any]) -> None:
    """The keeper's whole life: start, leave a note, wait for the owner's end or SIGTERM, stop."""
    stop_read, stop_write = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(stop_write, b"."))
    owner = os.pidfd_open(owner_pid)

    def leave(note: dict[str, object]) -> None:
        draft = folder / f"{kind}.draft"
        draft.write_text(json.dumps(note))
        draft.rename(folder / f"{kind}.json")

    with contextlib.ExitStack() as stack:
        try:
            server: Rabbit | Postgres
            if kind == "rabbitmq":
                server = stack.enter_context(_retried(_run_rabbitmq, {}))
            else:
                server = stack.enter_context(_retried(_run_postgresql, options))
        except MissingServer as error:
            leave({"problem": "missing", "what": str(error)})
            return
        except StartFailed as error:
            leave({"problem": "failed", "what": str(error)})
            return
        leave(asdict(server))
        select.select([stop_read, owner], [], [])
    if select.select([owner], [], [], 0)[0]:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _retried(run: Callable[..., AbstractContextManager[S]], options: dict[str, Any]) -> Iterator[S]:
    """Enters `run(**options)`, again when the port that was free a moment ago no longer is."""
    for left in reversed(range(START_TRIES)):
        with contextlib.ExitStack() as stack:
            try:
                server = stack.enter_context(run(**options))
            except StartFailed:
                if left == 0:
                    raise
                continue
            yield server
            return


# ---------------------------------------------------------------------------------------------- RabbitMQ


@contextmanager
def _run_rabbitmq() -> Iterator[Rabbit]:
    program, epmd = _rabbitmq_programs()
    folder = Path(tempfile.mkdtemp(prefix="sheyin-rabbitmq-"))
    amqp, management, metrics, dist, names = free_ports(5)
    password = secrets.token_hex(12)
    settings = [
        f"listeners.tcp.1 = 127.0.0.1:{amqp}",
        "management.tcp.ip = 127.0.0.1",
        f"management.tcp.port = {management}",
        "prometheus.tcp.ip = 127.0.0.1",
        f"prometheus.tcp.port = {metrics}",
        "default_user = sheyin",
        f"default_pass = {password}",
        "disk_free_limit.absolute = 100MB",
        "log.console = false",
        "log.file.level = info",
    ]
    (folder / "rabbitmq.conf").write_text("\n".join(settings) + "\n")
    (folder / "plugins").write_text("[rabbitmq_management,rabbitmq_prometheus].\n")
    cookie = folder / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(16))
    cookie.chmod(0o400)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    environment = kept | {
        "LC_ALL": "C.UTF-8",
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"sheyin-{amqp}@localhost",
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_DIST_PORT": str(dist),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"
            " +sbwt none +sbwtdcpu none +sbwtdio none"  # schedulers that wait do not burn the shared cores
        ),
    }
    node = Rabbit(
        amqp_url=f"amqp://sheyin:{password}@127.0.0.1:{amqp}/",
        management_url=f"http://127.0.0.1:{management}",
        metrics_url=f"http://127.0.0.1:{metrics}/metrics",
        user="sheyin",
        password=password,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        log = stack.enter_context((folder / "output").open("wb"))
        mapper = [epmd, "-address", "127.0.0.1", "-port", str(names)]
        stack.enter_context(_process(mapper, log, environment, signal.SIGKILL))
        server = stack.enter_context(_process([program], log, environment, signal.SIGKILL))
        _await_ready(server, lambda: _rabbitmq_ready(node, amqp), folder)
        yield node


def _rabbitmq_programs() -> tuple[str, str]:
    """The bare server script (Debian's own wrapper insists on a user of its own) and epmd."""
    debian = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    program = str(debian) if debian.exists() else shutil.which("rabbitmq-server")
    bundled = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
    epmd = shutil.which("epmd") or (str(bundled[-1]) if bundled else None)
    if program is None or epmd is None:
        raise MissingServer("rabbitmq-server is not installed: run tests/install-servers.sh")
    return program, epmd


def _rabbitmq_ready(node: Rabbit, port: int) -> bool:
    with contextlib.suppress(OSError, urllib.error.URLError), socket.create_connection(("127.0.0.1", port), timeout=1):
        node.api("GET", "overview")
        return True
    return False


# ---------------------------------------------------------------------------------------------- PostgreSQL


@contextmanager
def _run_postgresql(fsync: bool, shared_buffers_mib: int) -> Iterator[Postgres]:
    programs = _postgresql_programs()
    folder = Path(tempfile.mkdtemp(prefix="sheyin-pg-"))  # short: it holds a Unix socket
    account = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    (port,) = free_ports(1)
    password = secrets.token_hex(12)
    (folder / "password").write_text(password)
    settings = {
        "listen_addresses": "'127.0.0.1'",
        "port": port,
        "unix_socket_directories": f"'{folder}'",
        "max_connections": 200,
        "shared_buffers": f"{shared_buffers_mib}MB",
        "max_wal_size": "'2GB'",
        "fsync": "on" if fsync else "off",
        "logging_collector": "off",
        "timezone": "'UTC'",
    }
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        log = stack.enter_context((folder / "output").open("wb"))
        if account is not None:
            person = pwd.getpwnam(account)
            for path in (folder, folder / "password"):
                os.chown(path, person.pw_uid, person.pw_gid)
        initdb = [str(programs / "initdb"), "--pgdata", str(folder / "data"), "--username", "sheyin"]
        initdb += ["--pwfile", str(folder / "password"), "--auth", "scram-sha-256", "--data-checksums", "--no-sync"]
        initdb += ["--encoding", "UTF8", "--locale", "C.UTF-8"]
        made = subprocess.run(initdb, stdout=log, stderr=log, cwd=folder, user=account, group=account, check=False)
        if made.returncode != 0:
            raise StartFailed(f"initdb ended with {made.returncode}:\n{_last_lines(folder)}")
        with (folder / "data" / "postgresql.conf").open("a") as config:
            config.writelines(f"{name} = {value}\n" for name, value in settings.items())
        command = [str(programs / "postgres"), "-D", str(folder / "data")]
        server = stack.enter_context(_process(command, log, None, signal.SIGQUIT, account))
        _await_ready(server, lambda: _postgresql_ready(folder / "data" / "postmaster.pid"), folder)
        yield Postgres(f"postgresql+asyncpg://sheyin:{password}@127.0.0.1:{port}/postgres")


def _postgresql_programs() -> Path:
    """The folder of the newest installed server's programs."""
    installed = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if installed:
        return max(installed, key=lambda path: int(path.parent.name.split(".")[0]))
    found = shutil.which("initdb")
    if found is None:
        raise MissingServer("postgresql is not installed: run tests/install-servers.sh")
    return Path(found).resolve().parent


def _postgresql_ready(pid_file: Path) -> bool:
    lines = pid_file.read_text().splitlines() if pid_file.exists() else []
    return len(lines) >= 8 and lines[7].strip() == "ready"


# ---------------------------------------------------------------------------------------------- processes and ports


@contextmanager
def _process(
    command: list[str],
    log: IO[bytes],
    environment: dict[str, str] | None,
    end: signal.Signals,
    account: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own; on leaving, the group is sent `end` and, if that was not enough, SIGKILL."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=environment,
        cwd=Path(log.name).parent,
        user=account,
        group=account,
        extra_groups=[] if account else None,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, end)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if process.poll() is not None:
            raise StartFailed(f"{process.args!r} ended with {process.returncode}:\n{_last_lines(folder)}")
        if time.monotonic() > deadline:
            raise StartFailed(f"{process.args!r} was not ready in {START_TIMEOUT_S:.0f} s:\n{_last_lines(folder)}")
        time.sleep(0.05)


def _last_lines(folder: Path, count: int = 30) -> str:
    logs = [folder / "output", *sorted((folder / "log").glob("*.log"))]
    lines = [line for path in logs if path.exists() for line in path.read_text(errors="replace").splitlines()]
    return "\n".join(lines[-count:])


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on, below those that the system gives to outgoing connections."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in chosen:
            chosen.append(port)
    return chosen


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    keep(order["kind"], Path(order["folder"]), order["owner_pid"], order["options"])
