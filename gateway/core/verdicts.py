"""Verdicts: a bank's word classified by meaning, each with its next move; outcomes: what it means for the payment.

A bank's raw code never reaches the rest of the gateway: an adapter's code table maps (message family, code set, code) to a Verdict,
because the same code means different things in a status and in a return. A code that no table has is UNKNOWN_CODE and is parked.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """What a bank's word on one payment, block or file means for the money."""

    PAID = "paid"  # credited, as the Agreement defines it
    FAILED = "failed"  # surely not paid, final after the Agreement's time
    REFUSED = "refused"  # the bank did not take it up: nothing was booked
    UNKNOWN = "unknown"  # nobody knows yet: inquire
    PENDING = "pending"  # taken up, not yet credited
    RETURNED = "returned"  # was paid, the money came back
    NONE = "none"  # says nothing about the money


class Move(StrEnum):
    """What has to happen next."""

    NOTHING = "nothing"
    WAIT_NAME = "wait_name"
    WAIT_CARD = "wait_card"
    ALTERNATIVE_ACCOUNT = "alternative_account"
    CORRECT = "correct_and_retry"
    RETRY = "retry"
    ASK_PERSON = "ask_person"
    INQUIRE = "inquire"
    NEVER = "never"
    PARK = "park"


class Verdict(StrEnum):
    """Why a payment is where it is, in our own words; the same for every bank."""

    PAID = "PAID"
    RECEIVED = "RECEIVED"
    CARD_LOST = "CARD_LOST"
    CARD_REPLACING = "CARD_REPLACING"
    NAME_MISMATCH = "NAME_MISMATCH"
    ID_MISMATCH = "ID_MISMATCH"
    ACCOUNT_UNKNOWN = "ACCOUNT_UNKNOWN"
    ACCOUNT_CLOSED = "ACCOUNT_CLOSED"
    ACCOUNT_BLOCKED = "ACCOUNT_BLOCKED"
    ACCOUNT_DORMANT = "ACCOUNT_DORMANT"
    ACCOUNT_CHANGED = "ACCOUNT_CHANGED"
    ACCOUNT_TYPE = "ACCOUNT_TYPE"
    AMOUNT_LIMIT = "AMOUNT_LIMIT"
    FUNDS = "FUNDS"
    DECEASED = "DECEASED"
    DUPLICATE = "DUPLICATE"
    FORMAT_REFUSED = "FORMAT_REFUSED"
    TOTALS_REFUSED = "TOTALS_REFUSED"
    SEAL_REFUSED = "SEAL_REFUSED"
    NOT_ALLOWED = "NOT_ALLOWED"
    TIMEOUT = "TIMEOUT"
    BANK_FAULT = "BANK_FAULT"
    NO_REASON = "NO_REASON"
    CANCELLED = "CANCELLED"
    NOT_FOUND = "NOT_FOUND"
    UNKNOWN_CODE = "UNKNOWN_CODE"


class Meaning(NamedTuple):
    """One Verdict's row: Chinese and English words, the next move, and what it proves when a whole block or file gets it."""

    zh: str
    en: str
    move: Move
    proves_unbooked: bool = (
        False  # given for a block or file, it proves that nothing in it was booked: lines inherit it
    )


MEANINGS: dict[Verdict, Meaning] = {
    Verdict.PAID: Meaning("已入账", "credited", Move.NOTHING),
    Verdict.RECEIVED: Meaning("已受理", "taken up, not yet credited", Move.NOTHING),
    Verdict.CARD_LOST: Meaning("挂失", "card or passbook reported lost", Move.WAIT_CARD),
    Verdict.CARD_REPLACING: Meaning("换卡中", "card being replaced", Move.WAIT_CARD),
    Verdict.NAME_MISMATCH: Meaning("户名不符", "account name differs", Move.WAIT_NAME),
    Verdict.ID_MISMATCH: Meaning("证件不符", "id number differs from the bank's", Move.ASK_PERSON),
    Verdict.ACCOUNT_UNKNOWN: Meaning("账号不存在", "no such account", Move.CORRECT),
    Verdict.ACCOUNT_CLOSED: Meaning("已销户", "account closed", Move.ALTERNATIVE_ACCOUNT),
    Verdict.ACCOUNT_BLOCKED: Meaning("账户冻结", "account blocked or frozen", Move.ALTERNATIVE_ACCOUNT),
    Verdict.ACCOUNT_DORMANT: Meaning("长期不动户", "account dormant", Move.ASK_PERSON),
    Verdict.ACCOUNT_CHANGED: Meaning("账号已变更", "account number has changed", Move.CORRECT),
    Verdict.ACCOUNT_TYPE: Meaning(
        "账户类型不符", "account of a kind that takes no such credit", Move.ALTERNATIVE_ACCOUNT
    ),
    Verdict.AMOUNT_LIMIT: Meaning("金额超限", "amount outside a limit", Move.ASK_PERSON),
    Verdict.FUNDS: Meaning("余额不足", "the fund account lacks the money", Move.RETRY, proves_unbooked=True),
    Verdict.DECEASED: Meaning("已死亡", "payee deceased", Move.NEVER),
    Verdict.DUPLICATE: Meaning("重复", "the bank holds a first copy, or thinks so", Move.INQUIRE),
    Verdict.FORMAT_REFUSED: Meaning("格式错误", "the bank cannot read it", Move.ASK_PERSON, proves_unbooked=True),
    Verdict.TOTALS_REFUSED: Meaning("合计不符", "count or total differs", Move.ASK_PERSON, proves_unbooked=True),
    Verdict.SEAL_REFUSED: Meaning(
        "验签失败", "the bank does not accept the seal", Move.ASK_PERSON, proves_unbooked=True
    ),
    Verdict.NOT_ALLOWED: Meaning("无权限", "the agreement does not allow it", Move.ASK_PERSON, proves_unbooked=True),
    Verdict.TIMEOUT: Meaning("超时", "the bank gave up waiting: nobody knows", Move.INQUIRE),
    Verdict.BANK_FAULT: Meaning("银行处理异常", "a fault at the bank", Move.ASK_PERSON),
    Verdict.NO_REASON: Meaning("未说明原因", "failed without a reason given", Move.ASK_PERSON),
    Verdict.CANCELLED: Meaning("已撤销", "cancelled at our request", Move.NOTHING),
    # Not a refusal: it counts only after the Agreement's not-found window, so until then the next move is to ask again.
    Verdict.NOT_FOUND: Meaning("查无此文件", "the bank says that it has no such Document or line", Move.INQUIRE),
    Verdict.UNKNOWN_CODE: Meaning("未知代码", "a code that no table has", Move.PARK),
}


class Judgement(NamedTuple):
    """One classified word: what it means for the money, why, and whether the rule behind it is known."""

    outcome: Outcome
    verdict: Verdict

    @property
    def parked(self) -> bool:
        """True where no rule applies and a person must look."""
        return self.verdict is Verdict.UNKNOWN_CODE


def inherits(judgement: Judgement) -> bool:
    """Whether lines without a word of their own take this block's or file's word: only where it proves that nothing was booked."""
    return judgement.outcome in (Outcome.REFUSED, Outcome.FAILED) and MEANINGS[judgement.verdict].proves_unbooked
