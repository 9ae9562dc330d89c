"""The command line as its users have it: a process of its own, in a folder of its own, with nothing of the tests' environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.servers import ROOT

SAMPLES = ROOT.parent / "shared" / "samples" / "iso20022"


class Ran(NamedTuple):
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


Run = Callable[..., Ran]


def run_in(folder: Path, *tokens: str | Path, stdin: bytes = b"", **variables: str) -> Ran:
    """Run ``sheyin`` in a folder; ``variables`` are its environment."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, tokens)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        timeout=100,
        check=False,
        env={**kept, "PYTHONPATH": str(ROOT), **variables},
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("banks", "--json")`` in the test's folder."""

    def call(*tokens: str | Path, stdin: bytes = b"", **variables: str) -> Ran:
        return run_in(tmp_path, *tokens, stdin=stdin, **variables)

    return call


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where ``sheyin init`` and ``sheyin pki dev`` were called, and nothing else. Tests do not write into it."""
    folder = tmp_path_factory.mktemp("installation")
    for words in (("init",), ("pki", "dev")):
        done = run_in(folder, *words)
        assert done.code == 0, done.err
    return folder
