"""Which code speaks which format on the banks' side."""

from __future__ import annotations

from gateway.sandbox.config import SandboxBank
from gateway.sandbox.iso20022_side import IsoSide
from gateway.sandbox.orders import Side
from gateway.sandbox.standard_side import StandardSide


def side(config: SandboxBank) -> Side:
    """The format that a bank is configured for."""
    return IsoSide(config) if config.adapter == "iso20022" else StandardSide(config)
