"""RabbitMQ's management API, the part that we read: queues, exchanges, bindings, nodes, alarms.

It tells what AMQP does not: bindings, policies, rates, memory, leaders. It is a view for people and checks, refreshed
by the broker every few seconds: no decision about money is made on it, and the gateway works without it. Fields that
are not listed here are ignored.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from gateway.core.errors import Code, Refused, Unavailable
from gateway.edge.bus_link import is_loopback

T = TypeVar("T")

ANSWER_BYTES_MAX = 16 * 1024 * 1024
TIMEOUT_S = 10.0


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Events per second, over the broker's own sampling time."""

    rate: float = 0.0


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the queue's leader started (messages), and their rates."""

    publish: int = 0
    publish_details: Rate = Rate()
    deliver_get: int = 0
    deliver_get_details: Rate = Rate()
    ack: int = 0
    ack_details: Rate = Rate()
    redeliver: int = 0
    redeliver_details: Rate = Rate()


class QueueInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One queue. ``memory`` and ``message_bytes`` in bytes; ``head_message_timestamp`` in seconds since the epoch."""

    name: str
    type: str = "classic"
    state: str = ""
    durable: bool = True
    arguments: dict[str, Any] = {}
    policy: str | None = None
    effective_policy_definition: dict[str, Any] = {}
    messages: int = 0
    messages_ready: int = 0
    messages_unacknowledged: int = 0
    message_bytes: int = 0
    consumers: int = 0
    memory: int = 0
    head_message_timestamp: int | None = None
    leader: str = ""
    members: tuple[str, ...] = ()
    online: tuple[str, ...] = ()
    message_stats: QueueStats = QueueStats()


class ExchangeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange."""

    name: str
    type: str
    durable: bool = True


class BindingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One binding. The nameless exchange's own have an empty ``source``."""

    source: str
    destination: str
    destination_type: str
    routing_key: str


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One node. Sizes in bytes; an alarm makes every publisher wait."""

    name: str
    running: bool = True
    mem_used: int = 0
    mem_limit: int = 0
    mem_alarm: bool = False
    disk_free: int | None = None
    disk_free_limit: int | None = None
    disk_free_alarm: bool = False
    partitions: tuple[str, ...] = ()
    uptime: int = 0  # milliseconds
    os_pid: str = ""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster in a word."""

    rabbitmq_version: str = ""
    cluster_name: str = ""
    erlang_version: str = ""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A node that takes nothing for now, and why: ``memory`` or ``disk``."""

    node: str
    resource: str


class RabbitAdmin:
    """A client of the management API, for one vhost. Use it as an async context manager."""

    def __init__(
        self,
        base_url: str,
        user: str,
        password: str,
        *,
        vhost: str = "/",
        tls: ssl.SSLContext | None = None,
        plain_allowed: bool = False,
    ) -> None:
        """Raises Refused (POLICY) for plain HTTP to another machine unless ``plain_allowed``."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused("the management API's address starts with https://", code=Code.POLICY)
        if parts.scheme == "http" and not plain_allowed and not is_loopback(parts.hostname):
            raise Refused("plain HTTP would show the broker's password: use https://", code=Code.POLICY)
        self._address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._base = f"{self._address}{parts.path.rstrip('/')}/api/"
        self._vhost = quote(vhost, safe="")
        self._session = aiohttp.ClientSession(
            headers={"Authorization": aiohttp.encode_basic_auth(user, password, "utf-8")},
            connector=aiohttp.TCPConnector(ssl=tls or True, limit=4),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()

    async def overview(self) -> Overview:
        """Versions and name."""
        return await self._get("overview", Overview)

    async def queues(self, columns: Sequence[str] = ()) -> list[QueueInfo]:
        """All queues of the vhost; with ``columns`` (fields of QueueInfo) only these are asked for, which is cheaper."""
        asked = f"?columns={','.join(dict.fromkeys(('name', *columns)))}" if columns else ""
        return await self._get(f"queues/{self._vhost}{asked}", list[QueueInfo])

    async def exchanges(self) -> list[ExchangeInfo]:
        """All exchanges of the vhost."""
        return await self._get(f"exchanges/{self._vhost}", list[ExchangeInfo])

    async def bindings(self) -> list[BindingInfo]:
        """All bindings of the vhost."""
        return await self._get(f"bindings/{self._vhost}", list[BindingInfo])

    async def nodes(self) -> list[NodeInfo]:
        """All nodes of the cluster."""
        return await self._get("nodes", list[NodeInfo])

    async def alarms(self) -> list[Alarm]:
        """Which nodes take nothing for now, and why."""
        kinds = (("memory", "mem_alarm"), ("disk", "disk_free_alarm"))
        return [
            Alarm(node=node.name, resource=resource)
            for node in await self.nodes()
            for resource, field in kinds
            if getattr(node, field)
        ]

    async def _get(self, path: str, shape: type[T]) -> T:
        try:
            async with self._session.get(self._base + path, allow_redirects=False) as answer:
                body = await answer.content.read(ANSWER_BYTES_MAX + 1)
                while not answer.content.at_eof() and len(body) <= ANSWER_BYTES_MAX:
                    body += await answer.content.read(ANSWER_BYTES_MAX + 1 - len(body))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{self._address}: {type(error).__name__}: {error}", where=path) from error
        if answer.status != 200:
            raise Unavailable(f"{self._address}: answered {answer.status}", where=path)
        if len(body) > ANSWER_BYTES_MAX:
            raise Unavailable(f"{self._address}: an answer above {ANSWER_BYTES_MAX} bytes", where=path)
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.DecodeError as error:
            raise Unavailable(f"{self._address}: not the management API's shape: {error}", where=path) from error
