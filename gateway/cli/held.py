"""``sheyin held``: runs and payments that two people must look at before they may go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from gateway.cli.acting import As, OfPayer, instant, on_ledger, person
from gateway.cli.config import load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output, several
from gateway.cli.release import end_proposal, proposal
from gateway.core.errors import Code, Refused
from gateway.core.money import spoken
from gateway.core.states import RunState

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger

app = App(name="held", help="Runs and payments that two people must look at before they may go on.")
RUN, PAYMENTS = "accept_held_run", "free"
_CODES_SHOWN = 20
OnlyReason = Annotated[str, Parameter(name="--reason", help="Only payments held for this code; without it all.")]


@app.command(name="list")
def list_(*, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """What is held, why and since when, and what is proposed already."""

    async def work(ledger: SqlLedger) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        waiting = [found for found in await ledger.list_proposals() if found["kind"] in (RUN, PAYMENTS)]
        return await ledger.list_held(), waiting

    found, waiting = on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"held": found, "proposed": waiting})
        return Exit.OK
    if not found:
        output.say("nothing is held")
        return Exit.OK
    rows = [
        (h["payer"], h["run_id"], h["id"] or "the whole run", h["reason"], h["what"] or "", instant(h["opened_ms"]))
        for h in found
    ]
    output.table("held for two people", ("payer", "run", "payment", "reason", "what", "since"), rows)
    if waiting:
        told = [(w["subject"], w["kind"], w["maker"], instant(w["proposed_ms"])) for w in waiting]
        output.table("proposed, waiting for a checker", ("subject", "what", "proposed by", "at"), told)
    return Exit.OK


@app.command
def propose(
    run: str,
    *,
    as_: As,
    reason: OnlyReason = "",
    payer: OfPayer = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """A maker says that a held run is to be accepted all the same, or that the held payments of an accepted run may go.

    Parameters
    ----------
    run
        The run's id.
    """
    who = person(as_)

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger, "maker")
        if (await _run(ledger, run, payer))["state"] == RunState.HELD:
            return {"kind": RUN, **await ledger.propose_held_run(who.name, run, payer)}
        return {"kind": PAYMENTS, **await ledger.propose_free(who.name, run, reason, payer)}

    body = on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({**body, "proposed_by": who.name})
    _tell(body, output)
    output.say(f"proposed by {who.name}; a different person approves it: sheyin held approve {run} --as CHECKER")
    return Exit.OK


@app.command
def approve(run: str, *, as_: As, payer: OfPayer = "", as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """A checker agrees with what a maker proposed: the held run is accepted, or its held payments may go.

    Parameters
    ----------
    run
        The run's id.
    """
    who = person(as_)
    loaded = load(config)
    output = Output(as_json)

    async def look(ledger: SqlLedger) -> dict[str, Any]:
        return await proposal(ledger, (await _kind(ledger, run, payer)), run, payer)

    waiting = on_ledger(loaded, look)
    body, payer = waiting["body"], waiting["subject"].split(":")[1]
    _tell({"kind": waiting["kind"], **body}, output)
    output.say(f"proposed by {waiting['maker']} at {instant(waiting['proposed_ms'])}")

    async def work(ledger: SqlLedger) -> str:
        await who.sign_in(ledger, "checker")
        if waiting["kind"] == RUN:
            return await ledger.approve_held_run(who.name, run, payer)
        return f"{await ledger.approve_free(who.name, run, body['reason'], payer)} holds are closed"

    result = on_ledger(loaded, work)
    if as_json:
        people = {"proposed_by": waiting["maker"], "approved_by": who.name}
        output.json({"run": run, "kind": waiting["kind"], "result": result, **people})
    output.say(f"run {run}: {result}, by {waiting['maker']} and {who.name}")
    return Exit.OK


@app.command
def decline(run: str, *, as_: As, payer: OfPayer = "", as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """A checker says no: the proposal is gone, what is held stays held."""
    kind = on_ledger(load(config), lambda ledger: _kind(ledger, run, payer))
    return end_proposal(kind, run, as_, payer, as_json, config, declined=True)


@app.command
def withdraw(run: str, *, as_: As, payer: OfPayer = "", as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """The maker takes the proposal back."""
    kind = on_ledger(load(config), lambda ledger: _kind(ledger, run, payer))
    return end_proposal(kind, run, as_, payer, as_json, config, declined=False)


async def _run(ledger: SqlLedger, run: str, payer: str) -> dict[str, Any]:
    found = await ledger.status(run, payer)
    if found is None:
        raise Refused("no such run", code=Code.UNKNOWN_REF, where=run)
    return found


async def _kind(ledger: SqlLedger, run: str, payer: str) -> str:
    """Which of the two proposals a Run in that state can have."""
    return RUN if (await _run(ledger, run, payer))["state"] == RunState.HELD else PAYMENTS


def _tell(body: dict[str, Any], output: Output) -> None:
    if body["kind"] == RUN:
        output.say(
            f"held run {body['run']} of {body['payer']}: {several(body['count'], 'payment')}, {spoken(body['minor'])}, held for {body['code']}"
        )
        return
    output.say(
        f"run {body['run']}: {several(len(body['holds']), 'hold')}"
        + (f" for {body['reason']}" if body["reason"] else "")
    )
    for instruction in body.get("instructions", ())[:_CODES_SHOWN]:
        output.say(f"  {instruction}")
