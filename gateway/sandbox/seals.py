"""Seals on the bank's side: XML signatures inside a header, CMS signatures beside a file. Own code, so that no fault is shared with ours.

Trust is a list of pinned bureau certificates; what a signature says about its own key is only compared with them. Validity periods are not
looked at: the demo's clock stands in June 2015, and the certificates are as young as the machine.

Sources: XML Signature Syntax and Processing 1.1; Exclusive XML Canonicalization 1.0; RFC 5652 (CMS).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from pathlib import Path
from typing import Any

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from lxml import etree

from gateway.sandbox.config import Keys

DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = DS + "enveloped-signature"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"

_WORD = b"Signature"
_OPENING = re.compile(rb"<((?:[A-Za-z_][\w.-]*:)?)Signature[ >]")
_DECLARATION = re.compile(rb"\A<\?xml [^>]*\?>\s*")


class SealWrong(Exception):
    """The seal is absent, or does not prove that the bureau wrote these bytes."""


class Signer:
    """The bank's signing key with its certificate."""

    def __init__(self, key: Path, certificate: Path) -> None:
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise ValueError(f"{key}: not an RSA key")
        self._key = loaded
        self.certificate = x509.load_pem_x509_certificate(certificate.read_bytes())

    def sign(self, data: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256."""
        return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def detached(self, payload: bytes) -> bytes:
        """CMS SignedData over bytes that are not in it, DER, with signed attributes and our certificate."""
        builder = (
            pkcs7.PKCS7SignatureBuilder().set_data(payload).add_signer(self.certificate, self._key, hashes.SHA256())
        )
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities]
        return builder.sign(serialization.Encoding.DER, options)


class Foreign(Signer):
    """A key that nobody has pinned, with somebody else's certificate: what an impostor would seal with."""

    def __init__(self, certificate: x509.Certificate) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = certificate

    def detached(self, payload: bytes) -> bytes:
        """A CMS signature that names the bank's certificate but was made with another key."""
        digest = hashlib.sha256(payload).digest()
        attributes = cms.CMSAttributes(
            [
                cms.CMSAttribute({"type": "content_type", "values": ["data"]}),
                cms.CMSAttribute({"type": "message_digest", "values": [digest]}),
            ]
        )
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        certificate = cms.CertificateChoices.load(der)
        name = {"issuer": certificate.chosen.issuer, "serial_number": certificate.chosen.serial_number}
        signer = {
            "version": "v1",
            "sid": cms.SignerIdentifier("issuer_and_serial_number", name),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
            "signature": self.sign(attributes.dump()),
        }
        signed = {
            "version": "v1",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "data"},
            "certificates": [certificate],
            "signer_infos": [signer],
        }
        return bytes(cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(signed)}).dump())


class Pins:
    """The bureau's certificates that this bank trusts."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._certificates = [x509.load_pem_x509_certificate(Path(path).read_bytes()) for path in paths]
        if not self._certificates:
            raise ValueError("a bank needs at least one certificate of the bureau")

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises SealWrong unless one of the pinned keys made it."""
        for certificate in self._certificates:
            key = certificate.public_key()
            if isinstance(key, rsa.RSAPublicKey):
                try:
                    key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
                except InvalidSignature:
                    continue
                return
        raise SealWrong("not signed by a key of the bureau that is known here")

    def issued(self, issuer: bytes, serial: int) -> bool:
        """Whether a CMS signer identifier names one of them."""
        return any(
            certificate.serial_number == serial and certificate.issuer.public_bytes() == issuer
            for certificate in self._certificates
        )


def keyring(keys: Keys | None) -> tuple[Signer | None, Pins | None]:
    """Load what a bank's configuration names; nothing in the unsigned test profile."""
    return (Signer(Path(keys.sign_key), Path(keys.certificate)), Pins(keys.bureau)) if keys else (None, None)


# ---------------------------------------------------------------------------------------------------------------- CMS beside the file


def check_detached(payload: bytes, seal: bytes | None, pins: Pins) -> None:
    """Verify a detached CMS signature: DER, exactly one signer, SHA-256, signed attributes content type and digest. Raises SealWrong."""
    if not seal:
        raise SealWrong("no seal beside the file")
    try:
        info = cms.ContentInfo.load(seal, strict=True)
        if info["content_type"].native != "signed_data":
            raise SealWrong("the seal is no signed data")
        _check_signed(info["content"], payload, pins)
    except (ValueError, TypeError, KeyError) as error:
        raise SealWrong(f"the seal cannot be read: {error}") from error


_ATTRIBUTES = {
    "content_type",
    "message_digest",
    "signing_time",
    "smime_capabilities",  # the openssl program adds them
    "cms_algorithm_protection",
}


def _check_signed(signed: Any, payload: bytes, pins: Pins) -> None:
    if signed["encap_content_info"]["content"].native is not None:
        raise SealWrong("the seal carries content of its own")
    if len(signed["signer_infos"]) != 1:
        raise SealWrong("there is not exactly one signer")
    signer = signed["signer_infos"][0]
    if signer["digest_algorithm"]["algorithm"].native != "sha256":
        raise SealWrong("another digest than SHA-256")
    if signer["signature_algorithm"]["algorithm"].native not in ("rsassa_pkcs1v15", "sha256_rsa"):
        raise SealWrong("another signature algorithm than RSA with SHA-256")
    if signer["sid"].name != "issuer_and_serial_number":
        raise SealWrong("the signer is not named by issuer and number")
    sid = signer["sid"].chosen
    if not pins.issued(sid["issuer"].dump(), sid["serial_number"].native):
        raise SealWrong("the signer is not the bureau")
    if signer["unsigned_attrs"].native:
        raise SealWrong("there are unsigned attributes")
    found = {item["type"].native: item["values"] for item in signer["signed_attrs"]}
    if not found.keys() <= _ATTRIBUTES:
        raise SealWrong("a signed attribute that was not agreed")
    if len(found) != len(signer["signed_attrs"]) or any(len(values) != 1 for values in found.values()):
        raise SealWrong("a signed attribute stands twice")
    if "content_type" not in found or found["content_type"][0].native != "data":
        raise SealWrong("the content type is not signed")
    if "message_digest" not in found or found["message_digest"][0].native != hashlib.sha256(payload).digest():
        raise SealWrong("the file is not the one that was sealed")
    # RFC 5652, 5.4: signed is the SET OF, not the implicitly tagged field that travels.
    pins.verify(signer["signature"].native, b"\x31" + signer["signed_attrs"].dump()[1:])


# ---------------------------------------------------------------------------------------------------------------- XMLDSig inside the file


def canonical(payload: bytes, signature: etree._Element, pins: Pins) -> bytes:
    """Verify an enveloped signature whose element was found at its place; returns the canonical bytes that were signed.

    Only what is returned may be read on. Raises SealWrong.
    """
    info = _only(signature, "SignedInfo")
    digest = _check_method(info)
    value = _only(signature, "SignatureValue").text or ""
    pins.verify(_unbase64(value), etree.tostring(info, method="c14n", exclusive=True, with_comments=False))
    start, end = _place(payload)
    # Bytes that are canonical already need no tree: equal digests prove equal bytes. All others are made canonical first.
    stripped = _DECLARATION.sub(b"", payload[:start] + payload[end:]).rstrip(b"\n")
    if hashlib.sha256(stripped).digest() == digest:
        return stripped
    stripped = _made_canonical(payload)
    if hashlib.sha256(stripped).digest() == digest:
        return stripped
    raise SealWrong("the file is not the one that was signed")


def signature_block(stripped: bytes, signer: Signer) -> bytes:
    """The ``ds:Signature`` element for a document whose bytes (without it) are canonical already."""
    digest = base64.b64encode(hashlib.sha256(stripped).digest())
    info = _SIGNED_INFO % digest
    value = base64.b64encode(signer.sign(info))
    certificate = base64.b64encode(signer.certificate.public_bytes(serialization.Encoding.DER))
    return _BLOCK % (info.replace(b' xmlns:ds="%s"' % DS.encode(), b"", 1), value, certificate)


_SIGNED_INFO = (
    f'<ds:SignedInfo xmlns:ds="{DS}"><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"></ds:CanonicalizationMethod>'
    f'<ds:SignatureMethod Algorithm="{RSA_SHA256}"></ds:SignatureMethod><ds:Reference URI=""><ds:Transforms>'
    f'<ds:Transform Algorithm="{ENVELOPED}"></ds:Transform><ds:Transform Algorithm="{EXCLUSIVE}"></ds:Transform></ds:Transforms>'
    f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>'
).encode()
_BLOCK = (
    f'<ds:Signature xmlns:ds="{DS}">%s<ds:SignatureValue>%s</ds:SignatureValue><ds:KeyInfo><ds:X509Data>'
    "<ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>"
).encode()


def _place(payload: bytes) -> tuple[int, int]:
    """Where the one signature begins and ends. Searched by its word first: a pattern over the whole file costs as much as parsing it."""
    opening = _OPENING.search(payload, max(0, payload.find(_WORD) - 64))
    if opening is None:
        raise SealWrong("there is no signature")
    closing = b"</" + opening[1] + _WORD + b">"
    end = payload.find(closing, opening.end()) + len(closing)
    if end < opening.end() or (payload.find(_WORD, end) >= 0 and _OPENING.search(payload, end)):
        raise SealWrong("there is not exactly one signature")
    return opening.start(), end


def _check_method(info: etree._Element) -> bytes:
    """The signed digest, once every algorithm named is the agreed one."""
    reference = _only(info, "Reference")
    transforms = [item.get("Algorithm") for item in _only(reference, "Transforms")]
    agreed = (
        _only(info, "CanonicalizationMethod").get("Algorithm") == EXCLUSIVE
        and _only(info, "SignatureMethod").get("Algorithm") == RSA_SHA256
        and _only(reference, "DigestMethod").get("Algorithm") == SHA256
        and reference.get("URI") == ""
        and transforms == [ENVELOPED, EXCLUSIVE]
    )
    if not agreed:
        raise SealWrong("signed in another way than agreed")
    return _unbase64(_only(reference, "DigestValue").text or "")


def _made_canonical(payload: bytes) -> bytes:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    root = etree.fromstring(payload, parser)
    for element in list(root.iter(f"{{{DS}}}Signature")):
        parent, before = element.getparent(), element.getprevious()
        if parent is not None and element.tail:  # white space behind the signature is signed too
            if before is not None:
                before.tail = (before.tail or "") + element.tail
            else:
                parent.text = (parent.text or "") + element.tail
        if parent is not None:
            parent.remove(element)
    return etree.tostring(root, method="c14n", exclusive=True, with_comments=False)


def _only(parent: etree._Element, name: str) -> etree._Element:
    found = parent.findall(f"{{{DS}}}{name}")
    if len(found) != 1:
        raise SealWrong(f"the signature has not exactly one {name}")
    return found[0]


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise SealWrong("not base64") from error
