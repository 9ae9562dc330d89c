"""Logs: one JSON object a line, UTC, and nobody's id number, account or name in it.

Redaction is the last step before the line is written, so it also sees what tracebacks and libraries say (PROMISES
H17, H18): tracebacks carry no local variables, JSON escapes control characters, and the log of every library goes the
same way.

What is masked:

- values under the keys of ``MASKS`` (``account``, ``id_number``, ``name``, ``password``, ...), at any depth. The name
  of a document or a queue therefore needs another key (``document=``, ``queue=``);
- 15 to 19 digits in any text (id numbers of 15 and 18, account and card numbers of 16 to 19), also in groups of four.
  Digests and message ids are let through whole.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from gateway.core.ids import mask_account, mask_id, mask_name
from gateway.core.ports import Clock

DEPTH_MAX = 8
_KEEP = r"(?P<keep>\b(?:[0-9a-f]{40}|[0-9a-f]{64}|[0-9A-HJKMNP-TV-Z]{26})\b)"
_ID = r"(?P<id>(?<![0-9])[0-9]{17}[0-9Xx](?![0-9A-Za-z]))"
_DIGITS = r"(?P<digits>(?<![0-9])[0-9]{15,19}(?![0-9]))"
_GROUPS = r"(?P<groups>(?<![0-9])[0-9]{4}(?P<gap>[ -])(?:[0-9]{4}(?P=gap)){2}[0-9]{4}(?:(?P=gap)[0-9]{1,3})?(?![0-9]))"
_FOUND = re.compile("|".join((_KEEP, _ID, _DIGITS, _GROUPS)), re.ASCII)


def _hide(_: str) -> str:
    return "***"


MASKS: Mapping[str, Callable[[str], str]] = {
    "account": mask_account,
    "alternative_account": mask_account,
    "debit_account": mask_account,
    "id_number": mask_id,
    "name": mask_name,
    "payee": mask_name,
    "holder": mask_name,
    "password": _hide,
    "secret": _hide,
    "token": _hide,
    "private_key": _hide,
}


def redact_text(text: str) -> str:
    """``text`` with every number masked that could be a person's id or account."""
    return _FOUND.sub(_masked, text)


def _masked(found: re.Match[str]) -> str:
    if found["keep"]:
        return found["keep"]
    if found["id"]:
        return mask_id(found["id"])
    return mask_account(found["digits"] or found["groups"])


def redact(value: Any, key: str = "", depth: int = 0) -> Any:
    """Any value that a log line may hold, masked at every depth, keys included: they may come from outside."""
    if depth > DEPTH_MAX:
        return "…"
    if isinstance(value, Mapping):
        return {redact_text(str(inner)): redact(item, str(inner), depth + 1) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, key, depth + 1) for item in value]
    if value is None or isinstance(value, bool | float):
        return value
    mask = MASKS.get(key.lower())
    if isinstance(value, int):
        return value if mask is None and abs(value) < 10**14 else redact_text(mask(str(value)) if mask else str(value))
    text = value if isinstance(value, str) else repr(value)
    return redact_text(mask(text) if mask else text)


def redaction(_: Any, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """The processor; nothing but the renderer comes after it."""
    redacted: dict[str, Any] = redact(event)
    return redacted


def configure(stream: TextIO | None = None, level: str = "INFO", clock: Clock | None = None) -> None:
    """Send every log of the process, ours and the libraries', to ``stream`` (stderr) as JSON lines.

    ``clock`` dates the lines by the gateway's clock (the demo's is in June 2015); without it they carry real time.
    """

    def dated(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if clock is not None:
            event["timestamp"] = clock.now().isoformat()
        return event

    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        dated,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,  # text without local variables
            redaction,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("asyncssh").setLevel(logging.WARNING)  # it tells every request at INFO
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
