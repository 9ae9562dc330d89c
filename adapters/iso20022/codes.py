"""What a bank's words mean in this format: status words on three levels, reasons, marks of returned bookings.

The rules, in the order in which they are asked (DESIGN, section 5):

1. A reason that says *duplicate*, on any level, whatever the status beside it: UNKNOWN, DUPLICATE. A first copy may be booked.
2. A line's own status counts, not its block's or its file's: those are only asked for lines that have none.
3. PAID is what the Agreement lists as credited, said of the line itself. The same word on a block or file is PENDING.
4. RJCT: the most telling known reason decides. Time-outs are UNKNOWN. On a line, the rest is FAILED; on a block or file it is
   REFUSED if the reason proves that nothing was booked, else UNKNOWN.
5. A word or reason that no table has: UNKNOWN, UNKNOWN_CODE, parked; never FAILED.
6. Words of verification of payee, and everything in a report of name checks, say nothing about money.

Several reasons: duplicate, then time-out, then the first that names a cause, then "no reason given". An unknown
reason beside a known cause does not change it; beside a mere "no reason given" it does, because it may be the cause.

Sources: ISO 20022 ExternalPaymentGroupStatus1Code and ExternalPaymentTransactionStatus1Code, 2Q2026; reasons.py, verification.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.standards import camt054
from adapters.standards.camt054 import BOOKING_CODE, DIRECTION, REVERSAL
from adapters.standards.reasons import CD, PRTRY, REASONS, RETURN, STATUS, meaning
from adapters.standards.verification import CONFIRMED, DENIED, FLAG, VERIFICATION, VERIFICATIONS, WORD, WORDS
from gateway.core.adapter import CodeTable
from gateway.core.bank import Agreement, Block, DocKind, Head, Reason, Row
from gateway.core.verdicts import MEANINGS, Judgement, Outcome, Verdict, inherits

CODES = CodeTable([*REASONS.values(), *VERIFICATIONS])

_PENDING = frozenset(
    {"RCVD", "ACTC", "ACCP", "ACSP", "ACWC", "ACFC", "ACFW", "ACPD", "ACWP", "PATC", "PDNG", "PART", "ACSC", "ACCC"}
)
_REJECTED, _CANCELLED, _BLOCKED = "RJCT", "CANC", "BLCK"
_SILENT = Judgement(Outcome.NONE, Verdict.RECEIVED)
_TAKEN_UP = Judgement(Outcome.PENDING, Verdict.RECEIVED)
_PAID = Judgement(Outcome.PAID, Verdict.PAID)
_DUPLICATE = Judgement(Outcome.UNKNOWN, Verdict.DUPLICATE)
_UNKNOWN = Judgement(Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)

_BOOKED, _CREDIT = "BOOK", "CRDT"
_TRUE = frozenset({"true", "1"})
#: Sub-families of bank transaction codes: reversal due to a payment return, or to a cancellation request.
_RETURN_BOOKINGS = frozenset({"RRTN", "RPCR"})


def judge(head: Head, block: Block | None, row: Row | None, agreement: Agreement) -> Judgement:
    """Classify a word; see the module's rules. Pure; total: an unknown word is a Judgement too."""
    if head.kind in (DocKind.RETURN, DocKind.STATEMENT):
        return _judge_booking(block, row)
    if head.kind is DocKind.PAYMENT:
        return _SILENT
    if head.kind is DocKind.NAME_CHECK:
        return Judgement(Outcome.NONE, _check_verdict(row or block or head))
    if _says_duplicate(row) or _says_duplicate(block) or _says_duplicate(head):
        return _DUPLICATE
    if row is None:
        return _judge_many(block if block is not None else head, agreement)
    if row.status:
        return _judge_line(row.status, row.reasons, agreement)
    above = next((level for level in (block, head) if level is not None and level.status), None)
    if above is None:
        return _UNKNOWN
    if above.status == _REJECTED and row.reasons:
        return _judge_line(_REJECTED, row.reasons, agreement)  # the line's own reason for its block's rejection
    inherited = _judge_many(above, agreement)
    if inherited == _PAID:  # "all of it is credited" moves no money: a payment is paid when its own line says so
        return _TAKEN_UP
    if inherits(inherited) or inherited.outcome in (Outcome.PENDING, Outcome.NONE):
        return inherited
    return Judgement(Outcome.UNKNOWN, inherited.verdict)


def _says_duplicate(level: Head | Block | Row | None) -> bool:
    return level is not None and bool(level.reasons) and _decisive(level.reasons) is Verdict.DUPLICATE


def _judge_line(status: str, reasons: Sequence[Reason], agreement: Agreement) -> Judgement:
    if status in agreement.credited:
        return _PAID
    if status == _REJECTED:
        verdict = _decisive(reasons)
        if verdict in (Verdict.TIMEOUT, Verdict.UNKNOWN_CODE):
            return Judgement(Outcome.UNKNOWN, verdict)
        return Judgement(Outcome.FAILED, verdict)
    if status == _CANCELLED:
        return Judgement(Outcome.FAILED, Verdict.CANCELLED)
    return _judge_word(status)


def _judge_many(level: Head | Block, agreement: Agreement) -> Judgement:
    """A block's or a file's word on all its lines."""
    if not level.status:
        return _SILENT
    if level.status in agreement.credited:
        return _PAID
    if level.status == _REJECTED:
        verdict = _decisive(level.reasons)
        proof = MEANINGS[verdict].proves_unbooked
        return Judgement(Outcome.REFUSED if proof else Outcome.UNKNOWN, verdict)
    if level.status == _CANCELLED:
        return Judgement(Outcome.UNKNOWN, Verdict.CANCELLED)
    return _judge_word(level.status)


def _judge_word(status: str) -> Judgement:
    if status in _PENDING:
        return _TAKEN_UP
    if status in WORDS:
        return Judgement(Outcome.NONE, CODES.verdict(VERIFICATION, WORD, status))
    if status == _BLOCKED:  # neither posted to the payee nor returned
        return Judgement(Outcome.UNKNOWN, Verdict.ACCOUNT_BLOCKED)
    return _UNKNOWN


def _decisive(reasons: Sequence[Reason], family: str = STATUS) -> Verdict:
    """The one Verdict of several reasons."""
    verdicts = [meaning(CODES, family, reason) for reason in reasons if reason.code]
    if not verdicts:
        return Verdict.NO_REASON
    for first in (Verdict.DUPLICATE, Verdict.TIMEOUT):
        if first in verdicts:
            return first
    silent = (Verdict.RECEIVED, Verdict.NO_REASON, Verdict.UNKNOWN_CODE)
    cause = next((verdict for verdict in verdicts if verdict not in silent), None)
    if cause is not None:
        return cause
    if Verdict.UNKNOWN_CODE in verdicts or Verdict.NO_REASON not in verdicts:
        return Verdict.UNKNOWN_CODE  # mere information beside a rejection explains it as little as an unknown code
    return Verdict.NO_REASON


def _check_verdict(level: Head | Block | Row) -> Verdict:
    """What a name check says of a name; RECEIVED is a name that the bank confirms."""
    if level.status not in CONFIRMED | DENIED:
        return CODES.verdict(VERIFICATION, WORD, level.status) if level.status else Verdict.NO_REASON
    if not level.reasons:
        return CODES.verdict(VERIFICATION, FLAG, level.status)
    said = {meaning(CODES, VERIFICATION, reason) for reason in level.reasons}
    if level.status in CONFIRMED and said == {Verdict.RECEIVED}:
        return Verdict.RECEIVED
    return _decisive(level.reasons, VERIFICATION)


def _judge_booking(block: Block | None, row: Row | None) -> Judgement:
    """RETURNED for a booked credit that reverses or returns a payment; every other booking says nothing about ours.

    A debit with the marks of a return takes money away: a credit reversed, or one notified from the payee's side. No rule tells which: parked.
    """
    if block is None or block.status != _BOOKED:
        return _SILENT
    marks = (*block.reasons, *(row.reasons if row is not None else ()))
    returned = [mark for mark in marks if _is_return(mark)]
    if not returned:
        return _SILENT
    if Reason(DIRECTION, _CREDIT) not in block.reasons:
        return _UNKNOWN
    reasons = [mark for mark in marks if mark.set in (CD, PRTRY)]
    return Judgement(Outcome.RETURNED, _decisive(reasons, RETURN))


def _is_return(mark: Reason) -> bool:
    if mark.set == REVERSAL:
        return mark.code in _TRUE
    if mark.set == BOOKING_CODE:
        return mark.code.rpartition("/")[2] in _RETURN_BOOKINGS
    return mark.set in (CD, PRTRY, camt054.RETURN)
