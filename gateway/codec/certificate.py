"""The few things that a seal needs of an X.509 certificate, read from its DER: who issued it, its number, its public key (RFC 5280, 4.1)."""

from __future__ import annotations

from gateway.codec import der
from gateway.codec.der import Element


def issuer_and_serial(certificate: bytes) -> tuple[bytes, int]:
    """DER Name of the issuer, and the serial number, of a DER certificate. Raises ValueError."""
    fields = _fields(certificate)
    return fields[2].expect(der.SEQUENCE).whole, fields[0].integer()


def public_key_info(certificate: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of a DER certificate. Raises ValueError."""
    return _fields(certificate)[5].expect(der.SEQUENCE).whole


def _fields(certificate: bytes) -> list[Element]:
    """serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, and what follows."""
    fields = der.parse(certificate).expect(der.SEQUENCE).children()[0].expect(der.SEQUENCE).children()
    if fields and fields[0].tag == 0xA0:  # the version, absent in version 1
        fields = fields[1:]
    if len(fields) < 6:
        raise ValueError("not a certificate")
    return fields
