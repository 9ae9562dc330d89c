"""The envelope of the CDC cloud: JSON in one order, a signature in its own slot, hidden as a whole, sent as a form.

Signed is the text with ``__signature_sigdat__`` in the slot: keys in the order of ASCII at every level, no blanks, UTF-8. The signature is SM2
with SM3, r‖s in base64, and its signer id is the user id padded on the right with ``0`` to 16, which is also the iv of SM4-CBC. The server
takes a time of signing that is at most an hour off, so an envelope is made afresh for each sending; what it holds never changes.

Source: the bank's document centre, 4.2 (2026-09-03), as mirrored by WXK2905821189/FINFLOW @9c9146fc.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from adapters.cmb_cloud.layout import options
from gateway.core.bank import Bank, Inline
from gateway.core.errors import Code, Malformed

SIGN, HIDE = "sm2-sm3-raw", "sm4-cbc"
CONTENT_TYPE = "application/x-www-form-urlencoded"
PLACE = b"__signature_sigdat__"

_BEIJING = timezone(timedelta(hours=8))
_ID_CHARS = 16
REQID_CHARS_MAX = 51


def padded_id(userid: str) -> str:
    """Signer id of SM2 and, as bytes, iv of SM4."""
    return userid[:_ID_CHARS].ljust(_ID_CHARS, "0")


def reqid(now: datetime, mark: str) -> str:
    """The number of a request; replies repeat it. ``mark`` tells requests of one moment apart, at most 34 of [A-Z0-9]."""
    at = now.astimezone(_BEIJING)
    return f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03d}{mark}"[:REQID_CHARS_MAX]


def request(part: bytes, userid: str, now: datetime, mark: str) -> bytes:
    """The text to sign, of one line of a payload (without its LF). ``mark`` as for ``reqid``."""
    body, _, funcode = part.removeprefix(b'{"body":').rpartition(b',"funcode":"')
    return b'{"request":{"body":%s,"head":{"funcode":"%s","reqid":"%s","userid":"%s"}},"signature":{"sigdat":"%s","sigtim":"%s"}}' % (
        body, funcode.removesuffix(b'"}'), reqid(now, mark).encode(), userid.encode(), PLACE,
        f"{now.astimezone(_BEIJING):%Y%m%d%H%M%S}".encode(),
    )  # fmt: skip


def funcode_of(part: bytes) -> str:
    """The function that a line of a payload calls."""
    return part.rpartition(b',"funcode":"')[2].removesuffix(b'"}').decode("ascii")


def filled(text: bytes, signature: bytes) -> bytes:
    """The text with the signature in its slot."""
    before, _, after = text.rpartition(PLACE)
    return before + base64.b64encode(signature) + after


def split(text: bytes) -> tuple[bytes, bytes]:
    """(signed bytes, signature bytes) of an opened reply. Raises Malformed where there is no slot.

    The bank may send its keys in any order: signed is the ordered text, and nothing else is read afterwards.
    """
    try:
        message = msgspec.json.decode(text, type=dict[str, Any])
        slot = message["signature"]
        signature = base64.b64decode(slot["sigdat"], validate=True)
        slot["sigdat"] = PLACE.decode()
    except (msgspec.DecodeError, ValueError, LookupError, TypeError) as error:
        raise Malformed(f"there is no signature in it: {error}", code=Code.SIG) from None
    return msgspec.json.encode(message, order="sorted"), signature


def form(userid: str, funcode: str, hidden: bytes) -> bytes:
    """The body of the POST."""
    data = base64.b64encode(hidden).replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
    return b"UID=%s&FUNCODE=%s&ALG=SM&DATA=%s" % (userid.encode(), funcode.encode(), data)


def hidden_in(body: bytes) -> bytes:
    """The ciphertext of a reply. Raises Malformed for anything else: the server's errors are plain text."""
    try:
        return base64.b64decode(body.strip(), validate=True) if body.strip() else _plain(body)
    except binascii.Error:
        return _plain(body)


def _plain(body: bytes) -> bytes:
    words = " ".join(body[:200].decode("utf-8", "backslashreplace").split())
    raise Malformed(f"the server says {words!r}" if words else "the reply is empty")


def _signer_id(bank: Bank) -> str:
    return padded_id(options(bank).userid)


SEAL = Inline(split=split, algorithm=SIGN, signer_id=_signer_id)
