"""Our ISO 20022 adapter against a bank that somebody else wrote: mock-bank from the package index, over HTTP on loopback.

It takes unsigned files only, so the unsigned test profile is used. What it is asked to do wrong is one behaviour a test.
"""

from __future__ import annotations

import datetime as dt
import importlib
import io
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from adapters.iso20022 import ADAPTER
from gateway.core.bank import (
    Agreement,
    Bank,
    Block,
    DocKind,
    Head,
    PayLine,
    PaymentHead,
    Row,
    Tail,
    WireKind,
)
from gateway.core.verdicts import Judgement, Outcome, Verdict

CREATED = dt.datetime(2015, 6, 10, 9, 0, tzinfo=dt.timezone(dt.timedelta(hours=8)))
FUND = "NL91ABNA0417164300"
PAYEES = ("NL57MOCK0000000101", "NL30MOCK0000000102", "NL03MOCK0000000103")  # account numbers of its kind
#: It settles what it accepts at once and says ACCP: whoever agrees on that with a bank would write it down so.
AS_IT_SETTLES = Agreement(credited=("ACCP",))


class Document(NamedTuple):
    """One message of the bank's, decoded and classified."""

    head: Head
    rows: list[Row]
    judged: list[Judgement]
    whole: Judgement


class MockBank:
    """The server's address, and the few things that a test asks of it."""

    def __init__(self, base: str) -> None:
        self._base = base
        self.account("FUND", FUND)

    def account(self, name: str, number: str, **settings: object) -> None:
        """Open an account in CNY, or change one."""
        body = {"id": name, "iban": number, "currency": "CNY", "balance": 100_000_000, "name": "户名"} | settings
        if self._request("POST", "/_mock/accounts", json.dumps(body).encode())[0] != 201:
            assert self._request("PATCH", f"/_mock/accounts/{name}", json.dumps(settings).encode())[0] == 200

    def send(self, payload: bytes) -> int:
        """Hand in a payment file; the HTTP status."""
        return self._request("POST", "/payments", payload)[0]

    def advance(self, days: int) -> None:
        """Let so many days pass."""
        assert self._request("POST", f"/_mock/advance?days={days}")[0] == 200

    def messages(self, kind: str = "", agreement: Agreement = AS_IT_SETTLES) -> list[Document]:
        """What waits for us, of one message name; it is taken."""
        raw = self._request("GET", f"/_mock/mailbox?raw&type={kind}")[1].decode()
        return [_decoded(text.encode(), agreement) for text in re.split(r"(?=<\?xml\b)", raw) if text.strip()]

    def _request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(urllib.request.Request(self._base + path, body, method=method)) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


def _decoded(payload: bytes, agreement: Agreement) -> Document:
    items = list(ADAPTER.read(io.BytesIO(payload)))
    head = items[0]
    assert isinstance(head, Head)
    assert isinstance(items[-1], Tail)
    blocks = [item for item in items if isinstance(item, Block)]
    rows = [item for item in items if isinstance(item, Row)]
    judged = [ADAPTER.judge(head, blocks[row.block] if row.block >= 0 else None, row, agreement) for row in rows]
    return Document(head, rows, judged, ADAPTER.judge(head, None, None, agreement))


@pytest.fixture
def bank() -> Iterator[MockBank]:
    """A mock-bank in June 2015, gone afterwards."""
    mockbank: Any = importlib.import_module("mockbank")
    server = mockbank.make_server(mockbank.Config(port=0, clock="2015-06-10T09:00", quiet=True))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield MockBank(f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    thread.join()
    server.server_close()


def _payment(reference: str = "R0001") -> bytes:
    """Three payments, to the three payees, by our own writer."""
    lines = [PayLine(n, 1_000 + n, "张三·李", payee, 10_000 + n) for n, payee in enumerate(PAYEES, start=1)]
    head = PaymentHead(
        reference=reference,
        batch=f"B{reference}",
        sequence=1,
        created=CREATED,
        pay_date=CREATED.date(),
        fund="pension",
        benefit="pension",
        debit_account=FUND,
        debit_name="社会保险基金管理局",
        count=len(lines),
        minor=sum(line.amount for line in lines),
    )
    configured = Bank(
        code="MOCK", name="Mock", adapter="iso20022", wire=WireKind.FOLDER, customer="440600001", sealed=False
    )
    parts = ADAPTER.payment(head, lines, configured)
    return b"".join(part for part in parts if isinstance(part, bytes))


def test_accept(bank: MockBank) -> None:
    """Accepted and booked: pending by the careful reading, paid where the Agreement says so; its notification says nothing of returns."""
    assert bank.send(_payment()) == 202
    (status,) = bank.messages("pain.002")
    assert (status.head.kind, status.head.message, status.head.original) == (
        DocKind.RESULT,
        "pain.002.001.10",
        "R0001",
    )
    assert [row.ref for row in status.rows] == ["1001", "1002", "1003"]
    assert status.judged == [Judgement(Outcome.PAID, Verdict.PAID)] * 3
    assert (status.head.declared_count, status.head.declared_minor) == (3, 30_006)
    notification, *_ = bank.messages("camt.054")
    assert [(row.ref, row.amount, row.currency) for row in notification.rows] == [
        ("1001", 10_001, "CNY"),
        ("1002", 10_002, "CNY"),
        ("1003", 10_003, "CNY"),
    ]
    assert {judged.outcome for judged in notification.judged} == {Outcome.NONE}


def test_accepted_is_not_credited_by_itself(bank: MockBank) -> None:
    """Without that Agreement its ACCP stays pending."""
    bank.send(_payment())
    (status,) = bank.messages("pain.002", Agreement())
    assert status.judged == [Judgement(Outcome.PENDING, Verdict.RECEIVED)] * 3


@pytest.mark.parametrize(
    ("behaviour", "settings", "verdict"),
    [
        ("closed-account", {"closed": True}, Verdict.ACCOUNT_CLOSED),
        ("bad-bank-id", {}, Verdict.ACCOUNT_UNKNOWN),
    ],
)
def test_one_payee_fails(bank: MockBank, behaviour: str, settings: dict[str, object], verdict: Verdict) -> None:
    """One payment of the file fails for its reason, the others are taken."""
    bank.account("PAYEE", PAYEES[1], behaviour=behaviour, **settings)
    bank.send(_payment())
    (status,) = bank.messages("pain.002")
    assert status.head.status == "PART"
    paid = Judgement(Outcome.PAID, Verdict.PAID)
    assert status.judged == [paid, Judgement(Outcome.FAILED, verdict), paid]


def test_insufficient_funds(bank: MockBank) -> None:
    """What the fund account cannot carry fails for lack of funds, payment by payment."""
    bank.account("FUND", FUND, behaviour="insufficient-funds", balance=20_005)
    bank.send(_payment())
    (status,) = bank.messages("pain.002")
    outcomes = [judged.outcome for judged in status.judged]
    assert Outcome.FAILED in outcomes
    assert {judged.verdict for judged in status.judged if judged.outcome is Outcome.FAILED} == {Verdict.FUNDS}


def test_return_later(bank: MockBank) -> None:
    """Paid, and three business days later it comes back: the notification names reference, amount and reason."""
    bank.account(
        "FUND", FUND, behaviour="return-later", parameters={"days": 3, "reason": "AC04", "end_to_end_id": "1002"}
    )
    bank.send(_payment())
    bank.messages()
    bank.advance(7)
    found = [
        (row.ref, row.amount, judged)
        for notification in bank.messages("camt.054")
        for row, judged in zip(notification.rows, notification.judged, strict=True)
    ]
    assert found == [("1002", 10_002, Judgement(Outcome.RETURNED, Verdict.ACCOUNT_CLOSED))]


def test_reject_file(bank: MockBank) -> None:
    """The whole file is refused for its format: proof that nothing was booked, and no line is told."""
    bank.account("FUND", FUND, behaviour="reject-file")
    assert bank.send(_payment()) == 422
    (status,) = bank.messages("pain.002")
    assert status.rows == []
    assert status.whole == Judgement(Outcome.REFUSED, Verdict.FORMAT_REFUSED)


def test_duplicate_file(bank: MockBank) -> None:
    """The second copy is answered DUPL: unknown, never refused or failed."""
    bank.account("FUND", FUND, behaviour="duplicate-file")
    assert bank.send(_payment()) == 202
    bank.messages()
    assert bank.send(_payment()) == 422
    (status,) = bank.messages("pain.002")
    assert status.head.original == "R0001"
    assert status.whole == Judgement(Outcome.UNKNOWN, Verdict.DUPLICATE)


def test_silent(bank: MockBank) -> None:
    """No status report at all, although the money moves: only the notification shows it."""
    bank.account("FUND", FUND, behaviour="silent")
    bank.send(_payment())
    assert bank.messages("pain.002") == []
    notification, *_ = bank.messages("camt.054")
    assert [row.ref for row in notification.rows] == ["1001", "1002", "1003"]


def test_statement(bank: MockBank) -> None:
    """Its end-of-day statement is read too, and says nothing of returns."""
    bank.send(_payment())
    bank.advance(1)
    statements = [item for item in bank.messages("camt.053") if item.rows]
    assert [row.ref for row in statements[0].rows] == ["1001", "1002", "1003"]
    assert {judged.outcome for judged in statements[0].judged} == {Outcome.NONE}
