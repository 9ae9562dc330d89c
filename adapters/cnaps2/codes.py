"""What the words of these messages mean: business states (PrcSts, Sts), reject codes (RjctCd, PtyPrcCd), process codes (PrcCd, MsgPrcCd).

The rules, in the order in which they are asked (DESIGN, section 5):

1. Words that say *duplicate* or *time-out*, on any level, whatever code stands beside them: UNKNOWN.
2. A line is PAID by a state that the Agreement lists as credited (PR02 已付款, PR05 已成功), if nothing beside it says otherwise.
3. PR09 (已拒绝) on a line is FAILED for its RjctCd. RJ05 and RJ90 are left open by their code: the words beside them name the cause
   (挂失, 户名不符, …), or it is NO_REASON. No code for a lost or replaced card exists.
4. PR09 on the whole (ccms.900) is REFUSED only for a code that proves that nothing was booked; words never do, for they are not signed.
5. 911 (discarded) is always a doubt: the centre also discards what it has seen before, and why it did so no public code says.
6. What no table has is UNKNOWN_CODE and parked. AcctSts (AS00 to AS06) has no published meaning: no row, no guess.

Sources: the PrcSts page of a bank's system and zlebank's StatusEnum; reject codes as several clients list them (README).
"""

from __future__ import annotations

from adapters.standards.reasons import REASONS, STATUS, TEXT
from gateway.core.adapter import CodeTable, codes
from gateway.core.bank import Agreement, Block, DocKind, Head, Reason, Row
from gateway.core.verdicts import MEANINGS, Judgement, Outcome, Verdict

PRC_STS, RJCT_CD, PRC_CD = "PrcSts", "RjctCd", "PrcCd"
REJECTED = "PR09"
DISCARDED, ARRIVED = "ccms.911", "ccms.990"

_V = Verdict
CODES = CodeTable(
    [
        *codes(
            STATUS,
            PRC_STS,
            "bank's PrcSts page; zlebank StatusEnum",
            ("PR02", _V.PAID, "已付款 · paid out; credited where the Agreement says so"),
            ("PR03", _V.RECEIVED, "已轧差 · netted"),
            ("PR04", _V.RECEIVED, "已清算 · settled between the banks"),
            ("PR05", _V.PAID, "已成功 · succeeded; credited where the Agreement says so"),
            ("PR08", _V.CANCELLED, "已撤销 · cancelled"),
            (REJECTED, _V.NO_REASON, "已拒绝 · rejected; the code beside it says why"),
            ("PR10", _V.RECEIVED, "已确认 · confirmed"),
            ("PR11", _V.RECEIVED, "已轧差排队 · waiting for netting"),
            ("PR12", _V.RECEIVED, "已清算排队 · waiting for settlement"),
            ("PR21", _V.CANCELLED, "已止付 · payment stopped"),
            ("PR22", _V.CANCELLED, "已冲正 · reversed"),
            ("PR32", _V.TIMEOUT, "已超期 · past its time"),
            ("PR88", _V.RECEIVED, "已回执 · replied to"),
            ("PR89", _V.RECEIVED, "待回执 · waiting for the reply"),
        ),
        *codes(
            STATUS,
            RJCT_CD,
            "BEPS reject codes, as seen in several clients",
            ("RJ01", _V.ACCOUNT_UNKNOWN, "账号不存在 · no such account"),
            ("RJ02", _V.NAME_MISMATCH, "账号、户名不符 · account and name differ"),
            ("RJ03", _V.FUNDS, "余额不足 · the debit account lacks the money"),
            ("RJ04", _V.AMOUNT_LIMIT, "当日累计超额 · above the day's limit"),
            ("RJ05", _V.NO_REASON, "业务检查错 · a business check failed; the words say which"),
            ("RJ06", _V.NOT_ALLOWED, "指定协议不存在 · no such contract"),
            ("RJ07", _V.NOT_ALLOWED, "超过协议授权 · beyond the contract"),
            ("RJ08", _V.ACCOUNT_TYPE, "账户类型非法 · account of a kind that takes no such credit"),
            ("RJ09", _V.NO_REASON, "退票 · bounced"),
            ("RJ90", _V.NO_REASON, "其他 · other; the words say what"),
        ),
        *codes(
            STATUS,
            PRC_CD,
            "zcbs-cnaps develop 6d3a475; happyjianguo/tpp-root (PM1I0000, after which it sends on)",
            ("CB1I0000", _V.RECEIVED, "处理成功 · taken up"),
            ("NEZI0000", _V.RECEIVED, "处理成功 · taken up"),
            ("PM1I0000", _V.RECEIVED, "通讯成功 · arrived"),
        ),
        *codes(
            STATUS,
            PRC_CD,
            "农信银 rural credit clearing (rccps)",
            ("NN1IA102", _V.NAME_MISMATCH, "户名不符 · account name differs"),
            ("NN1IA999", _V.NO_REASON, "账户状态不正常 · the account's state is not normal, which is not told"),
        ),
    ]
)
#: Codes that leave the cause to the words beside them.
OPEN = frozenset({"RJ05", "RJ90", ""})
_WORDS = [(code, row.verdict) for (family, set_, code), row in REASONS.items() if (family, set_) == (STATUS, TEXT)]
_DOUBTS = (Verdict.DUPLICATE, Verdict.TIMEOUT)
_UNKNOWN = Judgement(Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)
_TAKEN_UP = Judgement(Outcome.PENDING, Verdict.RECEIVED)
#: States of a line that are neither credited nor rejected, where they do not simply mean "under way".
_STATES = {
    "PR08": Judgement(Outcome.FAILED, Verdict.CANCELLED),
    "PR21": Judgement(Outcome.UNKNOWN, Verdict.CANCELLED),
    "PR22": Judgement(Outcome.UNKNOWN, Verdict.CANCELLED),
    "PR32": Judgement(Outcome.UNKNOWN, Verdict.TIMEOUT),
}


def judge(head: Head, block: Block | None, row: Row | None, agreement: Agreement) -> Judgement:
    """Classify a line's word, or with ``row`` None the word on the whole; see the module's rules. The format has no blocks."""
    del block
    if row is None:
        return _whole(head)
    if head.kind is DocKind.RESULT:
        return _line(row, agreement)
    if head.kind is DocKind.NAME_CHECK:
        return Judgement(Outcome.NONE, _cause(row.reasons) if row.reasons else Verdict.NO_REASON)
    return Judgement(Outcome.NONE, Verdict.NO_REASON)


def _line(row: Row, agreement: Agreement) -> Judgement:
    doubt = _doubt(row.reasons)
    if doubt is not None:
        return Judgement(Outcome.UNKNOWN, doubt)
    if row.status == REJECTED:
        verdict = _cause(row.reasons)
        return Judgement(Outcome.UNKNOWN if verdict is Verdict.UNKNOWN_CODE else Outcome.FAILED, verdict)
    if any(reason.code for reason in row.reasons):
        return _UNKNOWN  # a reject code beside a state that rejects nothing
    if row.status in agreement.credited:
        return Judgement(Outcome.PAID, Verdict.PAID)
    return _state(row.status)


def _state(status: str) -> Judgement:
    verdict = CODES.verdict(STATUS, PRC_STS, status)
    if verdict is Verdict.UNKNOWN_CODE:
        return _UNKNOWN
    return _STATES.get(status, _TAKEN_UP)


def _cause(reasons: tuple[Reason, ...]) -> Verdict:
    """Why a line was rejected. An account's state beside it (AS00 to AS06) has no published meaning and is passed over."""
    told = [reason for reason in reasons if reason.set in (RJCT_CD, PRC_CD)]
    if not told:
        return Verdict.NO_REASON
    reason = told[0]
    verdict = CODES.verdict(STATUS, reason.set, reason.code) if reason.code else Verdict.NO_REASON
    return _said(reason.text) or verdict if reason.code in OPEN else verdict


def _said(words: str) -> Verdict | None:
    """The one cause that the words name; None where they name none, or two."""
    found = {verdict for phrase, verdict in _WORDS if phrase in words}
    return found.pop() if len(found) == 1 else None


def _doubt(reasons: tuple[Reason, ...]) -> Verdict | None:
    """DUPLICATE or TIMEOUT where any words say so."""
    found = {verdict for reason in reasons for phrase, verdict in _WORDS if phrase in reason.text}
    return next((verdict for verdict in _DOUBTS if verdict in found), None)


def _whole(head: Head) -> Judgement:
    """The word on a whole Document: 900, 911, 990."""
    if not head.status or head.kind is not DocKind.RECEIPT:
        return Judgement(Outcome.NONE, Verdict.NO_REASON)
    doubt = _doubt(head.reasons)
    if doubt is not None:
        return Judgement(Outcome.UNKNOWN, doubt)
    if head.message.startswith(DISCARDED):
        return Judgement(Outcome.UNKNOWN, Verdict.NO_REASON)
    if head.message.startswith(ARRIVED):
        received = CODES.verdict(STATUS, PRC_CD, head.status) is Verdict.RECEIVED
        return _TAKEN_UP if received else _UNKNOWN
    if head.status != REJECTED:
        state = _state(head.status)
        return Judgement(Outcome.UNKNOWN, state.verdict) if state.outcome is Outcome.FAILED else state
    verdict = _rejected(head.reasons)
    proof = MEANINGS[verdict].proves_unbooked
    return Judgement(Outcome.REFUSED if proof else Outcome.UNKNOWN, verdict)


def _rejected(reasons: tuple[Reason, ...]) -> Verdict:
    """Why the whole was rejected, by signed codes alone. One that no table has hides nothing: it is the word."""
    verdicts = [CODES.verdict(STATUS, reason.set, reason.code) for reason in reasons if reason.code]
    if not verdicts:
        return Verdict.NO_REASON
    return Verdict.UNKNOWN_CODE if Verdict.UNKNOWN_CODE in verdicts else verdicts[0]
