"""Verification of signed data against pins: beside a Document in one pass and constant memory, or around it in memory.

CMS, PKCS#7 and GM/T 0010 differ only in how they are read (``codec.cms``, ``codec.gmt0010``); what is proven, and in which order, is the same.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import BinaryIO

from cryptography.hazmat.primitives import hashes

from gateway.codec import cms, gmt0010, signed_data
from gateway.codec.certificate import issuer_and_serial
from gateway.codec.signed_data import SignedData
from gateway.core.bank import Attached, Detached
from gateway.core.errors import Code, Unverified
from gateway.edge.crypto.algorithms import AGREED_SHA1, RSA_SHA1, named
from gateway.edge.crypto.keys import Certificate
from gateway.edge.crypto.pins import check_validity, signer

#: An attached seal is read in memory, at about six times its bytes.
ATTACHED_BYTES_MAX = 16 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sm3": hashes.SM3(),
    "sha1": hashes.SHA1(),  # noqa: S303 - reached only through an Agreement that names it
}


def read(shape: Detached | Attached, seal: bytes, bytes_max: int = ATTACHED_BYTES_MAX) -> SignedData:
    """What the seal claims, nothing of it verified. Raises Unverified SIG, SIZE."""
    match shape:
        case Detached(form="cms"):
            return cms.parse_signed_data(seal)
        case Detached(form="gmt0010"):
            return gmt0010.parse(seal, attached=False)
        case Attached(form="pkcs7"):
            return cms.parse_attached(seal, bytes_max, sha1=shape.sha1)
    return gmt0010.parse(seal, attached=True, bytes_max=bytes_max)


def verify(pins: Sequence[Certificate], payload: BinaryIO, seal: bytes, at: datetime, shape: Detached) -> Certificate:
    """The pin that signed ``payload``, which is read once from its start and rewound.

    Raises Unverified: SIG for a seal of another shape, another digest or a wrong signature, CERT where the signer's
    certificate is not pinned (byte by byte, if it was sent along) or not valid at ``at``.
    """
    return _verify(pins, payload, read(shape, seal), at)


def verify_attached(
    pins: Sequence[Certificate], payload: BinaryIO, at: datetime, shape: Attached, bytes_max: int = ATTACHED_BYTES_MAX
) -> tuple[Certificate, bytes]:
    """The pin that signed what ``payload`` (DER) holds, and exactly that. Raises Unverified as ``verify``, and SIZE above ``bytes_max``."""
    payload.seek(0)
    parsed = read(shape, payload.read(bytes_max + 1), bytes_max)
    payload.seek(0)
    content = parsed.content
    assert content is not None  # an attached seal was asked for
    return _verify(pins, io.BytesIO(content), parsed, at), content


def _verify(pins: Sequence[Certificate], content: BinaryIO, parsed: SignedData, at: datetime) -> Certificate:
    named_pins = [pin for pin in pins if issuer_and_serial(pin.der) == (parsed.issuer, parsed.serial)]
    if not named_pins:
        raise Unverified(f"sealed with certificate number {parsed.serial:x}, which is not pinned", code=Code.CERT)
    named_pins = [pin for pin in named_pins if not parsed.certificates or pin.der in parsed.certificates]
    if not named_pins:
        raise Unverified("sent along is another certificate than the pinned one of that number", code=Code.CERT)
    name = parsed.signature_algorithm
    algorithm = AGREED_SHA1 if name == RSA_SHA1 else named(name)
    covered: bytes | BinaryIO = parsed.signed_attributes or content
    if not parsed.signed_attributes:
        _check_no_attributes(content)
    pin = signer(named_pins, algorithm, parsed.signature, covered)
    if pin is None:
        what = "" if parsed.signed_attributes else ", or the document is not the one that was signed"
        raise Unverified(f"the signature does not hold{what}", code=Code.SIG)
    check_validity(pin, at)
    if parsed.signed_attributes and _digest(content, parsed.digest_algorithm) != parsed.message_digest:
        raise Unverified("the document is not the one that was signed", code=Code.SIG)
    return pin


def _check_no_attributes(content: BinaryIO) -> None:
    """Signed attributes of another seal, presented as a Document of their own, would carry that seal's signature."""
    content.seek(0)
    start = content.read(signed_data.SEAL_BYTES_MAX + 1)
    content.seek(0)
    if len(start) <= signed_data.SEAL_BYTES_MAX and signed_data.is_attributes(start):
        raise Unverified("the document is the signed part of another seal", code=Code.SIG)


def _digest(content: BinaryIO, name: str) -> bytes:
    digest = hashes.Hash(_DIGESTS[name])
    content.seek(0)
    while chunk := content.read(_CHUNK_BYTES):
        digest.update(chunk)
    content.seek(0)
    return digest.finalize()
