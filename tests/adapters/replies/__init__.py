"""What a bank typically answers in each conversation, for the suite over every route: one module a format that talks, named like its folder.

A module has ``replies(request, document)``: the bank's typical answers to a request (a Post as a rule), best first; empty leaves it to the
suite. ``document`` is the one that travels, or the first that ``fetch`` asks about. The suite's Encrypt and Open give back what they were
given, so a body may stand there in plain. A module may have ``payload(kind)``, the bytes that Read reads; without it they are
what the format writes for a few payments.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType


def of(code: str) -> ModuleType | None:
    """The module of a format; None for one that never talks."""
    name = f"{__name__}.{code}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
