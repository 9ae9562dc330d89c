"""Every route of every format as journeys, and every way through one: shared by the suites over routes."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import timedelta
from functools import cache, partial
from typing import Any, NamedTuple

import msgspec

from gateway.core.adapter import Adapter
from gateway.core.bank import CheckLine, Detached, DocKind, Inquiry, ListHead, PairLine, SealSlot, WireKind
from gateway.core.errors import SheyinError
from gateway.core.route import (
    Answer,
    Awaited,
    Context,
    Encrypt,
    Entry,
    Get,
    List,
    Login,
    Open,
    Post,
    Read,
    Request,
    Save,
    SealedDocument,
    Sign,
    Stat,
    Take,
)
from tests.adapters import replies as replies_of
from tests.adapters.suite import ADAPTERS, NOW, bank_of, written

#: So many ways through one route are gone; those that differ least from what is typical come first.
PATHS_MAX = 800
REQUESTS_MAX = 80

#: What may come instead of a bank's answer: nothing, a proxy's page, plain text, noise.
HOSTILE = (
    Answer(200, b""),
    Answer(200, b"<html><body>Please log in</body></html>", "text/html"),
    Answer(502, b"<html><body>502 Bad Gateway</body></html>", "text/html"),
    Answer(500, b"Internal Server Error", "text/plain"),
    Answer(200, b"ErrMsg: system busy", "text/plain"),
    Answer(204, b""),
    Answer(200, b"\xff\xfe\x00{}[]", "application/octet-stream"),
)


class Journey(NamedTuple):
    """One generator of an adapter, ready to start."""

    adapter: Adapter
    wire: WireKind
    name: str  # submit, inquire, fetch
    document: SealedDocument
    payload: bytes
    start: Callable[[Context], Generator[Request, Any, object]]
    context: Context

    def begin(self) -> Generator[Request, Any, object]:
        """A fresh generator."""
        return self.start(self.context)


class Path(NamedTuple):
    """One way through a route: its requests, what was answered, and how it ended."""

    requests: tuple[Request, ...]
    replies: tuple[Any, ...]
    result: object


# ------------------------------------------------------------------------------------------------------------ journeys


@cache
def payload_of(code: str, kind: DocKind) -> bytes:
    """What a Document of the kind holds: as the format's module says, or else a few entries as the format writes them."""
    adapter, module = ADAPTERS[code], replies_of.of(code)
    if module is not None and hasattr(module, "payload"):
        return bytes(module.payload(kind))
    bank = bank_of(adapter, sealed=False)
    head = ListHead(reference="R1", sequence=1, created=NOW, count=1)
    chunks: Iterable[bytes | SealSlot] = [b"x" * 1_000]
    if kind is DocKind.PAYMENT:
        chunks = [written(adapter)]
    elif kind is DocKind.INQUIRY and adapter.write_inquiry is not None:
        chunks = adapter.write_inquiry(Inquiry(reference="Q1", original="R1", original_name="a.txt", created=NOW), bank)
    elif kind is DocKind.NAME_CHECK and adapter.write_check is not None:
        chunks = adapter.write_check(head, [CheckLine(1, "1", "张三", "9900010000000000017")], bank)
    elif kind is DocKind.WHITELIST and adapter.write_pairs is not None:
        chunks = adapter.write_pairs(head, [PairLine(1, "WL000123", "add", "张三", "9900010000000000017")], bank)
    return b"".join(chunk for chunk in chunks if not isinstance(chunk, SealSlot))


def journeys(adapter: Adapter) -> Iterator[Journey]:
    """Every generator on every wire: for whatever the format writes, from the start and from every cursor; asking and just fetching."""
    for wire, routes in adapter.routes.items():
        context = Context(bank=msgspec.structs.replace(bank_of(adapter), wire=wire), now=NOW)
        for kind in sorted(adapter.capabilities.writes):
            document, payload = _document(adapter, kind), payload_of(adapter.code, kind)
            first = Journey(adapter, wire, "submit", document, payload, partial(routes.submit, document), context)
            for cursor in ("", *_cursors(first)):
                at = msgspec.structs.replace(context, cursor=cursor)
                yield first._replace(context=at)
                yield first._replace(name="inquire", start=partial(routes.inquire, document), context=at)
                if routes.asks:
                    awaited = (Awaited(document=document, cursor=cursor, sent=NOW - timedelta(days=1)),)
                    asking = msgspec.structs.replace(context, awaited=awaited)
                    yield first._replace(name="fetch", start=routes.fetch, context=asking)
        none = SealedDocument(reference="", name="", digest="", size=0, kind=DocKind.RESULT)
        yield Journey(adapter, wire, "fetch", none, b"", routes.fetch, context)


def _document(adapter: Adapter, kind: DocKind) -> SealedDocument:
    detached = isinstance(adapter.seal, Detached)
    payload = payload_of(adapter.code, kind)
    return SealedDocument(
        reference="R1",
        name="a.txt",
        digest=hashlib.sha256(payload).hexdigest(),
        size=len(payload),
        kind=kind,
        seal=b"seal" if detached else None,
        seal_name="a.txt.p7s" if detached else "",
    )


def _cursors(journey: Journey) -> Iterator[str]:
    """What a route saves on its typical way."""
    replies: tuple[Any, ...] = ()
    while True:
        _, request = follow(journey, replies)
        if not isinstance(request, Request):
            return
        if isinstance(request, Save):
            yield request.cursor
        replies = (*replies, replies_to(request, journey)[0])


# --------------------------------------------------------------------------------------------------------------- paths


def replies_to(request: Request, journey: Journey) -> list[Any]:
    """Every kind of answer that the request may get, besides an error; what is typical stands first."""
    document = journey.document
    module = replies_of.of(journey.adapter.code)
    typical = list(module.replies(request, document)) if module is not None else []
    match request:
        case Post():
            cut = [Answer(a.status, a.body[: len(a.body) // 2], a.content_type) for a in typical[:1]]
            wrong_status = [Answer(500, a.body, a.content_type) for a in typical[:1]]
            return [*typical, *HOSTILE, *cut, *wrong_status]
        case _ if typical:
            return typical
        case Stat():
            if request.size is not None:
                return [request.size]
            return [None, document.size, document.size + 1, len(document.seal or b"")]
        case List():
            detached = isinstance(journey.adapter.seal, Detached)
            seals = (Entry("b" + journey.adapter.seal.suffix, 1, 2),) if detached else ()  # type: ignore[union-attr]  # as asked
            return [(), (Entry("a", 1, 1),), (Entry("b", 1, 1), *seals)]
        case Get() | Take():
            return [True, False]
        case Read():
            return [journey.payload[request.offset : request.offset + request.size]]
        case Sign():
            return [bytes(range(64))]
        case Encrypt() | Open():
            return [request.data]
        case Login():
            return ["token"]
    return [None]


def paths(journey: Journey) -> Iterator[Path]:
    """Ways through a route, by going again from the start for each further answer; at most PATHS_MAX, those nearest to the typical first."""
    order = itertools.count()
    todo: list[tuple[int, int, tuple[Any, ...]]] = [(0, next(order), ())]
    ended = 0
    while todo and ended < PATHS_MAX:
        strange, _, replies = heapq.heappop(todo)
        requests, result = follow(journey, replies)
        if not isinstance(result, Request):
            ended += 1
            yield Path(requests, replies, result)
            continue
        assert len(replies) < REQUESTS_MAX, "a route without an end"
        for nth, reply in enumerate(replies_to(result, journey)):
            heapq.heappush(todo, (strange + (nth > 0), next(order), (*replies, reply)))


def follow(journey: Journey, replies: tuple[Any, ...]) -> tuple[tuple[Request, ...], object]:
    """The requests that were answered, and the next request, the result, or the error that says what is known."""
    route = journey.begin()
    requests: list[Request] = []
    try:
        request = next(route)
        for reply in replies:
            requests.append(request)
            request = route.send(reply)
    except StopIteration as end:
        return tuple(requests), end.value
    except SheyinError as error:
        return tuple(requests), error
    route.close()
    return tuple(requests), request


def walk(payload: bytes, generator: Generator[Request, Any, object], *answers: Answer) -> tuple[object, list[Request]]:
    """The end of a route that reads this payload and gets these answers to its Posts, and what it asked for besides reading."""
    waiting = list(answers)
    asked: list[Request] = []
    reply: Any = None
    try:
        while True:
            request = generator.send(reply)
            if isinstance(request, Read):
                reply = payload[request.offset : request.offset + request.size]
                continue
            asked.append(request)
            reply = waiting.pop(0) if isinstance(request, Post) else isinstance(request, Take) or None
    except StopIteration as end:
        return end.value, asked
