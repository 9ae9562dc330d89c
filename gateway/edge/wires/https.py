"""HTTPS by aiohttp: one POST a connection, TLS 1.2 or later, the bank's key pinned, no redirect followed, a cap on the reply.

What is known after a failure is exact, because the connection is made for the one request:

- no connection (address, refusal, handshake, time): NotSent; not one byte of the request has left;
- another certificate than it should be (authority, host name, validity, pin): Unverified; nothing has left either;
- anything after the connection stands, until the reply is wholly there: InDoubt for a **final** Post, else NotSent.

A reply is an Answer whatever its status, redirects included: what it means is the bank's rule, which the route knows. Nothing is decompressed.

``plain`` speaks HTTP without TLS, for a bank's front-end machine that stands in the bureau's own network (前置机). With
``directory`` the requests for files go to a folder that this machine shares: such clients take files there and commands by HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import io
import os
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from gateway.codec.certificate import public_key_info
from gateway.core.bank import Bank, WireKind
from gateway.core.errors import Code, InDoubt, Malformed, NotSent, Refused, Unverified
from gateway.core.ports import Archive, Clock, Work
from gateway.core.route import Answer, Done, List, Post, Put, Rename, Request, Stat
from gateway.edge.clock import SystemClock
from gateway.edge.credentials import Credentials
from gateway.edge.wires.folder import FolderWire
from gateway.edge.wires.options import FolderOptions, HttpsOptions, options_of
from gateway.edge.work import InlineWork

CHUNK_BYTES = 64 * 1024
PIN_BYTES = 32
_TLS = ("ca", "pin", "client_certificate", "client_key")  # what has no meaning without it
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "sheyin"}
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, EOFError)


class HttpsWire:
    """The Wire port over HTTP."""

    def __init__(
        self,
        bank: Bank,
        archive: Archive,
        credentials: Credentials,
        *,
        clock: Clock | None = None,
        work: Work | None = None,
    ) -> None:
        """Raises Refused for wrong options; a missing credential shows with the first request."""
        self._options = options_of(bank, HttpsOptions)
        self._where = f"bank {bank.code}: wire_options"
        self._base = _base(self._options, self._where)
        self._pins = _pins(self._options.pin, self._where)
        self._credentials = credentials
        self._folder = self._files(bank, archive, credentials, clock or SystemClock(), work or InlineWork())

    async def perform(self, request: Request) -> Any:
        """See the port."""
        match request:
            case Post():
                return await self._post(request)
            case Put() | Rename() | Stat() | List() | Done() if self._folder is not None:
                return await self._folder.perform(request)
            case _:
                raise NotSent(f"HTTPS cannot {type(request).__name__}")

    async def read(self, path: str) -> AsyncIterator[bytes]:
        """See the port: of the shared folder."""
        if self._folder is None:
            raise NotSent("HTTPS has no files")
        async for chunk in self._folder.read(path):
            yield chunk

    async def close(self) -> None:
        """Nothing is held open."""

    def _files(
        self, bank: Bank, archive: Archive, credentials: Credentials, clock: Clock, work: Work
    ) -> FolderWire | None:
        if not self._options.directory:
            return None
        given = msgspec.structs.asdict(self._options)
        options = {name: given[name] for name in FolderOptions.__struct_fields__ if name in given}
        options["root"] = self._options.directory
        folder = msgspec.structs.replace(bank, wire=WireKind.FOLDER, wire_options=options)
        return FolderWire(folder, archive, credentials, clock=clock, work=work)

    # ------------------------------------------------------------------------------------------------ one request

    async def _post(self, request: Post) -> Answer:
        url = self._url(request.path, request.port)
        begun = asyncio.Event()  # the connection stands: from here on bytes of the request may leave
        try:
            async with asyncio.timeout(self._options.deadline_s), self._session(begun) as session:
                headers = _HEADERS | {"Content-Type": request.content_type or "application/octet-stream"}
                call = session.post(
                    url,
                    data=io.BytesIO(request.body),
                    headers=headers,
                    allow_redirects=False,
                    ssl=self._context() or True,
                )
                async with call as response:
                    body = await self._body(response)
                    return Answer(response.status, body, response.headers.get("Content-Type", ""))
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch) as error:
            raise Unverified(f"{url}: {_words(error)}", code=Code.CERT) from error
        except _FAILURES as error:
            what = f"{url}: {_words(error)}"
            raise InDoubt(what) if begun.is_set() and request.final else NotSent(what) from error
        except _TooLarge as error:
            what = f"{url}: a reply of more than {self._options.reply_bytes_max} bytes"
            raise (InDoubt if request.final else NotSent)(what, code=Code.SIZE) from error

    def _session(self, begun: asyncio.Event) -> aiohttp.ClientSession:
        async def connected(*_: object) -> None:
            begun.set()

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(connected)
        # A kept connection may be gone without our knowing, which would make a doubt of a request that never left.
        connector = aiohttp.TCPConnector(ssl=_PinnedKeys(self._pins) if self._pins else True, force_close=True)
        return aiohttp.ClientSession(
            connector=connector,
            trace_configs=[trace],
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._options.deadline_s),
        )

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            body += chunk
            if len(body) > self._options.reply_bytes_max:
                raise _TooLarge
        return bytes(body)

    def _url(self, path: str, port: int) -> str:
        base = _at_port(self._base, port)
        url = base + path
        parts = urlsplit(url)
        same = parts[:2] == urlsplit(base)[:2] and not (parts.fragment or set(path) & set("\\\r\n\t "))
        if (path and not path.startswith("/")) or not same or ".." in parts.path.split("/"):
            raise Malformed(f"not a path at this bank: {path[:200]!r}", code=Code.PATH)
        return url

    # ------------------------------------------------------------------------------------------------ TLS

    def _context(self) -> ssl.SSLContext | None:
        """What is trusted and shown, read again for every connection: a renewed credential counts at once."""
        options = self._options
        if options.plain:
            return None
        try:
            context = ssl.create_default_context(cadata=options.ca or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if options.ca:
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the bank's own certificate may be the anchor
            if options.client_key:
                _show(
                    context,
                    self._credentials.get(options.client_certificate),
                    self._credentials.get(options.client_key),
                )
        except Refused as error:  # no such credential
            raise NotSent(error.what, code=error.code) from error
        except (ssl.SSLError, ValueError) as error:
            raise NotSent(f"{self._where}: ca, client_certificate or client_key: {error}", code=Code.CERT) from error
        return context


class _TooLarge(Exception):
    """The reply has passed the cap."""


class _PinnedKeys(aiohttp.Fingerprint):
    """Looks at the key of the partner's certificate, after the handshake and before the first byte of a request."""

    def __init__(self, pins: tuple[bytes, ...]) -> None:
        super().__init__(pins[0])
        self._pins = pins

    def check(self, transport: asyncio.Transport) -> None:
        """Raises ServerFingerprintMismatch for a key that is not pinned."""
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        found = hashlib.sha256(public_key_info(certificate)).digest()
        if found not in self._pins:
            host, port, *_ = transport.get_extra_info("peername")
            raise aiohttp.ServerFingerprintMismatch(self._pins[0], found, host, port)


def _base(options: HttpsOptions, where: str) -> str:
    """The address that every path is put behind. Raises Refused."""
    parts = urlsplit(options.url)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Refused(f"url: {error}", code=Code.SCHEMA, where=where) from None
    if parts.scheme != ("http" if options.plain else "https") or not host:
        what = "url: http is spoken only with plain = true, and with it only http" if host else "url: no address"
        raise Refused(what, code=Code.SCHEMA, where=where)
    if parts.username is not None or parts.query or parts.fragment:
        raise Refused("url: only an address; secrets never stand in the configuration", code=Code.SCHEMA, where=where)
    if options.plain and (idle := [name for name in _TLS if getattr(options, name)]):
        raise Refused(f"{', '.join(idle)}: without meaning where plain = true", code=Code.SCHEMA, where=where)
    if bool(options.client_key) != bool(options.client_certificate):
        raise Refused("client_key and client_certificate go together", code=Code.SCHEMA, where=where)
    return options.url.rstrip("/")


def _at_port(base: str, port: int) -> str:
    """The address with another port of the same host; 0 leaves it."""
    if not port:
        return base
    parts = urlsplit(base)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return parts._replace(netloc=f"{host}:{port}").geturl()


def _pins(text: str, where: str) -> tuple[bytes, ...]:
    """SHA-256 of each key's SubjectPublicKeyInfo. Raises Refused."""
    try:
        pins = tuple(base64.b64decode(word, validate=True) for word in text.split())
    except binascii.Error as error:
        raise Refused(f"pin: {error}", code=Code.SCHEMA, where=where) from None
    if any(len(pin) != PIN_BYTES for pin in pins):
        raise Refused("pin: not the SHA-256 of a key in base64", code=Code.SCHEMA, where=where)
    return pins


def _show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Our client certificate. The library reads files only: this one lies in memory and is gone at once."""
    file = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        os.write(file, certificate + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return "its key is not pinned"
    if isinstance(error, TimeoutError):
        return "no reply in time"
    return f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__
