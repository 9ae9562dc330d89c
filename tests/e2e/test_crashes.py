"""The process dies at every named point, is started again, and every promise is found kept.

A real process with ``SHEYIN_CRASH_AT``, on RabbitMQ and PostgreSQL (some points on SQLite too), banks by folder, SFTP and AMQP. Between death and
restart three hours pass, so that no test waits for a lease or for a window in which "not found" does not count.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.points import POINTS
from gateway.edge.points import EXIT_STATUS
from tests.e2e.place import open_place, this_month
from tests.e2e.promises import assert_kept

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
PAYMENTS = 80
#: One in each kind of place: broker known, transaction open, file half made, bank knows and we do not, event told and not noted.
ON_SQLITE = ("intake.recorded", "accept.born", "seal.spooled", "send.travelled", "collect.weighed", "outbox.published")


async def die_and_return(folder: Path, point: str, amqp_url: str, ledger_url: str) -> None:
    """The month, with a death in it."""
    async with open_place(folder, this_month(PAYMENTS), amqp_url=amqp_url, ledger_url=ledger_url) as place:
        with place.serving(crash_at=point) as served:
            await place.publish()
            assert await place.until_dead(served) == EXIT_STATUS, served.tail()
        await place.time_passes()
        with place.serving() as served:
            await place.until(served, place.closed)
            served.stop()
        await assert_kept(place)


#: Reached by banks that take a Document in parts, which are none of this town's: see tests/cli/test_serve_in_parts.py.
IN_PARTS = ("send.saved",)


@pytest.mark.parametrize("point", [point for point in POINTS if point not in IN_PARTS])
async def test_every_promise_is_kept_after_a_death_at(
    point: str, town_folder: Path, amqp_url: str, pg_ledger: str
) -> None:
    """Nothing is lost, nothing is paid twice, everything is told in order: on PostgreSQL, at every point that has a name."""
    await die_and_return(town_folder, point, amqp_url, pg_ledger)


@pytest.mark.parametrize("point", ON_SQLITE)
async def test_the_same_on_sqlite_after_a_death_at(
    point: str, town_folder: Path, amqp_url: str, sqlite_ledger: str
) -> None:
    """The other ledger: one file, one writer, the same promises."""
    await die_and_return(town_folder, point, amqp_url, sqlite_ledger)
