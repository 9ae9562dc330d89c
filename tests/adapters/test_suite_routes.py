"""Every route of every format, along every path: it ends, in an agreed word, and the word is true."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest

from gateway.core.adapter import Adapter
from gateway.core.bank import Detached, DocKind, WireKind
from gateway.core.errors import InDoubt, Malformed, NotSent, SheyinError, Unavailable
from gateway.core.route import (
    Asked,
    Context,
    Entry,
    Fetched,
    Found,
    Get,
    List,
    NotFound,
    Request,
    Save,
    SealedDocument,
    Sent,
    Stat,
)
from gateway.flow.travel import is_final
from tests.adapters.suite import NOW, bank_of

Start = Callable[[], Generator[Request, Any, object]]


class Path(NamedTuple):
    """One way through a route: its requests, what was answered, and how it ended."""

    requests: tuple[Request, ...]
    replies: tuple[Any, ...]
    result: object


def replies_to(request: Request, document: SealedDocument, suffix: str) -> list[Any]:
    """Every kind of answer that the request may get, besides an error."""
    if isinstance(request, Stat) and request.size is None:
        return [None, document.size, document.size + 1, len(document.seal or b"")]
    if isinstance(request, Stat):
        return [request.size]
    if isinstance(request, List):
        seals = (Entry("b" + suffix, 1, 2),) if suffix else ()
        return [(), (Entry("a", 1, 1),), (Entry("b", 1, 1), *seals)]
    if isinstance(request, Get):
        return [True, False]
    return [None]


def paths(start: Start, document: SealedDocument, suffix: str) -> Iterator[Path]:
    """Every way through a route, by going again from the start for each further answer."""
    todo: list[tuple[Any, ...]] = [()]
    while todo:
        replies = todo.pop()
        route = start()
        requests: list[Request] = []
        try:
            request = next(route)
            for reply in replies:
                requests.append(request)
                request = route.send(reply)
        except StopIteration as end:
            yield Path(tuple(requests), replies, end.value)
        except SheyinError as error:
            yield Path(tuple(requests), replies, error)
        else:
            assert len(replies) < 40, "a route without an end"
            todo += [(*replies, reply) for reply in replies_to(request, document, suffix)]
            route.close()


class Journey(NamedTuple):
    """One generator of an adapter, ready to start."""

    wire: WireKind
    name: str  # submit, inquire, fetch
    document: SealedDocument
    start: Start


def journeys(adapter: Adapter) -> Iterator[Journey]:
    """Every generator on every wire, for a payment and for whatever else the format writes."""
    detached = isinstance(adapter.seal, Detached)
    for kind in adapter.capabilities.writes:
        document = SealedDocument(
            reference="R1",
            name="a.txt",
            digest="ab" * 32,
            size=1000,
            kind=kind,
            seal=b"seal" if detached else None,
            seal_name="a.txt.p7s" if detached else "",
        )
        for wire, routes in adapter.routes.items():
            context = Context(bank=msgspec.structs.replace(bank_of(adapter), wire=wire), now=NOW)
            yield Journey(wire, "submit", document, partial(routes.submit, document, context))
            yield Journey(wire, "inquire", document, partial(routes.inquire, document, context))
            yield Journey(wire, "fetch", document, partial(routes.fetch, context))


ENDS: dict[str, tuple[type, ...]] = {
    "submit": (Sent, NotSent, InDoubt),
    "inquire": (Found, NotFound, Asked, NotSent, InDoubt),
    "fetch": (Fetched, NotSent, InDoubt),
}


def test_every_route_ends_honestly(adapter: Adapter) -> None:
    """Every path ends in one of the agreed words, and the word is true.

    Sent: the bank may have acted, by one final request, or the very file lies there. NotSent: nothing final was asked.
    Found and NotFound: somebody looked, and nothing was sent. Fetched: counts what was taken in.
    """
    suffix = adapter.seal.suffix if isinstance(adapter.seal, Detached) else ""
    seen: set[tuple[WireKind, str, type]] = set()
    for wire, name, document, start in journeys(adapter):
        for path in paths(start, document, suffix):
            assert isinstance(path.result, ENDS[name]), (wire, name, path)
            seen.add((wire, name, type(path.result)))
            finals = sum(is_final(request) for request in path.requests)
            looked = any(isinstance(request, Stat | Save) for request in path.requests)
            match path.result:
                case Sent():
                    assert path.result.digest == document.digest
                    there = any(reply == document.size for reply in path.replies)
                    assert finals == 1 or (finals == 0 and there), (wire, path)
                case NotSent():
                    assert finals == 0
                case Found() | NotFound():
                    assert finals == 0
                    assert looked
                    assert isinstance(path.result, NotFound) or path.result.size == document.size
                case Asked():
                    assert document.kind is DocKind.INQUIRY
                case Fetched():
                    taken = [
                        reply
                        for request, reply in zip(path.requests, path.replies, strict=True)
                        if isinstance(request, Get)
                    ]
                    assert path.result.count == taken.count(True)
                    assert finals == 0
    for wire in adapter.routes:
        assert (wire, "submit", Sent) in seen
        assert (wire, "fetch", Fetched) in seen


@pytest.mark.parametrize(
    "error",
    [NotSent("cut"), InDoubt("cut"), Unavailable("away"), Malformed("bad")],
    ids=lambda error: type(error).__name__,
)
def test_no_route_swallows_an_error(adapter: Adapter, error: SheyinError) -> None:
    """Whatever is thrown in at whichever request comes out again: a route never goes on as if it had worked."""
    suffix = adapter.seal.suffix if isinstance(adapter.seal, Detached) else ""
    for _, _, document, start in journeys(adapter):
        for path in paths(start, document, suffix):
            for length in range(len(path.requests)):
                route = start()
                next(route)
                for reply in path.replies[:length]:
                    route.send(reply)
                with pytest.raises(SheyinError) as raised:
                    route.throw(error)
                assert raised.value is error


def test_a_payment_is_never_repeated_where_it_lies(adapter: Adapter) -> None:
    """Where a wire can look, a file of ours that lies there is not sent a second time."""
    for wire, name, document, start in journeys(adapter):
        if name != "submit":
            continue
        route = start()
        request = next(route)
        if not isinstance(request, Stat):
            assert wire not in (WireKind.FOLDER, WireKind.SFTP)
            continue
        with pytest.raises(StopIteration) as end:
            route.send(document.size)
        assert end.value.value == Sent(document.digest)
