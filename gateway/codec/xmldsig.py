"""The shape of our own XML signature: bytes that are canonical already, so that signing a file needs its hash and no tree.

A writer yields exclusive-canonical bytes with a hole where the signature goes. The hash of everything but the hole is
the digest of the one reference (``URI=""``, the whole document, without its signature); ``signed_info`` is what the
key signs; ``signature`` fills the hole and has exactly ``signature_size`` bytes, so the hole can be left before
anything is known but the certificate::

    hole = signature_size(certificate, key_bytes)
    shown = signed_info(sha256 of the document without the hole)
    fill = signature(shown, key.sign(shown), certificate)

The prefix is ``ds``: exclusive canonicalisation then gives the same bytes for SignedInfo alone as for SignedInfo
inside a header that has another default namespace, but for the one namespace declaration that moves up to
``ds:Signature``.

Sources: XML Signature Syntax and Processing 1.1; Exclusive XML Canonicalization 1.0; RFC 9231 section 2.3.2
(rsa-sha256).
"""

from __future__ import annotations

from base64 import b64encode

DS = "http://www.w3.org/2000/09/xmldsig#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
EXCLUSIVE_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
DIGEST_BYTES = 32

_DECLARED = f' xmlns:ds="{DS}"'.encode()
_OPEN = b"<ds:SignedInfo"
_TO_DIGEST = (
    ">"
    f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE_C14N}"></ds:CanonicalizationMethod>'
    f'<ds:SignatureMethod Algorithm="{RSA_SHA256}"></ds:SignatureMethod>'
    '<ds:Reference URI="">'
    "<ds:Transforms>"
    f'<ds:Transform Algorithm="{ENVELOPED}"></ds:Transform>'
    f'<ds:Transform Algorithm="{EXCLUSIVE_C14N}"></ds:Transform>'
    "</ds:Transforms>"
    f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod>'
    "<ds:DigestValue>"
).encode()
_FROM_DIGEST = b"</ds:DigestValue></ds:Reference></ds:SignedInfo>"


def signed_info(digest: bytes) -> bytes:
    """Canonical bytes of ``ds:SignedInfo`` over a document's SHA-256: exactly what is signed.

    ``digest`` is 32 bytes: the hash of the exclusive-canonical document without its ``ds:Signature`` element.
    """
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"a SHA-256 digest has {DIGEST_BYTES} bytes, not {len(digest)}")
    return _OPEN + _DECLARED + _TO_DIGEST + b64encode(digest) + _FROM_DIGEST


def signature(shown: bytes, signed: bytes, certificate_der: bytes) -> bytes:
    """The ``ds:Signature`` element as it stands in the document, canonical, in one line.

    ``shown`` is ``signed_info``'s result, ``signed`` the key's signature over it (RSASSA-PKCS1-v1_5 with SHA-256),
    the certificate the signer's own (a partner trusts its pinned copy, not this one).
    """
    opening = _OPEN + _DECLARED
    if not shown.startswith(opening):
        raise ValueError("not the bytes of signed_info()")
    return b"".join(
        (
            b"<ds:Signature",
            _DECLARED,
            b">",
            _OPEN,  # its declaration is inherited here, and canonical XML does not repeat it
            shown[len(opening) :],
            b"<ds:SignatureValue>",
            b64encode(signed),
            b"</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>",
            b64encode(certificate_der),
            b"</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>",
        )
    )


def signature_size(certificate_der: bytes, key_bytes: int) -> int:
    """Exact size in bytes of ``signature`` for a key whose modulus has ``key_bytes`` bytes (256 for RSA-2048)."""
    return len(signature(signed_info(bytes(DIGEST_BYTES)), bytes(key_bytes), certificate_der))
