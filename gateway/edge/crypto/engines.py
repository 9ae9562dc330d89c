"""The Crypto port as the configuration describes it: keys in files, in devices, in signing services, each where its entry says.

::

    [engines.hsm]                                     [keys.bureau-sign]
    kind = "pkcs11"                                   use = "sign"
    module = "/usr/lib/softhsm/libsofthsm2.so"        engine = "hsm"
    token = "sheyin"                                  id = "bureau-sign"
    pin = "hsm-pin"      # a credential               certificate = "bureau-sign.crt"

    [engines.server]
    kind = "service"
    address = "https://127.0.0.1:8443"
    ca = "server-ca.crt"
    certificate = "gateway.crt"
    key = "gateway.key"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway.core.bank import Bank
from gateway.core.errors import Code, Refused
from gateway.core.ports import Clock, Work
from gateway.edge.credentials import Credentials
from gateway.edge.crypto.keys import (
    Certificate,
    Device,
    HeldKey,
    KeyFiles,
    Service,
    load_held,
    load_keys,
    load_pins,
    load_secrets,
)
from gateway.edge.crypto.pins import Pins
from gateway.edge.crypto.seals import Engine, EngineCrypto
from gateway.edge.crypto.software import SoftwareEngine


class Engines:
    """Several engines as one: each key is asked of the one that holds it."""

    def __init__(self, engines: Iterable[Engine]) -> None:
        self._engines = list(engines)
        self._by_key = {key: engine for engine in self._engines for key in engine.certificates()}

    async def sign(self, key: str, algorithm: str, digest: bytes) -> bytes:
        """By the engine that holds ``key``."""
        return await self._by_key[key].sign(key, algorithm, digest)

    async def unwrap(self, key: str, wrapped: bytes) -> bytes | None:
        """By the engine that holds ``key``."""
        return await self._by_key[key].unwrap(key, wrapped)

    def certificates(self) -> Mapping[str, Certificate]:
        """Those of all."""
        return {name: known for engine in self._engines for name, known in engine.certificates().items()}

    async def close(self) -> None:
        """Each of them."""
        for engine in self._engines:
            await engine.close()


class ConfiguredCrypto(EngineCrypto):
    """The Crypto port over what ``[keys]``, ``[pins]``, ``[secrets]`` and ``[engines]`` of the configuration name."""

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
        """Loads and checks all of it; no engine is spoken to yet. Raises Refused; a pin that a Bank names and nobody has is found here."""
        keys = load_keys(files.keys, credentials, folder)
        held = load_held(files.keys, keys, folder)
        pins = Pins(load_pins(files.pins, {**keys, **held}, folder))
        pins.check(banks)
        engines = Engines([SoftwareEngine(keys, work), *_engines(files, held, credentials, work, folder)])
        super().__init__(engines, pins, clock, work, load_secrets(files.secrets, credentials))


def _engines(
    files: KeyFiles, held: Mapping[str, HeldKey], credentials: Credentials, work: Work, folder: Path
) -> Iterable[Engine]:
    for name, key in held.items():
        if key.engine not in files.engines:
            raise Refused(f"{name}: no [engines.{key.engine}] says what holds it", code=Code.SCHEMA)
    for name, options in files.engines.items():
        inside = {key_name: key for key_name, key in held.items() if key.engine == name}
        yield _engine(name, options, inside, credentials, work, folder)


def _engine(
    name: str,
    options: Device | Service,
    keys: Mapping[str, HeldKey],
    credentials: Credentials,
    work: Work,
    folder: Path,
) -> Engine:
    if isinstance(options, Device):
        from gateway.edge.crypto.device import Pkcs11Engine  # an optional extra

        return Pkcs11Engine(name, options, keys, credentials.text(options.pin), work)
    from gateway.edge.crypto.remote import RemoteEngine

    return RemoteEngine(name, options, keys, folder)
