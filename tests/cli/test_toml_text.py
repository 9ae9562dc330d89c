"""A configuration written for a trial is the one that it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gateway.cli import config
from gateway.cli.toml_text import write_config

GIVEN: dict[str, Any] = {
    "gateway": {"bureau": "某市社保局"},
    "keys": {"bureau-sign": {"use": "sign", "file": "a.key", "certificate": "a.crt"}},
    "pins": {"banka-sign": {"file": "b.crt"}},
    "secrets": {"banka-sm4": {"credential": "banka-sm4", "form": "hex"}},
    "engines": {"card": {"kind": "pkcs11", "module": "/usr/lib/card.so", "token": "bureau", "pin": "card-pin"}},
    "payer": [{"code": "PENSION", "name": "养老金"}],
    "bank": [
        {
            "code": "BANKA",
            "name": "Bank Jia",
            "adapter": "iso20022",
            "wire": "folder",
            "customer": "FS0001",
            "pins": ["banka-sign"],
            "wire_options": {"root": "exchange"},
        }
    ],
}


def test_every_section_is_written(tmp_path: Path) -> None:
    """Keys, pins, shared keys and engines too: what is forgotten would be missed by the first command on a kept demo."""
    made = config.of(GIVEN, tmp_path)
    path = tmp_path / "sheyin.toml"
    write_config(made, path)
    read = config.load(path, {})
    assert msgspec.to_builtins(read.keys) == msgspec.to_builtins(made.keys)
    assert (read.payers, read.banks, read.gateway) == (made.payers, made.banks, made.gateway)
    assert read.keys.secrets
    assert read.keys.engines
