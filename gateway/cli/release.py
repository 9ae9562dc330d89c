"""``sheyin release``: a maker confirms what goes, a different checker lets it go (P12)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cyclopts import App

from gateway.cli.acting import As, OfPayer, ask, instant, on_ledger, person
from gateway.cli.config import load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output, several
from gateway.core.errors import Code, Conflict, Refused
from gateway.core.money import spoken
from gateway.core.states import RunState

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger

app = App(name="release", help="Let a run go: a maker proposes, a different checker approves.")
KIND = "release"
_CONFIRM = re.compile(r"([0-9]{1,9}):([0-9]{1,15})", re.ASCII)


@app.command
def propose(
    run: str,
    *,
    as_: As,
    payer: OfPayer = "",
    early: bool = False,
    confirm: str = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """The maker's half: shows count and total by bank, fund, debit account and pay date, and has both confirmed.

    Nothing leaves before a different person has approved.

    Parameters
    ----------
    run
        The run's id.
    early
        Let it go before its pay date.
    confirm
        For programs: COUNT:FEN, e.g. 50:9202700. People are asked.
    """
    output, loaded = Output(as_json), load(config)
    who = person(as_)
    wanted = confirmation(confirm) if confirm else None
    preview = on_ledger(loaded, lambda ledger: ledger.release_preview(run, payer, early))
    tell(preview, output)
    if preview["state"] not in (RunState.ACCEPTED, RunState.RECEIVING):
        raise Conflict(f"the run is {preview['state']}, only an accepted one can be released", where=run)
    if wanted is None:
        wanted = confirmation(ask("To confirm type the count and the total in fen as COUNT:FEN >"))
    same(preview, wanted, run)

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger, "maker")
        body = await ledger.propose_release(who.name, run, preview["payer"], early)
        try:
            same(body, wanted, run)
        except Refused:  # it grew between the look and the proposal: what nobody confirmed is not proposed
            await ledger.withdraw_proposal(who.name, KIND, subject_of(body))
            raise
        return body

    body = on_ledger(loaded, work)
    _done(output, body, {"proposed_by": who.name}, f"proposed by {who.name}; a different person approves it:")
    output.say(f"  sheyin release approve {run} --as CHECKER")
    return Exit.OK


@app.command
def approve(
    run: str, *, as_: As, payer: OfPayer = "", confirm: str = "", as_json: AsJson = False, config: ConfigPath = None
) -> Exit:
    """The checker's half: shows who proposed what, and lets the money go.

    What changed since it was proposed is refused, and so is the maker. From here on documents leave as windows open.

    Parameters
    ----------
    run
        The run's id.
    confirm
        COUNT:FEN that must be what was proposed. On a terminal the checker is asked instead.
    """
    output, loaded = Output(as_json), load(config)
    who = person(as_)
    wanted = confirmation(confirm) if confirm else None
    waiting = on_ledger(loaded, lambda ledger: proposal(ledger, KIND, run, payer))
    body = waiting["body"]
    preview = on_ledger(loaded, lambda ledger: ledger.release_preview(run, payer, body["early"]))
    tell(body | {"corrections": preview["corrections"]}, output)
    output.say(f"proposed by {waiting['maker']} at {instant(waiting['proposed_ms'])}")
    if wanted is None and asks():
        wanted = confirmation(ask("To approve type the count and the total in fen as COUNT:FEN >"))
    if wanted is not None:
        same(body, wanted, run)

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger, "checker")
        return await ledger.approve_release(who.name, run, body["payer"])

    released = on_ledger(loaded, work)
    people = {"proposed_by": waiting["maker"], "approved_by": who.name}
    _done(output, released, people, f"released by {waiting['maker']} and {who.name}")
    return Exit.OK


@app.command
def decline(run: str, *, as_: As, payer: OfPayer = "", as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """The checker says no: the proposal is gone, the run stays accepted."""
    return end_proposal(KIND, run, as_, payer, as_json, config, declined=True)


@app.command
def withdraw(run: str, *, as_: As, payer: OfPayer = "", as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """The maker takes the proposal back."""
    return end_proposal(KIND, run, as_, payer, as_json, config, declined=False)


@app.command(name="list")
def list_(*, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """What is accepted and not proposed yet, and what waits for a checker."""

    async def work(ledger: SqlLedger) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        waiting = [found for found in await ledger.list_proposals() if found["kind"] == KIND]
        taken = {found["subject"] for found in waiting}
        runs = [run for run in await ledger.list_runs() if run["state"] == RunState.ACCEPTED]
        return waiting, [run for run in runs if f"run:{run['payer']}:{run['run_id']}" not in taken]

    waiting, accepted = on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"proposed": waiting, "accepted": accepted})
    rows = [
        (
            p["body"]["payer"],
            p["body"]["run"],
            f"{p['body']['count']:,}",
            spoken(p["body"]["minor"]),
            p["maker"],
            instant(p["proposed_ms"]),
        )
        for p in waiting
    ]
    if rows:
        columns = ("payer", "run", ("payments", "right"), ("amount", "right"), "proposed by", "at")
        output.table("waiting for a checker", columns, rows)
    runs = [(r["payer"], r["run_id"], r["kind"], r["pay_date"], instant(r["accepted_ms"])) for r in accepted]
    if runs:
        output.table("accepted, not proposed yet", ("payer", "run", "kind", "pay date", "accepted at"), runs)
    if not rows and not runs:
        output.say("nothing waits for its release")
    return Exit.OK


# ---------------------------------------------------------------------------------------------------------------- parts


def subject_of(body: dict[str, Any]) -> str:
    """The audit chain's name of the Run that a body is about."""
    return f"run:{body['payer']}:{body['run']}"


async def proposal(ledger: SqlLedger, kind: str, run: str, payer: str) -> dict[str, Any]:
    """The open proposal on a Run. Raises Refused UNKNOWN_REF where there is none, or two payers have one."""
    found = [
        waiting
        for waiting in await ledger.list_proposals()
        if waiting["kind"] == kind
        and waiting["subject"].startswith(f"run:{payer}:" if payer else "run:")
        and waiting["subject"].split(":", 2)[2] == run
    ]
    if len(found) != 1:
        what = "no open proposal" if not found else "two payers have a run of this id: name one with --payer"
        raise Refused(f"{what} ({kind})", code=Code.UNKNOWN_REF, where=run)
    return found[0]


def end_proposal(
    kind: str, run: str, name: str, payer: str, as_json: bool, config: ConfigPath, *, declined: bool
) -> Exit:
    """Decline or withdraw the open proposal of that kind on a Run."""
    who = person(name)

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger)
        found = await proposal(ledger, kind, run, payer)
        if declined:
            await ledger.decline(who.name, kind, found["subject"])
        else:
            await ledger.withdraw_proposal(who.name, kind, found["subject"])
        return found

    found = on_ledger(load(config), work)
    output, word = Output(as_json), "declined" if declined else "withdrawn"
    if as_json:
        output.json({"run": run, "kind": kind, "proposed_by": found["maker"], f"{word}_by": who.name})
    output.say(f"{kind} of {run}, proposed by {found['maker']}: {word} by {who.name}")
    return Exit.OK


def tell(body: dict[str, Any], output: Output) -> None:
    """What is confirmed, as a table."""
    rows = [
        (
            part["bank"],
            part["fund"],
            part["debit_account"],
            part["pay_date"],
            f"{part['count']:,}",
            spoken(part["minor"]),
        )
        for part in body["parts"]
    ]
    rows.append(("total", "", "", "", f"{body['count']:,}", spoken(body["minor"])))
    when = "now, before its pay date" if body["early"] else "on its pay date, as windows open"
    output.table(
        f"run {body['run']} of {body['payer']} ({body['kind']}), goes {when}; {body['count']}:{body['minor']}",
        ("bank", "fund", "debit account", "pay date", ("payments", "right"), ("amount", "right")),
        rows,
    )
    corrected = body.get("corrected", {})
    if not any(corrected.values()):
        return
    names, accounts = several(corrected["names"], "name"), several(corrected["accounts"], "account")
    output.table(
        f"Not as first ordered: {names}, {accounts}. The payer's message names who verified and who approved; look at each",
        ("instruction", "what", "before", "after", "verified by", "approved by", "evidence"),
        (
            tuple(one[key] for key in ("instruction_id", "what", "before", "after", "verifier", "approver", "evidence"))
            for one in body.get("corrections", ())
        ),
    )


def confirmation(text: str) -> tuple[int, int]:
    """What a person confirms: COUNT:FEN. Raises Refused FORMAT."""
    found = _CONFIRM.fullmatch(text)
    if not found:
        raise Refused(f"not COUNT:FEN: {text[:40]!r}", code=Code.FORMAT, where="--confirm")
    return int(found[1]), int(found[2])


def same(body: dict[str, Any], wanted: tuple[int, int], where: str) -> None:
    """Raises Refused TOTALS where what is confirmed is not what there is."""
    if (body["count"], body["minor"]) != wanted:
        raise Refused(
            f"confirmed {wanted[0]} payments and {wanted[1]} fen, there are {body['count']} and {body['minor']} fen",
            code=Code.TOTALS,
            where=where,
        )


def asks() -> bool:
    """Whether somebody is there to be asked."""
    import sys

    return sys.stdin.isatty()


def _done(output: Output, body: dict[str, Any], people: dict[str, str], sentence: str) -> None:
    if output.as_json:
        output.json({**{name: value for name, value in body.items() if name != "state"}, **people})
    output.say(f"run {body['run']}: {several(body['count'], 'payment')}, {spoken(body['minor'])}: {sentence}")
