"""The pages that people read, held to the code: links, commands, targets, folders, examples, codes."""

from __future__ import annotations

import re

import msgspec
import pytest

from gateway.cli import COMMANDS
from gateway.core import contracts
from gateway.core.errors import Code
from gateway.core.points import POINTS
from tests.servers import ROOT
from tests.tidy.tree import Tree

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "docs/changes/README.md", "adapters/**/*.md", "gateway/**/*.md", "schemas/**/*.md", "certs/*.md")
    for path in ROOT.glob(pattern)
)  # fmt: skip
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
PAYERS = ("docs/payers.md", "docs/payers.zh-CN.md")
PAIRS = [("README.md", "README.zh-CN.md"), ("docs/operations.md", "docs/operations.zh-CN.md"), PAYERS]


def _name(path: object) -> str:
    return str(path).removeprefix(f"{ROOT}/")


def broken(text: str, folder: str) -> list[str]:
    """Relative links of a page in this folder that lead nowhere; examples in fences are none."""
    links = [link for link in LINK.findall(FENCE.sub("", text)) if not re.match(r"[a-z]+:", link)]
    return [link for link in links if not (ROOT / folder / link).exists()]


def commands(text: str) -> set[str]:
    """What stands after `sheyin` in code of a page."""
    return set(re.findall(r"(?:(?<=`)|(?<=^)|(?<=; )|(?<=bin/))sheyin ([a-z]+)", text, re.MULTILINE))


def targets(text: str) -> set[str]:
    """What stands after `make` in code of a page."""
    return set(re.findall(r"(?:(?<=`)|(?<=^))make ([a-z-]+)", text, re.MULTILINE))


def test_a_broken_link_is_found() -> None:
    """The search finds a link that leads nowhere, and no other."""
    assert broken("[a](README.md) [b](nowhere.md#x) [c](https://example.org/x)\n```\n[d](no.md)\n```\n", "docs/..") == [
        "nowhere.md"
    ]


def test_commands_and_targets_are_found() -> None:
    """The search sees commands in code, at the beginning of lines and behind semicolons, and no prose about sheyin."""
    assert commands("`sheyin a` and sheyin b\nsheyin c --x ; sheyin d\n`.venv/bin/sheyin e`") == {"a", "c", "d", "e"}
    assert targets("`make a` we make b\nmake c-d") == {"a", "c-d"}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: object) -> None:
    """Every relative link of every page is a file or folder of the tree."""
    path = ROOT / _name(page)
    assert not broken(path.read_text(encoding="utf-8"), _name(path.parent) if path.parent != ROOT else ".")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_and_targets_exist(page: object) -> None:
    """Every command and every make target that a page names is there."""
    text = (ROOT / _name(page)).read_text(encoding="utf-8")
    assert commands(text) <= {command.name for command in COMMANDS}
    assert targets(text) <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_index_names_every_page() -> None:
    """docs/index.md links every page there is, except itself and single changes."""
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = {(ROOT / "docs" / link).resolve() for link in LINK.findall(text)}
    assert {page.resolve() for page in PAGES} - linked == {ROOT / "docs" / "index.md"}


def mapped(text: str) -> tuple[set[str], set[str]]:
    """Folders of the first fenced map in a page, by indentation: those that are there, and those that are not yet."""
    there: set[str] = set()
    later: set[str] = set()
    above: list[str] = []
    for line in text.split("```")[1].splitlines():
        if found := re.match(r"((?:  )*)([a-z0-9_]+)/(?: |$)", line):
            above = [*above[: len(found[1]) // 2], found[2]]
            (later if "(not yet)" in line else there).add("/".join(above))
    return there, later


def test_a_map_is_read_by_its_indentation() -> None:
    """Folders stand below the line that is less indented; modules and prose are none."""
    assert mapped("```\na/  x\n  b/  y\n    c/  (not yet)\n    (modules) d\ne/  z\n```") == (
        {"a", "a/b", "e"},
        {"a/b/c"},
    )


def test_the_map_equals_the_tree() -> None:
    """ARCHITECTURE.md's map names every folder of code down to the second level, formats by their names, and none that is not there."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    there, later = mapped(text)
    files = {path for path in Tree.read(ROOT).files if path.endswith(".py")}
    folders = {"/".join(path.split("/")[:depth]) for path in files for depth in (1, 2, 3) if path.count("/") >= depth}
    wanted = {
        folder
        for folder in folders
        if folder.startswith(("gateway", "adapters", "bench", "tests"))
        and not re.match(r"(?:adapters|tests|gateway/(?!edge/)[a-z]+)/", folder)
    }
    assert wanted <= there
    assert all((ROOT / folder).is_dir() for folder in there)
    assert not later & folders
    formats = {folder.removeprefix("adapters/") for folder in folders if re.fullmatch(r"adapters/[a-z0-9_]+", folder)}
    assert all(name in text for name in formats)


def test_every_crash_point_is_told() -> None:
    """ARCHITECTURE.md has one row for each crash point, in the order and the words of the code."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z]+\.[a-z]+)` \| (.*) \|$", text, re.MULTILINE) == list(POINTS.items())


@pytest.mark.parametrize("page", PAYERS)
def test_message_examples_are_what_the_code_takes(page: str) -> None:
    """Every example decodes as its own message, strictly, and every message that a payer sends has one."""
    shown = re.findall(r"^```json\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    found = [msgspec.json.decode(example, type=contracts.Envelope) for example in shown]
    for envelope in found:
        kind = (contracts.INBOUND | contracts.OUTBOUND)[envelope.type]
        msgspec.json.decode(envelope.data, type=kind)
        assert envelope.dataschema in ("", contracts.dataschema(envelope.type))
    assert set(contracts.INBOUND) <= {envelope.type for envelope in found}


@pytest.mark.parametrize("page", PAYERS)
def test_every_code_is_told(page: str) -> None:
    """Each reject code has its row for payers, and there is no row for a code that is none."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE) == [str(code) for code in Code]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
def test_both_languages_say_the_same(pair: tuple[str, str]) -> None:
    """A page and its translation have as many sections, table rows and examples, and name the same commands."""
    one, other = ((ROOT / page).read_text(encoding="utf-8") for page in pair)
    for shape in (r"^## ", r"^\|", r"^- "):
        assert len(re.findall(shape, one, re.MULTILINE)) == len(re.findall(shape, other, re.MULTILINE)), shape
    assert commands(one) == commands(other)
