"""The example of a format's page, as an operator would use it."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.cli import config

PAGES = Path(__file__).parents[2] / "adapters"
_GATEWAY = """
[gateway]
bureau = "某市社会保险基金管理局"

[[payer]]
code = "PENSION"
name = "养老金"

"""


def accepted(code: str, folder: Path) -> None:
    """The first TOML block of the format's README is the [[bank]] of a configuration that is accepted. Raises Refused."""
    (example, *_) = re.findall(r"```toml\n(.*?)```", (PAGES / code / "README.md").read_text(encoding="utf-8"), re.S)
    path = folder / "sheyin.toml"
    path.write_text(_GATEWAY + example, encoding="utf-8")
    (bank,) = config.load(path).banks
    assert bank.adapter == code
