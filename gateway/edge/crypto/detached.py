"""Verification of a detached CMS seal against pins: one pass over the Document, constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import BinaryIO

from gateway.codec.cms import issuer_and_serial, parse_signed_data
from gateway.core.errors import Code, Unverified
from gateway.edge.crypto.keys import Certificate
from gateway.edge.crypto.pins import check_validity, signer

_CHUNK_BYTES = 1024 * 1024


def verify(pins: Sequence[Certificate], payload: BinaryIO, seal: bytes, at: datetime) -> Certificate:
    """The pin that signed ``payload``, which is read once from its start and rewound.

    Raises Unverified: SIG for a seal of another shape, another digest or a wrong signature, CERT where the signer's
    certificate is not pinned (byte by byte, if it was sent along) or not valid at ``at``.
    """
    parsed = parse_signed_data(seal)
    named = [pin for pin in pins if issuer_and_serial(pin.der) == (parsed.issuer, parsed.serial)]
    if not named:
        raise Unverified(f"sealed with certificate number {parsed.serial:x}, which is not pinned", code=Code.CERT)
    named = [pin for pin in named if not parsed.certificates or pin.der in parsed.certificates]
    if not named:
        raise Unverified("sent along is another certificate than the pinned one of that number", code=Code.CERT)
    pin = signer(named, parsed.signature_algorithm, parsed.signature, parsed.signed_attributes)
    if pin is None:
        raise Unverified("the signature does not hold", code=Code.SIG)
    check_validity(pin, at)
    if _digest(payload, parsed.digest_algorithm) != parsed.message_digest:
        raise Unverified("the document is not the one that was signed", code=Code.SIG)
    return pin


def _digest(payload: BinaryIO, name: str) -> bytes:
    digest = hashlib.new(name)
    payload.seek(0)
    while chunk := payload.read(_CHUNK_BYTES):
        digest.update(chunk)
    payload.seek(0)
    return digest.digest()
