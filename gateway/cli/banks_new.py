"""``sheyin banks new NAME``: the skeleton of a format, with tests that fail until it is filled in."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

from gateway.cli.output import AsJson, Exit, Output
from gateway.core.errors import Code, Conflict, Refused

_NAME = re.compile(r"[a-z][a-z0-9_]{1,30}", re.ASCII)
_FILES = {
    "__init__.txt": "adapters/{name}/__init__.py",
    "layout.txt": "adapters/{name}/layout.py",
    "codes.txt": "adapters/{name}/codes.py",
    "route.txt": "adapters/{name}/route.py",
    "README.txt": "adapters/{name}/README.md",
    "test.txt": "tests/adapters/test_{name}.py",
}


def new(name: str, /, *, root: Path = Path(), as_json: AsJson = False) -> Exit:
    """Write the skeleton of a new format into a checkout of the source: adapters/NAME and its test module.

    It is discovered at once, and its tests fail until it is written: adapters/README.md tells how, step by step.

    Parameters
    ----------
    name
        The format's code: lower case letters, digits and underscores. Name the format, not a bank that happens to speak it.
    root
        The checkout.
    """
    output = Output(as_json)
    if not _NAME.fullmatch(name):
        raise Refused(f"{name!r} is no name for a format: lower case letters, digits, underscores", code=Code.FORMAT)
    if not (root / "adapters" / "README.md").is_file():
        raise Refused(
            "this is no checkout of the source: there is no adapters/README.md", code=Code.PATH, where=str(root)
        )
    targets = {source: root / path.format(name=name) for source, path in _FILES.items()}
    if there := [path for path in targets.values() if path.exists()]:
        raise Conflict("is there already, and was not overwritten", where=str(there[0]))
    templates = files("gateway.cli") / "skeleton"
    for source, path in targets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        text = Template((templates / source).read_text(encoding="utf-8")).substitute(name=name)
        path.write_text(text, encoding="utf-8")
    if as_json:
        output.json({"written": [str(path) for path in targets.values()]})
    for path in targets.values():
        output.say(f"written: {path}")
    output.say(f'Next: adapters/README.md, then `make test ARGS="tests/adapters -k {name}"`.')
    return Exit.OK
