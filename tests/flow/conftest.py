"""Dev keys, an empty migrated ledger, and houses to live in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.core.bank import Bank
from gateway.edge.crypto.pki import DevPki, make
from gateway.edge.ledger import migrate
from tests.flow.counterpart import Counterpart
from tests.flow.house import ISO, OWN, House, bank, people
from tests.flow.scene import Scene, standing

MakeHouse = Callable[..., House]
MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """The bureau's keys and those of three banks, valid from 2015 on."""
    return make(tmp_path_factory.mktemp("keys"), [ISO, OWN, "BANKX"], datetime(2015, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of today's schema with two people in it, to be copied: making an Actor takes longer than most tests."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    migrate.upgrade(f"sqlite:///{path}")
    asyncio.run(people(path))
    return path


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: nothing here is about power cuts, and every fsync costs milliseconds."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(prefix="sheyin-flow-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
async def make_house(quick_folder: Path, keys: DevPki, template: Path) -> AsyncIterator[MakeHouse]:
    """Build a house with these banks (both by default)."""
    made: list[House] = []

    def build(*banks: Bank) -> House:
        made.append(House(quick_folder, keys, template, banks or (bank(ISO), bank(OWN))))
        return made[-1]

    yield build
    for house in made:
        await house.close()


@pytest.fixture
def house(make_house: MakeHouse) -> House:
    """A house with both banks."""
    return make_house()


@pytest.fixture
def own(house: House, keys: DevPki) -> Counterpart:
    """The bank that speaks the standard file."""
    return Counterpart(OWN, "standard_file", house.wires[OWN], keys)


@pytest.fixture
def iso(house: House, keys: DevPki) -> Counterpart:
    """The bank that speaks ISO 20022."""
    return Counterpart(ISO, "iso20022", house.wires[ISO], keys)


@pytest.fixture(params=[ISO, OWN])
async def scene(request: pytest.FixtureRequest, house: House, keys: DevPki) -> Scene:
    """Four payments at a bank of each format."""
    return await standing(house, keys, request.param)


@pytest.fixture
async def own_scene(house: House, keys: DevPki) -> Scene:
    """Four payments at the bank of the standard file."""
    return await standing(house, keys, OWN)


@pytest.fixture
async def iso_scene(house: House, keys: DevPki) -> Scene:
    """Four payments at the bank of ISO 20022."""
    return await standing(house, keys, ISO)
