"""What the card files say → Verdict. None of it is a word about money: every outcome is NONE.

Sources as in layout.py; the states of a card as that system's code list has them. A word that no row has is UNKNOWN_CODE, for a person.
"""

from __future__ import annotations

from gateway.core.adapter import CodeTable, codes
from gateway.core.bank import Agreement, Block, DocKind, Head, Row
from gateway.core.verdicts import Judgement, Outcome, Verdict

SET = "card_files"
AUDIT, NOTICE, STATE = "audit", "notice", "card_state"
SOURCE = "eracloud_jx at c2b4ff07"
BIND, UNBIND = "B0056", "B0057"

_V = Verdict
CODES = CodeTable(
    [
        *codes(
            AUDIT,
            SET,
            f"{SOURCE}, import of RH files",
            ("1", _V.RECEIVED, "审核通过 · passed"),
            ("0", _V.NO_REASON, "审核不通过 · not passed, its reason in plain words beside it"),
        ),
        *codes(
            NOTICE,
            SET,
            f"{SOURCE}, calls of the card service",
            (BIND, _V.ACCOUNT_CHANGED, "绑定银行卡 · a bank card was bound to the social-security card"),
            (UNBIND, _V.ACCOUNT_CHANGED, "解绑银行卡 · the bank card was unbound from the social-security card"),
        ),
        *codes(
            STATE,
            SET,
            f"{SOURCE}, code list of card states",
            ("1", _V.ACCOUNT_DORMANT, "申领业务中 · being applied for"),
            ("2", _V.ACCOUNT_DORMANT, "待领卡 · made, not yet handed out"),
            ("3", _V.RECEIVED, "已领卡 · in the holder's hands"),
            ("4", _V.CARD_LOST, "已挂失 · reported lost"),
            ("5", _V.CARD_REPLACING, "补卡中 · being made anew after a loss"),
            ("6", _V.CARD_REPLACING, "换卡中 · being replaced"),
            ("7", _V.ACCOUNT_CLOSED, "注销 · cancelled"),
        ),
    ]
)


def judge(head: Head, block: Block | None, row: Row | None, agreement: Agreement) -> Judgement:
    """A person's audit, or what happened to a card; nothing here pays, refuses or returns anything."""
    del block, agreement
    if row is None or not row.status:
        return Judgement(Outcome.NONE, Verdict.NO_REASON)
    if head.kind is DocKind.NAME_CHECK:
        return Judgement(Outcome.NONE, CODES.verdict(AUDIT, SET, row.status))
    family = NOTICE if (NOTICE, SET, row.status) in CODES else STATE
    return Judgement(Outcome.NONE, CODES.verdict(family, SET, row.status))
