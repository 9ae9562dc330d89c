"""What the bank says → Verdict: the header's code, a batch's and a single payment's state, the code of a line in the return file.

Sources: clients that published their handling of the bank's codes (README). Only 0000 and 9001 of the lines are public; another code
says what it means in its words, and words never make a payment paid. What neither code nor words tell is UNKNOWN_CODE, for a person.
"""

from __future__ import annotations

from adapters.standards.reasons import REASONS, STATUS, TEXT
from gateway.core.adapter import CodeTable, codes
from gateway.core.bank import Agreement, Block, DocKind, Head, Row
from gateway.core.verdicts import Judgement, Outcome, Verdict

SET = "pingan"
REPLY, BATCH, LINE = "reply", "batch", "line"
DONE, FAILED, WORKING = "20", "30", "40"

_V = Verdict
_AGAIN = (
    "codes after which B2Bi clients ask: com.gy.hsxt.pg.bankadapter.pingan (PinganRespCode), com.cn.flypay, net.fnsco"
)
CODES = CodeTable(
    [
        *codes(
            REPLY,
            SET,
            "header, bytes 87 to 92: PinganRespCode of com.gy.hsxt.pg.bankadapter.pingan",
            ("000000", _V.RECEIVED, "交易受理成功 · taken up"),
            ("MA4045", _V.DUPLICATE, "重复的第三方流水号或凭证号 · this number was used before"),
        ),
        *codes(
            REPLY,
            SET,
            _AGAIN,
            ("YQ9999", _V.TIMEOUT, "银企平台程序故障 · a fault of the platform's program"),
            ("EBLN00", _V.TIMEOUT, "银企平台程序故障 · a fault of the platform's program"),
            ("GW3002", _V.TIMEOUT, "通讯异常，可重新查询 · broken off inside the bank"),
            ("AFE001", _V.TIMEOUT, "通讯异常 · broken off inside the bank"),
            ("AFE002", _V.TIMEOUT, "通讯异常 · broken off inside the bank"),
            ("AFE003", _V.TIMEOUT, "通讯异常-发送报文至后台服务 · broken off on the way to the bank"),
            ("AFE004", _V.TIMEOUT, "通讯异常 · broken off inside the bank"),
            ("E00006", _V.TIMEOUT, "通讯异常 · broken off inside the bank"),
            ("E00007", _V.TIMEOUT, "通讯异常 · broken off inside the bank"),
            ("E00008", _V.TIMEOUT, "通讯异常 · broken off inside the bank"),
            ("YQ9976", _V.TIMEOUT, "通讯异常 · broken off inside the bank"),
            ("YQ9989", _V.TIMEOUT, "通讯异常 · broken off inside the bank"),
            # "Busy" is no proof either that the number was not taken up: the batch is asked for.
            ("MA9112", _V.TIMEOUT, "银行系统繁忙 · the bank is busy"),
            ("SC6011", _V.TIMEOUT, "银行系统繁忙 · the bank is busy"),
            ("YQ9971", _V.TIMEOUT, "银行系统繁忙 · the bank is busy"),
        ),
        *codes(
            BATCH,
            SET,
            "KHKF02 BatchStt, KHKF04 Status: Res_KHKF02 of EE.Services.Pay",
            (DONE, _V.RECEIVED, "批次处理完成 · worked off; the return file tells each line"),
            (FAILED, _V.BANK_FAULT, "批次处理失败 · the batch failed; whether all of it is not told"),
            (WORKING, _V.RECEIVED, "处理中 · being worked on"),
        ),
        *codes(
            LINE,
            SET,
            "return file, sixth field",
            ("0000", _V.PAID, "成功 · credited"),
            ("9001", _V.TIMEOUT, "结果不明确 · the outcome is not known"),
        ),
    ]
)
_WORDS = {code: row.verdict for (family, set_, code), row in REASONS.items() if (family, set_) == (STATUS, TEXT)}
_UNKNOWN = (Verdict.TIMEOUT, Verdict.DUPLICATE, Verdict.UNKNOWN_CODE)


def judge(head: Head, block: Block | None, row: Row | None, agreement: Agreement) -> Judgement:
    """A line's word, or with ``row`` None the word on the whole batch.

    ``agreement.credited`` is not asked: this format has one word for credited, 0000 on a line.
    """
    del block, agreement
    if row is None:
        return _whole(head)
    if head.kind is not DocKind.RESULT:
        return Judgement(Outcome.NONE, Verdict.NO_REASON)
    verdict = _line(row)
    if verdict is Verdict.PAID:
        return Judgement(Outcome.PAID, verdict)
    return Judgement(Outcome.UNKNOWN if verdict in _UNKNOWN else Outcome.FAILED, verdict)


def _line(row: Row) -> Verdict:
    """Of a line of the return file, or of a payment asked for alone: its state first, then the code beside it."""
    if row.status == DONE:
        return Verdict.PAID
    code = row.reasons[0].code if row.status == FAILED and row.reasons else row.status
    verdict = CODES.verdict(LINE, SET, code)
    if row.status == FAILED and verdict is Verdict.PAID:  # failed, and the code says credited: nobody knows
        return Verdict.UNKNOWN_CODE
    return _said(row) if verdict is Verdict.UNKNOWN_CODE else verdict


def _said(row: Row) -> Verdict:
    """What the words beside a code that is not public begin with."""
    text = row.reasons[0].text if row.reasons else ""
    return next((verdict for words, verdict in _WORDS.items() if text.startswith(words)), Verdict.UNKNOWN_CODE)


def _whole(head: Head) -> Judgement:
    if not head.status or head.kind not in (DocKind.RECEIPT, DocKind.ANSWER):
        return Judgement(Outcome.NONE, Verdict.NO_REASON)
    family = REPLY if len(head.status) > 2 else BATCH
    verdict = CODES.verdict(family, SET, head.status)
    return Judgement(Outcome.PENDING if verdict is Verdict.RECEIVED else Outcome.UNKNOWN, verdict)
