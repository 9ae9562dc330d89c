"""A lane whose format talks: what a route may read, take in about a Document, keep, and ask about, and at whose pace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from gateway.core.bank import WireKind
from gateway.core.errors import InDoubt, NotSent
from gateway.core.partner import Partner
from gateway.core.route import (
    Asked,
    Awaited,
    Context,
    Fetched,
    Found,
    NotFound,
    Put,
    Read,
    Route,
    Routes,
    Save,
    SealedDocument,
    Sent,
    Take,
    Wait,
)
from tests.flow.counterpart import Counterpart
from tests.flow.house import OWN, START, House

PART_BYTES = 100


class Speaker:
    """Routes of a format that talks, over a wire that only keeps; what they were given and read."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.read: list[bytes] = []
        self.fetched: list[Context] = []
        self.cursors: list[str] = []
        self.answers: list[tuple[str, bytes, str]] = []
        self.again_s = 0
        self.dies_after = 0
        partner = house.partners[OWN]
        routes = Routes(submit=self.submit, inquire=self.inquire, fetch=self.fetch, asks=True)
        adapter = msgspec.structs.replace(partner.adapter, routes={WireKind.FOLDER: routes}, write_inquiry=None)
        house.partners[OWN] = Partner(bank=partner.bank, adapter=adapter)

    def submit(self, document: SealedDocument, context: Context) -> Route[Sent]:
        self.cursors.append(context.cursor)
        at = int(context.cursor or 0)
        while at < document.size:
            part = yield Read(document, at, PART_BYTES)
            self.read.append(part)
            at += len(part)
            yield Save(str(at))
            if self.dies_after and len(self.read) == self.dies_after:
                raise InDoubt("the reply to this part is lost")
        yield Put(f"in/{document.seal_name}", document, seal=True)
        yield Put(f"in/{document.name}", document, final=True)
        return Sent(document.digest)

    def inquire(self, document: SealedDocument, context: Context) -> Route[Found | NotFound | Asked]:
        self.cursors.append(context.cursor)
        yield Read(document, 0, 1)
        return NotFound()

    def fetch(self, context: Context) -> Route[Fetched]:
        self.fetched.append(context)
        count = 0
        for name, body, about in self.answers:
            count += yield Take(name, body, about)
        self.answers.clear()
        return Fetched(count, self.again_s)


@pytest.fixture
def speaker(make_house: Callable[..., House]) -> Speaker:
    """A house whose bank is talked to."""
    return Speaker(make_house())


def counterpart(house: House) -> Counterpart:
    """The bank's side, to make its answers; they do not lie in a folder here."""
    return Counterpart(OWN, house.partners[OWN].adapter.code, house.wires[OWN], house.keys)


async def test_the_payload_is_read_in_pieces(speaker: Speaker) -> None:
    """From any offset, fewer bytes at the end, together exactly what was sealed and archived."""
    house = speaker.house
    await house.paying(3)
    await house.step()
    ((digest,),) = house.rows("SELECT digest FROM document")
    assert b"".join(speaker.read) == house.archived()[str(digest)]
    assert [len(part) for part in speaker.read[:-1]] == [PART_BYTES] * (len(speaker.read) - 1)
    assert 0 < len(speaker.read[-1]) <= PART_BYTES


async def test_after_a_doubt_it_goes_on_from_the_cursor(speaker: Speaker) -> None:
    """What was kept before the doubt is what the inquiry and the next sending are given; not one byte is read twice."""
    house = speaker.house
    speaker.dies_after = 2
    await house.paying(3)
    await house.step()
    assert house.documents() == [("in_doubt", 1)]
    speaker.dies_after = 0
    house.clock.advance(4 * 3_600)
    await house.step(times=3)
    assert speaker.cursors[0] == ""
    assert set(speaker.cursors[1:]) == {str(2 * PART_BYTES)}
    ((digest,),) = house.rows("SELECT digest FROM document")
    assert b"".join(speaker.read) == house.archived()[str(digest)]


async def test_what_is_awaited(speaker: Speaker) -> None:
    """Nothing before anything was sent; then the Document, its cursor and the time of its sending; nothing once all is told."""
    house = speaker.house
    await house.step()
    assert speaker.fetched[-1].awaited == ()
    await house.paying(3)
    await house.step(times=2)
    waiting: tuple[Awaited, ...] = speaker.fetched[-1].awaited
    (awaited,) = waiting
    ((reference, digest),) = house.rows("SELECT reference, digest FROM document")
    assert isinstance(awaited, Awaited)
    assert (awaited.document.reference, awaited.document.digest) == (reference, digest)
    assert (awaited.cursor, awaited.sent) == (str(awaited.document.size), START)
    own = counterpart(house)
    own.result(own.take())
    (path,) = [path for path in house.wires[OWN].files if path.startswith("out/") and not path.endswith(".p7s")]
    house.partners[OWN] = Partner(
        bank=msgspec.structs.replace(house.partners[OWN].bank, sealed=False), adapter=house.partners[OWN].adapter
    )
    house.restarted(OWN)
    speaker.answers.append(("reply-1.txt", house.wires[OWN].files[path], str(reference)))
    await house.step(times=2)
    assert set(house.states()) == {"paid"}
    house.clock.advance(60)
    await house.step()
    assert speaker.fetched[-1].awaited == ()


async def test_an_answer_about_another_document_is_parked(speaker: Speaker) -> None:
    """It names ours, but we had asked about something else."""
    house = speaker.house
    await house.paying(3)
    await house.step()
    own = counterpart(house)
    own.result(own.take())
    (path,) = [path for path in house.wires[OWN].files if path.startswith("out/") and not path.endswith(".p7s")]
    partner = house.partners[OWN]
    house.partners[OWN] = Partner(bank=msgspec.structs.replace(partner.bank, sealed=False), adapter=partner.adapter)
    house.restarted(OWN)
    speaker.answers.append(("reply-1.txt", house.wires[OWN].files[path], "BANKB2015061000099"))
    await house.step(times=2)
    assert ("parked", "SEQ") in house.inbound()
    assert set(house.states()) == {"batched"}


async def test_a_reply_is_taken_once_and_never_lost(speaker: Speaker) -> None:
    """Archived before the route goes on; a reply that cannot be read is kept and told, and the route goes on."""
    house = speaker.house
    speaker.answers += [("odd-1", b"not what it should be", ""), ("odd-2", b"", "")]
    await house.step()
    assert len(house.inbound()) == 2
    assert {state for state, _ in house.inbound()} == {"quarantined"}


async def test_the_bank_says_when_it_may_be_asked_again(speaker: Speaker) -> None:
    """Not a round sooner, whatever else the lane does meanwhile; without a word, in every round."""
    house = speaker.house
    await house.step(times=3)
    assert len(speaker.fetched) == 3
    speaker.again_s = 300
    await house.step(times=3)
    assert len(speaker.fetched) == 4
    await house.paying(3)
    house.clock.advance(299)
    await house.step()
    assert len(speaker.fetched) == 4
    house.clock.advance(1)
    await house.step()
    assert len(speaker.fetched) == 5
    assert speaker.fetched[-1].now - speaker.fetched[-2].now == timedelta(seconds=300)


@pytest.mark.parametrize("error", [NotSent("no answer"), InDoubt("no answer")])
async def test_a_question_without_an_answer_is_asked_again_later(speaker: Speaker, error: NotSent | InDoubt) -> None:
    """After a wait that doubles; the rest of the lane goes on."""
    house = speaker.house

    def fails(context: Context) -> Route[Fetched]:
        speaker.fetched.append(context)
        yield Wait(0)
        raise error

    partner = house.partners[OWN]
    (routes,) = partner.adapter.routes.values()
    adapter = msgspec.structs.replace(
        partner.adapter, routes={WireKind.FOLDER: msgspec.structs.replace(routes, fetch=fails)}
    )
    house.partners[OWN] = Partner(bank=partner.bank, adapter=adapter)
    await house.paying(3)
    for _ in range(10):
        await house.step()
        house.clock.advance(1)
    assert len(speaker.fetched) == 4, "after 0, 1, 3, 7 seconds"
    assert house.documents() == [("sent", 1)]
