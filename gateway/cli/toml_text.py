"""A configuration as TOML text: what the demo keeps and the benchmark serves from. (``sheyin init`` writes a commented one by hand.)"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.cli.config import Config
from gateway.cli.config_file import File
from gateway.core.settings import Gateway


def write_config(config: Config, path: Path, **settings: str) -> None:
    """The configuration as the file that ``--config`` names; ``settings`` of ``[gateway]`` in the place of its own."""
    gateway: Gateway = msgspec.structs.replace(config.gateway, **settings)
    file = File(
        gateway=gateway,
        atrest=config.atrest,
        keys=dict(config.keys.keys),
        pins=dict(config.keys.pins),
        secrets=dict(config.keys.secrets),
        engines=dict(config.keys.engines),
        payer=config.payers,
        bank=config.banks,
    )
    path.write_text(toml(msgspec.to_builtins(file)), encoding="utf-8")


def toml(document: Mapping[str, Any]) -> str:
    """A document of tables and lists of tables as TOML; what is deeper stands inline. None is left out."""
    lines: list[str] = []
    for name, value in document.items():
        if isinstance(value, Mapping):
            plain = {key: each for key, each in value.items() if not isinstance(each, Mapping)}
            lines += [f"[{name}]", *_settings(plain)] if plain else []
            for key, each in value.items():
                if isinstance(each, Mapping):
                    lines += [f"[{name}.{json.dumps(key)}]", *_settings(each)]
        else:
            for each in value:
                lines += [f"[[{name}]]", *_settings(each)]
    return "\n".join(lines) + "\n"


def _settings(table: Mapping[str, Any]) -> list[str]:
    return [f"{json.dumps(key)} = {_inline(value)}" for key, value in table.items() if value is not None]


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(_settings(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
