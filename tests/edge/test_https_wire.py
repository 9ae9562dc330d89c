"""The HTTPS wire against a real server with a throwaway authority: what it says after each failure is exact."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.core.bank import WireKind
from gateway.core.errors import Code, InDoubt, Malformed, NotSent, Refused, Unverified
from gateway.core.route import Answer, Done, Entry, List, Login, Post
from gateway.edge.archive import FolderArchive
from gateway.edge.credentials import Credentials
from gateway.edge.wires.https import HttpsWire
from tests.edge.https_bank import Authority, Behave, HttpsBank, Pair, answering, endless, saying
from tests.edge.wire_kit import PAYLOAD, bank, deliver_as_files, document

FINAL = Post("/pay", b"{}", "application/json", once="R1")
ASKING = Post("/ask", b"{}", "application/json", final=False)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The test's own."""
    return Authority()


class Town:
    """Makes servers, and wires to them."""

    def __init__(self, folder: Path, archive: FolderArchive, authority: Authority, stack: AsyncExitStack) -> None:
        self.folder, self.archive, self.authority, self.stack = folder, archive, authority, stack
        self.secrets = folder / "secrets"
        self.secrets.mkdir()

    async def server(
        self,
        behave: Behave,
        shown: Pair | None = None,
        *,
        plain: bool = False,
        clients: Pair | None = None,
        newest: ssl.TLSVersion | None = None,
    ) -> HttpsBank:
        """One that is listening; with the authority's certificate unless told otherwise."""
        server = HttpsBank(self.folder, None if plain else shown or self.authority.issue("bank"), behave)
        server.clients, server.newest = clients, newest
        return await self.stack.enter_async_context(server)

    def wire(self, url: str, **options: str | int | bool) -> HttpsWire:
        """A wire that trusts the authority."""
        given: dict[str, str | int | bool] = {"url": url, "deadline_s": 5, **options}
        if url.startswith("https"):
            given.setdefault("ca", self.authority.own.pem.decode())
        return HttpsWire(bank(WireKind.HTTPS, given), self.archive, Credentials(self.secrets, {}))


@pytest.fixture
async def town(tmp_path: Path, archive: FolderArchive, authority: Authority) -> AsyncIterator[Town]:
    """Servers that end with the test."""
    async with AsyncExitStack() as stack:
        yield Town(tmp_path, archive, authority, stack)


# ------------------------------------------------------------------------------------------------------------ a good day


async def test_a_body_goes_and_an_answer_comes(town: Town) -> None:
    """POST, the path behind the address, the type, the very bytes; the answer with its status and type."""
    server = await town.server(answering("收到".encode(), "200 OK", "Content-Type: text/plain; charset=utf-8"))
    body = bytes(range(256)) * 5_000
    wire = town.wire(server.url + "/cdc/")
    assert await wire.perform(Post("/api?x=1", body, "application/x-www-form-urlencoded")) == Answer(
        200, "收到".encode(), "text/plain; charset=utf-8"
    )
    (asked,) = server.asked
    assert asked.line == "POST /cdc/api?x=1 HTTP/1.1"
    assert asked.body == body
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"


async def test_another_port_of_the_same_host(town: Town) -> None:
    """For a client program that listens on two; the path of the address stays, and so does the host."""
    first, second = await town.server(answering(), plain=True), await town.server(answering(), plain=True)
    wire = town.wire(first.url + "/nc", plain=True)
    assert (await wire.perform(Post("/sign", b"", "", final=False, port=second.port))).status == 200
    assert [asked.line for asked in second.asked] == ["POST /nc/sign HTTP/1.1"]
    assert first.connections == 0
    with pytest.raises(Malformed):
        await wire.perform(Post("@evil.example/", b"", "", port=second.port))


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "500 Oops", "503 Busy"])
async def test_the_body_of_every_status_is_read(town: Town, status: str) -> None:
    """Banks tell their errors as plain text under any status."""
    server = await town.server(answering(b"ErrMsg: system busy", status, "Content-Type: text/plain"))
    answer = await town.wire(server.url).perform(FINAL)
    assert answer == Answer(int(status[:3]), b"ErrMsg: system busy", "text/plain")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
async def test_no_redirect_is_followed(town: Town, status: str) -> None:
    """Not to another host and not to the same: it is an answer like any other."""
    other = await town.server(answering())
    server = await town.server(answering(b"", status, f"Location: {other.url}/pay"))
    answer = await town.wire(server.url).perform(FINAL)
    assert (answer.status, len(server.asked), other.connections) == (int(status[:3]), 1, 0)


async def test_nothing_is_decompressed_and_no_cookie_is_kept(town: Town) -> None:
    """What was not asked for is left as it came."""
    squeezed = gzip.compress(b"x" * 1_000_000)
    server = await town.server(answering(squeezed, "200 OK", "Content-Encoding: gzip", "Set-Cookie: a=b"))
    wire = town.wire(server.url)
    for _ in range(2):
        assert (await wire.perform(FINAL)).body == squeezed
    assert not any("cookie" in asked.headers for asked in server.asked)


async def test_every_request_has_a_connection_of_its_own(town: Town) -> None:
    """A kept one may be dead without our knowing: a request that never left would be a doubt."""
    server = await town.server(answering())
    wire = town.wire(server.url)
    for _ in range(3):
        await wire.perform(FINAL)
    await wire.close()
    await wire.perform(FINAL)
    assert server.connections == 4


async def test_no_proxy_of_the_environment_takes_part(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is the configuration's alone."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = await town.server(answering())
    assert (await town.wire(server.url).perform(FINAL)).status == 200


async def test_http_only_where_it_says_so(town: Town) -> None:
    """A bank's front-end machine in our own network."""
    server = await town.server(answering(), plain=True)
    assert (await town.wire(server.url, plain=True).perform(FINAL)).body == b"answer"
    with pytest.raises(Refused, match="plain = true"):
        town.wire(server.url)
    with pytest.raises(Refused, match="plain = true"):
        town.wire(server.url.replace("http", "https"), plain=True)


# ---------------------------------------------------------------------------------------------------- surely nothing left


async def test_nobody_there_is_surely_not_sent(town: Town) -> None:
    """Refused, or no such name."""
    server = await town.server(answering())
    await server.__aexit__()
    for url in (server.url, "https://bank.invalid"):
        for request in (FINAL, ASKING):
            with pytest.raises(NotSent):
                await town.wire(url).perform(request)


async def test_a_server_without_a_handshake(town: Town) -> None:
    """Silence, a hang-up, or plain text where TLS should begin: not one byte of the request has left."""
    for behave in (
        saying(read=False, then_wait=True),
        saying(read=False),
        saying(b"HTTP/1.1 200 OK\r\n\r\n", read=False),
    ):
        server = await town.server(behave, plain=True)
        with pytest.raises(NotSent):
            await town.wire(f"https://127.0.0.1:{server.port}", deadline_s=1).perform(FINAL)
        assert server.connections == 1
        assert server.asked == []


async def test_older_tls_is_not_spoken(town: Town) -> None:
    """TLS 1.1 ends in the handshake; 1.2 is spoken."""
    server = await town.server(answering(), newest=ssl.TLSVersion.TLSv1_1)
    with pytest.raises(NotSent):
        await town.wire(server.url).perform(FINAL)
    server = await town.server(answering(), newest=ssl.TLSVersion.TLSv1_2)
    assert (await town.wire(server.url).perform(FINAL)).status == 200


# ------------------------------------------------------------------------------------------------------------ who it is


async def test_a_wrong_certificate_is_unverified(town: Town) -> None:
    """Another authority, another name, or expired: nothing of the request is shown to it."""
    wrong = [
        Authority("Somebody").issue("bank"),
        town.authority.issue("bank", hosts=("bank.example",)),
        town.authority.issue("bank", hosts=()),
        town.authority.issue("bank", expired=True),
    ]
    for shown in wrong:
        server = await town.server(answering(), shown)
        for request in (FINAL, ASKING):
            with pytest.raises(Unverified) as error:
                await town.wire(server.url).perform(request)
            assert error.value.code is Code.CERT
        assert server.asked == []


async def test_the_key_is_pinned_with_overlap(town: Town) -> None:
    """The right authority is not enough: one of the pinned keys; two are accepted during a change-over."""
    old, new = town.authority.issue("old"), town.authority.issue("new")
    servers = [await town.server(answering(), shown) for shown in (old, new)]
    cases = [(old.pin, (True, False)), (new.pin, (False, True)), (f"{old.pin}\n{new.pin}", (True, True))]
    for pins, expected in cases:
        for server, good in zip(servers, expected, strict=True):
            before = len(server.asked)
            if good:
                assert (await town.wire(server.url, pin=pins).perform(FINAL)).status == 200
                continue
            with pytest.raises(Unverified, match="not pinned"):
                await town.wire(server.url, pin=pins).perform(FINAL)
            assert len(server.asked) == before


async def test_a_pin_does_not_replace_the_other_checks(town: Town) -> None:
    """The pinned key under an expired certificate is unverified."""
    shown = town.authority.issue("bank", expired=True)
    server = await town.server(answering(), shown)
    with pytest.raises(Unverified):
        await town.wire(server.url, pin=shown.pin).perform(FINAL)


async def test_the_banks_own_certificate_may_be_the_anchor(town: Town) -> None:
    """For a bank that gives its certificate and no authority."""
    shown = Authority("Somebody").issue("bank")
    server = await town.server(answering(), shown)
    assert (await town.wire(server.url, ca=shown.pem.decode()).perform(FINAL)).status == 200


async def test_our_certificate_is_shown(town: Town) -> None:
    """By the names of credentials, read for every connection; without it the bank ends the conversation."""
    clients = Authority("Clients")
    server = await town.server(answering(), clients=clients.own)
    shown = clients.issue("bureau", hosts=())
    options = {"client_certificate": "bank-a.crt", "client_key": "bank-a.key"}
    wire = town.wire(server.url, **options)
    with pytest.raises(NotSent, match=r"bank-a\.crt"):
        await wire.perform(FINAL)
    (town.secrets / "bank-a.crt").write_bytes(shown.pem)
    (town.secrets / "bank-a.key").write_bytes(shown.key_pem)
    assert (await wire.perform(FINAL)).status == 200
    (town.secrets / "bank-a.key").write_bytes(town.authority.issue("other").key_pem)
    with pytest.raises(NotSent) as error:
        await wire.perform(FINAL)
    assert error.value.code is Code.CERT
    with pytest.raises((InDoubt, NotSent)):  # TLS 1.3: the refusal comes after our first bytes may have left
        await town.wire(server.url).perform(FINAL)
    assert len(server.asked) == 1


def test_no_key_is_left_on_the_disk(town: Town, tmp_path: Path) -> None:
    """The private key is read from its credential and stays in memory."""
    shown = town.authority.issue("bureau", hosts=())
    (town.secrets / "c").write_bytes(shown.pem)
    (town.secrets / "k").write_bytes(shown.key_pem)
    before = set(Path("/proc/self/fd").iterdir()), sorted(tmp_path.rglob("*"))
    town.wire("https://127.0.0.1:1", client_certificate="c", client_key="k")._context()
    assert (set(Path("/proc/self/fd").iterdir()), sorted(tmp_path.rglob("*"))) == before


# ------------------------------------------------------------------------------------------------------- it may have left

DOUBTS: dict[str, Behave] = {
    "cut before the request is read": saying(read=False),
    "cut before the reply": saying(),
    "cut in the status": saying(b"HTTP/1.1 20"),
    "cut in the head": saying(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "cut before the body": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
    "cut in the body": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"),
    "cut in a chunk": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n12345"),
    "no HTTP": saying(b"ErrMsg: busy\r\n\r\n"),
    "a head without an end": saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
    "silence": saying(then_wait=True),
    "silence in the body": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", then_wait=True),
    "a reply without an end": endless,
}


@pytest.mark.parametrize("behave", DOUBTS.values(), ids=DOUBTS)
async def test_after_the_first_byte_it_is_a_doubt(town: Town, behave: Behave) -> None:
    """A final Post is InDoubt; a question is surely without effect."""
    server = await town.server(behave)
    wire = town.wire(server.url, deadline_s=1, reply_bytes_max=1_000_000)
    with pytest.raises(InDoubt):
        await wire.perform(FINAL)
    with pytest.raises(NotSent):
        await wire.perform(ASKING)
    assert server.connections == 2


async def test_a_reply_has_a_cap(town: Town) -> None:
    """One byte more than agreed is not taken, and says why."""
    server = await town.server(answering(b"x" * 1_000))
    assert len((await town.wire(server.url, reply_bytes_max=1_000).perform(FINAL)).body) == 1_000
    with pytest.raises(InDoubt) as error:
        await town.wire(server.url, reply_bytes_max=999).perform(FINAL)
    assert error.value.code is Code.SIZE


async def test_a_cancellation_passes(town: Town) -> None:
    """Whoever stops us finds the Document in ``sending``."""
    server = await town.server(saying(then_wait=True))
    task = asyncio.create_task(town.wire(server.url).perform(FINAL))
    while not server.asked:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --------------------------------------------------------------------------------------------------------- paths, options


@pytest.mark.parametrize(
    "path", ["pay", "@evil.example/", ":1/", "/../x", "/a/../../b", "/a b", "/a\r\nX: y", "/a\\b", "/a#b", "//x/.."]
)
async def test_no_path_leaves_the_bank(town: Town, path: str) -> None:
    """Whatever a route makes of a bank's words, the host stays."""
    server = await town.server(answering())
    with pytest.raises(Malformed) as error:
        await town.wire(server.url).perform(Post(path, b"", ""))
    assert error.value.code is Code.PATH
    assert server.connections == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "url"),
        ({"url": ""}, "no address"),
        ({"url": "https://"}, "no address"),
        ({"url": "ftp://bank"}, "plain = true"),
        ({"url": "https://bank:x"}, "url"),
        ({"url": "https://me:secret@bank"}, "secrets"),
        ({"url": "https://bank/?key=secret"}, "only an address"),
        ({"url": "https://bank", "pin": "AAAA"}, "not the SHA-256"),
        ({"url": "https://bank", "pin": "*"}, "pin"),
        ({"url": "https://bank", "client_key": "k"}, "go together"),
        ({"url": "http://bank", "plain": True, "pin": "A" * 43 + "="}, "pin: without meaning"),
        ({"url": "https://bank", "deadline_s": 101}, "deadline_s"),
        ({"url": "https://bank", "deadline": 1}, "deadline"),
    ],
)
def test_wrong_options_are_refused(archive: FolderArchive, options: dict[str, str | int | bool], word: str) -> None:
    """When the wire is made, not with the first Document."""
    with pytest.raises(Refused, match=word):
        HttpsWire(bank(WireKind.HTTPS, options), archive, Credentials(None, {}))


async def test_a_wrong_authority_in_the_options_is_surely_not_sent(town: Town) -> None:
    """No certificate in it: told with the first request, and nothing leaves."""
    with pytest.raises(NotSent) as error:
        await town.wire("https://127.0.0.1:1", ca="no certificate").perform(FINAL)
    assert error.value.code is Code.CERT


# ------------------------------------------------------------------------------------------------------ a folder beside it


async def test_files_go_to_the_folder_and_commands_to_the_server(town: Town, archive: FolderArchive) -> None:
    """A bank's client that takes files from a folder and commands by HTTP."""
    share = town.folder / "share"
    for folder in ("in", "out"):
        (share / folder).mkdir(parents=True)
    server = await town.server(answering(), plain=True)
    wire = town.wire(server.url, plain=True, directory=str(share), complete="rename")
    await deliver_as_files(wire, document(archive))
    assert (share / "in/PAY0001").read_bytes() == PAYLOAD
    assert (await wire.perform(FINAL)).body == b"answer"
    (share / "out/RES0001").write_bytes(b"result")
    (entry,) = await wire.perform(List("out"))
    assert (entry.name, entry.size) == ("RES0001", 6)
    assert isinstance(entry, Entry)
    assert b"".join([chunk async for chunk in wire.read("out/RES0001")]) == b"result"
    await wire.perform(Done("out/RES0001"))
    assert await wire.perform(List("out")) == ()


async def test_without_a_folder_there_are_no_files(town: Town) -> None:
    """And a login is not this wire's."""
    wire = town.wire("https://127.0.0.1:1")
    for request in (List("out"), Done("out/x"), Login("/", b"")):
        with pytest.raises(NotSent, match="cannot"):
            await wire.perform(request)
    with pytest.raises(NotSent, match="no files"):
        async for _ in wire.read("out/x"):
            pass
