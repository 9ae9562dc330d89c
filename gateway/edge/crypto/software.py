"""Keys in this process's memory: for development, tests, and installations without a signing device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from gateway.core.bank import Bank
from gateway.core.ports import Clock, Work
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.algorithms import named
from gateway.edge.crypto.keys import Certificate, KeyFiles, PrivateKey, load_keys, load_pins, load_secrets
from gateway.edge.crypto.pins import Pins
from gateway.edge.crypto.seals import EngineCrypto


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


class SoftwareCrypto(EngineCrypto):
    """The Crypto port over key files: what ``[keys]``, ``[pins]`` and ``[secrets]`` of the configuration name."""

    def __init__(
        self,
        files: KeyFiles,
        credentials: Credentials,
        clock: Clock,
        work: Work,
        *,
        folder: Path,
        banks: Iterable[Bank] = (),
    ) -> None:
        """Loads and checks all of it. Raises Refused; a pin that a Bank names and nobody has is found here."""
        keys = load_keys(files.keys, credentials, folder)
        pins = Pins(load_pins(files.pins, keys, folder))
        pins.check(banks)
        super().__init__(SoftwareEngine(keys, work), pins, clock, work, load_secrets(files.secrets, credentials))
