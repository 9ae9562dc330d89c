"""``sheyin actor``: the people who act. Each has a secret of their own; the ledger keeps only a salted scrypt of it."""

from __future__ import annotations

import getpass
import os
import re
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from gateway.cli.acting import SECRET, As, on_ledger, person, secret_of
from gateway.cli.config import load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.core.errors import Code, Refused

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger

app = App(name="actor", help="The people who act; each has a secret of their own.")
NEW_SECRET = "SHEYIN_NEW_ACTOR_SECRET"  # noqa: S105 - the variable's name, not a secret
ADMIN = "admin"
SECRET_CHARS_MIN = 12
_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)


@app.command
def add(
    name: str,
    *,
    roles: str,
    full_name: str = "",
    by: Annotated[str, Parameter(name="--as", help="The administrator who adds.")] = "",
    first: bool = False,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """Add a person who can act. An administrator proposes them, and a different administrator approves: `sheyin actor approve`.

    An installation begins with --first: whoever may run this command adds people until there is an administrator, who alone adds only
    a second one. Each is an act on the audit chain. An administrator is never maker or checker.

    The new person's secret comes from $SHEYIN_NEW_ACTOR_SECRET (or, without --as, $SHEYIN_ACTOR_SECRET), or they type it twice.
    It has at least 12 characters.

    Parameters
    ----------
    name
        Their id: letters, digits, dot, underscore, hyphen.
    roles
        Comma-separated: maker proposes, checker approves, operator stops lanes and handles dead letters, admin adds people; viewer, auditor.
    full_name
        How people call them.
    first
        One of the first people of this installation, while there are fewer than two administrators.
    """
    if not _NAME.fullmatch(name):
        raise Refused("an id has 1 to 40 letters, digits, dots, underscores, hyphens", code=Code.FORMAT, where="NAME")
    wanted = frozenset(role for role in roles.replace(" ", ",").split(",") if role)
    if not wanted:
        raise Refused("no role given", code=Code.SCHEMA, where="--roles")
    admin = person(by) if by else None
    variable = NEW_SECRET if by or os.environ.get(NEW_SECRET) else SECRET
    secret = secret_of(name, variable, twice=True)
    if len(secret) < SECRET_CHARS_MIN:
        raise Refused(f"a secret has at least {SECRET_CHARS_MIN} characters", code=Code.POLICY, where=name)

    async def work(ledger: SqlLedger) -> None:
        if admin is not None:
            await admin.sign_in(ledger, ADMIN)
        elif any(ADMIN in actor["roles"] and actor["active"] for actor in await ledger.list_actors()):
            raise Refused("there is an admin: name them with --as", code=Code.AUTH, where="--as")
        if first:
            who = admin.name if admin else f"system:{getpass.getuser()}"
            await ledger.add_actor(who, name, full_name or name, wanted, secret)
        elif admin is not None:
            await ledger.propose_actor(admin.name, name, full_name or name, wanted, secret)
        else:
            error = Refused("there is no administrator yet", code=Code.POLICY, where="--first")
            error.add_note("--first adds the first people of an installation.")
            raise error

    on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"actor": name, "name": full_name or name, "roles": sorted(wanted), "active": first})
    if first:
        output.say(f"{name} can act now: {', '.join(sorted(wanted))}")
    else:
        output.say(
            f"{name} is proposed by {by}; a different administrator approves: sheyin actor approve {name} --as ADMIN"
        )
    return Exit.OK


@app.command
def approve(name: str, *, as_: As, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """A different administrator agrees: the proposed person can act.

    Parameters
    ----------
    name
        The proposed person's id; `sheyin actor list` shows who waits.
    """
    who = person(as_)

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger, ADMIN)
        return await ledger.approve_actor(who.name, name)

    body = on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        people = {"proposed_by": body["maker"], "approved_by": who.name}
        output.json({"actor": name, "name": body["name"], "roles": body["roles"], "active": True, **people})
    output.say(f"{name} can act now: {', '.join(body['roles'])}, by {body['maker']} and {who.name}")
    return Exit.OK


@app.command
def decline(name: str, *, as_: As, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """An administrator says no, or takes their own proposal back: the id is free again.

    Parameters
    ----------
    name
        The proposed person's id.
    """
    who = person(as_)

    async def work(ledger: SqlLedger) -> None:
        await who.sign_in(ledger, ADMIN)
        await ledger.decline_actor(who.name, name)

    on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"actor": name, "declined_by": who.name})
    output.say(f"{name} is declined by {who.name}")
    return Exit.OK


@app.command(name="list")
def list_(*, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Everybody who can act, with their roles; never a secret."""
    found = on_ledger(load(config), lambda ledger: ledger.list_actors())
    output = Output(as_json)
    if as_json:
        output.json({"actors": found})
    rows = [
        (
            a["id"],
            a["name"],
            ", ".join(a["roles"]),
            "" if a["active"] else "cannot act: waits for a second administrator, or ended",
        )
        for a in found
    ]
    output.table("actors", ("id", "name", "roles", ""), rows)
    return Exit.OK
