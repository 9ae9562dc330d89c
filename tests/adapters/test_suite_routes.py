"""Every route of every format, along every path: it ends, in an agreed word, and the word is true."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.core.adapter import Adapter
from gateway.core.bank import DocKind, WireKind
from gateway.core.errors import InDoubt, Malformed, NotSent, SheyinError, Unavailable
from gateway.core.route import (
    Answer,
    Asked,
    Fetched,
    Found,
    Get,
    NotFound,
    Post,
    Request,
    Save,
    Sent,
    Stat,
    Take,
)
from gateway.flow.travel import is_final
from tests.adapters.journeys import HOSTILE, Journey, Path, journeys, paths

ENDS: dict[str, tuple[type, ...]] = {
    "submit": (Sent, NotSent, InDoubt),
    "inquire": (Found, NotFound, Asked, NotSent, InDoubt),
    "fetch": (Fetched, NotSent, InDoubt),
}


def test_every_route_ends_honestly(adapter: Adapter) -> None:
    """Every path ends in one of the agreed words, and the word is true.

    Sent: the bank may have acted, by a final request, or the very file lies there; what it answered is taken in. NotSent: nothing final was
    asked, or the answer to the first Post proves it. Found and NotFound: somebody looked, and nothing was sent. Fetched: counts what
    was taken in.
    """
    seen: set[tuple[WireKind, str, type]] = set()
    for journey in journeys(adapter):
        for path in paths(journey):
            assert isinstance(path.result, ENDS[journey.name]), (journey.wire, journey.name, path)
            seen.add((journey.wire, journey.name, type(path.result)))
            true(journey, path)
    for wire in adapter.routes:
        assert (wire, "submit", Sent) in seen or not adapter.capabilities.writes
        assert (wire, "fetch", Fetched) in seen


def true(journey: Journey, path: Path) -> None:
    """The word that a path ended in, against what was asked and answered on the way."""
    finals = sum(is_final(request) for request in path.requests)
    if journey.name == "fetch" or (journey.name == "inquire" and journey.document.kind is not DocKind.INQUIRY):
        assert finals == 0, "asking moves nothing"
    match path.result:
        case Sent():
            assert path.result.digest == journey.document.digest
            there = journey.document.size in path.replies
            assert finals == 1 or (there and not finals) or journey.context.cursor or posts(path), path
            assert not posts(path) or isinstance(after_the_last_post(path)[0], Take), "what the bank answered is kept"
            assert not any(reply in HOSTILE for _, reply in posts(path)), "such an answer receipts nothing"
        case NotSent():
            assert not finals or len(posts(path)) == finals == 1
            assert not any(isinstance(request, Save | Take) for request in after_the_last_post(path))
        case Found() | NotFound():
            assert any(isinstance(request, Stat | Save | Post) for request in path.requests), "somebody looked"
            assert isinstance(path.result, NotFound) or path.result.size == journey.document.size
        case Asked():
            assert journey.document.kind is DocKind.INQUIRY or any(isinstance(r, Take) for r in path.requests)
        case Fetched():
            taken = [
                reply
                for request, reply in zip(path.requests, path.replies, strict=True)
                if isinstance(request, Get | Take)
            ]
            assert path.result.count == taken.count(True)
            assert path.result.again_s > 0 or not journey.context.awaited, "a bank is asked at its pace"


def posts(path: Path) -> list[tuple[Post, Answer]]:
    """The Posts that the bank may have acted on, with their answers."""
    both = zip(path.requests, path.replies, strict=True)
    return [(request, reply) for request, reply in both if isinstance(request, Post) and request.final]


def after_the_last_post(path: Path) -> list[Request]:
    """What was asked for once the bank had answered, reading the answer left out."""
    nth = max((n for n, request in enumerate(path.requests) if isinstance(request, Post) and request.final), default=-1)
    return [request for request in path.requests[nth + 1 :] if isinstance(request, Save | Take | Stat)]


def test_no_part_is_sent_twice_and_none_after_a_strange_answer(adapter: Adapter) -> None:
    """Where a Document leaves in parts: each once, under a reference of its own; the first answer that is not the bank's ends it."""
    for journey in journeys(adapter):
        for path in paths(journey):
            sent = [request.once for request, _ in posts(path)]
            assert len(set(sent)) == len(sent)
            assert all(sent) or not sent, "a Post that may be repeated says by which reference the bank sees it"
            assert not any(reply in HOSTILE for _, reply in posts(path)[:-1])


def prefixes(journey: Journey) -> Iterator[Path]:
    """Every beginning of every path, once."""
    seen: set[tuple[object, ...]] = set()
    for path in paths(journey):
        for length in range(len(path.requests)):
            if path.replies[:length] not in seen:
                seen.add(path.replies[:length])
                yield Path(path.requests[: length + 1], path.replies[:length], None)


@pytest.mark.parametrize(
    "error",
    [NotSent("cut"), InDoubt("cut"), Unavailable("away"), Malformed("bad")],
    ids=lambda error: type(error).__name__,
)
def test_no_route_swallows_an_error(adapter: Adapter, error: SheyinError) -> None:
    """Whatever is thrown in at whichever request comes out again: a route never goes on as if it had worked."""
    for journey in journeys(adapter):
        for prefix in prefixes(journey):
            route = journey.begin()
            next(route)
            for reply in prefix.replies:
                route.send(reply)
            with pytest.raises(SheyinError) as raised:
                route.throw(error)
            assert raised.value is error


def test_a_payment_is_never_repeated_where_it_lies(adapter: Adapter) -> None:
    """Where a wire can look, a file of ours that lies there is not sent a second time."""
    for journey in journeys(adapter):
        if journey.name != "submit":
            continue
        route = journey.begin()
        request = next(route)
        if not isinstance(request, Stat):
            assert journey.wire not in (WireKind.FOLDER, WireKind.SFTP)
            continue
        with pytest.raises(StopIteration) as end:
            route.send(journey.document.size)
        assert end.value.value == Sent(journey.document.digest)
