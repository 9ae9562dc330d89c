"""Batches: every payment in exactly one Document, no cap exceeded, nothing mixed; names and references that never meet."""

from __future__ import annotations

import datetime as dt
from array import array
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bank import Limits
from gateway.core.batching import Group, check_codes, check_limits, check_template, file_name, plan, reference
from gateway.core.errors import Code, Halt, Refused, SheyinError

DAY = dt.date(2015, 6, 15)


def group(*amounts: int, fund: str = "pension", debit_account: str = "9900", pay_date: dt.date = DAY) -> Group:
    """A group of one Bank."""
    return Group("BANKA", fund, debit_account, pay_date, array("q", amounts))


amounts_of = st.lists(st.integers(1, 50), max_size=40)
groups_of = st.lists(amounts_of, max_size=4).map(
    lambda many: [group(*amounts, fund=f"fund{number}") for number, amounts in enumerate(many)]
)
limits_of = st.builds(Limits, rows_max=st.integers(1, 12), document_minor_max=st.integers(50, 300))


@given(groups_of, limits_of)
def test_the_partition_is_exact(groups: list[Group], limits: Limits) -> None:
    """Every payment stands in exactly one Document, in key order, and counts and sums are its own."""
    documents = plan(groups, limits)
    for one in groups:
        mine = [document for document in documents if document.group is one]
        assert [document.first_rank for document in mine] == [1, *(document.last_rank + 1 for document in mine[:-1])][
            : len(mine)
        ]
        assert (mine[-1].last_rank if mine else 0) == len(one.amounts)
        for document in mine:
            members = one.amounts[document.first_rank - 1 : document.last_rank]
            assert (document.count, document.minor) == (len(members), sum(members))
            assert document.count >= 1
    assert [groups.index(document.group) for document in documents] == sorted(
        groups.index(document.group) for document in documents
    )


@given(groups_of, limits_of)
def test_no_cap_is_exceeded_and_none_is_wasted(groups: list[Group], limits: Limits) -> None:
    """Each Document keeps both caps, and could not have taken the next payment of its group."""
    for document in plan(groups, limits):
        assert document.count <= limits.rows_max
        assert document.minor <= limits.document_minor_max
        rest = document.group.amounts[document.last_rank :]
        if rest:
            full = document.count == limits.rows_max
            assert full or document.minor + rest[0] > limits.document_minor_max


@given(groups_of, limits_of, st.integers(0, 12), st.integers(1, 12))
def test_the_day_ends_the_plan(groups: list[Group], limits: Limits, used: int, most: int) -> None:
    """Under a daily cap the plan is the beginning of the plan without one."""
    whole = plan(groups, limits)
    capped = Limits(rows_max=limits.rows_max, document_minor_max=limits.document_minor_max, documents_per_day_max=most)
    assert plan(groups, capped, used_today=used) == whole[: max(0, most - used)]


def test_a_month_is_cut_by_rows() -> None:
    """147,748 payments at 10,000 a Document are 14 full ones and the rest, planned at once."""
    amounts = array("q", [184_054]) * 147_748
    documents = plan([group(*amounts)], Limits())
    assert [document.count for document in documents] == [10_000] * 14 + [7_748]
    assert (documents[1].first_rank, documents[1].last_rank) == (10_001, 20_000)


@pytest.mark.parametrize(
    ("amounts", "cap", "lasts"),
    [
        ((50, 50, 50, 50), 100, [2, 4]),  # exactly full is full, not too full
        ((50, 51, 50, 50), 100, [1, 2, 4]),
        ((100, 100), 100, [1, 2]),
        ((1, 99, 1, 98, 1, 1), 100, [2, 5, 6]),
    ],
)
def test_an_amount_is_cut_where_the_cap_is(amounts: tuple[int, ...], cap: int, lasts: list[int]) -> None:
    """To the fen: a Document may hold exactly its cap."""
    documents = plan([group(*amounts)], Limits(document_minor_max=cap))
    assert [document.last_rank for document in documents] == lasts


def test_different_money_is_never_mixed() -> None:
    """Another fund, debit account, pay date, benefit line or release is another Document, however small."""
    groups = [
        group(1, fund=fund, debit_account=account, pay_date=day)._replace(line=line, early=early)
        for fund, account, day, line, early in product(
            ("a", "b"), ("1", "2"), (DAY, DAY + dt.timedelta(1)), ("pension", "medical"), (False, True)
        )
    ]
    assert [document.group for document in plan(groups, Limits())] == groups


def test_what_can_never_be_is_a_halt() -> None:
    """Two Banks in one plan, one group twice, an amount that is not positive: the books are wrong, nothing is cut."""
    other = Group("BANKB", "pension", "9900", DAY, [1])
    for groups in ([group(1), other], [group(1), group(2)], [group(1, 0)], [group(-1)]):
        with pytest.raises(Halt):
            plan(groups, Limits())


def test_one_payment_above_the_cap_is_refused() -> None:
    """It fits no Document: said aloud instead of left behind."""
    with pytest.raises(Refused) as caught:
        plan([group(1, 101)], Limits(document_minor_max=100))
    assert caught.value.code is Code.RANGE


@pytest.mark.parametrize("name", ["rows_max", "document_minor_max", "documents_per_day_max", "name_bytes_max"])
def test_limits_that_let_nothing_through_are_refused(name: str) -> None:
    """Every limit is at least one."""
    with pytest.raises(Refused, match=name):
        check_limits(Limits(**{name: 0}))


codes_of = st.text("ABZ09_", min_size=2, max_size=16).filter(lambda code: code.strip("_"))
references_of = st.tuples(
    codes_of,
    st.dates(dt.date(2014, 1, 1), dt.date(2099, 12, 31)),
    st.integers(1, 99_999),
    st.sampled_from(("", "B", "Q")),
)


@given(references_of, references_of)
def test_references_never_meet(one: tuple[str, dt.date, int, str], other: tuple[str, dt.date, int, str]) -> None:
    """1 to 30 of [A-Z0-9], and equal only for the same Bank (but for underscores), day, number and mark."""
    first, second = (reference(code, day, number, mark=mark) for code, day, number, mark in (one, other))
    assert first.isascii()
    assert first.isalnum()
    assert first.upper() == first
    assert len(first) <= 30
    same = (one[0].replace("_", ""), *one[1:]) == (other[0].replace("_", ""), *other[1:])
    assert (first == second) is same


def test_a_reference_is_readable() -> None:
    """Bank, day and number stand in it in this order."""
    assert reference("BANK_A", DAY, 7) == "BANKA2015061500007"
    assert reference("BANK_A", DAY, 7, mark="B") == "BANKA20150615B00007"


@pytest.mark.parametrize(
    ("code", "number", "mark"),
    [("BANKA", 0, ""), ("BANKA", 100_000, ""), ("bank", 1, ""), ("__", 1, ""), ("BANKA", 1, "QQ")],
)
def test_no_reference_is_made_of_what_does_not_fit(code: str, number: int, mark: str) -> None:
    """A number beyond five digits, a code that no Bank has, a mark that is no letter."""
    with pytest.raises(Refused):
        reference(code, DAY, number, mark=mark)


def test_codes_that_share_references_are_refused() -> None:
    """Two Banks whose codes differ by an underscore cannot both be configured."""
    check_codes(["BANKA", "BANK_B", "BANKA"])
    with pytest.raises(Refused) as caught:
        check_codes(["BANK_A", "BANKB", "BANKA"])
    assert caught.value.code is Code.CONFLICT


def name(template: str, *, sequence: int = 3, customer: str = "FS01") -> str:
    """A name made as the product makes it: the template checked first."""
    check_template(template, customer=customer)
    return file_name(
        template, customer=customer, date=DAY, sequence=sequence, kind="payment", reference="BANKA2015061500003"
    )


def test_names_from_templates() -> None:
    """Every field in its place."""
    assert name("{customer}_{date}_{seq:04}.{kind}") == "FS01_20150615_0003.payment"
    assert name("{reference}.xml") == "BANKA2015061500003.xml"
    assert name("{date}{seq}") == "201506153"


BAD_TEMPLATES = [
    ("{customer}.txt", Code.FORMAT),  # all Documents of a day would have one name
    ("{date}.txt", Code.FORMAT),
    ("{reference!r}", Code.FORMAT),
    ("{reference:>40}", Code.FORMAT),
    ("{date}{seq:4}", Code.FORMAT),
    ("{date}{seq:{kind}}", Code.FORMAT),
    ("{reference.__class__}", Code.FORMAT),
    ("{reference}{}", Code.FORMAT),
    ("{reference}{0}", Code.FORMAT),
    ("{reference", Code.FORMAT),
    ("{reference}{amount}", Code.FORMAT),
    ("../{reference}", Code.PATH),
    ("a/{reference}", Code.PATH),
    (".{reference}", Code.PATH),
    ("-{reference}", Code.PATH),
    ("{reference}..txt", Code.PATH),
    ("{reference}.", Code.PATH),
    ("{reference}.tmp", Code.PATH),
    ("{reference} .txt", Code.PATH),
    ("{reference}\n", Code.PATH),
    ("佛山{reference}", Code.PATH),
    ("{{{reference}}}", Code.PATH),
    ("x" * 80 + "{reference}", Code.PATH),
]


@pytest.mark.parametrize(("template", "code"), BAD_TEMPLATES)
def test_a_bad_template_is_refused_when_it_is_read(template: str, code: Code) -> None:
    """Names that would repeat, reach out of the folder, or be longer than we take."""
    with pytest.raises(Refused) as caught:
        check_template(template, customer="FS01")
    assert caught.value.code is code


def test_a_sequence_beyond_its_width_is_refused() -> None:
    """A name one digit longer than agreed would not be the bank's: refused, not sent."""
    assert name("{date}{seq:02}", sequence=99).endswith("99")
    with pytest.raises(Refused) as caught:
        name("{date}{seq:02}", sequence=100)
    assert caught.value.code is Code.RANGE


@given(st.text(max_size=60), st.text(max_size=20))
def test_no_template_makes_a_name_that_we_do_not_take(template: str, customer: str) -> None:
    """Whatever operations write: a plain name, or an error of ours."""
    try:
        made = name(template + "{reference}", customer=customer)
    except SheyinError:
        return
    assert made.replace(".", "").replace("_", "").replace("-", "").isalnum()
    assert made.isascii()
    assert made[0] not in ".-_"
    assert len(made) <= 100
