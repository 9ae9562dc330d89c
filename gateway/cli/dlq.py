"""``sheyin dlq``: messages that could not be processed, with their reason and raw bytes.

Replaying or discarding one is an Act: it stands in the audit chain, with the person and the reason, before it is done.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from cyclopts import App, Parameter

from gateway.cli.acting import As, Reason, checked_reason, hidden, person, quiet, reach
from gateway.cli.config import Config, load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output, several
from gateway.core.errors import Code, Refused
from gateway.edge.clock import SystemClock

if TYPE_CHECKING:
    from gateway.edge.dead_letters import DeadLetter, OpenLetter

app = App(name="dlq", help="Messages that could not be processed, with reason and raw bytes.")
T = TypeVar("T")
Digest = Annotated[str, Parameter(name="--digest", help="SHA-256 of its bytes, at least 8 digits, where ids repeat.")]
_DIGEST_SHOWN = 12


@app.command(name="list")
def list_(*, as_json: AsJson = False, config: ConfigPath = None) -> Exit:
    """All dead letters, oldest first: why they died, where and when. Looking consumes none."""
    found = asyncio.run(_on_bus(_loaded(config), _letters))
    output = Output(as_json)
    if as_json:
        output.json({"letters": [_plain(letter) for letter in found]})
        return Exit.OK
    rows = [
        (letter.message_id, letter.digest[:_DIGEST_SHOWN], f"{letter.size:,}", hidden(letter.reason), letter.queue,
         letter.at[:19], str(letter.replays))
        for letter in found
    ]  # fmt: skip
    columns = ("message id", "digest", ("bytes", "right"), "reason", "died in", "at (UTC)", ("replays", "right"))
    if rows:
        output.table(several(len(rows), "dead letter"), columns, rows)
    else:
        output.say("no dead letters")
    return Exit.OK


@app.command
def show(
    message_id: str, *, digest: Digest = "", raw: bool = False, as_json: AsJson = False, config: ConfigPath = None
) -> Exit:
    """One dead letter: what it says about itself, and its body with long numbers masked.

    Parameters
    ----------
    message_id
        Its message id.
    raw
        Print nothing but its bytes, as they are, personal data included.
    """
    kept: list[bytes] = []

    async def keep(opened: OpenLetter) -> bool:
        kept.append(opened.body)
        return False

    letter = asyncio.run(_on_bus(_loaded(config), lambda bus: _one(bus, message_id, digest, keep)))
    output = Output(as_json)
    if raw:
        sys.stdout.buffer.write(kept[0])
        return Exit.OK
    text = hidden(kept[0].decode(errors="backslashreplace"))
    if as_json:
        output.json({**_plain(letter), "body": text})
        return Exit.OK
    for name, value in _plain(letter).items():
        output.say(f"{name}: {value}")
    output.say(text)
    return Exit.OK


@app.command
def replay(
    message_id: str,
    *,
    as_: As,
    reason: Reason,
    digest: Digest = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """Put a letter back into the queue where it died: it is tried again, under the same id, with the same bytes.

    Parameters
    ----------
    message_id
        Its message id.
    """
    return _act("replay", message_id, digest, as_, reason, as_json, config)


@app.command
def discard(
    message_id: str,
    *,
    as_: As,
    reason: Reason,
    digest: Digest = "",
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """Take a letter away for ever. Its digest and its reason stay in the audit chain, its bytes do not: `show --raw` saves them.

    Parameters
    ----------
    message_id
        Its message id.
    """
    return _act("discard", message_id, digest, as_, reason, as_json, config)


def _act(what: str, message_id: str, digest: str, name: str, reason: str, as_json: bool, config: ConfigPath) -> Exit:
    loaded = _loaded(config)
    why, who = checked_reason(reason), person(name)
    reach(loaded)

    async def work(bus: Any) -> DeadLetter:
        from gateway.cli.assembly import open_ledger

        async with open_ledger(loaded, SystemClock()) as ledger:
            await who.sign_in(ledger, "operator")

            async def act(opened: OpenLetter) -> bool:
                letter = opened.letter
                body = {"digest": letter.digest, "size": letter.size, "queue": letter.queue, "reason": why}
                await ledger.act(who.name, f"dlq.{what}", f"letter:{letter.message_id}", body)
                await (opened.replay() if what == "replay" else opened.discard())
                return False

            return await _one(bus, message_id, digest, act)

    letter = asyncio.run(_on_bus(loaded, work))
    output, word = Output(as_json), {"replay": "replayed", "discard": "discarded"}[what]
    if as_json:
        output.json({word: message_id, "digest": letter.digest, "by": who.name, "reason": why})
    output.say(f"{message_id} ({letter.digest[:_DIGEST_SHOWN]}) is {word} by {who.name}")
    return Exit.OK


# ---------------------------------------------------------------------------------------------------------------- parts


def _loaded(config: ConfigPath) -> Config:
    loaded = load(config)
    if loaded.local_bus:
        what = "the bus is inside the serving process: its dead letters end with it, and none can be seen from here"
        raise Refused(what, where=loaded.key("gateway.bus"))
    quiet()
    return loaded


async def _on_bus(config: Config, work: Callable[[Any], Awaitable[T]]) -> T:
    from gateway.cli.assembly import open_bus

    async with open_bus(config, SystemClock()) as bus:
        return await work(bus)


async def _letters(bus: Any) -> list[DeadLetter]:
    from gateway.edge.dead_letters import letters

    return await letters(bus)


async def _one(bus: Any, message_id: str, digest: str, act: Callable[[OpenLetter], Awaitable[bool]]) -> DeadLetter:
    """The letter of that id. Raises Refused where its id alone does not tell it from another."""
    from gateway.edge.dead_letters import one

    if not digest:
        digests = {letter.digest for letter in await _letters(bus) if letter.message_id == message_id}
        if len(digests) > 1:
            raise Refused("several letters have this id: name one with --digest", where=message_id)
        if not digests:
            raise Refused("no such dead letter", code=Code.UNKNOWN_REF, where=message_id)
        digest = digests.pop()
    return await one(bus, message_id, digest, act)


def _plain(letter: DeadLetter) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(letter)
    del found["headers"]
    return {**found, "reason": hidden(letter.reason)}
