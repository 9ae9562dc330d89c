"""The payer's side of events: told once however often they come, results in order per instruction, summed by outcome."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import msgspec

from gateway.core.contracts import Envelope, PaymentResult, PaymentResults
from gateway.core.errors import Code, Malformed
from gateway.core.ids import mask_name
from gateway.core.ports import Message

_DISORDER_TOLD = 100
_SHOWN_CHARS = 160
_envelope = msgspec.json.Decoder(Envelope)
_results = msgspec.json.Decoder(PaymentResults)


class Event(NamedTuple):
    """One event that had not come before."""

    type: str
    line: bytes  # to be written down
    sentence: str  # for people; no personal data


class Listener:
    """What a payer must remember. Some 200 bytes for each instruction with a result and for each message."""

    def __init__(self, *, from_start: bool) -> None:
        """``from_start``: nothing was listened to before that is not remembered, so every first result must be number 1."""
        self.events = 0
        self.repeats = 0
        self.rejected = 0
        self._from_start = from_start
        self.by_type: Counter[str] = Counter()
        self.disorder: list[str] = []  # the first hundred
        self.disorder_total = 0
        self._seen: set[str] = set()
        self._sequence: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._minor: Counter[str] = Counter()

    def take(self, message: Message) -> Event | None:
        """Note one message; None for a repeat. Raises Malformed for what is no event of the contract."""
        try:
            found = _envelope.decode(message.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"not an event: {error}", code=Code.FORMAT, where=message.message_id) from None
        if found.id in self._seen:
            self.repeats += 1
            return None
        self.events += 1
        return Event(found.type, message.body, self._note(found))

    def remember(self, line: bytes, *, where: str) -> None:
        """An event of an earlier time, from the file. Raises Malformed."""
        try:
            found = _envelope.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"not an event: {error}", code=Code.FORMAT, where=where) from None
        if found.id not in self._seen:
            self._note(found)

    def totals(self) -> dict[str, Any]:
        """All that was told, also of earlier times if there is a file; ``outcomes`` count results, not instructions."""
        return {
            "events": self.events,
            "repeats": self.repeats,
            "rejected": self.rejected,
            "by_type": dict(sorted(self.by_type.items())),
            "outcomes": {
                outcome: {"count": count, "minor": self._minor[outcome]}
                for outcome, count in sorted(self._counts.items())
            },
            "instructions": len(self._sequence),
            "in_order": not self.disorder_total,
            "disorder": self.disorder,
        }

    def _note(self, found: Envelope) -> str:
        self._seen.add(found.id)
        self.by_type[found.type] += 1
        if found.type == "payment.results":
            results = _results.decode(found.data).results
            for result in results:
                self._result(result)
            outcomes = Counter(result.outcome for result in results)
            return f"{found.type}: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        return f"{found.type}: {_shown(msgspec.json.decode(found.data))}"

    def _result(self, result: PaymentResult) -> None:
        before = self._sequence.get(result.instruction_id, 0)
        if result.sequence != before + 1 and (before or self._from_start):
            self.disorder_total += 1
            if len(self.disorder) < _DISORDER_TOLD:
                self.disorder.append(f"{result.instruction_id}: result {result.sequence} after {before}")
        self._sequence[result.instruction_id] = max(before, result.sequence)
        self._counts[result.outcome] += 1
        self._minor[result.outcome] += result.amount


def _shown(data: Any) -> str:
    """The plain fields of an event's data in one line, names masked, lists counted."""
    parts = []
    for name, value in data.items():
        if name.endswith("_name"):
            parts.append(f"{name} {mask_name(value)}")
        elif isinstance(value, list):
            parts.append(f"{len(value)} {name}")
        elif not isinstance(value, dict) and name != "digest" and value != "":
            parts.append(f"{name} {value}")
    return ", ".join(parts)[:_SHOWN_CHARS]
