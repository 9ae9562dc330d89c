"""A signing service to test against: the contract of docs/signing-service.md over mutual TLS, with keys in this process.

What a bureau owns is a vendor's signing server (签名验签服务器) with a vendor's API; a small program like this one stands in front of it in
production. Every request is kept (``asked``), as a real one would log it; ``fault`` makes the service behave as badly as a real one can.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64decode, b64encode
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.core.errors import Refused
from gateway.edge.crypto.keys import PrivateKey
from gateway.edge.crypto.software import SoftwareEngine
from gateway.edge.work import InlineWork

BODY_BYTES_MAX = 64 * 1024


class Fault(StrEnum):
    """How it misbehaves."""

    NONE = "none"
    UNWELL = "unwell"  # 503, with Retry-After
    SILENT = "silent"  # takes the request and never answers
    OTHER_REQUEST = "other_request"  # answers to a question that was not asked
    OTHER_DIGEST = "other_digest"  # signs something else
    GARBAGE = "garbage"  # not JSON
    ENDLESS = "endless"  # an answer without an end
    ELSEWHERE = "elsewhere"  # a redirect


class SigningService:
    """One service on the loopback interface, as an asynchronous context manager."""

    def __init__(self, keys: Mapping[str, PrivateKey], certificate: Path, key: Path, client_ca: Path) -> None:
        """``certificate`` and ``key`` are the server's; ``client_ca`` is who may come in."""
        self._keys = dict(keys)
        self._engine = SoftwareEngine(keys, InlineWork())
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._tls.load_cert_chain(certificate, key)
        self.fault = Fault.NONE
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """For a client's configuration."""
        return f"https://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; again on the same port after a stop."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_get("/v1/health", self._health)
        app.router.add_get("/v1/certificates", self._certificates)
        app.router.add_post("/v1/sign", self._sign)
        app.router.add_post("/v1/unwrap", self._unwrap)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def forget(self, key: str) -> None:
        """From now on it does not have that key."""
        del self._keys[key]

    async def _health(self, _: web.Request) -> web.StreamResponse:
        self.asked.append(("health", {}))
        return await self._misbehaving() or web.json_response({"status": "ok"})

    async def _certificates(self, _: web.Request) -> web.StreamResponse:
        self.asked.append(("certificates", {}))
        listed = [
            {
                "key": name,
                "certificate": _text(key.certificate.der),
                "algorithms": list(_algorithms(key)) if key.certificate.use == "sign" else [],
            }
            for name, key in self._keys.items()
        ]
        return await self._misbehaving() or web.json_response({"certificates": listed})

    async def _sign(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(("sign", body))
        if wrong := await self._misbehaving():
            return wrong
        name, algorithm, digest = (str(body.get(field, "")) for field in ("key", "algorithm", "digest"))
        if body.get("request") != _request_digest("sign", name, algorithm, digest):
            return _refused(400, "REQUEST", "the request's digest is not the request's")
        key = self._keys.get(name)
        if key is None or key.certificate.use != "sign":
            return _refused(404, "KEY", f"no signing key is called {name}")
        if algorithm not in _algorithms(key):
            return _refused(422, "ALGORITHM", f"{name} does not sign with {algorithm}")
        shown = bytes(32) if self.fault is Fault.OTHER_DIGEST else b64decode(digest)
        try:
            signature = await self._engine.sign(name, algorithm, shown)
        except (Refused, ValueError) as error:
            return _refused(422, "DIGEST", str(error))
        return self._answer({"signature": _text(signature)}, body["request"])

    async def _unwrap(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(("unwrap", body))
        if wrong := await self._misbehaving():
            return wrong
        name, wrapped = (str(body.get(field, "")) for field in ("key", "wrapped"))
        if body.get("request") != _request_digest("unwrap", name, wrapped):
            return _refused(400, "REQUEST", "the request's digest is not the request's")
        key = self._keys.get(name)
        if key is None or key.certificate.use != "decrypt":
            return _refused(404, "KEY", f"no decryption key is called {name}")
        secret = await self._engine.unwrap(name, b64decode(wrapped))
        return self._answer({"secret": _text(secret or b"")}, body["request"])

    def _answer(self, found: dict[str, str], request: str) -> web.Response:
        told = _request_digest("sign", "other", "", "") if self.fault is Fault.OTHER_REQUEST else request
        return web.json_response({**found, "request": told})

    async def _misbehaving(self) -> web.StreamResponse | None:
        match self.fault:
            case Fault.UNWELL:
                return web.Response(status=503, headers={"Retry-After": "30"})
            case Fault.SILENT:
                await asyncio.Event().wait()
            case Fault.GARBAGE:
                return web.Response(body=b"<html>signed</html>")
            case Fault.ENDLESS:
                return web.Response(body=b'{"signature": "' + b"A" * 1024 * 1024)
            case Fault.ELSEWHERE:
                return web.Response(status=307, headers={"Location": f"{self.address}/v1/health"})
        return None


def _algorithms(key: PrivateKey) -> tuple[str, ...]:
    return ("rsa-sha256",) if isinstance(key.private, rsa.RSAPrivateKey) else ("sm2-sm3", "sm2-sm3-raw")


def _request_digest(*parts: str) -> str:
    """As the contract says, in the service's own words."""
    digest = sha256()
    for part in parts:
        digest.update(part.encode() + b"\n")
    return digest.hexdigest()


def _refused(status: int, code: str, what: str) -> web.Response:
    return web.json_response({"error": {"code": code, "what": what}}, status=status)


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")
