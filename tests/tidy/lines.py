"""Rules on lines that are homeless where they stand, on size, and on excuses."""

from __future__ import annotations

import ast
import re

from tests.tidy.tree import Module, Tree, Violation, at, last_name

MODULE_LINES_MAX = 450
FUNCTION_LINES_MAX = 80

BAD_NAMES = {"util", "utils", "common", "helper", "helpers", "base", "manager", "misc"}
CHARSETS = {"gb18030", "gbk", "gb2312", "cp936", "big5", "utf-16", "latin-1", "iso-8859-1"}
DURATION = re.compile(r"(^|_)(timeout|interval|delay|ttl|duration|lease|deadline_in)$")
# Codes and names by which real banks go: configuration, never code.
BANK_NAMES = {"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC", "CMB", "CITIC", "CEB", "CMBC", "SPDB", "GDB", "CIB"}
BANK_NAME_TEXT = re.compile(
    "工商银行|农业银行|中国银行|建设银行|交通银行|邮储银行|邮政储蓄|招商银行|农商银行|农村商业银行"
)
# Where something may sleep besides flow, and why.
MAY_SLEEP = {
    "gateway/edge/clock.py": "it is the Clock port made real",
    "gateway/cli/demo.py": "it moves the virtual clock that the stages sleep on: it alone must wait in real time",
}
MAY_NAME_FORMATS = ("gateway/sandbox/", "gateway/cli/")  # demo banks; configuration templates


# A migration is a list of statements that alembic wrote and nobody edits once it has run anywhere: cutting it up would
# change what has happened, and no reader is helped. Its size is the schema's.
GENERATED = "gateway/edge/ledger/migrations/versions/"


def bad_names(tree: Tree) -> list[Violation]:
    """Files and folders whose name says nothing."""
    return [
        f"{path}: a name that says nothing"
        for path in sorted(tree.files)
        if BAD_NAMES & {part.removesuffix(".py") for part in path.split("/")} and path.endswith(".py")
    ]


def sleeps(tree: Tree) -> list[Violation]:
    """Sleeping and retrying outside flow and MAY_SLEEP, which says why."""
    found = []
    for module in tree.product():
        if module.layer == "flow" or module.path in MAY_SLEEP:
            continue
        for node, name in module.calls():
            if name in ("sleep", "retry", "retry_context"):
                found.append(at(module, node.lineno, f"{name}() belongs to flow"))
    return found


def bank_names(tree: Tree) -> list[Violation]:
    """A format's or a bank's name as a string of the gateway's code; demo banks and templates of configuration may."""
    formats = {path.split("/")[1] for path in tree.files if path.startswith("adapters/") and path.count("/") == 2}
    formats -= {"standards"}
    found = []
    for module in tree.product():
        own = module.path.split("/")[1] if module.layer == "adapters" else ""
        if module.path.startswith(MAY_NAME_FORMATS):
            continue
        texts = _docstrings(module)
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in texts:
                continue
            text = node.value
            named = text in BANK_NAMES or (text.removeprefix("adapters.").partition(".")[0] in formats - {own})
            if named or (
                BANK_NAME_TEXT.search(text) and own not in formats
            ):  # in its own folder it may say whose it is
                found.append(at(module, node.lineno, f"{text!r} names a bank or a format"))
    return found


def _docstrings(module: Module) -> set[int]:
    return {
        id(node.value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def adapter_folders(tree: Tree) -> list[Violation]:
    """An adapter's folder without one of its four modules or its README; shapes with two users have no such pages."""
    folders = {path.split("/")[1] for path in tree if path.startswith("adapters/") and path.count("/") >= 2}
    wanted = ("__init__.py", "layout.py", "codes.py", "route.py", "README.md")
    return [
        f"adapters/{folder}/: {name} is missing"
        for folder in sorted(folders - {"standards"})
        for name in wanted
        if f"adapters/{folder}/{name}" not in tree.files
    ]


def charset_guesses(tree: Tree) -> list[Violation]:
    """Charsets named, and characters lost on purpose, outside codec/text.py; adapters declare theirs as a value."""
    found = []
    for module in tree.product():
        if module.path == "gateway/codec/text.py" or module.layer == "sandbox":
            continue
        for node, name in module.calls():
            if name not in ("encode", "decode"):
                continue
            words = [
                item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and isinstance(item.value, str)
            ]
            bad = [word for word in words if word.lower() in CHARSETS or word in ("ignore", "replace")]
            found += [at(module, node.lineno, f"{name}({word!r}) belongs to codec/text.py") for word in bad]
    return found


def name_stripping(tree: Tree) -> list[Violation]:
    """`.strip()` on somebody's name outside core/names.py: a changed name is another payee."""
    return [
        at(module, node.lineno, "a name is only normalised by core/names.py")
        for module in tree.product()
        if module.path != "gateway/core/names.py"
        for node, name in module.calls()
        if name in ("strip", "lstrip", "rstrip")
        and isinstance(node.func, ast.Attribute)
        and re.search(r"(^|_)(name|payee|person|holder)$", last_name(node.func.value))
    ]


def typed_states(tree: Tree) -> list[Violation]:
    """A state compared with, or set to, a typed string instead of a member of its table."""
    found = []
    for module in tree.product():
        for node in ast.walk(module.tree):
            sides: list[ast.expr] = []
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
            elif isinstance(node, ast.Assign):
                sides = [*node.targets, node.value]
            states = [side for side in sides if re.fullmatch(r"(\w+_)?state", last_name(side))]
            if states and any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in sides):
                found.append(at(module, states[0].lineno, "a state typed as a string"))
    return found


def unitless_durations(tree: Tree) -> list[Violation]:
    """A numeric duration whose name does not end in its unit."""
    found = []
    for module in tree.product():
        for node in ast.walk(module.tree):
            named: tuple[str, ast.expr | None] | None = None
            if isinstance(node, ast.arg):
                named = node.arg, node.annotation
            elif isinstance(node, ast.AnnAssign):
                named = last_name(node.target), node.annotation
            if (
                named
                and named[1]
                and DURATION.search(named[0])
                and re.search(r"\b(int|float)\b", ast.unparse(named[1]))
            ):
                found.append(at(module, node.lineno, f"{named[0]}: a duration without its unit"))  # type: ignore[attr-defined]  # arg and AnnAssign both have a line
    return found


def sizes(tree: Tree) -> list[Violation]:
    """Modules and functions over the hard limits; the aim is lower (400 and 60). Generated migrations are as long as they are."""
    found = []
    for module in tree.values():
        if module.path.startswith(GENERATED):
            continue
        lines = module.source.count("\n")
        if lines > MODULE_LINES_MAX:
            found.append(f"{module.path}: {lines} lines, at most {MODULE_LINES_MAX}: is it still one thing?")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    found.append(
                        at(module, node.lineno, f"{node.name} has {length} lines, at most {FUNCTION_LINES_MAX}")
                    )
    return found


EXCUSE = re.compile(
    r"#\s*(noqa|type:\s*ignore|pragma:\s*no\s*cover)(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*|\[[\w,\s-]+\])?", re.I
)


def excuses(tree: Tree) -> list[Violation]:
    """A silenced check, a skip or an expected failure without its reason on the same line."""
    found = []
    for module in tree.values():
        for line, comment in module.comments():
            rest = EXCUSE.sub("", comment)
            if rest != comment and not re.search(r"\w{3}", rest):
                found.append(at(module, line, f"{comment!r} without a reason"))
        lines = module.source.splitlines()
        for node in ast.walk(module.tree):
            name = last_name(node)
            if (
                name in ("skip", "xfail", "importorskip", "skipif")
                and isinstance(node, ast.Attribute)
                and "pytest" in ast.unparse(node)
            ):
                rest = lines[node.lineno - 1][node.col_offset :].partition(name)[2]
                if not re.search(r"""^\.Exception|reason=|#\s*\w+|\(f?["'].*\w""", rest):
                    found.append(at(module, node.lineno, f"{ast.unparse(node)} without a reason on its line"))
    return found


def silent_tests(tree: Tree) -> list[Violation]:
    """A test without a sentence saying what holds, or one that patches the inside of what it tests."""
    found = []
    for module in tree.values():
        if not module.path.startswith("tests/"):
            continue
        found += [
            at(module, line, "patches insides: test through what is public")
            for line, name in module.imports
            if name.startswith("unittest.mock")
        ]
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name.startswith("test_")
                and not ast.get_docstring(node)
            ):
                found.append(at(module, node.lineno, f"{node.name} has no sentence that says what holds"))
    return found
