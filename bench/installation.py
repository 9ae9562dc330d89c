"""The installation that is measured: the demo's town on real servers, its configuration as a file, two people who release.

Two banks speak each format; one of each is reached over AMQP, the others by folder and by SFTP. Windows are open all day
and the banks answer at once: what is measured is the gateway's speed, not the calendar's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import msgspec

from gateway.cli import toml_text
from gateway.cli.assembly import open_ledger
from gateway.cli.config import Config
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
        environment = {"SHEYIN_LEDGER_URL": ledger_url, "SHEYIN_BUS_URL": amqp_url}
        yield Installation(month=month, path=path, environment=environment, config=built.config, banks=built.banks)


def write_config(config: Config, path: Path) -> None:
    """The configuration as the file that ``--config`` names. Addresses hold passwords: they come in the environment."""
    toml_text.write_config(config, path, ledger="", bus="amqp://from-the-environment/")


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
