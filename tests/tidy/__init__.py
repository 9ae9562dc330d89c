"""The rules of the tree: each a function from a Tree to its violations; test_tidy.py proves that each can fail.

A tree is read once, as text; nothing of the product is imported.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.tidy import imports, lines
from tests.tidy.tree import Tree, Violation

Rule = Callable[[Tree], list[Violation]]

RULES: tuple[Rule, ...] = (
    imports.cycles,
    imports.arrows,
    imports.libraries,
    imports.impure,
    imports.asynchronous,
    imports.floats,
    lines.bad_names,
    lines.sleeps,
    lines.bank_names,
    lines.adapter_folders,
    lines.charset_guesses,
    lines.name_stripping,
    lines.typed_states,
    lines.unitless_durations,
    lines.sizes,
    lines.excuses,
    lines.silent_tests,
)
