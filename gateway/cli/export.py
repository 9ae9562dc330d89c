"""``sheyin export``: a sealed document leaves by other means (应急), by two people; from then on it is in doubt and its wire is blocked for it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from gateway.cli.acting import As, Reason, ask, checked_reason, instant, on_ledger, person
from gateway.cli.config import Config, load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output, several
from gateway.cli.release import asks, confirmation, same
from gateway.core.errors import Code, Refused
from gateway.core.ledger import OutDocument
from gateway.core.money import spoken

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger

app = App(name="export", help="Emergency: a sealed document leaves by other means, by two people.")
KIND = "export"
_CHUNK_BYTES = 1024 * 1024
To = Annotated[Path, Parameter(name="--to", help="The folder; it is made. A file that is there is not overwritten.")]


@app.command
def propose(
    document: str, *, as_: As, reason: Reason, confirm: str = "", as_json: AsJson = False, config: ConfigPath = None
) -> Exit:
    """The maker's half: names the sealed document that is to go by other means. Nothing leaves yet.

    Stop the lane first (`sheyin lanes stop`), or it may be on its way before the checker looks.

    Parameters
    ----------
    document
        Our reference of it; `sheyin status RUN` shows it.
    confirm
        COUNT:FEN that the document must hold.
    """
    why, who = checked_reason(reason), person(as_)
    wanted = confirmation(confirm) if confirm else None

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger, "maker")
        body = await ledger.propose_export(who.name, document, why)
        try:
            if wanted is not None:
                same(body, wanted, document)
        except Refused:
            await ledger.withdraw_proposal(who.name, KIND, f"document:{document}")
            raise
        return body

    body = on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({**body, "proposed_by": who.name})
    tell(body, output)
    output.say(f"proposed by {who.name}; a different person approves it:")
    output.say(f"  sheyin export approve {document} --to FOLDER --as CHECKER")
    return Exit.OK


@app.command
def approve(
    document: str, *, to: To, as_: As, confirm: str = "", as_json: AsJson = False, config: ConfigPath = None
) -> Exit:
    """The checker's half: the document is in doubt from here on and never goes by its wire; then its bytes and seal are written.

    It keeps name, bytes, seal and reference. The bank's receipt and result come back with `sheyin inbound take`, or by the wire.

    Parameters
    ----------
    document
        Our reference of it.
    confirm
        COUNT:FEN of the document. On a terminal the checker is asked.
    """
    output, loaded = Output(as_json), load(config)
    who = person(as_)
    wanted = confirmation(confirm) if confirm else None
    waiting = on_ledger(loaded, lambda ledger: _proposal(ledger, document))
    tell(waiting["body"], output)
    output.say(f"proposed by {waiting['maker']} at {instant(waiting['proposed_ms'])}: {waiting['body']['why']}")
    if wanted is None and asks():
        wanted = confirmation(ask("To approve type the count and the total in fen as COUNT:FEN >"))
    if wanted is not None:
        same(waiting["body"], wanted, document)
    _free(to, waiting["body"]["name"])

    async def work(ledger: SqlLedger) -> OutDocument:
        await who.sign_in(ledger, "checker")
        return await ledger.approve_export(who.name, document)

    found = on_ledger(loaded, work)  # it is committed before the first byte is anywhere
    files = _write(loaded, found, to)
    if as_json:
        output.json({**waiting["body"], "files": files, "proposed_by": waiting["maker"], "approved_by": who.name})
    output.say(f"{document} is exported by {waiting['maker']} and {who.name}, in doubt until the bank speaks of it:")
    for file in files:
        output.say(f"  {file}")
    return Exit.OK


@app.command
def write(document: str, *, to: To, as_: As, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """The same files once more, of what two people have exported: where the first copy never reached the bank.

    Parameters
    ----------
    document
        Our reference of it.
    """
    loaded, who = load(config), person(as_)

    async def work(ledger: SqlLedger) -> OutDocument:
        await who.sign_in(ledger, "maker", "checker")
        return await ledger.exported_again(who.name, document)

    files = _write(loaded, on_ledger(loaded, work), to)
    output = Output(as_json)
    if as_json:
        output.json({"document": document, "files": files, "by": who.name})
    for file in files:
        output.say(file)
    return Exit.OK


@app.command
def decline(document: str, *, as_: As, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """The checker says no: it stays sealed and goes by its wire.

    Parameters
    ----------
    document
        Our reference of it.
    """
    who = person(as_)

    async def work(ledger: SqlLedger) -> None:
        await who.sign_in(ledger)
        await ledger.decline(who.name, KIND, f"document:{document}")

    on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"document": document, "declined_by": who.name})
    output.say(f"declined by {who.name}")
    return Exit.OK


# ---------------------------------------------------------------------------------------------------------------- parts


def tell(body: dict[str, Any], output: Output) -> None:
    """What leaves."""
    output.say(f"document {body['document']} for {body['bank']}, {body['name']}")
    output.say(f"  {several(body['count'], 'payment')}, {spoken(body['minor'])}; {body['count']}:{body['minor']}")
    output.say(f"  SHA-256 {body['digest']}" + (f"; left {body['sendings']} times by wire" if body["sendings"] else ""))


async def _proposal(ledger: SqlLedger, document: str) -> dict[str, Any]:
    for waiting in await ledger.list_proposals():
        if waiting["kind"] == KIND and waiting["body"]["document"] == document:
            return waiting
    raise Refused("no open proposal (export)", code=Code.UNKNOWN_REF, where=document)


def _free(to: Path, name: str) -> None:
    """Raises Refused PATH where the folder takes no file of that name: known before anything is committed."""
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"cannot be made: {error.strerror}", code=Code.PATH, where=str(to)) from None
    if (to / name).exists() or not os.access(to, os.W_OK):
        raise Refused("there is such a file already, or the folder takes none", code=Code.PATH, where=str(to / name))


def _write(config: Config, document: OutDocument, to: Path) -> list[str]:
    """The very bytes and the detached seal, each whole or not at all. Raises Refused PATH; `sheyin export write` tries again."""
    _free(to, document.name)
    files = []
    try:
        if document.seal is not None:
            partial = to / f"{document.seal_name}.tmp"
            partial.write_bytes(document.seal)
            partial.replace(to / document.seal_name)
            files.append(str(to / document.seal_name))
        partial = to / f"{document.name}.tmp"
        with config.archive(config.at_rest()).open(document.digest) as source, partial.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK_BYTES)
        partial.replace(to / document.name)
        files.append(str(to / document.name))
    except OSError as error:
        failed = Refused(f"it is exported, but not written: {error.strerror}", code=Code.PATH, where=str(to))
        failed.add_note(f"`sheyin export write {document.reference} --to FOLDER --as …` writes it again.")
        raise failed from None
    return files
