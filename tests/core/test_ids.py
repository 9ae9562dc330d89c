"""Identity and card numbers: GB 11643 against its own formula, Luhn against published numbers, masks that hide."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.contracts import IdType
from gateway.core.ids import (
    canonical_id,
    check_character,
    id_fault,
    luhn_digit,
    luhn_ok,
    mask_account,
    mask_id,
    mask_name,
)

# GB 11643-1999, written out: the module under test uses tables of three digits instead.
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHARACTERS = "10X98765432"
PUBLISHED = "11010519491231002X"  # the standard's own example

first17 = st.builds(
    lambda province, rest, born, serial: f"{province}{rest:04}{born:%Y%m%d}{serial:03}",
    st.sampled_from(("11", "31", "44", "50", "65")),
    st.integers(0, 9999),
    st.dates(dt.date(1900, 1, 1), dt.date(2030, 12, 31)),
    st.integers(1, 995),
)


def naive(digits: str) -> str:
    """The check character straight from the standard."""
    return CHARACTERS[sum(int(digit) * weight for digit, weight in zip(digits, WEIGHTS, strict=True)) % 11]


@given(st.text("0123456789", min_size=17, max_size=17))
def test_the_check_character_is_the_standards(digits: str) -> None:
    """The table look-up and the standard's formula agree on every 17 digits."""
    assert check_character(digits) == naive(digits)


@given(first17)
def test_a_right_number_has_no_fault(digits: str) -> None:
    """Every number with a province, a date that exists and the right check character passes, with small x too."""
    number = digits + naive(digits)
    assert id_fault(IdType.RESIDENT, number) == ""
    assert id_fault(IdType.RESIDENT, number.lower()) == ""
    assert canonical_id(IdType.RESIDENT, number.lower()) == number


@given(first17, st.integers(0, 17), st.integers(1, 9))
def test_one_wrong_digit_is_seen(digits: str, place: int, by: int) -> None:
    """MOD 11-2 finds every single wrong digit."""
    number = digits + naive(digits)
    if number[place] == "X":
        return
    wrong = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]
    assert id_fault(IdType.RESIDENT, wrong) != ""


@given(first17)
def test_two_digits_changed_over_are_seen(digits: str) -> None:
    """MOD 11-2 finds every swap of neighbours."""
    number = digits + naive(digits)
    for place in range(16):
        if number[place] != number[place + 1]:
            swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
            assert id_fault(IdType.RESIDENT, swapped) != ""


def test_the_published_number_passes() -> None:
    """The standard's own example is right."""
    assert id_fault(IdType.RESIDENT, PUBLISHED) == ""


FAULTS = [
    ("110105194912310021", "check character"),
    ("11010519491331002X", "birth date"),
    ("110105194902290026", "birth date"),  # 1949 had no 29 February
    ("990105194912310028", "no province"),
    ("1101051949123100", "characters"),
    ("11010519491231002X\n", "characters"),
    ("１１０１０５１９４９１２３１００２X", "characters"),
    ("11010519491231O02X", "characters"),
    ("", "characters"),
    ("440604000000996", "century"),
]


@pytest.mark.parametrize(("number", "words"), FAULTS)
def test_a_wrong_number_gets_its_sentence(number: str, words: str) -> None:
    """Each rule that a resident id can break is named."""
    assert words in id_fault(IdType.RESIDENT, number)


def test_leap_days_are_births() -> None:
    """29 February passes in a leap year, and only there; 1900 had none."""
    for year, right in ((1952, True), (2000, True), (1900, False), (1953, False)):
        digits = f"440604{year}0229123"
        assert (id_fault(IdType.RESIDENT, digits + naive(digits)) == "") is right


def test_nobody_is_born_after_today() -> None:
    """With the flow's day given, a later birth is a fault."""
    digits = "44060420150616001"
    number = digits + naive(digits)
    assert id_fault(IdType.RESIDENT, number, latest_birth="20150616") == ""
    assert "birth" in id_fault(IdType.RESIDENT, number, latest_birth="20150615")


def test_fifteen_digits_become_eighteen() -> None:
    """19 is inserted and the check character added: two spellings of one person make one hash."""
    assert id_fault(IdType.RESIDENT, "110105491231002") == ""
    assert canonical_id(IdType.RESIDENT, "110105491231002") == PUBLISHED
    assert canonical_id(IdType.RESIDENT, PUBLISHED) == PUBLISHED


@pytest.mark.parametrize("serial", [996, 997, 998, 999])
def test_a_centenarians_serial_asks_a_person(serial: int) -> None:
    """996 to 999 were kept for births of before 1900: no century is guessed, the number stays as it came."""
    number = f"110105491231{serial}"
    assert "century" in id_fault(IdType.RESIDENT, number)
    assert canonical_id(IdType.RESIDENT, number) == number


def test_residence_permits_of_hong_kong_macao_and_taiwan() -> None:
    """Same check character, own division codes, never 15 digits, and neither kind is taken for the other."""
    for division in ("810000", "820000", "830000"):
        digits = f"{division}19600101001"
        number = digits + naive(digits)
        assert id_fault(IdType.HMT_RESIDENT, number) == ""
        assert "residence permit" in id_fault(IdType.RESIDENT, number)
    assert "begins with" in id_fault(IdType.HMT_RESIDENT, PUBLISHED)
    assert "never 15" in id_fault(IdType.HMT_RESIDENT, "810000600101001")
    assert canonical_id(IdType.HMT_RESIDENT, "810000600101001") == "810000600101001"


OTHERS = [
    (IdType.PASSPORT, "E12345678", True),
    (IdType.PASSPORT, "e12345678", True),
    (IdType.PASSPORT, "E1", False),
    (IdType.HM_PERMIT, "H12345678", True),
    (IdType.HM_PERMIT, "M1234567801", True),
    (IdType.HM_PERMIT, "K12345678", False),
    (IdType.TW_PERMIT, "12345678", True),
    (IdType.TW_PERMIT, "1234567801(B)", True),
    (IdType.TW_PERMIT, "1234567", False),
    (IdType.FOREIGN_RESIDENT, "USA110057062901", True),
    (IdType.FOREIGN_RESIDENT, "911124198108030024", True),
    (IdType.FOREIGN_RESIDENT, "11010519491231002X", False),
    (IdType.OTHER, "AB-12/3(4)", True),
    (IdType.OTHER, "A 1", False),
]


@pytest.mark.parametrize(("kind", "number", "right"), OTHERS)
def test_other_documents_have_only_a_shape(kind: IdType, number: str, right: bool) -> None:
    """No check digit is claimed where none is known."""
    assert (id_fault(kind, number) == "") is right
    assert canonical_id(kind, number) == number.upper()


@given(st.sampled_from(IdType), st.text(max_size=40))
def test_no_text_breaks_the_checks(kind: IdType, text: str) -> None:
    """Whatever comes, there is an answer and no error."""
    assert isinstance(id_fault(kind, text), str)
    assert isinstance(canonical_id(kind, text), str)
    assert luhn_ok(text) in (True, False)


# ISO/IEC 7812-1 as in the card schemes' published test numbers.
@pytest.mark.parametrize("number", ["4111111111111111", "5500005555555559", "6011000990139424", "378282246310005", "0"])
def test_luhn_passes_published_numbers(number: str) -> None:
    """The schemes' test numbers pass, and with the last digit changed they do not."""
    assert luhn_ok(number)
    assert not luhn_ok(number[:-1] + str((int(number[-1]) + 1) % 10))


@given(st.text("0123456789", min_size=1, max_size=40))
def test_luhn_digit_makes_a_number_pass(body: str) -> None:
    """Exactly one last digit passes."""
    assert [digit for digit in "0123456789" if luhn_ok(body + digit)] == [luhn_digit(body)]


@pytest.mark.parametrize("text", ["", "4111 1111 1111 1111", "４１１１", "411111111111111a", "²"])
def test_luhn_takes_digits_only(text: str) -> None:
    """What is no plain number does not pass."""
    assert not luhn_ok(text)


def test_masks_as_promised() -> None:
    """PROMISES, section 5: id 110***********1234, account last four, name first character."""
    assert mask_id("110105194912311234") == "110***********1234"
    assert mask_account("9900010012345678") == "****5678"
    assert mask_name("欧阳建国") == "欧**"
    assert mask_name("𠮷田") == "𠮷**"
    assert mask_name("") == mask_account("") == mask_id("") == ""


@given(st.text("0123456789X", max_size=40))
def test_a_mask_hides_more_than_half(number: str) -> None:
    """However short the number, at most half of it is shown."""
    for mask in (mask_id, mask_account):
        assert len(mask(number).replace("*", "")) * 2 <= len(number)
