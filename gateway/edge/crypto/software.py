"""Keys in this process's memory: for development, tests, and installations without a signing device."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from gateway.core.ports import Work
from gateway.edge.crypto.algorithms import named
from gateway.edge.crypto.keys import Certificate, PrivateKey


class SoftwareEngine:
    """An engine over key files."""

    def __init__(self, keys: Mapping[str, PrivateKey], work: Work) -> None:
        self._keys = keys
        self._work = work

    async def sign(self, key: str, algorithm: str, digest: bytes) -> bytes:
        """About 1 ms for RSA-2048, 3 ms for SM2."""
        return await self._work.run(named(algorithm).sign, self._keys[key].private, digest)

    async def unwrap(self, key: str, wrapped: bytes) -> bytes | None:
        """About 1 ms."""
        return await self._work.run(_unwrap, self._keys[key], wrapped)

    async def close(self) -> None:
        """Nothing to let go of."""

    def certificates(self) -> Mapping[str, Certificate]:
        """The certificate of every key."""
        return {name: key.certificate for name, key in self._keys.items()}


def _unwrap(key: PrivateKey, wrapped: bytes) -> bytes | None:
    if not isinstance(key.private, rsa.RSAPrivateKey):
        return None
    try:
        return key.private.decrypt(wrapped, PKCS1v15())
    except ValueError:
        return None
