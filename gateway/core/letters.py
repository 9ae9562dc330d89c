"""A letter: what a bank says in writing (银行书面说明) where no Document of its can say it; two people enter it (P5, P12)."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.core.verdicts import Verdict

#: Payments that one letter may list; more are a whole Document.
PAYMENTS_MAX = 10_000


class Says(StrEnum):
    """What the letter says."""

    PAID = "paid"  # these payments are credited
    FAILED = "failed"  # these payments were not made and will not be
    RECEIVED = "received"  # the bank has the Document; its results follow
    REFUSED = "refused"  # the bank did not take the Document up: nothing of it was or will be booked
    NOT_FOUND = "not_found"  # the bank has no such Document: the same bytes may go again


#: What is said of payments; all else is said of a whole Document.
OF_PAYMENTS = (Says.PAID, Says.FAILED)
_Line = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=200)]


class Letter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One letter, as the maker enters it and the checker approves it. It speaks of one Document of ours, or of listed payments."""

    bank: str
    reference: Annotated[str, Meta(pattern=r"^[^\x00-\x20\x7f]{1,80}$")]  # the bank's own number on the letter
    dated: date
    says: Says
    evidence: _Line  # one line: who signed it, where it is kept; no personal data
    digest: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")] = ""  # SHA-256 of its archived copy, if there is one
    document: str = ""  # reference of our Document
    payments: tuple[str, ...] = ()  # instruction ids; ``id#n`` names the try where there are several
    payer: str = ""  # whose ids they are, where two payers use one
    verdict: Verdict = Verdict.NO_REASON  # why they failed
    code: str = ""  # the bank's own code, if it gives one
