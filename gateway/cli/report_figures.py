"""The report's figures: what each bank and district came to, and why what is not paid is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.core.states import AttemptState
from gateway.core.verdicts import MEANINGS, Verdict


class Share(NamedTuple):
    """What one bank, district or all together came to."""

    name: str
    ordered: int
    minor: int
    first: int  # paid at the first try
    later: int  # paid by a second payment

    @property
    def paid(self) -> int:
        """Paid by now."""
        return self.first + self.later

    @property
    def missing(self) -> int:
        """Not paid by now."""
        return max(0, self.ordered - self.paid)

    def percent(self, count: int) -> str:
        """``count`` of what was ordered, in per cent with three decimals, rounded down: 100.000 % means all."""
        thousandths = count * 100_000 // self.ordered if self.ordered else 0
        return f"{thousandths // 1000}.{thousandths % 1000:03} %"


def shares(found: dict[str, Any], by: str) -> list[Share]:
    """Success by ``bank`` or ``district``. A second payment at another bank counts there."""
    return _summed(found, lambda row: str(row[by]))


def total(found: dict[str, Any]) -> Share:
    """All together."""
    return next(iter(_summed(found, lambda _: "")), Share("", 0, 0, 0, 0))


def _summed(found: dict[str, Any], name: Callable[[dict[str, Any]], str]) -> list[Share]:
    summed: dict[str, list[int]] = {}
    for number, rows in enumerate((found["first"], found["later"])):
        for row in rows:
            figures = summed.setdefault(name(row), [0, 0, 0, 0])
            if number == 0:
                figures[0] += row["count"]
                figures[1] += row["minor"]
            if row["state"] == AttemptState.PAID:
                figures[2 + number] += row["count"]
    return [Share(key, *figures) for key, figures in sorted(summed.items())]


def verdicts(rows: list[dict[str, Any]]) -> list[tuple[str, str, int, int]]:
    """(state, verdict, count, fen) of everything that is not paid, most frequent first."""
    summed: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row["state"] != AttemptState.PAID:
            figures = summed.setdefault((row["state"], row["verdict"]), [0, 0])
            figures[0] += row["count"]
            figures[1] += row["minor"]
    found = [(state, verdict, n, minor) for (state, verdict), (n, minor) in summed.items()]
    return sorted(found, key=lambda one: (-one[2], one[0], one[1]))


def words(verdict: str) -> tuple[str, str]:
    """A verdict in Chinese and English."""
    meaning = MEANINGS.get(Verdict(verdict)) if verdict in set(Verdict) else None
    return (meaning.zh, meaning.en) if meaning else (verdict, verdict)


def plain(share: Share) -> dict[str, Any]:
    """For programs."""
    return {
        "name": share.name, "ordered": share.ordered, "minor": share.minor, "paid_first": share.first, "paid_later": share.later,
        "missing": share.missing,
    }  # fmt: skip
