"""What an adapter is.

An **adapter** speaks one format and is a value: writers, readers, a code table, limits, seals and a route, all pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import BinaryIO, NamedTuple, Protocol, TypeVar

import msgspec

from gateway.core.bank import (
    Agreement,
    Bank,
    Block,
    CheckLine,
    DocKind,
    Head,
    Inquiry,
    Item,
    Limits,
    ListHead,
    PairLine,
    PayLine,
    PaymentHead,
    Row,
    Seal,
    SealSlot,
    WireKind,
)
from gateway.core.errors import Code, Halt, Refused
from gateway.core.route import Routes
from gateway.core.verdicts import Judgement, Verdict

O = TypeVar("O", bound=msgspec.Struct)  # noqa: E741 - a type variable for options


class Trust(StrEnum):
    """Where trust in inbound bytes comes from."""

    SEAL = "seal"  # every inbound byte is signed
    CHANNEL = "channel"  # the format has no seal; the wire is authenticated instead


# ---------------------------------------------------------------------------------------------------------------- codes


class CodeRow(NamedTuple):
    """One raw code of a bank or standard, with its meaning and where that is written."""

    family: str  # message family: "status", "return", ...
    set: str
    code: str
    verdict: Verdict
    words: str  # the code's own words
    source: str


class CodeTable(Mapping[tuple[str, str, str], CodeRow]):
    """Raw code → Verdict, keyed on (message family, code set, code): the same code means different things in different places."""

    def __init__(self, rows: Iterable[CodeRow]) -> None:
        self._rows: dict[tuple[str, str, str], CodeRow] = {}
        for row in rows:
            key = (row.family, row.set, row.code)
            if key in self._rows:
                raise ValueError(f"code listed twice: {key}")
            self._rows[key] = row

    def __getitem__(self, key: tuple[str, str, str]) -> CodeRow:
        return self._rows[key]

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def verdict(self, family: str, set_: str, code: str) -> Verdict:
        """The Verdict, or UNKNOWN_CODE: an unknown code is parked, never guessed."""
        row = self._rows.get((family, set_, code))
        return row.verdict if row else Verdict.UNKNOWN_CODE


def codes(family: str, set_: str, source: str, *rows: tuple[str, Verdict, str]) -> list[CodeRow]:
    """Rows of one family, set and source: ``("AC04", Verdict.ACCOUNT_CLOSED, "closed account number")``."""
    return [CodeRow(family, set_, code, verdict, words, source) for code, verdict, words in rows]


# ---------------------------------------------------------------------------------------------------------------- the adapter


class Judge(Protocol):
    """Classify one line's word in the light of its block and its Document; must be a pure function of its arguments."""

    def __call__(self, head: Head, block: Block | None, row: Row | None, agreement: Agreement) -> Judgement:
        """``row`` None asks about the block; ``block`` None as well asks about the whole Document."""
        ...


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Which Documents an adapter can write and read."""

    writes: frozenset[DocKind]
    reads: frozenset[DocKind]


class Adapter(msgspec.Struct, frozen=True, kw_only=True):
    """One format: the table of contents of its folder."""

    code: str
    title: str
    title_zh: str
    source: str  # whose specification
    confidence: str  # "certain", "likely", "partial" (see formats), "own" for our own specification
    trust: Trust
    seal: Seal | None
    charset: str
    limits: Limits
    capabilities: Capabilities
    routes: Mapping[WireKind, Routes]
    codes: CodeTable
    file_name: str  # default template: {customer} {date} {seq} {kind} {reference}
    write_payment: Callable[[PaymentHead, Iterable[PayLine], Bank], Iterator[bytes | SealSlot]] | None
    write_inquiry: Callable[[Inquiry, Bank], Iterator[bytes | SealSlot]] | None
    read: Callable[
        [BinaryIO], Iterator[Item]
    ]  # raises Malformed; strict about shape, generous about currency and codes
    sniff: Callable[[bytes], bool]  # do these first bytes look like this format?
    judge: Judge
    encodable: Callable[[str], str]  # the first character that the charset lacks, or ""
    write_check: Callable[[ListHead, Iterable[CheckLine], Bank], Iterator[bytes | SealSlot]] | None = None
    write_pairs: Callable[[ListHead, Iterable[PairLine], Bank], Iterator[bytes | SealSlot]] | None = None
    options: type[msgspec.Struct] | None = None  # what stands under ``format_options`` of its Banks

    @property
    def pays(self) -> bool:
        """Whether payments travel in it. No instruction may name a Bank whose format only tells of names and cards."""
        return self.write_payment is not None

    def payment(self, head: PaymentHead, lines: Iterable[PayLine], bank: Bank) -> Iterator[bytes | SealSlot]:
        """A payment Document, as a stream. Raises Refused for a line that does not fit, Halt where the format carries no payments."""
        if self.write_payment is None:
            raise Halt(f"{self.code} carries no payments")
        return self.write_payment(head, lines, bank)


def format_options(bank: Bank, type_: type[O]) -> O:
    """The Bank's options for its format. Raises Refused SCHEMA."""
    try:
        return msgspec.convert(dict(bank.format_options), type_)
    except msgspec.ValidationError as error:
        raise Refused(f"format_options: {error}", code=Code.SCHEMA, where=f"bank {bank.code}") from None
