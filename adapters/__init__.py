"""One folder a format. ``sheyin banks`` lists them; README.md tells how to add one."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from gateway.core.adapter import Adapter

STANDARDS = "standards"


def discover() -> dict[str, Adapter]:
    """Every format that is installed, by its code, in the order of codes: each folder here but ``standards``.

    A folder without an ``ADAPTER``, or whose ADAPTER has another code than its folder's name, is a ValueError: a format
    that is silently left out would be a bank that is silently not paid.
    """
    found: dict[str, Adapter] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if not module.ispkg or module.name == STANDARDS:
            continue
        adapter = getattr(import_module(f"{__name__}.{module.name}"), "ADAPTER", None)
        if not isinstance(adapter, Adapter) or adapter.code != module.name:
            raise ValueError(f"adapters/{module.name} holds no ADAPTER with its own code")
        found[adapter.code] = adapter
    return found
