"""What every wire must do, run over all of them: deliver once and whole, bring what is whole, say what is known."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from gateway.core.bank import DocKind, WireKind
from gateway.core.errors import Code, Halt, InDoubt, Malformed, NotSent, Refused
from gateway.core.ports import Message, Wire
from gateway.core.route import Done, Entry, List, Offer, Post, Publish, Put, SealedDocument, Stat, Wait
from gateway.core.topology import BANKS, bank_in, bank_out, topology
from gateway.edge.archive import FolderArchive
from gateway.edge.bus_local import LocalBus
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.pki import DevPki, client_name, host_name
from gateway.edge.wires import open_wire
from gateway.edge.work import ThreadWork
from tests.edge.sftp_bank import SftpBank
from tests.edge.wire_kit import PAYLOAD, bank, deliver_as_files, document, sftp_bank

SEAL = b"\x30\x82seal"


class Side(Protocol):
    """A wire and the bank at its other end."""

    wire: Wire
    inbound: str  # what ``List`` asks for

    async def deliver(self, document: SealedDocument) -> None:
        """Everything that a route asks for to deliver it."""
        ...

    async def got(self) -> dict[str, bytes]:
        """What the bank finds, by name."""
        ...

    async def give(self, name: str, payload: bytes, seal: bytes | None = None) -> None:
        """The bank lays out a Document."""
        ...


class FolderSide:
    """Two folders on this machine."""

    inbound = "out"

    def __init__(self, root: Path, archive: FolderArchive) -> None:
        for folder in ("in", "out"):
            (root / folder).mkdir(parents=True)
        self.root = root
        self.clock = 0
        options: dict[str, str | int | bool] = {"root": str(root), "complete": "rename"}
        self.wire = open_wire(bank(WireKind.FOLDER, options), archive, Credentials(None, {}), work=ThreadWork(2))

    async def deliver(self, document: SealedDocument) -> None:
        await deliver_as_files(self.wire, document)

    async def got(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.root / "in").iterdir() if path.is_file()}

    async def give(self, name: str, payload: bytes, seal: bytes | None = None) -> None:
        for file, data in ((f"{name}.p7s", seal), (name, payload)):
            if data is not None:
                (self.root / "out" / file).write_bytes(data)
                self.clock += 1
                os.utime(self.root / "out" / file, (self.clock, self.clock))


class SftpSide:
    """A real SFTP server on loopback."""

    inbound = "out"

    def __init__(self, server: SftpBank, archive: FolderArchive, pki: DevPki) -> None:
        self.server = server
        self.age = 1_000_000
        self.wire = open_wire(sftp_bank(server.port, pki), archive, Credentials(pki.folder, {}))

    async def deliver(self, document: SealedDocument) -> None:
        await deliver_as_files(self.wire, document)

    async def got(self) -> dict[str, bytes]:
        return self.server.got()

    async def give(self, name: str, payload: bytes, seal: bytes | None = None) -> None:
        for file, data in ((f"{name}.p7s", seal), (name, payload)):
            if data is not None:
                self.age -= 1
                self.server.put(file, data, self.age)


class AmqpSide:
    """The in-process bus with the real topology."""

    inbound = bank_in("BANK_A")

    def __init__(self, archive: FolderArchive) -> None:
        self.bus = LocalBus(topology(["p"], ["BANK_A", "BANK_B"]))
        self.messages: list[Message] = []
        self.wire = open_wire(bank(WireKind.AMQP, {}), archive, Credentials(None, {}), bus=self.bus)

    async def deliver(self, document: SealedDocument) -> None:
        await self.wire.perform(Publish(bank_out("BANK_A"), document))

    async def got(self) -> dict[str, bytes]:
        while delivery := await self.bus.take(bank_out("BANK_A")):
            self.messages.append(delivery.message)
            await delivery.ack()
        found = {}
        for message in self.messages:
            found[message.headers["name"]] = message.body
            if "seal" in message.headers:
                found[message.headers["seal_name"]] = base64.b64decode(message.headers["seal"])
        return found

    async def give(self, name: str, payload: bytes, seal: bytes | None = None) -> None:
        headers = {"name": name} | ({"seal": base64.b64encode(seal).decode()} if seal else {})
        await self.bus.publish(BANKS, bank_in("BANK_A"), Message(message_id=name or "x", body=payload, headers=headers))


@pytest.fixture(params=["folder", "sftp", "amqp"])
async def side(
    request: pytest.FixtureRequest, tmp_path: Path, archive: FolderArchive, pki: DevPki
) -> AsyncIterator[Side]:
    """Each wire in turn."""
    async with contextlib.AsyncExitStack() as stack:
        found: Side
        if request.param == "folder":
            found = FolderSide(tmp_path / "share", archive)
        elif request.param == "sftp":
            keys = (pki.folder / f"{host_name('BANK_A')}.key", pki.folder / f"{client_name('BANK_A')}.pub")
            found = SftpSide(await stack.enter_async_context(SftpBank(tmp_path / "bank", *keys)), archive, pki)
        else:
            found = AmqpSide(archive)
        stack.push_async_callback(found.wire.close)
        yield found


async def listed(side: Side, most: int = 100) -> tuple[Entry, ...]:
    """What the wire shows."""
    entries: tuple[Entry, ...] = await side.wire.perform(List(side.inbound, most))
    return entries


async def read(side: Side, name: str) -> bytes:
    """All of one file."""
    return b"".join([chunk async for chunk in side.wire.read(f"{side.inbound}/{name}")])


async def test_a_document_arrives_whole_with_its_seal(side: Side, archive: FolderArchive) -> None:
    """The bank finds exactly the archived bytes under the Document's name, and the seal beside them."""
    await side.deliver(document(archive, seal=SEAL))
    assert await side.got() == {"PAY0001": PAYLOAD, "PAY0001.p7s": SEAL}


async def test_one_without_a_seal_has_none(side: Side, archive: FolderArchive) -> None:
    """Nothing is made up; an empty Document is a Document."""
    await side.deliver(document(archive))
    await side.deliver(document(archive, "PAY0002", b""))
    assert await side.got() == {"PAY0001": PAYLOAD, "PAY0002": b""}


async def test_the_same_name_again_never_overwrites(side: Side, archive: FolderArchive) -> None:
    """Files: InDoubt as a possible first copy, which stays as it is. Messages: the same id again, for the bank to see."""
    await side.deliver(document(archive))
    other = document(archive, data=b"other")
    if isinstance(side, AmqpSide):
        await side.deliver(document(archive))
        await side.deliver(other)
        await side.got()
        first, second, third = (message.message_id for message in side.messages)
        assert first == second != third
        return
    with pytest.raises(InDoubt) as error:
        await side.deliver(other)
    assert error.value.code is Code.DUP
    assert (await side.got())["PAY0001"] == PAYLOAD


async def test_what_the_bank_gives_is_listed_read_and_put_aside(side: Side) -> None:
    """Oldest first; whole; after ``Done`` it is gone, and ``Done`` again is no error."""
    for number in (1, 2, 3):
        await side.give(f"RES000{number}", PAYLOAD + bytes([number]))
    assert [(entry.name, entry.size) for entry in await listed(side)] == [
        (f"RES000{number}", len(PAYLOAD) + 1) for number in (1, 2, 3)
    ]
    for number in (1, 2, 3):
        assert await read(side, f"RES000{number}") == PAYLOAD + bytes([number])
        for _ in range(2):
            await side.wire.perform(Done(f"{side.inbound}/RES000{number}"))
        assert len(await listed(side)) == 3 - number


async def test_a_seal_is_a_file_beside_it(side: Side) -> None:
    """Routes pair them by name; putting both aside leaves nothing."""
    await side.give("RES0001", PAYLOAD, SEAL)
    assert {entry.name: entry.size for entry in await listed(side)} == {
        "RES0001": len(PAYLOAD),
        "RES0001.p7s": len(SEAL),
    }
    assert await read(side, "RES0001.p7s") == SEAL
    assert await read(side, "RES0001") == PAYLOAD
    for name in ("RES0001", "RES0001.p7s"):
        await side.wire.perform(Done(f"{side.inbound}/{name}"))
    assert await listed(side) == ()


async def test_listing_has_a_cap_and_the_oldest_come_first(side: Side) -> None:
    """A full folder comes in portions."""
    for number in range(20):
        await side.give(f"RES{number:04}", b"x")
    assert [entry.name for entry in await listed(side, 3)] == ["RES0000", "RES0001", "RES0002"]
    assert len(await listed(side)) == 20


async def test_an_empty_file_is_listed_and_read(side: Side) -> None:
    """Whether it means anything is for the reader of the format to say."""
    await side.give("EMPTY", b"")
    assert [(entry.name, entry.size) for entry in await listed(side)] == [("EMPTY", 0)]
    assert await read(side, "EMPTY") == b""


HOSTILE = [
    "../../x", "/etc/passwd", "C:\\x", "a\0b", "a\nb", "x" * 5_000, "-rf", ".hidden", "..", ".", "", "a b", "a.", "a ",
    "a\u202eb", "é", "e\u0301", "ＡＢ", "a//b", "~root", "$(x)", "a;b", "a\x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_hostile_name_is_read_or_written(side: Side, archive: FolderArchive, name: str) -> None:
    """Traversal, absolute, control, bidirectional and oversized names are PATH before anything is asked of the bank (G1)."""
    for request in (Done(f"{side.inbound}/{name}"), Stat(f"in/{name}"), Put(f"in/{name}", document(archive))):
        if isinstance(side, AmqpSide) and not isinstance(request, Done):
            continue
        with pytest.raises(Malformed) as error:
            await side.wire.perform(request)
        assert error.value.code is Code.PATH
    with pytest.raises(Malformed):
        await read(side, name)
    assert await side.got() == {}


async def test_a_vanished_file_is_not_sent(side: Side) -> None:
    """Between a listing and the reading anything may happen (G5)."""
    with pytest.raises(NotSent):
        await read(side, "GONE")


@pytest.mark.parametrize("request_", [Post("x", b"", "text/plain"), Wait(1), Offer(None)])  # type: ignore[arg-type]  # never looked at
async def test_what_a_wire_cannot_do_is_surely_not_done(side: Side, request_: Post | Wait | Offer) -> None:
    """A route for another wire has no effect here."""
    with pytest.raises(NotSent):
        await side.wire.perform(request_)


async def test_a_document_that_the_archive_lacks_halts(side: Side, archive: FolderArchive) -> None:
    """The ledger says that it exists: stop, and the bank has nothing of it."""
    lost = SealedDocument(reference="R", name="PAY0001", digest="0" * 64, size=3, kind=DocKind.PAYMENT)
    with pytest.raises(Halt):
        await side.deliver(lost)
    assert await side.got() == {}


async def test_closed_and_used_again(side: Side, archive: FolderArchive) -> None:
    """A wire that was closed opens by itself; closing twice is no error."""
    await side.deliver(document(archive))
    await side.wire.close()
    await side.wire.close()
    await side.deliver(document(archive, "PAY0002"))
    assert set(await side.got()) == {"PAY0001", "PAY0002"}


async def test_another_banks_place_is_not_reached(side: Side, archive: FolderArchive) -> None:
    """On queues the name of the bank is checked; folders and servers are the bank's own (G11)."""
    if not isinstance(side, AmqpSide):
        with pytest.raises(NotSent):
            await side.wire.perform(List("elsewhere"))
        return
    with pytest.raises(NotSent):
        await side.wire.perform(Publish(bank_out("BANK_B"), document(archive)))
    with pytest.raises(NotSent):
        await side.wire.perform(List(bank_in("BANK_B")))
    with pytest.raises(Malformed):
        await side.wire.perform(Done(f"{bank_in('BANK_B')}/x"))


# ---------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("wire", "options", "word"),
    [
        (WireKind.FOLDER, {}, "root"),
        (WireKind.FOLDER, {"root": "/x", "rooot": "/y"}, "rooot"),
        (WireKind.FOLDER, {"root": "/x", "complete": "guess"}, "guess"),
        (WireKind.SFTP, {"host": "h", "user": "u", "client_key": "k", "host_key": ""}, "no host key"),
        (WireKind.SFTP, {"host": "h", "user": "u", "client_key": "k", "host_key": "ssh-ed25519 AAAA"}, "host_key"),
        (WireKind.SFTP, {"host": "h", "user": "u", "client_key": "k"}, "host_key"),
        (WireKind.AMQP, {"host": "h"}, "host"),
        (WireKind.HTTPS, {}, "url"),
    ],
)
def test_wrong_options_are_refused_when_the_wire_is_made(
    archive: FolderArchive, wire: WireKind, options: dict[str, str | int | bool], word: str
) -> None:
    """Not with the first Document."""
    bus = LocalBus(topology())
    with pytest.raises(Refused, match=word):
        open_wire(bank(wire, options), archive, Credentials(None, {}), bus=bus)


def test_sftp_needs_a_credential_and_amqp_a_bus(archive: FolderArchive, pki: DevPki) -> None:
    """What is missing is named."""
    without = sftp_bank(22, pki, client_key="")
    with pytest.raises(Refused, match="client_key nor password"):
        open_wire(without, archive, Credentials(None, {}))
    with pytest.raises(Refused, match="bus"):
        open_wire(bank(WireKind.AMQP, {}), archive, Credentials(None, {}))


def test_digests_are_of_the_payload(archive: FolderArchive) -> None:
    """The Document that the wires are given names what the archive holds."""
    assert document(archive).digest == hashlib.sha256(PAYLOAD).hexdigest()
