"""``sheyin db``: the ledger's schema."""

from __future__ import annotations

from cyclopts import App

from gateway.cli.config import load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.edge.ledger import migrate

app = App(name="db", help="The ledger's schema.")


@app.command
def upgrade(*, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Bring the ledger to the newest schema; a new SQLite file is made. Safe to repeat."""
    loaded = load(config)
    loaded.data_dir.mkdir(parents=True, exist_ok=True)
    before = migrate.revision(loaded.ledger_url())
    migrate.upgrade(loaded.ledger_url())
    after = migrate.revision(loaded.ledger_url())
    output = Output(as_json)
    if as_json:
        output.json({"before": before, "after": after})
    output.say(f"the ledger's schema is at {after}" + ("" if before == after else f", it was at {before or 'nothing'}"))
    return Exit.OK


@app.command
def check(*, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Is the ledger at the newest schema, and equal to what the program expects?"""
    loaded = load(config)
    migrate.check(loaded.ledger_url())
    found = migrate.differences(loaded.ledger_url())
    output = Output(as_json)
    if as_json:
        output.json({"differences": found})
    for difference in found:
        output.say(difference)
    return Exit.DIFFERS if found else Exit.OK
