"""What a bank's words do to our Attempts: applied, quiet or parked, by rule and never by guess."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bank import Reason, Row
from gateway.core.errors import Code
from gateway.core.results import Known, Told, Weighed, weigh
from gateway.core.states import ATTEMPT, AttemptState
from gateway.core.verdicts import Judgement, Outcome, Verdict

A = AttemptState
DOCUMENT = 7
PAID, FAILED, REFUSED = Outcome.PAID, Outcome.FAILED, Outcome.REFUSED
UNKNOWN, RETURNED, PENDING, NONE = Outcome.UNKNOWN, Outcome.RETURNED, Outcome.PENDING, Outcome.NONE

#: state before, what the bank tells → state after, "quiet" or "parked". Typed in by hand from the design, section 5.
TABLE: dict[A, dict[Outcome, str]] = {
    A.BATCHED: {PAID: "paid", FAILED: "failed", REFUSED: "refused", UNKNOWN: "unknown", RETURNED: "returned"},
    A.UNKNOWN: {PAID: "paid", FAILED: "failed", REFUSED: "failed", UNKNOWN: "quiet", RETURNED: "returned"},
    A.PAID: {PAID: "quiet", FAILED: "parked", REFUSED: "parked", UNKNOWN: "quiet", RETURNED: "returned"},
    A.FAILED: {PAID: "parked", FAILED: "quiet", REFUSED: "parked", UNKNOWN: "quiet", RETURNED: "parked"},
    A.REFUSED: {PAID: "parked", FAILED: "parked", REFUSED: "quiet", UNKNOWN: "parked", RETURNED: "parked"},
    A.RETURNED: {PAID: "parked", FAILED: "parked", REFUSED: "parked", UNKNOWN: "quiet", RETURNED: "quiet"},
    # At home again after its Document was refused: a denial is no news, anything else stops it.
    A.NEW: {PAID: "parked", FAILED: "quiet", REFUSED: "quiet", UNKNOWN: "parked", RETURNED: "parked"},
    A.READY: {PAID: "parked", FAILED: "quiet", REFUSED: "quiet", UNKNOWN: "parked", RETURNED: "parked"},
    A.HELD: {PAID: "parked", FAILED: "quiet", REFUSED: "quiet", UNKNOWN: "parked", RETURNED: "parked"},
    A.WITHDRAWN: {PAID: "parked", FAILED: "quiet", REFUSED: "quiet", UNKNOWN: "parked", RETURNED: "parked"},
}


def attempt(
    key: int = 1, state: A = A.BATCHED, *, document: int = DOCUMENT, left: bool = True, amount: int = 100
) -> Known:
    """One Attempt as the ledger knows it."""
    return Known(key, state, amount, 5, key, 1, 0, document, f"I-{key}", left)


def row(ref: str = "1", amount: int | None = 100, *, currency: str = "CNY", code: str = "C1", account: str = "") -> Row:
    """One line of an answer."""
    return Row(ref, amount, currency, "ST", (Reason("own", code, "words"),), "B1", account=account)


def told(*lines: tuple[Row, Outcome] | tuple[Row, Outcome, Verdict]) -> Told:
    """An answer."""
    found = Told()
    for line in lines:
        found.add(line[0], Judgement(line[1], line[2] if len(line) == 3 else Verdict.CARD_LOST))
    return found


def weighed(answer: Told, *known: Known, documents: frozenset[int] | None = frozenset({DOCUMENT}), size: int = 100) -> Weighed:  # fmt: skip
    """The whole answer, weighed page by page against what stays as it is."""
    seen: set[int] = set()
    total = Weighed([], [], 0)
    for page in answer.pages(size):
        part = weigh(answer, page, {k.key: k for k in known}, documents, seen)
        total = Weighed(total.applying + part.applying, total.parking + part.parking, total.quiet + part.quiet)
    return total


@pytest.mark.parametrize(("state", "outcome"), list(product(A, Outcome)), ids=str)
def test_every_state_and_word(state: A, outcome: Outcome) -> None:
    """Each pair goes where the table above says; what says nothing about the money is quiet everywhere."""
    found = weighed(told((row(), outcome)), attempt(state=state))
    expected = "quiet" if outcome in (PENDING, NONE) else TABLE[state][outcome]
    if expected == "quiet":
        assert found == Weighed([], [], 1)
    elif expected == "parked":
        (parking,) = found.parking
        assert (parking.code, parking.contradicts, parking.known) == (Code.CONFLICT, True, attempt(state=state))
        assert f"tells {outcome}, but the payment is {state}" in parking.what
    else:
        (applying,) = found.applying
        assert (applying.after, applying.known.state, found.parking) == (expected, state, [])
        assert applying.after in ATTEMPT[state].values()


def test_the_table_is_whole() -> None:
    """Every state has a word for every outcome that speaks of the money."""
    assert set(TABLE) == set(A)
    assert all(set(words) == set(Outcome) - {PENDING, NONE} for words in TABLE.values())


@pytest.mark.parametrize(
    ("line", "outcome", "verdict", "code", "contradicts"),
    [
        (row(amount=99), PAID, Verdict.PAID, Code.CONFLICT, True),
        (row(amount=101), FAILED, Verdict.CARD_LOST, Code.CONFLICT, False),
        (row(amount=0), PAID, Verdict.PAID, Code.CONFLICT, True),
        (row(currency="HKD"), PAID, Verdict.PAID, Code.CONFLICT, True),
        (row(currency="HKD"), REFUSED, Verdict.FORMAT_REFUSED, Code.CONFLICT, False),
        (row(), NONE, Verdict.UNKNOWN_CODE, Code.UNKNOWN_CODE, True),
        (row(), UNKNOWN, Verdict.UNKNOWN_CODE, Code.UNKNOWN_CODE, True),
        (row(amount=None), RETURNED, Verdict.ACCOUNT_CLOSED, Code.CONFLICT, True),
        (row(amount=50), RETURNED, Verdict.ACCOUNT_CLOSED, Code.CONFLICT, True),
    ],
)
def test_what_cannot_be_applied(line: Row, outcome: Outcome, verdict: Verdict, code: Code, contradicts: bool) -> None:
    """Another amount or currency, an unknown code, a return without its amount; unless it denies the payment it stops what is unsent."""
    found = weighed(told((line, outcome, verdict)), attempt())
    (parking,) = found.parking
    assert (parking.code, parking.contradicts, found.applying, found.quiet) == (code, contradicts, [], 0)


@pytest.mark.parametrize("amount", [None, 100])
@pytest.mark.parametrize("outcome", [PAID, FAILED])
def test_a_line_may_be_without_amount(amount: int | None, outcome: Outcome) -> None:
    """Some formats tell none: the reference says which payment it is."""
    assert len(weighed(told((row(amount=amount, currency=""), outcome)), attempt()).applying) == 1


@pytest.mark.parametrize("outcome", [PAID, UNKNOWN, RETURNED, FAILED, REFUSED, PENDING])
@pytest.mark.parametrize("mine", [None, attempt(document=8), attempt(left=False)], ids=["foreign", "other", "unsent"])
def test_what_the_answer_may_not_speak_of(mine: Known | None, outcome: Outcome) -> None:
    """Foreign, of another Document, or never sent: parked; if it is ours and money may have moved, what is unsent is stopped."""
    found = weighed(told((row(), outcome)), *([mine] if mine else []))
    (parking,) = found.parking
    moved = mine is not None and outcome in (PAID, UNKNOWN, RETURNED)
    assert (parking.code, parking.known, parking.contradicts) == (Code.UNKNOWN_REF, mine if moved else None, moved)


def test_a_notice_names_no_document() -> None:
    """A return may be of any Document of that bank's, but not of one that never left."""
    returned = told((row(), RETURNED))
    assert len(weighed(returned, attempt(state=A.PAID, document=99), documents=None).applying) == 1
    assert len(weighed(returned, attempt(left=False), documents=None).parking) == 1


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_line_told_twice_alike(size: int) -> None:
    """It counts once, on one page or on two; a silent line in front does not use up the word."""
    answer = told((row(), PENDING), (row(), PAID), (row(), PAID))
    found = weighed(answer, attempt(), size=size)
    assert (len(found.applying), found.quiet, found.parking) == (1, 2, [])


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("pair", [p for p in product([PAID, FAILED, REFUSED, UNKNOWN], repeat=2) if p[0] != p[1]])
def test_two_different_words_of_one_line(pair: tuple[Outcome, Outcome], size: int) -> None:
    """None is applied, whatever the order and the page: every word of that line is parked and stops what is unsent; others go on."""
    answer = told((row(), pair[0]), (row("2"), PAID), (row(), pair[1]))
    found = weighed(answer, attempt(), attempt(2), size=size)
    assert [applying.known.key for applying in found.applying] == [2]
    assert [(p.code, p.contradicts, p.line.at) for p in found.parking] == [
        (Code.CONFLICT, True, 0),
        (Code.CONFLICT, True, 2),
    ]


def test_one_word_with_two_amounts() -> None:
    """Paid with 100 and paid with 200 are two things."""
    found = weighed(told((row(), PAID), (row(amount=200), PAID)), attempt())
    assert (len(found.parking), found.applying) == (2, [])


@pytest.mark.parametrize("ref", ["", "x1", "1x", "-1", "1.0", "１", "9" * 19, " 1"])
def test_a_reference_that_is_no_number_of_ours(ref: str) -> None:
    """Only plain digits can be a key; anything else is parked exactly as the bank wrote it."""
    answer = told((row(ref), FAILED))
    (line,) = next(answer.pages(9))
    assert (line.key, answer.reference(line)) == (-1, ref)
    assert weighed(answer, attempt()).parking[0].code is Code.UNKNOWN_REF
    assert msgspec.json.decode(answer.raw(line))["ref"] == ref


def test_the_banks_words_are_kept_for_a_person() -> None:
    """What may be parked is kept whole, the account masked; of a paid line reference, amount, code and bank reference remain."""
    answer = told((row(account="6228480402564890018"), FAILED), (row("2", None), PAID, Verdict.PAID))
    failed, paid = next(answer.pages(9))
    raw = msgspec.json.decode(answer.raw(failed))
    assert (raw["ref"], raw["amount"], raw["status"], raw["account"]) == ("1", 100, "ST", "****0018")
    assert raw["reasons"] == [["own", "C1", "words"]]
    assert msgspec.json.decode(answer.raw(paid)) == {"ref": "2", "amount": None, "code": "C1", "bank_ref": "B1"}


def test_the_code_is_the_reasons_or_the_status() -> None:
    """A line with reasons tells the first one's code and text; one without tells its status and its own text."""
    answer = told((row(), FAILED))
    answer.add(Row("2", 100, "CNY", "ACSC", (), "B2", "own text"), Judgement(PAID, Verdict.PAID))
    one, two = next(answer.pages(9))
    assert (one.word.code, one.word.text, two.word.code, two.word.text) == ("C1", "words", "ACSC", "own text")


def test_names_are_kept() -> None:
    """The bank's spelling of the name is there for the lines that tell one."""
    answer = Told()
    answer.add(row()._replace(name="王大明"), Judgement(FAILED, Verdict.NAME_MISMATCH))
    answer.add(row("2"), Judgement(PAID, Verdict.PAID))
    assert (answer.name(0), answer.name(1)) == ("王大明", "")


def test_a_refusal_after_two_sendings_is_a_doubt() -> None:
    """Where the Document left more than once a refusal may be of the second copy: every refused line is unknown."""
    answer = told((row(), REFUSED), (row("2"), FAILED))
    answer.doubt_refusals()
    found = weighed(answer, attempt(), attempt(2))
    assert [applying.after for applying in found.applying] == [A.UNKNOWN, A.FAILED]


lines_of = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([PAID, FAILED, UNKNOWN, PENDING])), max_size=12)


@given(lines_of, st.integers(1, 5))
def test_pages_do_not_show(lines: list[tuple[int, Outcome]], size: int) -> None:
    """However an answer is cut into pages, the same lines are applied, parked and quiet, and no payment moves twice."""
    answer = told(*((row(str(key)), outcome) for key, outcome in lines))
    known = [attempt(key) for key in range(1, 4)]
    whole, cut = weighed(answer, *known), weighed(answer, *known, size=size)
    assert cut == whole
    assert len(answer) == len(whole.applying) + len(whole.parking) + whole.quiet
    moved = [applying.known.key for applying in whole.applying]
    assert len(moved) == len(set(moved))
