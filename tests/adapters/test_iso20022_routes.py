"""The shared routes, request by request: what is asked for, in which order, and what each answer leads to."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from adapters.standards import filedrop, queue
from gateway.core.bank import Bank, Detached, DocKind, WireKind
from gateway.core.errors import InDoubt, NotSent
from gateway.core.route import (
    Asked,
    Context,
    Done,
    Entry,
    Fetched,
    Found,
    Get,
    List,
    NotFound,
    Publish,
    Put,
    Rename,
    Request,
    SealedDocument,
    Sent,
    Stat,
    Wait,
)

BANK = Bank(code="BANK_A", name="Bank A", adapter="any", wire=WireKind.FOLDER, customer="440600001")
CONTEXT = Context(bank=BANK, now=datetime(2015, 6, 10, tzinfo=UTC))
PLAIN = SealedDocument(reference="R1", name="p.xml", digest="ab" * 32, size=900, kind=DocKind.PAYMENT)
SEALED = msgspec.structs.replace(PLAIN, seal=b"12345", seal_name="p.xml.p7s")
QUESTION = msgspec.structs.replace(PLAIN, kind=DocKind.INQUIRY)
ENVELOPED, DETACHED = filedrop.routes(None), filedrop.routes(Detached())


def driven(route: Generator[Request, Any, object], replies: Sequence[Any]) -> tuple[list[Request], object]:
    """All requests, and the result or the error; there must be exactly as many requests as replies."""
    requests: list[Request] = []
    reply = None
    for answer in (*replies, StopIteration):
        try:
            request = route.send(reply)
        except StopIteration as end:
            assert answer is StopIteration
            return requests, end.value
        except (InDoubt, NotSent) as error:
            assert answer is StopIteration
            return requests, error
        requests.append(request)
        reply = answer
    pytest.fail(f"asks for more: {requests[-1]}")


def test_a_file_is_delivered_whole() -> None:
    """Looked for, written under a temporary name, measured, renamed: only the rename lets the bank act."""
    requests, result = driven(ENVELOPED.submit(PLAIN, CONTEXT), [None, None, None, 900, None])
    assert requests == [
        Stat("in/p.xml"),
        Stat("in/done/p.xml"),
        Put("in/p.xml.tmp", PLAIN),
        Stat("in/p.xml.tmp", 900),
        Rename("in/p.xml.tmp", "in/p.xml"),
    ]
    assert [request for request in requests if getattr(request, "final", False)] == requests[-1:]
    assert result == Sent(PLAIN.digest)


def test_a_seal_comes_before_its_payload() -> None:
    """A payload never stands there without its seal; the seal's own rename lets nobody act."""
    requests, result = driven(DETACHED.submit(SEALED, CONTEXT), [None, None, None, None, 5, None, None, 900, None])
    assert requests[2:6] == [
        Stat("in/p.xml.p7s"),
        Put("in/p.xml.p7s.tmp", SEALED, seal=True),
        Stat("in/p.xml.p7s.tmp", 5),
        Rename("in/p.xml.p7s.tmp", "in/p.xml.p7s", final=False),
    ]
    assert requests[-1] == Rename("in/p.xml.tmp", "in/p.xml")
    assert result == Sent(PLAIN.digest)


def test_an_earlier_try_is_taken_up() -> None:
    """A seal that lies there already is left; another one means that the name is not ours, and nothing was sent."""
    requests, result = driven(DETACHED.submit(SEALED, CONTEXT), [None, None, 5, None, 900, None])
    assert [type(request) for request in requests] == [Stat, Stat, Stat, Put, Stat, Rename]
    assert result == Sent(PLAIN.digest)
    _, refused = driven(DETACHED.submit(SEALED, CONTEXT), [None, None, 6])
    assert isinstance(refused, NotSent)


@pytest.mark.parametrize("answers", [[900], [None, 900]], ids=["it lies there", "the bank has taken it"])
def test_what_the_bank_has_is_not_sent_again(answers: list[int | None]) -> None:
    """Before its look and after it: the same name and size is our file."""
    requests, result = driven(DETACHED.submit(SEALED, CONTEXT), answers)
    assert {type(request) for request in requests} == {Stat}
    assert result == Sent(PLAIN.digest)
    assert driven(ENVELOPED.inquire(PLAIN, CONTEXT), answers)[1] == Found(900)


@pytest.mark.parametrize("answers", [[901], [0], [None, 899]])
def test_another_file_of_our_name_is_a_doubt(answers: list[int | None]) -> None:
    """Neither sent over it nor claimed to be ours, nor to be absent."""
    assert isinstance(driven(ENVELOPED.submit(PLAIN, CONTEXT), answers)[1], InDoubt)
    assert isinstance(driven(ENVELOPED.inquire(PLAIN, CONTEXT), answers)[1], InDoubt)


def test_looking_finds_nothing() -> None:
    """Not found only after both looks, in the order in which a bank moves a file."""
    requests, result = driven(ENVELOPED.inquire(PLAIN, CONTEXT), [None, None])
    assert requests == [Stat("in/p.xml"), Stat("in/done/p.xml")]
    assert result == NotFound()


def test_a_question_is_sent_like_a_file() -> None:
    """An inquiry Document is delivered; its answer comes through the inbound door."""
    requests, result = driven(ENVELOPED.inquire(QUESTION, CONTEXT), [None, None, None, 900, None])
    assert requests[-1] == Rename("in/p.xml.tmp", "in/p.xml")
    assert result == Asked()


def entries(*names: str) -> tuple[Entry, ...]:
    return tuple(Entry(name, 1, number) for number, name in enumerate(names))


def test_files_are_taken_in_and_put_aside() -> None:
    """Oldest first; what is not archived with us stays where it is."""
    requests, result = driven(ENVELOPED.fetch(CONTEXT), [entries("b", "a", "c"), True, None, False, True, None])
    assert requests == [
        List("out"),
        Get("out/b", "b"),
        Done("out/b"),
        Get("out/a", "a"),
        Get("out/c", "c"),
        Done("out/c"),
    ]
    assert result == Fetched(2)


def test_a_payload_is_taken_with_its_seal() -> None:
    """Seals are no files of their own; the payload is put aside first, so that it is never left without its seal."""
    requests, result = driven(DETACHED.fetch(CONTEXT), [entries("a.p7s", "a", "b.p7s"), True, None, None])
    assert requests[1:] == [Get("out/a", "a", "out/a.p7s"), Done("out/a"), Done("out/a.p7s")]
    assert result == Fetched(1)


def test_a_seal_may_come_a_little_later() -> None:
    """One wait for all; then what has a seal is taken with it, and what has none is shown to the door without one."""
    replies = [entries("a", "b"), None, entries("a", "a.p7s", "b", "new"), True, None, None, True, None]
    requests, result = driven(DETACHED.fetch(CONTEXT), replies)
    assert requests[1:] == [
        Wait(filedrop.SEAL_WAIT_S),
        List("out"),
        Get("out/a", "a", "out/a.p7s"),
        Done("out/a"),
        Done("out/a.p7s"),
        Get("out/b", "b"),
        Done("out/b"),
    ]
    assert result == Fetched(2)


def test_without_seals_in_the_test_profile() -> None:
    """A bank that seals nothing: no waiting, and nothing is passed over for its name."""
    context = Context(bank=msgspec.structs.replace(BANK, sealed=False), now=CONTEXT.now)
    requests, _ = driven(DETACHED.fetch(context), [entries("a", "a.p7s"), True, None, True, None])
    assert [type(request) for request in requests] == [List, Get, Done, Get, Done]


def test_a_queue_is_published_to_and_taken_from() -> None:
    """One confirmed publication; what comes looks like files with their seals beside them."""
    routes = queue.routes(Detached())
    assert driven(routes.submit(SEALED, CONTEXT), [None]) == ([Publish("bank.BANK_A.out", SEALED)], Sent(PLAIN.digest))
    requests, result = driven(routes.fetch(CONTEXT), [entries("a.p7s", "a"), True, None, None])
    assert requests[:2] == [List("bank.BANK_A.in"), Get("bank.BANK_A.in/a", "a", "bank.BANK_A.in/a.p7s")]
    assert result == Fetched(1)


def test_a_queue_cannot_be_looked_into() -> None:
    """A question can be sent; without one nothing is claimed: neither found nor not found."""
    routes = queue.routes(None)
    requests, result = driven(routes.inquire(PLAIN, CONTEXT), [])
    assert requests == []
    assert isinstance(result, InDoubt)
    assert driven(routes.inquire(QUESTION, CONTEXT), [None]) == ([Publish("bank.BANK_A.out", QUESTION)], Asked())
