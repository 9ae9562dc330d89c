"""What a bank says in ISO 20022: pain.002.001.10 and camt.054.001.08 by templates whose bytes are canonical already.

Canonical means: no XML declaration, no empty-element tags, double quotes, namespaces declared where they are first used, and only the five
escapes that exclusive c14n writes. So the signature needs one pass of SHA-256 and no tree.

Sources: ISO 20022 message definitions pain.002.001.10 and camt.054.001.08; external code sets 2Q2026.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from gateway.core.verdicts import Verdict
from gateway.sandbox.orders import Answer, Booked, Kind, Order, Twist

PAIN_002 = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"
CAMT_054 = "urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"
ZONE = "+08:00"
UNKNOWN_ORIGINAL = "NEVERSENT"
NOT_PROVIDED = "NOTPROVIDED"


class Words(NamedTuple):
    """How a bank says a Verdict: element of the code (``Cd`` or ``Prtry``), code, and the sentence beside it."""

    set: str
    code: str
    text: str


#: Of one payment. Codes: ExternalStatusReason1Code; where it has none for a thing, AC06 or NARR with Chinese words, as banks do.
REASONS: dict[Verdict, Words] = {
    Verdict.CARD_LOST: Words("Cd", "AC06", "挂失"),
    Verdict.CARD_REPLACING: Words("Cd", "AC15", "换卡中"),
    Verdict.NAME_MISMATCH: Words("Cd", "BE01", "账户户名不符"),
    Verdict.ID_MISMATCH: Words("Cd", "BE15", "证件号码不符"),
    Verdict.ACCOUNT_UNKNOWN: Words("Cd", "AC03", "账号不存在"),
    Verdict.ACCOUNT_CLOSED: Words("Cd", "AC07", "已销户"),
    Verdict.ACCOUNT_BLOCKED: Words("Cd", "AC06", "账户冻结"),
    Verdict.ACCOUNT_DORMANT: Words("Cd", "NOCM", "长期不动户"),
    Verdict.ACCOUNT_CHANGED: Words("Cd", "AC15", "账号已变更"),
    Verdict.ACCOUNT_TYPE: Words("Cd", "AG01", "账户类型不符"),
    Verdict.AMOUNT_LIMIT: Words("Cd", "AM14", "金额超限"),
    Verdict.FUNDS: Words("Cd", "AM04", "余额不足"),
    Verdict.DECEASED: Words("Cd", "MD07", "已死亡"),
    Verdict.DUPLICATE: Words("Cd", "DUPL", "重复"),
    Verdict.FORMAT_REFUSED: Words("Cd", "FF01", "格式错误"),
    Verdict.TOTALS_REFUSED: Words("Cd", "AM10", "合计不符"),
    Verdict.SEAL_REFUSED: Words("Cd", "DS0B", "验签失败"),
    Verdict.NOT_ALLOWED: Words("Cd", "DS0H", "无权限"),
    Verdict.TIMEOUT: Words("Prtry", "TIMEOUT", "超时"),
    Verdict.BANK_FAULT: Words("Cd", "ED05", "银行处理异常"),
    Verdict.NO_REASON: Words("Cd", "MS03", ""),
    Verdict.CANCELLED: Words("Cd", "CUST", "已撤销"),
    Verdict.UNKNOWN_CODE: Words("Prtry", "ZZ99", "其他"),
}
#: Of money that comes back. Codes: ExternalReturnReason1Code.
RETURN_REASONS: dict[Verdict, Words] = {
    Verdict.ACCOUNT_CLOSED: Words("Cd", "AC04", "已销户"),
    Verdict.ACCOUNT_BLOCKED: Words("Cd", "AC06", "账户冻结"),
    Verdict.ACCOUNT_UNKNOWN: Words("Cd", "AC01", "账号不存在"),
    Verdict.NAME_MISMATCH: Words("Cd", "BE01", "账户户名不符"),
    Verdict.DECEASED: Words("Cd", "MD07", "已死亡"),
    Verdict.NO_REASON: Words("Cd", "MS03", ""),
}


def escaped(text: str) -> str:
    """Character data as exclusive c14n writes it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")


def yuan(minor: int) -> str:
    """``123450`` → ``1234.50``."""
    return f"{minor // 100}.{minor % 100:02d}"


def status_report(
    answer: Answer, order: Order | None, rows: Iterable[Booked], twist: Twist, *, message: str, word: str
) -> str:
    """A pain.002.001.10 ``Document``. ``message`` is its own reference; ``word`` the status that means "credited"."""
    statuses: Counter[str] = Counter()
    transactions: list[str] = []
    if answer.kind not in (Kind.RECEIPT, Kind.REFUSAL):
        credited = "ACSP" if answer.kind is Kind.PENDING else word
        for row in rows:
            failed = row.verdict is not None and answer.kind is not Kind.PENDING
            statuses["RJCT" if failed else credited] += 1
            transactions.append(_failed(row) if failed else _credited(row, credited))
    body = "".join(transactions)
    batch = ""
    if order is not None and transactions:
        batch = f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{escaped(order.batch)}</OrgnlPmtInfId>{body}</OrgnlPmtInfAndSts>"
    return (
        f'<Document xmlns="{PAIN_002}"><CstmrPmtStsRpt><GrpHdr><MsgId>{message}</MsgId><CreDtTm>{answer.created}{ZONE}</CreDtTm></GrpHdr>'
        f"{_group(answer, order, statuses, twist)}{batch}</CstmrPmtStsRpt></Document>"
    )


def _group(answer: Answer, order: Order | None, statuses: Counter[str], twist: Twist) -> str:
    original = order.reference if order else answer.reference or NOT_PROVIDED
    if twist.unknown_original:
        original = UNKNOWN_ORIGINAL
    totals = ""
    if order is not None and answer.kind is not Kind.REFUSAL:
        minor = order.minor + (1 if twist.wrong_totals else 0)
        totals = f"<OrgnlNbOfTxs>{order.count}</OrgnlNbOfTxs><OrgnlCtrlSum>{yuan(minor)}</OrgnlCtrlSum>"
    status, why = _group_status(answer, order, statuses), ""
    if answer.kind is Kind.REFUSAL:
        words = REASONS[answer.verdict or Verdict.NO_REASON]
        why = _reason(words._replace(code=answer.code or words.code), answer.text)
    each = "".join(
        f"<NbOfTxsPerSts><DtldNbOfTxs>{count}</DtldNbOfTxs><DtldSts>{status}</DtldSts></NbOfTxsPerSts>"
        for status, count in sorted(statuses.items())
    )
    return (
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{escaped(original)}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>"
        f"{totals}<GrpSts>{status}</GrpSts>{why}{each}</OrgnlGrpInfAndSts>"
    )


def _group_status(answer: Answer, order: Order | None, statuses: Counter[str]) -> str:
    if answer.kind is Kind.RECEIPT:
        return "ACTC"
    if answer.kind is Kind.REFUSAL:
        return "RJCT"
    whole = order is not None and sum(statuses.values()) == order.count
    return next(iter(statuses)) if whole and len(statuses) == 1 and "RJCT" not in statuses else "PART"


def _credited(row: Booked, word: str) -> str:
    minor = row.minor
    return (
        f"<TxInfAndSts><OrgnlEndToEndId>{row.reference}</OrgnlEndToEndId><TxSts>{word}</TxSts><AcctSvcrRef>{row.id}</AcctSvcrRef>"
        f'<OrgnlTxRef><Amt><InstdAmt Ccy="CNY">{minor // 100}.{minor % 100:02d}</InstdAmt></Amt></OrgnlTxRef></TxInfAndSts>'
    )


def _failed(row: Booked) -> str:
    words = REASONS[row.verdict or Verdict.NO_REASON]
    text = row.text or words.text
    if row.new_account:
        text = f"{text} 新账号{row.new_account}"
    name = f"<Cdtr><Pty><Nm>{escaped(row.bank_name)}</Nm></Pty></Cdtr>" if row.bank_name else ""
    return (
        f"<TxInfAndSts><OrgnlEndToEndId>{row.reference}</OrgnlEndToEndId><TxSts>RJCT</TxSts>{_reason(words, text)}"
        f'<OrgnlTxRef><Amt><InstdAmt Ccy="CNY">{yuan(row.minor)}</InstdAmt></Amt>{name}</OrgnlTxRef></TxInfAndSts>'
    )


def _reason(words: Words, text: str) -> str:
    text = (text or words.text)[:105]
    more = f"<AddtlInf>{escaped(text)}</AddtlInf>" if text else ""
    return f"<StsRsnInf><Rsn><{words.set}>{words.code}</{words.set}></Rsn>{more}</StsRsnInf>"


def return_notice(answer: Answer, order: Order, rows: Iterable[Booked], twist: Twist, *, message: str) -> str:
    """A camt.054.001.08 ``Document``: one credit entry on our debit account for each payment that came back."""
    entries = []
    day = answer.created[:10]
    for row in rows:
        words = RETURN_REASONS.get(row.verdict or Verdict.NO_REASON, RETURN_REASONS[Verdict.NO_REASON])
        original = UNKNOWN_ORIGINAL if twist.unknown_original else order.reference
        amount = f'<Amt Ccy="CNY">{yuan(row.minor)}</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
        more = f"<AddtlInf>{escaped(row.text or words.text)}</AddtlInf>" if row.text or words.text else ""
        entries.append(
            f"<Ntry><NtryRef>{row.id}</NtryRef>{amount}<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{day}</Dt></BookgDt><ValDt><Dt>{day}</Dt></ValDt>"
            "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>RRTN</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls><TxDtls>"
            f"<Refs><MsgId>{escaped(original)}</MsgId><AcctSvcrRef>R{row.id}</AcctSvcrRef><PmtInfId>{escaped(order.batch)}</PmtInfId>"
            f"<EndToEndId>{row.reference}</EndToEndId></Refs>{amount}"
            f"<RtrInf><Rsn><{words.set}>{words.code}</{words.set}></Rsn>{more}</RtrInf></TxDtls></NtryDtls></Ntry>"
        )
    stamp = f"<CreDtTm>{answer.created}{ZONE}</CreDtTm>"
    return (
        f'<Document xmlns="{CAMT_054}"><BkToCstmrDbtCdtNtfctn><GrpHdr><MsgId>{message}</MsgId>{stamp}</GrpHdr>'
        f"<Ntfctn><Id>{message}</Id>{stamp}<Acct><Id><Othr><Id>{escaped(order.debit_account)}</Id></Othr></Id><Ccy>CNY</Ccy></Acct>"
        f"{''.join(entries)}</Ntfctn></BkToCstmrDbtCdtNtfctn></Document>"
    )
