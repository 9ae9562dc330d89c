"""The route over a pair of AMQP queues: what we publish, the broker keeps for the bank; what the bank publishes, we take.

A queue cannot be looked into: once the broker has confirmed, only the bank can say what it has. So an inquiry is a
Document of its own (Asked); a format without one has no answer to give here, and the Document stays in doubt until the
bank speaks by itself or a person asks it. Claiming NotFound would let the same money leave again.
"""

from __future__ import annotations

from adapters.standards.filedrop import fetch_from
from gateway.core.bank import Detached, DocKind, Seal
from gateway.core.errors import InDoubt
from gateway.core.route import Asked, Context, Fetched, Found, NotFound, Publish, Route, Routes, SealedDocument, Sent
from gateway.core.topology import bank_in, bank_out


def routes(seal: Seal | None) -> Routes:
    """The three generators for a format with this seal."""
    suffix = seal.suffix if isinstance(seal, Detached) else ""

    def fetch(context: Context) -> Route[Fetched]:
        """Take what waits in the bank's queue; acknowledge what is archived with us."""
        # A message looks like a file with its seal beside it, so the folder's way of taking them is this one too.
        return fetch_from(bank_in(context.bank.code), suffix if context.bank.sealed else "")

    return Routes(submit=submit, inquire=inquire, fetch=fetch)


def submit(document: SealedDocument, context: Context) -> Route[Sent]:
    """Publish once, with its seal: mandatory and confirmed, so Sent means that the broker keeps it."""
    yield Publish(bank_out(context.bank.code), document)
    return Sent(document.digest)


def inquire(document: SealedDocument, context: Context) -> Route[Found | NotFound | Asked]:
    """Send an inquiry Document. Raises InDoubt for any other: see above."""
    if document.kind is not DocKind.INQUIRY:
        raise InDoubt("a queue cannot be looked into: ask the bank", where=document.reference)
    yield from submit(document, context)
    return Asked()
