"""Every form of seal that one side makes and the other verifies, as one table: made as the flow and the adapters make them."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

from gateway.codec import cms, gmt0010, xmldsig
from gateway.core.bank import Attached, Bank, Detached, Enveloped, Inline, Seal
from gateway.core.ports import Crypto

JUNE = datetime(2015, 6, 10, tzinfo=UTC)
CUSTOMER = "U003123456"
SLOT = b"__signature__"


def padded_id(bank: Bank) -> str:
    """A signer id that is the bank's own: the customer number, padded right with zeros to 16."""
    return bank.customer.ljust(16, "0")[:16]


def split(body: bytes) -> tuple[bytes, bytes]:
    """``payload|signature``: the signed part has the slot's word where the signature stands."""
    payload, mark, signature = body.rpartition(b"|")
    if not mark:
        raise ValueError("no slot")
    return payload + b"|" + SLOT, bytes.fromhex(signature.decode("ascii"))


def signed_part(form: Form, payload: bytes) -> bytes:
    """What a reader is given after verification."""
    return payload + b"|" + SLOT if isinstance(form.shape, Inline) else payload


async def detached_cms(side: Crypto, key: str, payload: bytes) -> tuple[bytes, bytes | None]:
    attributes = cms.signed_attributes(sha256(payload).digest(), JUNE)
    value = await side.sign(key, "rsa-sha256", attributes)
    return payload, cms.signed_data(attributes, value, side.certificate(key))


async def attached_pkcs7(side: Crypto, key: str, payload: bytes) -> tuple[bytes, bytes | None]:
    attributes = cms.signed_attributes(sha256(payload).digest(), JUNE)
    value = await side.sign(key, "rsa-sha256", attributes)
    return cms.attached(payload, attributes, value, side.certificate(key)), None


async def detached_gmt0010(side: Crypto, key: str, payload: bytes) -> tuple[bytes, bytes | None]:
    value = await side.sign_stream(key, "sm2-sm3", io.BytesIO(payload))
    return payload, gmt0010.detached(value, side.certificate(key))


async def attached_gmt0010(side: Crypto, key: str, payload: bytes) -> tuple[bytes, bytes | None]:
    value = await side.sign(key, "sm2-sm3", payload)
    return gmt0010.attached(payload, value, side.certificate(key)), None


async def inline_sm2(side: Crypto, key: str, payload: bytes) -> tuple[bytes, bytes | None]:
    value = await side.sign(key, "sm2-sm3-raw", payload + b"|" + SLOT, CUSTOMER.ljust(16, "0"))
    return payload + b"|" + value.hex().encode(), None


async def inline_rsa(side: Crypto, key: str, payload: bytes) -> tuple[bytes, bytes | None]:
    value = await side.sign(key, "rsa-sha256", payload + b"|" + SLOT)
    return payload + b"|" + value.hex().encode(), None


class Form(NamedTuple):
    """One form of seal."""

    name: str
    shape: Seal
    make: Callable[
        [Crypto, str, bytes], Awaitable[tuple[bytes, bytes | None]]
    ]  # the Document, and what stands beside it
    sm2: bool


FORMS = (
    Form("cms", Detached(), detached_cms, sm2=False),
    Form("pkcs7", Attached(), attached_pkcs7, sm2=False),
    Form("gmt0010", Detached(form="gmt0010"), detached_gmt0010, sm2=True),
    Form("gmt0010-attached", Attached(form="gmt0010"), attached_gmt0010, sm2=True),
    Form("inline-sm2", Inline(split, "sm2-sm3-raw", padded_id), inline_sm2, sm2=True),
    Form("inline-rsa", Inline(split, "rsa-sha256"), inline_rsa, sm2=False),
)
#: The sixth shape has a place of its own in the Document: its corpus is tests/edge/test_xmldsig.py.
XML = Enveloped(location=("{urn:x}Sgntr",))


async def xml(side: Crypto, key: str) -> bytes:
    """A canonical document with an enveloped signature in its place."""
    head, tail = b'<D xmlns="urn:x"><A>1</A><Sgntr>', b"</Sgntr></D>"
    shown = xmldsig.signed_info(sha256(head + tail).digest())
    value = await side.sign(key, "rsa-sha256", shown)
    return head + xmldsig.signature(shown, value, side.certificate(key)) + tail
