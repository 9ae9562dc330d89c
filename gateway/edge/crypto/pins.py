"""Pinned partner certificates: the only source of trust in inbound seals.

A Bank names its pins; two of them during a roll-over. Every pin that is valid at the moment asked about counts, so the
partner may change over whenever it likes within the overlap. What a seal carries along as a certificate is a hint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import BinaryIO

from gateway.core.bank import Bank
from gateway.core.errors import Code, Refused, Unverified
from gateway.core.ports import KeyInfo
from gateway.edge.crypto.algorithms import Algorithm
from gateway.edge.crypto.keys import Certificate


class Pins:
    """The certificates of all partners by name."""

    def __init__(self, certificates: Mapping[str, Certificate]) -> None:
        self._certificates = certificates

    def of(self, bank: Bank) -> list[Certificate]:
        """The certificates that may have sealed the Bank's Documents. Raises Unverified CERT if there is none."""
        found = [self._certificates[name] for name in bank.pins if name in self._certificates]
        found = [pin for pin in found if pin.use == "verify"]
        if not found:
            raise Unverified(f"no certificate is pinned for {bank.code}", code=Code.CERT)
        return found

    def to_encrypt(self, name: str) -> Certificate:
        """The pinned certificate that a partner wants to be written to. Raises Refused CERT."""
        found = self._certificates.get(name)
        if found is None or found.use != "encrypt":
            what = f"is there to {found.use}, not to encrypt" if found else "is not pinned"
            raise Refused(f"{name!r} {what}", code=Code.CERT)
        return found

    def check(self, banks: Iterable[Bank]) -> None:
        """For the start: raises Refused CERT if a Bank names a pin that is not configured, or is pinned for another use."""
        for bank in banks:
            for name in bank.pins:
                if name not in self._certificates:
                    raise Refused(f"bank {bank.code}: pin {name!r} is not configured", code=Code.CERT)
            if bank.sealed and bank.pins:
                self.of(bank)

    def infos(self) -> list[KeyInfo]:
        """All of them, for lists and warnings."""
        return [certificate.info for certificate in self._certificates.values()]


def signer(
    pins: Iterable[Certificate], algorithm: Algorithm, signature: bytes, data: bytes | BinaryIO, signer_id: str = ""
) -> Certificate | None:
    """The pin whose key made ``signature`` over ``data``, valid or not; None if it was none of them. A stream is read once a pin."""
    for pin in pins:
        key = pin.public_key
        if isinstance(key, algorithm.takes) and algorithm.holds(key, signature, algorithm.digest(key, data, signer_id)):
            return pin
    return None


def check_validity(pin: Certificate, at: datetime) -> None:
    """Raises Unverified CERT outside the certificate's validity."""
    if not pin.info.not_before <= at <= pin.info.not_after:
        when = "has expired" if at > pin.info.not_after else "is not valid yet"
        raise Unverified(f"the pinned certificate {pin.name} {when}", code=Code.CERT)
