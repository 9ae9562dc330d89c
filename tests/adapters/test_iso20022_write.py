"""pain.001.001.09 as we write it: valid, canonical, whole, and refused rather than cut."""

from __future__ import annotations

import hashlib
import urllib.parse
from importlib import import_module

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapters.iso20022 import ADAPTER
from gateway.codec.text import xml_illegal
from gateway.core.bank import DocKind, PayLine, SealSlot
from gateway.core.errors import Code, Halt, Refused
from tests.adapters.iso20022_documents import (
    BANK,
    GOLDEN,
    HEAD,
    LINES,
    UNSEALED,
    assert_valid,
    head_for,
    told,
    written,
)

HOSTILE = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@pytest.mark.parametrize(("name", "bank"), [("payment-sealed.xml", BANK), ("payment-bare.xml", UNSEALED)])
def test_golden_files(name: str, bank: object) -> None:
    """The bytes of a known payment never change by accident: a bank has seen them."""
    assert bank in (BANK, UNSEALED)
    assert written(bank=BANK if bank is BANK else UNSEALED) == (GOLDEN / name).read_bytes()


def test_header_and_document_are_valid() -> None:
    """Both against the official schemas; the header once its slot is filled."""
    root = etree.fromstring(written())
    header, document = root
    assert_valid(document, "pain.001.001.09")
    slot = header[-1]
    assert etree.QName(slot).localname == "Sgntr"
    slot.append(etree.Element("{http://www.w3.org/2000/09/xmldsig#}Signature"))
    assert_valid(header, "head.001.001.02")
    assert root.tag == "{urn:sheyin:xsd:business-message:1}BusinessMessage"


def test_the_slot_is_where_the_seal_says() -> None:
    """A signature is put exactly at the place where one is accepted."""
    chunks = list(ADAPTER.payment(HEAD, LINES, BANK))
    assert [isinstance(chunk, SealSlot) for chunk in chunks].count(True) == 1
    root = etree.fromstring(b"".join(chunk if isinstance(chunk, bytes) else b"<here/>" for chunk in chunks))
    here = root.find(".//{*}here")
    assert here is not None
    path = [*reversed([ancestor.tag for ancestor in here.iterancestors()])][1:]
    assert ADAPTER.seal is not None
    assert tuple(path) == getattr(ADAPTER.seal, "location", None)


@settings(max_examples=60)
@given(st.lists(st.tuples(HOSTILE, HOSTILE, st.integers(1, 10**9), HOSTILE | st.just("")), min_size=1, max_size=6))
def test_bytes_are_canonical_and_valid_whatever_the_text(rows: list[tuple[str, str, int, str]]) -> None:
    """sha256 of the bytes is sha256 of the canonical tree, so a running hash is what a verifier will compute."""
    lines = [
        PayLine(number, number, name, account[:34], amount, "passport", "E1", purpose)
        for number, (name, account, amount, purpose) in enumerate(rows, 1)
    ]
    if any(xml_illegal(line.name + line.account + line.purpose) for line in lines):
        with pytest.raises(Refused) as error:
            written(lines, head_for(lines))
        assert error.value.code is Code.CHARSET
        return
    document = written(lines, head_for(lines))
    root = etree.fromstring(document)
    canonical = etree.tostring(root, method="c14n", exclusive=True)
    assert hashlib.sha256(document).digest() == hashlib.sha256(canonical).digest()
    assert_valid(root[1], "pain.001.001.09")
    back = told(document)
    assert [(row.ref, row.name, row.account, row.amount, row.text) for row in back.rows] == [
        (str(line.key), line.name, line.account, line.amount, line.purpose) for line in lines
    ]


@pytest.mark.parametrize("bank", [BANK, UNSEALED], ids=["sealed", "bare"])
def test_what_is_written_is_read_back(bank: object) -> None:
    """Head, totals and every line come back; all parts of the file agree on the totals."""
    back = told(written(bank=BANK if bank is BANK else UNSEALED))
    assert (back.head.kind, back.head.message) == (DocKind.PAYMENT, "pain.001.001.09")
    assert (back.head.reference, back.head.currency) == (HEAD.reference, "CNY")
    assert (back.head.declared_count, back.head.declared_minor) == (HEAD.count, HEAD.minor)
    assert (back.tail.count, back.tail.minor) == (HEAD.count, HEAD.minor)
    assert [block.ref for block in back.blocks] == [HEAD.batch]
    assert [row.name for row in back.rows] == [line.name for line in LINES]


def test_optional_fields() -> None:
    """Id, pair, purpose and clearing number stand there when they are known, and leave no empty element when not."""
    document = written(bank=UNSEALED).decode()
    assert "<Cd>NIDN</Cd>" in document
    assert "<Prtry>other</Prtry>" in document
    assert "<InstrForCdtrAgt><InstrInf>WL:WL000123</InstrInf></InstrForCdtrAgt>" in document
    assert document.count("<RmtInf>") == 3
    assert document.count("<MmbId>999584000017</MmbId>") == 1 + len(LINES)
    plain = written(
        [PayLine(1, 1, "张三", "1", 1)],
        msgspec.structs.replace(HEAD, count=1, minor=1, benefit="medical"),
        msgspec.structs.replace(UNSEALED, clearing_code=""),
    )
    assert b"<CdtrAgt>" not in plain
    assert b"<Cdtr><Nm>\xe5\xbc\xa0\xe4\xb8\x89</Nm></Cdtr>" in plain
    assert b"<CtgyPurp><Cd>SSBE</Cd></CtgyPurp>" in plain
    assert_valid(etree.fromstring(plain), "pain.001.001.09")


def test_no_element_is_empty() -> None:
    """A bank refused a file for an empty FinInstnId: every element holds something."""
    root = etree.fromstring(written(bank=UNSEALED))
    assert [node.tag for node in root.iter() if not len(node) and not node.text] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": ""}, Code.NAME),
        ({"account": ""}, Code.NAME),
        ({"name": "长" * 141}, Code.SIZE),
        ({"account": "1" * 35}, Code.SIZE),
        ({"purpose": "a" * 141}, Code.SIZE),
        ({"id_number": "1" * 36}, Code.SIZE),
        ({"pair": "1" * 36}, Code.SIZE),
        ({"amount": 0}, Code.RANGE),
        ({"amount": -1}, Code.RANGE),
        ({"name": "张\x0b三"}, Code.CHARSET),
        ({"name": "张\ud800"}, Code.CHARSET),
        ({"account": "1\uffff"}, Code.CHARSET),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], code: Code) -> None:
    """Never cut, never replaced; and the sentence does not repeat a name or an account."""
    line = LINES[0]._replace(**change)  # type: ignore[arg-type]  # one field each
    with pytest.raises(Refused) as error:
        written([line], head_for([line]))
    assert error.value.code is code
    assert "长" not in str(error.value)


@pytest.mark.parametrize("lines", [LINES[:3], (*LINES, LINES[0]), (LINES[0]._replace(amount=1), *LINES[1:]), ()])
def test_other_lines_than_declared_stop_the_file(lines: tuple[PayLine, ...]) -> None:
    """The head was written before its lines: if they do not add up, the file must not be used."""
    with pytest.raises(Halt):
        written(lines)


def test_another_currency_is_refused() -> None:
    """Amounts are written with two decimals."""
    with pytest.raises(Refused):
        written(head=msgspec.structs.replace(HEAD, currency="JPY"))


def test_a_full_document_fits_its_caps() -> None:
    """10,000 rows with an id, a rare name and a purpose stay far below the document's cap."""
    line = LINES[0]._replace(name="𠮷" * 35, purpose="养老金" * 15)
    lines = [line] * ADAPTER.limits.rows_max
    size = sum(len(chunk) for chunk in ADAPTER.payment(head_for(lines), lines, BANK) if isinstance(chunk, bytes))
    assert size < ADAPTER.limits.document_bytes_max // 2


def test_an_outside_bank_takes_it() -> None:
    """mock-bank, an independent counterparty, finds no error in the bare document (the pay date of 2015 is a warning)."""
    validate = import_module("mockbank.validate").validate
    findings = validate(written(bank=UNSEALED).decode())
    assert [finding for finding in findings if finding.level != "warning"] == []


def test_file_name_is_safe() -> None:
    """The default name needs no quoting anywhere."""
    name = ADAPTER.file_name.format(customer="440600001", date="20150610", seq="0001", kind="payment", reference="R1")
    assert urllib.parse.quote(name) == name
