"""Crash points: the named places where a process may die and must find itself again from the ledger.

``SHEYIN_CRASH_AT=name`` (or ``name:3`` for the third time) ends the process there without any clean-up; a test does so at every one of them.
"""

from __future__ import annotations

from typing import Protocol

POINTS: dict[str, str] = {
    "intake.received": "a message is read, nothing is recorded",
    "intake.loaded": "a chunk's lines are loaded, its transaction is open",
    "intake.recorded": "a message is committed, the broker does not know",
    "accept.born": "the Attempts of a Run are born, its transaction is open",
    "accept.done": "a Run is accepted, nothing else has happened",
    "dispatch.placed": "membership of a Batch is written, its transaction is open",
    "dispatch.filed": "membership is committed, no file exists",
    "seal.spooled": "the payload is spooled, not signed",
    "seal.archived": "the sealed Document is archived, the ledger does not know",
    "seal.marked": "the Document is sealed in the ledger, nothing has left",
    "send.marked": "the Document is in sending, the first byte has not left",
    "send.saved": "a part of the Document has left and the cursor is kept, the next part has not left",
    "send.travelled": "the bank has the Document, the ledger does not know",
    "send.done": "the Document is sent in the ledger",
    "collect.archived": "an arrived Document is archived, the ledger does not know",
    "collect.recorded": "an arrived Document is recorded, the bank's side still holds it",
    "collect.weighed": "half of a result is applied, its transaction is open",
    "collect.applied": "a result is applied, the payers are not told yet",
    "outbox.published": "events are confirmed by the broker, the ledger does not know",
}


class Points(Protocol):
    """Where the process may be told to die."""

    def reach(self, name: str) -> None:
        """Go on, unless this is the place."""
        ...
