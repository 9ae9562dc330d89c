"""A bank's HTTPS server on loopback, down to the byte: it shows whatever certificate and behaves however a test wants."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ipaddress
import ssl
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOSTS = ("localhost", "127.0.0.1")
_DAY = timedelta(days=1)


class Pair(NamedTuple):
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key, in clear."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def pin(self) -> str:
        """SHA-256 of the public key, as a Bank's options name it."""
        info = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(hashlib.sha256(info).digest()).decode()


class Authority:
    """A throwaway certification authority."""

    def __init__(self, name: str = "Test authority") -> None:
        self.own = _pair(name, None, (), datetime.now(UTC) - _DAY, datetime.now(UTC) + 30 * _DAY)

    def issue(self, name: str, *, hosts: tuple[str, ...] = HOSTS, expired: bool = False) -> Pair:
        """A certificate for a server with these names, or for a client with none."""
        end = datetime.now(UTC) + (-_DAY if expired else 30 * _DAY)
        return _pair(name, self.own, hosts, datetime.now(UTC) - 10 * _DAY, end)


def _pair(name: str, issuer: Pair | None, hosts: tuple[str, ...], start: datetime, end: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(authority, critical=False)
    if hosts:
        names: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


class Asked(NamedTuple):
    """One request as it came in."""

    line: str
    headers: dict[str, str]
    body: bytes


Behave = Callable[["HttpsBank", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class HttpsBank:
    """The server. ``behave`` gets each connection once its handshake is done; ``asked`` is what it has read."""

    def __init__(self, folder: Path, shown: Pair | None, behave: Behave) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self.clients: Pair | None = None  # issuer of the client certificates that are asked for
        self.newest: ssl.TLSVersion | None = None
        self._folder, self._shown, self._behave = folder, shown, behave
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'https' if self._shown else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context())
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _context(self) -> ssl.SSLContext | None:
        if self._shown is None:
            return None
        path = self._folder / f"server-{id(self)}.pem"
        path.write_bytes(self._shown.key_pem + self._shown.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if self.newest is not None:
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of an old version: that is what is tried
                context.maximum_version = self.newest
            context.set_ciphers("ALL:@SECLEVEL=0")
        if self.clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.clients.pem.decode())
        return context

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._behave(self, reader, writer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def read(self, reader: asyncio.StreamReader) -> Asked:
        """One whole request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.asked.append(Asked(head[0], headers, body))
        return self.asked[-1]


def answering(body: bytes = b"answer", status: str = "200 OK", *headers: str) -> Behave:
    """Answers everything in the same way."""

    async def behave(bank: HttpsBank, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await bank.read(reader)
        given = headers or ("Content-Type: application/json",)
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *given, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return behave


def saying(*pieces: bytes, then_wait: bool = False, read: bool = True) -> Behave:
    """Reads the request (or not), sends these bytes as they are, and closes (or falls silent)."""

    async def behave(bank: HttpsBank, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if read:
            await bank.read(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_wait:
            await asyncio.Event().wait()

    return behave


async def endless(bank: HttpsBank, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A reply without an end."""
    await bank.read(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        await asyncio.sleep(0)
        writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        await writer.drain()
