"""The installation that is measured: the demo's town on real servers, its configuration as a file, two people who release.

Two banks speak each format; one of each is reached over AMQP, the others by folder and by SFTP. Windows are open all day
and the banks answer at once: what is measured is the gateway's speed, not the calendar's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gateway.cli.assembly import open_ledger
from gateway.cli.config import Config
from gateway.cli.config_file import File
from gateway.cli.town import Setting, town
from gateway.core.bank import WireKind
from gateway.edge.bus_topology import declare
from gateway.edge.clock import SystemClock
from gateway.edge.ledger import SqlLedger
from gateway.edge.ledger.migrate import upgrade
from gateway.sandbox.month import PAYER, Month
from gateway.sandbox.runner import Running

#: How each bank of the month is reached here; every format by two wires.
WIRES = {"BANKA": WireKind.FOLDER, "BANKB": WireKind.SFTP, "BANKC": WireKind.AMQP, "BANKD": WireKind.AMQP}
PEOPLE = {"bench-maker": "maker", "bench-checker": "checker"}
MAKER, CHECKER = PEOPLE
_SECRET = "only a benchmark, {actor}"


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """What stands: the configuration file for ``sheyin serve``, its environment, the banks' process."""

    month: Month
    path: Path
    environment: Mapping[str, str]
    config: Config
    banks: Running


@contextmanager
def installation(folder: Path, month: Month, *, amqp_url: str, ledger_url: str) -> Iterator[Installation]:
    """Set up in ``folder`` on a fresh vhost and an empty database, queues and tables made; the banks end with the block."""
    setting = Setting(ledger=ledger_url, bus=amqp_url, wires=WIRES, every_day=True)
    with town(folder, month, setting) as built:
        path = folder / "sheyin.toml"
        write_config(built.config, path)
        upgrade(ledger_url)
        asyncio.run(declare(amqp_url, built.config.topology()))
        # Addresses with passwords: in the environment, never in the file.
        environment = {"SHEYIN_LEDGER_URL": ledger_url, "SHEYIN_BUS_URL": amqp_url}
        yield Installation(month=month, path=path, environment=environment, config=built.config, banks=built.banks)


def write_config(config: Config, path: Path) -> None:
    """The configuration as the file that ``--config`` names, without addresses."""
    file = File(
        gateway=msgspec.structs.replace(config.gateway, ledger="", bus="amqp://from-the-environment/"),
        atrest=config.atrest,
        keys=dict(config.keys.keys),
        pins=dict(config.keys.pins),
        payer=config.payers,
        bank=config.banks,
    )
    path.write_text(toml(msgspec.to_builtins(file)), encoding="utf-8")


async def introduce(ledger: SqlLedger) -> None:
    """The two people who release."""
    for actor, role in PEOPLE.items():
        await ledger.add_actor("bench", actor, actor, frozenset({role}), _SECRET.format(actor=actor))


async def release(ledger: SqlLedger, month: Month) -> None:
    """Propose as one, approve as the other, each signed in with a secret of their own, as the command line does it."""
    await ledger.authenticate(MAKER, _SECRET.format(actor=MAKER))
    seen = await ledger.propose_release(MAKER, month.run_id, PAYER)
    if (seen["count"], seen["minor"]) != (month.payments, month.header.total):
        raise RuntimeError(f"the maker sees {seen['count']} payments of {seen['minor']} fen")
    await ledger.authenticate(CHECKER, _SECRET.format(actor=CHECKER))
    await ledger.approve_release(CHECKER, month.run_id, PAYER)


def people(installed: Installation) -> AbstractAsyncContextManager[SqlLedger]:
    """The ledger as people's commands open it."""
    return open_ledger(installed.config, SystemClock())


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
