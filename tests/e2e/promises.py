"""What must hold once a month is over, whatever happened on the way (DESIGN.md, section 6)."""

from __future__ import annotations

import aio_pika

from gateway.core.topology import DEAD, INTAKE, payer_queue
from gateway.sandbox.month import PAYER
from tests.e2e.place import Place, rows

_PAID = "SELECT l.bank, a.key, a.amount FROM attempt AS a JOIN lot AS l ON l.key = a.lot_key WHERE a.state = 'paid'"


async def assert_kept(place: Place) -> None:
    """All of it, once the payer has heard the last word: it was told before the ledger called it told."""
    runs = len(await place.ledger.list_runs())
    await place.until_true(lambda: place.ear.count("run.closed") == runs)
    await books_agree(place)
    assert await place.ledger.faults() == []  # conservation, the audit chain, nothing paid twice
    assert await place.closed(), await place.standing()
    assert not await place.doubtful(), await place.standing()
    told_right(place)
    for name in ("run.accepted", "run.released", "run.closed"):
        assert place.ear.count(name) == runs, name
    for queue in (payer_queue(PAYER), INTAKE, DEAD):
        assert await waiting(place, queue) == 0, queue


async def books_agree(place: Place) -> None:
    """What each bank has credited is what the ledger holds for paid, reference by reference, to the fen, and once."""
    paid = await rows(place.config.ledger_url(), _PAID)
    for bank in place.config.banks:
        assert place.banks.books(bank.code)["doubles"] == 0
        credited = {int(p.reference): p.minor for p in place.banks.payments(bank.code) if p.times - p.returned > 0}
        assert credited == {key: amount for code, key, amount in paid if code == bank.code}, bank.code
    total = sum(amount for _, _, amount in paid)
    missing = sum(result[-1].amount for result in place.ear.results().values() if result[-1].outcome != "paid")
    assert total + missing == place.month.header.total


def told_right(place: Place) -> None:
    """Every payment has its first outcome, the right one, with the right reason; in order, without a gap."""
    told = place.ear.results()
    assert len(told) == place.month.payments
    for instruction_id, results in told.items():
        expected = place.month.failures.get(instruction_id)
        first = [result for result in results if result.attempt == 1]
        assert len(first) == 1, first
        assert first[0].outcome == ("paid" if expected is None else "failed")
        assert expected is None or first[0].verdict == expected


async def waiting(place: Place, queue: str) -> int:
    """Messages that lie in a queue."""
    async with await aio_pika.connect(place.config.bus_url()) as connection:
        channel = await connection.channel()
        found = await channel.get_queue(queue, ensure=True)
        return found.declaration_result.message_count or 0
