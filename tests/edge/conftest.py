"""Throwaway keys for the tests at the edge, made once for each process."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.edge.crypto.pki import DevPki, make

JANUARY = datetime(2015, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    """The bureau's keys and those of two banks, one of them with a second pair; valid for 2015 and 2016."""
    return make(tmp_path_factory.mktemp("pki"), ["BANK_A", "BANK_B"], JANUARY, overlap=["BANK_A"])
