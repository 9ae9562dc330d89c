"""Every bad input of the list has a test that exists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.index import CASES, SECTIONS, Case

ROOT = Path(__file__).parents[2]


def held(name: str, nodes: frozenset[str]) -> bool:
    """Whether the name is a test's, a parametrised test's, or that and the beginning of one of its parameters."""
    function, _, parameter = name.partition("[")
    for node in nodes:
        found, _, parameters = node.partition("[")
        if found == function and (not parameter or parameters.startswith(parameter) or f"-{parameter}" in parameters):
            return True
    return False


@pytest.fixture(scope="module")
def nodes() -> frozenset[str]:
    """Every test that pytest finds in the modules that the index names."""
    modules = sorted({name.partition("::")[0] for case in CASES for name in case.tests})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    found = subprocess.run([*command, *modules], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-2_000:] + found.stderr[-2_000:]
    return frozenset(line for line in found.stdout.splitlines() if "::" in line)


def test_every_number_is_there_once() -> None:
    """No case of a section is left out, and none stands there twice."""
    expected = [f"{section}{number}" for section, most in SECTIONS.items() for number in range(1, most + 1)]
    assert [case.id for case in CASES] == expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_case_has_its_tests(nodes: frozenset[str], case: Case) -> None:
    """Each test that the case names exists, by collection."""
    assert case.tests
    assert [name for name in case.tests if not held(name, nodes)] == []


def test_a_name_that_fits_nothing_is_noticed(nodes: frozenset[str]) -> None:
    """Else every name would do: a module, half a function, a parameter that nobody has."""
    module, _, function = CASES[-1].tests[0].partition("::")
    for name in (module, f"{module}::{function[:-1]}", f"{module}::{function}[no such", f"{module}::test_nothing"):
        assert not held(name, nodes)
