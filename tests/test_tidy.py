"""Reads the tree and fails on what the design and the style forbid; each rule is first shown to be able to fail."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.servers import ROOT
from tests.tidy import RULES, Rule, imports, lines
from tests.tidy.tree import Tree

TREE = Tree.read(ROOT)

GIT_FILES = [
    path
    for name in subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    if name and (path := ROOT / name.decode()).is_file()
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps(rule: Rule) -> None:
    """Every rule of tests/tidy holds; its own sentence says what it is about."""
    violations = rule(TREE)
    assert not violations, f"{rule.__doc__}\n" + "\n".join(violations)


PORT = "from typing import Protocol\nclass Bus(Protocol):\n    async def publish(self) -> None: ...\n"
ADAPTER = {f"adapters/zebra/{name}": "" for name in ("__init__.py", "layout.py", "codes.py", "route.py", "README.md")}

# Each rule, a tree that breaks it, and the nearest tree that does not.
PROOFS: list[tuple[Rule, dict[str, str], dict[str, str]]] = [
    (
        imports.cycles,
        {"gateway/core/a.py": "from gateway.core import b", "gateway/core/b.py": "def f():\n    import gateway.core.a"},
        {"gateway/core/a.py": "from gateway.core import b", "gateway/core/b.py": ""},
    ),
    (
        imports.cycles,
        {
            "gateway/core/__init__.py": "from .a import x",
            "gateway/core/a.py": "from .b import x",
            "gateway/core/b.py": "from . import c",
            "gateway/core/c.py": "from ..core.a import x",
        },
        {"gateway/core/__init__.py": "", "gateway/core/a.py": "from . import b", "gateway/core/b.py": ""},
    ),
    (
        imports.arrows,
        {"gateway/core/a.py": "from gateway.edge import log", "gateway/edge/log.py": ""},
        {"gateway/edge/a.py": "from gateway.core import log", "gateway/core/log.py": ""},
    ),
    (
        imports.arrows,
        {"gateway/flow/a.py": "import gateway.cli.main", "gateway/cli/main.py": ""},
        {"gateway/__main__.py": "import gateway.cli.main", "gateway/cli/main.py": ""},
    ),
    (
        imports.arrows,
        {"adapters/a/layout.py": "from adapters.b import codes", "adapters/b/codes.py": ""},
        {"adapters/a/layout.py": "from adapters.standards import codes", "adapters/standards/codes.py": ""},
    ),
    (imports.arrows, {"gateway/attic/a.py": ""}, {"gateway/console/a.py": ""}),
    (imports.libraries, {"gateway/flow/a.py": "import lxml.etree"}, {"gateway/codec/xml.py": "import lxml.etree"}),
    (imports.libraries, {"gateway/edge/a.py": "import unheard_of"}, {"gateway/edge/a.py": "import json, msgspec"}),
    (imports.impure, {"adapters/a/route.py": "import random"}, {"gateway/edge/a.py": "import random"}),
    (imports.impure, {"gateway/core/a.py": "from os import environ"}, {"gateway/core/a.py": "import re"}),
    (
        imports.impure,
        {"gateway/codec/a.py": "text = open('x').read()"},
        {"gateway/edge/a.py": "text = open('x').read()"},
    ),
    (imports.impure, {"gateway/core/a.py": "t = datetime.now()"}, {"gateway/core/a.py": "t = context.now"}),
    (imports.impure, {"gateway/flow/a.py": "t = datetime.now(UTC)"}, {"gateway/flow/a.py": "t = ports.clock.now()"}),
    (imports.impure, {"gateway/codec/a.py": "import logging"}, {"gateway/codec/a.py": "import hashlib"}),
    (imports.asynchronous, {"gateway/core/a.py": PORT}, {"gateway/core/ports.py": PORT}),
    (
        imports.asynchronous,
        {"gateway/core/ports.py": "async def f() -> None:\n    await g()"},
        {"gateway/flow/a.py": "async def f() -> None:\n    await g()"},
    ),
    (imports.floats, {"gateway/core/money.py": "rate = 0.01"}, {"gateway/core/money.py": "rate = 1"}),
    (imports.floats, {"adapters/a/layout.py": "yuan = fen / 100"}, {"adapters/a/layout.py": "yuan = fen // 100"}),
    (
        imports.floats,
        {"gateway/core/ports.py": "class Ledger:\n    def total(self) -> float: ..."},
        {"gateway/core/ports.py": "class Clock:\n    def monotonic(self) -> float: ..."},
    ),
    (lines.bad_names, {"gateway/core/utils.py": ""}, {"gateway/core/money.py": ""}),
    (lines.bad_names, {"gateway/common/__init__.py": ""}, {"gateway/core/commons.py": ""}),
    (lines.sleeps, {"gateway/edge/a.py": "asyncio.sleep(1)"}, {"gateway/edge/clock.py": "asyncio.sleep(1)"}),
    (lines.sleeps, {"gateway/cli/serve.py": "clock.sleep(1)"}, {"gateway/cli/demo.py": "asyncio.sleep(1)"}),
    (
        lines.sleeps,
        {"gateway/cli/a.py": "@retry(on=E)\ndef f(): ..."},
        {"gateway/flow/a.py": "@retry(on=E)\ndef f(): ..."},
    ),
    (lines.bank_names, {**ADAPTER, "gateway/flow/a.py": "x = 'zebra'"}, {**ADAPTER, "gateway/cli/a.py": "x = 'zebra'"}),
    (lines.bank_names, {"gateway/edge/a.py": "if bank == 'ICBC': ..."}, {"gateway/edge/a.py": "'''As ICBC does.'''"}),
    (lines.adapter_folders, {"adapters/zebra/__init__.py": ""}, ADAPTER),
    (lines.adapter_folders, {"adapters/zebra/extra.py": ""}, {"adapters/standards/camt.py": ""}),
    (lines.charset_guesses, {"gateway/edge/a.py": "x.decode('GBK')"}, {"gateway/codec/text.py": "x.decode('GBK')"}),
    (
        lines.charset_guesses,
        {"adapters/a/layout.py": "x.decode('utf-8', 'replace')"},
        {"adapters/a/layout.py": "x.decode()"},
    ),
    (
        lines.name_stripping,
        {"gateway/flow/a.py": "n = row.payee_name.strip()"},
        {"gateway/core/names.py": "n = name.strip()"},
    ),
    (
        lines.typed_states,
        {"gateway/flow/a.py": "if run.state == 'held': ..."},
        {"gateway/flow/a.py": "if run.state is HELD: ..."},
    ),
    (
        lines.typed_states,
        {"gateway/flow/a.py": "run.state = 'held'"},
        {"gateway/flow/a.py": "run.state = step(run.state, E)"},
    ),
    (
        lines.unitless_durations,
        {"gateway/edge/a.py": "def f(timeout: int): ..."},
        {"gateway/edge/a.py": "def f(timeout_s: int): ..."},
    ),
    (lines.sizes, {"tests/a.py": "\n" * 451}, {"tests/a.py": "\n" * 450}),
    (
        lines.sizes,
        {"gateway/edge/ledger/migrations/env.py": "\n" * 451},
        {"gateway/edge/ledger/migrations/versions/r0001.py": "\n" * 451},
    ),
    (lines.sizes, {"bench/a.py": "def f():\n" + "    x = 1\n" * 80}, {"bench/a.py": "def f():\n" + "    x = 1\n" * 79}),
    (lines.excuses, {"bench/a.py": "x = 1  # noqa: E501"}, {"bench/a.py": "x = 1  # noqa: E501 - an address"}),
    (
        lines.excuses,
        {"bench/a.py": "x = 1  # type: ignore[misc]"},
        {"bench/a.py": "x = 1  # type: ignore[misc]  # no stubs"},
    ),
    (lines.excuses, {"tests/a.py": "pytest.skip()"}, {"tests/a.py": "pytest.skip('no server is installed')"}),
    (
        lines.excuses,
        {"tests/a.py": "x = pytest.mark.xfail"},
        {"tests/a.py": "x = pytest.mark.xfail(reason='a known fault')"},
    ),
    (
        lines.silent_tests,
        {"tests/test_a.py": "def test_a(): ..."},
        {"tests/test_a.py": "def test_a():\n    '''It holds.'''"},
    ),
    (
        lines.silent_tests,
        {"tests/test_a.py": "from unittest.mock import patch"},
        {"tests/test_a.py": "import unittest"},
    ),
]


@pytest.mark.parametrize(
    ("rule", "bad", "good"), PROOFS, ids=[f"{rule.__name__}-{i}" for i, (rule, _, _) in enumerate(PROOFS)]
)
def test_a_rule_can_fail(rule: Rule, bad: dict[str, str], good: dict[str, str]) -> None:
    """A rule finds the line made for it, names its file, and passes the line's nearest good neighbour."""
    violations = rule(Tree.of(bad))
    assert violations, "the rule saw nothing"
    assert any(any(path in violation or path.split("/")[1] in violation for path in bad) for violation in violations)
    assert rule(Tree.of(good)) == []


def test_every_rule_has_a_proof() -> None:
    """No rule stands here that was never seen to fail."""
    assert set(RULES) == {rule for rule, _, _ in PROOFS}


def test_every_place_of_a_library_says_why() -> None:
    """The allow-list gives a reason for each place."""
    assert all(reason for places in imports.LIBRARIES.values() for reason in places.values())


LOCKS = ("requirements.lock", "requirements-dev.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_hashes_and_no_address(lock: str) -> None:
    """A lock names packages, versions and hashes, and leaves the index to whoever installs."""
    text = (ROOT / lock).read_text()
    assert not re.findall(r"^-.*|\S*://\S*|\S*@ file\S*", text, re.M)
    entries = re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    assert [entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def _names(wanted: list[str]) -> set[str]:
    return {re.split(r"[>=<\[;]", item)[0].lower().replace("_", "-") for item in wanted}


def test_the_product_depends_on_what_it_imports() -> None:
    """pyproject.toml asks for every package that gateway/ and adapters/ import, sandbox banks included, and for no other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    imported = {name.partition(".")[0] for module in TREE.product() for _, name in module.imports}
    packages = packages_distributions()
    used = {packages[name][0].lower().replace("_", "-") for name in imported & set(imports.LIBRARIES)}
    extras = _names([item for items in project["optional-dependencies"].values() for item in items])
    assert used - extras == _names(project["dependencies"]) - {"greenlet"}  # SQLAlchemy imports that one
    assert extras <= used


def test_every_dependency_is_locked() -> None:
    """What pyproject.toml asks for stands in the lock: `make lock` was run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = project["project"]["dependencies"]
    extras = [item for items in project["project"]["optional-dependencies"].values() for item in items]
    development = extras + [item for item in project["dependency-groups"]["dev"] if isinstance(item, str)]
    for lock, wanted in ((LOCKS[0], runtime), (LOCKS[1], runtime + development)):
        locked = set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / lock).read_text(), re.M))
        names = _names(wanted)
        assert names <= locked, f"{lock} lacks {names - locked}: make lock"


def test_no_file_of_the_tree_tells_where_it_was_made() -> None:
    """No tracked file holds a private key or the address of a package registry; uv.lock would."""
    hosts = rb"pyp[i][.]org|pythonhoste[d]|registry[.]npmj[s]|(deb|snapshot)[.]debia[n]"
    forbidden = re.compile(hosts + rb"|^-----BEGIN ([A-Z]+ )?PRIVATE KEY", re.M)
    assert [path.name for path in GIT_FILES if path.name == "uv.lock" or forbidden.search(path.read_bytes())] == []


def test_no_cache_or_database_is_tracked() -> None:
    """What a run writes stays out of the history."""
    made = re.compile(r"\.(pyc|sqlite|p12|pfx|key)$|/certs/dev/|egg-info/")
    assert [path for path in map(Path.as_posix, GIT_FILES) if made.search(path)] == []
