"""The SFTP wire against an odd server and a broken line: whatever happens, what it says is true."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from gateway.core.bank import Bank, Done, Entry, List, Put, Rename, SealedDocument, Stat
from gateway.core.errors import Code, InDoubt, Malformed, NotSent, SheyinError, Unverified
from gateway.edge.archive import FolderArchive
from gateway.edge.atrest import AtRest
from gateway.edge.clock import SystemClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.pki import DevPki, client_name, host_name
from gateway.edge.wires.sftp import SftpWire
from tests.edge.proxy import Proxy
from tests.edge.sftp_bank import SftpBank
from tests.edge.test_wires import deliver_as_files, document, sftp_bank

PAYLOAD = os.urandom(20_000)
TEMPORARY, FINAL = "in/PAY0001.tmp", "in/PAY0001"


class Ticks(SystemClock):
    """Real time, with spans that a test stretches."""

    def __init__(self) -> None:
        self.added_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.added_s


@pytest.fixture
def archive(tmp_path: Path) -> FolderArchive:
    """An empty archive."""
    return FolderArchive(tmp_path / "archive", AtRest(bytes(32)))


@pytest.fixture
def pay(archive: FolderArchive) -> SealedDocument:
    """A Document of 20 kB."""
    return document(archive, data=PAYLOAD)


@pytest.fixture
async def server(tmp_path: Path, pki: DevPki) -> AsyncIterator[SftpBank]:
    """An obedient server."""
    host, client = pki.folder / f"{host_name('BANK_A')}.key", pki.folder / f"{client_name('BANK_A')}.pub"
    async with SftpBank(tmp_path / "bank", host, client) as server:
        yield server


class Wires:
    """Makes wires to a port and closes them in the end."""

    def __init__(self, archive: FolderArchive, pki: DevPki) -> None:
        self.archive = archive
        self.pki = pki
        self.clock = Ticks()
        self.made: list[SftpWire] = []

    def to(self, port: int, **options: str | int | bool) -> SftpWire:
        """A new wire."""
        return self.of(sftp_bank(port, self.pki, **options))

    def of(self, bank: Bank) -> SftpWire:
        """A new wire of a Bank."""
        credentials = Credentials(
            self.pki.folder, {"SHEYIN_CREDENTIAL_RIGHT": "open sesame", "SHEYIN_CREDENTIAL_WRONG": "x"}
        )
        self.made.append(SftpWire(bank, self.archive, credentials, clock=self.clock))
        return self.made[-1]


@pytest.fixture
async def wires(archive: FolderArchive, pki: DevPki) -> AsyncIterator[Wires]:
    """Wires to whatever port."""
    made = Wires(archive, pki)
    yield made
    for wire in made.made:
        await wire.close()


async def verdict(doing: Awaitable[Any]) -> str:
    """``sent``, or the name of the error that says what is known."""
    try:
        await doing
    except SheyinError as error:
        return type(error).__name__
    return "sent"


async def entries(wire: SftpWire, most: int = 1_000) -> list[str]:
    """Names in ``out/``."""
    found: tuple[Entry, ...] = await wire.perform(List("out", most))
    return [entry.name for entry in found]


async def read(wire: SftpWire, name: str) -> bytes:
    """All of a file in ``out/``."""
    return b"".join([chunk async for chunk in wire.read(f"out/{name}")])


# ---------------------------------------------------------------------------------------------------- a broken line


async def bytes_of_a_delivery(wires: Wires, server: SftpBank, pay: SealedDocument) -> dict[str, int]:
    """How many bytes a delivery takes in each direction, with everything before the final rename (``*_before``)."""
    async with Proxy(server.port) as proxy:
        wire = wires.to(proxy.port)
        await wire.perform(Put(TEMPORARY, pay))
        await wire.perform(Stat(TEMPORARY, pay.size))
        before = dict(proxy.passed)
        await wire.perform(Rename(TEMPORARY, FINAL))
        after = dict(proxy.passed)
        await wire.close()
    server.clear()
    return {f"{way}_before": before[way] for way in before} | after


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_line_cut_at_any_byte(wires: Wires, server: SftpBank, pay: SealedDocument, way: str) -> None:
    """Wherever it is cut: "sent" and the bank has the whole file, "not sent" and it has nothing, or doubt; never wrong.

    Doubt only from the rename on: a cut before it is a plain "not sent". Each verdict comes up, doubt with and without
    the file being there.
    """
    total = await bytes_of_a_delivery(wires, server, pay)
    end, before = total[way], total[f"{way}_before"]
    # Densely around the rename, where it matters; the handshake's size varies by a few bytes.
    cuts = sorted({*range(0, end, end // 25), *range(before - 120, end + 60, 9)})
    seen = set()
    async with Proxy(server.port) as proxy:
        for cut in cuts:
            proxy.limit[way] = cut
            wire = wires.to(proxy.port, deadline_s=3)
            said = await verdict(deliver_as_files(wire, pay))
            await wire.close()
            proxy.reset()
            await server.settled()
            got = server.got()
            assert got in ({}, {"PAY0001": PAYLOAD}), f"half a file after a cut at {cut}"
            if said == "sent":
                assert got
            elif said == "NotSent":
                assert not got, f"cut at {cut}"
            else:
                assert said == "InDoubt"
                assert cut > before - 120, f"doubt after a cut at {cut}, before anything final"
            seen.add((said, bool(got)))
            server.clear()
    assert {("NotSent", False), ("sent", True)} <= seen
    assert ("InDoubt", way == "down") in seen


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_line_that_swallows(wires: Wires, server: SftpBank, pay: SealedDocument, way: str) -> None:
    """Nobody says anything any more: the deadline ends it, with the same truth as a cut."""
    total = await bytes_of_a_delivery(wires, server, pay)
    end, before = total[way], total[f"{way}_before"]
    async with Proxy(server.port) as proxy:
        proxy.how = "swallow"
        for limit in (0, before // 3, before - 200, before + 4, end - 1):
            proxy.limit[way] = limit
            wire = wires.to(proxy.port, deadline_s=1)
            said = await verdict(deliver_as_files(wire, pay))
            await wire.close()
            proxy.reset()
            await server.settled()
            # ``before + 4`` is in the look that the final name is free; the rename itself comes after it.
            assert said == ("InDoubt" if limit == end - 1 else "NotSent"), limit
            assert bool(server.got()) == (way == "down" and limit == end - 1)
            server.clear()


async def test_nobody_listens(wires: Wires, pay: SealedDocument) -> None:
    """No connection: surely nothing was sent."""
    probe = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    with pytest.raises(NotSent, match="no connection"):
        await wires.to(port).perform(Put(FINAL, pay, final=True))


async def test_after_a_failure_the_next_request_opens_a_new_connection(
    wires: Wires, server: SftpBank, pay: SealedDocument
) -> None:
    """One connection is kept for many requests, and reopened when it was lost."""
    wire = wires.to(server.port)
    await wire.perform(Stat(FINAL))
    await wire.perform(List("out"))
    assert server.logins == 1
    await server.stop()
    assert await verdict(wire.perform(Stat(FINAL))) == "NotSent"
    await server.start()
    await deliver_as_files(wire, pay)
    assert server.logins == 2
    assert server.got() == {"PAY0001": PAYLOAD}


async def test_a_connection_left_alone_is_not_trusted(wires: Wires, server: SftpBank) -> None:
    """After a pause a new connection is made before anything is asked, so that a router's silence costs no failure."""
    wire = wires.to(server.port, idle_s_max=60)
    for added_s, logins in ((0, 1), (50, 1), (50, 1), (61, 2)):
        wires.clock.added_s += added_s
        await wire.perform(Stat(FINAL))
        assert server.logins == logins


async def test_a_slow_server_meets_the_deadline(wires: Wires, server: SftpBank, pay: SealedDocument) -> None:
    """A question that is not answered is not sent; a rename that is not answered is in doubt, and happens later."""
    wire = wires.to(server.port, deadline_s=1)
    await wire.perform(Put(TEMPORARY, pay))
    freed = asyncio.Event()
    slow = {"lstat"}

    async def before_reply(what: str) -> None:
        if what in slow:
            await freed.wait()

    server.odd.before_reply = before_reply
    assert await verdict(wire.perform(Stat(FINAL))) == "NotSent"
    slow.clear()
    slow.add("rename")
    assert await verdict(wire.perform(Rename(TEMPORARY, FINAL))) == "InDoubt"
    freed.set()


async def test_whoever_stops_us_stops_us(wires: Wires, server: SftpBank, pay: SealedDocument) -> None:
    """A cancelled task ends as cancelled, not as a failed request; the connection is not used again."""
    wire = wires.to(server.port)
    await wire.perform(Put(TEMPORARY, pay))
    asked = asyncio.Event()
    freed = asyncio.Event()

    async def before_reply(what: str) -> None:
        if what == "rename":
            asked.set()
            await freed.wait()

    server.odd.before_reply = before_reply
    task = asyncio.create_task(wire.perform(Rename(TEMPORARY, FINAL)))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    freed.set()
    server.odd.before_reply = None
    await wire.perform(Stat("in/OTHER"))
    assert server.logins == 2


# ---------------------------------------------------------------------------------------------------- who it is


async def test_another_host_key_is_unverified_and_nothing_else(
    wires: Wires, server: SftpBank, pki: DevPki, pay: SealedDocument
) -> None:
    """No login is tried and nothing is asked; the pinned key is accepted again (G8)."""
    wire = wires.to(server.port)
    await wire.perform(Stat(FINAL))
    await server.stop()
    await server.start(pki.folder / f"{host_name('BANK_B')}.key")
    server.requests.clear()
    logins = server.tried_logins
    for request in (Stat(FINAL), Put(TEMPORARY, pay), Rename(TEMPORARY, FINAL)):
        await wire.close()
        with pytest.raises(Unverified) as error:
            await wire.perform(request)
        assert error.value.code is Code.CERT
    assert (server.tried_logins, server.requests) == (logins, [])
    await server.stop()
    await server.start()
    assert await wire.perform(Stat(FINAL)) is None


async def test_a_host_key_of_another_kind_is_unverified(wires: Wires, server: SftpBank, tmp_path: Path) -> None:
    """A server that has no key of the pinned kind at all is not the pinned server either."""
    asyncssh.generate_private_key("ecdsa-sha2-nistp256").write_private_key(tmp_path / "other.key")
    await server.stop()
    await server.start(tmp_path / "other.key")
    with pytest.raises(Unverified):
        await wires.to(server.port).perform(Stat(FINAL))


async def test_two_host_keys_during_a_change_over(wires: Wires, server: SftpBank, pki: DevPki) -> None:
    """Either is accepted."""
    both = "\n".join((pki.folder / f"{host_name(bank)}.pub").read_text() for bank in ("BANK_B", "BANK_A"))
    wire = wires.to(server.port, host_key=both)
    await wire.perform(Stat(FINAL))
    await server.stop()
    await server.start(pki.folder / f"{host_name('BANK_B')}.key")
    await wire.close()
    await wire.perform(Stat(FINAL))


async def test_a_refused_login_is_not_sent(wires: Wires, server: SftpBank, pay: SealedDocument) -> None:
    """Wrong user, wrong key, wrong password, no such credential: AUTH, and nothing was sent."""
    for wrong in (
        {"user": "somebody"},
        {"client_key": f"{client_name('BANK_B')}.key"},
        {"client_key": "", "password": "wrong"},
        {"client_key": "nowhere"},
        {"client_key": "right"},  # a credential, but no key
    ):
        with pytest.raises(NotSent) as error:
            await wires.to(server.port, **wrong).perform(Put(FINAL, pay, final=True))
        assert error.value.code is Code.AUTH
    assert server.requests == []


async def test_a_password_is_a_credential(wires: Wires, server: SftpBank) -> None:
    """Where the bank has no keys, a password logs in."""
    assert await wires.to(server.port, client_key="", password="right").perform(Stat(FINAL)) is None


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
