"""The command line as its users have it: a process of its own, in a folder of its own, with nothing of the tests' environment."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.cli import main
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


class Run:
    """``run("banks", "--json")`` in the test's own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *tokens: str | Path, stdin: bytes = b"", **variables: str) -> Ran:
        return run_in(self.folder, *tokens, stdin=stdin, **variables)

    def here(self, *tokens: str | Path) -> Ran:
        """The same in this process, for what is done a hundred times."""
        streams, folder = (sys.stdout, sys.stderr), Path.cwd()
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in streams)
        os.chdir(self.folder)
        try:
            sys.stdout, sys.stderr = out, err
            code = main(list(map(str, tokens)))
        finally:
            os.chdir(folder)
            sys.stdout, sys.stderr = streams
        told = [stream.buffer.getvalue().decode() for stream in (out, err)]
        return Ran(int(code), *told)

    def inspect(self, document: bytes, *tokens: str | Path, name: str = "document") -> Ran:
        """Inspect these bytes as a file."""
        (self.folder / name).write_bytes(document)
        return self.here("inspect", name, *tokens)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """See Run."""
    return Run(tmp_path)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where ``sheyin init`` and ``sheyin pki dev`` were called, and nothing else. Tests do not write into it."""
    folder = tmp_path_factory.mktemp("installation")
    for words in (("init",), ("pki", "dev")):
        done = run_in(folder, *words)
        assert done.code == 0, done.err
    return folder
