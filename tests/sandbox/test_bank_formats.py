"""Bank and adapter, written apart, understand each other: every Verdict survives the way there and back; the XSDs agree."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from adapters.iso20022 import ADAPTER as ISO
from adapters.standard_file import ADAPTER as STANDARD
from gateway.core.adapter import Adapter
from gateway.core.bank import (
    Agreement,
    Bank,
    Block,
    DocKind,
    Head,
    Inquiry,
    PayLine,
    PaymentHead,
    Row,
    SealSlot,
    WireKind,
)
from gateway.core.verdicts import Judgement, Outcome, Verdict
from gateway.sandbox.bank import Counterpart
from gateway.sandbox.config import Answers, Faults, FolderWire, SandboxBank
from gateway.sandbox.doors import Arrival, Outgoing
from gateway.sandbox.sides import side
from tests.servers import ROOT

ADAPTERS = {"iso20022": ISO, "standard_file": STANDARD}
BOTH = pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS.keys())
CREATED = dt.datetime(2015, 6, 10, 9, 0, tzinfo=dt.timezone(dt.timedelta(hours=8)))
SCHEMAS = ROOT / "schemas" / "iso20022"
NAMES = ("欧阳娜娜", "艾力·买买提", "周瓅", "李䶮", "𠮷田 & <Co>")

#: Failures of one payment that a bank may tell. Not: what only concerns whole files.
FAILURES = (
    *(Verdict.CARD_LOST, Verdict.CARD_REPLACING, Verdict.NAME_MISMATCH, Verdict.ID_MISMATCH, Verdict.ACCOUNT_UNKNOWN),
    *(Verdict.ACCOUNT_CLOSED, Verdict.ACCOUNT_BLOCKED, Verdict.ACCOUNT_DORMANT, Verdict.ACCOUNT_CHANGED),
    *(Verdict.ACCOUNT_TYPE, Verdict.AMOUNT_LIMIT, Verdict.DECEASED, Verdict.BANK_FAULT, Verdict.NO_REASON),
)
UNKNOWNS = (Verdict.DUPLICATE, Verdict.TIMEOUT, Verdict.UNKNOWN_CODE)


def _bank(adapter: Adapter) -> Bank:
    """The configured partner, without seals."""
    return Bank(
        code="BANKA",
        name="Bank Jia",
        adapter=adapter.code,
        wire=WireKind.FOLDER,
        customer="440600001",
        clearing_code="990588000001",
        sealed=False,
    )


def _lines(count: int) -> list[PayLine]:
    return [
        PayLine(
            n,
            1_000 + n,
            NAMES[n % len(NAMES)].replace("|", ""),
            f"990001{n:013d}",
            184_000 + n,
            "resident",
            "11010519491231002X",
            "养老金",
        )
        for n in range(1, count + 1)
    ]


def _document(parts: Iterable[bytes | SealSlot]) -> bytes:
    return b"".join(part for part in parts if isinstance(part, bytes))


def _payment(adapter: Adapter, lines: list[PayLine], reference: str = "BANKA2015061000001") -> bytes:
    head = PaymentHead(
        reference=reference,
        batch="B1",
        sequence=1,
        created=CREATED,
        pay_date=dt.date(2015, 6, 15),
        fund="pension",
        benefit="pension",
        debit_account="9900000000000018",
        debit_name="某市社会保险基金管理局",
        count=len(lines),
        minor=sum(line.amount for line in lines),
    )
    return _document(adapter.payment(head, lines, _bank(adapter)))


def _counterpart(adapter: Adapter, folder: Path, **settings: Any) -> Counterpart:
    given: dict[str, Any] = {
        "code": "BANKA",
        "adapter": adapter.code,
        "customer": "440600001",
        "wire": FolderWire(directory=str(folder)),
        "keys": None,
        "state": str(folder / "state"),
        "schemas": str(SCHEMAS),
    }
    bank = SandboxBank(**(given | settings))
    return Counterpart(bank, side(bank), now="2015-06-10T09:00:00")


def _told(counterpart: Counterpart, payload: bytes, name: str = "f") -> list[Outgoing]:
    arrival = Arrival(name, payload, None, None)
    counterpart.receive(arrival)
    counterpart.put_aside(arrival)
    said = []
    while due := counterpart.next_answer():
        counterpart.given(due[0])
        said.append(due[1])
    return said


def _read(adapter: Adapter, payload: bytes) -> tuple[Head, list[Row], list[Judgement]]:
    items = list(adapter.read(io.BytesIO(payload)))
    head = items[0]
    assert isinstance(head, Head)
    blocks = [item for item in items if isinstance(item, Block)]
    rows = [item for item in items if isinstance(item, Row)]
    return (
        head,
        rows,
        [adapter.judge(head, blocks[row.block] if row.block >= 0 else None, row, Agreement()) for row in rows],
    )


@BOTH
def test_every_verdict_comes_through(adapter: Adapter, tmp_path: Path) -> None:
    """What fails for a reason at the bank is classified for that reason here, beside a payment that is paid."""
    reasons = [*FAILURES, *UNKNOWNS]
    lines = _lines(len(reasons) + 1)
    story = {
        line.account: {"verdict": reason, "bank_name": "别名"} for line, reason in zip(lines, reasons, strict=False)
    }
    (tmp_path / "scenario.json").write_text(json.dumps({"accounts": story}))
    counterpart = _counterpart(adapter, tmp_path, scenario=str(tmp_path / "scenario.json"))
    receipt, result = _told(counterpart, _payment(adapter, lines))
    assert _read(adapter, receipt.payload)[0].kind is DocKind.RECEIPT
    head, rows, judged = _read(adapter, result.payload)
    assert (head.kind, head.original) == (DocKind.RESULT, "BANKA2015061000001")
    assert [(row.ref, row.amount) for row in rows] == [(str(line.key), line.amount) for line in lines]
    failed = [Judgement(Outcome.FAILED, reason) for reason in FAILURES]
    unknown = [Judgement(Outcome.UNKNOWN, reason) for reason in UNKNOWNS]
    assert judged == [*failed, *unknown, Judgement(Outcome.PAID, Verdict.PAID)]
    assert rows[0].name == "别名"


@BOTH
@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (Verdict.FUNDS, Outcome.REFUSED),
        (Verdict.NOT_ALLOWED, Outcome.REFUSED),
        (Verdict.FORMAT_REFUSED, Outcome.REFUSED),
        (Verdict.TOTALS_REFUSED, Outcome.REFUSED),
        (Verdict.SEAL_REFUSED, Outcome.REFUSED),
        (Verdict.DUPLICATE, Outcome.UNKNOWN),
        (Verdict.TIMEOUT, Outcome.UNKNOWN),
        (Verdict.BANK_FAULT, Outcome.UNKNOWN),
        (Verdict.UNKNOWN_CODE, Outcome.UNKNOWN),
    ],
)
def test_whole_files_refused(adapter: Adapter, tmp_path: Path, verdict: Verdict, outcome: Outcome) -> None:
    """A refusal of the whole file means what the bank meant."""
    counterpart = _counterpart(adapter, tmp_path, faults=Faults(file_refusal=verdict))
    _, refusal = _told(counterpart, _payment(adapter, _lines(3)))
    head, rows, _ = _read(adapter, refusal.payload)
    assert rows == []
    assert adapter.judge(head, None, None, Agreement()) == Judgement(outcome, verdict)


@BOTH
def test_pending_and_parts(adapter: Adapter, tmp_path: Path) -> None:
    """Pending first, then three parts: pending is pending, and each part is read."""
    counterpart = _counterpart(adapter, tmp_path, answers=Answers(receipts=False, pending_first=True, parts=3))
    documents = [_read(adapter, item.payload) for item in _told(counterpart, _payment(adapter, _lines(9)))]
    assert {judged.outcome for judged in documents[0][2]} == {Outcome.PENDING}
    assert [len(rows) for _, rows, _ in documents] == [9, 3, 3, 3]
    assert {judged.outcome for _, _, judgements in documents[1:] for judged in judgements} == {Outcome.PAID}


@BOTH
def test_money_that_comes_back(adapter: Adapter, tmp_path: Path) -> None:
    """A return names the payment, its amount and its reason."""
    lines = _lines(3)
    story = {lines[1].account: {"verdict": "PAID", "returns": "ACCOUNT_CLOSED"}}
    (tmp_path / "scenario.json").write_text(json.dumps({"accounts": story}))
    counterpart = _counterpart(adapter, tmp_path, scenario=str(tmp_path / "scenario.json"))
    back = _told(counterpart, _payment(adapter, lines))[-1]
    head, rows, judged = _read(adapter, back.payload)
    assert head.kind is DocKind.RETURN
    assert [(row.ref, row.amount) for row in rows] == [(str(lines[1].key), lines[1].amount)]
    assert judged == [Judgement(Outcome.RETURNED, Verdict.ACCOUNT_CLOSED)]


def test_what_the_bank_writes_fits_the_schemas(tmp_path: Path) -> None:
    """pain.002, camt.054 and the header in its wrapper are valid by the official XSDs."""
    lines = _lines(len(FAILURES) + 2)
    story: dict[str, dict[str, str]] = {
        line.account: {"verdict": reason, "bank_name": "别名", "new_account": "99000199999"}
        for line, reason in zip(lines, FAILURES, strict=False)
    }
    story[lines[-1].account] = {"verdict": "PAID", "returns": "DECEASED"}
    (tmp_path / "scenario.json").write_text(json.dumps({"accounts": story}))
    counterpart = _counterpart(
        ISO, tmp_path, scenario=str(tmp_path / "scenario.json"), answers=Answers(pending_first=True)
    )
    payment = _payment(ISO, lines)
    said = [*_told(counterpart, payment), *_told(counterpart, payment, "again")]
    assert [item.kind for item in said] == ["receipt", "pending", "result", "return", "refusal"]
    for item in said:
        name = "camt.054.001.08" if item.kind == "return" else "pain.002.001.10"
        etree.XMLSchema(etree.parse(SCHEMAS / f"{name}.xsd")).assertValid(etree.fromstring(item.payload))


def test_inquiries_of_our_adapter(tmp_path: Path) -> None:
    """Known, still working, not found: the answers mean it."""
    counterpart = _counterpart(STANDARD, tmp_path, answers=Answers(receipts=False), hold_results=True)
    _told(counterpart, _payment(STANDARD, _lines(5)))

    def ask(original: str, *lines: int) -> tuple[Head, list[Row], list[Judgement]]:
        about = Inquiry(
            reference=f"Q{original[:9]}{len(lines)}", original=original, original_name="f", created=CREATED, lines=lines
        )
        assert STANDARD.write_inquiry is not None
        (answer,) = _told(counterpart, _document(STANDARD.write_inquiry(about, _bank(STANDARD))), about.reference)
        return _read(STANDARD, answer.payload)

    head, _, judged = ask("BANKA2015061000001")
    assert (head.kind, head.inquiry) == (DocKind.ANSWER, "QBANKA20150")
    assert judged == [Judgement(Outcome.PENDING, Verdict.RECEIVED)] * 5
    (tmp_path / "state" / "release").touch()
    result = counterpart.next_answer()
    assert result is not None
    counterpart.given(result[0])
    _, rows, judged = ask("BANKA2015061000001", 2, 4)
    assert [row.ref for row in rows] == ["1002", "1004"]
    assert judged == [Judgement(Outcome.PAID, Verdict.PAID)] * 2
    head, rows, _ = ask("NEVERSENT")
    assert rows == []
    assert STANDARD.judge(head, None, None, Agreement()) == Judgement(Outcome.UNKNOWN, Verdict.NOT_FOUND)


def test_the_specifications_example(tmp_path: Path) -> None:
    """The bank reads the payment file that is printed in the specification, and answers as printed there."""
    text = (ROOT / "schemas" / "standard_file.md").read_text(encoding="utf-8")
    examples = dict(re.findall(r"<!-- example: ([a-z0-9-]+) -->\n```text\n(.*?)```", text, re.DOTALL))
    counterpart = _counterpart(STANDARD, tmp_path, debit_accounts=("9900100000000000123",))
    receipt, result = _told(counterpart, examples["payment"].encode("gb18030"))
    printed = examples["receipt"].split("\n")[0].split("|")
    said = receipt.payload.decode("gb18030").split("\n")[0].split("|")
    assert [said[n] for n in range(19) if n not in (4, 5)] == [printed[n] for n in range(19) if n not in (4, 5)]
    assert [row.amount for row in _read(STANDARD, result.payload)[1]] == [184000, 215050, 99999, 172500]
