"""What every test may ask for: private servers (shared by the processes of one run), a fresh vhost, a fresh database.

Given servers are used instead where `SHEYIN_TEST_AMQP_URL` (with `SHEYIN_TEST_AMQP_MANAGEMENT_URL` when its management
API is not on port 15672) and `SHEYIN_TEST_PG_URL` (a role that may create databases) say so. A missing server skips the
test with a reason, and fails it where CI=true.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

import hypothesis
import pytest

from tests.servers import MissingServer, Postgres, Rabbit, SharedServers, plain_url

FOLDER = "SHEYIN_TEST_SERVERS"  # set by the run's first process for the ones that it starts
OWNER = "SHEYIN_TEST_SERVERS_OWNER"

hypothesis.settings.register_profile("shared-machine", deadline=None, print_blob=True)
hypothesis.settings.load_profile("shared-machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What is only ever done on purpose."""
    parser.addoption(
        "--golden-write",
        action="store_true",
        help="write document.bin and events.json of the golden cases (tests/flow/golden.py) anew instead of comparing them",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The run's first process makes the folder through which all of them share servers."""
    if not hasattr(config, "workerinput"):
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="sheyin-servers-")
        os.environ[OWNER] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    """The run's first process, which ends last, stops what was started."""
    if not hasattr(config, "workerinput") and FOLDER in os.environ:
        _shared().stop()
        del os.environ[FOLDER], os.environ[OWNER]


@pytest.fixture(scope="session")
def rabbit() -> Rabbit:
    """The RabbitMQ node of this run, with its management and metrics addresses."""
    given = os.environ.get("SHEYIN_TEST_AMQP_URL")
    if given:
        return _given_rabbit(given)
    try:
        return _shared().rabbit()
    except MissingServer as error:
        _without(error)


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """The PostgreSQL server of this run; `create(template=name)` clones a prepared database in some 50 ms."""
    given = os.environ.get("SHEYIN_TEST_PG_URL")
    if given:
        return Postgres(plain_url(given).replace("postgresql://", "postgresql+asyncpg://", 1))
    try:
        return _shared().postgres()
    except MissingServer as error:
        _without(error)


@pytest.fixture
def amqp_url(rabbit: Rabbit) -> Iterator[str]:
    """The AMQP URL of a fresh vhost."""
    with rabbit.vhost() as url:
        yield url


@pytest.fixture
def pg_url(postgres: Postgres) -> Iterator[str]:
    """The `postgresql+asyncpg://` URL of a fresh, empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def rabbit_management(rabbit: Rabbit) -> tuple[str, str, str]:
    """Base URL, user and password of the management API."""
    return rabbit.management_url, rabbit.user, rabbit.password


@pytest.fixture(scope="session")
def outside_program() -> Callable[[str], str]:
    """Finds an outside verifier, e.g. `outside_program("xmlsec1")`; missing, the test is skipped, or fails in CI."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            _without(MissingServer(f"{name} is not installed: run tests/install-servers.sh"))
        return found

    return find


def _shared() -> SharedServers:
    return SharedServers(Path(os.environ[FOLDER]), int(os.environ[OWNER]))


def _given_rabbit(url: str) -> Rabbit:
    parts = urlsplit(url)
    management = os.environ.get("SHEYIN_TEST_AMQP_MANAGEMENT_URL") or f"http://{parts.hostname}:15672"
    return Rabbit(
        amqp_url=url,
        management_url=management.rstrip("/"),
        metrics_url=f"http://{parts.hostname}:15692/metrics",
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
    )


def _without(error: MissingServer) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"In CI no test is skipped for a missing server. {error}")
    pytest.skip(str(error))  # reason: the programs are not installed; the message says what installs them
