"""ISO 20022 reason codes by meaning, per message family and code set: the same code means different things in each.

Families: ``status`` (StsRsnInf of pain.002, ExternalStatusReason1Code) and ``return`` (RtrInf of camt.054 and camt.053,
ExternalReturnReason1Code). Sets: ``cd`` is the standard's, ``prtry`` the bank's own. A standard code that a bank writes
as proprietary keeps its standard meaning (``meaning`` below). AC01, AC03, AC14, AC16, BE08 and DS28 differ between the
families.

The standard has no code for a card that was reported lost or is being replaced; banks write AC06, AC15 or NARR and
say it in words. So where a code leaves the cause open, words that begin the text decide among the causes of a failure
(``text`` below); words never make a payment paid.

A code that is not listed is UNKNOWN_CODE and parks the line. Left out on purpose: codes of request-to-pay, mandates,
cheques, cards and tokens, and those whose words leave open what happened to the money (AM09, AG09, RCON, RUTA, ...).
RECEIVED marks codes that only inform (signature correct, date moved): beside a rejection they decide nothing.

Sources: ISO 20022 external code sets 2Q2026 (v3). ``EL202`` and ``EP252`` are an instant-payment scheme's own, seen in
published pain.002 samples as rejections "by timeout".
"""

from __future__ import annotations

from gateway.core.adapter import CodeTable, codes
from gateway.core.bank import Reason
from gateway.core.verdicts import Verdict

STATUS, RETURN = "status", "return"
CD, PRTRY, TEXT = "cd", "prtry", "text"
#: Verdicts of codes that leave the cause open to the words beside them.
OPEN = frozenset({Verdict.ACCOUNT_BLOCKED, Verdict.ACCOUNT_CHANGED, Verdict.ACCOUNT_TYPE, Verdict.NO_REASON})
_STATUS_SOURCE = "ISO 20022 ExternalStatusReason1Code, 2Q2026"
_RETURN_SOURCE = "ISO 20022 ExternalReturnReason1Code, 2Q2026"

_PAYEE: list[tuple[str, Verdict, str]] = [
    ("AC01", Verdict.ACCOUNT_UNKNOWN, "account number invalid or missing"),
    ("AC03", Verdict.ACCOUNT_UNKNOWN, "creditor account number invalid or missing"),
    ("AC04", Verdict.ACCOUNT_CLOSED, "account number closed"),
    ("AC06", Verdict.ACCOUNT_BLOCKED, "account blocked, posting prohibited"),
    ("AC07", Verdict.ACCOUNT_CLOSED, "creditor account number closed"),
    ("AC08", Verdict.ACCOUNT_UNKNOWN, "branch code invalid or missing"),
    ("AC11", Verdict.ACCOUNT_TYPE, "creditor account currency invalid or missing"),
    ("AC12", Verdict.ACCOUNT_TYPE, "account type missing or invalid"),
    ("AC14", Verdict.ACCOUNT_TYPE, "creditor account type missing or invalid"),
    ("AC15", Verdict.ACCOUNT_CHANGED, "account details of the counterparty have changed"),
    ("AC16", Verdict.ACCOUNT_UNKNOWN, "credit or debit card number invalid"),
    ("AG01", Verdict.ACCOUNT_TYPE, "transaction forbidden on this type of account"),
    ("AG03", Verdict.ACCOUNT_TYPE, "transaction type not authorised on this account"),
    ("AGNT", Verdict.ACCOUNT_UNKNOWN, "agent in the payment workflow incorrect"),
    ("AM02", Verdict.AMOUNT_LIMIT, "amount greater than allowed maximum"),
    ("AM06", Verdict.AMOUNT_LIMIT, "amount less than agreed minimum"),
    ("AM07", Verdict.ACCOUNT_BLOCKED, "amount blocked by regulatory authorities"),
    ("AM13", Verdict.AMOUNT_LIMIT, "amount exceeds limits of the clearing system"),
    ("AM14", Verdict.AMOUNT_LIMIT, "amount exceeds limits agreed between bank and client"),
    ("AM15", Verdict.AMOUNT_LIMIT, "amount below minimum of the clearing system"),
    ("AM21", Verdict.AMOUNT_LIMIT, "amount exceeds limits agreed between bank and client"),
    ("AM23", Verdict.AMOUNT_LIMIT, "amount exceeds settlement limit"),
    ("BE01", Verdict.NAME_MISMATCH, "end customer not consistent with account number"),
    ("BE06", Verdict.ACCOUNT_UNKNOWN, "end customer not known at the bank"),
    ("BE15", Verdict.ID_MISMATCH, "identification code missing or invalid"),
    ("BE17", Verdict.ID_MISMATCH, "creditor identification code missing or invalid"),
    ("BE21", Verdict.NAME_MISMATCH, "name missing or invalid"),
    ("BE22", Verdict.NAME_MISMATCH, "creditor name missing"),
    ("BE23", Verdict.ACCOUNT_UNKNOWN, "account proxy unknown or invalid"),
    ("CNOR", Verdict.ACCOUNT_UNKNOWN, "creditor bank not registered under this BIC"),
    ("MD07", Verdict.DECEASED, "end customer deceased"),
    ("NOCM", Verdict.ACCOUNT_DORMANT, "customer account not compliant, rendered inactive"),
    ("RC01", Verdict.ACCOUNT_UNKNOWN, "bank identifier of incorrect format"),
    ("RC02", Verdict.ACCOUNT_UNKNOWN, "bank identifier invalid or missing"),
    ("RC04", Verdict.ACCOUNT_UNKNOWN, "creditor bank identifier invalid or missing"),
    ("RC05", Verdict.ACCOUNT_UNKNOWN, "BIC invalid or missing"),
    ("RC07", Verdict.ACCOUNT_UNKNOWN, "creditor BIC invalid or missing"),
    ("RC08", Verdict.ACCOUNT_UNKNOWN, "clearing system member identifier invalid or missing"),
    ("RC10", Verdict.ACCOUNT_UNKNOWN, "creditor clearing system member identifier invalid or missing"),
    ("RR03", Verdict.ID_MISMATCH, "creditor name or address insufficient for regulation"),
    ("SL15", Verdict.AMOUNT_LIMIT, "maximum number of credits per period exceeded"),
    ("SL16", Verdict.AMOUNT_LIMIT, "maximum total of credits per period exceeded"),
]

_FUND_ACCOUNT: list[tuple[str, Verdict, str]] = [
    ("AC02", Verdict.NOT_ALLOWED, "debtor account number invalid or missing"),
    ("AC05", Verdict.NOT_ALLOWED, "debtor account number closed"),
    ("AC10", Verdict.NOT_ALLOWED, "debtor account currency invalid or missing"),
    ("AC13", Verdict.NOT_ALLOWED, "debtor account type missing or invalid"),
    ("AG07", Verdict.NOT_ALLOWED, "debtor account cannot be debited"),
    ("AG08", Verdict.NOT_ALLOWED, "invalid or missing user or access right"),
    ("AG12", Verdict.NOT_ALLOWED, "transfers within one institution not allowed"),
    ("AM03", Verdict.NOT_ALLOWED, "currency outside of existing agreement"),
    ("AM04", Verdict.FUNDS, "insufficient funds"),
    ("BE05", Verdict.NOT_ALLOWED, "initiating party not recognised"),
    ("BE16", Verdict.NOT_ALLOWED, "debtor identification code missing or invalid"),
    ("CURR", Verdict.NOT_ALLOWED, "currency of the payment incorrect"),
    ("DNOR", Verdict.NOT_ALLOWED, "debtor bank not registered under this BIC"),
    ("DT03", Verdict.NOT_ALLOWED, "not a bank processing date"),
    ("DT04", Verdict.NOT_ALLOWED, "future date not supported"),
    ("DT05", Verdict.NOT_ALLOWED, "received after agreed cut-off date"),
    ("FRAD", Verdict.NOT_ALLOWED, "fraudulent origin"),
    ("RC03", Verdict.NOT_ALLOWED, "debtor bank identifier invalid or missing"),
    ("RC06", Verdict.NOT_ALLOWED, "debtor BIC invalid or missing"),
    ("RC09", Verdict.NOT_ALLOWED, "debtor clearing system member identifier invalid or missing"),
    ("RR01", Verdict.NOT_ALLOWED, "debtor account or identification insufficient for regulation"),
    ("RR02", Verdict.NOT_ALLOWED, "debtor name or address insufficient for regulation"),
    ("RR04", Verdict.NOT_ALLOWED, "regulatory reason"),
    ("SL01", Verdict.NOT_ALLOWED, "specific service of the debtor agent"),
    ("SL02", Verdict.NOT_ALLOWED, "specific service of the creditor agent"),
    ("SL03", Verdict.NOT_ALLOWED, "specific service of the clearing system"),
    ("SL11", Verdict.NOT_ALLOWED, "creditor not on the debtor agent's whitelist"),
    ("SL12", Verdict.NOT_ALLOWED, "creditor on the debtor agent's blacklist"),
    ("SL17", Verdict.NOT_ALLOWED, "debtor not on the creditor side's whitelist"),
    ("SL18", Verdict.NOT_ALLOWED, "debtor on the creditor side's blacklist"),
    ("TM01", Verdict.NOT_ALLOWED, "received after agreed cut-off time"),
]

_DUPLICATES: list[tuple[str, Verdict, str]] = [
    ("AB12", Verdict.DUPLICATE, "duplicate concurrent batch sequence number"),
    ("AM05", Verdict.DUPLICATE, "duplication"),
    ("DS15", Verdict.DUPLICATE, "the same signature has already been sent"),
    ("DU01", Verdict.DUPLICATE, "message identification not unique"),
    ("DU02", Verdict.DUPLICATE, "payment information block not unique"),
    ("DU03", Verdict.DUPLICATE, "transaction not unique"),
    ("DU04", Verdict.DUPLICATE, "end-to-end id not unique"),
    ("DU05", Verdict.DUPLICATE, "instruction id not unique"),
    ("DUPL", Verdict.DUPLICATE, "duplicate of another payment"),
    ("RF01", Verdict.DUPLICATE, "transaction reference not unique within the message"),
]

_FILE: list[tuple[str, Verdict, str]] = [
    *((code, Verdict.TOTALS_REFUSED, words) for code, words in (
        ("AM10", "sum of amounts differs from control sum"),
        ("AM16", "control sum at group level invalid"),
        ("AM17", "control sum at payment information level invalid"),
        ("AM18", "number of transactions invalid or missing"),
        ("AM19", "number of transactions at group level invalid or missing"),
        ("AM20", "number of transactions at payment information level invalid"),
    )),
    *((code, Verdict.SEAL_REFUSED, words) for code, words in (
        ("DS09", "decryption of the file not successful"),
        ("DS0A", "data signature required"),
        ("DS0B", "data signature not available or invalid"),
        ("DS0C", "signer certificate revoked"),
        ("DS0D", "signer certificate not valid"),
        ("DS0E", "signer certificate not present"),
        ("DS0F", "authority of the signer certificate unknown"),
        ("DS10", "certificate of the first signer revoked"),
        ("DS11", "certificate of the first signer not valid"),
        ("DS12", "certificate of the first signer not present"),
        ("DS13", "authority of the first signer's certificate unknown"),
        ("DS16", "public key version not correct"),
        ("DS17", "order data and signatures do not match"),
        ("DS20", "certificate of the second signer revoked"),
        ("DS21", "certificate of the second signer not valid"),
        ("DS22", "certificate of the second signer not present"),
        ("DS23", "authority of the second signer's certificate unknown"),
    )),
    *((code, Verdict.NOT_ALLOWED, words) for code, words in (
        ("DS0G", "signer not allowed to sign this type of operation"),
        ("DS0H", "signer not allowed to sign for this account"),
        ("DS0K", "more transactions than allowed for this signer"),
        ("DS14", "user unknown on the server"),
        ("DS19", "signature rights of the user insufficient"),
        ("DS26", "the same user has signed multiple times"),
        ("DS27", "user not yet activated"),
    )),
    *((code, Verdict.FORMAT_REFUSED, words) for code, words in (
        ("AC09", "account currency invalid or missing"),
        ("AG02", "bank operation code not valid for receiver"),
        ("AG04", "agent country code missing or invalid"),
        ("AG05", "debtor agent country code missing or invalid"),
        ("AG06", "creditor agent country code missing or invalid"),
        ("AM01", "amount is zero"),
        ("AM11", "transaction currency invalid or missing"),
        ("AM12", "amount invalid or missing"),
        ("BE04", "creditor address missing or incorrect"),
        ("BE07", "debtor address missing or incorrect"),
        ("BE08", "debtor name missing"),
        ("BE09", "country code missing or invalid"),
        ("BE10", "debtor country code missing or invalid"),
        ("BE11", "creditor country code missing or invalid"),
        ("BE12", "country of residence missing or invalid"),
        ("BE13", "debtor country of residence missing or invalid"),
        ("BE14", "creditor country of residence missing or invalid"),
        ("BE18", "contact details missing or invalid"),
        ("BE19", "charge bearer code invalid"),
        ("BE20", "name longer than local rules allow"),
        ("CERI", "holds extended remittance information without being tagged so"),
        ("CH03", "requested date too far in the future"),
        ("CH04", "requested date too far in the past"),
        ("CH15", "structured remittance information longer than 140 characters"),
        ("CH16", "content incorrect"),
        ("CH17", "element not allowed"),
        ("CH20", "decimals not compatible with the currency"),
        ("CH21", "mandatory element missing"),
        ("DS04", "order rejected by the bank for its content"),
        ("DS08", "decompression of the file not successful"),
        ("DT01", "invalid date"),
        ("DT02", "invalid creation date and time"),
        ("ERIN", "extended remittance information not supported"),
        ("FF01", "file format incomplete or invalid"),
        ("FF02", "syntax error"),
        ("FF03", "payment type information missing or invalid"),
        ("FF04", "service level code missing or invalid"),
        ("FF05", "local instrument code missing or invalid"),
        ("FF06", "category purpose code missing or invalid"),
        ("FF07", "purpose missing or invalid"),
        ("FF08", "end-to-end id missing or invalid"),
        ("INDT", "details not valid for a field"),
        ("MINF", "information missing for a field"),
        ("NERI", "tagged as extended remittance information without holding it"),
        ("RC11", "intermediary agent invalid or missing"),
        ("RR05", "central bank reporting information missing or invalid"),
        ("RR06", "tax information missing or invalid"),
        ("RR07", "remittance information does not comply with rules"),
        ("RR09", "structured creditor reference invalid or missing"),
        ("RR10", "character set not valid"),
        ("RR11", "identification of a bank service invalid or missing"),
        ("RR12", "identification required in the country invalid or missing"),
        ("TD02", "file cannot be read"),
        ("TD03", "file format incomplete or invalid"),
    )),
]  # fmt: skip

_BANK: list[tuple[str, Verdict, str]] = [
    *((code, Verdict.TIMEOUT, words) for code, words in (
        ("AB01", "clearing aborted due to timeout"),
        ("AB03", "settlement aborted due to timeout"),
        ("AB05", "stopped due to timeout at the creditor agent"),
        ("AB06", "stopped due to timeout at the instructed agent"),
        ("AB11", "stopped due to timeout at the debtor agent"),
        ("DS24", "waiting time expired"),
        ("NOAS", "no response from beneficiary"),
    )),
    *((code, Verdict.BANK_FAULT, words) for code, words in (
        ("AB02", "clearing aborted due to a fatal error"),
        ("AB04", "settlement aborted due to a fatal error"),
        ("AB07", "agent not online"),
        ("AB08", "creditor agent not online"),
        ("AB09", "stopped due to error at the creditor agent"),
        ("AB10", "stopped due to error at the instructed agent"),
        ("AG10", "agent suspended"),
        ("AG11", "creditor agent suspended"),
        ("DS18", "file cannot be tested, the order has to be repeated"),
        ("DS25", "order file deleted by the bank server"),
        ("DS28", "message routed to the wrong environment"),
        ("ED01", "correspondent bank not possible"),
        ("ED05", "settlement failed"),
        ("ED06", "settlement system not available"),
        ("FF10", "technical issues at the bank side"),
        ("FF11", "clearing request subject to an abort operation"),
        ("TA01", "transmission of the file aborted"),
    )),
    *((code, Verdict.CANCELLED, words) for code, words in (
        ("CN01", "authorisation cancelled"),
        ("CUST", "cancellation requested by the debtor"),
        ("DS02", "an authorised user has cancelled the order"),
        ("FOCR", "following a cancellation request"),
    )),
    *((code, Verdict.NO_REASON, words) for code, words in (
        ("MS02", "reason not specified by end customer"),
        ("MS03", "reason not specified by agent"),
        ("NARR", "reason given as text"),
    )),
    *((code, Verdict.RECEIVED, words) for code, words in (
        ("CH19", "date will be set to the next target day"),
        ("DS01", "signatures correct"),
        ("DS05", "order correct, forwarded for processing"),
        ("DS06", "order transferred for further signatures"),
        ("DS07", "all actions could be done by the bank server"),
        ("DT06", "execution date modified"),
        ("G000", "transferred to the next agent, tracked"),
        ("G001", "transferred to the next agent, not tracked"),
        ("G002", "credit may not be confirmed the same day"),
        ("G003", "credit pending receipt of documents"),
        ("G004", "credit pending, waiting for cover"),
        ("G005", "delivered to creditor agent with service level"),
        ("G006", "delivered to creditor agent without service level"),
        ("G007", "passed to the next agent, receipt not confirmed"),
        ("G008", "received by the next agent"),
        ("ID01", "signature file without its original file yet"),
        ("RR08", "remittance information truncated"),
        ("TS01", "transmission of the file successful"),
        ("TS04", "transferred to pass by hand-signed note"),
    )),
]  # fmt: skip

_RETURNED: list[tuple[str, Verdict, str]] = [
    ("AC01", Verdict.ACCOUNT_UNKNOWN, "format of the account number incorrect"),
    ("AC02", Verdict.NOT_ALLOWED, "debtor account number invalid or missing"),
    ("AC03", Verdict.ACCOUNT_UNKNOWN, "wrong account number in the transfer"),
    ("AC04", Verdict.ACCOUNT_CLOSED, "account number closed"),
    ("AC06", Verdict.ACCOUNT_BLOCKED, "account blocked, posting prohibited"),
    ("AC07", Verdict.ACCOUNT_CLOSED, "creditor account number closed"),
    ("AC13", Verdict.NOT_ALLOWED, "debtor account type missing or invalid"),
    ("AC14", Verdict.BANK_FAULT, "an agent in the payment chain is invalid"),
    ("AC15", Verdict.ACCOUNT_CHANGED, "account details have changed"),
    ("AC16", Verdict.ACCOUNT_BLOCKED, "account in sequestration"),
    ("AC17", Verdict.ACCOUNT_BLOCKED, "account in liquidation"),
    ("AG01", Verdict.ACCOUNT_TYPE, "transaction forbidden on this type of account"),
    ("AG02", Verdict.FORMAT_REFUSED, "bank operation code not valid for receiver"),
    ("AG07", Verdict.NOT_ALLOWED, "debtor account cannot be debited"),
    ("AGNT", Verdict.ACCOUNT_UNKNOWN, "agent in the payment workflow incorrect"),
    ("AM01", Verdict.FORMAT_REFUSED, "amount is zero"),
    ("AM02", Verdict.AMOUNT_LIMIT, "amount greater than allowed maximum"),
    ("AM03", Verdict.NOT_ALLOWED, "currency outside of existing agreement"),
    ("AM04", Verdict.FUNDS, "insufficient funds"),
    ("AM05", Verdict.DUPLICATE, "duplication"),
    ("AM06", Verdict.AMOUNT_LIMIT, "amount less than agreed minimum"),
    ("AM07", Verdict.ACCOUNT_BLOCKED, "amount blocked by regulatory authorities"),
    ("AM10", Verdict.TOTALS_REFUSED, "sum of amounts differs from control sum"),
    ("BE01", Verdict.NAME_MISMATCH, "end customer not consistent with account number"),
    ("BE04", Verdict.FORMAT_REFUSED, "creditor address missing or incorrect"),
    ("BE05", Verdict.NOT_ALLOWED, "initiating party not recognised"),
    ("BE06", Verdict.ACCOUNT_UNKNOWN, "end customer not known at the bank"),
    ("BE07", Verdict.FORMAT_REFUSED, "debtor address missing or incorrect"),
    ("BE08", Verdict.BANK_FAULT, "returned as a result of a bank error"),
    ("BE10", Verdict.FORMAT_REFUSED, "debtor country code missing or invalid"),
    ("BE11", Verdict.FORMAT_REFUSED, "creditor country code missing or invalid"),
    ("BE16", Verdict.NOT_ALLOWED, "debtor identification code missing or invalid"),
    ("BE17", Verdict.ID_MISMATCH, "creditor identification code missing or invalid"),
    ("CN01", Verdict.CANCELLED, "authorisation cancelled"),
    ("CNOR", Verdict.ACCOUNT_UNKNOWN, "creditor bank not registered under this BIC"),
    ("CURR", Verdict.NOT_ALLOWED, "currency of the payment incorrect"),
    ("CUST", Verdict.CANCELLED, "cancellation requested by the debtor"),
    ("DNOR", Verdict.NOT_ALLOWED, "debtor bank not registered under this BIC"),
    ("DS28", Verdict.BANK_FAULT, "return following technical problems"),
    ("DT01", Verdict.FORMAT_REFUSED, "invalid date"),
    ("DT04", Verdict.NOT_ALLOWED, "future date not supported"),
    ("DUPL", Verdict.DUPLICATE, "duplicate of another payment"),
    ("ED01", Verdict.BANK_FAULT, "correspondent bank not possible"),
    ("ED05", Verdict.BANK_FAULT, "settlement failed"),
    ("ERIN", Verdict.FORMAT_REFUSED, "extended remittance information not supported"),
    ("FF03", Verdict.FORMAT_REFUSED, "payment type information missing or invalid"),
    ("FF04", Verdict.FORMAT_REFUSED, "service level code missing or invalid"),
    ("FF05", Verdict.FORMAT_REFUSED, "local instrument code missing or invalid"),
    ("FF06", Verdict.FORMAT_REFUSED, "category purpose code missing or invalid"),
    ("FF07", Verdict.FORMAT_REFUSED, "purpose missing or invalid"),
    ("FOCR", Verdict.CANCELLED, "following a cancellation request"),
    ("MD07", Verdict.DECEASED, "end customer deceased"),
    ("MS02", Verdict.NO_REASON, "reason not specified by end customer"),
    ("MS03", Verdict.NO_REASON, "reason not specified by agent"),
    ("NARR", Verdict.NO_REASON, "reason given as text"),
    ("NOCM", Verdict.ACCOUNT_DORMANT, "customer account not compliant, rendered inactive"),
    ("RC01", Verdict.ACCOUNT_UNKNOWN, "bank identifier of incorrect format"),
    ("RC03", Verdict.NOT_ALLOWED, "debtor bank identifier invalid or missing"),
    ("RC04", Verdict.ACCOUNT_UNKNOWN, "creditor bank identifier invalid or missing"),
    ("RC07", Verdict.ACCOUNT_UNKNOWN, "BIC of the beneficiary bank incorrect"),
    ("RC08", Verdict.ACCOUNT_UNKNOWN, "clearing system member identifier invalid or missing"),
    ("RC11", Verdict.FORMAT_REFUSED, "intermediary agent invalid or missing"),
    ("RF01", Verdict.DUPLICATE, "transaction reference not unique within the message"),
    ("RR01", Verdict.NOT_ALLOWED, "debtor account or identification insufficient for regulation"),
    ("RR02", Verdict.NOT_ALLOWED, "debtor name or address insufficient for regulation"),
    ("RR03", Verdict.ID_MISMATCH, "creditor name or address insufficient for regulation"),
    ("RR04", Verdict.NOT_ALLOWED, "regulatory reason"),
    ("SL02", Verdict.NOT_ALLOWED, "specific service of the creditor agent"),
    ("TM01", Verdict.NOT_ALLOWED, "received after agreed cut-off time"),
]

_PRIVATE = [
    *codes(
        STATUS,
        PRTRY,
        "published pain.002 samples of an instant-payment scheme",
        ("EL202", Verdict.TIMEOUT, "rejected by timeout"),
        ("EP252", Verdict.TIMEOUT, "rejected by timeout"),
    ),
    *codes(STATUS, PRTRY, "the plain word", ("TIMEOUT", Verdict.TIMEOUT, "timeout")),
]

_WORDS: list[tuple[str, Verdict, str]] = [
    ("挂失", Verdict.CARD_LOST, "card or passbook reported lost"),
    ("换卡", Verdict.CARD_REPLACING, "card being replaced"),
    ("账户户名不符", Verdict.NAME_MISMATCH, "account name differs"),
    ("户名不符", Verdict.NAME_MISMATCH, "account name differs"),
    ("账号不存在", Verdict.ACCOUNT_UNKNOWN, "no such account"),
    ("已销户", Verdict.ACCOUNT_CLOSED, "account closed"),
    ("账户冻结", Verdict.ACCOUNT_BLOCKED, "account frozen"),
    ("长期不动户", Verdict.ACCOUNT_DORMANT, "account dormant"),
    ("已死亡", Verdict.DECEASED, "payee deceased"),
    ("重复", Verdict.DUPLICATE, "duplicate"),
    ("超时", Verdict.TIMEOUT, "timeout"),
]
_WORDS_SOURCE = "reasons as the report on the reference month and banks' notices name them"

REASONS = CodeTable(
    [
        *codes(STATUS, CD, _STATUS_SOURCE, *_PAYEE, *_FUND_ACCOUNT, *_DUPLICATES, *_FILE, *_BANK),
        *codes(RETURN, CD, _RETURN_SOURCE, *_RETURNED),
        *_PRIVATE,
        *codes(STATUS, TEXT, _WORDS_SOURCE, *_WORDS),
        *codes(RETURN, TEXT, _WORDS_SOURCE, *_WORDS),
    ]
)


def meaning(table: CodeTable, family: str, reason: Reason) -> Verdict:
    """The Verdict of one reason.

    A proprietary code that the table does not have is looked up among the standard's. Where the code leaves the cause
    open, the words that begin its text decide.
    """
    verdict = table.verdict(family, reason.set, reason.code)
    if verdict is Verdict.UNKNOWN_CODE and reason.set == PRTRY:
        verdict = table.verdict(family, CD, reason.code)
    if verdict in OPEN and reason.text:
        said = (words for words, _, _ in _WORDS if reason.text.startswith(words))
        verdict = next((table.verdict(family, TEXT, words) for words in said), verdict)
    return verdict
