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
        """Close what is at its end, publish a page; how many events were confirmed.

        A page is published without waiting in between; what stands behind a message that failed is published again with it, so that a payer can
        see one twice but never out of order. Raises Unavailable where the first one of a page cannot be published.
        """
        if await self._ledger.lane_lease(RELAY, self._owner, _LEASE_S) is None:
            return 0
        page = await self._ledger.outbox_page(_PAGE)
        if not page and await self._ledger.close_runs():  # whoever is at an end is told below, once the results are
            page = await self._ledger.outbox_page(_PAGE)
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
        failure: BaseException | None = None
        for (seq, _, _, _), result in zip(page, sent, strict=True):
            if isinstance(result, BaseException):
                failure = result
                break
            confirmed.append(seq)
        self._points.reach("outbox.published")
        await self._ledger.outbox_done(confirmed)
        if failure is not None and not confirmed:
            raise failure if isinstance(failure, Unavailable) else Unavailable(f"the broker refuses events: {failure}")
        return len(confirmed)

    async def hand_over(self) -> None:
        """Give the relay up at once."""
        await self._ledger.lane_free(RELAY, self._owner)
