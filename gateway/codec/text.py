"""Characters: what a charset holds, what no name holds, what XML holds. The only place that knows a charset by name.

Nothing here guesses: a charset comes from an agreement or from the file's own declaration, and text that it cannot
hold is refused with its code point, never cut and never replaced by ``?``.

Sources: GB 18030-2022, GBK 1.0 (as Python's codecs hold them), Unicode general categories and
Default_Ignorable_Code_Point, XML 1.0 section 2.2, Canonical XML 1.0 section 2.3 (escaping of text).
"""

from __future__ import annotations

import re
import unicodedata

from gateway.core.errors import Code, Refused

UTF_8 = "utf-8"
GB18030 = "gb18030"
GBK = "gbk"
#: Charsets that formats here are written in; each holds ASCII as it is.
CHARSETS = (UTF_8, GB18030, GBK)

# Han (both blocks fully assigned), ASCII letters, and the separators that stand in names on cards: · ' - . and a blank.
_PLAIN_NAME = re.compile("[\u4e00-\u9fff\u3400-\u4dbfA-Za-z\u00b7'. -]+")
# Default-ignorable characters that are letters or marks by category: they show nothing and make two names of one.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_NO_NAME_HAS = {
    "Cc": "a control character",
    "Cf": "an invisible formatting character",
    "Cn": "a code point that is not assigned",
    "Co": "a private-use character",
    "Cs": "half of a surrogate pair",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
_REPLACEMENT = "\ufffd"

_XML_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_XML_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def unencodable(text: str, charset: str) -> str:
    """The first character of ``text`` that ``charset`` lacks, or ``""``."""
    try:
        text.encode(charset)
    except UnicodeEncodeError as error:
        return text[error.start]
    return ""


def width(text: str, charset: str) -> int:
    """Bytes of ``text`` in ``charset``. Raises Refused CHARSET with the code point that it lacks."""
    try:
        return len(text.encode(charset))
    except UnicodeEncodeError as error:
        raise lacking(text[error.start], charset) from None


def lacking(character: str, charset: str) -> Refused:
    """The error for a character that a charset lacks."""
    return Refused(f"holds {spoken(character)}, which {charset} lacks", code=Code.CHARSET)


def spoken(character: str) -> str:
    """``"\\u200b"`` → ``"U+200B (ZERO WIDTH SPACE)"``: how a person is told of a character that may not show."""
    point = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "")
    return f"{point} ({name})" if name else point


def name_fault(text: str) -> str:
    """A sentence on why ``text`` cannot be a person's name, or ``""``. It never repeats the name.

    Refused are characters that no name has: controls, invisible formatting (zero width, bidirectional), variation
    selectors and fillers, unassigned and private-use code points, surrogates, the replacement character; and a name
    of blanks. Blanks inside, before and after a name are left as they are: comparing is ``core/names.py``'s.
    """
    if not text or text.isspace():
        return "is empty"
    if _PLAIN_NAME.fullmatch(text):
        return ""
    for character in text:
        kind = _NO_NAME_HAS.get(unicodedata.category(character), "")
        if not kind and _INVISIBLE.match(character):
            kind = "an invisible character"
        if not kind and character == _REPLACEMENT:
            kind = "the mark of a lost character"
        if kind:
            return f"holds {spoken(character)}, {kind} that no name has"
    return ""


def xml_illegal(text: str) -> str:
    """The first character of ``text`` that no XML 1.0 document may hold, even escaped, or ``""``."""
    found = _XML_ILLEGAL.search(text)
    return found[0] if found else ""


def xml_text(text: str) -> str:
    """``text`` as canonical XML writes it between tags: ``&``, ``<``, ``>`` and carriage return escaped, nothing else.

    Raises Refused CHARSET for a character that XML cannot hold.
    """
    # Nearly every value is letters and digits only; that test is the cheapest there is.
    if text.isalnum() or _XML_SPECIAL.search(text) is None:
        return text
    if illegal := xml_illegal(text):
        raise lacking(illegal, "XML")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#xD;")
