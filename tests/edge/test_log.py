"""Logs: JSON lines without anybody's number or name, whatever was logged and by whom."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from gateway.edge import log
from gateway.edge.clock import ManualClock

ID = "110101199003071234"
ID_X = "11010119900307123X"
ID_15 = "110101900307123"
CARD = "6222021234567890123"
ACCOUNT = "6222021234567890"
SECRETS = (ID, ID_X, ID_15, CARD, ACCOUNT, "张三丰", "hunter2-password")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging configured into memory, and put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    log.configure(out, "DEBUG", ManualClock(datetime(2015, 6, 10, tzinfo=UTC)))
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def line(stream: io.StringIO) -> dict[str, Any]:
    """The one line that was written."""
    (only,) = stream.getvalue().splitlines()
    found: dict[str, Any] = json.loads(only)
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {"account": CARD, "id_number": ID, "name": "张三丰", "password": "hunter2-password"},
        {"text": f"paid {CARD} to {ID_X}, {ID_15},{ACCOUNT}."},
        {"nested": [{"payee": {"name": "张三丰", "accounts": [CARD, int(CARD)]}}]},
        {"number": int(CARD)},
        {"keys": {CARD: 1}},
        {"bytes": CARD.encode(), "error": ValueError(f"no account {CARD}")},
        {"set": {CARD}, "tuple": (ID,)},
        {"text": f"姓名张三 身份证{ID_X}卡{CARD}元"},
        {"Name": "张三丰"},
    ],
)
def test_no_canary_is_printed(stream: io.StringIO, fields: dict[str, Any]) -> None:
    """Planted id numbers, accounts, names and passwords never reach the line, wherever they stand."""
    structlog.get_logger("t").info(f"about {CARD}", **fields)
    for secret in SECRETS:
        assert secret not in json.dumps(line(stream), ensure_ascii=False)


def test_a_traceback_shows_neither_locals_nor_numbers(stream: io.StringIO) -> None:
    """The frames are there, what they held is not, and the message is masked."""
    held = "hunter2-password"
    try:
        raise ValueError(f"cannot pay {CARD}", len(held))
    except ValueError:
        structlog.get_logger("t").exception("failed")
    found = line(stream)
    assert "test_log.py" in found["exception"]
    assert "hunter2" not in found["exception"]
    assert CARD not in found["exception"]
    assert "***0123" in found["exception"]


def test_libraries_go_the_same_way(stream: io.StringIO) -> None:
    """A library's own log is JSON and masked too."""
    logging.getLogger("aio_pika").warning("message for %s", CARD)
    found = line(stream)
    assert found["logger"] == "aio_pika"
    assert found["level"] == "warning"
    assert CARD not in found["event"]


def test_one_entry_is_one_line(stream: io.StringIO) -> None:
    """A newline or an escape in a value forges no second entry."""
    structlog.get_logger("t").info("a\n2026-01-01 approved", user="x\n\x1b[31mapproved")
    assert "\x1b" not in stream.getvalue()
    assert line(stream)["event"] == "a\n2026-01-01 approved"


@pytest.mark.parametrize(
    "kept", ["a1" * 32, "1" * 64, "0" * 40, "01M84TGV3KXYQ004ZRB6F11XYR", "20150610", "67984000000"]
)
def test_digests_ids_and_amounts_are_left_alone(stream: io.StringIO, kept: str) -> None:
    """What operations need to follow a document is not masked."""
    structlog.get_logger("t").info(f"kept {kept}", digest=kept)
    assert line(stream)["digest"] == kept
    assert kept in line(stream)["event"]


def test_grouped_digits_are_masked(stream: io.StringIO) -> None:
    """A card number as people write it is still a card number."""
    structlog.get_logger("t").info("card 6222 0212 3456 7890 123 and 6222-0212-3456-7890")
    assert "6222" not in line(stream)["event"]


def test_the_gateways_clock_dates_the_line(stream: io.StringIO) -> None:
    """The demo's log is of June 2015."""
    structlog.get_logger("t").info("x")
    assert line(stream)["timestamp"].startswith("2015-06-10T00:00:00")


def test_bound_context_is_masked_too(stream: io.StringIO) -> None:
    """What a task bound for all its lines is no way around."""
    with structlog.contextvars.bound_contextvars(account=CARD, bank="BANK_A"):
        structlog.get_logger("t").info("x")
    assert line(stream)["bank"] == "BANK_A"
    assert line(stream)["account"].endswith("0123")
    assert CARD not in stream.getvalue()


def test_depth_has_an_end(stream: io.StringIO) -> None:
    """A structure without end costs no stack."""
    deep: dict[str, Any] = {}
    deep["again"] = deep
    structlog.get_logger("t").info("x", deep=deep)
    assert "…" in json.dumps(line(stream), ensure_ascii=False)
