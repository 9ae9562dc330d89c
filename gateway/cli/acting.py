"""What every command on the ledger needs: the ledger opened once it is known to be there, and the person who acts.

A secret never stands on a command line, where others can read it: it comes from ``SHEYIN_ACTOR_SECRET`` or is asked for without being shown.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

from cyclopts import Parameter

from gateway.cli.config import Config
from gateway.core.errors import Code, Refused, SheyinError, Unavailable
from gateway.core.ids import mask_account
from gateway.edge.clock import SystemClock
from gateway.edge.log import configure

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger

T = TypeVar("T")
SECRET = "SHEYIN_ACTOR_SECRET"  # noqa: S105 - the variable's name, not a secret
As = Annotated[str, Parameter(name="--as", help=f"Who acts. Their secret: ${SECRET}, or asked for.")]
OfPayer = Annotated[str, Parameter(name="--payer", help="The payer's code, where two payers use one id.")]
Reason = Annotated[str, Parameter(name="--reason", help="Why; it is kept in the audit chain. No personal data.")]
REASON_CHARS_MAX = 200
_CHINA = timedelta(hours=8)
_PING_S = 10.0
_NUMBER = re.compile(r"[0-9]{12,34}", re.ASCII)


class Person(NamedTuple):
    """Who acts, and the secret that they gave."""

    name: str
    secret: str

    async def sign_in(self, ledger: SqlLedger, *roles: str) -> None:
        """Raises Refused AUTH unless the secret is theirs and they have one of ``roles`` (any, where none is named)."""
        await ledger.authenticate(self.name, self.secret)
        if not roles:
            return
        have = next(set(actor["roles"]) for actor in await ledger.list_actors() if actor["id"] == self.name)
        if not have & set(roles):
            error = Refused(f"{self.name} is not {' or '.join(roles)}", code=Code.AUTH, where="--as")
            error.add_note("`sheyin actor list` shows who may do what.")
            raise error


def person(name: str) -> Person:
    """The Actor of ``--as`` with their secret, not signed in yet. Raises Refused AUTH where there is none and nobody to ask."""
    return Person(name, secret_of(name, SECRET))


def secret_of(name: str, variable: str, *, twice: bool = False) -> str:
    """A secret from the environment, else from the terminal (asked for ``twice`` where it is a new one)."""
    given = os.environ.get(variable)
    if given:
        return given
    if not sys.stdin.isatty():
        raise Refused(f"no secret of {name}: set {variable}, or call from a terminal", code=Code.AUTH, where="--as")
    typed = getpass.getpass(f"secret of {name}: ")
    if twice and getpass.getpass("once more: ") != typed:
        raise Refused("the two differ", code=Code.AUTH, where=name)
    return typed


def checked_reason(reason: str) -> str:
    """What goes into the audit chain. Raises Refused for nothing, too much or control characters."""
    if not reason.isprintable() or not reason.split() or len(reason) > REASON_CHARS_MAX:
        raise Refused(f"a reason is one line of 1 to {REASON_CHARS_MAX} characters", code=Code.FORMAT, where="--reason")
    return reason


def quiet() -> None:
    """Logs of libraries go to standard error, and only warnings."""
    configure(level="WARNING")


def reach(config: Config) -> None:
    """The ledger answers and has the newest schema. Raises Unavailable; Refused where there is none or it is older."""
    from gateway.edge.ledger import migrate

    url = config.ledger_url()
    if url.startswith("sqlite:///"):
        if not Path(url.removeprefix("sqlite:///")).is_file():
            raise Refused(
                "there is no ledger yet: run `sheyin db upgrade`", code=Code.PATH, where=config.key("gateway")
            )
    else:
        asyncio.run(_ping(config))
    migrate.check(url)


async def _ping(config: Config) -> None:
    from gateway.cli.assembly import open_ledger

    try:
        async with asyncio.timeout(_PING_S), open_ledger(config, SystemClock()) as ledger:
            await ledger.driver.read(lambda tx: tx.scalar("SELECT 1"))
    except SheyinError:
        raise
    except Exception as error:  # whatever a driver says on connecting, the ledger is away
        raise Unavailable(f"the ledger does not answer: {error}") from error


def on_ledger(config: Config, work: Callable[[SqlLedger], Awaitable[T]]) -> T:
    """Run ``work`` on the ledger, once it is reached. Raises as ``reach`` and ``work`` do."""
    from gateway.cli.assembly import open_ledger

    quiet()
    reach(config)

    async def run() -> T:
        async with open_ledger(config, SystemClock()) as ledger:
            return await work(ledger)

    return asyncio.run(run())


def instant(ms: int | None) -> str:
    """Milliseconds as a person in China reads them; empty for none."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC) + _CHINA:%Y-%m-%d %H:%M:%S}" if ms else ""


def hidden(text: str) -> str:
    """A bank's or a program's own words with everything masked that may be an account or an id number."""
    return _NUMBER.sub(lambda found: mask_account(found[0]), text)


def ask(question: str) -> str:
    """A person's answer on the terminal. Raises Refused AUTH where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise Refused("nobody is here to ask: give --confirm COUNT:FEN", code=Code.POLICY, where="--confirm")
    print(question, end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()
