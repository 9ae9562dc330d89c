"""The ports: what the flow needs from the world, as Protocols. ``gateway.edge`` makes them real; the simulation makes them faulty.

The ledger's port is its own module (``core/ledger.py``), because it is the longest.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, BinaryIO, ParamSpec, Protocol, TypeVar

import msgspec

from gateway.core.bank import Bank, Seal
from gateway.core.route import Request

T = TypeVar("T")
P = ParamSpec("P")


class Clock(Protocol):
    """Time. UTC inside; a virtual clock in the demo and the simulation."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds for measuring spans; never a date."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long on this clock."""
        ...


class Ids(Protocol):
    """Fresh identifiers, unguessable where it matters and time-ordered where storage likes it."""

    def message(self) -> str:
        """A new message id, 1..255 ASCII characters, time-ordered."""
        ...


class Work(Protocol):
    """Where synchronous work on bytes runs: a thread in production, inline in the simulation."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it elsewhere, return its result or raise its error."""
        ...


# ---------------------------------------------------------------------------------------------------------------- bus


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message of ours, either way."""

    message_id: str
    body: bytes
    content_type: str = "application/cloudevents+json"
    headers: Mapping[str, str] = {}


class Delivery(Protocol):
    """One message from a queue, not settled yet."""

    message: Message
    queue: str
    redelivered: bool

    async def ack(self) -> None:
        """It is recorded in the ledger."""
        ...

    async def reject(self, reason: str) -> None:
        """It can never be processed: dead-letter it, bytes and reason kept."""
        ...

    async def requeue(self) -> None:
        """We cannot record it now (the ledger is away): give it back."""
        ...

    async def give_back(self) -> None:
        """It was only looked at: back to where it came from, at once."""
        ...


class Bus(Protocol):
    """The broker. Publishing is confirmed and mandatory; consuming acknowledges after the ledger's commit."""

    async def publish(self, exchange: str, key: str, message: Message) -> None:
        """Returns after the broker's confirm. Raises Unavailable if it did not arrive or is not known to have: publish it again under
        the same message id."""
        ...

    def consume(self, queue: str, prefetch: int) -> AsyncGenerator[Delivery, None]:
        """Deliveries for ever; ends only when the task is cancelled. Wrapped in ``contextlib.aclosing``, what the loop held unsettled
        when it was left is given back at once."""
        ...

    async def take(self, queue: str) -> Delivery | None:
        """One delivery if there is one."""
        ...

    async def depth(self, queue: str) -> int:
        """Messages waiting in it."""
        ...


# ---------------------------------------------------------------------------------------------------------------- archive


class Spool(Protocol):
    """A file being written, hashed as it grows; nobody sees it before ``keep``."""

    size: int

    def write(self, data: bytes) -> None:
        """Append. Raises Malformed SIZE above the cap."""
        ...

    def hole(self, size: int) -> int:
        """Leave ``size`` bytes to be filled later, out of the running digest; returns the offset."""
        ...

    def running_digest(self) -> bytes:
        """SHA-256 of all written so far, holes left out."""
        ...

    def fill(self, offset: int, data: bytes) -> None:
        """Fill a hole; ``data`` must have its exact size."""
        ...

    def keep(self) -> str:
        """fsync and move into the archive under its SHA-256 (holes filled); returns the hex digest. Same content twice is one file."""
        ...

    def drop(self) -> None:
        """Forget it."""
        ...


class Archive(Protocol):
    """Every Document that left or arrived, by digest. Synchronous: used inside Work. Content is encrypted at rest."""

    def spool(self, size_max: int) -> Spool:
        """A new spool with a cap in bytes."""
        ...

    def open(self, digest: str) -> BinaryIO:
        """Read it again; checks the digest on the way and raises Halt if it differs."""
        ...

    def size(self, digest: str) -> int:
        """Bytes of the payload; raises Halt if it is not there."""
        ...


# ---------------------------------------------------------------------------------------------------------------- crypto


class SignedBy(msgspec.Struct, frozen=True, kw_only=True):
    """Whose signature it is."""

    by: str  # name of the pinned certificate
    fingerprint: str  # SHA-256 of that certificate, hex


class Verified(SignedBy, frozen=True, kw_only=True):
    """What a verification proved: by whom, and which bytes. Only ``signed`` may be read (P8)."""

    signed: BinaryIO


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One key or pinned certificate, for lists and expiry warnings."""

    name: str
    use: str  # "sign", "decrypt", "verify", "encrypt"
    subject: str
    fingerprint: str
    not_before: datetime
    not_after: datetime


class Crypto(Protocol):
    """Keys and engines. Nothing here returns a private key."""

    async def sign(self, key: str, algorithm: str, data: bytes, signer_id: str = "") -> bytes:
        """Signature over ``data``, checked with the key's own certificate before it is returned.

        ``rsa-sha256``; ``sm2-sm3`` (DER) and ``sm2-sm3-raw`` (r‖s, 64 bytes). ``signer_id`` is SM2's, "" its default. Raises Refused:
        POLICY for another algorithm, CERT for a key that may not sign; Unavailable if the engine is away or signs wrongly.
        """
        ...

    async def sign_stream(self, key: str, algorithm: str, data: BinaryIO, signer_id: str = "") -> bytes:
        """``sign`` over all that ``data`` holds, read once from its start and rewound, in constant memory."""
        ...

    def certificate(self, key: str) -> bytes:
        """The DER certificate of a signing key of ours."""
        ...

    def verify(self, bank: Bank, shape: Seal, payload: BinaryIO, seal: bytes | None, at: datetime) -> Verified:
        """Check an inbound seal against the Bank's pins. Synchronous: used inside Work. Raises Unverified (SIG, CERT, SIZE)."""
        ...

    def check(
        self, bank: Bank, algorithm: str, data: bytes, signature: bytes, at: datetime, signer_id: str = ""
    ) -> SignedBy:
        """Check a bare signature over ``data`` against the Bank's pins. Synchronous. Raises Unverified (SIG, CERT)."""
        ...

    async def encrypt(self, key: str, algorithm: str, data: bytes, iv: bytes = b"") -> bytes:
        """Ciphertext of ``data``.

        ``sm4-cbc`` with the secret called ``key``, PKCS#7 padding, ``iv`` of 16 bytes; ``cms-enveloped`` to the pinned encryption
        certificate called ``key`` (DER, AES-256-CBC, RSA). Raises Refused: POLICY for another algorithm or iv, CERT for the key.
        """
        ...

    async def decrypt(self, key: str, algorithm: str, data: bytes, iv: bytes = b"") -> bytes:
        """The plaintext; it proves nothing about who wrote it. ``key``: the secret, or for ``cms-enveloped`` a decryption key of ours ("":
        whichever the envelope names). Raises Refused as ``encrypt``, Unverified SIG for what does not open, Unavailable (engine)."""
        ...

    def keys(self) -> list[KeyInfo]:
        """Every key and pin that is configured."""
        ...


# ---------------------------------------------------------------------------------------------------------------- wires


class Wire(Protocol):
    """One Bank's transport. It performs requests; it decides nothing.

    Raises NotSent where it is sure that the request had no effect at the bank, InDoubt where it is not, Unverified where the partner's
    identity (host key, certificate) is wrong, before it got anything; Malformed for a name or size we do not take.
    """

    async def perform(self, request: Request) -> Any:
        """The reply that the request's docstring names. (What is not the wire's never arrives here: ``travel`` does it.)"""
        ...

    def read(self, path: str) -> AsyncIterator[bytes]:
        """The bytes at ``path`` in chunks. Raises NotSent if it vanished, Malformed PATH if it is no plain file."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...
