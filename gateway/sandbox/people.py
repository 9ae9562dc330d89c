"""Synthetic people of the reference month: each a pure function of its ordinal and of its own 128 bits of chance.

Ids are right by GB 11643 with the division codes of Foshan's five districts, cards by Luhn under fictional BINs. Both are
unique by construction: ordinals go through a permutation (a stride coprime with the size), so no set of those already used
is kept and memory does not grow.

Everybody was born from July 1945 (so under 70 all through June 2015) to June 1965, those from July 1955 on are women: the
ages at which pensions are drawn. The weights of the districts are assumed.
"""

from __future__ import annotations

import datetime as dt
import struct
from functools import cache
from random import Random
from typing import NamedTuple

from gateway.core.ids import check_character, luhn_digit
from gateway.sandbox.names_data import (
    FEMALE,
    MALE,
    MINORITY_FATHER,
    MINORITY_GIVEN,
    MISTAKEN,
    RARE,
    SURNAMES,
)

MIDDLE_DOT = "\u00b7"
#: Division code → district, with its weight in tenths (assumed).
DISTRICTS = {
    "440604": ("禅城", 2),
    "440605": ("南海", 3),
    "440606": ("顺德", 3),
    "440607": ("三水", 1),
    "440608": ("高明", 1),
}


class Person(NamedTuple):
    """One synthetic person."""

    name: str
    id_number: str
    district: str


class Chance(NamedTuple):
    """128 bits of one person's own: who it is and where it banks; and how much it gets."""

    self: int
    pay: int


def chances(seed: int, chunk: int, count: int) -> list[Chance]:
    """The chances of ``count`` people of one chunk; the same for the same seed and chunk on every machine."""
    raw = Random(f"{seed}/{chunk}").randbytes(16 * count)  # noqa: S311 - repeatable on purpose; nothing is kept secret by it
    return list(map(Chance._make, struct.iter_unpack("<QQ", raw)))


# --- ids ---------------------------------------------------------------------------------------------------------

_SLOTS = tuple(code for code, (_, tenths) in DISTRICTS.items() for _ in range(tenths))
_PLACES = tuple(_SLOTS[:slot].count(code) for slot, code in enumerate(_SLOTS))
_FIRST, _FIRST_LATE, _END = dt.date(1945, 7, 1), dt.date(1955, 7, 1), dt.date(1965, 7, 1)
_BIRTHS = tuple(f"{_FIRST + dt.timedelta(days):%Y%m%d}" for days in range((_END - _FIRST).days))
_LATE = (_FIRST_LATE - _FIRST).days
_SERIALS = 120  # per slot and day; with three places of one district up to 360 serials of either sort
PEOPLE_MAX = len(_SLOTS) * len(_BIRTHS) * _SERIALS
#: Near the golden section of PEOPLE_MAX and coprime with it: neighbours are far apart and nobody comes twice.
_STRIDE = 5_417_687
_YEARS_TO_A_CHILD = 25


def _first17(ordinal: int, *, younger_years: int = 0) -> str:
    slot, rest = divmod(ordinal * _STRIDE % PEOPLE_MAX, len(_BIRTHS) * _SERIALS)
    day, place = divmod(rest, _SERIALS)
    serial = 1 + _PLACES[slot] * _SERIALS + place
    birth = _BIRTHS[day]
    if younger_years:
        birth = f"{int(birth[:4]) + younger_years}{'0228' if birth[4:] == '0229' else birth[4:]}"
    # Late births get even serials: women. Early ones take both sexes as they come.
    return f"{_SLOTS[slot]}{birth}{serial if day < _LATE else 2 * serial:03}"


def _id_number(first17: str) -> str:
    return first17 + check_character(first17)


# --- names -------------------------------------------------------------------------------------------------------

_SURNAMES = tuple(surname for weight, surnames in SURNAMES.items() for surname in surnames.split() * weight)
_MANY = len(_SURNAMES)
_DOUBLES = {pair[0]: pair[1] for pair in MISTAKEN.split()}


def _name(chance: int, *, male: bool) -> str:
    """A name from 40 bits: one in 1,024 with the middle dot, four with a rare character, one in eight of one given character."""
    kind = chance & 1023
    if kind == 0:
        given = MINORITY_GIVEN[(chance >> 10) % len(MINORITY_GIVEN)]
        return given + MIDDLE_DOT + MINORITY_FATHER[(chance >> 20) % len(MINORITY_FATHER)]
    pool = MALE if male else FEMALE
    last = RARE[(chance >> 27) % len(RARE)] if kind < 5 else pool[(chance >> 27) % len(pool)]
    surname = _SURNAMES[(chance >> 10) % _MANY]
    if kind & 0b111 == 0b111:
        return surname + last
    return surname + pool[(chance >> 20 & 127) % len(pool)] + last


def mistaken(name: str) -> str:
    """The same name as a clerk at the bank typed it: the last character that has a double is replaced, or the last one."""
    for place in range(len(name) - 1, 0, -1):
        if name[place] in _DOUBLES:
            return name[:place] + _DOUBLES[name[place]] + name[place + 1 :]
    return name[:-1] + ("明" if name[-1] != "明" else "铭")


def person(ordinal: int, chance: Chance) -> Person:
    """Person number ``ordinal`` (0 to PEOPLE_MAX - 1); ids are unique over ordinals."""
    first17 = _first17(ordinal)
    return Person(_name(chance.self >> 24, male=first17[16] in "13579"), _id_number(first17), first17[:6])


def relative(ordinal: int, chance: Chance, *, child: bool) -> Person:
    """Somebody near that person, of about the same age or a generation younger; nobody that ``person`` gives as well."""
    first17 = _first17(PEOPLE_MAX - 1 - ordinal, younger_years=_YEARS_TO_A_CHILD if child else 0)
    return Person(_name(chance.pay, male=first17[16] in "13579"), _id_number(first17), first17[:6])


# --- cards -------------------------------------------------------------------------------------------------------


@cache
def _stride(digits: int) -> int:
    """Near the golden section of 10^digits and coprime with ten; at least nine digits."""
    return 618_033_987 * int("1" + "0" * (digits - 9)) + (0 if digits == 9 else 7)


def card(bin_prefix: str, digits: int, ordinal: int) -> str:
    """Card number ``ordinal`` of a bank: BIN, body, Luhn digit; unique over ordinals below 10^9 or the body's size."""
    size = digits - len(bin_prefix) - 1
    body = f"{bin_prefix}{(ordinal + 1) * _stride(size) % 10**size:0{size}}"
    return body + luhn_digit(body)
