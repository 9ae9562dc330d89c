"""A bank that is talked to: each request is answered at once, and results are told when they are asked for.

A format's side implements ``Conversation`` and books through the bank's ``Counterpart``: ``hear`` an order, ``told`` what became of it.
Nothing is handed over by such a bank itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from gateway.core.verdicts import Verdict
from gateway.sandbox.orders import Booked, Line, Order


class Asked(NamedTuple):
    """One request; names of headers in lower case."""

    path: str  # with its query
    headers: Mapping[str, str]
    body: bytes


class Said(NamedTuple):
    """The reply to it."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200


class Conversation(Protocol):
    """One format as a bank speaks it. Called in a worker thread, one request at a time."""

    def orders(self, asked: Asked) -> bool:
        """Whether it would move money, as far as it can be seen before anything is checked: the faults of the door touch only these."""
        ...

    def reply(self, asked: Asked) -> Said:
        """Check, book, answer."""
        ...


class Heard(NamedTuple):
    """An order that came in words: what ``orders.Opened`` is for a file."""

    head: Order
    rows: list[Line]

    def lines(self) -> Iterator[list[Line]]:
        """All at once."""
        yield self.rows


class Word(NamedTuple):
    """What the bank says of one line when it is asked."""

    line: int  # 1-based in its order
    booked: Booked
    told: bool  # False: it is still being worked on, or the bank keeps it to itself
    returned: Verdict | None = None  # it was credited and came back


class Told(NamedTuple):
    """What the bank says of an order when it is asked."""

    order: Order | None
    words: list[Word]
    refused: Verdict | None = None  # the whole order, after it had been taken
    why: str = ""
