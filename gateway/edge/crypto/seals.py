"""The Crypto port made real, over an engine that holds our keys and the pins that partners are known by.

An **engine** is where private keys live: software keys here; PKCS#11 and a signing server have the same three methods.
Whatever the engine, its signature is checked with our own certificate before it is let out: a device that signs wrongly
is found here and not by the bank (PROMISES E17, F33).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from gateway.core.bank import Bank, Detached, Seal
from gateway.core.errors import Code, Refused, Unavailable, Unverified
from gateway.core.ports import Clock, KeyInfo, Verified, Work
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import algorithms, detached, xmldsig
from gateway.edge.crypto.keys import Certificate, KeyFiles, PrivateKey, load_keys, load_pins
from gateway.edge.crypto.pins import Pins

WARN_DAYS = (60, 30, 7, 1)


class Engine(Protocol):
    """Where our signing keys live."""

    async def sign(self, key: str, name: str, data: bytes) -> bytes:
        """Signature over ``data`` with the algorithm ``name``. Raises Unavailable if the engine is away."""
        ...

    def certificates(self) -> Mapping[str, Certificate]:
        """The certificate of every key, by the key's name."""
        ...


class SoftwareEngine:
    """Keys in this process's memory: for development, tests, and installations without a signing device."""

    def __init__(self, keys: Mapping[str, PrivateKey], work: Work) -> None:
        self._keys = keys
        self._work = work

    async def sign(self, key: str, name: str, data: bytes) -> bytes:
        """About 1 ms for RSA-2048."""
        return await self._work.run(algorithms.named(name).sign, self._keys[key].private, data)

    def certificates(self) -> Mapping[str, Certificate]:
        """The certificate of every key."""
        return {name: key.certificate for name, key in self._keys.items()}


class Expiry(NamedTuple):
    """A key or pin that ends soon, or has ended."""

    key: KeyInfo
    days_left: int  # negative: days ago
    within_days: int  # the smallest of the asked thresholds that it has come under; 0 once it has ended


class EngineCrypto:
    """The Crypto port over any engine."""

    def __init__(self, engine: Engine, pins: Pins, clock: Clock) -> None:
        self.pins = pins
        self._engine = engine
        self._clock = clock
        self._certificates = engine.certificates()

    async def sign(self, key: str, algorithm: str, data: bytes) -> bytes:
        """Signature over ``data``, checked with the key's own certificate.

        Raises Refused: POLICY for an unknown algorithm, CERT for an unknown key, one for another use, or one whose
        certificate is not valid now; Unavailable if the engine is away or signs wrongly.
        """
        certificate = self._signing(key)
        now = self._clock.now()
        if not certificate.info.not_before <= now <= certificate.info.not_after:
            raise Refused(f"the certificate of {key} is not valid on {now:%Y-%m-%d}", code=Code.CERT)
        holds = algorithms.named(algorithm).holds
        signature = await self._engine.sign(key, algorithm, data)
        if not holds(certificate.public_key, signature, data):
            raise Unavailable(f"the engine's signature with {key} does not hold", code=Code.SIG)
        return signature

    def certificate(self, key: str) -> bytes:
        """The DER certificate of a signing key of ours. Raises Refused CERT."""
        return self._signing(key).der

    def verify(self, bank: Bank, shape: Seal, payload: BinaryIO, seal: bytes | None, at: datetime) -> Verified:
        """Check an inbound seal against the Bank's pins, valid at ``at``; ``signed`` alone may be read afterwards.

        Detached: ``signed`` is ``payload``, rewound. Enveloped: the canonical bytes that the signature covers.
        Raises Unverified: SIG, CERT; SIZE, FORMAT or TRUNCATED where an enveloped Document is no XML that we read.
        """
        pins = self.pins.of(bank)
        if isinstance(shape, Detached):
            if not seal:
                raise Unverified("there is no seal", code=Code.SIG)
            pin = detached.verify(pins, payload, seal, at)
            return Verified(by=pin.name, fingerprint=pin.info.fingerprint, signed=payload)
        payload.seek(0)
        bytes_max = xmldsig.DOCUMENT_BYTES_MAX
        if bank.limits is not None:
            bytes_max = min(bytes_max, bank.limits.document_bytes_max)
        pin, signed = xmldsig.verify(pins, payload, shape.location, at, bytes_max)
        return Verified(by=pin.name, fingerprint=pin.info.fingerprint, signed=io.BytesIO(signed))

    def keys(self) -> list[KeyInfo]:
        """Every key and pin that is configured."""
        return [*(certificate.info for certificate in self._certificates.values()), *self.pins.infos()]

    def expiring(self, now: datetime, days: Sequence[int] = WARN_DAYS) -> list[Expiry]:
        """Keys and pins with fewer days left than the largest of ``days``, the most urgent first."""
        found = []
        for key in self.keys():
            left = key.not_after - now
            under = [limit for limit in days if left <= timedelta(days=limit)]
            if under:
                within = min(under) if left >= timedelta(0) else 0
                found.append(Expiry(key, left.days, within))
        return sorted(found, key=lambda expiry: expiry.key.not_after)

    def _signing(self, key: str) -> Certificate:
        certificate = self._certificates.get(key)
        if certificate is None:
            raise Refused(f"no key is called {key!r}", code=Code.CERT)
        if certificate.use != "sign":
            raise Refused(f"{key} is there to {certificate.use}, not to sign", code=Code.CERT)
        return certificate


class SoftwareCrypto(EngineCrypto):
    """The Crypto port over key files: what ``[keys]`` and ``[pins]`` of the configuration name."""

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
        super().__init__(SoftwareEngine(keys, work), pins, clock)
