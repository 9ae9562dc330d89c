"""Small ISO 20022 documents for the tests: ours by the adapter, a bank's by templates."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from lxml import etree

from adapters.iso20022 import ADAPTER
from gateway.core.bank import Agreement, Bank, Block, Head, Item, PayLine, PaymentHead, Row, SealSlot, Tail, WireKind
from gateway.core.verdicts import Judgement

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT.parent / "shared" / "samples" / "iso20022"
GOLDEN = Path(__file__).parent / "golden" / "iso20022"
PAIN_002 = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"
CAMT_054 = "urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"

BANK = Bank(
    code="BANK_A",
    name="Bank A",
    adapter="iso20022",
    wire=WireKind.SFTP,
    customer="440600001",
    clearing_code="999584000017",
)
UNSEALED = msgspec.structs.replace(BANK, sealed=False)
HEAD = PaymentHead(
    reference="BANKA2015061000001",
    batch="BANKA20150610B00001",
    sequence=1,
    created=datetime(2015, 6, 10, 9, 0, 0, tzinfo=ZoneInfo("Asia/Shanghai")),
    pay_date=date(2015, 6, 10),
    fund="pension",
    benefit="pension",
    debit_account="9900100000000000123",
    debit_name="某市社会保险基金管理局",
    count=4,
    minor=671549,
)
_PURPOSE = "2015年6月养老金"
LINES = (
    PayLine(1, 1433899200000001, "欧阳娜娜", "9900010000000000017", 184000, "resident", "11010519491231002X", _PURPOSE),
    PayLine(2, 1433899200000002, "艾力·买买提", "9900010000000000025", 215050, purpose=_PURPOSE),
    PayLine(3, 1433899200000003, "A&B <𠮷野>\r", "9900010000000000033", 99999, "other", "E00000001", _PURPOSE),
    PayLine(4, 1433899200000004, "李䶮", "9900010000000000041", 172500, pair="WL000123"),
)


def head_for(lines: Sequence[PayLine]) -> PaymentHead:
    """HEAD with these lines' totals."""
    return msgspec.structs.replace(HEAD, count=len(lines), minor=sum(line.amount for line in lines))


def written(lines: Iterable[PayLine] = LINES, head: PaymentHead = HEAD, bank: Bank = BANK) -> bytes:
    """The payment file's bytes, its slot left out."""
    return b"".join(chunk for chunk in ADAPTER.payment(head, lines, bank) if not isinstance(chunk, SealSlot))


class Told(msgspec.Struct):
    """A whole document as the adapter reads it."""

    head: Head
    blocks: list[Block]
    rows: list[Row]
    tail: Tail

    def judged(self, agreement: Agreement | None = None) -> list[Judgement]:
        """One Judgement a row."""
        agreement = agreement or Agreement()
        return [
            ADAPTER.judge(self.head, self.blocks[row.block] if row.block >= 0 else None, row, agreement)
            for row in self.rows
        ]


def told(document: bytes) -> Told:
    """Read it; the order of items is checked on the way."""
    items: list[Item] = list(ADAPTER.read(io.BytesIO(document)))
    head, tail = items[0], items[-1]
    assert isinstance(head, Head)
    assert isinstance(tail, Tail)
    blocks: list[Block] = []
    rows: list[Row] = []
    for item in items[1:-1]:
        if isinstance(item, Block):
            blocks.append(item)
        else:
            assert isinstance(item, Row)
            assert item.block < len(blocks)
            rows.append(item)
    return Told(head, blocks, rows, tail)


def pain_002(inside: str, *, group: str = "<GrpSts>PART</GrpSts>", namespace: str = PAIN_002) -> bytes:
    """A pain.002 with ``inside`` behind the group's information."""
    declared = f' xmlns="{namespace}"' if namespace else ""
    return (
        f"<Document{declared}><CstmrPmtStsRpt>"
        "<GrpHdr><MsgId>RPT1</MsgId><CreDtTm>2015-06-10T10:00:00+08:00</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{HEAD.reference}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{group}"
        f"</OrgnlGrpInfAndSts>{inside}</CstmrPmtStsRpt></Document>"
    ).encode()


def block(*transactions: str, own: str = "", ref: str = "B1") -> str:
    """An ``OrgnlPmtInfAndSts``."""
    return f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{ref}</OrgnlPmtInfId>{own}{''.join(transactions)}</OrgnlPmtInfAndSts>"


def transaction(status: str, *reasons: str, ref: str = "1", amount: str = "", more: str = "") -> str:
    """A ``TxInfAndSts``; a reason is ``AC04``, ``=EL202`` (proprietary) or ``?text``."""
    word = f"<TxSts>{status}</TxSts>" if status else ""
    original = f'<OrgnlTxRef><Amt><InstdAmt Ccy="CNY">{amount}</InstdAmt></Amt></OrgnlTxRef>' if amount else ""
    why = "".join(reason(code) for code in reasons)
    return f"<TxInfAndSts><OrgnlEndToEndId>{ref}</OrgnlEndToEndId>{word}{why}{more}{original}</TxInfAndSts>"


def reason(code: str) -> str:
    """A ``StsRsnInf``; see ``transaction``."""
    code, _, text = code.partition("?")
    more = f"<AddtlInf>{text}</AddtlInf>" if text else ""
    name = "Prtry" if code.startswith("=") else "Cd"
    said = f"<Rsn><{name}>{code.removeprefix('=')}</{name}></Rsn>" if code else ""
    return f"<StsRsnInf>{said}{more}</StsRsnInf>"


def camt_054(*entries: str, summary: str = "") -> bytes:
    """A camt.054 with one account."""
    return (
        f'<Document xmlns="{CAMT_054}"><BkToCstmrDbtCdtNtfctn>'
        "<GrpHdr><MsgId>NTF1</MsgId><CreDtTm>2015-06-12T10:00:00+08:00</CreDtTm></GrpHdr>"
        f"<Ntfctn><Id>N1</Id><Acct><Id><Othr><Id>{HEAD.debit_account}</Id></Othr></Id></Acct>{summary}{''.join(entries)}"
        "</Ntfctn></BkToCstmrDbtCdtNtfctn></Document>"
    ).encode()


def entry(
    *details: str,
    amount: str = "1840.00",
    direction: str = "CRDT",
    status: str = "BOOK",
    reversal: str = "",
    family: str = "ESCT",
    ref: str = "E1",
    text: str = "",
) -> str:
    """An ``Ntry`` with its details inside."""
    turned = f"<RvslInd>{reversal}</RvslInd>" if reversal else ""
    code = f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>{family}</SubFmlyCd></Fmly></Domn></BkTxCd>"
    inside = f"<NtryDtls>{''.join(details)}</NtryDtls>" if details else ""
    more = f"<AddtlNtryInf>{text}</AddtlNtryInf>" if text else ""
    return (
        f'<Ntry><NtryRef>{ref}</NtryRef><Amt Ccy="CNY">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd>{turned}'
        f"<Sts><Cd>{status}</Cd></Sts><AcctSvcrRef>S-{ref}</AcctSvcrRef>{code}{inside}{more}</Ntry>"
    )


def detail(refs: str = "<EndToEndId>1</EndToEndId>", *, amount: str = "", returned: str = "", more: str = "") -> str:
    """A ``TxDtls``; ``returned`` is the inside of RtrInf."""
    money = f'<Amt Ccy="CNY">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>' if amount else ""
    back = f"<RtrInf>{returned}</RtrInf>" if returned else ""
    return f"<TxDtls><Refs>{refs}</Refs>{money}{back}{more}</TxDtls>"


@cache
def schema(name: str) -> etree.XMLSchema:
    """An official schema of schemas/iso20022."""
    return etree.XMLSchema(etree.parse(ROOT / "schemas" / "iso20022" / f"{name}.xsd"))


def assert_valid(element: etree._Element, name: str) -> None:
    """Validate against the official schema; the first fault is the message."""
    checked = schema(name)
    assert checked.validate(element), str(checked.error_log)
