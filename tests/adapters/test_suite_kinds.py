"""What a format declares is what it does: every kind of Document that it says it reads is read somewhere here, and no other ever comes out.

Documents are taken from wherever they lie: what the format writes, its files under golden/, what its routes post and take in. A kind that none
of these hold has one small example in golden/<format>/kinds/, the bank's side written by its sandbox.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gateway.core.adapter import Adapter
from gateway.core.bank import DocKind, Head
from gateway.core.errors import Halt, Malformed
from gateway.core.route import Post, Take
from tests.adapters.journeys import journeys, paths, payload_of
from tests.adapters.suite import ADAPTERS, LINES, bank_of, head_of

GOLDEN = Path(__file__).parent / "golden"


def documents(adapter: Adapter) -> Iterator[tuple[str, bytes]]:
    """(where it is from, bytes) of everything at hand; some are no Documents."""
    for kind in sorted(adapter.capabilities.writes):
        yield f"written: {kind}", payload_of(adapter.code, kind)
    for path in sorted((GOLDEN / adapter.code).rglob("*")):
        if path.is_file():
            yield str(path.relative_to(GOLDEN)), path.read_bytes()
    for journey in journeys(adapter):
        for way in paths(journey):
            for request in way.requests:
                if isinstance(request, Take | Post):
                    yield f"{journey.name}: {type(request).__name__}", request.body


@cache
def kinds_of(code: str) -> dict[str, str]:
    """Kind of Document → where one was found."""
    found: dict[str, str] = {}
    once = {document: where for where, document in documents(ADAPTERS[code])}
    for document, where in once.items():
        try:
            items = list(ADAPTERS[code].read(io.BytesIO(document)))
        except Malformed:
            continue
        assert isinstance(items[0], Head)
        found.setdefault(items[0].kind, where)
    return found


def test_what_is_declared_can_be_read(adapter: Adapter) -> None:
    """Each declared kind has a Document here that is read to its end."""
    missing = sorted(adapter.capabilities.reads - set(kinds_of(adapter.code)))
    assert not missing, f"no Document of these kinds: one in tests/adapters/golden/{adapter.code}/kinds/ would do"


def test_what_is_read_is_declared(adapter: Adapter) -> None:
    """No Document of another kind comes out, and what the format writes itself can be looked at."""
    other = {kind: where for kind, where in kinds_of(adapter.code).items() if kind not in adapter.capabilities.reads}
    assert not other
    assert adapter.capabilities.writes <= adapter.capabilities.reads


def test_an_example_is_of_its_kind(adapter: Adapter) -> None:
    """A file under kinds/ holds what its name says."""
    for path in sorted((GOLDEN / adapter.code).glob("kinds/*")):
        head = next(iter(adapter.read(io.BytesIO(path.read_bytes()))))
        assert isinstance(head, Head)
        assert head.kind is DocKind(path.stem)


def test_a_format_without_payments_says_so(adapter: Adapter) -> None:
    """Nobody gets an empty file where money was ordered."""
    if adapter.pays:
        assert DocKind.PAYMENT in adapter.capabilities.writes
        return
    with pytest.raises(Halt):
        list(adapter.payment(head_of(LINES), iter(LINES), bank_of(adapter)))
