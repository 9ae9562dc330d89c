"""What the bank's words mean: of a package (RetCode, BatRetCode) and of a payment (Result with iRetCode, instrRetCode).

The rules, in the order in which they are asked:

1. A repeated package number (B0012, or words that say so), on any level: UNKNOWN, DUPLICATE. A first copy may be booked.
2. RetCode 0 means that the package was taken or the question answered; its payments have words of their own. Of the others only B0116 is known:
   nothing under this number. What no table has is UNKNOWN_CODE.
3. A payment is PAID by Result 7. 6 (refused by the bank), 8 (refused by the customer's authoriser) and 11 (an order for later was cancelled) are
   FAILED; 95 and 98 mean that the bank itself does not know. All else waits.
4. Result 6 with a code of its own that no table has is UNKNOWN_CODE and parked: none of these codes is public. Without a code it is FAILED
   without a reason, unless its words are of a time-out; the words are kept.

``agreement.credited`` is not asked: 7 is 处理成功 by the bank's own table, and only accounts at the bank are paid.

Sources: Result: the table that five public client programs quote alike (GData.YQHL, cifpay, com.qhjf.cfm, …). B0012: a comment in com.qhjf.cfm,
class IcbcSinglePayInter. B0116: cifpay, class of QPAYENT.
"""

from __future__ import annotations

from gateway.core.adapter import CodeTable, codes
from gateway.core.bank import Agreement, Block, DocKind, Head, Reason, Row
from gateway.core.verdicts import Judgement, Outcome, Verdict

PACKAGE, LINE = "package", "line"
OK, NOT_THERE, REPEATED = "0", "B0116", "B0012"
_V = Verdict
_TABLE = "table of Result in public client programs (GData.YQHL, cifpay, com.qhjf.cfm)"
_CLIENTS = "replies quoted in public client programs (com.qhjf.cfm, cifpay)"

CODES = CodeTable(
    [
        *codes(
            PACKAGE,
            "RetCode",
            _CLIENTS,
            (OK, _V.RECEIVED, "成功 · the package was taken, or the question answered"),
            (REPEATED, _V.DUPLICATE, "指令包序列号为空或重复 · this package number is already held, or empty"),
            (NOT_THERE, _V.NOT_FOUND, "没有符合条件的记录 · nothing under this number"),
        ),
        *codes(
            LINE,
            "Result",
            _TABLE,
            ("0", _V.RECEIVED, "提交成功，等待银行处理 · taken, the bank will work on it"),
            ("1", _V.RECEIVED, "授权成功，等待银行处理 · authorised, the bank will work on it"),
            ("2", _V.RECEIVED, "等待授权 · waits for authorisation by the customer"),
            ("3", _V.RECEIVED, "等待二次授权 · waits for the second authorisation"),
            ("4", _V.RECEIVED, "等待银行答复 · waits for the bank's answer"),
            ("5", _V.RECEIVED, "主机返回待处理 · the host keeps it for later"),
            ("6", _V.NO_REASON, "被银行拒绝 · refused by the bank"),
            ("7", _V.PAID, "处理成功 · paid"),
            ("8", _V.NOT_ALLOWED, "指令被拒绝授权 · refused by the customer's authoriser"),
            ("9", _V.RECEIVED, "银行正在处理 · the bank works on it"),
            ("10", _V.RECEIVED, "预约指令 · an order for later"),
            ("11", _V.CANCELLED, "预约取消 · the order for later was cancelled"),
            ("20", _V.RECEIVED, "待提交人确认转账 · waits for the submitter's confirmation"),
            ("86", _V.RECEIVED, "等待电话核实 · waits for a check by telephone"),
            ("95", _V.TIMEOUT, "待核查 · must be looked into"),
            ("98", _V.TIMEOUT, "区域中心通讯可疑 · the line inside the bank is in doubt"),
        ),
    ]
)
#: Results of payments that still wait.
WAITING = frozenset(row.code for row in CODES.values() if row.set == "Result" and row.verdict is Verdict.RECEIVED)
_SILENT = Judgement(Outcome.NONE, Verdict.NO_REASON)
_TAKEN_UP = Judgement(Outcome.PENDING, Verdict.RECEIVED)
_DUPLICATE = Judgement(Outcome.UNKNOWN, Verdict.DUPLICATE)
_UNKNOWN = Judgement(Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)
_OUTCOMES = {
    Verdict.PAID: Outcome.PAID,
    Verdict.RECEIVED: Outcome.PENDING,
    Verdict.TIMEOUT: Outcome.UNKNOWN,
    Verdict.UNKNOWN_CODE: Outcome.UNKNOWN,
}


def judge(head: Head, block: Block | None, row: Row | None, agreement: Agreement) -> Judgement:
    """Classify a word; see the module's rules. Pure; total: an unknown word is a Judgement too."""
    del agreement
    if _repeated(head) or _repeated(block) or _repeated(row):
        return _DUPLICATE
    if head.kind not in (DocKind.RECEIPT, DocKind.RESULT, DocKind.ANSWER):
        return _SILENT
    if row is not None:
        return _line(row)
    return _package(head if block is None else block)


def _repeated(level: Head | Block | Row | None) -> bool:
    return level is not None and any(reason.code == REPEATED or "重复" in reason.text for reason in level.reasons)


def _package(level: Head | Block) -> Judgement:
    if not level.status and not level.reasons:
        return _SILENT
    codes_told = [reason.code for reason in level.reasons if reason.code] or [level.status]
    verdicts = {CODES.verdict(PACKAGE, "RetCode", code) for code in codes_told}
    if Verdict.UNKNOWN_CODE in verdicts:
        return _UNKNOWN
    return Judgement(Outcome.UNKNOWN, Verdict.NOT_FOUND) if Verdict.NOT_FOUND in verdicts else _TAKEN_UP


def _line(row: Row) -> Judgement:
    if not row.status:
        return _SILENT
    verdict = CODES.verdict(LINE, "Result", row.status)
    if verdict is Verdict.NO_REASON and any("超时" in reason.text for reason in row.reasons):
        return Judgement(Outcome.UNKNOWN, Verdict.TIMEOUT)
    if verdict is Verdict.NO_REASON and any(_tells(reason) for reason in row.reasons):
        return _UNKNOWN
    return Judgement(_OUTCOMES.get(verdict, Outcome.FAILED), verdict)


def _tells(reason: Reason) -> bool:
    return reason.code not in ("", OK)
