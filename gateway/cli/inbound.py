"""``sheyin inbound``: what arrived from banks; what was put away is looked at again by two people; files that come by hand."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from gateway.cli.acting import As, Reason, checked_reason, hidden, instant, on_ledger, person
from gateway.cli.config import Config, load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.core.bank import Detached
from gateway.core.errors import Code, Malformed, Refused
from gateway.core.ledger import Recorded
from gateway.core.partner import Partner
from gateway.core.states import InboundState
from gateway.edge.clock import SystemClock
from gateway.edge.wires.names import is_name, is_temporary
from gateway.flow.collect import SEAL_BYTES_MAX, Collector

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger

app = App(name="inbound", help="What arrived from banks: look, have it looked at again, take a file in by hand.")
RETAKE = "retake"
BY_HAND, LETTER = "hand", "letter"  # channels of what people bring
_CHUNK_BYTES = 256 * 1024
Key = Annotated[int, Parameter(help="Its number in `sheyin inbound list`.")]


@app.command(name="list")
def list_(
    *,
    state: tuple[InboundState, ...] = (),
    bank: str = "",
    most: int = 100,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """What arrived, newest first, and what is proposed to be looked at again.

    Parameters
    ----------
    state
        Only these, e.g. `--state quarantined --state parked`.
    bank
        Only of this bank.
    most
        How many.
    """

    async def work(ledger: SqlLedger) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        waiting = [found for found in await ledger.list_proposals() if found["kind"] == RETAKE]
        return await ledger.list_arrived([str(one) for one in state], bank, most=most), waiting

    found, waiting = on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"documents": [_plain(one) for one in found], "proposed": waiting})
        return Exit.OK
    rows = [
        (str(d["key"]), d["bank"], d["name"], d["state"], d["kind"] or "", d["code"] or "", hidden(d["what"] or ""),
         instant(d["received_ms"]))
        for d in found
    ]  # fmt: skip
    if rows:
        output.table("arrived", (("key", "right"), "bank", "name", "state", "kind", "code", "what", "at"), rows)
    else:
        output.say("nothing arrived")
    if waiting:
        told = [
            (w["subject"], w["body"]["name"], w["body"]["why"], w["maker"], instant(w["proposed_ms"])) for w in waiting
        ]
        output.table("to be looked at again, waiting for a checker", ("what", "name", "why", "proposed by", "at"), told)
    return Exit.OK


@app.command
def show(key: Key, *, raw: bool = False, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """One that arrived: from whom, what it answers, its seal, what became of it and why.

    Parameters
    ----------
    raw
        Print nothing but its bytes, as they arrived, personal data included: for `sheyin inspect`.
    """
    loaded = load(config)
    found = on_ledger(loaded, lambda ledger: ledger.list_arrived(key=key))
    if not found:
        raise Refused("nothing that arrived has this key", code=Code.UNKNOWN_REF, where=str(key))
    one = found[0]
    if raw:
        if one["channel"] == LETTER and one["digest"] not in loaded.archive(loaded.at_rest()).digests():
            raise Refused("no copy of this letter was archived", code=Code.UNKNOWN_REF, where=str(key))
        with loaded.archive(loaded.at_rest()).open(one["digest"]) as source:
            shutil.copyfileobj(source, sys.stdout.buffer, _CHUNK_BYTES)
        return Exit.OK
    output = Output(as_json)
    if as_json:
        output.json(_plain(one))
        return Exit.OK
    for name, value in _plain(one).items():
        if value not in (None, ""):
            output.say(f"{name}: {instant(value) if name.endswith('_ms') else value}")
    return Exit.OK


@app.command
def retake(key: Key, *, as_: As, reason: Reason, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """A maker says that the cause is gone (a pin was added, say) and a quarantined or parked document is to be looked at again.

    Nothing is believed for that: once a checker has approved, the bank's lane verifies and applies it by the same rules as at first.
    """
    why, who = checked_reason(reason), person(as_)

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger, "maker")
        return await ledger.propose_retake(who.name, key, why)

    body = on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"key": key, **body, "proposed_by": who.name})
    output.say(f"{body['name']} of {body['bank']}, {body['state']} ({body['code']}): proposed by {who.name}")
    output.say(f"a different person approves it: sheyin inbound approve {key} --as CHECKER")
    return Exit.OK


@app.command
def approve(key: Key, *, as_: As, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """A checker agrees: the bank's lane takes the document up again."""
    who = person(as_)

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        await who.sign_in(ledger, "checker")
        return await ledger.approve_retake(who.name, key)

    done = on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"key": key, "bank": done["bank"], "name": done["name"], "state": done["after"],
                     "proposed_by": done["maker"], "approved_by": who.name})  # fmt: skip
    output.say(f"{done['name']} of {done['bank']} is {done['after']} again, by {done['maker']} and {who.name}")
    return Exit.OK


@app.command
def decline(key: Key, *, as_: As, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """A checker says no: it stays where it is."""
    who = person(as_)

    async def work(ledger: SqlLedger) -> None:
        await who.sign_in(ledger)
        await ledger.decline(who.name, RETAKE, f"inbound:{key}")

    on_ledger(load(config), work)
    output = Output(as_json)
    if as_json:
        output.json({"key": key, "declined_by": who.name})
    output.say(f"declined by {who.name}")
    return Exit.OK


@app.command
def take(
    file: Path,
    *,
    bank: str,
    as_: As,
    reason: Reason,
    name: str = "",
    seal: Path | None = None,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """Take a bank's file in that came by other means (应急), through the same door: archived now, verified and applied by the lane.

    Its seal must hold as always. A bank whose format has no seal is trusted for its wire alone: its files are not taken by hand;
    two people enter a letter instead.

    Parameters
    ----------
    file
        The file as the bank made it.
    bank
        The bank's code.
    name
        The name that the bank gave it, where the file has another.
    seal
        Its detached seal; without this the file of the same name with the format's suffix beside it, if there is one.
    """
    loaded = load(config)
    partner = Partner(bank=loaded.bank(bank), adapter=loaded.adapter(loaded.bank(bank)))
    why, who, called = checked_reason(reason), person(as_), name or file.name
    if not is_name(called) or is_temporary(called):
        raise Refused("not a name that a bank's file may have", code=Code.PATH, where=called[:120])
    if not partner.bank.sealed or partner.adapter.seal is None:
        what = f"{bank} seals nothing: what its wire has not proven is not taken by hand, two people enter a letter"
        raise Refused(what, code=Code.SIG, where=bank)
    shape = partner.adapter.seal
    beside = file.with_name(file.name + shape.suffix) if isinstance(shape, Detached) else None
    found = seal or (beside if beside is not None and beside.is_file() else None)
    sealed = _read(found, SEAL_BYTES_MAX) if found else None

    async def work(ledger: SqlLedger) -> Recorded:
        await who.sign_in(ledger, "operator")
        recorded = await _take(loaded, ledger, partner, called, file, sealed)
        body = {"bank": bank, "name": called, "reason": why, "recorded": str(recorded)}
        await ledger.act(who.name, "inbound.taken", f"inbound:{bank}:{called}", body)
        return recorded

    recorded = on_ledger(loaded, work)
    output = Output(as_json)
    if as_json:
        output.json({"bank": bank, "name": called, "recorded": recorded, "by": who.name})
    told = "was applied before: nothing changes" if recorded is Recorded.DUP else "is archived; the lane takes it up"
    output.say(f"{called} of {bank} {told}")
    return Exit.OK


# ---------------------------------------------------------------------------------------------------------------- parts


async def _take(
    config: Config, ledger: SqlLedger, partner: Partner, name: str, file: Path, seal: bytes | None
) -> Recorded:
    from gateway.edge.points import CrashPoints
    from gateway.edge.work import InlineWork

    clock, work = SystemClock(), InlineWork()
    collector = Collector(
        ledger, config.archive(config.at_rest()), config.crypto(clock, work), work, clock, CrashPoints()
    )

    async def parts() -> AsyncIterator[bytes]:
        try:
            with file.open("rb") as source:
                while part := source.read(_CHUNK_BYTES):
                    yield part
        except OSError as error:
            raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(file)) from None

    return await collector.take_in(partner, name, parts(), BY_HAND, seal)


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(path)) from None
    if len(data) > bytes_max:
        raise Malformed(f"a seal has at most {bytes_max} bytes", code=Code.SIZE, where=str(path))
    return data


def _plain(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "what": hidden(one["what"] or "")}
