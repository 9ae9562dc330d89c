"""Money: text to fen and back without a loss, and nothing taken for an amount that is none."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code, Malformed
from gateway.core.money import Totals, decimal, exponent, parse_decimal, spoken, total

currencies = st.sampled_from(("CNY", "USD", "JPY", "KWD", "XOF", "BHD"))


@given(st.integers(0, 10**18 - 1), currencies)
def test_there_and_back(minor: int, currency: str) -> None:
    """Whatever is written can be read again, to the fen."""
    assert parse_decimal(decimal(minor, currency), currency) == minor


@given(st.integers(-(10**20), 10**20), currencies)
def test_the_text_is_the_number(minor: int, currency: str) -> None:
    """Against the standard library's Decimal: the text is the amount in whole units, with all its decimals."""
    text = decimal(minor, currency)
    assert Decimal(text).scaleb(exponent(currency)) == minor
    assert len(text.partition(".")[2]) == exponent(currency)


@given(st.from_regex(r"[0-9]{1,18}(\.[0-9]{1,5})?", fullmatch=True), currencies)
def test_a_plain_amount_is_read_exactly_or_refused(text: str, currency: str) -> None:
    """Never rounded: a significant digit too many is RANGE."""
    exact = Decimal(text).scaleb(exponent(currency))
    if exact == exact.to_integral_value():
        assert parse_decimal(text, currency) == exact
    else:
        with pytest.raises(Malformed) as caught:
            parse_decimal(text, currency)
        assert caught.value.code is Code.RANGE


# PROMISES, section 3, A8 to A10: what Python's own number types take and a bank never means.
NOT_AMOUNTS = ["", " ", "1 ", " 1", "1\n", "1_000", "1,000.00", "１２", "1e3", "+1", "-1", "-0", ".5", "5.", "1.2.3"]
NOT_AMOUNTS += ["0x10", "NaN", "Infinity", "1.000000", "9" * 19, "9" * 5_000, "٣", "1\u200b", "½", "1.٣", "CNY1"]


@pytest.mark.parametrize("text", NOT_AMOUNTS, ids=lambda text: repr(text[:12]))
def test_what_is_no_plain_amount_is_malformed(text: str) -> None:
    """Signs, exponents, separators, spaces, other digits, lengths that no amount has; and the error shows little of it."""
    with pytest.raises(Malformed) as caught:
        parse_decimal(text, where="line 3")
    assert caught.value.code is Code.FORMAT
    assert caught.value.where == "line 3"
    assert len(str(caught.value)) < 120


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_malformed(text: str) -> None:
    """No other error, whatever comes."""
    try:
        minor = parse_decimal(text)
    except Malformed:
        return
    assert minor == Decimal(text).scaleb(2)


@pytest.mark.parametrize("currency", ["", "cny", "CNYX", "CN", "ＣＮＹ", "CNY\n"])
def test_a_currency_is_three_capitals(currency: str) -> None:
    """Anything else is no currency, whatever the amount."""
    with pytest.raises(Malformed):
        parse_decimal("1.00", currency)


@given(st.lists(st.integers(1, 10**12)))
def test_totals_count_and_sum(amounts: list[int]) -> None:
    """Count and sum in one pass over any iterable, and parts add up to the whole."""
    assert total(iter(amounts)) == Totals(len(amounts), sum(amounts))
    half = len(amounts) // 2
    assert total(amounts[:half]).plus(total(amounts[half:])) == total(amounts)


def test_people_read_thousands() -> None:
    """For people only: currency, thousands, decimals, sign."""
    assert spoken(67_984_000_000) == "CNY 679,840,000.00"
    assert spoken(-5) == "CNY -0.05"
    assert spoken(1_234, "JPY") == "JPY 1,234"
