"""What we write: beps.382 (batch payment by agency) and beps.394 (are these accounts of persons of these names), and what a Bank must be asked.

The element trees are in messages.py and, as schemas that a test validates against, in schemas/cnaps2. One 382 goes to one bank: all payees hold
cards of the bank that holds the debit account. Our reference on a line is ``TxId``, which comes back in 383; the Document's reference is
``MsgId`` and the transport's id at once, so that 383, 900, 911 and 990 all name it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec

from adapters.cnaps2 import envelope
from adapters.cnaps2.messages import split, unsigned
from gateway.codec.text import UTF_8, xml_illegal, xml_text
from gateway.core.adapter import format_options
from gateway.core.bank import Bank, CheckLine, Inline, Limits, ListHead, PayLine, PaymentHead, SealSlot
from gateway.core.calendar import CHINA_TIME
from gateway.core.errors import Code, Halt, Refused
from gateway.core.money import decimal

CHARSET = UTF_8
#: base64 of a DER SEQUENCE of two integers, 70 to 72 bytes: SM2. What a site really uses is not public.
SEAL = Inline(split=split, algorithm="sm2-sm3", join=envelope.join, whole=True, bare=unsigned)

PAYMENT, QUESTION = "beps.382.001.01", "beps.394.001.01"
NAME_CHARS_MAX = 60
ACCOUNT_CHARS_MAX = 32
WORDS_CHARS_MAX = 256
TX_ID_MAX = 10**16 - 1
#: How many details a message may have is not public: this is our own cap, some 2 MB of XML.
LIMITS = Limits(
    rows_max=5_000,
    name_bytes_max=NAME_CHARS_MAX,
    account_chars_max=ACCOUNT_CHARS_MAX,
    purpose_bytes_max=WORDS_CHARS_MAX,
    document_bytes_max=16 * 1024 * 1024,
)
_CHUNK_LINES = 256
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'

_Party = Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z]{0,14}$")]


def _example(text: str, pattern: str) -> msgspec.Meta:
    return msgspec.Meta(pattern=pattern, extra_json_schema={"examples": [text]})


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a Bank of this format says under ``format_options``; everything without a default is to be asked of the centre or bank."""

    #: The direct participant that sends for us (发起直接参与机构, InstgDrctPty, and the header's sender).
    sender: Annotated[str, _example("313584000012", "^[0-9A-Za-z]{1,14}$")]
    #: The direct participant that receives it (接收直接参与机构, InstdDrctPty), also as clearing bank of both sides (MmbId).
    receiver: Annotated[str, _example("999584000017", "^[0-9A-Za-z]{1,14}$")]
    #: Whether the payer's mandate was verified (核验标识): CE01 yes, CE02 no.
    checked: Annotated[Literal["CE01", "CE02"], msgspec.Meta(extra_json_schema={"examples": ["CE01"]})]
    #: Days until the reply is due (回执期限, RtrLtd).
    reply_days: Annotated[str, _example("1", "^[0-9]{1,2}$")]
    #: Kind of business (业务类型编码, CtgyPurp) and of payment (业务种类编码, Purp).
    category: Annotated[str, _example("C209", "^[0-9A-Za-z]{1,4}$")]
    purpose: Annotated[str, _example("9001", "^[0-9A-Za-z]{1,5}$")]
    #: RT00: the payer's bank receives it, RT01: the payees' (接收标识, RcvTp).
    receives: Literal["RT00", "RT01"] = "RT00"
    #: Clearing number of the branch that holds the debit account; empty: the Bank's.
    debtor_bank: _Party = ""
    #: Number of the contract with the bank (合同（协议）号, EndToEndId); empty: left out.
    contract: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z-]{0,60}$")] = ""


def write_payment(head: PaymentHead, lines: Iterable[PayLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """A 382 in its envelope, the slot for the signature still empty, in chunks of some 100 KB.

    Raises Refused: SIZE, NAME, CHARSET, FORMAT, RANGE for what the message cannot hold; SCHEMA for the Bank's options. Raises Halt where the
    lines do not add up to the head.
    """
    options, branch = _parties(bank)
    member = f"<FIId><ClrSysMmbId><MmbId>{options.receiver}</MmbId></ClrSysMmbId></FIId>"
    yield (
        _opening(PAYMENT, "BtchPmtByAgcy", head, bank, options)
        + (
            f"<BtchPmtByAgcyInf><BtchNb>{head.sequence:08}</BtchNb><RtrLtd>{options.reply_days}</RtrLtd><RcvTp>{options.receives}</RcvTp>"
            f"{f'<EndToEndId>{options.contract}</EndToEndId>' if options.contract else ''}<ChckFlg>{options.checked}</ChckFlg>"
            f"<Dbtr><Nm>{_value('name of the debtor', head.debit_name, NAME_CHARS_MAX)}</Nm></Dbtr>"
            f"<DbtrAcct>{_account(_value('debit account', head.debit_account, ACCOUNT_CHARS_MAX))}</DbtrAcct>"
            f"<DbtrAgt>{member}<BrnchId><Id>{options.debtor_bank or branch}</Id></BrnchId></DbtrAgt><CdtrAgt>{member}</CdtrAgt>"
            f'<TtlAmt Ccy="{head.currency}">{decimal(head.minor, head.currency)}</TtlAmt>'
            f"<PmtTpInf><CtgyPurp><Prtry>{options.category}</Prtry></CtgyPurp></PmtTpInf><CdtrNb>{head.count}</CdtrNb>"
        ).encode()
    )
    before = f"<CdtrDtls><Purp><Prtry>{options.purpose}</Prtry></Purp><TxId>"
    before_name = f"</TxId><BrnchId>{branch}</BrnchId><Cdtr><Nm>"
    before_account = "</Nm></Cdtr><CdtrAcct><Id><Othr><Id>"
    before_amount = f'</Id></Othr></Id></CdtrAcct><Amt Ccy="{head.currency}">'
    count = minor = 0
    chunk: list[str] = []
    for line in lines:
        key, name, account, fen, purpose = line.key, line.name, line.account, line.amount, line.purpose
        if not (0 < len(name) <= NAME_CHARS_MAX and 0 < len(account) <= ACCOUNT_CHARS_MAX and fen > 0):
            raise _unfit(line)
        if len(purpose) > WORDS_CHARS_MAX or "|" in name or "|" in account or not 0 < key <= TX_ID_MAX:
            raise _unfit(line)
        count += 1
        minor += fen
        words = f"<AddtlInf>{xml_text(purpose)}</AddtlInf>" if purpose else ""
        chunk.append(
            f"{before}{key}{before_name}{xml_text(name)}{before_account}{xml_text(account)}{before_amount}"
            f"{fen // 100}.{fen % 100:02d}</Amt>{words}</CdtrDtls>"
        )
        if len(chunk) == _CHUNK_LINES:
            yield "".join(chunk).encode()
            chunk.clear()
    if (count, minor) != (head.count, head.minor):
        raise Halt(f"{head.reference} declares {head.count} payments of {head.minor} fen, got {count} of {minor}")
    yield ("".join(chunk) + "</BtchPmtByAgcyInf></BtchPmtByAgcy></Document>").encode()


def write_check(head: ListHead, lines: Iterable[CheckLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """A 394 in its envelope, the slot for the signature still empty.

    The message has no place for a line's ``ref`` nor for an id number: the answer repeats account and name. Raises Refused, Halt as
    ``write_payment``.
    """
    options, branch = _parties(bank)
    opening = _opening(QUESTION, "BtchCstmrsAcctQry", head, bank, options)
    chunk = [f"<BtchCstmrsAcctQryInf><AcctCnt>{head.count}</AcctCnt>"]
    yield opening
    count = 0
    for line in lines:
        where = f"line {line.line}"
        account = _value("account", line.account, ACCOUNT_CHARS_MAX, where)
        name = _value("name", line.name, NAME_CHARS_MAX, where)
        count += 1
        chunk.append(f"<AcctDtls><Id>{account}</Id><Nm>{name}</Nm><AcctBk>{branch}</AcctBk></AcctDtls>")
        if len(chunk) == _CHUNK_LINES:
            yield "".join(chunk).encode()
            chunk.clear()
    if count != head.count:
        raise Halt(f"{head.reference} declares {head.count} questions, got {count}")
    yield ("".join(chunk) + "</BtchCstmrsAcctQryInf></BtchCstmrsAcctQry></Document>").encode()


def encodable(text: str) -> str:
    """The first character that XML in UTF-8 cannot hold, or ""."""
    return xml_illegal(text)


def _parties(bank: Bank) -> tuple[Options, str]:
    """The Bank's options, and its clearing number: the receiver's where it has none of its own. Raises Refused SCHEMA."""
    options = format_options(bank, Options)
    branch = bank.clearing_code or options.receiver
    for what, number in (("clearing_code", branch), ("customer", bank.customer)):
        if not (number.isascii() and number.isalnum() and len(number) <= envelope.PARTY_CHARS_MAX):
            most = envelope.PARTY_CHARS_MAX
            raise Refused(f"{what} is not 1 to {most} letters and digits", code=Code.SCHEMA, where=f"bank {bank.code}")
    return options, branch


def _opening(message: str, root: str, head: PaymentHead | ListHead, bank: Bank, options: Options) -> bytes:
    """Envelope, and the XML up to the end of its group header."""
    reference, receiver = head.reference, options.receiver
    if len(reference) > envelope.ID_CHARS_MAX:
        what = f"reference of {len(reference)} characters; the envelope holds {envelope.ID_CHARS_MAX}"
        raise Refused(what, code=Code.SIZE, where=reference)
    around = envelope.written(
        sender=options.sender, receiver=receiver, message=message, reference=reference, created=head.created
    )
    created = head.created.astimezone(CHINA_TIME).replace(tzinfo=None).isoformat(timespec="seconds")
    text = (
        f'{_DECLARATION}<Document xmlns="urn:cnaps:std:beps:2010:tech:xsd:{message}"><{root}><GrpHdr>'
        f"<MsgId>{xml_text(reference)}</MsgId><CreDtTm>{created}</CreDtTm>"
        f"<InstgPty><InstgDrctPty>{options.sender}</InstgDrctPty><InstgPty>{bank.customer}</InstgPty></InstgPty>"
        f"<InstdPty><InstdDrctPty>{receiver}</InstdDrctPty><InstdPty>{receiver}</InstdPty></InstdPty><SysCd>BEPS</SysCd></GrpHdr>"
    )
    return around + (envelope.slot_of() if bank.sealed else b"") + text.encode()


def _account(number: str) -> str:
    return f"<Id><Othr><Id>{number}</Id></Othr></Id>"


def _value(field: str, text: str, most: int, where: str = "") -> str:
    """A value that is signed, escaped. Raises Refused: NAME where it is empty, SIZE, FORMAT for ``|``, CHARSET."""
    if not text:
        raise Refused(f"{field} is empty", code=Code.NAME, where=where)
    if len(text) > most:
        raise Refused(f"{field} of {len(text)} characters; the message holds {most}", code=Code.SIZE, where=where)
    if "|" in text:
        raise Refused(f"{field} holds |, which parts the values that are signed", code=Code.FORMAT, where=where)
    return xml_text(text)


def _unfit(line: PayLine) -> Refused:
    """Why a line cannot be written; the sentence repeats neither name nor account."""
    where = f"line {line.line}"
    if line.amount <= 0:
        return Refused(f"an amount of {line.amount} fen", code=Code.RANGE, where=where)
    if not 0 < line.key <= TX_ID_MAX:
        return Refused("a reference of more than 16 digits", code=Code.SIZE, where=where)
    try:
        _value("name", line.name, NAME_CHARS_MAX, where)
        _value("account", line.account, ACCOUNT_CHARS_MAX, where)
    except Refused as error:
        return error
    what = f"purpose of {len(line.purpose)} characters; the message holds {WORDS_CHARS_MAX}"
    return Refused(what, code=Code.SIZE, where=where)
