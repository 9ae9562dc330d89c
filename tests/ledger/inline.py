"""The ledger's operations called in line, as the simulation calls them: plain SQLite in memory, one thread, no loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from gateway.core.ledger import Meta
from gateway.edge.atrest import AtRest
from gateway.edge.clock import ManualClock
from gateway.edge.ids import TimeIds
from gateway.edge.ledger import World
from gateway.edge.ledger.engine import SqliteDriver, Tx
from gateway.edge.ledger.schema import metadata
from tests.ledger.arrows import triggers
from tests.ledger.kit import CHECKER, MAKER, PAYER, START, Trap

P = ParamSpec("P")
R = TypeVar("R")


class Inline:
    """A fresh ledger with a maker and a checker, held to the agreed arrows."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self._driver = SqliteDriver("sqlite://", World(self.clock, TimeIds(self.clock), AtRest(bytes(32)), Trap()))
        self._messages = 0
        self.do(lambda tx: metadata.create_all(tx.c))
        for trigger in triggers():
            self.do(_run, trigger)
        for actor in (MAKER, CHECKER):
            self.do(
                _run,
                "INSERT INTO actor (id, name, kind, roles, created_ms) VALUES (:id, :id, 'person', 'maker checker', 0)",
                id=actor,
            )

    def do(self, operation: Callable[Concatenate[Tx, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """One operation in a transaction of its own."""
        return self._driver.write_here(lambda tx: operation(tx, *args, **kwargs))

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """What a query finds."""
        return self.do(lambda tx: tx.rows(sql, **values))

    def meta(self) -> Meta:
        """A message of its own."""
        self._messages += 1
        return Meta(PAYER, f"m-{self._messages}", bytes(32))

    def close(self) -> None:
        """Forget everything."""
        asyncio.run(self._driver.close())


def _run(tx: Tx, /, sql: str, **values: Any) -> None:
    tx.run(sql, **values)
