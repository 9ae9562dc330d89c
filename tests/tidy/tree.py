"""The tree as the rules see it: every Python file, its layer, its imports, calls and comments."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PURE = ("core", "codec", "adapters")

Violation = str


@dataclass(frozen=True)
class Module:
    """One Python file: its path from the root, with `/`, and its text."""

    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)

    @property
    def name(self) -> str:
        """The dotted name, e.g. `gateway.core.money`, packages without `__init__`."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def layer(self) -> str | None:
        """The module's layer; None outside the product."""
        parts = self.path.split("/")
        if parts[0] == "adapters":
            return "adapters"
        if parts[0] != "gateway":
            return None
        if len(parts) == 2:
            return {"__init__.py": "package", "__main__.py": "main"}.get(parts[1], "nowhere")
        return parts[1]

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """(line, dotted name) of everything imported anywhere in it; `from a import b` gives `a.b`."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                origin = node.module or ""
                if node.level:
                    package = self.name if self.path.endswith("/__init__.py") else self.name.rpartition(".")[0]
                    above = package.split(".")[: len(package.split(".")) - node.level + 1]
                    origin = ".".join([*above, origin]).rstrip(".")
                found += [(node.lineno, f"{origin}.{alias.name}") for alias in node.names]
        return found

    def calls(self) -> Iterator[tuple[ast.Call, str]]:
        """Every call with the last name of what is called."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield node, last_name(node.func)

    def comments(self) -> Iterator[tuple[int, str]]:
        """(line, text) of every comment."""
        for token in tokenize.generate_tokens(io.StringIO(self.source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


class Tree(dict[str, Module]):
    """The Python files under the top folders, by path. `files` holds every path, Python or not."""

    files: set[str]

    @classmethod
    def read(cls, root: Path) -> Tree:
        tree = cls()
        tree.files = set()
        for top in ("gateway", "adapters", "tests", "bench"):
            for path in sorted((root / top).rglob("*")):
                name = path.relative_to(root).as_posix()
                if path.is_file() and "__pycache__" not in name:
                    tree.files.add(name)
                    if path.suffix == ".py":
                        tree[name] = Module(name, path.read_text(encoding="utf-8"))
        return tree

    @classmethod
    def of(cls, sources: dict[str, str]) -> Tree:
        """A tree made of texts by path, for proving that a rule can fail."""
        tree = cls({path: Module(path, source) for path, source in sources.items() if path.endswith(".py")})
        tree.files = set(sources)
        return tree

    def product(self) -> list[Module]:
        return [module for module in self.values() if module.layer is not None]

    def layers(self, *names: str) -> list[Module]:
        return [module for module in self.values() if module.layer in names]

    @cached_property
    def names(self) -> dict[str, Module]:
        return {module.name: module for module in self.product()}

    def ours(self, imported: str) -> Module | None:
        """The module of ours that an imported dotted name stands in."""
        return self.names.get(imported) or self.names.get(imported.rpartition(".")[0])


def last_name(node: ast.AST) -> str:
    """`a.b.c` gives `c`, `c` gives `c`, anything else gives nothing."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def at(module: Module, line: int, what: str) -> Violation:
    return f"{module.path}:{line}: {what}"
