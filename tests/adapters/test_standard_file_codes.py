"""What the standard file's codes mean for the money: DESIGN section 5, code by code."""

from __future__ import annotations

import pytest

from adapters.standard_file.codes import CODES, DOCUMENT, LINE, RETURN, SET, judge, refuses_whole
from gateway.core.bank import Agreement, DocKind, Head, Row
from gateway.core.verdicts import MEANINGS, Judgement, Outcome, Verdict, inherits

CAREFUL = Agreement()


def line(code: str, kind: DocKind = DocKind.RESULT) -> Judgement:
    """The judgement of one line with this code."""
    return judge(Head(kind=kind, message="", status="0000"), None, Row("1", 1, "CNY", code), CAREFUL)


def document(status: str, kind: DocKind = DocKind.RECEIPT) -> Judgement:
    """The judgement of a whole file with this status."""
    return judge(Head(kind=kind, message="", status=status), None, None, CAREFUL)


@pytest.mark.parametrize(
    ("code", "outcome", "verdict"),
    [
        ("0000", Outcome.PAID, Verdict.PAID),
        ("0001", Outcome.PENDING, Verdict.RECEIVED),
        ("1001", Outcome.FAILED, Verdict.ACCOUNT_UNKNOWN),
        ("1002", Outcome.FAILED, Verdict.NAME_MISMATCH),
        ("1003", Outcome.FAILED, Verdict.CARD_LOST),
        ("1004", Outcome.FAILED, Verdict.CARD_REPLACING),
        ("1011", Outcome.FAILED, Verdict.DECEASED),
        ("1099", Outcome.FAILED, Verdict.NO_REASON),
        ("2001", Outcome.FAILED, Verdict.FORMAT_REFUSED),
        ("3001", Outcome.FAILED, Verdict.FUNDS),
        ("4003", Outcome.UNKNOWN, Verdict.DUPLICATE),
        ("5001", Outcome.UNKNOWN, Verdict.TIMEOUT),
        ("5002", Outcome.FAILED, Verdict.BANK_FAULT),
        ("6002", Outcome.UNKNOWN, Verdict.NOT_FOUND),
        ("7001", Outcome.FAILED, Verdict.CANCELLED),
        ("9999", Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
        ("4001", Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),  # a code of whole files means nothing on a line
        ("", Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
    ],
)
def test_on_a_line(code: str, outcome: Outcome, verdict: Verdict) -> None:
    """Results and answers alike; paid only on 0000, a duplicate and a time-out never failed, the unlisted parked."""
    for kind in (DocKind.RESULT, DocKind.ANSWER):
        assert line(code, kind) == Judgement(outcome, verdict)
        assert line(code, kind).parked == (verdict is Verdict.UNKNOWN_CODE)


@pytest.mark.parametrize(
    ("status", "outcome", "verdict"),
    [
        ("0000", Outcome.PENDING, Verdict.RECEIVED),
        ("0001", Outcome.PENDING, Verdict.RECEIVED),
        ("2001", Outcome.REFUSED, Verdict.FORMAT_REFUSED),
        ("2002", Outcome.REFUSED, Verdict.TOTALS_REFUSED),
        ("2003", Outcome.REFUSED, Verdict.SEAL_REFUSED),
        ("2004", Outcome.REFUSED, Verdict.NOT_ALLOWED),
        ("3001", Outcome.REFUSED, Verdict.FUNDS),
        ("4001", Outcome.UNKNOWN, Verdict.DUPLICATE),
        ("4002", Outcome.UNKNOWN, Verdict.DUPLICATE),
        ("5001", Outcome.UNKNOWN, Verdict.TIMEOUT),
        ("5002", Outcome.UNKNOWN, Verdict.BANK_FAULT),
        ("6001", Outcome.UNKNOWN, Verdict.NOT_FOUND),
        ("9999", Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
        ("1002", Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),  # a code of lines means nothing on a file
        ("", Outcome.NONE, Verdict.NO_REASON),
    ],
)
def test_on_a_whole_file(status: str, outcome: Outcome, verdict: Verdict) -> None:
    """Taken up is never paid; refused only where the reason proves that nothing was booked; not found is no refusal."""
    for kind in (DocKind.RECEIPT, DocKind.RESULT, DocKind.ANSWER):
        judgement = document(status, kind)
        assert judgement == Judgement(outcome, verdict)
        assert inherits(judgement) == (outcome is Outcome.REFUSED) == refuses_whole(status)


def test_on_a_return() -> None:
    """A returned line is returned whatever the listed reason; an unlisted one is looked at first."""
    assert line("1005", DocKind.RETURN) == Judgement(Outcome.RETURNED, Verdict.ACCOUNT_CLOSED)
    assert line("7002", DocKind.RETURN) == Judgement(Outcome.RETURNED, Verdict.CANCELLED)
    for code in ("0000", "4003", "9999"):  # a return cannot say credited or repeated
        assert line(code, DocKind.RETURN) == Judgement(Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)


@pytest.mark.parametrize("kind", [DocKind.PAYMENT, DocKind.INQUIRY, DocKind.RECEIPT])
def test_our_own_lines_say_nothing(kind: DocKind) -> None:
    """A payment file or an inquiry that is looked at has no word on the money."""
    assert line("", kind) == Judgement(Outcome.NONE, Verdict.NO_REASON)


def test_what_a_bank_may_call_credited_changes_nothing() -> None:
    """The format itself defines 0000 as credited, under any Agreement, and 0001 as not."""
    head = Head(kind=DocKind.RESULT, message="", status="0000")
    for agreement in (Agreement(credited=()), Agreement(credited=("0001",)), Agreement(credited=("ACSC",))):
        assert judge(head, None, Row("1", 1, "CNY", "0000"), agreement).outcome is Outcome.PAID
        assert judge(head, None, Row("1", 1, "CNY", "0001"), agreement).outcome is Outcome.PENDING


def test_every_verdict_that_a_bank_can_give_has_a_code() -> None:
    """Nothing that a bank wants to say is without a code of its own."""
    listed = {row.verdict for row in CODES.values()}
    assert set(Verdict) - listed == {Verdict.UNKNOWN_CODE}
    assert {row.family for row in CODES.values()} == {DOCUMENT, LINE, RETURN}


def test_codes_that_mean_the_same_are_the_same_everywhere() -> None:
    """A 1xxx code has one meaning on a line and on a return, and its Chinese words are the verdict's or more exact."""
    for (family, set_, code), row in CODES.items():
        assert set_ == SET
        if family == RETURN and code.startswith("1"):
            assert CODES.verdict(LINE, SET, code) is row.verdict
        assert len(code) == 4
        assert " · " in row.words
        assert row.verdict in MEANINGS
