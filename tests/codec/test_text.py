"""Charsets, names and XML text: nothing is guessed, cut or replaced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway.codec.text import (
    CHARSETS,
    GB18030,
    GBK,
    UTF_8,
    lacking,
    name_fault,
    spoken,
    unencodable,
    width,
    xml_illegal,
    xml_text,
)
from gateway.core.errors import Code, Refused


@pytest.mark.parametrize(
    ("text", "charset", "character"),
    [
        ("张三", GBK, ""),
        ("阿卜杜拉·买买提", GBK, ""),  # U+00B7 is in GBK
        ("阿卜杜拉•买买提", GBK, "•"),  # U+2022 is not
        ("𠮷野", GBK, "𠮷"),
        ("李㛃", GBK, "㛃"),
        ("⽟", GBK, "⽟"),  # a Kangxi radical that looks like 玉
        ("𠮷野㛃•", GB18030, ""),
        ("𠮷野㛃•", UTF_8, ""),
        ("a\ud800", UTF_8, "\ud800"),
        ("a\ud800", GB18030, "\ud800"),
        ("", GBK, ""),
    ],
)
def test_the_first_character_that_a_charset_lacks(text: str, charset: str, character: str) -> None:
    """A21: rare characters and look-alikes are found by name, whichever charset the bank has."""
    assert unencodable(text, charset) == character


@given(st.text())
def test_a_text_has_a_width_or_lacks_a_character(text: str) -> None:
    """Width is the bytes really written; where there is none the error names the very character."""
    for charset in CHARSETS:
        lost = unencodable(text, charset)
        if lost:
            with pytest.raises(Refused, match=f"U\\+{ord(lost):04X}") as error:
                width(text, charset)
            assert error.value.code is Code.CHARSET
        else:
            assert width(text, charset) == len(text.encode(charset))


def test_widths_are_bytes() -> None:
    """The same name is wider or narrower by charset."""
    assert [width("张三·a", charset) for charset in CHARSETS] == [9, 7, 7]
    assert width("𠮷", GB18030) == 4


def test_a_character_is_told_by_code_point_and_name() -> None:
    """A person cannot see a zero width space: the message says what it is."""
    assert spoken("\u200b") == "U+200B (ZERO WIDTH SPACE)"
    assert spoken("\ue78d") == "U+E78D"
    assert str(lacking("𠮷", GBK)) == "CHARSET: holds U+20BB7 (CJK UNIFIED IDEOGRAPH-20BB7), which gbk lacks"


@pytest.mark.parametrize(
    "name",
    [
        "张三",
        "欧阳娜娜",
        "阿卜杜拉·买买提",
        "阿卜杜拉•买买提",
        "艾力‧买买提",
        "𠮷野家",
        "㛃",
        "Li Wei",
        "O'Neil-Smith Jr.",
        "Renée",
        " 张三 ",
        "张　三",
    ],
)
def test_names_that_may_be_names(name: str) -> None:
    """Rare characters, three kinds of middle dot, foreign names and blanks are left alone."""
    assert name_fault(name) == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("\u3000", "is empty"),
        ("张\u200b三", "U+200B"),
        ("张\u202e三", "U+202E"),
        ("张\u2066三", "U+2066"),
        ("\ufeff张三", "U+FEFF"),
        ("张\x00三", "U+0000"),
        ("张三\n", "U+000A"),
        ("张\x85三", "U+0085"),
        ("张\u2028三", "a line separator"),
        ("张\ue78d", "private-use"),  # what GB18030's A6D9 decodes to
        ("张\U000f0000", "private-use"),
        ("张\uffff", "not assigned"),
        ("张\U0003fff0", "not assigned"),
        ("张\ud842", "surrogate"),
        ("葛\U000e0100", "invisible"),
        ("张\u3164", "invisible"),
        ("张\ufffd", "lost character"),
    ],
)
def test_names_that_no_one_has(name: str, words: str) -> None:
    """A20: what does not show, is not assigned, or was lost on the way holds the payment; the sentence tells it, never the name."""
    fault = name_fault(name)
    assert words in fault
    assert "张三" not in fault


@given(st.text())
def test_name_faults_agree_with_their_own_slow_path(name: str) -> None:
    """The fast path lets nothing through that the look at each character would stop: a forbidden one keeps being found."""
    assert name_fault(name + "\u200b")
    assert name_fault("\u202d" + name)


@given(st.text())
def test_xml_text_is_what_canonical_xml_writes(text: str) -> None:
    """Escaped text parses back to itself and canonicalises to itself; else a character is named that XML cannot hold."""
    if illegal := xml_illegal(text):
        with pytest.raises(Refused, match=f"U\\+{ord(illegal):04X}"):
            xml_text(text)
        return
    document = f"<a>{xml_text(text)}</a>".encode()
    root = etree.fromstring(document)
    assert (root.text or "") == text
    assert etree.tostring(root, method="c14n", exclusive=True) == document


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f", "\ud800", "\ufffe", "\uffff"])
def test_characters_that_xml_cannot_hold(character: str) -> None:
    """They are refused, because escaping does not help."""
    assert xml_illegal(f"a{character}b") == character
