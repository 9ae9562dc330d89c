"""Keys behind a signing service: a small HTTP contract over mutual TLS, docs/signing-service.md. It is given digests, never a Document.

No request is ever made twice by itself: who needs the signature asks again at its own pace. After a failure the service is left alone for a
while that doubles up to a minute (or as long as its ``Retry-After`` says), and who asks meanwhile is told at once that it is away. Every request
carries the SHA-256 of what it asks, which the answer repeats and both sides log: an answer to another question is never taken.
"""

from __future__ import annotations

import asyncio
import binascii
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from gateway.core.errors import Code, Refused, Unavailable
from gateway.edge.backoff import Backoff
from gateway.edge.crypto.keys import Certificate, HeldKey, Service

ANSWER_BYTES_MAX = 64 * 1024
REST_S_MAX = 60.0
#: The service may ask to be left alone longer than that, up to this.
RETRY_AFTER_S_MAX = 600
T = TypeVar("T")


class SignRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``POST /v1/sign``: sign ``digest`` (base64; for SM2 e, with Z in it)."""

    key: str
    algorithm: str
    digest: str
    request: str  # request_digest("sign", key, algorithm, digest)


class SignAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The signature (base64), and the request's digest again."""

    signature: str
    request: str


class UnwrapRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``POST /v1/unwrap``: open a content key (base64) that was encrypted to ``key`` by RSA PKCS#1 v1.5."""

    key: str
    wrapped: str
    request: str  # request_digest("unwrap", key, wrapped)


class UnwrapAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The content key (base64), empty where there was none in it."""

    secret: str
    request: str


class ListedKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key of ``GET /v1/certificates``."""

    key: str
    certificate: str  # base64 of the DER
    algorithms: tuple[str, ...] = ()


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /v1/certificates``: every key that we may use."""

    certificates: tuple[ListedKey, ...]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /v1/health``."""

    status: str


def request_digest(*parts: str) -> str:
    """SHA-256 (hex) over the parts, each followed by a line feed: what was asked, as both sides log it."""
    return sha256("".join(f"{part}\n" for part in parts).encode()).hexdigest()


class RemoteEngine:
    """An engine over one signing service."""

    def __init__(
        self,
        name: str,
        options: Service,
        keys: Mapping[str, HeldKey],
        folder: Path,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects nowhere yet. Raises Refused: SCHEMA for an address without TLS, CERT for certificates that do not load."""
        self._name = name
        self._options = options
        self._keys = dict(keys)
        address = urlsplit(options.address)
        if address.scheme != "https" or not address.hostname or address.path.strip("/") or address.query:
            raise Refused(f"engine {name}: the address must be https://host:port", code=Code.SCHEMA)
        self._base = f"https://{address.netloc}"
        self._tls = _tls(name, options, folder)
        self._http: aiohttp.ClientSession | None = None
        self._monotonic = monotonic
        self._rest = Backoff(1.0, REST_S_MAX)
        self._away_until_s = 0.0
        self._why = ""

    async def sign(self, key: str, algorithm: str, digest: bytes) -> bytes:
        """Raises Unavailable where the service is away, slow, or answers something else; Refused for what it will never do."""
        shown = _text(digest)
        name = self._keys[key].id
        asked = request_digest("sign", name, algorithm, shown)
        body = SignRequest(key=name, algorithm=algorithm, digest=shown, request=asked)
        answer = await self._call("POST", "/v1/sign", SignAnswer, body)
        self._same(answer.request, asked)
        return self._bytes(answer.signature)

    async def unwrap(self, key: str, wrapped: bytes) -> bytes | None:
        """The content key, None where there was none. Raises Unavailable, Refused as ``sign``."""
        shown = _text(wrapped)
        name = self._keys[key].id
        asked = request_digest("unwrap", name, shown)
        answer = await self._call(
            "POST", "/v1/unwrap", UnwrapAnswer, UnwrapRequest(key=name, wrapped=shown, request=asked)
        )
        self._same(answer.request, asked)
        return self._bytes(answer.secret) or None

    def certificates(self) -> Mapping[str, Certificate]:
        """The certificate of every key, from the configuration: the service's own list is only compared with it (``differences``)."""
        return {name: key.certificate for name, key in self._keys.items()}

    async def healthy(self) -> None:
        """Raises Unavailable where the service is not."""
        if (await self._call("GET", "/v1/health", Health)).status != "ok":
            raise self._away("it says that it is not well")

    async def differences(self) -> list[str]:
        """Our keys whose certificate at the service is missing or another one than ours, by name. Raises Unavailable."""
        listed = {
            item.key: item.certificate for item in (await self._call("GET", "/v1/certificates", KeyList)).certificates
        }
        return [name for name, key in self._keys.items() if listed.get(key.id) != _text(key.certificate.der)]

    async def close(self) -> None:
        """Let go of the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def _call(self, method: str, path: str, type_: type[T], body: msgspec.Struct | None = None) -> T:
        if self._monotonic() < self._away_until_s:
            raise Unavailable(f"the signing service {self._name} is away: {self._why}")
        try:
            async with asyncio.timeout(self._options.deadline_s):
                status, retry_after, content = await self._exchange(method, path, body)
        except TimeoutError:
            raise self._away(f"no answer in {self._options.deadline_s} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._away(f"{type(error).__name__}: {error}"[:200]) from None
        if status == 429 or status >= 500:
            raise self._away(f"it answers {status}", retry_after)
        if status != 200:
            raise Refused(f"the signing service {self._name} refuses: {status}{_told(content)}", code=Code.CERT)
        try:
            answer = msgspec.json.decode(content, type=type_)
        except msgspec.MsgspecError as error:
            raise self._away(f"its answer is not the agreed one: {error}"[:200]) from None
        self._rest.reset()
        return answer

    async def _exchange(self, method: str, path: str, body: msgspec.Struct | None) -> tuple[int, str, bytes]:
        if self._http is None:
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=4)
            self._http = aiohttp.ClientSession(connector=connector, trust_env=False)
        headers = {"Accept": "application/json", "Sheyin-Deadline-Ms": str(1000 * self._options.deadline_s)}
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        async with self._http.request(
            method, self._base + path, data=data, headers=headers, allow_redirects=False
        ) as response:
            content = await response.content.read(ANSWER_BYTES_MAX + 1)
            while len(content) <= ANSWER_BYTES_MAX and (more := await response.content.read(ANSWER_BYTES_MAX)):
                content += more
            if len(content) > ANSWER_BYTES_MAX:
                raise aiohttp.ClientPayloadError(f"more than {ANSWER_BYTES_MAX} bytes")
            return response.status, response.headers.get("Retry-After", ""), content

    def _away(self, why: str, retry_after: str = "") -> Unavailable:
        rest_s = self._rest.next_s()
        if retry_after.isascii() and retry_after.isdigit():
            rest_s = max(rest_s, min(int(retry_after), RETRY_AFTER_S_MAX))
        self._away_until_s, self._why = self._monotonic() + rest_s, why
        return Unavailable(f"the signing service {self._name} is away: {why}")

    def _same(self, told: str, asked: str) -> None:
        if told != asked:
            raise self._away("it answers another question than was asked")

    def _bytes(self, text: str) -> bytes:
        try:
            return b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            raise self._away("its answer is not base64") from None


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _told(content: bytes) -> str:
    """What the service says about a refusal, shortened and on one line."""
    try:
        what = msgspec.json.decode(content)["error"]["what"]
    except (msgspec.MsgspecError, LookupError, TypeError):
        return ""
    return f": {' '.join(str(what).split())[:200]}"


def _tls(name: str, options: Service, folder: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=folder / options.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(folder / options.certificate, folder / options.key)
    except OSError as error:  # SSLError is one
        raise Refused(f"engine {name}: its certificates do not load: {error}", code=Code.CERT) from None
    return context
