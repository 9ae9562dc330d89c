"""Golden cases: what is ordered, the Document that we write, what the bank answers, what the payer is told; and how two of them differ.

A case is a folder in tests/adapters/golden/<format>/ with four files::

    instruction.json   the Bank (what differs from the one of tests/flow/house.py) and the instructions, as a payer publishes them
    document.bin       the Document byte for byte, without a signature, which changes with the key
    result.bin         what the bank answers: its bytes, written by its sandbox side or taken from its published material, never by us
    events.json        what the payer is told, in order; a digest is that of document.bin
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from difflib import unified_diff
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from adapters.standards import filedrop
from gateway.core.adapter import Adapter
from gateway.core.bank import Bank, PayLine, PaymentHead, SealSlot, WireKind
from gateway.core.contracts import Instruction
from gateway.core.errors import SheyinError
from gateway.core.partner import Partner
from tests.flow.house import ADAPTERS, OWN, House
from tests.flow.house import bank as bank_of

ROOT = Path(__file__).parents[1] / "adapters" / "golden"
CODE = OWN
#: The case that every paying format has: three are ordered, and the second fails.
FIRST = "one_name_differs"
#: What operations are told is not the payer's.
_OPERATIONS = ("alert", "operations")


class Ordered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """instruction.json."""

    instructions: list[Instruction]
    bank: dict[str, Any] = {}


class Case(NamedTuple):
    """One folder."""

    folder: Path

    def __str__(self) -> str:
        return f"{self.folder.parent.name}-{self.folder.name}"

    @property
    def adapter(self) -> Adapter:
        """Of the format that the folder lies under."""
        return ADAPTERS[self.folder.parent.name]

    @property
    def ordered(self) -> Ordered:
        """What the payer publishes, and to which Bank."""
        return msgspec.json.decode((self.folder / "instruction.json").read_bytes(), type=Ordered)

    def bank(self, **more: Any) -> Bank:
        """The Bank of the case, which has no pins; ``more`` instead of what it has."""
        found = msgspec.to_builtins(bank_of(CODE, adapter=self.adapter.code, pins=())) | self.ordered.bank | more
        return msgspec.convert(found, type=Bank)

    def held(self, name: str) -> bytes:
        """One of the other files."""
        return (self.folder / name).read_bytes()


def cases() -> list[Case]:
    """Every folder with instructions in it."""
    return [Case(path.parent) for path in sorted(ROOT.glob("*/*/instruction.json"))]


class Played(NamedTuple):
    """What came of a case."""

    document: bytes
    events: bytes


async def play(make_house: Callable[..., House], case: Case) -> Played:
    """Order it, let two people release it, let the Document leave, hear the bank, tell the payer.

    The bytes leave through a folder whatever the format's wire is: how they travel is another test's.
    """
    writes: list[bytes] = []
    adapter = recording(case.adapter, writes)
    bank = case.bank()
    house = make_house(bank)
    house.partners[CODE] = Partner(bank=bank, adapter=adapter)
    reference = await at_the_bank(house, case)
    ((digest,),) = house.rows("SELECT digest FROM document")
    unsealed = Partner(bank=msgspec.structs.replace(bank, sealed=False), adapter=adapter)
    await house.collector.take_in(unsealed, "result.bin", once(case.held("result.bin")), "folder", None, str(reference))
    await house.collector.step(unsealed)
    assert house.inbound() == [("applied", "")], house.rows("SELECT code, what FROM inbound")
    told = [
        {"type": kind, "data": msgspec.to_builtins(data)}
        for kind, data in await house.tell()
        if not kind.startswith(_OPERATIONS)
    ]
    await house.sound()
    document = b"".join(writes)
    return Played(document, pretty(told).replace(digest.encode(), sha256(document).hexdigest().encode()))


async def at_the_bank(house: House, case: Case) -> str:
    """Everything as ordered, and the Document sent: its reference."""
    assert await house.submit(case.ordered.instructions) == "accepted"
    await house.release()
    await house.step(CODE, times=2)
    ((reference, state),) = house.rows("SELECT reference, state FROM document")
    assert state == "sent"
    return str(reference)


def recording(adapter: Adapter, writes: list[bytes]) -> Adapter:
    """The format, travelling in a folder, and every byte of payments that it writes kept in ``writes``."""

    def write(head: PaymentHead, lines: Iterable[PayLine], bank: Bank) -> Iterator[bytes | SealSlot]:
        for chunk in adapter.payment(head, lines, bank):
            if not isinstance(chunk, SealSlot):
                writes.append(chunk)
            yield chunk

    routes = {WireKind.FOLDER: filedrop.routes(adapter.seal)}
    return msgspec.structs.replace(adapter, write_payment=write, routes=routes)


async def once(body: bytes) -> AsyncIterator[bytes]:
    """A stream of one piece, as the door takes it."""
    yield body


def pretty(value: object) -> bytes:
    """JSON as it is kept in a case."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


# ---------------------------------------------------------------------------------------------------------------- differences


def fields(adapter: Adapter, document: bytes) -> list[str]:
    """A Document field by field, as ``sheyin inspect`` reads it: ``line 2 · name = 李四``; what cannot be read says why."""
    told: list[str] = []
    line = 0
    try:
        for item in adapter.read(io.BytesIO(document)):
            kind = type(item).__name__.lower()
            line += kind == "row"
            place = f"line {line}" if kind == "row" else kind
            values = item._asdict() if isinstance(item, tuple) else msgspec.structs.asdict(item)
            told += [f"{place} · {name} = {value}" for name, value in values.items() if value not in ("", (), None)]
    except SheyinError as error:
        told.append(f"cannot be read: {error}")
    return told


def difference(case: Case, name: str, held: bytes, now: bytes) -> str:
    """Empty where they are alike; else what differs, field by field, and only where no field does, its first byte."""
    if held == now:
        return ""
    before, after = (_shown(case.adapter, name, content) for content in (held, now))
    lines = list(unified_diff(before, after, f"{name} as held", f"{name} now", lineterm="", n=1))
    if not lines:
        alike = zip(held, now, strict=False)
        at = next((n for n, pair in enumerate(alike) if pair[0] != pair[1]), min(len(held), len(now)))
        around = slice(max(0, at - 20), at + 20)
        lines = [f"no field differs; byte {at} does: held {held[around]!r}, now {now[around]!r}"]
    what = f"{case}: {name} changed. Where that is meant: pytest tests/flow/test_golden.py --golden-write"
    return "\n".join((what, *lines))


def _shown(adapter: Adapter, name: str, content: bytes) -> list[str]:
    return content.decode().splitlines() if name.endswith(".json") else fields(adapter, content)
