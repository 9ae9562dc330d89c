"""A new format's skeleton, and writing again what was sent."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import adapters
from gateway.core.errors import SheyinError
from tests.cli.conftest import Ran, Run, run_in
from tests.cli.office import Office, header, open_office, total
from tests.servers import ROOT

COUNT = 12


def checkout(folder: Path) -> Path:
    """What ``banks new`` takes for a checkout."""
    (folder / "adapters").mkdir(parents=True)
    (folder / "tests" / "adapters").mkdir(parents=True)
    (folder / "adapters" / "README.md").touch()
    return folder


def test_a_skeleton_is_discovered_and_its_tests_fail(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a format of that name at once; the suite's first demand and its own tests fail until somebody writes it."""
    root = checkout(tmp_path / "source")
    written = run("banks", "new", "citybank", "--root", root, "--json").json["written"]
    assert len(written) == 6
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, str(root / "adapters")])
    monkeypatch.setitem(sys.modules, "adapters.citybank", None)
    del sys.modules["adapters.citybank"]
    assert adapters.discover()["citybank"].confidence == "partial"
    spec = importlib.util.spec_from_file_location("skeleton", root / "tests" / "adapters" / "test_citybank.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(SheyinError, match="writes no payments yet"):
        module.test_every_payment_is_read_back()
    with pytest.raises(AssertionError):
        module.test_codes_name_their_source()
    for name in [name for name in sys.modules if name.startswith("adapters.citybank")]:
        monkeypatch.delitem(sys.modules, name)


def test_a_skeleton_keeps_the_house_rules(run: Run, tmp_path: Path) -> None:
    """Formatted and linted as everything else."""
    root = checkout(tmp_path / "source")
    run("banks", "new", "citybank", "--root", root)
    ruff = [str(Path(sys.executable).with_name("ruff")), "--config", str(ROOT / "pyproject.toml")]
    for words in (["format", "--check"], ["check"]):
        done = subprocess.run([ruff[0], *words, *ruff[1:], str(root)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["City", "1bank", "a-b", "../x", ""])
def test_a_name_that_is_none_is_refused(run: Run, name: str, tmp_path: Path) -> None:
    """And nothing is written."""
    root = checkout(tmp_path / "source")
    assert run("banks", "new", name, "--root", root).code == 2
    assert [path.name for path in (root / "adapters").iterdir()] == ["README.md"]


def test_what_is_there_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    """Twice is a conflict; outside a checkout nothing is written."""
    root = checkout(tmp_path / "source")
    assert run("banks", "new", "citybank", "--root", root).code == 0
    again = run("banks", "new", "citybank", "--root", root, "--json")
    assert (again.code, again.json["error"]["code"]) == (2, "CONFLICT")
    assert run("banks", "new", "citybank", "--root", tmp_path, "--json").json["error"]["code"] == "PATH"


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """An office that has sent a run to both its banks, one format each."""
    office = open_office(tmp_path_factory.mktemp("sent"))
    office.add_people()
    office.jsonl("r1.jsonl", COUNT)
    office.good("submit", "r1.jsonl", *header("R1"))
    office.good("release", "propose", "R1", "--confirm", f"{COUNT}:{total(COUNT)}", who="wang")
    office.good("release", "approve", "R1", who="li")
    with office.banks({}), office.serving():
        office.until(lambda: office.good("status", "R1")["state"] == "closed")
    return office


def replayed(folder: Path, *words: str) -> Ran:
    """Called from elsewhere: the installation's folder is named."""
    return run_in(folder.parent, "banks", "replay", folder, *words)


def test_what_was_sent_is_written_again_byte_for_byte(sent: Office) -> None:
    """An enveloped signature and a detached one; by bank."""
    done = replayed(sent.folder, "--json")
    assert (done.code, done.json) == (0, {"documents": 2, "equal": 2, "differ": []})
    assert replayed(sent.folder, "--bank", "BANKA", "--json").json["documents"] == 1
    assert "2 documents written again, 0 of them different" in replayed(sent.folder).out


def test_another_byte_is_found_where_it_stands(sent: Office, tmp_path: Path) -> None:
    """A version that would write another name of the bureau ends with 1 and tells the place in the archive's bytes."""
    copy = tmp_path / "copy"
    shutil.copytree(sent.folder, copy, ignore=shutil.ignore_patterns("exchange", "state", "banks"))
    config = copy / "sheyin.toml"
    text = config.read_text()
    bureau = next(line for line in text.splitlines() if line.startswith("bureau"))
    config.write_text(text.replace(bureau, 'bureau = "另一个局"'))
    done = replayed(copy, "--json")
    assert done.code == 1
    assert all(one["offset"] > 0 for one in done.json["differ"])
    assert "differs from byte" in replayed(copy).out
