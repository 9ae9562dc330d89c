"""``sheyin check`` and ``sheyin audit verify``: does everything add up, right now?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cyclopts import App

from gateway.cli.acting import on_ledger, quiet, reach
from gateway.cli.config import Config, load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.edge.clock import SystemClock

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger

audit = App(name="audit", help="The hash-chained record of every act.")


def check(*, quick: bool = False, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Does everything add up? Conservation of every run and bank against a fresh count, the audit chain, nothing paid twice.

    First the ledger and the broker are reached. Exit codes: 0 all is well, 1 something does not add up, 3 a server is away; so it is also
    a health check.

    Parameters
    ----------
    quick
        Only reach the servers and see that the schema is the newest.
    """
    loaded, output = load(config), Output(as_json)
    quiet()
    reach(loaded)
    bus = "in process" if loaded.local_bus else asyncio.run(_bus(loaded))
    faults: list[str] = []
    totals: dict[str, Any] = {}
    if not quick:

        async def work(ledger: SqlLedger) -> tuple[list[str], dict[str, Any]]:
            return await ledger.faults(), await ledger.totals()

        faults, totals = on_ledger(loaded, work)
    if as_json:
        output.json({"ok": not faults, "ledger": "reached", "bus": bus, "checked": not quick, "faults": faults, "totals": totals})  # fmt: skip
    for fault in faults:
        output.say(f"does not add up: {fault}")
    if not faults:
        ordered = f": {totals['ordered']['count']:,} payments ordered" if "ordered" in totals else ""
        output.say("the servers are reached" if quick else f"everything adds up{ordered}")
    return Exit.DIFFERS if faults else Exit.OK


async def _bus(config: Config) -> str:
    """Raises Unavailable where the broker is away."""
    from gateway.cli.assembly import open_bus

    async with open_bus(config, SystemClock()) as bus:
        await bus.probe()
    return "reached"


@audit.command
def verify(*, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Recompute the whole chain of acts and print its head, to be compared with the anchor kept outside. Exit code 4 where it breaks."""
    head = on_ledger(load(config), lambda ledger: ledger.audit_head())
    output = Output(as_json)
    if as_json:
        output.json({"acts": head.seq, "head": head.hash.hex()})
    output.say(f"the chain holds: {head.seq:,} acts, head {head.hash.hex()}")
    return Exit.OK
