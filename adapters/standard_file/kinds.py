"""Kinds of standard file: what each is for, which lines it holds, which of the header's fields it fills."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from gateway.core.bank import DocKind


class FileKind(StrEnum):
    """Field 4 of the header."""

    PAY = "PAY"
    RCT = "RCT"
    RES = "RES"
    RET = "RET"
    INQ = "INQ"
    ANS = "ANS"


DOC_KINDS = {
    FileKind.PAY: DocKind.PAYMENT,
    FileKind.RCT: DocKind.RECEIPT,
    FileKind.RES: DocKind.RESULT,
    FileKind.RET: DocKind.RETURN,
    FileKind.INQ: DocKind.INQUIRY,
    FileKind.ANS: DocKind.ANSWER,
}
#: Kinds and record types that later versions of the specification fill; refused until then.
RESERVED_KINDS = ("WLR", "WLA", "NCR", "NCA", "NVR", "NVA", "CST", "CSA", "STM")
RESERVED_RECORDS = ("W", "C", "V", "K", "S", "X")

#: Which lines a kind of file holds; a receipt has none.
LINES: dict[FileKind, str] = {
    FileKind.PAY: "D",
    FileKind.RCT: "",
    FileKind.RES: "R",
    FileKind.RET: "N",
    FileKind.INQ: "Q",
    FileKind.ANS: "R",
}


class Rule(NamedTuple):
    """Which of the header's optional fields a kind of file must fill and may fill; every other one stays empty."""

    must: frozenset[str]
    may: frozenset[str] = frozenset()


_ANSWERS = frozenset({"original", "original_kind", "original_digest", "status"})
_COUNTED = frozenset({"count", "total"})
RULES: dict[FileKind, Rule] = {
    FileKind.PAY: Rule(_COUNTED),
    FileKind.RCT: Rule(_ANSWERS, _COUNTED | {"text"}),  # a bank that could not read the file has no count to tell
    FileKind.RES: Rule(_ANSWERS | _COUNTED, frozenset({"text"})),
    FileKind.RET: Rule(_COUNTED),
    FileKind.INQ: Rule(frozenset({"original", "original_kind"}) | _COUNTED),
    # The digest is missing where the bank has no such file.
    FileKind.ANS: Rule(_ANSWERS - {"original_digest"} | _COUNTED | {"inquiry"}, frozenset({"original_digest", "text"})),
}
#: Kinds that may come in several parts.
IN_PARTS = (FileKind.RES, FileKind.ANS)
