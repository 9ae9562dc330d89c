"""The folder wire: whole files under free names only, and of the bank's files only plain, finished ones."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.bank import WireKind
from gateway.core.errors import Code, InDoubt, Malformed, NotSent
from gateway.core.route import Done, Entry, List, Put, Rename, SealedDocument, Stat
from gateway.edge.archive import FolderArchive
from gateway.edge.credentials import Credentials
from gateway.edge.wires.folder import FolderWire
from tests.edge.wire_kit import Ticks, bank, deliver_as_files, document

PAYLOAD = os.urandom(3_000_000)


@pytest.fixture
def pay(archive: FolderArchive) -> SealedDocument:
    """A Document of 3 MB."""
    return document(archive, data=PAYLOAD)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The shared folder."""
    for folder in ("in", "out"):
        (tmp_path / "share" / folder).mkdir(parents=True)
    return tmp_path / "share"


def wire(root: Path, archive: FolderArchive, clock: Ticks | None = None, **more: str | int | bool) -> FolderWire:
    """A wire of bank A; the bank renames unless a test says otherwise."""
    options: dict[str, str | int | bool] = {"root": str(root), "complete": "rename"}
    return FolderWire(bank(WireKind.FOLDER, options | more), archive, Credentials(None, {}), clock=clock)


async def names(wire: FolderWire) -> list[str]:
    """What is listed in ``out/``."""
    found: tuple[Entry, ...] = await wire.perform(List("out"))
    return [entry.name for entry in found]


async def read(wire: FolderWire, name: str) -> bytes:
    """All of a file in ``out/``."""
    return b"".join([chunk async for chunk in wire.read(f"out/{name}")])


async def test_nobody_ever_sees_half_a_file(root: Path, archive: FolderArchive, pay: SealedDocument) -> None:
    """A bank that looks all the time finds nothing or the whole, also under the name of a final ``Put``."""
    seen: set[int] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for name in ("PAY0001", "PAY0002"):
                try:
                    seen.add((root / "in" / name).stat().st_size)
                except FileNotFoundError:
                    seen.add(-1)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        await deliver_as_files(wire(root, archive), pay)
        await wire(root, archive).perform(Put("in/PAY0002", pay, final=True))
    finally:
        stop.set()
        looking.join()
    assert seen <= {-1, len(PAYLOAD)}
    assert sorted(path.name for path in (root / "in").iterdir()) == ["PAY0001", "PAY0002"]


async def test_a_name_that_is_taken_is_in_doubt(root: Path, archive: FolderArchive, pay: SealedDocument) -> None:
    """By a file, a folder or a link to nowhere: never overwritten, never followed (G14)."""
    by_wire = wire(root, archive)
    await by_wire.perform(Put("in/PAY0001.tmp", pay))
    (root / "in" / "PAY0001").write_bytes(b"first")
    (root / "in" / "PAY0002").mkdir()
    (root / "in" / "PAY0003").symlink_to(root / "nowhere")
    for name in ("PAY0001", "PAY0002", "PAY0003"):
        for request in (Rename("in/PAY0001.tmp", f"in/{name}"), Put(f"in/{name}", pay, final=True)):
            with pytest.raises(InDoubt) as error:
                await by_wire.perform(request)
            assert error.value.code is Code.DUP
        with pytest.raises(NotSent):
            await by_wire.perform(Rename("in/PAY0001.tmp", f"in/{name}", final=False))
    assert (root / "in" / "PAY0001").read_bytes() == b"first"
    assert not (root / "nowhere").exists()
    assert await by_wire.perform(Stat("in/PAY0001.tmp")) == len(PAYLOAD)


@pytest.mark.parametrize(
    "request_", [Rename("in/GONE", "in/PAY0001"), Rename("in/GONE", "nowhere/PAY0001"), Rename("in", "out/in")]
)
async def test_a_rename_that_cannot_begin_is_not_sent(root: Path, archive: FolderArchive, request_: Rename) -> None:
    """Nothing to rename, no folder, or no file."""
    with pytest.raises((NotSent, Malformed)):
        await wire(root, archive).perform(request_)
    assert list((root / "in").iterdir()) == []


async def test_no_folder_is_not_sent(tmp_path: Path, archive: FolderArchive, pay: SealedDocument) -> None:
    """A share that is not mounted is no bank that took something."""
    missing = wire(tmp_path / "not-mounted", archive)
    for request in (Put("in/X", pay, final=True), Put("in/X", pay), List("out")):
        with pytest.raises(NotSent):
            await missing.perform(request)
    assert await missing.perform(Stat("in/X")) is None


async def test_an_earlier_try_is_replaced_whole(root: Path, archive: FolderArchive, pay: SealedDocument) -> None:
    """The temporary name is ours: a longer rest does not stay behind."""
    (root / "in" / "PAY0001.tmp").write_bytes(b"x" * 9_000_000)
    await deliver_as_files(wire(root, archive), pay)
    assert (root / "in" / "PAY0001").read_bytes() == PAYLOAD


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Files of this process may not grow past 64 KiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("final", [False, True])
async def test_a_full_disk_is_not_sent_and_leaves_nothing(
    root: Path, archive: FolderArchive, pay: SealedDocument, final: bool
) -> None:
    """No half file under any name (F21)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with pytest.raises(NotSent):
        await wire(root, archive).perform(Put("in/PAY0001", pay, final=final))
    assert list((root / "in").iterdir()) == []


async def test_files_are_not_for_everybody(root: Path, archive: FolderArchive, pay: SealedDocument) -> None:
    """Owner and group only: the file is full of people's accounts."""
    await deliver_as_files(wire(root, archive), pay)
    assert (root / "in" / "PAY0001").stat().st_mode & 0o007 == 0


async def test_only_plain_files_are_listed_and_read(root: Path, archive: FolderArchive) -> None:
    """No link, FIFO, folder, temporary or strange name (G1, G2, G4); a FIFO is not waited for."""
    out = root / "out"
    (out / "RES0001").write_bytes(b"x")
    (out / "LINK").symlink_to("/etc/passwd")
    os.mkfifo(out / "PIPE")
    (out / "FOLDER").mkdir()
    for name in ("R.tmp", "R.filepart", ".hidden", "-rf", "a b", "a\nb", "a\u202eb", "a."):
        (out / name).write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(out) + b"/\xff\xfe")).write_bytes(b"x")
    by_wire = wire(root, archive)
    assert await names(by_wire) == ["RES0001"]
    for name in ("LINK", "PIPE", "FOLDER"):
        with pytest.raises(Malformed) as error:
            await read(by_wire, name)
        assert error.value.code is Code.PATH
        with pytest.raises(Malformed):
            await by_wire.perform(Stat(f"out/{name}"))


async def test_a_growing_file_is_not_listed(root: Path, archive: FolderArchive) -> None:
    """Two looks some seconds apart must see the same size and time of change (G3)."""
    clock = Ticks()
    by_wire = wire(root, archive, clock, complete="stable", stable_s=5)
    path = root / "out" / "RES0001"
    path.write_bytes(b"half")
    assert await names(by_wire) == []
    clock.added_s += 6
    path.write_bytes(b"half and half")
    assert await names(by_wire) == []
    clock.added_s += 4
    assert await names(by_wire) == []
    clock.added_s += 2
    assert await names(by_wire) == ["RES0001"]


async def test_a_file_that_changes_while_it_is_read_is_not_taken(root: Path, archive: FolderArchive) -> None:
    """Growing or shrinking: nothing was read."""
    path = root / "out" / "RES0001"

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"y")

    async def read_while(change: Any) -> None:
        async for _ in wire(root, archive).read("out/RES0001"):
            change()

    for change in (grow, lambda: os.truncate(path, 10)):
        path.write_bytes(b"x" * 2_500_000)
        with pytest.raises(NotSent, match="changed"):
            await read_while(change)


async def test_put_aside_keeps_both_and_never_another(root: Path, archive: FolderArchive) -> None:
    """A second file of the name stands beside the first; one that was replaced after the reading stays (G6)."""
    by_wire = wire(root, archive)
    path = root / "out" / "RES0001"
    for data in (b"first", b"second"):
        path.write_bytes(data)
        assert await read(by_wire, "RES0001") == data
        await by_wire.perform(Done("out/RES0001"))
    done = root / "out" / "done"
    assert {item.name: item.read_bytes() for item in done.iterdir()} == {"RES0001": b"first", "RES0001.2": b"second"}
    path.write_bytes(b"third")
    await read(by_wire, "RES0001")
    path.write_bytes(b"other and longer")
    with pytest.raises(NotSent, match="replaced"):
        await by_wire.perform(Done("out/RES0001"))
    assert path.read_bytes() == b"other and longer"


async def test_delete_and_leave(root: Path, archive: FolderArchive) -> None:
    """Where the bank wants it otherwise."""
    path = root / "out" / "RES0001"
    path.write_bytes(b"x")
    await wire(root, archive, done="leave").perform(Done("out/RES0001"))
    assert path.exists()
    await wire(root, archive, done="delete").perform(Done("out/RES0001"))
    assert not path.exists()
