"""Errors that say what is known about the money.

::

    SheyinError
     ├── Refused        our own rule says no; nothing was changed
     │    └── Conflict  an id that we know came back with other content
     ├── Malformed      bytes that cannot be read as what they claim to be; nothing was applied
     ├── Unverified     bytes that are not proven to come from whom they claim; nothing was applied
     ├── NotSent        surely nothing reached the bank: the same bytes may be sent
     ├── InDoubt        something may have reached the bank: ask, never send again on our own
     ├── Unavailable    a transport or server of ours is away; nothing is known to have happened
     └── Halt           an invariant is broken: the lane stops, the bytes are kept, a person is called

Every error carries a ``code`` (:class:`Code`), ``where`` (line, field, file) and ``what`` (the sentence for a person).
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Reject codes: the words a payer, a bank's programmer and an operator all see (PROMISES, section 3)."""

    DUP = "DUP"  # already done: acknowledged, no effect
    CONFLICT = "CONFLICT"  # same id, other content
    FORMAT = "FORMAT"  # not the shape at all
    SCHEMA = "SCHEMA"  # the shape, but a field is missing, extra or of another type
    RANGE = "RANGE"  # a number or date outside what is allowed
    TOTALS = "TOTALS"  # declared and counted totals differ
    SEQ = "SEQ"  # out of sequence, or an answer to something never sent
    SIG = "SIG"  # seal absent or wrong
    CERT = "CERT"  # certificate not pinned, expired, or for another purpose
    REPLAY = "REPLAY"  # valid once, not now
    SIZE = "SIZE"  # larger than the cap
    PATH = "PATH"  # a file name we do not take
    AUTH = "AUTH"  # not allowed to
    POLICY = "POLICY"  # against a rule of the bureau or the agreement
    TRUNCATED = "TRUNCATED"  # the end is missing
    CHARSET = "CHARSET"  # a character that the bank's charset lacks
    NAME = "NAME"  # a name with characters no name has
    NAME_ID = "NAME_ID"  # an id number that fails its own check
    UNKNOWN_CODE = "UNKNOWN_CODE"  # a bank's code that no table has
    UNKNOWN_REF = "UNKNOWN_REF"  # a reference that is not ours, or not that bank's
    SUSPECT_DUPLICATE = "SUSPECT_DUPLICATE"  # same person, item, period and amount under another id


class SheyinError(Exception):
    """Root of the tree; ``money`` is the sentence on what may have happened to money."""

    money = "nothing has moved"
    default = Code.POLICY

    def __init__(self, what: str, *, code: Code | None = None, where: str = "") -> None:
        super().__init__(what)
        self.code = code or self.default
        self.what = what
        self.where = where

    def __str__(self) -> str:
        place = f" at {self.where}" if self.where else ""
        return f"{self.code}{place}: {self.what}"


class Refused(SheyinError):
    """Our own rule says no; nothing was changed."""


class Conflict(Refused):
    """Same id, other content: the first version stands (P3)."""

    default = Code.CONFLICT


class Malformed(SheyinError):
    """The bytes cannot be read as what they claim to be; nothing was applied."""

    default = Code.FORMAT


class Unverified(SheyinError):
    """The bytes are not proven to come from whom they claim; nothing was applied (P7)."""

    default = Code.SIG


class NotSent(SheyinError):
    """Surely nothing reached the bank; the same bytes may be sent again."""

    money = "nothing has reached the bank"


class InDoubt(SheyinError):
    """Something may have reached the bank: ask; never send again unasked (P14)."""

    money = "the bank may have the Document: inquire before anything else"


class Unavailable(SheyinError):
    """A server of ours is away (broker, ledger, archive, signing engine); nothing is known to have happened."""

    money = "nothing is known to have happened; the ledger decides"


class Halt(SheyinError):
    """An invariant is broken: stop the lane, keep the bytes, call a person (P14)."""

    money = "the books do not agree: stop and look"
