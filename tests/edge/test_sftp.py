"""The SFTP wire against odd servers and in their folders: never overwritten, never half, never another's."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from gateway.core.errors import Code, InDoubt, Malformed, NotSent
from gateway.core.route import Done, Entry, List, Put, Rename, SealedDocument, Stat
from gateway.edge.archive import FolderArchive
from gateway.edge.wires.sftp import SftpWire
from tests.edge.sftp_bank import SftpBank
from tests.edge.wire_kit import Wires, deliver_as_files, document, verdict

PAYLOAD = os.urandom(20_000)
TEMPORARY, FINAL = "in/PAY0001.tmp", "in/PAY0001"


@pytest.fixture
def pay(archive: FolderArchive) -> SealedDocument:
    """A Document of 20 kB."""
    return document(archive, data=PAYLOAD)


async def entries(wire: SftpWire, most: int = 1_000) -> list[str]:
    """Names in ``out/``."""
    found: tuple[Entry, ...] = await wire.perform(List("out", most))
    return [entry.name for entry in found]


async def read(wire: SftpWire, name: str) -> bytes:
    """All of a file in ``out/``."""
    return b"".join([chunk async for chunk in wire.read(f"out/{name}")])


# ---------------------------------------------------------------------------------------------------- odd servers


def refuse(*_: Path) -> None:
    """No."""
    raise asyncssh.SFTPPermissionDenied("no")


def overwrite(old: Path, new: Path) -> None:
    """What POSIX does."""
    old.replace(new)


def do_and_refuse(old: Path, new: Path) -> None:
    """Done, but said to have failed."""
    old.rename(new)
    raise asyncssh.SFTPFailure("no")


def copy_and_refuse(old: Path, new: Path) -> None:
    """Both names stand there."""
    os.link(old, new)
    raise asyncssh.SFTPFailure("no")


def lose_and_refuse(old: Path, new: Path) -> None:
    """Neither name stands there: somebody took it."""
    old.unlink()
    raise asyncssh.SFTPFailure("no")


@pytest.mark.parametrize(
    ("rename", "said"),
    [(refuse, "NotSent"), (do_and_refuse, "InDoubt"), (copy_and_refuse, "InDoubt"), (lose_and_refuse, "InDoubt")],
)
async def test_a_refused_rename_is_looked_after(
    wires: Wires, server: SftpBank, pay: SealedDocument, rename: Any, said: str
) -> None:
    """A refusal in so many words is believed only if the folder shows that nothing happened."""
    wire = wires.to(server.port)
    await wire.perform(Put(TEMPORARY, pay))
    server.odd.rename = rename
    assert await verdict(wire.perform(Rename(TEMPORARY, FINAL))) == said
    assert server.logins == 1


async def test_a_missing_temporary_file_is_not_sent(wires: Wires, server: SftpBank) -> None:
    """There is nothing to rename, so nothing is asked for."""
    assert await verdict(wires.to(server.port).perform(Rename(TEMPORARY, FINAL))) == "NotSent"
    assert "rename" not in server.requests


async def test_a_server_that_overwrites_is_not_asked_to(wires: Wires, server: SftpBank, pay: SealedDocument) -> None:
    """Whatever its rename does, a name that is taken is looked for first; the overwriting extension is never used (G14)."""
    server.odd.rename = overwrite
    wire = wires.to(server.port)
    await deliver_as_files(wire, pay)
    assert server.requests.count("rename") == 1
    await wire.perform(Put(TEMPORARY, pay))
    with pytest.raises(InDoubt) as error:
        await wire.perform(Rename(TEMPORARY, FINAL))
    assert error.value.code is Code.DUP
    assert server.requests.count("rename") == 1
    assert "posix_rename" not in server.requests


@pytest.mark.parametrize("when", ["write", "close"])
async def test_a_quota_shows_while_writing_or_only_at_the_end(
    wires: Wires, server: SftpBank, pay: SealedDocument, when: str
) -> None:
    """Under a temporary name nothing was sent; under the final one the bank may have seen it (G13)."""
    if when == "write":
        server.odd.refuse_write_after = 5_000
    else:
        server.odd.fail_close = True
    wire = wires.to(server.port)
    assert await verdict(wire.perform(Put(TEMPORARY, pay))) == "NotSent"
    assert await verdict(wire.perform(Put(FINAL, pay, final=True))) == "InDoubt"


async def test_a_final_put(wires: Wires, server: SftpBank, pay: SealedDocument, tmp_path: Path) -> None:
    """Where a bank allows no rename: whole, never over another; a refused opening is surely not sent."""
    wire = wires.to(server.port)
    await wire.perform(Put(FINAL, pay, final=True))
    assert server.got() == {"PAY0001": PAYLOAD}
    assert await verdict(wire.perform(Put(FINAL, pay, final=True))) == "InDoubt"
    assert await verdict(wire.perform(Put("nowhere/PAY0002", pay, final=True))) == "NotSent"
    (server.root / "in" / "PAY0003").symlink_to(tmp_path / "dangling")
    assert await verdict(wire.perform(Put("in/PAY0003", pay, final=True))) == "InDoubt"


async def test_an_earlier_try_under_the_temporary_name_is_replaced(
    wires: Wires, server: SftpBank, pay: SealedDocument
) -> None:
    """A longer rest of a broken upload does not stay behind the new bytes (F28)."""
    (server.root / TEMPORARY).write_bytes(b"x" * 50_000)
    await deliver_as_files(wires.to(server.port), pay)
    assert server.got() == {"PAY0001": PAYLOAD}


async def test_another_size_is_not_sent(wires: Wires, server: SftpBank, pay: SealedDocument) -> None:
    """What the bank has is not what was sent."""
    wire = wires.to(server.port)
    await wire.perform(Put(TEMPORARY, pay))
    os.truncate(server.root / TEMPORARY, 5)
    with pytest.raises(NotSent) as error:
        await wire.perform(Stat(TEMPORARY, pay.size))
    assert error.value.code is Code.SIZE
    assert await wire.perform(Stat(TEMPORARY)) == 5


# ---------------------------------------------------------------------------------------------------- listings


async def test_only_plain_files_under_allowed_names_are_listed(wires: Wires, server: SftpBank) -> None:
    """No link, folder, FIFO, temporary, hidden or strange name (G1, G2, G4)."""
    server.put("RES0001", b"x")
    out = server.root / "out"
    (out / "LINK").symlink_to("/etc/passwd")
    (out / "LOOP").symlink_to("LOOP")
    os.mkfifo(out / "PIPE")
    (out / "FOLDER").mkdir()
    strange = ("R.tmp", "R.filepart", "R.PART", ".hidden", "-rf", "a b", "a\nb", "e\u0301", "a\u202eb", "a.", "x" * 200)
    for name in strange:
        (out / name).write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(out) + b"/\xff\xfe")).write_bytes(b"x")
    assert await entries(wires.to(server.port)) == ["RES0001"]


async def test_case_twins_are_two_files(wires: Wires, server: SftpBank) -> None:
    """Names are compared as they are; what we keep is named by digest anyway."""
    server.put("RES", b"1")
    server.put("res", b"2")
    wire = wires.to(server.port)
    assert await entries(wire) == ["RES", "res"]
    assert (await read(wire, "RES"), await read(wire, "res")) == (b"1", b"2")


async def test_many_names(wires: Wires, server: SftpBank) -> None:
    """Of thousands the oldest few are taken (G7)."""
    for number in range(2_000):
        server.put(f"RES{number:05}", b"x", age_s=number)
    assert await entries(wires.to(server.port), 3) == ["RES01999", "RES01998", "RES01997"]


async def test_a_growing_file_is_not_listed(wires: Wires, server: SftpBank) -> None:
    """Without a promise to rename, two looks some seconds apart must see the same (G3)."""
    wire = wires.to(server.port, complete="stable", stable_s=5)
    path = server.root / "out" / "RES0001"
    path.write_bytes(b"half")
    assert await entries(wire) == []
    wires.clock.added_s += 4
    assert await entries(wire) == []
    wires.clock.added_s += 4
    path.write_bytes(b"half and half")
    assert await entries(wire) == []
    wires.clock.added_s += 6
    assert await entries(wire) == ["RES0001"]
    os.utime(path, (1, 1))
    assert await entries(wire) == []


@pytest.mark.parametrize("name", ["LINK", "PIPE", "FOLDER"])
async def test_what_is_no_plain_file_is_not_read(wires: Wires, server: SftpBank, name: str) -> None:
    """Not followed, not waited for."""
    out = server.root / "out"
    (out / "LINK").symlink_to("/etc/passwd")
    os.mkfifo(out / "PIPE")
    (out / "FOLDER").mkdir()
    wire = wires.to(server.port)
    with pytest.raises(Malformed) as error:
        await read(wire, name)
    assert error.value.code is Code.PATH
    with pytest.raises(Malformed):
        await wire.perform(Stat(f"out/{name}"))


async def test_a_file_that_changes_while_it_is_read_is_not_taken(wires: Wires, server: SftpBank) -> None:
    """Growing or shrinking: what was read is nothing (G3), and a file that grows faster than it is read ends too."""
    wire = wires.to(server.port)
    path = server.put("RES0001", b"x" * 1_500_000)

    async def read_while(change: Any) -> None:
        async for _ in wire.read("out/RES0001"):
            change()

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"y")

    for change in (grow, lambda: os.truncate(path, 10)):
        with pytest.raises(NotSent, match="changed"):
            await read_while(change)
        server.put("RES0001", b"x" * 1_500_000)
    assert await read(wire, "RES0001") == b"x" * 1_500_000


async def test_a_reader_that_stops_leaves_the_connection_usable(wires: Wires, server: SftpBank) -> None:
    """A file over the cap is left in the middle; the next request goes on."""
    wire = wires.to(server.port)
    server.put("RES0001", b"x" * 3_000_000)
    async with contextlib.aclosing(wire.read("out/RES0001")) as chunks:  # type: ignore[type-var]  # an async generator
        async for _ in chunks:
            break
    assert await wire.perform(Stat("out/RES0001")) == 3_000_000
    assert server.logins == 1


async def test_a_file_that_was_replaced_is_not_put_aside(wires: Wires, server: SftpBank) -> None:
    """What we archived is not what stands there now: it stays, and comes with the next listing (G6)."""
    wire = wires.to(server.port)
    server.put("RES0001", b"first")
    await read(wire, "RES0001")
    server.put("RES0001", b"other", age_s=5)  # the same size, another time of change
    with pytest.raises(NotSent, match="replaced"):
        await wire.perform(Done("out/RES0001"))
    assert (server.root / "out" / "RES0001").read_bytes() == b"other"
    assert await read(wire, "RES0001") == b"other"
    await wire.perform(Done("out/RES0001"))


async def test_put_aside_keeps_both_of_one_name(wires: Wires, server: SftpBank) -> None:
    """The first one is never overwritten by the second."""
    wire = wires.to(server.port)
    for data in (b"first", b"second", b"third"):
        server.put("RES0001", data)
        await wire.perform(Done("out/RES0001"))
    done = server.root / "out" / "done"
    assert {path.name: path.read_bytes() for path in done.iterdir()} == {
        "RES0001": b"first",
        "RES0001.2": b"second",
        "RES0001.3": b"third",
    }


async def test_delete_and_leave(wires: Wires, server: SftpBank) -> None:
    """Where the bank wants it otherwise."""
    server.put("RES0001", b"x")
    await wires.to(server.port, done="leave").perform(Done("out/RES0001"))
    assert (server.root / "out" / "RES0001").exists()
    await wires.to(server.port, done="delete").perform(Done("out/RES0001"))
    assert not (server.root / "out" / "RES0001").exists()
    assert list((server.root / "out" / "done").iterdir()) == []


async def test_a_root_below_the_login(wires: Wires, server: SftpBank, pay: SealedDocument) -> None:
    """One account may serve several lanes."""
    (server.root / "lane-7" / "in").mkdir(parents=True)
    await deliver_as_files(wires.to(server.port, root="lane-7"), pay)
    assert (server.root / "lane-7" / "in" / "PAY0001").read_bytes() == PAYLOAD
