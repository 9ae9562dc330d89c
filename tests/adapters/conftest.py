"""Each installed format in turn, for every test that asks for ``adapter``."""

from __future__ import annotations

import pytest

from gateway.core.adapter import Adapter
from tests.adapters.suite import ADAPTERS


@pytest.fixture(params=ADAPTERS, name="adapter")
def every_adapter(request: pytest.FixtureRequest) -> Adapter:
    """Each installed format in turn."""
    return ADAPTERS[request.param]
