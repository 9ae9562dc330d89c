"""The standard file's own codes: four digits, one table for a whole file, one for a line, one for a returned line.

0xxx taken up or credited · 1xxx this payment is not credited, nothing was booked · 2xxx refused by a check · 3xxx the
debit account · 4xxx repeated · 5xxx a fault, or nobody knows · 6xxx not found. Source: our own specification,
schemas/standard_file.md, section 6; its tables are written from these rows. A code that no row has is UNKNOWN_CODE
and is parked.
"""

from __future__ import annotations

from gateway.core.adapter import CodeTable, codes
from gateway.core.bank import Agreement, Block, DocKind, Head, Row
from gateway.core.verdicts import MEANINGS, Judgement, Outcome, Verdict

SET = "standard_file"
SOURCE = "schemas/standard_file.md section 6"
DOCUMENT, LINE, RETURN = "document", "line", "return"

_V = Verdict
_ACCOUNT = (
    ("1001", _V.ACCOUNT_UNKNOWN, "账号不存在 · no such account"),
    ("1002", _V.NAME_MISMATCH, "户名不符 · account name differs"),
    ("1003", _V.CARD_LOST, "挂失 · card or passbook reported lost"),
    ("1004", _V.CARD_REPLACING, "换卡中 · card being replaced"),
    ("1005", _V.ACCOUNT_CLOSED, "已销户 · account closed"),
    ("1006", _V.ACCOUNT_BLOCKED, "账户冻结或止付 · account frozen or blocked"),
    ("1007", _V.ACCOUNT_DORMANT, "长期不动户 · account dormant"),
    ("1008", _V.ACCOUNT_TYPE, "账户类型不符 · account of a kind that takes no such credit"),
    ("1009", _V.ACCOUNT_CHANGED, "账号已变更 · account number has changed"),
    ("1010", _V.ID_MISMATCH, "证件不符 · identity document differs"),
    ("1011", _V.DECEASED, "收款人已死亡 · payee deceased"),
    ("1012", _V.AMOUNT_LIMIT, "金额超限 · amount outside a limit"),
    ("1013", _V.ACCOUNT_DORMANT, "金融账户未激活 · the card's account was never activated"),
    ("1099", _V.NO_REASON, "其他原因未入账 · not credited for another reason"),
)
_DOCUMENT_ROWS = (
    ("0000", _V.RECEIVED, "文件已受理 · file taken up, its lines tell the rest"),
    ("0001", _V.RECEIVED, "文件已收到，处理中 · file received, being worked on"),
    ("2001", _V.FORMAT_REFUSED, "文件格式错误 · the file cannot be read"),
    ("2002", _V.TOTALS_REFUSED, "笔数或合计不符 · count or total differs"),
    ("2003", _V.SEAL_REFUSED, "验签失败 · the seal does not verify"),
    ("2004", _V.NOT_ALLOWED, "协议未授权 · the agreement does not allow it"),
    ("2005", _V.FORMAT_REFUSED, "文件摘要不符 · the trailer's digest differs"),
    ("2006", _V.FORMAT_REFUSED, "版本不支持 · version not supported"),
    ("2007", _V.NOT_ALLOWED, "超过约定的笔数、金额或文件大小 · more lines, money or bytes than agreed"),
    ("2008", _V.NOT_ALLOWED, "入账日期或受理时间不符 · pay date or time of day not accepted"),
    ("3001", _V.FUNDS, "付款账户余额不足 · the debit account lacks the money"),
    ("4001", _V.DUPLICATE, "文件重复 · a file of this reference is already held"),
    ("4002", _V.DUPLICATE, "文件编号重复而内容不同 · this reference is already held with another content"),
    ("5001", _V.TIMEOUT, "处理超时，结果不明 · gave up waiting, outcome not known"),
    ("5002", _V.BANK_FAULT, "银行处理异常 · a fault at the bank"),
    ("6001", _V.NOT_FOUND, "查无此文件 · no file of this reference"),
)
_LINE_ROWS = (
    ("0000", _V.PAID, "已入账 · credited"),
    ("0001", _V.RECEIVED, "已受理，未入账 · taken up, not yet credited"),
    *_ACCOUNT,
    ("2001", _V.FORMAT_REFUSED, "明细格式错误 · the line cannot be read"),
    ("2004", _V.NOT_ALLOWED, "协议未授权 · the agreement does not allow it"),
    ("3001", _V.FUNDS, "付款账户余额不足 · the debit account lacks the money"),
    ("4003", _V.DUPLICATE, "付款编号重复 · a payment of this reference is already held"),
    ("5001", _V.TIMEOUT, "处理超时，结果不明 · gave up waiting, outcome not known"),
    ("5002", _V.BANK_FAULT, "银行处理异常，确认未入账 · a fault at the bank, surely not credited"),
    ("6002", _V.NOT_FOUND, "查无此笔 · no payment of this reference"),
    ("7001", _V.CANCELLED, "已撤销，未入账 · cancelled at the bureau's request, not credited"),
)
_RETURN_ROWS = (*_ACCOUNT, ("7002", _V.CANCELLED, "应社保局要求退回 · returned at the bureau's request"))

CODES = CodeTable(
    [
        *codes(DOCUMENT, SET, SOURCE, *_DOCUMENT_ROWS),
        *codes(LINE, SET, SOURCE, *_LINE_ROWS),
        *codes(RETURN, SET, SOURCE, *_RETURN_ROWS),
    ]
)

#: What a line's verdict means for its money where it is not simply "failed".
_LINE_OUTCOMES = {
    Verdict.PAID: Outcome.PAID,
    Verdict.RECEIVED: Outcome.PENDING,
    Verdict.DUPLICATE: Outcome.UNKNOWN,
    Verdict.TIMEOUT: Outcome.UNKNOWN,
    Verdict.NOT_FOUND: Outcome.UNKNOWN,
    Verdict.UNKNOWN_CODE: Outcome.UNKNOWN,
}


def refuses_whole(code: str) -> bool:
    """Whether a document code proves that nothing of the file was booked."""
    return MEANINGS[CODES.verdict(DOCUMENT, SET, code)].proves_unbooked


def judge(head: Head, block: Block | None, row: Row | None, agreement: Agreement) -> Judgement:
    """Classify a line's word, or with ``row`` None the header's word on the whole original file.

    DESIGN section 5: a duplicate is never a failure, at neither level; what the bank gave up waiting for is unknown;
    a whole file counts as refused only where the reason proves that nothing was booked. ``agreement.credited`` is not
    asked: this format itself defines 0000 on a line as credited. Nor is ``block``: the format has none.
    """
    del block, agreement
    if row is None:
        return _document(head)
    if head.kind is DocKind.RETURN:
        verdict = CODES.verdict(RETURN, SET, row.status)
        return Judgement(Outcome.UNKNOWN if verdict is Verdict.UNKNOWN_CODE else Outcome.RETURNED, verdict)
    if head.kind not in (DocKind.RESULT, DocKind.ANSWER):
        return Judgement(Outcome.NONE, Verdict.NO_REASON)
    verdict = CODES.verdict(LINE, SET, row.status)
    return Judgement(_LINE_OUTCOMES.get(verdict, Outcome.FAILED), verdict)


def _document(head: Head) -> Judgement:
    if not head.status:
        return Judgement(Outcome.NONE, Verdict.NO_REASON)
    verdict = CODES.verdict(DOCUMENT, SET, head.status)
    if verdict is Verdict.RECEIVED:
        return Judgement(Outcome.PENDING, verdict)
    return Judgement(Outcome.REFUSED if MEANINGS[verdict].proves_unbooked else Outcome.UNKNOWN, verdict)
