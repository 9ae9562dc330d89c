"""Who of the reference month is not paid at the first try, why, and what mends it.

The source tells 238 and the three reasons, no more: the split by reason and by what mends it is assumed.

A plan file per bank has the shape that ``sandbox/scenario.py`` reads; ``mend``, ``to_bank``, ``to_account`` and ``mended_on``
are notes of the bureau's side, which the banks leave alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from gateway.core.contracts import Account, Correction, InstructionRepay
from gateway.core.verdicts import Verdict

MONTH_PAYMENTS = 369_370
"""Payments of the reference month (source: the city's report of June 2015)."""
MONTH_FAILURES = 238
"""Of these failed at first (same source)."""


VERIFIER, APPROVER = "demo-verifier", "demo-approver"
"""The two people of the payer's who stand for a correction in the demo."""


class Mend(StrEnum):
    """What makes the second payment possible."""

    NAME = "name"  # the bureau verifies the name with the person: pay in the name that the bank has
    NEW_CARD = "new_card"  # a new card of the same bank: pay to its number
    OTHER_BANK = "other_bank"  # the person gives an account at another bank
    FOUND = "found"  # the card turns up: pay again as before
    WAITS = "waits"  # nothing yet: the payment waits


#: Assumed: how the 238 fall, by reason and by what mends them.
SPLIT: dict[Verdict, tuple[tuple[Mend, int], ...]] = {
    Verdict.NAME_MISMATCH: ((Mend.NAME, 121), (Mend.WAITS, 8)),
    Verdict.CARD_LOST: ((Mend.NEW_CARD, 25), (Mend.FOUND, 22), (Mend.OTHER_BANK, 6), (Mend.WAITS, 8)),
    Verdict.CARD_REPLACING: ((Mend.NEW_CARD, 41), (Mend.WAITS, 7)),
}


class FailurePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One account whose payment fails at first."""

    verdict: Verdict
    bank_name: str = ""  # the holder's name as the bank has it
    new_account: str = ""  # the number that replaced it, as the bank tells it
    mends_after_first: bool = False  # a later file's payment to the same account is paid
    mend: Mend = Mend.WAITS
    to_bank: str = ""  # where the second payment goes, if elsewhere
    to_account: str = ""
    mended_on: dt.date | None = None  # from this day on the second payment may be ordered

    def repay(self, instruction_id: str) -> InstructionRepay | None:
        """The order of the second payment, with verifier and approver of the demo; None while it waits."""
        if self.mend is Mend.WAITS:
            return None
        if self.mend is Mend.FOUND:
            return InstructionRepay(instruction_id=instruction_id, reason="解除挂失")
        name = account = None
        if self.mend is Mend.NAME:
            reason, evidence, name = "户名更正", "本人身份证件核实", self.bank_name
        else:
            reason, evidence = "账户变更", "本人提供新账户"
            account = Account(bank=self.to_bank, account=self.to_account)
        correction = Correction(verifier=VERIFIER, approver=APPROVER, evidence=evidence, name=name, account=account)
        return InstructionRepay(instruction_id=instruction_id, reason=reason, correction=correction)


def counts(payments: int) -> dict[Verdict, int]:
    """How many of ``payments`` fail for each reason: in proportion to the month's, at least one, never more than there are."""
    found: dict[Verdict, int] = {}
    for verdict, mends in SPLIT.items():
        whole = sum(count for _, count in mends)
        share = (2 * whole * payments + MONTH_PAYMENTS) // (2 * MONTH_PAYMENTS)
        found[verdict] = min(max(1, share), payments - sum(found.values()))
    return found


def mend_of(verdict: Verdict, number: int, count: int) -> Mend:
    """What mends the ``number``-th (from 0) of ``count`` that fail for this reason, as SPLIT says.

    The last of three or more always waits: a small demo shows that too.
    """
    if number + 1 == count >= 3:
        return Mend.WAITS
    mends = [mend for mend, many in SPLIT[verdict] for _ in range(many)]
    return mends[number * len(mends) // count]


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan file holds: for each account its story; all others are paid."""

    accounts: dict[str, FailurePlan]
    default: str = "pay"


def write_scenario(folder: Path, scenarios: Mapping[str, Mapping[str, FailurePlan]]) -> dict[str, Path]:
    """Write ``<bank>.json`` for every bank into ``folder`` (made if absent); returns where each is."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {bank: folder / f"{bank}.json" for bank in scenarios}
    for bank, path in paths.items():
        path.write_bytes(msgspec.json.encode(_File(accounts=dict(scenarios[bank]))))
    return paths


def read_scenario(path: Path) -> dict[str, FailurePlan]:
    """Account → plan, as ``write_scenario`` wrote them. Raises msgspec.ValidationError for another shape."""
    return msgspec.json.decode(path.read_bytes(), type=_File).accounts
