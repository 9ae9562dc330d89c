"""The seals that are made once a Document is whole: beside it, around it, in a slot of its own. Their shape is the codec's or the format's, the
signature the Crypto port's."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import BinaryIO

from gateway.codec import cms, gmt0010
from gateway.core.bank import Attached, Detached, Inline
from gateway.core.errors import Halt
from gateway.core.ports import Crypto

RSA = "rsa-sha256"
SM2 = "sm2-sm3"


async def beside(crypto: Crypto, key: str, shape: Detached, payload: BinaryIO, digest: bytes, at: datetime) -> bytes:
    """DER of a detached seal, in constant memory. ``digest``: the payload's SHA-256, which spares CMS a second reading; ``at``: aware.

    Raises Refused, Unavailable as the port's ``sign``.
    """
    certificate = crypto.certificate(key)
    if shape.form == "gmt0010":  # what is signed begins with the signer's Z, so no digest made before serves
        return gmt0010.detached(await crypto.sign_stream(key, SM2, payload), certificate)
    attributes = cms.signed_attributes(digest, at.replace(microsecond=0))
    return cms.signed_data(attributes, await crypto.sign(key, RSA, attributes), certificate)


async def around(crypto: Crypto, key: str, shape: Attached, payload: BinaryIO, at: datetime) -> bytes:
    """DER of signed data that holds the payload, built in memory. Raises Refused, Unavailable as the port's ``sign``."""
    payload.seek(0)
    content = payload.read()
    certificate = crypto.certificate(key)
    if shape.form == "gmt0010":
        return gmt0010.attached(content, await crypto.sign(key, SM2, content), certificate)
    attributes = cms.signed_attributes(sha256(content).digest(), at.replace(microsecond=0))
    return cms.attached(content, attributes, await crypto.sign(key, RSA, attributes), certificate)


async def inside(crypto: Crypto, key: str, shape: Inline, payload: BinaryIO, signer_id: str = "") -> bytes:
    """The Document with our signature in its slot, built in memory.

    Raises Halt where it is the format's route that fills the slot; Refused, Unavailable as the port's ``sign``.
    """
    if shape.join is None:
        raise Halt("this format's route signs")
    payload.seek(0)
    document = payload.read()
    covered, _ = shape.split(document)
    return shape.join(document, await crypto.sign(key, shape.algorithm, covered, signer_id))
