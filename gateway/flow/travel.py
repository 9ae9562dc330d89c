"""Travel: drive a route's requests over a wire, and decide what is known about the money. Nobody else decides it.

``NotSent``: surely nothing reached the bank. ``InDoubt``: something may have. The line between them is the first *final* request (one after
which the bank may act): whatever goes wrong once it was started, without the wire's word that it had no effect, is a doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from gateway.core.bank import Bank
from gateway.core.errors import Halt, InDoubt, Malformed, NotSent, SheyinError, Unverified
from gateway.core.ports import Clock, Crypto, Wire
from gateway.core.route import (
    Encrypt,
    Get,
    Offer,
    Open,
    Post,
    Publish,
    Put,
    Read,
    Rename,
    Request,
    Route,
    Save,
    Sign,
    Take,
    Verify,
    Wait,
)

T = TypeVar("T")


class TakeIn(Protocol):
    """The one inbound door, as a route reaches it."""

    async def __call__(self, request: Get | Take) -> bool:
        """True if it is archived with us."""
        ...


class Traveller:
    """What a route may ask for beside its wire."""

    def __init__(
        self,
        wire: Wire,
        clock: Clock,
        crypto: Crypto,
        bank: Bank,
        *,
        take_in: TakeIn,
        read: Callable[[Read], Awaitable[bytes]],
        save: Callable[[str], Awaitable[None]],
        deadline_s: float,
    ) -> None:
        self._wire, self._clock, self._crypto, self._bank = wire, clock, crypto, bank
        self._take_in, self._read, self._save, self._deadline_s = take_in, read, save, deadline_s

    async def travel(self, route: Route[T]) -> T:
        """The route's result. Raises NotSent, InDoubt; Malformed and Halt while nothing final was begun, Unverified while nothing has left.

        A cancellation passes as it is: whoever drives us finds the Document in ``sending`` and doubts it.
        """
        left = False  # a final request ended well: part of the Document is at the bank
        posted = False  # a final Post was answered, and the route still reads what that proves
        request: Request | None = None  # the one under way
        reply: Any = None
        try:
            while True:
                request = None
                request = route.send(reply)
                if posted and _goes_on(request):
                    left, posted = True, False
                reply = await asyncio.wait_for(self._perform(request), self._deadline_s)
                posted = posted or (is_final(request) and isinstance(request, Post))
                left = left or (is_final(request) and not isinstance(request, Post))
        except StopIteration as end:
            result: T = end.value
            return result
        except Exception as error:  # the wire's or the route's own: the question is only whether money may have moved
            proven = request is None and isinstance(error, NotSent)
            raise _known(error, request, left=left or (posted and not proven)) from error
        finally:
            route.close()

    async def _perform(self, request: Request) -> Any:
        match request:
            case Get() | Take():
                return await self._take_in(request)
            case Read():
                return await self._read(request)
            case Save(cursor):
                return await self._save(cursor)
            case Sign(data, algorithm, signer_id):
                return await self._crypto.sign(self._bank.sign_key, algorithm, data, signer_id)
            case Verify(data, signature, algorithm, signer_id):
                self._crypto.check(self._bank, algorithm, data, signature, self._clock.now(), signer_id)
                return None
            case Encrypt(data, algorithm, key, iv):
                return await self._crypto.encrypt(key, algorithm, data, iv)
            case Open(data, algorithm, key, iv):
                return await self._crypto.decrypt(key, algorithm, data, iv)
            case Wait(seconds):
                return await self._clock.sleep(seconds)
        return await self._wire.perform(request)


def is_final(request: Request) -> bool:
    """Whether the bank may act on it."""
    match request:
        case Put() | Rename() | Post():
            return request.final
        case Publish() | Offer():
            return True
    return False


def _goes_on(request: Request) -> bool:
    """Whether the route has read the answer before and takes it for the bank's: it keeps it, moves its cursor, or sends the next part."""
    return is_final(request) or isinstance(request, Save | Take)


def _known(error: BaseException, request: Request | None, *, left: bool) -> BaseException:
    """The error that says what is known. ``request``: the one under way, None if the route itself raised it."""
    if isinstance(error, InDoubt):
        return error
    if isinstance(error, NotSent):
        return InDoubt(f"a part has left, the next did not: {error.what}", where=error.where) if left else error
    answer = isinstance(request, Verify | Open)
    if isinstance(error, Unverified) and request is not None and not (left or answer):
        return error  # whoever is there is not the bank, and has got nothing: a wire looks before it speaks
    if left or (request is not None and is_final(request)):
        return InDoubt(f"it ended with {_words(error)}")
    if isinstance(error, Unverified) and answer:  # an answer that proves nothing is none
        return NotSent(f"an answer that is not proven: {error.what}", code=error.code)
    if isinstance(error, Unverified | Malformed | Halt):
        return error
    return NotSent(f"it ended with {_words(error)}")


def _words(error: BaseException) -> str:
    if isinstance(error, SheyinError):
        return error.what
    return f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__
