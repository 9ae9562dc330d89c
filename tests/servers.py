"""Private RabbitMQ and PostgreSQL for tests and benchmarks: own ports, own folders, gone with their owner.

    with rabbitmq() as url: ...         amqp://user:password@127.0.0.1:port/
    with postgresql() as url: ...       postgresql+asyncpg://user:password@127.0.0.1:port/postgres

Each server is run by a small keeper process (keeper.py) that watches its owner through a pidfd: however the owner
ends, even by SIGKILL, the keeper stops the server by its own pid and removes its folder. `SharedServers` gives the
processes of one test run the same server, started by whoever asks first. Nothing here imports pytest; the fixtures are
in conftest.py.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

T = TypeVar("T")
Kind = Literal["rabbitmq", "postgresql"]

STOP_TIMEOUT_S = 20.0
ROOT = Path(__file__).resolve().parent.parent


class MissingServer(Exception):
    """The server's programs are not installed; the message says which, and what installs them."""


class StartFailed(Exception):
    """The server did not come up; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Rabbit:
    """A RabbitMQ node. `amqp_url` names the default vhost; the other two have no trailing slash."""

    amqp_url: str
    management_url: str
    metrics_url: str
    user: str
    password: str

    def vhost_url(self, vhost: str) -> str:
        """The same node, another vhost."""
        return urlunsplit(urlsplit(self.amqp_url)._replace(path="/" + quote(vhost, safe="")))

    def api(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        """One call of the management API, e.g. `api("GET", "queues/%2F")`. Raises urllib's HTTPError."""
        request = urllib.request.Request(f"{self.management_url}/api/{path}", method=method)
        credential = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {credential}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with _http.open(request, timeout=30) as reply:
            content = reply.read()
        return json.loads(content) if content else None

    @contextmanager
    def vhost(self) -> Iterator[str]:
        """The URL of a fresh vhost, deleted on leaving."""
        name = f"t-{secrets.token_hex(6)}"
        self.api("PUT", f"vhosts/{name}")
        self.api("PUT", f"permissions/{name}/{self.user}", {"configure": ".*", "write": ".*", "read": ".*"})
        try:
            yield self.vhost_url(name)
        finally:
            self.api("DELETE", f"vhosts/{name}")


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server. `url` is the maintenance database as `postgresql+asyncpg://…/postgres`."""

    url: str

    def database_url(self, name: str) -> str:
        """The same server, another database."""
        return urlunsplit(urlsplit(self.url)._replace(path="/" + name))

    def create(self, template: str = "template0") -> str:
        """Makes a fresh database as a copy of `template` (a name; nobody may be connected to it); returns its URL."""
        name = f"t_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.database_url(name)

    def drop(self, url: str) -> None:
        """Drops the database of `url`, ending the connections to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{database_name(url)}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """Runs one statement on the maintenance database, outside a transaction."""

        async def run() -> None:
            connection = await asyncpg.connect(plain_url(self.url))
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        in_a_thread(run())

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The URL of a fresh database, dropped on leaving."""
        url = self.create(template)
        try:
            yield url
        finally:
            self.drop(url)


def database_name(url: str) -> str:
    """The name of the database that a URL points at."""
    return unquote(urlsplit(url).path.lstrip("/"))


def plain_url(url: str) -> str:
    """The URL without SQLAlchemy's driver, as libpq and asyncpg take it."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


def in_a_thread(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end on a loop of its own, whether or not the caller's thread has one running."""
    done: list[T] = []
    broken: list[BaseException] = []

    def run() -> None:
        try:
            done.append(asyncio.run(work))
        except BaseException as error:  # carried over to the caller's thread
            broken.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if broken:
        raise broken[0]
    return done[0]


@contextmanager
def rabbitmq() -> Iterator[str]:
    """A private RabbitMQ for the length of the block; yields its AMQP URL. About 6 s to start."""
    with rabbitmq_node() as node:
        yield node.amqp_url


@contextmanager
def rabbitmq_node() -> Iterator[Rabbit]:
    """As `rabbitmq`, yielding everything there is to know of the node."""
    with SharedServers.own() as servers:
        yield servers.rabbit()


@contextmanager
def postgresql(*, fsync: bool = True, shared_buffers_mib: int = 256) -> Iterator[str]:
    """A private PostgreSQL for the length of the block; yields the URL of its maintenance database."""
    with SharedServers.own() as servers:
        yield servers.postgres(fsync=fsync, shared_buffers_mib=shared_buffers_mib).url


class SharedServers:
    """The servers of one owner process and its children: a folder with a lock, and a note for each running server."""

    def __init__(self, folder: Path, owner_pid: int) -> None:
        self.folder = folder
        self.owner_pid = owner_pid

    @classmethod
    @contextmanager
    def own(cls) -> Iterator[Self]:
        """Servers owned by this process, stopped on leaving."""
        folder = Path(tempfile.mkdtemp(prefix="sheyin-servers-"))
        servers = cls(folder, os.getpid())
        try:
            yield servers
        finally:
            servers.stop()

    def rabbit(self) -> Rabbit:
        """The RabbitMQ node, started now if nobody has. Raises MissingServer, StartFailed."""
        return Rabbit(**self._note("rabbitmq", {}))

    def postgres(self, *, fsync: bool = False, shared_buffers_mib: int = 64) -> Postgres:
        """The PostgreSQL server; the options count for whoever starts it. Raises MissingServer, StartFailed."""
        return Postgres(**self._note("postgresql", {"fsync": fsync, "shared_buffers_mib": shared_buffers_mib}))

    def stop(self) -> None:
        """Stops what runs and removes the folder. Safe to call twice."""
        keepers = [int(path.read_text()) for path in sorted(self.folder.glob("*.pid"))]
        for pid in keepers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(map(_alive, keepers)) and time.monotonic() < deadline:
            time.sleep(0.02)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _note(self, kind: Kind, options: dict[str, object]) -> dict[str, Any]:
        note = self.folder / f"{kind}.json"
        with (self.folder / f"{kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not note.exists():
                self._start_keeper(kind, options)
            found: dict[str, Any] = json.loads(note.read_text())
        problem = found.pop("problem", None)
        if problem == "missing":
            raise MissingServer(found["what"])
        if problem is not None:
            raise StartFailed(found["what"])
        return found

    def _start_keeper(self, kind: Kind, options: dict[str, object]) -> None:
        order = {"kind": kind, "folder": str(self.folder), "owner_pid": self.owner_pid, "options": options}
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.keeper", json.dumps(order)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the tests; the servers go when these have ended
        )
        (self.folder / f"{kind}.pid").write_text(str(keeper.pid))
        note = self.folder / f"{kind}.json"
        while not note.exists():
            if keeper.poll() is not None:
                raise StartFailed(f"the keeper of {kind} ended with {keeper.returncode}")
            time.sleep(0.02)


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # a child that has ended is still there until it is asked about
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


_http = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the environment is not for loopback
