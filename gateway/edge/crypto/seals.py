"""The Crypto port made real, over an engine that holds our keys and the pins that partners are known by.

An **engine** is where private keys live: this process, a PKCS#11 device, a signing service. It is given digests and wrapped keys, never a
Document. Whatever the engine, its signature is checked with our own certificate before it is let out: a device that signs wrongly is found
here and not by the bank (PROMISES E17, F33).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import BinaryIO, NamedTuple, Protocol

from gateway.codec import enveloped
from gateway.codec.certificate import issuer_and_serial
from gateway.core.bank import Attached, Bank, Detached, Enveloped, Inline, Seal
from gateway.core.errors import Code, Malformed, Refused, Unavailable, Unverified
from gateway.core.ports import Clock, KeyInfo, SignedBy, Verified, Work
from gateway.edge.crypto import ciphers, signed, xmldsig
from gateway.edge.crypto.algorithms import named
from gateway.edge.crypto.keys import Certificate
from gateway.edge.crypto.pins import Pins, check_validity, signer

WARN_DAYS = (60, 30, 7, 1)
#: A body with a signature in its own slot is read in memory.
INLINE_BYTES_MAX = 16 * 1024 * 1024


class Engine(Protocol):
    """Where our private keys live."""

    async def sign(self, key: str, algorithm: str, digest: bytes) -> bytes:
        """Signature over ``digest`` in the algorithm's form (``edge.crypto.algorithms``).

        Raises Unavailable if the engine is away, Refused for an algorithm that it does not offer.
        """
        ...

    async def unwrap(self, key: str, wrapped: bytes) -> bytes | None:
        """The content key that was encrypted to ``key`` by RSA PKCS#1 v1.5; None if it is none. Raises Unavailable."""
        ...

    def certificates(self) -> Mapping[str, Certificate]:
        """The certificate of every key, by the key's name."""
        ...

    async def close(self) -> None:
        """Let go of connections and sessions."""
        ...


class Expiry(NamedTuple):
    """A key or pin that ends soon, or has ended."""

    key: KeyInfo
    days_left: int  # negative: days ago
    within_days: int  # the smallest of the asked thresholds that it has come under; 0 once it has ended


class EngineCrypto:
    """The Crypto port over any engine."""

    def __init__(
        self, engine: Engine, pins: Pins, clock: Clock, work: Work, secrets: Mapping[str, bytes] | None = None
    ) -> None:
        self.pins = pins
        self._engine = engine
        self._clock = clock
        self._work = work
        self._secrets = dict(secrets or {})
        self._certificates = engine.certificates()

    async def close(self) -> None:
        """Let go of the engine's connections."""
        await self._engine.close()

    # ------------------------------------------------------------------------------------------------ our keys

    async def sign(self, key: str, algorithm: str, data: bytes, signer_id: str = "") -> bytes:
        """Signature over ``data``, checked with the key's own certificate.

        Raises Refused: POLICY for an unknown algorithm or a signer id that it lacks, CERT for an unknown key, one for another use or of
        another kind, or one whose certificate is not valid now; Unavailable if the engine is away or signs wrongly.
        """
        return await self._sign(key, algorithm, data, signer_id)

    async def sign_stream(self, key: str, algorithm: str, data: BinaryIO, signer_id: str = "") -> bytes:
        """``sign`` over all that ``data`` holds, read once from its start and rewound, in constant memory."""
        return await self._sign(key, algorithm, data, signer_id)

    async def _sign(self, key: str, name: str, data: bytes | BinaryIO, signer_id: str) -> bytes:
        algorithm = named(name)
        certificate = self._certificate(key, "sign")
        public = certificate.public_key
        if not isinstance(public, algorithm.takes):
            raise Refused(f"{key} is not a key for {name}", code=Code.CERT)
        now = self._clock.now()
        if not certificate.info.not_before <= now <= certificate.info.not_after:
            raise Refused(f"the certificate of {key} is not valid on {now:%Y-%m-%d}", code=Code.CERT)
        digest = await self._work.run(algorithm.digest, public, data, signer_id)
        signature = await self._engine.sign(key, name, digest)
        if not algorithm.holds(public, signature, digest):
            raise Unavailable(f"the engine's signature with {key} does not hold", code=Code.SIG)
        return signature

    def certificate(self, key: str) -> bytes:
        """The DER certificate of a signing key of ours. Raises Refused CERT."""
        return self._certificate(key, "sign").der

    def _certificate(self, key: str, use: str) -> Certificate:
        certificate = self._certificates.get(key)
        if certificate is None:
            raise Refused(f"no key is called {key!r}", code=Code.CERT)
        if certificate.use != use:
            raise Refused(f"{key} is there to {certificate.use}, not to {use}", code=Code.CERT)
        return certificate

    # ------------------------------------------------------------------------------------------------ partners' seals

    def verify(self, bank: Bank, shape: Seal, payload: BinaryIO, seal: bytes | None, at: datetime) -> Verified:
        """Check an inbound seal against the Bank's pins, valid at ``at``; ``signed`` alone may be read afterwards.

        Detached: ``signed`` is ``payload``, rewound. Enveloped: the canonical bytes that the signature covers. Attached: what stood inside.
        Inline: the part that was signed, or ``payload`` where the shape says so. Raises Unverified: SIG, CERT; SIZE above what is read in memory;
        FORMAT or TRUNCATED where an enveloped Document is no XML that we read.
        """
        pins = self.pins.of(bank)
        match shape:
            case Detached():
                if not seal:
                    raise Unverified("there is no seal", code=Code.SIG)
                pin = signed.verify(pins, payload, seal, at, shape)
                return _verified(pin, payload)
            case Attached():
                pin, content = signed.verify_attached(pins, payload, at, shape, _most(bank, signed.ATTACHED_BYTES_MAX))
                return _verified(pin, io.BytesIO(content))
            case Inline():
                body = _body(payload, _most(bank, INLINE_BYTES_MAX))
                if _bare(shape, body):
                    return Verified(by=f"channel {bank.wire}", fingerprint="", signed=payload)
                covered, found = _split(shape, body)
                signer_id = shape.signer_id(bank) if shape.signer_id else ""
                pin = self._by(pins, shape.algorithm, covered, found, at, signer_id)
                return _verified(pin, payload if shape.whole else io.BytesIO(covered))
            case Enveloped():
                payload.seek(0)
                most = _most(bank, xmldsig.DOCUMENT_BYTES_MAX)
                pin, content = xmldsig.verify(pins, payload, shape.location, at, most)
                return _verified(pin, io.BytesIO(content))

    def check(
        self, bank: Bank, algorithm: str, data: bytes, signature: bytes, at: datetime, signer_id: str = ""
    ) -> SignedBy:
        """Check a bare signature over ``data`` against the Bank's pins, valid at ``at``.

        Raises Unverified: SIG where it is none of theirs, CERT for a pin that is missing or not valid; Refused for an unknown algorithm.
        """
        pin = self._by(self.pins.of(bank), algorithm, data, signature, at, signer_id)
        return SignedBy(by=pin.name, fingerprint=pin.info.fingerprint)

    def _by(
        self, pins: Sequence[Certificate], name: str, data: bytes, signature: bytes, at: datetime, signer_id: str
    ) -> Certificate:
        pin = signer(pins, named(name), signature, data, signer_id)
        if pin is None:
            raise Unverified("the signature does not hold", code=Code.SIG)
        check_validity(pin, at)
        return pin

    # ------------------------------------------------------------------------------------------------ encryption

    async def encrypt(self, key: str, algorithm: str, data: bytes, iv: bytes = b"") -> bytes:
        """``sm4-cbc`` with the secret called ``key``; ``cms-enveloped`` to the pinned encryption certificate called ``key``.

        Raises Refused: POLICY for another algorithm or iv, CERT for an unknown key, one for another use, or one that is not valid now.
        """
        if algorithm == ciphers.SM4_CBC:
            return await self._work.run(ciphers.sm4_encrypt, self._secret(key), data, iv)
        _check_envelope(algorithm, iv)
        pin = self.pins.to_encrypt(key)
        now = self._clock.now()
        if not pin.info.not_before <= now <= pin.info.not_after:
            raise Refused(f"the pinned certificate {key} is not valid on {now:%Y-%m-%d}", code=Code.CERT)
        return await self._work.run(ciphers.envelope, pin, data)

    async def decrypt(self, key: str, algorithm: str, data: bytes, iv: bytes = b"") -> bytes:
        """The plaintext, which proves nothing about who wrote it. ``cms-enveloped`` with ``key`` "": our key that the envelope names.

        Raises Unverified SIG for what does not open, SIZE; Refused as ``encrypt``; Unavailable if the engine is away.
        """
        if algorithm == ciphers.SM4_CBC:
            return await self._work.run(ciphers.sm4_decrypt, self._secret(key), data, iv)
        _check_envelope(algorithm, iv)
        ours = [self._certificate(key, "decrypt")] if key else self._decrypting()
        found = await self._work.run(enveloped.parse, data, ciphers.ENVELOPE_BYTES_MAX)
        named_by = {issuer_and_serial(certificate.der): certificate for certificate in ours}
        for recipient in found.recipients:
            certificate = named_by.get((recipient.issuer, recipient.serial))
            if certificate is not None:
                unwrapped = await self._engine.unwrap(certificate.name, recipient.wrapped)
                return await self._work.run(ciphers.open_envelope, found, unwrapped)
        raise Unverified("the envelope is for none of our keys", code=Code.CERT)

    def _decrypting(self) -> list[Certificate]:
        return [certificate for certificate in self._certificates.values() if certificate.use == "decrypt"]

    def _secret(self, name: str) -> bytes:
        secret = self._secrets.get(name)
        if secret is None:
            raise Refused(f"no secret is called {name!r}", code=Code.CERT)
        return secret

    # ------------------------------------------------------------------------------------------------ lists

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


def _verified(pin: Certificate, content: BinaryIO) -> Verified:
    return Verified(by=pin.name, fingerprint=pin.info.fingerprint, signed=content)


def _most(bank: Bank, bytes_max: int) -> int:
    return bytes_max if bank.limits is None else min(bytes_max, bank.limits.document_bytes_max)


def _body(payload: BinaryIO, bytes_max: int) -> bytes:
    """All of it, rewound. Raises Unverified SIZE."""
    payload.seek(0)
    body = payload.read(bytes_max + 1)
    payload.seek(0)
    if len(body) > bytes_max:
        raise Unverified(f"larger than {bytes_max} bytes", code=Code.SIZE)
    return body


def _bare(shape: Inline, body: bytes) -> bool:
    """Whether the format itself has no signature for this message."""
    try:
        return shape.bare is not None and shape.bare(body)
    except (Malformed, ValueError, LookupError):
        return False


def _split(shape: Inline, body: bytes) -> tuple[bytes, bytes]:
    """(signed bytes, signature bytes). Raises Unverified SIG where there is no slot."""
    try:
        covered, found = shape.split(body)
    except Malformed as error:
        raise Unverified(f"no signature stands in it: {error.what}", code=Code.SIG, where=error.where) from None
    except (ValueError, LookupError) as error:
        raise Unverified(f"no signature stands in it: {error}", code=Code.SIG) from None
    if not found:
        raise Unverified("there is no seal", code=Code.SIG)
    return covered, found


def _check_envelope(algorithm: str, iv: bytes) -> None:
    if algorithm != ciphers.CMS_ENVELOPED:
        raise Refused(f"no encryption is called {algorithm!r}; there are {', '.join(ciphers.ALGORITHMS)}")
    if iv:
        raise Refused(f"{algorithm} brings its own iv")
