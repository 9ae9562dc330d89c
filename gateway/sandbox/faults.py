"""What goes wrong on request, applied to what the bank was going to say. Everything here is a lie told by a sealed document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gateway.core.verdicts import Verdict
from gateway.sandbox.config import Faults
from gateway.sandbox.orders import Booked, Twist

FOREIGN_REFERENCE = "999999999999"
_DIGIT = re.compile(rb"[0-9](?=[^0-9]*\Z)")


def touches(faults: Faults, nth: int) -> bool:
    """Whether the n-th payment file (1-based) is one that goes wrong."""
    return faults != Faults() and (not faults.documents or nth in faults.documents)


def twist(faults: Faults) -> Twist:
    """What the writer itself must do wrong."""
    return Twist(
        wrong_totals=faults.wrong_totals,
        unknown_original=faults.unknown_original,
        seal="" if faults.seal == "flipped" else faults.seal,
    )


def rows(faults: Faults, lines: Iterable[Booked]) -> Iterator[Booked]:
    """The lines of a result as a faulty bank tells them: the first ones with another amount, the next with an unknown code, the next with a
    reference that was never sent."""
    amounts = faults.wrong_amount
    unknown = amounts + faults.unknown_code
    foreign = unknown + faults.foreign_reference
    for index, line in enumerate(lines):
        if index < amounts:
            yield line._replace(minor=line.minor + 1)
        elif index < unknown:
            yield line._replace(verdict=Verdict.UNKNOWN_CODE)
        elif index < foreign:
            yield line._replace(reference=FOREIGN_REFERENCE + str(index))
        else:
            yield line


def turned(lines: Iterable[Booked]) -> Iterator[Booked]:
    """Paid told as failed, failed told as paid."""
    for line in lines:
        yield line._replace(verdict=Verdict.ACCOUNT_BLOCKED if line.verdict is None else None)


def damaged(faults: Faults, payload: bytes) -> bytes:
    """The bytes after the seal was made: cut, or with their last digit changed."""
    if faults.seal == "flipped":
        payload = _DIGIT.sub(lambda found: b"1" if found[0] != b"1" else b"2", payload)
    return payload[: len(payload) - faults.truncate_bytes] if faults.truncate_bytes else payload
