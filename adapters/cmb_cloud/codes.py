"""The words of the CDC cloud: states of requests, results of batches and payments, reasons.

Families and sets: ``document`` (``resultcode`` of a reply's head, ``state`` of a batch), ``line`` (``stscod`` of agency payments, ``state`` of
batch payments: reqSts and, once finished, rtnFlg behind a slash), ``reason`` (``code``; ``text``: words in the bank's explanation).

What the money rests on: SUC0000 says only that the request has arrived, and any other code nothing at all ("ask before you send again"); only FIN
with F, B, R, D or C says that a payment did not reach the payee and may be made again.
"""

from __future__ import annotations

import re

from gateway.core.adapter import CodeTable, codes
from gateway.core.bank import Agreement, Block, DocKind, Head, Reason, Row
from gateway.core.verdicts import MEANINGS, Judgement, Outcome, Verdict

DOCUMENT, LINE, REASON = "document", "line", "reason"
RESULTCODE, STATE, STSCOD, CODE, TEXT = "resultcode", "state", "stscod", "code", "text"
RECEIVED = "SUC0000"
DONE = "FIN"

_V = Verdict
_PAGES = "the bank's document centre, BB1PAYBH and BB1QRYBD, 2026-09-03"
_REPLIES = "the bank's document centre, 1.2 and 4.2, 2026-09-03"
_FRONT = "the bank's front-end document 5.37.0, REQSTA and STSCOD, as quoted by sinri/CMBFirmBankSDK @2f3d208c"
_WAITING = (
    ("AUT", _V.RECEIVED, "等待审批 · waits for our own approval in the e-bank"),
    ("NTE", _V.RECEIVED, "终审完毕 · approved, not worked on yet"),
    ("WCF", _V.RECEIVED, "待确认 · waits for confirmation"),
    ("BNK", _V.RECEIVED, "银行处理中 · the bank works on it"),
    ("ACK", _V.RECEIVED, "等待确认 · waits for acknowledgement"),
    ("APD", _V.RECEIVED, "等待银行确认 · waits for the bank's acknowledgement"),
    ("APW", _V.RECEIVED, "银行人工审批 · waits for a person at the bank"),
    ("OPR", _V.RECEIVED, "数据接收中 · the bank still takes it in"),
)
_LINE_STATES = (
    *_WAITING,
    ("WRF", _V.TIMEOUT, "可疑，状态未知 · suspicious, nobody knows"),
    ("FIN/S", _V.PAID, "银行支付成功 · paid"),
    ("FIN/F", _V.NO_REASON, "银行支付失败 · failed, the reason stands beside it"),
    ("FIN/B", _V.NO_REASON, "银行支付被退票 · came back"),
    ("FIN/R", _V.NOT_ALLOWED, "企业审批否决 · refused by our own approver in the e-bank"),
    ("FIN/D", _V.NOT_ALLOWED, "企业过期不审批 · not approved in time by us"),
    ("FIN/C", _V.CANCELLED, "企业撤销 · withdrawn by us"),
    ("FIN/U", _V.TIMEOUT, "银行挂账 · on the bank's suspense account"),
)
_BATCH_STATES = (
    *_WAITING,
    ("WRF", _V.TIMEOUT, "可疑，状态未知 · suspicious, nobody knows"),
    ("FIN", _V.RECEIVED, "完成 · finished, its lines tell the rest"),
    ("FIN/S", _V.RECEIVED, "成功 · finished, its lines tell the rest"),
    ("FIN/F", _V.RECEIVED, "失败 · finished, its lines tell the rest"),
    ("FIN/R", _V.NOT_ALLOWED, "企业审批否决 · refused by our own approver in the e-bank, nothing was booked"),
    ("FIN/D", _V.NOT_ALLOWED, "企业过期不审批 · not approved in time by us, nothing was booked"),
    ("FIN/C", _V.NOT_ALLOWED, "企业撤销 · withdrawn by us, nothing was booked"),
)
_STSCOD = (
    ("S", _V.PAID, "成功 · credited"),
    ("E", _V.NO_REASON, "失败 · failed, the reason stands beside it"),
    ("C", _V.CANCELLED, "取消 · cancelled"),
    ("A", _V.RECEIVED, "待处理 · waits"),
    ("I", _V.RECEIVED, "待复核 · waits for a check"),
)
_REASON_CODES = (
    ("CMB1003", _V.NAME_MISMATCH, "客户名失配 · the holder's name differs"),
    ("CSAB051", _V.ACCOUNT_UNKNOWN, "户口不存在 · no such account"),
)
_WORDS = (
    ("户名不符", _V.NAME_MISMATCH, "the holder's name differs"),
    ("名失配", _V.NAME_MISMATCH, "the holder's name differs"),
    ("挂失", _V.CARD_LOST, "card or passbook reported lost"),
    ("换卡", _V.CARD_REPLACING, "card being replaced"),
    ("销户", _V.ACCOUNT_CLOSED, "account closed"),
    ("冻结", _V.ACCOUNT_BLOCKED, "account frozen"),
    ("长期不动", _V.ACCOUNT_DORMANT, "account dormant"),
    ("不存在", _V.ACCOUNT_UNKNOWN, "no such account"),
    ("重复", _V.DUPLICATE, "a repeat"),
)
CODES = CodeTable(
    [
        *codes(
            DOCUMENT,
            RESULTCODE,
            _REPLIES,
            (RECEIVED, _V.RECEIVED, "请求已被银行接收 · the request has arrived, no more"),
            ("FABZ002", _V.BANK_FAULT, "业务条件检查失败 · a check failed; ask before sending again"),
            ("FAAQ086", _V.BANK_FAULT, "the text says more; ask before sending again"),
        ),
        *codes(DOCUMENT, STATE, _PAGES, *_BATCH_STATES),
        *codes(LINE, STATE, _PAGES, *_LINE_STATES),
        *codes(LINE, STSCOD, _FRONT, *_STSCOD),
        *codes(REASON, CODE, "the bank's own examples (document centre 4.2; front-end test suite)", *_REASON_CODES),
        *codes(REASON, TEXT, "the bank's examples, and the words of the report on the reference month", *_WORDS),
    ]
)
_OUTCOMES = {
    Verdict.PAID: Outcome.PAID,
    Verdict.RECEIVED: Outcome.PENDING,
    Verdict.DUPLICATE: Outcome.UNKNOWN,
    Verdict.TIMEOUT: Outcome.UNKNOWN,
    Verdict.UNKNOWN_CODE: Outcome.UNKNOWN,
}
_LEADING = re.compile(r"[A-Z]{3}[A-Z0-9]{4}(?![A-Z0-9])")


def judge(head: Head, block: Block | None, row: Row | None, agreement: Agreement) -> Judgement:
    """Classify a line's word, or with ``row`` None the word on the whole.

    ``agreement.credited`` is not asked: we pay into accounts at this bank only, where success is the credit. ``block``: there are none.
    """
    del block, agreement
    if row is None:
        return _whole(head)
    if head.kind is not DocKind.RESULT:
        return Judgement(Outcome.NONE, Verdict.NO_REASON)
    verdict = CODES.verdict(LINE, STSCOD if len(row.status) == 1 else STATE, row.status)
    if verdict is Verdict.NO_REASON:
        verdict = _reason(row.reasons)
        if row.status == "FIN/B" and verdict not in (Verdict.UNKNOWN_CODE, Verdict.DUPLICATE):
            return Judgement(Outcome.RETURNED, verdict)
    return Judgement(_OUTCOMES.get(verdict, Outcome.FAILED), verdict)


def _whole(head: Head) -> Judgement:
    if not head.status:
        return Judgement(Outcome.NONE, Verdict.NO_REASON)
    known = CODES.verdict(DOCUMENT, STATE, head.status)
    verdict = CODES.verdict(DOCUMENT, RESULTCODE, head.status) if known is Verdict.UNKNOWN_CODE else known
    if verdict is Verdict.RECEIVED:
        return Judgement(Outcome.PENDING, verdict)
    return Judgement(Outcome.REFUSED if MEANINGS[verdict].proves_unbooked else Outcome.UNKNOWN, verdict)


def _reason(reasons: tuple[Reason, ...]) -> Verdict:
    """Why: by code, else by the bank's words; nothing said is no reason, something that nobody knows is UNKNOWN_CODE."""
    if not any(reason.code or reason.text for reason in reasons):
        return Verdict.NO_REASON
    for reason in reasons:
        verdict = CODES.verdict(REASON, CODE, reason.code)
        if verdict is Verdict.UNKNOWN_CODE:
            words = (word for word, _, _ in _WORDS if word in reason.text)
            verdict = next((CODES.verdict(REASON, TEXT, word) for word in words), verdict)
        if verdict is not Verdict.UNKNOWN_CODE:
            return verdict
    return Verdict.UNKNOWN_CODE


def leading_code(text: str) -> str:
    """The code that begins an explanation (``CSAB051 户口…不存在``), or ""."""
    found = _LEADING.match(text)
    return found[0] if found else ""
