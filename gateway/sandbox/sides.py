"""Which code speaks which format on the banks' side.

A format's side is the module ``<adapter>_side`` here: ``SIDE`` makes one that takes and gives files, ``CONVERSATION`` one that is talked to.
"""

from __future__ import annotations

import importlib
import importlib.util

from gateway.sandbox.bank import Counterpart
from gateway.sandbox.config import SandboxBank
from gateway.sandbox.conversation import Conversation
from gateway.sandbox.orders import Side

_ELSEWHERE = {"standard_file": "standard_side"}


def side(config: SandboxBank) -> Side:
    """The files of the format that a bank is configured for. Raises ValueError where it is only talked to, or nobody here speaks it."""
    make = getattr(_module(config.adapter), "SIDE", None)
    if make is None:
        raise ValueError(f"{config.adapter} is talked to, over HTTP")
    found: Side = make(config)
    return found


def conversation(config: SandboxBank, bank: Counterpart) -> Conversation:
    """The words of the format that a bank is configured for. Raises ValueError where it has files only, or nobody here speaks it."""
    make = getattr(_module(config.adapter), "CONVERSATION", None)
    if make is None:
        raise ValueError(f"{config.adapter} is not talked to")
    found: Conversation = make(config, bank)
    return found


def _module(adapter: str) -> object:
    name = f"gateway.sandbox.{_ELSEWHERE.get(adapter, f'{adapter}_side')}"
    if not adapter.isidentifier() or importlib.util.find_spec(name) is None:
        raise ValueError(f"no bank here speaks {adapter}")
    return importlib.import_module(name)
