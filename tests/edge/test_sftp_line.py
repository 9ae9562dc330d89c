"""The SFTP wire on a broken line and towards the wrong server: whatever happens, what it says is true."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import asyncssh
import pytest

from gateway.core.errors import Code, NotSent, Unverified
from gateway.core.route import List, Put, Rename, SealedDocument, Stat
from gateway.edge.archive import FolderArchive
from gateway.edge.crypto.pki import DevPki, client_name, host_name
from tests.edge.proxy import Proxy
from tests.edge.sftp_bank import SftpBank
from tests.edge.wire_kit import Wires, deliver_as_files, document, verdict

PAYLOAD = os.urandom(20_000)
TEMPORARY, FINAL = "in/PAY0001.tmp", "in/PAY0001"


@pytest.fixture
def pay(archive: FolderArchive) -> SealedDocument:
    """A Document of 20 kB."""
    return document(archive, data=PAYLOAD)


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


@pytest.mark.parametrize("stopped_from_outside", [False, True])
async def test_a_line_that_dies_within_a_listing(wires: Wires, server: SftpBank, stopped_from_outside: bool) -> None:
    """Not even the courtesy of closing the folder is waited for: the deadline, ours or the caller's, is the end."""
    async with Proxy(server.port) as proxy:
        wire = wires.to(proxy.port, deadline_s=30 if stopped_from_outside else 1)
        await wire.perform(Stat(FINAL))

        async def before_reply(what: str) -> None:
            if what == "scandir":
                proxy.how = "swallow"
                proxy.limit = dict(proxy.passed)

        server.odd.before_reply = before_reply
        began = asyncio.get_running_loop().time()
        if stopped_from_outside:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wire.perform(List("out")), 1)
        else:
            assert await verdict(wire.perform(List("out"))) == "NotSent"
        assert asyncio.get_running_loop().time() - began < 3
        await wire.close()


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
