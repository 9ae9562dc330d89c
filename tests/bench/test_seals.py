"""The benchmark of seals: whole Documents in constant memory, and a seal that does not hold is no figure."""

from __future__ import annotations

from typing import Literal

import pytest

from bench.seals import DOCUMENT_BYTES, PEAK_MIB_MAX, measure


@pytest.mark.parametrize("form", ["cms", "gmt0010"])
def test_a_seal_beside_50_mb_takes_no_more_memory_than_one_beside_1_mb(form: Literal["cms", "gmt0010"]) -> None:
    """Made and verified in at most 100 MiB, interpreter included; fifty times the bytes are a few pages more."""
    large, small = measure(form), measure(form, 1_000_000)
    assert (large.bytes, small.bytes) == (DOCUMENT_BYTES, 1_000_000)
    assert large.peak_mib <= PEAK_MIB_MAX
    assert large.peak_mib - small.peak_mib < 12
