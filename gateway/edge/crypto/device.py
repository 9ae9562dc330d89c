"""Keys in a PKCS#11 device: they never leave it, and it is only given digests. The optional extra ``pkcs11`` installs what this needs.

RSA only: PKCS#11 has no SM2 mechanism of its own, each vendor numbers one for itself, and SoftHSM 2.6 has none. A device with SM2 keys is
reached through a signing service (``edge.crypto.remote``).

A device is asked by one thread at a time. Where it fails, the session is let go and the next request opens a new one; a wrong PIN is never
tried again in this process, because a device counts tries and locks itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from gateway.codec import der
from gateway.core.errors import Code, Refused, Unavailable
from gateway.core.ports import Work
from gateway.edge.crypto.algorithms import RSA_SHA256
from gateway.edge.crypto.keys import Certificate, Device, HeldKey

try:
    import pkcs11
    from pkcs11 import exceptions
except ImportError as error:  # pragma: no cover - the tests install it
    raise Refused(f"keys in a PKCS#11 device need the extra: pip install 'sheyin[pkcs11]' ({error})") from None

_SHA256 = "2.16.840.1.101.3.4.2.1"
#: What devices answer where the ciphertext is none: no fault of theirs.
_NOT_DECRYPTED = (
    exceptions.EncryptedDataInvalid,
    exceptions.EncryptedDataLenRange,
    exceptions.DataInvalid,
    exceptions.DataLenRange,
    exceptions.GeneralError,
)
_WRONG_PIN = (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange, exceptions.PinLocked)


class Pkcs11Engine:
    """An engine over one token of a device."""

    def __init__(self, name: str, options: Device, keys: Mapping[str, HeldKey], pin: str, work: Work) -> None:
        """Opens nothing yet."""
        self._name = name
        self._options = options
        self._keys = dict(keys)
        self._pin = pin
        self._work = work
        self._lock = threading.Lock()
        self._session: Any = None
        self._locked_out = ""

    async def sign(self, key: str, algorithm: str, digest: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5. Raises Unavailable where the device is away, slow or has no such key; Refused for another algorithm."""
        if algorithm != RSA_SHA256:
            raise Refused(f"the device {self._name} signs with {RSA_SHA256} only, not with {algorithm}", code=Code.CERT)
        kind = der.tlv(der.SEQUENCE, der.oid(_SHA256), der.NULL)
        info = der.tlv(der.SEQUENCE, kind, der.tlv(der.OCTET_STRING, digest))
        mechanism = pkcs11.Mechanism.RSA_PKCS
        return await self._asked(lambda private: private.sign(info, mechanism=mechanism), key)

    async def unwrap(self, key: str, wrapped: bytes) -> bytes | None:
        """The content key; None where the device makes nothing of it. Raises Unavailable as ``sign``."""

        def decrypt(private: Any) -> bytes:
            try:
                return bytes(private.decrypt(wrapped, mechanism=pkcs11.Mechanism.RSA_PKCS))
            except _NOT_DECRYPTED:
                return b""

        return await self._asked(decrypt, key) or None

    def certificates(self) -> Mapping[str, Certificate]:
        """The certificate of every key, from the configuration."""
        return {name: key.certificate for name, key in self._keys.items()}

    async def close(self) -> None:
        """Log out."""
        await self._work.run(self._let_go)

    async def _asked(self, ask: Callable[[Any], bytes], key: str) -> bytes:
        try:
            async with asyncio.timeout(self._options.deadline_s):
                return await self._work.run(self._ask, ask, self._keys[key].id)
        except TimeoutError:
            raise Unavailable(f"the device {self._name} has not answered in {self._options.deadline_s} s") from None

    def _ask(self, ask: Callable[[Any], bytes], label: str) -> bytes:
        if not self._lock.acquire(timeout=self._options.deadline_s):
            raise Unavailable(f"the device {self._name} is busy for more than {self._options.deadline_s} s")
        try:
            return bytes(ask(self._private(label)))
        except _WRONG_PIN as error:
            self._locked_out = (
                f"the device {self._name} does not take the PIN ({type(error).__name__}); it is not tried again"
            )
            raise Unavailable(self._locked_out) from None
        except exceptions.NoSuchKey:
            raise Unavailable(f"the device {self._name} has no private key called {label!r}") from None
        except (
            RuntimeError,
            OSError,
        ) as error:  # every PKCS11Error is a RuntimeError; a library that does not load is either
            self._drop()
            raise Unavailable(
                f"the device {self._name} is away: {type(error).__name__}: {error}".rstrip(": ")
            ) from None
        finally:
            self._lock.release()

    def _private(self, label: str) -> Any:
        if self._locked_out:
            raise Unavailable(self._locked_out)
        if self._session is None:
            token = pkcs11.lib(self._options.module).get_token(token_label=self._options.token)
            try:
                self._session = token.open(user_pin=self._pin)
            except exceptions.UserAlreadyLoggedIn:  # another session of this process: the login is the token's
                self._session = token.open()
        return self._session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=label)

    def _let_go(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(RuntimeError):
                session.close()
