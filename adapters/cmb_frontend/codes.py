"""What the bank's words mean: of a call (RETCOD), of a batch (REQSTA with RTNFLG), of a payment (STSCOD with ERRCOD), of a return.

The rules, in the order in which they are asked:

1. A repeated reference (NCB4241, or words that say so), on any level, whatever stands beside it: UNKNOWN, DUPLICATE. The bank tells it as
   finished and failed, but a first copy may be booked.
2. A batch that is not finished (REQSTA other than FIN) is PENDING. A finished one tells by RTNFLG; its payments have words of their own, so only
   R and D, where a person of ours did not let it go, are REFUSED: the bank never began it.
3. A payment is PAID by S. E (F in the older answer) is FAILED, for the reason of its code; C is cancelled. A reason that no table has is
   UNKNOWN_CODE and parked; words of a time-out leave it UNKNOWN; E without any code is FAILED without a reason.
4. Every row of the list of returns is RETURNED, if its state is E as in the bank's sample.

``agreement.credited`` is not asked: the bank itself defines S as success, and only accounts at the bank are paid.

Sources: the bank's interface document 5.37.0, appendices A.2 (RETCOD), A.5 (REQSTA), A.6 (RTNFLG), 4.9 (STSCOD), as quoted by
sinri/CMBFirmBankSDK @2f3d208c; ERRCOD and RTNCOD are those of replies seen in public code, and far from all.
"""

from __future__ import annotations

import re

from gateway.core.adapter import CodeTable, codes
from gateway.core.bank import Agreement, Block, DocKind, Head, Reason, Row
from gateway.core.verdicts import MEANINGS, Judgement, Outcome, Verdict

CALL, BATCH, LINE, RETURN = "call", "batch", "line", "return"
_V = Verdict
_DOCUMENT = "interface document 5.37.0, appendix"
_SAMPLES = "replies in sinri/CMBFirmBankSDK @2f3d208c, test/ApiTest/Distribution"
_SEEN = "replies quoted in public client code (DCPAYMNT)"

#: NotSent: nothing reached the bank, or it executed nothing. Every other number leaves a doubt.
SURELY_NOT_SENT = frozenset({"-3", "-4", "-5", "-6", "-7"})
OK = "0"
FINISHED = "FIN"
RECEIVING = "OPR"

CODES = CodeTable(
    [
        *codes(
            CALL,
            "RETCOD",
            f"{_DOCUMENT} A.2",
            ("0", _V.RECEIVED, "成功 · the call succeeded"),
            ("-1", _V.TIMEOUT, "提交主机失败 · the front-end did not reach the bank's host, or lost it"),
            ("-2", _V.BANK_FAULT, "执行失败 · the call failed"),
            ("-3", _V.FORMAT_REFUSED, "数据格式错误 · the message cannot be read"),
            ("-4", _V.NOT_ALLOWED, "尚未登录系统 · nobody is logged in at the front-end"),
            ("-5", _V.NOT_ALLOWED, "请求太频繁 · too many calls"),
            ("-6", _V.NOT_ALLOWED, "不是证书卡用户 · the login has no certificate card"),
            ("-7", _V.NOT_ALLOWED, "用户取消操作 · cancelled at the front-end"),
            ("-9", _V.BANK_FAULT, "其它错误 · another error"),
        ),
        *codes(
            BATCH,
            "REQSTA",
            f"{_DOCUMENT} A.5",
            ("AUT", _V.RECEIVED, "等待审批 · waits for approval by the customer"),
            ("NTE", _V.RECEIVED, "终审完毕 · approved by the customer"),
            ("WCF", _V.RECEIVED, "订单待确认 · waits for the order's confirmation"),
            ("BNK", _V.RECEIVED, "银行处理中 · the bank works on it"),
            ("FIN", _V.RECEIVED, "完成 · finished, RTNFLG tells how"),
            ("ACK", _V.RECEIVED, "等待确认 · waits for confirmation"),
            ("APD", _V.RECEIVED, "待银行确认 · waits for the bank's confirmation"),
            ("OPR", _V.RECEIVED, "数据接收中 · its parts are being received"),
        ),
        *codes(
            BATCH,
            "RTNFLG",
            f"{_DOCUMENT} A.6",
            ("S", _V.RECEIVED, "成功 · paid, as its payments tell"),
            ("F", _V.NO_REASON, "失败 · none was paid, as its payments tell"),
            ("B", _V.NO_REASON, "退票 · paid and returned"),
            ("R", _V.NOT_ALLOWED, "企业审批否决 · refused by the customer's approver"),
            ("D", _V.NOT_ALLOWED, "企业过期不审批 · not approved in time by the customer"),
            ("C", _V.CANCELLED, "企业撤销 · cancelled by the customer"),
            ("M", _V.CANCELLED, "商户撤销订单 · order cancelled by the merchant"),
            ("V", _V.NO_REASON, "被借款方拒绝 · refused by the borrower"),
            ("U", _V.BANK_FAULT, "银行挂账 · in suspense at the bank"),
            ("T", _V.NO_REASON, "退款 · refunded"),
        ),
        *codes(
            LINE,
            "STSCOD",
            f"{_DOCUMENT} 4.9 NTAGCDTLY1, 4.4 NTQATDQYZ",
            ("S", _V.PAID, "成功 · paid"),
            ("A", _V.RECEIVED, "待处理 · waits"),
            ("I", _V.RECEIVED, "待复核、数据录入 · waits to be checked"),
            ("E", _V.NO_REASON, "失败 · failed"),
            ("F", _V.NO_REASON, "失败 · failed"),
            ("C", _V.CANCELLED, "取消 · cancelled"),
        ),
        *codes(LINE, "ERRCOD", _SAMPLES, ("CMB1003", _V.NAME_MISMATCH, "客户名失配 · account name differs")),
        *codes(
            LINE,
            "ERRCOD",
            _SEEN,
            ("CSAB051", _V.ACCOUNT_UNKNOWN, "户口不存在 · no such account"),
            ("CPB0089", _V.NAME_MISMATCH, "收方户口号与户名检查不一致 · account name differs"),
            ("NCB4241", _V.DUPLICATE, "业务参考号重复 · this reference is already held"),
        ),
        *codes(RETURN, "RTNCOD", _SAMPLES, ("002", _V.NAME_MISMATCH, "账号、户名不符 · account name differs")),
    ]
)
_CODE = re.compile(r"([A-Z]{3,4}[0-9]{3,4}) *-? *(.*)", re.S)
_SILENT = Judgement(Outcome.NONE, Verdict.NO_REASON)
_TAKEN_UP = Judgement(Outcome.PENDING, Verdict.RECEIVED)
_PAID = Judgement(Outcome.PAID, Verdict.PAID)
_CANCELLED = Judgement(Outcome.FAILED, Verdict.CANCELLED)
_DUPLICATE = Judgement(Outcome.UNKNOWN, Verdict.DUPLICATE)
_TIMED_OUT = Judgement(Outcome.UNKNOWN, Verdict.TIMEOUT)
_UNKNOWN = Judgement(Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)
_RETURNS = "E"


def reasons_of(set_: str, code: str, text: str) -> tuple[Reason, ...]:
    """The reason as written; where the bank writes the code before the words only (``CMB1003 客户名失配``), it is taken from there."""
    found = _CODE.fullmatch(text)
    if found and code in ("", found[1]):
        code, text = found[1], found[2]
    return (Reason(set_, code, text),) if code or text else ()


def repeated(text: str) -> bool:
    """Whether the words of an answer say that the reference is held already, wherever they stand."""
    return "重复" in text or any(row.code in text for row in CODES.values() if row.verdict is Verdict.DUPLICATE)


def judge(head: Head, block: Block | None, row: Row | None, agreement: Agreement) -> Judgement:
    """Classify a word; see the module's rules. Pure; total: an unknown word is a Judgement too."""
    del agreement
    if _repeated(head) or _repeated(block) or _repeated(row):
        return _DUPLICATE
    if head.kind in (DocKind.INQUIRY, DocKind.PAYMENT, DocKind.WHITELIST):
        return _SILENT
    if row is None:
        return _whole(head if block is None else block)
    if head.kind is DocKind.RETURN:
        return _returned(row)
    return _line(row)


def _repeated(level: Head | Block | Row | None) -> bool:
    return level is not None and any(
        CODES.verdict(LINE, "ERRCOD", reason.code) is Verdict.DUPLICATE or repeated(reason.text)
        for reason in level.reasons
    )


def _whole(level: Head | Block) -> Judgement:
    """A batch's word, or that of a call that failed."""
    called = next((reason for reason in level.reasons if reason.set == "RETCOD"), None)
    if called is not None:
        return _refusal(CODES.verdict(CALL, "RETCOD", called.code))
    if not level.status:
        return _SILENT
    if CODES.verdict(BATCH, "REQSTA", level.status) is Verdict.UNKNOWN_CODE:
        return _UNKNOWN
    flag = next((reason.code for reason in level.reasons if reason.set == "RTNFLG"), "")
    if level.status != FINISHED or not flag:
        return _TAKEN_UP
    verdict = CODES.verdict(BATCH, "RTNFLG", flag)
    if verdict in (Verdict.NOT_ALLOWED, Verdict.UNKNOWN_CODE):
        return _refusal(verdict)
    return Judgement(Outcome.PENDING, verdict)  # its payments tell


def _refusal(verdict: Verdict) -> Judgement:
    return Judgement(Outcome.REFUSED if MEANINGS[verdict].proves_unbooked else Outcome.UNKNOWN, verdict)


def _line(row: Row) -> Judgement:
    if not row.status:
        return _SILENT
    word = CODES.verdict(LINE, "STSCOD", row.status)
    if word is Verdict.PAID:
        return _PAID
    if word is Verdict.RECEIVED:
        return _TAKEN_UP
    if word is Verdict.CANCELLED:
        return _CANCELLED
    if word is Verdict.UNKNOWN_CODE:
        return _UNKNOWN
    return _failed(row)


def _failed(row: Row) -> Judgement:
    if any("超时" in reason.text for reason in row.reasons):
        return _TIMED_OUT
    code = next((reason.code for reason in row.reasons if reason.code), "")
    verdict = CODES.verdict(LINE, "ERRCOD", code) if code else Verdict.NO_REASON
    return _UNKNOWN if verdict is Verdict.UNKNOWN_CODE else Judgement(Outcome.FAILED, verdict)


def _returned(row: Row) -> Judgement:
    code = next((reason.code for reason in row.reasons if reason.code), "")
    verdict = CODES.verdict(RETURN, "RTNCOD", code) if code else Verdict.NO_REASON
    if verdict is Verdict.UNKNOWN_CODE or row.status != _RETURNS:
        return _UNKNOWN
    return Judgement(Outcome.RETURNED, verdict)
