"""Values of XML messages in GBK whose widths are bytes: what fits, what is refused, and why.

Users: formats of banks whose programs write GBK and count bytes (``Z(n)``). Controls are never written: some parsers take them for the end of
a line or of a value. Sources: GBK 1.0, XML 1.0 section 2.2.
"""

from __future__ import annotations

import re

from gateway.codec.text import GBK, lacking, spoken, unencodable, width, xml_text
from gateway.core.errors import Code, Refused

CHARSET = GBK
DECLARATION = '<?xml version="1.0" encoding="GBK"?>'
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
#: The use of the money, as a statement shows it.
_USES = {
    "pension": "养老金",
    "unemployment": "失业保险金",
    "work_injury_one_off": "工伤保险待遇",
    "work_injury_long_term": "工伤保险待遇",
    "medical": "医疗保险待遇",
    "maternity": "生育保险待遇",
}
_USE = "社会保险待遇"


def use_of(benefit: str) -> str:
    """What the money is for in at most 12 bytes of GBK, by benefit line."""
    return _USES.get(benefit, _USE)


def encodable(text: str) -> str:
    """The first character that GBK lacks or that no value may hold (controls), or ""."""
    first = unencodable(text, CHARSET)
    control = _CONTROL.search(text.partition(first)[0] if first else text)
    return control[0] if control else first


def fitted(text: str, most: int, field: str, line: int | str) -> str:
    """The value as XML; ``most`` counts bytes of GBK. Raises Refused CHARSET, SIZE (also for an empty one); no message repeats the value."""
    try:
        size = len(text.encode(CHARSET))
    except UnicodeEncodeError:
        size = 0
    if 0 < size <= most:
        return text if text.isalnum() else _escaped(text, most, field, line)
    raise _unfit(text, most, field, line)


def element(tag: str, text: str) -> str:
    """``<tag>text</tag>``, or nothing for an empty text."""
    return f"<{tag}>{xml_text(text)}</{tag}>" if text else ""


def _escaped(text: str, most: int, field: str, line: int | str) -> str:
    if _CONTROL.search(text):
        raise _unfit(text, most, field, line)
    return xml_text(text)


def _unfit(text: str, most: int, field: str, line: int | str) -> Refused:
    where = f"{field} in line {line}"
    if control := _CONTROL.search(text):
        return Refused(f"holds {spoken(control[0])}", code=Code.CHARSET, where=where)
    if first := unencodable(text, CHARSET):
        return Refused(lacking(first, CHARSET).what, code=Code.CHARSET, where=where)
    return Refused(f"has {width(text, CHARSET)} bytes, must be 1..{most}", code=Code.SIZE, where=where)
