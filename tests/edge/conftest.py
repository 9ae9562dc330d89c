"""Throwaway keys for the tests at the edge, an archive, a bank's SFTP server and wires to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.edge.archive import FolderArchive
from gateway.edge.atrest import AtRest
from gateway.edge.crypto.pki import DevPki, client_name, host_name, make
from tests.edge.sftp_bank import SftpBank
from tests.edge.wire_kit import Wires

JANUARY = datetime(2015, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """The bureau's keys and those of two banks, one of them with a second pair; valid for 2015 and 2016."""
    return make(tmp_path_factory.mktemp("pki"), ["BANK_A", "BANK_B"], JANUARY, overlap=["BANK_A"])


@pytest.fixture
def archive(tmp_path: Path) -> FolderArchive:
    """An empty archive."""
    return FolderArchive(tmp_path / "archive", AtRest(bytes(32)))


@pytest.fixture
async def server(tmp_path: Path, pki: DevPki) -> AsyncIterator[SftpBank]:
    """An obedient server."""
    host, client = pki.folder / f"{host_name('BANK_A')}.key", pki.folder / f"{client_name('BANK_A')}.pub"
    async with SftpBank(tmp_path / "bank", host, client) as server:
        yield server


@pytest.fixture
async def wires(archive: FolderArchive, pki: DevPki) -> AsyncIterator[Wires]:
    """Wires to whatever port."""
    made = Wires(archive, pki)
    yield made
    for wire in made.made:
        await wire.close()
