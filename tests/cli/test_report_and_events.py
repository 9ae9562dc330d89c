"""The parts of the report and of the listener that can be wrong without anybody noticing."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from gateway.cli.events import Listener
from gateway.cli.report import safe_cell, table
from gateway.cli.report_figures import Share, shares, total, verdicts
from gateway.cli.report_page import page
from gateway.cli.status import line
from gateway.core.contracts import PaymentResult, PaymentResults, encode
from gateway.core.errors import Malformed
from gateway.core.ports import Message


def results(message_id: str, *sequences: int, outcome: str = "paid") -> Message:
    """An event with one result of P-1 for each sequence number."""
    told = [
        PaymentResult(
            instruction_id="P-1", run_id="R", attempt=1, sequence=n, outcome=outcome, amount=5, bank="B", verdict="PAID"
        )
        for n in sequences
    ]
    body = encode("payment.results", PaymentResults(results=told), id=message_id, source="sheyin", time=None)
    return Message(message_id=message_id, body=body)


def test_a_repeated_event_is_told_once() -> None:
    """The same message id again is quiet and adds nothing."""
    listener = Listener(from_start=True)
    assert listener.take(results("a", 1)) is not None
    assert listener.take(results("a", 1)) is None
    found = listener.totals()
    assert (found["events"], found["repeats"], found["outcomes"]) == (1, 1, {"paid": {"count": 1, "minor": 5}})


@pytest.mark.parametrize(
    ("sequences", "ordered"), [((1, 2, 3), True), ((1, 3), False), ((2,), False), ((1, 2, 1), False)]
)
def test_results_out_of_order_are_noticed(sequences: tuple[int, ...], ordered: bool) -> None:
    """A gap, a first result that is not number 1, and a step back are each told."""
    listener = Listener(from_start=True)
    for number in sequences:
        listener.take(results(f"m{len(listener.disorder)}-{number}-{listener.events}", number))
    assert listener.totals()["in_order"] is ordered


def test_a_listener_without_memory_takes_the_first_result_as_it_comes() -> None:
    """Who did not hear the beginning cannot say that it is missing; a gap after that is still told."""
    listener = Listener(from_start=False)
    listener.take(results("a", 2))
    assert listener.totals()["in_order"]
    listener.take(results("b", 4))
    assert listener.totals()["disorder"] == ["P-1: result 4 after 2"]


def test_what_is_no_event_is_malformed() -> None:
    """It is neither counted nor remembered."""
    with pytest.raises(Malformed):
        Listener(from_start=True).take(Message(message_id="x", body=b"{}"))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "=HYPERLINK('http://x')", "9900010000000000001"]
)
def test_no_cell_is_computed_or_rounded(text: str) -> None:
    """An apostrophe makes a text of it, whatever a bank or a payer wrote (H12)."""
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "paid", "张**", "****0018", "12.50", "50", "P-0001"])
def test_harmless_cells_stay_as_they_are(text: str) -> None:
    """Amounts and counts stay numbers."""
    assert safe_cell(text) == text


def row(bank: str, state: str, count: int, verdict: str = "", district: str = "440605") -> dict[str, Any]:
    """Figures as the ledger gives them; every payment is of one yuan."""
    return {
        "bank": bank,
        "district": district,
        "state": state,
        "verdict": verdict,
        "count": count,
        "minor": count * 100,
    }


FOUND: dict[str, Any] = {
    "run_id": "R<1>", "payer": "PENSION", "line": "pension", "period": "2015-06", "pay_date": "2015-06-15", "state": "closed",
    "closed_ms": 0,
    "first": [row("BANKA", "paid", 90), row("BANKA", "failed", 10, "CARD_LOST"), row("BANKB", "paid", 7)],
    "later": [row("BANKA", "paid", 6), row("BANKB", "paid", 1), row("BANKA", "failed", 1, "CARD_LOST")],
    "waits": [], "lines": [line("BANKA", {"ordered": (100, 10_000), "paid": (96, 9_600), "failed": (4, 400)})],
    "waiting": [
        {"instruction": "=cmd()", "name": "张**", "account": "****0018", "bank": "BANKA", "district": "440605", "minor": 100,
         "verdict": "CARD_LOST", "waits_for": "wait_card", "since_ms": 1_434_300_000_000, "state": "open"},
    ],
}  # fmt: skip


def test_success_counts_the_first_try_and_the_second_payment_apart() -> None:
    """A second payment at another bank counts there; all together stay what was ordered."""
    by_bank = {one.name: (one.ordered, one.first, one.later) for one in shares(FOUND, "bank")}
    assert by_bank == {"BANKA": (100, 90, 6), "BANKB": (7, 7, 1)}
    whole = total(FOUND)
    assert (whole.ordered, whole.first, whole.later, whole.missing) == (107, 97, 7, 3)
    assert verdicts(FOUND["first"]) == [("failed", "CARD_LOST", 10, 1_000)]


def test_a_hundred_per_cent_means_all() -> None:
    """369,369 of 369,370 are not 100 %, and nothing of nothing divides nothing."""
    assert Share("", 369_370, 0, 369_369, 0).percent(369_369) == "99.999 %"
    assert Share("", 369_370, 0, 369_370, 0).percent(369_370) == "100.000 %"
    assert Share("", 0, 0, 0, 0).percent(0) == "0.000 %"


def test_a_line_that_lacks_a_fen_does_not_add_up() -> None:
    """Count and amount must both agree, with what moved between banks."""
    assert line("B", {"ordered": (2, 200), "moved_out": (1, 100), "paid": (1, 100)})["conserved"]
    assert not line("B", {"ordered": (2, 200), "paid": (2, 199)})["conserved"]
    assert not line("B", {"ordered": (2, 200), "paid": (1, 200)})["conserved"]


def test_words_of_others_cannot_write_into_page_or_table() -> None:
    """Names of runs, instructions and banks are escaped in the page, and no formula in the CSV."""
    text = page(FOUND, "<b>局</b>", {"BANKA": "<i>甲"})
    assert "<b>局" not in text
    assert "<i>" not in text
    assert "R&lt;1&gt;" in text
    cells = [cell for cells in csv.reader(io.StringIO(table(FOUND))) for cell in cells]
    assert "'=cmd()" in cells
