"""Travel alone decides what is known about the money: a table of every request, every failure, and where it stands in the route."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from gateway.core.bank import Bank, DocKind, WireKind
from gateway.core.errors import Halt, InDoubt, Malformed, NotSent, Refused, Unavailable, Unverified
from gateway.core.route import (
    Done,
    Encrypt,
    Get,
    List,
    Login,
    Offer,
    Open,
    Post,
    Publish,
    Put,
    Read,
    Rename,
    Request,
    Save,
    SealedDocument,
    Sign,
    Stat,
    Take,
    Verify,
    Wait,
)
from gateway.edge.clock import ManualClock
from gateway.flow.travel import Traveller, is_final

DOCUMENT = SealedDocument(reference="R1", name="pay.txt", digest="0" * 64, size=3, kind=DocKind.PAYMENT)
BANK = Bank(code="BANKA", name="A", adapter="iso20022", wire=WireKind.HTTPS, customer="C1")
FINALS: list[Request] = [
    Put("in/a", DOCUMENT, final=True),
    Rename("in/a.tmp", "in/a"),
    Post("/pay", b"{}", "application/json", once="R1"),
    Publish("bank.A.out", DOCUMENT),
    Offer(DOCUMENT),
]
OTHERS: list[Request] = [
    Put("in/a.tmp", DOCUMENT),
    Rename("in/s.tmp", "in/s", final=False),
    Post("/login", b"{}", "application/json", final=False),
    Stat("in/a"),
    List("out"),
    Get("out/b", "b"),
    Take("reply-1", b"{}", about="R1"),
    Read(DOCUMENT, 0, 3),
    Done("out/b"),
    Login("/login", b"{}"),
    Sign(b"data", "rsa-sha256"),
    Verify(b"data", b"signature", "sm2-sm3-raw", "1234"),
    Encrypt(b"data", "sm4-cbc", "bank-a-sm4", b"iv"),
    Open(b"data", "sm4-cbc", "bank-a-sm4", b"iv"),
    Save("7"),
    Wait(5),
]
ERRORS: list[BaseException] = [
    NotSent("the line is down"),
    InDoubt("no reply"),
    OSError("connection reset by peer"),
    ConnectionResetError(104, "reset"),
    TimeoutError(),
    EOFError(),
    ValueError("a reader's own fault"),
    Unavailable("the archive is away"),
    Refused("our certificate has expired"),
    Unverified("another host key"),
    Malformed("a name we do not take"),
    Halt("the archive holds other bytes"),
]
#: What passes as it is while nothing final was started: not about money, but about whom we talk to and what we hold.
PASSING = (Unverified, Malformed, Halt)


def named(item: object) -> str:
    """The type's name, and whether a request is final."""
    if isinstance(item, BaseException):
        return type(item).__name__
    return type(item).__name__ + ("_final" if is_final(item) else "")  # type: ignore[arg-type]  # requests otherwise


class World:
    """Wire, crypto and door in one: performs everything, but fails at one request, as often as it is asked."""

    def __init__(self, failing: Request | None = None, error: BaseException | None = None) -> None:
        self.failing, self.error = failing, error
        self.asked: list[object] = []

    def _meet(self, request: object) -> Any:
        self.asked.append(request)
        if request == self.failing:
            assert self.error is not None
            raise self.error
        return True

    async def perform(self, request: Request) -> Any:
        """The wire's part."""
        return self._meet(request)

    async def sign(self, key: str, algorithm: str, data: bytes, signer_id: str = "") -> bytes:
        """The crypto's part."""
        del key, algorithm, data, signer_id
        self._meet(next((r for r in (self.failing,) if isinstance(r, Sign)), "sign"))
        return b"signature"

    def check(
        self, bank: Bank, algorithm: str, data: bytes, signature: bytes, at: datetime, signer_id: str = ""
    ) -> None:
        """The crypto's part."""
        assert bank is BANK
        assert at == self.now()
        self._meet(Verify(data, signature, algorithm, signer_id))

    async def encrypt(self, key: str, algorithm: str, data: bytes, iv: bytes = b"") -> bytes:
        """The crypto's part."""
        self._meet(Encrypt(data, algorithm, key, iv))
        return data[::-1]

    async def decrypt(self, key: str, algorithm: str, data: bytes, iv: bytes = b"") -> bytes:
        """The crypto's part."""
        self._meet(Open(data, algorithm, key, iv))
        return data[::-1]

    async def take_in(self, request: Get | Take) -> bool:
        """The door's part."""
        return bool(self._meet(request))

    async def read(self, request: Read) -> bytes:
        """The archive's part."""
        self._meet(request)
        return b"pay"

    async def save(self, cursor: str) -> None:
        """The ledger's part."""
        del cursor
        self._meet(next((r for r in (self.failing,) if isinstance(r, Save)), "save"))

    async def sleep(self, seconds: float) -> None:
        """The clock's part."""
        del seconds
        self._meet(next((r for r in (self.failing,) if isinstance(r, Wait)), "wait"))

    def now(self) -> datetime:
        """Any moment."""
        return datetime(2015, 6, 10, tzinfo=UTC)

    def monotonic(self) -> float:
        """Any span."""
        return 0.0

    def traveller(self, deadline_s: float = 5) -> Traveller:
        """One whose ports are all this."""
        ports: Any = self
        return Traveller(
            ports, ports, ports, BANK, take_in=self.take_in, read=self.read, save=self.save, deadline_s=deadline_s
        )


class Walk:
    """A route over some requests; remembers whether it was closed, and how far it came."""

    def __init__(self, *requests: Request, fails: BaseException | None = None) -> None:
        self.requests, self.fails = requests, fails
        self.closed = False

    def __call__(self) -> Generator[Request, Any, str]:
        try:
            for request in self.requests:  # noqa: UP028 - a plain iterator cannot be sent replies
                yield request
            if self.fails is not None:
                raise self.fails
            return "there"
        finally:
            self.closed = True


class Case(NamedTuple):
    """Where the failing request stands, and what travel must say of an error there."""

    before: tuple[Request, ...]
    request: Request
    error: BaseException

    def expected(self) -> type[BaseException]:
        """The table."""
        left = any(is_final(request) for request in self.before)
        if isinstance(self.error, InDoubt):
            return InDoubt
        if left:
            return InDoubt  # part of it is at the bank, whatever happened to the rest
        if isinstance(self.error, NotSent):
            return NotSent  # the wire is sure
        if is_final(self.request):
            return Unverified if isinstance(self.error, Unverified) else InDoubt  # a wire looks before it speaks
        if isinstance(self.error, Unverified) and isinstance(self.request, Verify | Open):
            return NotSent  # an answer that is not proven is no answer; it is not the partner that is wrong
        return type(self.error) if isinstance(self.error, PASSING) else NotSent


CASES = [
    Case(before, request, error)
    for before in ((), (Put("in/x.tmp", DOCUMENT),), (Rename("in/x.tmp", "in/x"),))
    for request in (*FINALS, *OTHERS)
    for error in ERRORS
]


@pytest.mark.parametrize("request_", [*FINALS, *OTHERS], ids=named)
def test_which_requests_a_bank_may_act_on(request_: Request) -> None:
    """Exactly the final ones."""
    assert is_final(request_) is (request_ in FINALS)


@pytest.mark.parametrize("place", ["first", "after_a_draft", "after_a_final"])
@pytest.mark.parametrize("error", ERRORS, ids=named)
async def test_the_table(place: str, error: BaseException) -> None:
    """Every request with every failure at every place: NotSent only where surely nothing left; never asked twice; the route is closed."""
    wanted = {"first": 0, "after_a_draft": 1, "after_a_final": 2}[place]
    before = ((), (Put("in/x.tmp", DOCUMENT),), (Rename("in/x.tmp", "in/x"),))[wanted]
    for case in CASES:
        if case.before != before or case.error is not error:
            continue
        world, walk = World(case.request, error), Walk(*before, case.request, Stat("in/never"))
        with pytest.raises(Exception) as found:  # noqa: PT011 - the next line compares the exact type
            await world.traveller().travel(walk())
        assert type(found.value) is case.expected(), f"{named(case.request)} after {before}: {found.value}"
        assert world.asked.count(case.request) == 1, "something was tried again"
        assert Stat("in/never") not in world.asked
        assert walk.closed


@pytest.mark.parametrize("request_", [r for r in (*FINALS, *OTHERS) if not isinstance(r, Verify)], ids=named)
@pytest.mark.parametrize("left", [False, True], ids=["nothing_left", "part_left"])
async def test_a_deadline_is_no_answer(request_: Request, left: bool) -> None:
    """A request that takes too long is a doubt if it is final or something has left, else surely nothing."""

    class Slow(World):
        def _meet(self, request: object) -> Any:
            if request == request_ or request in ("sign", "save", "wait"):
                raise _Forever
            return super()._meet(request)

        async def perform(self, request: Request) -> Any:
            return await self._slowly(super().perform(request))

        async def sign(self, key: str, algorithm: str, data: bytes, signer_id: str = "") -> bytes:
            return bytes(await self._slowly(super().sign(key, algorithm, data)))

        async def encrypt(self, key: str, algorithm: str, data: bytes, iv: bytes = b"") -> bytes:
            return bytes(await self._slowly(super().encrypt(key, algorithm, data, iv)))

        async def decrypt(self, key: str, algorithm: str, data: bytes, iv: bytes = b"") -> bytes:
            return bytes(await self._slowly(super().decrypt(key, algorithm, data, iv)))

        async def take_in(self, request: Get | Take) -> bool:
            return bool(await self._slowly(super().take_in(request)))

        async def save(self, cursor: str) -> None:
            await self._slowly(super().save(cursor))

        async def sleep(self, seconds: float) -> None:
            await self._slowly(super().sleep(seconds))

        async def _slowly(self, doing: Any) -> Any:
            try:
                return await doing
            except _Forever:
                await asyncio.Event().wait()

    before = (Rename("in/x.tmp", "in/x"),) if left else ()
    with pytest.raises(InDoubt if left or is_final(request_) else NotSent):
        await Slow().traveller(0.01).travel(Walk(*before, request_)())


class _Forever(Exception):
    """This one never comes back."""


@pytest.mark.parametrize("request_", [FINALS[1], OTHERS[0]], ids=named)
async def test_a_cancellation_passes(request_: Request) -> None:
    """Cancelled, by us or by a dying connection: it is told as it is, and the route is closed."""
    walk = Walk(request_)
    with pytest.raises(asyncio.CancelledError):
        await World(request_, asyncio.CancelledError()).traveller().travel(walk())
    assert walk.closed


@pytest.mark.parametrize("error", [*ERRORS, KeyError("an adapter's own fault")], ids=named)
@pytest.mark.parametrize("left", [False, True], ids=["nothing_left", "part_left"])
async def test_an_error_of_the_route_itself(error: BaseException, left: bool) -> None:
    """What a route raises by itself after something has left is a doubt too, whatever it says."""
    before = (Rename("in/x.tmp", "in/x"),) if left else (Put("in/x.tmp", DOCUMENT),)
    with pytest.raises(Exception) as found:  # noqa: PT011 - the next lines compare the exact type
        await World().traveller().travel(Walk(*before, fails=error)())
    if left or isinstance(error, InDoubt):
        assert type(found.value) is InDoubt
    else:
        assert type(found.value) is (type(error) if isinstance(error, PASSING) else NotSent)


POST = FINALS[2]


@pytest.mark.parametrize(
    ("before", "after", "stands"),
    [
        ((), (), True),
        ((Put("in/x.tmp", DOCUMENT), Post("/ask", b"", "", final=False)), (), True),
        ((), (Wait(5), Sign(b"data", "rsa-sha256")), True),
        ((POST, Save("1")), (), False),
        ((Rename("in/x.tmp", "in/x"),), (), False),
        ((), (Save("1"),), False),
        ((), (Take("reply", b"{}"),), False),
        ((), (Post("/pay", b"2", ""),), False),
    ],
)
async def test_the_route_reads_what_the_answer_to_a_post_proves(
    before: tuple[Request, ...], after: tuple[Request, ...], stands: bool
) -> None:
    """ "Surely nothing", read from the answer to the first final Post, stands; after anything else that left, or went on, it is a doubt."""
    fails = NotSent("the bank says that it could not read it")
    walk = Walk(*before, POST, *after, fails=fails)
    with pytest.raises(NotSent if stands else InDoubt):
        await World().traveller().travel(walk())


@pytest.mark.parametrize("error", ERRORS, ids=named)
@pytest.mark.parametrize("reading", [Sign(b"data", "rsa-sha256"), Wait(5)], ids=named)
async def test_an_error_while_the_answer_is_read_is_a_doubt(error: BaseException, reading: Request) -> None:
    """Only the route itself can read an answer: what fails meanwhile says nothing about the Post."""
    with pytest.raises(InDoubt):
        await World(reading, error).traveller().travel(Walk(POST, reading)())


async def test_replies_and_the_end() -> None:
    """A route is sent each reply, and its return value comes back."""

    def route() -> Generator[Request, Any, tuple[Any, ...]]:
        signature = yield Sign(b"data", "rsa-sha256")
        taken = yield Get("out/b", "b")
        hidden = yield Encrypt(b"data", "sm4-cbc", "k", b"iv")
        opened = yield Open(hidden, "sm4-cbc", "k", b"iv")
        checked = yield Verify(b"data", b"signature", "sm2-sm3-raw", "me")
        read = yield Read(DOCUMENT, 0, 3)
        return signature, taken, hidden, opened, checked, read

    world = World()
    assert await world.traveller().travel(route()) == (b"signature", True, b"atad", b"data", None, b"pay")
    assert Verify(b"data", b"signature", "sm2-sm3-raw", "me") in world.asked


async def test_waiting_is_on_the_clock() -> None:
    """A route's Wait follows the clock of the gateway, not the wall."""
    clock, world = ManualClock(datetime(2015, 6, 10, tzinfo=UTC)), World()
    ports: Any = world
    traveller = Traveller(
        ports, clock, ports, BANK, take_in=world.take_in, read=world.read, save=world.save, deadline_s=5
    )
    going = asyncio.create_task(traveller.travel(Walk(Wait(60))()))
    while clock.next_due() is None:
        await asyncio.sleep(0)
    assert not going.done()
    clock.advance(60)
    assert await going == "there"
