"""``sheyin letter``: what a bank says in writing (银行书面说明), entered by a maker and approved by a different checker."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter

from gateway.cli.acting import REASON_CHARS_MAX, As, OfPayer, ask, instant, on_ledger, person
from gateway.cli.config import Config, load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output, several
from gateway.cli.release import asks, confirmation, same
from gateway.core.errors import Code, Malformed, Refused
from gateway.core.letters import PAYMENTS_MAX, Letter, Says
from gateway.core.money import spoken
from gateway.core.verdicts import Verdict
from gateway.flow.asking import window_ms

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger

app = App(name="letter", help="What a bank says in writing: entered by a maker, approved by a different checker.")
KIND = "letter"
#: Of the scanned letter, and of a list of payments.
FILE_BYTES_MAX = 32 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
OfBank = Annotated[str, Parameter(name="--bank", help="The bank that wrote it.")]
Confirm = Annotated[str, Parameter(name="--confirm", help="COUNT:FEN of what it changes. People are asked.")]


@app.command
def propose(
    reference: str,
    *,
    bank: OfBank,
    dated: str,
    says: Says,
    evidence: str,
    as_: As,
    document: str = "",
    payment: tuple[str, ...] = (),
    payments: Path | None = None,
    payer: OfPayer = "",
    file: Path | None = None,
    verdict: Verdict = Verdict.NO_REASON,
    code: str = "",
    confirm: Confirm = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """The maker's half: shows what the letter would change, and has count and total confirmed. Nothing changes yet.

    Of payments a letter says `paid` or `failed`: that ends a doubt, and corrects a wrong result. Of a whole document in doubt it says
    `received`, `refused` (nothing of it was or will be booked) or `not_found` (the same bytes may go again). With --document, `paid`
    and `failed` mean every line of it that has no outcome yet.

    Parameters
    ----------
    reference
        The bank's own number on the letter.
    dated
        Its date, YYYY-MM-DD.
    says
        What it says.
    evidence
        One line: who signed it and where the paper is kept. No personal data: it stays in the audit chain.
    document
        Our reference of the document it speaks of.
    payment
        A payment it speaks of, by its id; ID#2 for its second try. May be given several times.
    payments
        A CSV file of payments with a column instruction_id (or just one column); at most 10,000.
    file
        The letter itself, e.g. a scan: archived, its digest stands in the chain. `sheyin inbound show KEY --raw` gives it back.
    verdict
        Why the payments failed.
    code
        The bank's own code, if it gives one.
    """
    output, loaded = Output(as_json), load(config)
    window = window_ms(loaded.bank(bank).agreement)
    who = person(as_)
    wanted = confirmation(confirm) if confirm else None
    given = {
        "bank": bank, "reference": reference, "dated": dated, "says": says, "evidence": evidence, "document": document,
        "payments": [*payment, *(_listed(payments) if payments else ())], "payer": payer, "verdict": verdict, "code": code,
    }  # fmt: skip
    letter = _letter(given)
    preview = on_ledger(loaded, lambda ledger: ledger.letter_preview(letter, window))
    tell(preview, output)
    if wanted is None:
        wanted = confirmation(ask("To confirm type the count and the total in fen as COUNT:FEN >"))
    same(preview, wanted, reference)

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger, "maker")
        kept = _letter({**given, "digest": _archived(loaded, file)}) if file else letter
        body = await ledger.propose_letter(who.name, kept, window)
        try:
            same(body, wanted, reference)
        except Refused:  # it changed between the look and the proposal: what nobody confirmed is not proposed
            await ledger.withdraw_proposal(who.name, KIND, f"letter:{bank}:{reference}")
            raise
        return body

    body = on_ledger(loaded, work)
    if as_json:
        output.json({**body, "proposed_by": who.name})
    output.say(f"proposed by {who.name}; a different person approves it:")
    output.say(f"  sheyin letter approve {reference} --bank {bank} --as CHECKER")
    return Exit.OK


@app.command
def approve(
    reference: str, *, bank: OfBank, as_: As, confirm: Confirm = "", as_json: AsJson = False, config: ConfigPath = None
) -> Exit:
    """The checker's half: compare it with the paper. What it says is done at once: states, sums, events to the payers, cases.

    Whatever changed since it was proposed refuses it, and so does the maker's own word.

    Parameters
    ----------
    reference
        The bank's own number on the letter.
    """
    output, loaded = Output(as_json), load(config)
    window = window_ms(loaded.bank(bank).agreement)
    who = person(as_)
    wanted = confirmation(confirm) if confirm else None
    waiting = on_ledger(loaded, lambda ledger: _proposal(ledger, bank, reference))
    tell(waiting["body"], output)
    output.say(f"proposed by {waiting['maker']} at {instant(waiting['proposed_ms'])}")
    if wanted is None and asks():
        wanted = confirmation(ask("To approve type the count and the total in fen as COUNT:FEN >"))
    if wanted is not None:
        same(waiting["body"], wanted, reference)

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger, "checker")
        return await ledger.approve_letter(who.name, bank, reference, window)

    body = on_ledger(loaded, work)
    if as_json:
        output.json({**body, "proposed_by": waiting["maker"], "approved_by": who.name})
    output.say(f"letter {reference} of {bank}: done, by {waiting['maker']} and {who.name}")
    return Exit.OK


@app.command
def decline(reference: str, *, bank: OfBank, as_: As, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """The checker says no: nothing changes.

    Parameters
    ----------
    reference
        The bank's own number on the letter.
    """
    return _end(reference, bank, as_, as_json, config, declined=True)


@app.command
def withdraw(reference: str, *, bank: OfBank, as_: As, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """The maker takes it back.

    Parameters
    ----------
    reference
        The bank's own number on the letter.
    """
    return _end(reference, bank, as_, as_json, config, declined=False)


@app.command(name="list")
def list_(*, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """Letters that wait for a checker, and those that were entered, newest first."""

    async def work(ledger: SqlLedger) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        waiting = [found for found in await ledger.list_proposals() if found["kind"] == KIND]
        return waiting, await ledger.list_arrived(channel=KIND)

    waiting, entered = on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"proposed": waiting, "entered": entered})
        return Exit.OK
    rows = [
        (w["body"]["letter"]["bank"], w["body"]["letter"]["reference"], w["body"]["letter"]["says"], f"{w['body']['count']:,}",
         spoken(w["body"]["minor"]), w["maker"], instant(w["proposed_ms"]))
        for w in waiting
    ]  # fmt: skip
    if rows:
        columns = ("bank", "letter", "says", ("payments", "right"), ("amount", "right"), "proposed by", "at")
        output.table("waiting for a checker", columns, rows)
    done = [
        (str(e["key"]), e["bank"], e["reference"], e["original"] or "", f"{e['count']:,}", spoken(e["minor"]), e["seal_by"],
         instant(e["applied_ms"]))
        for e in entered
    ]  # fmt: skip
    if done:
        entered_columns = ("key", "bank", "letter", "document", ("payments", "right"), ("amount", "right"), "by", "at")
        output.table("entered", entered_columns, done)
    if not rows and not done:
        output.say("no letters")
    return Exit.OK


# ---------------------------------------------------------------------------------------------------------------- parts


def tell(body: dict[str, Any], output: Output) -> None:
    """What is confirmed: what the letter says, and what of ours it changes."""
    letter = body["letter"]
    output.say(f"letter {letter['reference']} of {letter['bank']}, dated {letter['dated']}, says: {letter['says']}")
    output.say(f"  evidence: {letter['evidence']}" + (f"; archived as {letter['digest']}" if letter["digest"] else ""))
    for reference, state in body["documents"].items():
        output.say(f"  document {reference}, now {state}")
    for state, (count, minor) in body["states"].items():
        output.say(f"  {several(count, 'payment')} now {state}, {spoken(minor)} → {letter['says']}")
    output.say(
        f"  in all {several(body['count'], 'payment')}, {spoken(body['minor'])}; {body['count']}:{body['minor']}"
    )


async def _proposal(ledger: SqlLedger, bank: str, reference: str) -> dict[str, Any]:
    subject = f"letter:{bank}:{reference}"
    for waiting in await ledger.list_proposals():
        if waiting["kind"] == KIND and waiting["subject"] == subject:
            return waiting
    raise Refused("no open proposal (letter)", code=Code.UNKNOWN_REF, where=reference)


def _end(reference: str, bank: str, name: str, as_json: bool, config: ConfigPath, *, declined: bool) -> Exit:
    who = person(name)

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger)
        found = await _proposal(ledger, bank, reference)
        if declined:
            await ledger.decline(who.name, KIND, found["subject"])
        else:
            await ledger.withdraw_proposal(who.name, KIND, found["subject"])
        return found

    found = on_ledger(load(config), work)
    output, word = Output(as_json), "declined" if declined else "withdrawn"
    if as_json:
        output.json({"letter": reference, "bank": bank, "proposed_by": found["maker"], f"{word}_by": who.name})
    output.say(f"letter {reference} of {bank}, proposed by {found['maker']}: {word} by {who.name}")
    return Exit.OK


def _letter(given: dict[str, Any]) -> Letter:
    if not str(given["evidence"]).strip() or len(given["evidence"]) > REASON_CHARS_MAX:
        what = f"the evidence is one line of 1 to {REASON_CHARS_MAX} characters"
        raise Refused(what, code=Code.FORMAT, where="--evidence")
    try:
        return msgspec.convert(given, Letter)
    except msgspec.ValidationError as error:
        raise Refused(str(error), code=Code.SCHEMA, where="letter") from None


def _listed(path: Path) -> list[str]:
    """The payments of a CSV file. Raises Refused: PATH, SIZE, SCHEMA."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise Refused(f"larger than {FILE_BYTES_MAX} bytes", code=Code.SIZE, where=str(path))
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(path)) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"not a CSV file in UTF-8: {error}", code=Code.FORMAT, where=str(path)) from None
    if not rows:
        raise Refused("it lists nothing", code=Code.SCHEMA, where=str(path))
    at = 0
    if "instruction_id" in rows[0]:
        at = rows[0].index("instruction_id")
        rows = rows[1:]
    elif len(rows[0]) > 1:
        raise Refused("its first line has no column instruction_id", code=Code.SCHEMA, where=str(path))
    if len(rows) > PAYMENTS_MAX:
        raise Refused(f"more than {PAYMENTS_MAX} payments: name the document", code=Code.SIZE, where=str(path))
    short = next((number for number, row in enumerate(rows, 1) if len(row) <= at or not row[at].strip()), 0)
    if short:
        raise Refused(f"row {short} names no payment", code=Code.SCHEMA, where=str(path))
    return [row[at].strip() for row in rows]


def _archived(config: Config, path: Path) -> str:
    """The letter's own bytes in the archive; their digest."""
    spool = config.archive(config.at_rest()).spool(FILE_BYTES_MAX)
    try:
        with path.open("rb") as file:
            while part := file.read(_CHUNK_BYTES):
                spool.write(part)
        return spool.keep()
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(path)) from None
    except Malformed as error:
        raise Refused(error.what, code=error.code, where=str(path)) from None
    finally:
        spool.drop()
