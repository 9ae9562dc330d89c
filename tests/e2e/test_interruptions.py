"""A month interrupted: the process killed or told to stop at random instants, the broker's and the database's connections cut."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from gateway.sandbox.runner import Answers
from tests.e2e.place import Place, Served, open_place, rows, this_month
from tests.e2e.promises import assert_kept
from tests.servers import Rabbit

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(300)]
PAYMENTS = 2_000
#: Results come in many parts, so that the month has a long middle.
ANSWERS = Answers(parts=8, part_delay_s=0.5)
SEED = 20150610
KILLS, STOPS, CUTS = 5, 2, 3
#: Of the gateway two, of the payer one, of the bank whose wire is AMQP one.
CONNECTIONS = 4
#: Acts of such a month at least: two for its beginning, two for each Document sent, one for each that is applied. The last ones are left alone.
ACTS = 2 + 4 * (2 + 1 + 8)
ACTS_LEFT_ALONE = ACTS // 4
#: How long after an Act an instant may lie: in what comes next, wherever that is.
AFTER_S = 0.2
CUT_PG = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@asynccontextmanager
async def published(folder: Path, amqp_url: str, pg_ledger: str) -> AsyncIterator[Place]:
    """The whole month lies at the broker, and nobody has read it."""
    settings: dict[str, Any] = {"amqp_url": amqp_url, "ledger_url": pg_ledger, "answers": ANSWERS}
    async with open_place(folder, this_month(PAYMENTS), **settings) as place:
        await place.publish()
        yield place


async def acts(place: Place) -> int:
    """How many Acts are on the chain: how far the month has come, whatever the machine's speed."""
    return int((await rows(place.config.ledger_url(), "SELECT COUNT(*) FROM act"))[0][0])


def instants(rng: random.Random, count: int) -> list[int]:
    """So many instants of the month, in order: numbers of Acts."""
    return sorted(rng.sample(range(1, ACTS - ACTS_LEFT_ALONE), count))


async def run_to(place: Place, served: Served, rng: random.Random, act: int) -> None:
    """Let it work until so many Acts are done, at least one of them its own, and a little longer."""
    least = max(act, await acts(place) + 1)

    async def there() -> bool:
        return await acts(place) >= least

    await place.until(served, there)
    await asyncio.sleep(rng.uniform(0, AFTER_S))


async def test_a_month_killed_and_stopped_at_random_instants(town_folder: Path, amqp_url: str, pg_ledger: str) -> None:
    """Five times SIGKILL and twice SIGTERM, in any order, anywhere in the month; between an end and the next beginning three hours pass."""
    rng = random.Random(SEED)
    ends = ["kill"] * KILLS + ["stop"] * STOPS
    rng.shuffle(ends)
    async with published(town_folder, amqp_url, pg_ledger) as place:
        begun = await acts(place)
        for end, act in zip(ends, instants(rng, len(ends)), strict=True):
            with place.serving() as served:
                await run_to(place, served, rng, begun + act)
                assert not await place.closed(), "there was no middle any more"
                if end == "kill":
                    served.kill()
                else:
                    served.stop()
            await place.time_passes()
        with place.serving() as served:
            await place.until(served, place.closed)
            served.stop()
        await assert_kept(place)


@pytest.fixture
def cut_url(rabbit: Rabbit, amqp_url: str) -> Iterator[str]:
    """The same vhost as a user of its own, because the broker can end all connections of a user at once."""
    user, vhost = f"cut-{secrets.token_hex(6)}", urlsplit(amqp_url).path.removeprefix("/")
    rabbit.api("PUT", f"users/{user}", {"password": user, "tags": ""})
    rabbit.api("PUT", f"permissions/{vhost}/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
    try:
        yield urlunsplit(
            urlsplit(amqp_url)._replace(netloc=f"{user}:{user}@{urlsplit(rabbit.amqp_url).netloc.rpartition('@')[2]}")
        )
    finally:
        rabbit.api("DELETE", f"users/{user}")


async def test_the_broker_closes_all_connections_in_mid_month(
    rabbit: Rabbit, town_folder: Path, cut_url: str, pg_ledger: str
) -> None:
    """The gateway's, the payer's and a bank's, three times: everything connects again, and nothing is lost or told wrong."""
    connections = f"connections/username/{urlsplit(cut_url).username}"

    async def all_are_there() -> bool:
        return len(await asyncio.to_thread(rabbit.api, "GET", connections)) >= CONNECTIONS

    async def cut(place: Place, served: Served) -> None:
        await place.until(served, all_are_there)
        await asyncio.to_thread(rabbit.api, "DELETE", connections)

    await month_with_cuts(town_folder, cut_url, pg_ledger, cut)


async def test_the_database_ends_all_sessions_in_mid_month(town_folder: Path, amqp_url: str, pg_ledger: str) -> None:
    """Three times, in the middle of whatever is under way: it is rolled back, begun again, and applied once."""

    async def cut(place: Place, served: Served) -> None:
        ended = await rows(pg_ledger, CUT_PG)
        await place.ledger.driver.close()  # the test's own connections were among them
        assert len(ended) >= 2

    await month_with_cuts(town_folder, amqp_url, pg_ledger, cut)


async def month_with_cuts(
    folder: Path, amqp_url: str, pg_ledger: str, cut: Callable[[Place, Served], Awaitable[None]]
) -> None:
    """One process, which must live through all of it."""
    rng = random.Random(SEED)
    async with published(folder, amqp_url, pg_ledger) as place:
        begun = await acts(place)
        with place.serving() as served:
            for act in instants(rng, CUTS):
                await run_to(place, served, rng, begun + act)
                await cut(place, served)
                assert not await place.closed(), "there was no middle any more"
            await place.until(served, place.closed)
            served.stop()
        await assert_kept(place)
