"""What can be said about a Document's seal without a ledger and without trusting anything: absent, valid, invalid or unverified.

Where it is valid, only the bytes that it covers are read afterwards; else the bytes as they lie there, and the reader is told.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gateway.codec.signed_data import SEAL_BYTES_MAX
from gateway.codec.xmldsig import DS
from gateway.core.adapter import Adapter
from gateway.core.bank import Attached, Bank, Detached, Enveloped, Inline
from gateway.core.errors import Code, Malformed, Refused, Unverified
from gateway.edge.crypto import signed, xmldsig
from gateway.edge.crypto.algorithms import named
from gateway.edge.crypto.keys import FILE_BYTES_MAX, Certificate, KeyFiles, read_certificate
from gateway.edge.crypto.pins import check_validity, signer

#: A tree of the whole Document is built to verify an enveloped seal; above this `inspect` reads it without.
VERIFIED_BYTES_MAX = 256 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_OVERLAP_BYTES = 256
_SIGNATURE = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?Signature[\s/>]")
_CERTIFICATE = re.compile(rb"X509Certificate>([A-Za-z0-9+/=\s]{100,20000})<")


class State(StrEnum):
    """What is known about a seal."""

    ABSENT = "absent"
    VALID = "valid"
    INVALID = "invalid"  # wrong, of another shape, or made by none of the certificates that were given
    UNVERIFIED = "unverified"  # there is one, and no certificate was given that it could be checked with


class Finding(NamedTuple):
    """The state, by whom (proven where valid, else only claimed), and the sentence for a person."""

    state: State
    by: str = ""
    why: str = ""


class Known(NamedTuple):
    """Certificates to verify with. ``asked``: the user named them, so a seal by another one is invalid and not just unknown."""

    certificates: Sequence[Certificate]
    asked: bool
    bank: Bank | None = None  # whose Document it is, where that was told


def given_certificates(paths: Sequence[Path]) -> list[Certificate]:
    """The certificates in these files, PEM or DER. Raises Refused PATH, CERT."""
    return [_certificate(path, path.name) for path in paths]


def configured_certificates(files: KeyFiles, folder: Path) -> list[Certificate]:
    """The pins of a configuration and our own certificates, as far as their files are there."""
    named = {name: pin.file for name, pin in files.pins.items() if pin.use == "verify"}
    named |= {name: key.certificate for name, key in files.keys.items() if key.use == "sign" and key.certificate}
    return [_certificate(folder / file, name) for name, file in named.items() if (folder / file).is_file()]


def check(
    adapter: Adapter, payload: BinaryIO, size: int, seal: bytes | None, known: Known, at: datetime
) -> tuple[Finding, BinaryIO]:
    """The finding, and what may be read: the signed bytes where the seal is valid. ``seal``: a detached one, if there is one.

    ``at``: the moment at which the signer's certificate must be valid. Never raises for a wrong seal.
    """
    shape = adapter.seal
    if isinstance(shape, Detached):
        return (_check_detached(shape, payload, seal, known, at), payload) if seal else (Finding(State.ABSENT), payload)
    if isinstance(shape, Enveloped):
        return _check_enveloped(shape, payload, size, known, at)
    if isinstance(shape, Attached):
        return _check_attached(shape, payload, size, known, at)
    if isinstance(shape, Inline):
        return _check_inline(shape, payload, size, known, at)
    return Finding(State.ABSENT, why="this format has no seal: what counts is the channel it came by"), payload


def _check_detached(shape: Detached, payload: BinaryIO, seal: bytes, known: Known, at: datetime) -> Finding:
    try:
        parsed = signed.read(shape, seal)
        claimed = next((_subject(der) for der in parsed.certificates), "") or f"certificate number {parsed.serial:x}"
    except Unverified as error:
        return Finding(State.INVALID, why=error.what)
    if not known.certificates:
        return Finding(State.UNVERIFIED, claimed, "no certificate was given to verify it with")
    try:
        pin = signed.verify(known.certificates, payload, seal, at, shape)
    except Unverified as error:
        return _refuted(error, claimed, known)
    finally:
        payload.seek(0)
    return Finding(State.VALID, _named(pin))


def _check_attached(
    shape: Attached, payload: BinaryIO, size: int, known: Known, at: datetime
) -> tuple[Finding, BinaryIO]:
    """What stands inside is read in any case: only the finding says whether it may be believed."""
    if size > VERIFIED_BYTES_MAX:
        return Finding(State.UNVERIFIED, why=f"larger than {VERIFIED_BYTES_MAX} bytes"), payload
    try:
        parsed = signed.read(shape, payload.read(), VERIFIED_BYTES_MAX)
    except Unverified as error:
        return Finding(State.INVALID, why=error.what), payload
    finally:
        payload.seek(0)
    claimed = next((_subject(der) for der in parsed.certificates), "") or f"certificate number {parsed.serial:x}"
    inside = BytesIO(parsed.content or b"")
    if not known.certificates:
        return Finding(State.UNVERIFIED, claimed, "no certificate was given to verify it with"), inside
    try:
        pin, content = signed.verify_attached(known.certificates, payload, at, shape, VERIFIED_BYTES_MAX)
    except Unverified as error:
        return _refuted(error, claimed, known), inside
    finally:
        payload.seek(0)
    return Finding(State.VALID, _named(pin)), BytesIO(content)


def _check_inline(shape: Inline, payload: BinaryIO, size: int, known: Known, at: datetime) -> tuple[Finding, BinaryIO]:
    if size > VERIFIED_BYTES_MAX:
        return Finding(State.UNVERIFIED, why=f"larger than {VERIFIED_BYTES_MAX} bytes"), payload
    document = payload.read()
    payload.seek(0)
    try:
        if shape.bare is not None and shape.bare(document):
            return Finding(
                State.ABSENT, why="the format has no seal for this message: what counts is the channel"
            ), payload
        covered, signature = shape.split(document)
    except (Malformed, ValueError, LookupError):
        return Finding(State.ABSENT), payload
    if not signature:
        return Finding(State.ABSENT), payload
    if not known.certificates:
        return Finding(State.UNVERIFIED, why="no certificate was given to verify it with"), payload
    if shape.signer_id is not None and known.bank is None:
        return Finding(State.UNVERIFIED, why="the signer id is the bank's own: say whose it is with --bank"), payload
    signer_id = shape.signer_id(known.bank) if shape.signer_id is not None and known.bank is not None else ""
    pin = signer(known.certificates, named(shape.algorithm), signature, covered, signer_id)
    if pin is None:
        return Finding(State.INVALID if known.asked else State.UNVERIFIED, why="the signature does not hold"), payload
    try:
        check_validity(pin, at)
    except Unverified as error:
        return Finding(State.INVALID, _named(pin), error.what), payload
    return Finding(State.VALID, _named(pin)), payload if shape.whole else BytesIO(covered)


def _check_enveloped(
    shape: Enveloped, payload: BinaryIO, size: int, known: Known, at: datetime
) -> tuple[Finding, BinaryIO]:
    present, claimed = _look(payload)
    if not present:
        return Finding(State.ABSENT), payload
    if not known.certificates:
        return Finding(State.UNVERIFIED, claimed, "no certificate was given to verify it with"), payload
    if size > VERIFIED_BYTES_MAX:
        return Finding(State.UNVERIFIED, claimed, f"larger than {VERIFIED_BYTES_MAX} bytes"), payload
    try:
        pin, signed = xmldsig.verify(known.certificates, payload, shape.location, at, VERIFIED_BYTES_MAX)
    except Unverified as error:
        return _refuted(error, claimed, known), payload
    finally:
        payload.seek(0)
    return Finding(State.VALID, _named(pin)), BytesIO(signed)


def _refuted(error: Unverified, claimed: str, known: Known) -> Finding:
    unknown = error.code is Code.CERT and not known.asked
    return Finding(State.UNVERIFIED if unknown else State.INVALID, claimed, error.what)


def _look(payload: BinaryIO) -> tuple[bool, str]:
    """Whether an XML signature stands in it, and the subject of the certificate that it carries: a claim, nothing more."""
    present, spoken, claimed, rest = False, False, "", b""
    while chunk := payload.read(_CHUNK_BYTES):
        part = rest + chunk
        present = present or _SIGNATURE.search(part) is not None
        spoken = spoken or DS.encode() in part
        if not claimed and (found := _CERTIFICATE.search(part)):
            claimed = _decoded_subject(found[1])
        rest = part[-_OVERLAP_BYTES:] if not present or claimed else part[-(_OVERLAP_BYTES + 32_768) :]
    payload.seek(0)
    return present and spoken, claimed


def _decoded_subject(text: bytes) -> str:
    try:
        return _subject(b64decode(b"".join(text.split()), validate=True))
    except (ValueError, binascii.Error):
        return ""


def _subject(der: bytes) -> str:
    """The subject as the certificate tells it, or "" for what is none."""
    try:
        return read_certificate(der, "carried").subject.rfc4514_string()
    except (Refused, ValueError):
        return ""


def _named(pin: Certificate) -> str:
    return pin.info.subject or pin.name


def _certificate(path: Path, name: str) -> Certificate:
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(path)) from None
    if len(data) > FILE_BYTES_MAX:
        raise Refused("too large for a certificate", code=Code.SIZE, where=str(path))
    return Certificate(name, "verify", read_certificate(data, name))


def read_seal(path: Path) -> bytes:
    """A detached seal's bytes. Raises Refused PATH."""
    try:
        with path.open("rb") as stream:
            return stream.read(SEAL_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(path)) from None
