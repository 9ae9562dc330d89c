"""Keys and a way to start one bank, for the tests of the sandbox banks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.sandbox.runner import FolderWire, Running, Sandbox, SandboxBank
from tests.sandbox.bureau import CUSTOMER, DEBIT, Folder, Ring, pair


class Live(NamedTuple):
    """A running bank with its folder."""

    running: Running
    code: str
    folder: Folder

    def books(self) -> dict[str, Any]:
        """What its books hold."""
        return self.running.books(self.code)


StartBank = Callable[..., Live]


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    """Keys of the bureau, of a bank, of a stranger."""
    folder = tmp_path_factory.mktemp("keys")
    return Ring(pair(folder, "bureau"), pair(folder, "bank"), pair(folder, "stranger"))


@pytest.fixture
def start_bank(ring: Ring, tmp_path: Path) -> Iterator[StartBank]:
    """Start a bank on a folder with some settings of SandboxBank; it is stopped at the end."""
    with ExitStack() as stack:

        def start(adapter: str = "iso20022", *, name: str = "bank", **settings: Any) -> Live:
            code = "BANKA" if adapter == "iso20022" else "BANKB"
            given: dict[str, Any] = {
                "code": code,
                "adapter": adapter,
                "customer": CUSTOMER,
                "debit_accounts": (DEBIT,),
                "wire": FolderWire(directory=str(tmp_path / name / "wire")),
                "keys": ring.keys(),
                "state": str(tmp_path / name / "state"),
            }
            running = Running(Sandbox(banks=(SandboxBank(**(given | settings)),), poll_s=0.02), tmp_path / name)
            running.start()
            stack.callback(lambda: running.stop() if running.started else None)
            return Live(running, code, Folder(tmp_path / name / "wire"))

        yield start
