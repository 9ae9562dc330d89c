"""An HTTP server as a bank's door: every POST is a request of a conversation, answered in its reply.

TLS where the bank has a certificate, with a client certificate asked for where it pins the bureau's; plain otherwise. What goes wrong on
request concerns orders only, counted from 1 as they come: ``http_errors`` are answered 500 in plain text and not looked at,
``http_lost_replies`` are taken, and the connection ends without a reply; ``slow_s`` lets them wait.
"""

from __future__ import annotations

import asyncio
import ssl

from aiohttp import web

from gateway.sandbox.bank import Counterpart
from gateway.sandbox.config import Faults, HttpWire
from gateway.sandbox.conversation import Asked, Conversation
from gateway.sandbox.doors import BYTES_MAX, pause


class HttpDoor:
    """The HTTP wire."""

    def __init__(
        self, wire: HttpWire, faults: Faults, bank: Counterpart, speaker: Conversation, stop: asyncio.Event
    ) -> None:
        self._wire, self._faults, self._bank, self._speaker, self._stop = wire, faults, bank, speaker, stop
        self._turn = asyncio.Lock()
        self._orders = 0
        self._runner: web.AppRunner | None = None

    async def open(self) -> dict[str, str | int]:
        """Begin to listen; the ready line tells the port and the address."""
        app = web.Application(client_max_size=BYTES_MAX)
        app.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        context = self._context()
        await web.TCPSite(self._runner, self._wire.host, self._wire.port, ssl_context=context).start()
        port = int(self._runner.addresses[0][1])
        return {"port": port, "url": f"{'https' if context else 'http'}://{self._wire.host}:{port}"}

    async def close(self) -> None:
        """End every conversation."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _context(self) -> ssl.SSLContext | None:
        if not self._wire.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._wire.certificate, self._wire.key)
        if self._wire.clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self._wire.clients)
        return context

    async def _answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.path_qs, headers, await request.read())
        nth = 0
        if self._speaker.orders(asked):
            self._orders += 1
            nth = self._orders
            await pause(self._stop, self._bank.slow_s())
            if nth in self._faults.http_errors:
                return web.Response(status=500, text="system busy, please try again later")
        async with self._turn:
            said = await asyncio.to_thread(self._speaker.reply, asked)
        if nth in self._faults.http_lost_replies and request.transport is not None:
            request.transport.abort()
        return web.Response(status=said.status, body=said.body, headers={"Content-Type": said.content_type})
