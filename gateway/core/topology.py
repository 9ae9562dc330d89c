"""The exchanges and queues on the broker, as data: declared on RabbitMQ, copied by the in-process bus, checked by
``sheyin topology``.

::

    payers ──► disbursement ──run.# instruction.#──► gateway.intake ──► us
    us ──► gateway.events ──<payer>.#──► payer.<payer>.events ──► that payer
    us ──► banks ──► bank.<CODE>.out ──► that bank          that bank ──► banks ──► bank.<CODE>.in ──► us
    what cannot be processed ──► gateway.dlx ──dead.<queue>──► gateway.dead ──► a person (``sheyin dlq``)

Every queue here is a quorum queue that refuses what it cannot hold and never drops what it dead-letters (PROMISES,
section 0 facts 2 and 3): ``reject-publish``, because the default ``drop-head`` confirms and forgets; dead-lettering
``at-least-once``, which needs it; a delivery limit, so that one poison message cannot starve the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from gateway.core.errors import Code, Refused

DISBURSEMENT = "disbursement"
EVENTS = "gateway.events"
BANKS = "banks"
DLX = "gateway.dlx"

INTAKE = "gateway.intake"
DEAD = "gateway.dead"
INTAKE_KEYS = ("run.#", "instruction.#")
#: Alerts are not a payer's: they wait in a queue of this pseudo-payer, for whatever pages the people on duty.
OPERATIONS = "OPERATIONS"

#: Of any message's body: RabbitMQ 4's own default, so that nothing works on 3.x and breaks there.
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
LENGTH_MAX = 2_000_000
DELIVERY_LIMIT = 50
#: Of the dead-letter queue: each look at a letter counts as a delivery, and RabbitMQ 4 drops after 20 where none is set.
PEEK_LIMIT = 1_000_000

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A durable exchange. Its name and kind are all there is to it."""

    name: str
    kind: str = "topic"


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange gives to the queue: ``*`` is one word of the routing key, ``#`` any number of words."""

    exchange: str
    key: str


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A durable queue. ``message_bytes_max`` is our own cap on a body; the rest becomes the broker's arguments."""

    name: str
    bindings: tuple[Binding, ...]
    kind: str = "quorum"
    length_max: int = LENGTH_MAX  # messages waiting; what comes on top is refused to its publisher
    overflow: str = "reject-publish"
    delivery_limit: int = DELIVERY_LIMIT  # returns to the queue, after which it is dead-lettered
    dead_letter_exchange: str = DLX  # empty: what is rejected here is gone (the dead-letter queue itself)
    dead_letter_strategy: str = "at-least-once"
    message_bytes_max: int = MESSAGE_BYTES_MAX

    @property
    def dead_letter_key(self) -> str:
        """Routing key of what this queue dead-letters."""
        return f"dead.{self.name}"

    def arguments(self) -> dict[str, str | int]:
        """The ``x-`` arguments of the declaration, as RabbitMQ 3.10 to 4.x take them."""
        arguments: dict[str, str | int] = {
            "x-queue-type": self.kind,
            "x-max-length": self.length_max,
            "x-overflow": self.overflow,
            "x-delivery-limit": self.delivery_limit,
        }
        if self.dead_letter_exchange:
            arguments["x-dead-letter-exchange"] = self.dead_letter_exchange
            arguments["x-dead-letter-routing-key"] = self.dead_letter_key
            arguments["x-dead-letter-strategy"] = self.dead_letter_strategy
        return arguments


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that must stand on the broker. Names are unique; every binding's exchange is listed."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]

    def queue(self, name: str) -> Queue | None:
        """The queue of that name, or None."""
        return next((queue for queue in self.queues if queue.name == name), None)

    def routed(self, exchange: str, key: str) -> list[Queue]:
        """The queues that get a message published so. The nameless exchange gives it to the queue named by the key."""
        if not exchange:
            return [queue for queue in self.queues if queue.name == key]
        return [
            queue
            for queue in self.queues
            if any(b.exchange == exchange and matches(b.key, key) for b in queue.bindings)
        ]


def matches(pattern: str, key: str) -> bool:
    """Topic matching as AMQP 0-9-1 defines it: ``*`` is exactly one word, ``#`` is zero or more."""
    ends = {0}  # how many words of the key the pattern so far can have eaten
    words = key.split(".") if key else []
    for part in pattern.split(".") if pattern else []:
        if part == "#":
            ends = set(range(min(ends), len(words) + 1)) if ends else ends
        else:
            ends = {end + 1 for end in ends if end < len(words) and part in ("*", words[end])}
    return len(words) in ends


def payer_queue(payer: str) -> str:
    """Where a payer reads its results."""
    return f"payer.{payer}.events"


def event_key(payer: str, event: str) -> str:
    """Routing key of an event on ``gateway.events``: ``<payer>.<event type>``."""
    return f"{payer}.{event}"


def bank_out(code: str) -> str:
    """Queue, and key on ``banks``, of what we send to a bank."""
    return f"bank.{code}.out"


def bank_in(code: str) -> str:
    """Queue, and key on ``banks``, of what a bank sends to us."""
    return f"bank.{code}.in"


def topology(payers: Iterable[str] = (), amqp_banks: Iterable[str] = ()) -> Topology:
    """The whole topology for these payers and these banks reached over AMQP, in a stable order.

    Raises Refused (POLICY) for a name that could be read as part of a routing key or pattern.
    """
    queues = [Queue(name=INTAKE, bindings=tuple(Binding(exchange=DISBURSEMENT, key=key) for key in INTAKE_KEYS))]
    for payer in _names("payer", {*payers, OPERATIONS}):
        queues.append(Queue(name=payer_queue(payer), bindings=(Binding(exchange=EVENTS, key=f"{payer}.#"),)))
    for code in _names("bank", amqp_banks):
        for name in (bank_out(code), bank_in(code)):
            queues.append(Queue(name=name, bindings=(Binding(exchange=BANKS, key=name),)))
    queues.append(
        Queue(
            name=DEAD,
            bindings=(Binding(exchange=DLX, key="#"),),
            delivery_limit=PEEK_LIMIT,
            dead_letter_exchange="",
        )
    )
    exchanges = tuple(Exchange(name=name) for name in (DISBURSEMENT, EVENTS, BANKS, DLX))
    return Topology(exchanges=exchanges, queues=tuple(queues))


def _names(what: str, names: Iterable[str]) -> list[str]:
    kept = sorted(set(names))
    for name in kept:
        if not _NAME.fullmatch(name):
            raise Refused(f"{name!r} cannot be part of a queue's name", code=Code.POLICY, where=what)
    return kept
