"""Identity and card numbers: what can be checked without asking anyone, and the one place where they are masked.

GB 11643 (居民身份证, and with other division codes 港澳台居民居住证): six digits of division, eight of birth, three of
serial (odd: male), and a check character over weights 2^17 … 2^1 modulo 11, i.e. ISO 7064 MOD 11-2, ``X`` for ten.
Numbers of before 1999 have 15 digits: no century, no check character. Source: GB 11643-1999.

A number that fails is a doubt (the payment is held for a person), never a refusal. Luhn only warns: passbook accounts
need not pass it.
"""

from __future__ import annotations

import re

from gateway.core.contracts import IdType

_RESIDENT, _HMT = IdType.RESIDENT, IdType.HMT_RESIDENT
_CHECKED = (_RESIDENT, _HMT)
#: The check character by the weighted sum modulo 11.
CHECK_CHARACTERS = "10X98765432"
#: First two digits of a division code that resident ids carry (GB/T 2260 provinces of the mainland).
_PROVINCES = frozenset(
    (
        *("11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37"),
        *("41", "42", "43", "44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65"),
    )
)
_HMT_DIVISIONS = frozenset(("810000", "820000", "830000"))
#: In 15-digit numbers these serials were kept for people born before 1900: "19" would be the wrong century.
_CENTENARIAN_SERIALS = frozenset(("996", "997", "998", "999"))
_EARLIEST_BIRTH, _LATEST_BIRTH = "18700101", "20991231"

_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_COMMON_DAYS = frozenset(
    f"{month:02}{day:02}" for month, days in enumerate(_MONTH_DAYS, 1) for day in range(1, days + 1)
)


def _weighed(weight: int) -> dict[str, int]:
    """Three digits → their share of the weighted sum modulo 11, where the last of the three weighs ``weight``."""
    return {f"{a}{b}{c}": (4 * a + 2 * b + c) * weight % 11 for a in range(10) for b in range(10) for c in range(10)}


# The weight of digit i (0-based) is 2^(17-i) mod 11: five groups of three digits, then one of two. Six look-ups instead
# of seventeen multiplications; a group that is not all ASCII digits is no key.
_G0, _G1, _G2, _G3, _G4 = (_weighed(2 ** (15 - 3 * group)) for group in range(5))
_LAST_TWO = {f"{a}{b}": (4 * a + 2 * b) % 11 for a in range(10) for b in range(10)}

#: Shapes of the documents without a check digit. Wide on purpose: a false doubt holds somebody's pension.
_SHAPES: dict[IdType, tuple[re.Pattern[str], str]] = {
    IdType.PASSPORT: (re.compile(r"[A-Z0-9]{5,17}", re.ASCII), "a passport number has 5 to 17 letters and digits"),
    IdType.HM_PERMIT: (
        re.compile(r"[HM][0-9]{8}(?:[0-9]{2})?", re.ASCII),
        "a permit of Hong Kong or Macao residents is H or M and 8 or 10 digits",
    ),
    IdType.TW_PERMIT: (
        re.compile(r"[0-9]{8}|[0-9]{10}(?:\([A-Z0-9]\))?|[0-9]{10}[A-Z]", re.ASCII),
        "a permit of Taiwan residents has 8 digits, or 10 and a letter",
    ),
    IdType.FOREIGN_RESIDENT: (
        re.compile(r"[A-Z]{3}[0-9]{12}|9[0-9]{16}[0-9X]", re.ASCII),
        "a permanent resident's number is three letters and 12 digits, or 18 characters from 9",
    ),
    IdType.OTHER: (re.compile(r"[0-9A-Z()/-]{4,32}", re.ASCII), "an id number has 4 to 32 letters and digits"),
}


def check_character(first17: str) -> str:
    """The 18th character for 17 ASCII digits. Raises KeyError for anything else (callers have checked the shape)."""
    weighted = _G0[first17[:3]] + _G1[first17[3:6]] + _G2[first17[6:9]] + _G3[first17[9:12]] + _G4[first17[12:15]]
    return CHECK_CHARACTERS[(weighted + _LAST_TWO[first17[15:17]]) % 11]


def id_fault(id_type: IdType, number: str, *, latest_birth: str = _LATEST_BIRTH) -> str:
    """``""`` if the number can be one of its kind, else the sentence for the person who must look (NAME_ID).

    ``latest_birth`` is ``YYYYMMDD``: nobody is born after it; the flow gives its today. Never raises. About 1 µs for a
    number that is right.
    """
    if id_type in _CHECKED and len(number) == 18:
        try:
            weighted = _G0[number[:3]] + _G1[number[3:6]] + _G2[number[6:9]] + _G3[number[9:12]] + _G4[number[12:15]]
            good = CHECK_CHARACTERS[(weighted + _LAST_TWO[number[15:17]]) % 11] == number[17]
        except KeyError:
            good = False
        if (
            good
            and number[10:14] in _COMMON_DAYS
            and _EARLIEST_BIRTH <= number[6:14] <= latest_birth
            and (number[:2] in _PROVINCES if id_type is _RESIDENT else number[:6] in _HMT_DIVISIONS)
        ):
            return ""
    return _explain(id_type, number, latest_birth)


def _explain(id_type: IdType, number: str, latest_birth: str) -> str:
    """The slow path: which rule it is, or that there is none after all (15 digits, 29 February, small x)."""
    upper = number.upper()
    if id_type not in _CHECKED:
        pattern, sentence = _SHAPES[id_type]
        return "" if pattern.fullmatch(upper) else sentence
    if re.fullmatch(r"[0-9]{15}", upper, re.ASCII):
        if id_type is _HMT:
            return "a residence permit of Hong Kong, Macao and Taiwan residents has 18 characters, never 15"
        if upper[12:] in _CENTENARIAN_SERIALS:
            return f"15 digits with serial {upper[12:]}: the century of birth is not certain"
        upper = _eighteen(upper)
    elif not re.fullmatch(r"[0-9]{17}[0-9X]", upper, re.ASCII):
        return f"an id number has 15 digits or 17 digits and a check character; this has {len(number)} characters"
    if id_type is _RESIDENT and upper[:6] in _HMT_DIVISIONS:
        return "the number of a residence permit of Hong Kong, Macao and Taiwan residents, given as a resident id"
    if id_type is _RESIDENT and upper[:2] not in _PROVINCES:
        return f"no province has the division code {upper[:2]}"
    if id_type is _HMT and upper[:6] not in _HMT_DIVISIONS:
        return "a residence permit of Hong Kong, Macao and Taiwan residents begins with 810000, 820000 or 830000"
    if not _is_birth(upper[6:14], latest_birth):
        return "the birth date in the number is no plausible date"
    return "" if check_character(upper[:17]) == upper[17] else "the check character is wrong"


def _is_birth(text: str, latest: str) -> bool:
    year = int(text[:4])
    leap_day = text[4:] == "0229" and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return (leap_day or text[4:] in _COMMON_DAYS) and _EARLIEST_BIRTH <= text <= latest


def _eighteen(fifteen: str) -> str:
    first17 = f"{fifteen[:6]}19{fifteen[6:]}"
    return first17 + check_character(first17)


def canonical_id(id_type: IdType, number: str) -> str:
    """The one spelling that the person's hash is made of: upper case, and 18 characters for a resident id of 15 digits.

    A 15-digit number whose century is not certain stays as it is, as does anything malformed. Never raises.
    """
    upper = number.upper()
    fifteen = id_type is _RESIDENT and len(upper) == 15 and upper.isascii() and upper.isdigit()
    return _eighteen(upper) if fifteen and upper[12:] not in _CENTENARIAN_SERIALS else upper


_PLAIN = bytes(byte - 48 if 48 <= byte <= 57 else 0 for byte in range(256))
_DOUBLED = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[byte - 48] if 48 <= byte <= 57 else 0 for byte in range(256))


def luhn_digit(body: str) -> str:
    """The last digit that makes ``body`` (ASCII digits) a number which passes Luhn's test (ISO/IEC 7812-1)."""
    raw = body.encode()
    return str(-(sum(raw.translate(_DOUBLED)[::-2]) + sum(raw.translate(_PLAIN)[-2::-2])) % 10)


def luhn_ok(number: str) -> bool:
    """Whether a card number passes Luhn's test (ISO/IEC 7812-1). False only ever warns: passbooks need not pass."""
    if not (number.isascii() and number.isdigit()):
        return False
    raw = number.encode()
    return (sum(raw.translate(_PLAIN)[::-2]) + sum(raw.translate(_DOUBLED)[-2::-2])) % 10 == 0


# --- masking -------------------------------------------------------------------------------------------------


def mask_id(number: str) -> str:
    """``110101194912310021`` → ``110***********0021``; of fewer than 15 characters, one in front and two at the end."""
    if len(number) >= 15:
        return f"{number[:3]}{'*' * (len(number) - 7)}{number[-4:]}"
    if len(number) >= 7:
        return f"{number[0]}{'*' * (len(number) - 3)}{number[-2:]}"
    return "*" * len(number)


def mask_account(number: str) -> str:
    """The last four: ``****1234``; of a number shorter than eight only the last two. The length is not told."""
    if not number:
        return ""
    return f"****{number[-4:]}" if len(number) >= 8 else f"****{number[-2:] if len(number) >= 5 else ''}"


def mask_name(name: str) -> str:
    """The first character and two stars, whatever the length: ``张**``."""
    return f"{name[0]}**" if name else ""
