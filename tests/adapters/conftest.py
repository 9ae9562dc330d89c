"""Each installed format in turn, for every test that asks for ``adapter``."""

from __future__ import annotations

import pytest

from gateway.core.adapter import Adapter
from tests.adapters.suite import ADAPTERS, CHECKING, PAYING


@pytest.fixture(params=ADAPTERS, name="adapter")
def every_adapter(request: pytest.FixtureRequest) -> Adapter:
    """Each installed format in turn."""
    return ADAPTERS[request.param]


@pytest.fixture(params=PAYING, name="paying")
def every_paying_adapter(request: pytest.FixtureRequest) -> Adapter:
    """Each installed format that carries payments."""
    return PAYING[request.param]


@pytest.fixture(params=CHECKING, name="checking")
def every_checking_adapter(request: pytest.FixtureRequest) -> Adapter:
    """Each installed format that asks about names."""
    return CHECKING[request.param]
