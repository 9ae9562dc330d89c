"""What ISO 20022 says about a name: answers of acmt.024 and verification-of-payee words of pain.002, each with its Verdict.

Nothing here is a word about money. RECEIVED means that the bank confirms the name; what it could not check, or has not yet, is NO_REASON: never
taken for confirmed. A reason decides before the flag: ``true`` beside "names do not match" confirms nothing.

Left out: ``MISS`` and ``UNFN``, seen as proprietary reasons in a published report without their meaning.
"""

from __future__ import annotations

from adapters.standards.reasons import CD, PRTRY
from gateway.core.adapter import CodeRow, codes
from gateway.core.verdicts import Verdict

VERIFICATION = "verification"
#: Code sets: the flag of acmt.024, status words of pain.002. Reasons are ``cd`` or ``prtry``.
FLAG, WORD = "flag", "word"
CONFIRMED, DENIED = frozenset({"true", "1"}), frozenset({"false", "0"})

_V = Verdict
VERIFICATIONS: list[CodeRow] = [
    *codes(
        VERIFICATION,
        FLAG,
        "ISO 20022 acmt.024 Vrfctn, an XML Schema boolean",
        ("true", _V.RECEIVED, "account and holder as asked"),
        ("1", _V.RECEIVED, "account and holder as asked"),
        ("false", _V.NO_REASON, "not as asked, or not known"),
        ("0", _V.NO_REASON, "not as asked, or not known"),
    ),
    *codes(
        VERIFICATION,
        CD,
        "ISO 20022 ExternalVerificationReason1Code, 2Q2026",
        ("AC01", _V.ACCOUNT_UNKNOWN, "account number invalid or missing"),
        ("AG01", _V.ACCOUNT_TYPE, "account not open for deposits, blocked or closed"),
        ("AGNT", _V.ACCOUNT_UNKNOWN, "agent identification incorrect"),
        ("BNOR", _V.NOT_ALLOWED, "bank not registered under this scheme"),
        ("DS28", _V.BANK_FAULT, "technical problems"),
        ("DUPL", _V.DUPLICATE, "request is a duplicate of another"),
        ("FF01", _V.FORMAT_REFUSED, "file format incomplete or invalid"),
        ("MS03", _V.NO_REASON, "reason not specified by agent"),
        ("NORR", _V.TIMEOUT, "no response within the timeframe"),
        ("NR01", _V.NO_REASON, "not able to confirm, no reason stated"),
        ("PI01", _V.ID_MISMATCH, "identification and account do not match"),
        ("PN01", _V.NAME_MISMATCH, "name and account do not match"),
        ("PN02", _V.NAME_MISMATCH, "name and account are a close match"),
        ("RC03", _V.NOT_ALLOWED, "debtor bank identifier invalid or missing"),
        ("RC04", _V.ACCOUNT_UNKNOWN, "creditor bank identifier invalid or missing"),
        ("TM01", _V.NOT_ALLOWED, "received after the agreed cut-off time"),
    ),
    *codes(
        VERIFICATION,
        PRTRY,
        "published acmt.024 of an instant-payment system, beside the flag true",
        ("SUCC", _V.RECEIVED, "success"),
    ),
    *codes(
        VERIFICATION,
        WORD,
        "ISO 20022 ExternalPaymentGroupStatus1Code and ExternalPaymentTransactionStatus1Code, 2Q2026",
        ("RCVC", _V.RECEIVED, "verification of payee complete, no mismatch"),
        ("RVCM", _V.NAME_MISMATCH, "verification of payee complete, with mismatches"),
        ("RVMC", _V.NAME_MISMATCH, "verification of payee complete, names match closely"),
        ("RVNM", _V.NAME_MISMATCH, "verification of payee complete, names do not match"),
        ("RVNA", _V.NO_REASON, "verification of payee not applicable"),
        ("RVNC", _V.NO_REASON, "verification of payee not yet complete"),
    ),
]
#: What a file of name checks says where a payment status report says how payments went.
WORDS = frozenset(row.code for row in VERIFICATIONS if row.set == WORD)
