"""What a bank knows about its accounts: whose payment fails, why, and what mends it.

The file is written by the reference month (``month.py``), or by a test::

    {"default": "pay",
     "accounts": {"6217990000000000123": {"verdict": "NAME_MISMATCH", "bank_name": "欧阳娜"},
                  "6217990000000000131": {"verdict": "CARD_LOST", "mends_after_first": true},
                  "6217990000000000149": {"verdict": "CARD_REPLACING", "new_account": "6217990000000000156"},
                  "6217990000000000164": {"verdict": "PAID", "returns": "ACCOUNT_CLOSED"}}}

Fields that are not known here are left alone, so that the month may keep notes of its own in the same file.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.core.verdicts import Verdict

PAY = "pay"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account that is not simply paid."""

    verdict: Verdict
    bank_name: str = ""  # the holder's name as the bank has it: a payment in this name is paid
    accepts: tuple[str, ...] = ()  # further names that are paid (the bank has corrected its record, a whitelist entry)
    new_account: str = ""  # the number that replaced it, told to the bureau where the format has room
    mends_after_first: bool = False  # the first payment fails, a later file's is paid
    returns: Verdict | None = None  # it is credited, and the money comes back for this reason
    text: str = ""  # the bank's own words, instead of the usual ones

    def __post_init__(self) -> None:
        if self.verdict is Verdict.PAID and self.returns is None:
            raise ValueError("an account that is simply paid needs no entry")


class Failure(NamedTuple):
    """Why one payment is not credited."""

    verdict: Verdict
    text: str = ""
    bank_name: str = ""
    new_account: str = ""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts with a story, and what happens to the others: ``pay``, or a Verdict's name for all of them."""

    accounts: dict[str, Account] = {}
    default: str = PAY

    def __post_init__(self) -> None:
        if self.default != PAY:
            Verdict(self.default)  # raises for a word that is neither

    def failure(self, account: str, name: str, *, failed_before: bool) -> Failure | None:
        """None if the payment is credited; ``failed_before``: an earlier file's payment to this account failed here."""
        told = self.accounts.get(account)
        if told is None:
            return None if self.default == PAY else Failure(Verdict(self.default))
        if told.verdict is Verdict.PAID or (told.mends_after_first and failed_before):
            return None
        if told.verdict is Verdict.NAME_MISMATCH and (
            name in told.accepts or (told.bank_name and name == told.bank_name)
        ):
            return None
        return Failure(told.verdict, told.text, told.bank_name, told.new_account)


def load(path: str) -> Scenario:
    """Read a scenario file; an empty path is the bank that pays everything."""
    return msgspec.json.decode(Path(path).read_bytes(), type=Scenario) if path else Scenario()
