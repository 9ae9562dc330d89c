"""``sheyin show``: one payment's whole life, in the order in which it happened. Names, accounts and id numbers are masked."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from gateway.cli.acting import OfPayer, instant, on_ledger
from gateway.cli.config import load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.core.errors import Code, Refused
from gateway.core.money import spoken
from gateway.core.verdicts import MEANINGS, Verdict


class Moment(NamedTuple):
    """One thing that happened."""

    at_ms: int
    what: str
    detail: str


def show(instruction: str, *, payer: OfPayer = "", as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """One payment's whole life: the order, every try with its file, line, seal, receipt and result, every act of people about it.

    Parameters
    ----------
    instruction
        The instruction's id.
    """
    found = on_ledger(load(config), lambda ledger: ledger.show(instruction, payer))
    if found is None:
        raise Refused("no such instruction", code=Code.UNKNOWN_REF, where=instruction)
    moments = timeline(found)
    output = Output(as_json)
    if as_json:
        output.json({**found, "timeline": [moment._asdict() for moment in moments]})
        return Exit.OK
    _tell(found, moments, output)
    return Exit.OK


def timeline(found: dict[str, Any]) -> list[Moment]:
    """Everything with its instant, oldest first."""
    moments: list[Moment] = []
    for attempt in found["attempts"]:
        moments += _try(attempt)
    for act in found["acts"]:
        moments.append(Moment(int(act["at_ms"]), act["kind"], f"by {act['actor']}{_body(act['body'])}"))
    return sorted(moments, key=lambda moment: moment.at_ms)


def _try(attempt: dict[str, Any]) -> list[Moment]:
    number, moments = f"try {attempt['try']}", []
    for hold in attempt["holds"]:
        moments.append(Moment(int(hold["opened_ms"]), f"{number} held", f"{hold['reason']}: {hold['what']}"))
        if hold["closed_ms"]:
            moments.append(Moment(int(hold["closed_ms"]), f"{number} freed", f"by {hold['closed_by']}"))
    document = attempt["document"]
    if not document:
        return moments
    place = f"{document['name']} ({document['reference']}), line {attempt['line']}"
    moments.append(Moment(int(document["created_ms"]), f"{number} filed", place))
    if document["sealed_ms"]:
        seal = f"seal {document['seal']}, {document['size']} bytes, SHA-256 {str(document['digest'])[:16]}…"
        moments.append(Moment(int(document["sealed_ms"]), "document sealed", seal))
    if document["last_sending_ms"]:
        how = "exported by hand" if document["exported"] else f"sending {document['sendings']}"
        sent = f"to {document['bank']}, {how}; now {document['state']}"
        moments.append(Moment(int(document["last_sending_ms"]), "document sent", sent))
    for answer in document["answers"]:
        name = f"{answer['name']}, sealed by {answer['seal_by'] or 'nobody'}, SHA-256 {answer['digest'][:16]}…"
        moments.append(Moment(int(answer["received_ms"]), f"{answer['kind']} arrived", name))
        if answer["applied_ms"]:
            word = f"{number}: {attempt['state']}{_verdict(attempt)}" if answer["kind"] == "result" else answer["state"]
            moments.append(Moment(int(answer["applied_ms"]), f"{answer['kind']} applied", word))
    return moments


def _verdict(attempt: dict[str, Any]) -> str:
    verdict = attempt["verdict"]
    if not verdict:
        return ""
    meaning = MEANINGS.get(Verdict(verdict)) if verdict in set(Verdict) else None
    words = f" {meaning.zh}, {meaning.en}" if meaning else ""
    return f", {verdict}{words}" + (f" (bank's code {attempt['code']})" if attempt["code"] else "")


def _body(body: dict[str, Any]) -> str:
    letter = {name: body.get("letter", {}).get(name) for name in ("reference", "dated", "says", "evidence")}
    kept = {name: value for name, value in {**letter, **body}.items() if value and not isinstance(value, list | dict)}
    return f": {msgspec.json.encode(kept).decode()}" if kept else ""


def _tell(found: dict[str, Any], moments: list[Moment], output: Output) -> None:
    person = found["person"]
    output.say(f"payment {found['instruction']} of {found['payer']}, run {found['run']}: {spoken(found['minor'])}")
    output.say(f"  to {found['name']} ({found['relation']}), account {found['account']}")
    output.say(f"  for {person['name']}, {person['id_type']} {person['id_number']}")
    output.say(f"  item {found['item']}, period {found['period']}, district {found['district'] or 'none'}")
    if found["rejected"]:
        output.say("  its run was rejected: it was never payable, and the id is free")
    for attempt in found["attempts"]:
        state = f"{attempt['state']}{_verdict(attempt)}"
        output.say(f"  try {attempt['try']} at {attempt['bank']} in run {attempt['run']}: {state}")
        changed = attempt["correction"]
        if changed:
            what = f"account {changed['account']}" if changed["account"] else "name"
            people = f"verified by {changed['verifier']}, approved by {changed['approver']}"
            output.say(f"    with another {what}, {people}: {changed['evidence']}")
    case = found["case"]
    if case:
        output.say(f"  case {case['state']}: waits for {case['waits_for']} since {instant(case['since_ms'])}")
    rows = [(instant(moment.at_ms), moment.what, moment.detail) for moment in moments]
    output.table("its life (Beijing time)", ("at", "what", ""), rows)
