"""A payer's ear: whatever is relayed, as often as it comes, heard once by its message id."""

from __future__ import annotations

import msgspec

from gateway.core import contracts
from gateway.core.contracts import Envelope, PaymentResult, PaymentResults


class Hearing:
    """Results per instruction must come as 1, 2, 3 … without a gap, and never say the same thing again under a new number (P4, P11)."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._results: dict[str, list[PaymentResult]] = {}

    def hear(self, message_id: str, routing_key: str, body: bytes) -> None:
        """One delivery; a repeat must be the same bytes."""
        if message_id in self._bodies:
            assert self._bodies[message_id] == body, "another content under the same message id"
            return
        self._bodies[message_id] = body
        name = routing_key.partition(".")[2]
        data = msgspec.json.decode(msgspec.json.decode(body, type=Envelope).data, type=contracts.OUTBOUND[name])
        for result in data.results if isinstance(data, PaymentResults) else ():
            heard = self._results.setdefault(result.instruction_id, [])
            assert result.sequence == len(heard) + 1, f"{result.instruction_id}: {result.sequence} after {len(heard)}"
            assert not heard or (heard[-1].attempt, heard[-1].outcome) != (result.attempt, result.outcome)
            heard.append(result)

    def last(self, instruction_id: str, attempt: int) -> str:
        """The outcome that was told last of one try, or empty."""
        outcomes = [each.outcome for each in self._results.get(instruction_id, ()) if each.attempt == attempt]
        return outcomes[-1] if outcomes else ""
