"""Money: an integer number of minor units (fen) with its currency, and nothing else.

Decimal text exists only at a bank's or a person's edge; it is read by one ASCII pattern and never passes through a float.
Minor units per currency: ISO 4217 (only those that differ from two are listed).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from gateway.core.errors import Code, Malformed

CNY = "CNY"
#: ISO 4217 exponents that are not 2; the gateway pays CNY only, ``inspect`` reads any.
_EXPONENTS = {"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3} | dict.fromkeys(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0
)
_DECIMAL = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,5})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
#: The largest amount of one payment that any contract takes: CNY 10 million. A larger benefit is a mistake.
PAYMENT_MINOR_MAX = 1_000_000_000
#: The largest total of one Run: CNY 100 billion.
RUN_MINOR_MAX = 10_000_000_000_000


class Totals(msgspec.Struct, frozen=True):
    """How many payments and how much together, in minor units. Not a tuple: those have a ``count`` of their own."""

    count: int = 0
    minor: int = 0

    def plus(self, other: Totals) -> Totals:
        """The two together."""
        return Totals(self.count + other.count, self.minor + other.minor)


def total(amounts: Iterable[int]) -> Totals:
    """Count and sum of amounts in minor units, in one pass."""
    count = minor = 0
    for amount in amounts:
        count += 1
        minor += amount
    return Totals(count, minor)


def exponent(currency: str) -> int:
    """Digits after the point for ``currency``: 2 unless ISO 4217 says otherwise."""
    return _EXPONENTS.get(currency, 2)


def parse_decimal(text: str, currency: str = CNY, *, where: str = "amount") -> int:
    """``"1234.5"`` → ``123450`` minor units.

    Raises Malformed: FORMAT for anything but plain ASCII digits with at most one point (no sign, no exponent, no spaces, no
    full-width digits), RANGE for more significant decimals than the currency has.
    """
    if not _DECIMAL.fullmatch(text):
        raise Malformed(f"not a plain decimal amount: {text[:40]!r}", code=Code.FORMAT, where=where)
    if not _CURRENCY.fullmatch(currency):
        raise Malformed(f"not a currency code: {currency[:10]!r}", code=Code.FORMAT, where=where)
    digits = exponent(currency)
    whole, _, fraction = text.partition(".")
    if fraction[digits:].strip("0"):
        raise Malformed(f"{currency} has {digits} decimals, got {text}", code=Code.RANGE, where=where)
    return int(whole + fraction[:digits].ljust(digits, "0"))


def decimal(minor: int, currency: str = CNY) -> str:
    """``123450`` → ``"1234.50"``: plain digits, always the currency's full number of decimals, ``-`` in front if negative."""
    digits = exponent(currency)
    sign, body = ("-", str(-minor)) if minor < 0 else ("", str(minor))
    if not digits:
        return sign + body
    body = body.rjust(digits + 1, "0")
    return f"{sign}{body[:-digits]}.{body[-digits:]}"


def spoken(minor: int, currency: str = CNY) -> str:
    """``679840000`` → ``"CNY 6,798,400.00"``: for people only, never parsed again."""
    text = decimal(abs(minor), currency)
    whole, point, fraction = text.partition(".")
    return f"{currency} {'-' if minor < 0 else ''}{int(whole):,}{point}{fraction}"
