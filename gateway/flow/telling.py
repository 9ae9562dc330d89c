"""Telling: events leave the outbox in order and at least once, under stable ids (P11); Runs that have come to their end are closed."""

from __future__ import annotations

import asyncio

from gateway.core.errors import Unavailable
from gateway.core.ledger import Ledger
from gateway.core.points import Points
from gateway.core.ports import Bus, Message
from gateway.flow.bell import Bell

EXCHANGE = "gateway.events"
_PAGE = 32
#: The relay is a lane of its own: one replica at a time, because order matters per Instruction.
RELAY = "_outbox"
_LEASE_S = 30


class Teller:
    """Relays the outbox and closes Runs."""

    def __init__(self, ledger: Ledger, bus: Bus, points: Points, owner: str, bell: Bell) -> None:
        self._ledger, self._bus, self._points, self._owner, self._bell = ledger, bus, points, owner, bell

    async def loop(self) -> None:
        """``step`` for ever."""
        while True:
            heard = self._bell.rung
            if not await self.step():
                await self._bell.wait(heard, 1)

    async def step(self) -> int:
        """Close what is at its end, publish what waits up to a page; how many events were confirmed.

        A page is published without waiting in between. Behind an event that failed, those of the same payer count as failed too and are published
        again with it under their ids: a payer can see one twice, and one that was late after its successor (``sequence`` tells), but never
        misses one. One payer's full or missing queue keeps no other payer waiting. Raises Unavailable where nothing at all could be published.
        """
        if await self._ledger.lane_lease(RELAY, self._owner, _LEASE_S) is None:
            return 0
        failures: dict[str, BaseException] = {}  # payer → what its first event failed with
        confirmed = await self._page(failures)
        if not confirmed and not failures and await self._ledger.close_runs():
            confirmed = await self._page(failures)  # whoever is at an end is told below, once the results are
        known = 0
        while len(failures) > known:  # somebody cannot be told now: what waits behind them is for others
            known = len(failures)
            confirmed += await self._page(failures)
        if failures and not confirmed:
            failure = next(iter(failures.values()))
            raise failure if isinstance(failure, Unavailable) else Unavailable(f"the broker refuses events: {failure}")
        return confirmed

    async def _page(self, failures: dict[str, BaseException]) -> int:
        """Publish a page of events for payers without a failure so far; how many were confirmed."""
        page = await self._ledger.outbox_page(_PAGE, failures.keys())
        if not page:
            return 0
        sent = await asyncio.gather(
            *(
                self._bus.publish(EXCHANGE, key, Message(message_id=message_id, body=body))
                for _, message_id, key, body in page
            ),
            return_exceptions=True,
        )
        confirmed = []
        for (seq, _, key, _), result in zip(page, sent, strict=True):
            payer = key.partition(".")[0]
            if isinstance(result, BaseException):
                failures.setdefault(payer, result)
            elif payer not in failures:
                confirmed.append(seq)
        self._points.reach("outbox.published")
        await self._ledger.outbox_done(confirmed)
        return len(confirmed)

    async def hand_over(self) -> None:
        """Give the relay up at once."""
        await self._ledger.lane_free(RELAY, self._owner)
