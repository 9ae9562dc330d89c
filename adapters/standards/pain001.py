"""pain.001, customer credit transfer initiation: a streaming writer of .09, a reader of all versions for ``inspect``.

The writer is a template whose bytes are exclusive-canonical XML already: no declaration, no blanks between elements,
every element with its end tag, one default namespace, text escaped as canonical XML does. So a file can be signed from
its running hash, and no tree is ever built.

One Document holds one message with one payment block::

    GrpHdr   MsgId (reference) CreDtTm NbOfTxs CtrlSum InitgPty
    PmtInf   PmtInfId (batch) TRF BtchBookg NbOfTxs CtrlSum CtgyPurp ReqdExctnDt Dbtr DbtrAcct DbtrAgt
      CdtTrfTxInf  InstrId = EndToEndId = the Attempt's key, Amt, CdtrAgt, Cdtr, CdtrAcct, InstrForCdtrAgt, RmtInf

Source: ISO 20022 Payments Initiation, pain.001.001.09 (schemas/iso20022); external code sets 2Q2026 for CtgyPurp,
ClrSysId and person identification schemes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.standards.message import (
    NOT_PROVIDED,
    Message,
    Parts,
    Shape,
    Sum,
    account_of,
    count_of,
    instructed_amount,
    misplaced,
    name_of,
    sum_of,
)
from adapters.standards.parties import agent, organisation, person
from gateway.codec import xml
from gateway.codec.text import xml_text
from gateway.codec.xml import Element, Names, at, children, only, parts, value
from gateway.core.bank import Bank, Block, DocKind, Head, Item, PayLine, PaymentHead, Row, Tail
from gateway.core.errors import Code, Halt, Malformed, Refused
from gateway.core.money import decimal, exponent

MESSAGE = "pain.001.001.09"
NAMESPACE = f"urn:iso:std:iso:20022:tech:xsd:{MESSAGE}"
SHAPE = Shape("pain.001", ("GrpHdr", "PmtInf", "CdtTrfTxInf"))

#: Characters that the standard's own types hold.
TEXT_CHARS_MAX = 140
IDENTIFIER_CHARS_MAX = 35
ACCOUNT_CHARS_MAX = 34
#: A whitelist pair's number travels as an instruction to the creditor's bank, behind this mark.
PAIR_MARK = "WL:"

_CHUNK_LINES = 256
_PENSION, _BENEFIT = "PENS", "SSBE"


def write(head: PaymentHead, lines: Iterable[PayLine], bank: Bank) -> Iterator[bytes]:
    """The ``Document`` element in chunks of some 100 KB.

    Raises Refused (SIZE, NAME, CHARSET, RANGE) for a line that the message cannot hold: nothing is ever cut. Raises Halt
    where the lines are not what the head declares: the head was written first.
    """
    if exponent(head.currency) != 2:
        raise Refused(f"amounts in {head.currency} are not written here", code=Code.RANGE, where="currency")
    yield _opening(head, bank).encode()
    creditor_agent = f"<CdtrAgt>{agent(bank.clearing_code, bank.code)}</CdtrAgt>" if bank.clearing_code else ""
    before_amount = f'</EndToEndId></PmtId><Amt><InstdAmt Ccy="{head.currency}">'
    after_amount = f"</InstdAmt></Amt>{creditor_agent}<Cdtr><Nm>"
    count = minor = 0
    chunk: list[str] = []
    for line in lines:
        _, key, name, account, amount, id_type, id_number, purpose, pair, _ = line
        if not (0 < len(name) <= TEXT_CHARS_MAX and 0 < len(account) <= ACCOUNT_CHARS_MAX and amount > 0):
            raise _unfit(line)
        if len(purpose) > TEXT_CHARS_MAX or len(id_number) > IDENTIFIER_CHARS_MAX or len(pair) > IDENTIFIER_CHARS_MAX:
            raise _unfit(line)
        count += 1
        minor += amount
        chunk.append(
            f"<CdtTrfTxInf><PmtId><InstrId>{key}</InstrId><EndToEndId>{key}{before_amount}"
            f"{amount // 100}.{amount % 100:02d}{after_amount}{xml_text(name)}</Nm>"
            f"{person(id_type, id_number) if id_number else ''}</Cdtr>"
            f"<CdtrAcct><Id><Othr><Id>{xml_text(account)}</Id></Othr></Id></CdtrAcct>"
            f"{_pair(pair) if pair else ''}{_remittance(purpose) if purpose else ''}</CdtTrfTxInf>"
        )
        if len(chunk) == _CHUNK_LINES:
            yield "".join(chunk).encode()
            chunk.clear()
    if (count, minor) != (head.count, head.minor):
        raise Halt(f"{head.reference} declares {head.count} payments of {head.minor} fen, got {count} of {minor}")
    yield ("".join(chunk) + "</PmtInf></CstmrCdtTrfInitn></Document>").encode()


def _opening(head: PaymentHead, bank: Bank) -> str:
    created = head.created.isoformat(timespec="seconds")
    name = xml_text(head.debit_name)
    totals = f"<NbOfTxs>{head.count}</NbOfTxs><CtrlSum>{decimal(head.minor, head.currency)}</CtrlSum>"
    purpose = _PENSION if head.benefit == "pension" else _BENEFIT
    return (
        f'<Document xmlns="{NAMESPACE}"><CstmrCdtTrfInitn><GrpHdr><MsgId>{xml_text(head.reference)}</MsgId>'
        f"<CreDtTm>{created}</CreDtTm>{totals}"
        f"<InitgPty><Nm>{name}</Nm>{organisation(bank.customer)}</InitgPty>"
        f"</GrpHdr><PmtInf><PmtInfId>{xml_text(head.batch)}</PmtInfId><PmtMtd>TRF</PmtMtd><BtchBookg>true</BtchBookg>"
        f"{totals}<PmtTpInf><CtgyPurp><Cd>{purpose}</Cd></CtgyPurp></PmtTpInf>"
        f"<ReqdExctnDt><Dt>{head.pay_date.isoformat()}</Dt></ReqdExctnDt><Dbtr><Nm>{name}</Nm></Dbtr>"
        f"<DbtrAcct><Id><Othr><Id>{xml_text(head.debit_account)}</Id></Othr></Id><Ccy>{head.currency}</Ccy></DbtrAcct>"
        f"<DbtrAgt>{agent(bank.clearing_code, bank.code)}</DbtrAgt>"
    )


def _pair(pair: str) -> str:
    return f"<InstrForCdtrAgt><InstrInf>{PAIR_MARK}{xml_text(pair)}</InstrInf></InstrForCdtrAgt>"


def _remittance(purpose: str) -> str:
    return f"<RmtInf><Ustrd>{xml_text(purpose)}</Ustrd></RmtInf>"


def _unfit(line: PayLine) -> Refused:
    """Why a line cannot be written; the sentence repeats neither name nor account."""
    where = f"line {line.line}"
    if line.amount <= 0:
        return Refused(f"an amount of {line.amount} fen", code=Code.RANGE, where=where)
    if not line.name or not line.account:
        return Refused("has no name or no account", code=Code.NAME, where=where)
    sizes = (
        ("name", line.name, TEXT_CHARS_MAX),
        ("account", line.account, ACCOUNT_CHARS_MAX),
        ("purpose", line.purpose, TEXT_CHARS_MAX),
        ("id number", line.id_number, IDENTIFIER_CHARS_MAX),
        ("whitelist pair", line.pair, IDENTIFIER_CHARS_MAX),
    )
    field, text, most = next(size for size in sizes if len(size[1]) > size[2])
    return Refused(f"{field} of {len(text)} characters; the message holds {most}", code=Code.SIZE, where=where)


_HEADER = frozenset({"MsgId", "CreDtTm", "NbOfTxs", "CtrlSum"})


def read(message: Message, elements: Parts) -> Iterator[Item]:
    """Head, Blocks and Rows, Tail of a payment file: what ``inspect`` shows of it. Rows have no status: nobody answered yet.

    Raises Malformed, SCHEMA among others for a payment without an amount.
    """
    names, root = message.names, message.root
    head = Head(kind=DocKind.PAYMENT, message=message.name)
    control_sum = ""
    waiting: list[Head | Block] = [head]
    lines = Sum()
    opened: Element | None = None
    blocks = 0
    for name, element in elements:
        parent = element.getparent()
        if name == "CdtTrfTxInf":
            if parent is None or parent.getparent() is not root or xml.local(parent) != "PmtInf":
                misplaced(element)
                continue
            if parent is not opened:
                opened = parent
                waiting.append(Block(ref=value(at(parent, names, "PmtInfId"))))
                blocks += 1
            row = _row(element, names, blocks - 1)
            if waiting and waiting[0] is head:
                head.currency = row.currency
                head.declared_minor = sum_of(control_sum, row.currency)
            yield from waiting
            waiting.clear()
            lines.add(row.amount, row.currency)
            yield row
        elif name == "GrpHdr" and parent is root:
            texts, _ = parts(element, names, _HEADER)
            head.reference, head.created = texts.get("MsgId", ""), texts.get("CreDtTm", "")
            head.declared_count = count_of(texts.get("NbOfTxs"))
            control_sum = texts.get("CtrlSum", "")
    if not lines.count:
        raise Malformed("a payment file without payments", code=Code.SCHEMA)
    yield Tail(count=lines.count, minor=lines.minor)


def _row(element: Element, names: Names, block: int) -> Row:
    found = children(element, names)
    identification = only(found, "PmtId")
    amount, currency = instructed_amount(element, names)
    if identification is None or amount is None:
        raise Malformed("a payment without reference or amount", code=Code.SCHEMA, where=xml.place(element))
    ref = value(at(identification, names, "EndToEndId"))
    if ref in NOT_PROVIDED:
        ref = value(at(identification, names, "InstrId")) or ref
    remittance = only(found, "RmtInf")
    words = children(remittance, names).get("Ustrd", ()) if remittance is not None else ()
    return Row(
        ref,
        amount,
        currency,
        "",
        text="; ".join(value(line) for line in words),
        block=block,
        name=name_of(only(found, "Cdtr"), names),
        account=account_of(only(found, "CdtrAcct"), names),
    )
