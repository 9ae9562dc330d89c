"""``sheyin lanes`` and ``sheyin parked``: what stands still until a person looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from cyclopts import App

from gateway.cli.acting import As, Reason, checked_reason, hidden, instant, on_ledger, person
from gateway.cli.config import load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.core.errors import Code, Refused
from gateway.core.states import LaneState

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger

app = App(name="lanes")
parked = App(name="parked", help="Bank answers that no rule could apply: nothing is guessed, a person looks.")
OPERATOR = "operator"


@app.default
def lanes(*, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Every bank's lane: running or stopped, why, and which process owns it."""
    loaded = load(config)
    found = {lane["bank"]: lane for lane in on_ledger(loaded, lambda ledger: ledger.list_lanes())}
    unused = {"state": LaneState.RUNNING, "reason": "", "owner": "", "epoch": 0, "until_ms": 0}
    shown: list[dict[str, Any]] = [{"bank": b.code, **unused, **found.get(b.code, {})} for b in loaded.banks]
    output = Output(as_json)
    if as_json:
        output.json({"lanes": shown})
    rows = [(lane["bank"], lane["state"], lane["reason"], lane["owner"], str(lane["epoch"])) for lane in shown]
    output.table("lanes", ("bank", "state", "reason", "owner", ("epoch", "right")), rows)
    return Exit.OK


@app.command
def stop(bank: str, *, as_: As, reason: Reason, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Stop a bank's lane: nothing is filed for it or sent to it until it is resumed. What is on its way is still followed.

    Parameters
    ----------
    bank
        The bank's code.
    """
    return _act(bank, as_, reason, as_json, config, stopping=True)


@app.command
def resume(bank: str, *, as_: As, reason: Reason, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Let a stopped lane go on.

    Parameters
    ----------
    bank
        The bank's code.
    """
    return _act(bank, as_, reason, as_json, config, stopping=False)


def _act(bank: str, name: str, reason: str, as_json: bool, config: ConfigPath, *, stopping: bool) -> Exit:
    loaded = load(config)
    loaded.bank(bank)
    why, who = checked_reason(reason), person(name)

    async def work(ledger: SqlLedger) -> None:
        await who.sign_in(ledger, OPERATOR)
        if stopping:
            await ledger.stop_lane(bank, why, who.name)
        else:
            await ledger.resume_lane(bank, who.name, why)

    on_ledger(loaded, work)
    output, word = Output(as_json), LaneState.STOPPED if stopping else LaneState.RUNNING
    if as_json:
        output.json({"bank": bank, "state": word, "by": who.name, "reason": why})
    output.say(f"lane {bank}: {word}, by {who.name}")
    return Exit.OK


# ---------------------------------------------------------------------------------------------------------------- parked


@parked.command(name="list")
def list_(*, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Lines of banks' answers that no rule could apply, and whole documents that were parked or quarantined."""
    found = on_ledger(load(config), lambda ledger: ledger.list_parked())
    output = Output(as_json)
    if as_json:
        output.json({"parked": [_masked(one) for one in found]})
        return Exit.OK
    lines = [
        (str(p["key"]), p["bank"], p["ref"], p["code"], hidden(p["what"]), instant(p["at_ms"]))
        for p in found
        if p["line"]
    ]
    whole = [
        (p["bank"], p["name"], p["state"], p["code"] or "", hidden(p["what"] or ""), instant(p["received_ms"]))
        for p in found
        if not p["line"]
    ]
    if lines:
        output.table("parked lines", ("key", "bank", "reference", "code", "what", "since"), lines)
    if whole:
        output.table("parked documents", ("bank", "document", "state", "code", "what", "since"), whole)
    if not found:
        output.say("nothing is parked")
    return Exit.OK


@parked.command
def show(key: int, *, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """One parked line with the bank's own words, account numbers masked.

    Parameters
    ----------
    key
        Its number in the list.
    """
    found = [p for p in on_ledger(load(config), lambda ledger: ledger.list_parked()) if p["line"] and p["key"] == key]
    if not found:
        raise Refused("no open parked line", code=Code.UNKNOWN_REF, where=str(key))
    output, one = Output(as_json), _masked(found[0])
    if as_json:
        output.json(one)
        return Exit.OK
    output.say(f"parked line {key} of {one['bank']}, since {instant(one['at_ms'])}")
    output.say(f"  reference {one['ref']}, {one['code']}: {one['what']}")
    output.say(f"  the bank's words: {msgspec.json.encode(one['raw']).decode()}")
    return Exit.OK


@parked.command
def close(key: int, *, as_: As, reason: Reason, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """A person has looked, and nothing is to be changed: the ledger says already what is true.

    Parameters
    ----------
    key
        Its number in the list.
    """
    why, who = checked_reason(reason), person(as_)

    async def work(ledger: SqlLedger) -> None:
        await who.sign_in(ledger, "maker")
        await ledger.close_parked(who.name, key, why)

    on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"closed": key, "by": who.name, "reason": why})
    output.say(f"parked line {key} is closed by {who.name}")
    return Exit.OK


def _masked(one: dict[str, Any]) -> dict[str, Any]:
    masked = {name: hidden(value) if name in ("what", "raw") and value else value for name, value in one.items()}
    if "raw" in masked:
        try:
            masked["raw"] = msgspec.json.decode(masked["raw"])
        except msgspec.DecodeError:
            pass
    return masked
