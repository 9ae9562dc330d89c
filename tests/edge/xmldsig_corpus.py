"""The corpus of enveloped signatures: documents that are right (GOOD) and wrong (BAD), with what has to come of each."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree

from gateway.codec import xmldsig as shape
from gateway.core.errors import Code
from gateway.edge.crypto.keys import Certificate, read_certificate

HEAD = "urn:iso:std:iso:20022:tech:xsd:head.001.001.02"
LOCATION = (f"{{{HEAD}}}AppHdr", f"{{{HEAD}}}Sgntr")
JUNE = datetime(2015, 6, 10, tzinfo=UTC)
DS = shape.DS


class Key(NamedTuple):
    """A signing pair."""

    private: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())


def key_of(folder: Path, name: str) -> Key:
    """A pair of the development PKI."""
    private = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    return Key(private, read_certificate((folder / f"{name}.crt").read_bytes(), name))


# ---------------------------------------------------------------------------------------------------- documents

HOLE = b"<!--HERE-->"


def document(amount: str = "1840.00", rows: int = 3, extra: str = "") -> bytes:
    """A business message with a hole for the signature."""
    lines = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{row}</OrgnlEndToEndId><TxSts>ACCC</TxSts><Amt Ccy='CNY'>{amount}</Amt>"
        f"<Nm>张三 &amp; 李四</Nm></TxInfAndSts>"
        for row in range(rows)
    )
    return (
        f'<Envelope xmlns="urn:sheyin:envelope:1"><AppHdr xmlns="{HEAD}"><Fr>bank</Fr><Sgntr>{HOLE.decode()}</Sgntr></AppHdr>'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10" xmlns:un="urn:unused">'
        f"<CstmrPmtStsRpt>{lines}{extra}</CstmrPmtStsRpt></Document></Envelope>"
    ).encode()


def canonical(xml: bytes) -> bytes:
    """Exclusive c14n of a document without its signature."""
    return etree.tostring(etree.fromstring(xml.replace(HOLE, b"")), method="c14n", exclusive=True, with_comments=False)


def block(xml: bytes, key: Key, change: Callable[[bytes], bytes] = lambda info: info) -> bytes:
    """The signature for a document; ``change`` works on the canonical SignedInfo before it is signed."""
    shown = change(shape.signed_info(hashlib.sha256(canonical(xml)).digest()))
    return shape.signature(shown, key.sign(shown), key.der)


def signed(key: Key, xml: bytes | None = None, change: Callable[[bytes], bytes] = lambda info: info) -> bytes:
    """A document with its signature in the hole."""
    xml = document() if xml is None else xml
    return xml.replace(HOLE, block(xml, key, change))


def swap(old: bytes | str, new: bytes | str) -> Callable[[bytes], bytes]:
    """Replace one place; it must be there."""
    before, after = (part.encode() if isinstance(part, str) else part for part in (old, new))

    def change(xml: bytes) -> bytes:
        assert before in xml, before
        return xml.replace(before, after, 1)

    return change


def pin(key: Key, name: str = "bank_a-sign") -> Certificate:
    """A pinned certificate."""
    return Certificate(name, "verify", key.certificate)


GOOD: dict[str, Callable[[Key], bytes]] = {
    "as we write it": signed,
    "with an XML declaration": lambda key: b'<?xml version="1.0" encoding="UTF-8"?>\n' + signed(key),
    "with white space around the signature": lambda key: signed(
        key, document().replace(HOLE, b"\n  " + HOLE + b"\n  ")
    ),
    "with lines in the base64": lambda key: swap(b"<ds:SignatureValue>", b"<ds:SignatureValue>\n\t ")(signed(key)),
    "without a certificate": lambda key: re.sub(b"<ds:KeyInfo>.*</ds:KeyInfo>", b"", signed(key)),
    "with somebody else's certificate inside": lambda key: swap(base64.b64encode(key.der), base64.b64encode(b"hello"))(
        signed(key)
    ),
    "with comments in the document": lambda key: signed(key, document(amount="1840<!-- off the record -->.00")),
    "with single quotes and unsorted attributes": lambda key: signed(
        key, document(extra="<X b='2' a=\"1\"/><Y><![CDATA[<raw>]]></Y>")
    ),
    "with CR LF line ends": lambda key: signed(key, document(extra="<X>\r\n</X>")),
    "with Ids on the signature": lambda key: swap(b'<ds:Signature xmlns:ds="%s">' % DS.encode(),
        b'<ds:Signature xmlns:ds="%s" Id="s1">' % DS.encode())(signed(key)),
}  # fmt: skip


class Bad(NamedTuple):
    """A document that must not pass: how it is made by (bank's key, stranger's key), our code, signxml's verdict."""

    make: Callable[[Key, Key], bytes]
    code: Code = Code.SIG
    signxml_too: bool = True  # it refuses as well; False: we are stricter, for the reason that stands beside it


def resigned(old: bytes | str, new: bytes | str) -> Callable[[Key, Key], bytes]:
    """The bank itself signed another SignedInfo: only the comparison of the shape can refuse it."""
    return lambda bank, _: signed(bank, change=swap(old, new))


def after(old: bytes | str, new: bytes | str, xml: bytes | None = None) -> Callable[[Key, Key], bytes]:
    """Changed after it was signed."""
    return lambda bank, _: swap(old, new)(signed(bank, xml))


def hmac_with_the_public_key(bank: Key, _: Key) -> bytes:
    """The certificate's bytes as the secret of an HMAC: everybody has them."""

    def as_hmac(info: bytes) -> bytes:
        return info.replace(shape.RSA_SHA256.encode(), b"http://www.w3.org/2001/04/xmldsig-more#hmac-sha256")

    xml = document()
    shown = as_hmac(shape.signed_info(hashlib.sha256(canonical(xml)).digest()))
    pem = bank.certificate.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    mac = hmac.HMAC(pem, hashes.SHA256())
    mac.update(shown)
    return xml.replace(HOLE, shape.signature(shown, mac.finalize(), bank.der))


def wrapped(bank: Key, _: Key) -> bytes:
    """The signed document under a new root, with the attacker's payments beside it."""
    return (
        b'<Envelope xmlns="urn:sheyin:envelope:1">'
        + signed(bank)
        + document("999999.00").replace(HOLE, b"")
        + b"</Envelope>"
    )


def wrapped_in_place(bank: Key, _: Key) -> bytes:
    """The attacker's document outside, at its place the bank's signature, which holds the bank's document as an Object."""
    inner = signed(bank)
    signature = block(document(), bank).replace(
        b"</ds:Signature>", b"<ds:Object>" + inner + b"</ds:Object></ds:Signature>"
    )
    return document("999999.00").replace(HOLE, signature)


def twice(bank: Key, _: Key) -> bytes:
    """Two signatures at the place, both true."""
    one = block(document(), bank)
    return document().replace(HOLE, one + one)


def elsewhere(where: bytes) -> Callable[[Key, Key], bytes]:
    """A true signature, but at another place of the document."""

    def make(bank: Key, _: Key) -> bytes:
        xml = document().replace(HOLE, b"").replace(where, HOLE + where, 1)
        return signed(bank, xml)

    return make


def second_header(first: bool) -> Callable[[Key, Key], bytes]:
    """Two headers, of which one is signed correctly: which one is read?"""

    def make(bank: Key, _: Key) -> bytes:
        other = f'<AppHdr xmlns="{HEAD}"><Fr>other</Fr><Sgntr></Sgntr></AppHdr>'.encode()
        place = b"<AppHdr" if first else b"<Document"
        return signed(bank, document().replace(place, other + place, 1))

    return make


INFO = shape.signed_info(bytes(32))
REFERENCE = INFO[INFO.index(b"<ds:Reference") : INFO.index(b"</ds:SignedInfo>")].replace(
    base64.b64encode(bytes(32)), base64.b64encode(hashlib.sha256(canonical(document())).digest())
)
ENVELOPED = f'<ds:Transform Algorithm="{shape.ENVELOPED}"></ds:Transform>'
C14N = f'<ds:Transform Algorithm="{shape.EXCLUSIVE_C14N}"></ds:Transform>'
METHOD = f'<ds:CanonicalizationMethod Algorithm="{shape.EXCLUSIVE_C14N}">'
XPATH = '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>not(self::Amt)</ds:XPath></ds:Transform>'
DIGEST = base64.b64encode(hashlib.sha256(canonical(document())).digest())

BAD: dict[str, Bad] = {
    "E1 no signature": Bad(lambda *_: document().replace(HOLE, b"")),
    "E1 no place for one": Bad(lambda *_: document().replace(b"<Sgntr>" + HOLE + b"</Sgntr>", b"")),
    "E1 an empty signature": Bad(lambda *_: document().replace(HOLE, f'<Signature xmlns="{DS}"/>'.encode())),
    "E2 an amount changed": Bad(after(b"1840.00", b"9840.00")),
    "E2 a row removed": Bad(lambda bank, _: document(rows=2).replace(HOLE, block(document(rows=3), bank))),
    "E2 a digest changed": Bad(after(DIGEST[:8], b"AAAAAAAA")),
    "E2 a signature value changed": Bad(after(b"<ds:SignatureValue>", b"<ds:SignatureValue>AAAA")),
    "E2 white space before the root's end": Bad(after(b"</Envelope>", b" </Envelope>")),
    "E3 another key, its certificate inside": Bad(lambda _, stranger: signed(stranger), Code.CERT),
    "E3 another key, the bank's certificate inside": Bad(
        lambda bank, stranger: swap(base64.b64encode(stranger.der), base64.b64encode(bank.der))(signed(stranger))
    ),
    "E4 wrapped under a new root": Bad(wrapped),
    "E4 wrapped in the signature's Object": Bad(wrapped_in_place),
    "E4 at the root": Bad(elsewhere(b"<AppHdr")),
    "E4 in the payments": Bad(elsewhere(b"<CstmrPmtStsRpt")),
    "E4 beside its place": Bad(elsewhere(b"<Sgntr>")),
    "E4 one level deeper": Bad(
        lambda bank, _: signed(bank, document().replace(HOLE, b"<X>" + HOLE + b"</X>"))
    ),
    "E4 in a header of another namespace": Bad(lambda bank, _: signed(bank, document().replace(HEAD.encode(), b"urn:x"))),
    # signxml looks for the location by path and takes the one that holds the signature.
    "E4 a second header after the signed one": Bad(second_header(first=False), signxml_too=False),
    "E4 a second header before the signed one": Bad(second_header(first=True), signxml_too=False),
    "E5 two elements with the referenced Id": Bad(
        lambda bank, _: swap("<Document ", '<Document Id="d" ')(
            signed(bank, document(extra='<X Id="d"/>'), swap('URI=""', 'URI="#d"'))
        )
    ),
    "E6 two signatures": Bad(twice),
    # signxml looks only at the place that it was told.
    "E6 a second signature elsewhere": Bad(
        lambda bank, _: signed(bank, document(extra=f'<Signature xmlns="{DS}"/>')), signxml_too=False
    ),
    "E6 two SignedInfo": Bad(
        lambda bank, _: swap(b"<ds:SignatureValue>", INFO.replace(f' xmlns:ds="{DS}"'.encode(), b"") + b"<ds:SignatureValue>")(
            signed(bank)
        )
    ),
    "E6 SignedInfo last": Bad(
        lambda bank, _: re.sub(
            b"(<ds:SignedInfo>.*</ds:SignedInfo>)(.*)(<ds:KeyInfo>)", rb"\2\1\3", signed(bank)
        )
    ),
    # Canonicalisation drops comments, so signxml sees the same content; a comment in a signature has no honest use (E7).
    "E7 a comment in DigestValue": Bad(after(DIGEST[:8], DIGEST[:8] + b"<!-- x -->"), signxml_too=False),
    "E7 a comment in SignatureValue": Bad(
        after(b"<ds:SignatureValue>", b"<ds:SignatureValue><!-- x -->"), signxml_too=True
    ),
    "E7 a comment in SignedInfo": Bad(after(b"<ds:Reference ", b"<!-- x --><ds:Reference "), signxml_too=False),
    "E7 an instruction in SignedInfo": Bad(after(b"<ds:Reference ", b"<?x y?><ds:Reference ")),
    # signxml reads over transforms that it does not know, and digests without them.
    "E8 an XPath transform": Bad(resigned(C14N, XPATH + C14N), signxml_too=False),
    "E8 an XSLT transform": Bad(resigned(C14N, C14N.replace(shape.EXCLUSIVE_C14N, "http://www.w3.org/TR/1999/REC-xslt-19991116"))),
    "E8 a base64 transform": Bad(resigned(C14N, C14N.replace(shape.EXCLUSIVE_C14N, DS + "base64"))),
    "E8 a transform too many": Bad(resigned(C14N, C14N + C14N)),
    "E8 no c14n transform": Bad(resigned(C14N, "")),
    "E8 no enveloped transform": Bad(resigned(ENVELOPED, "")),
    "E8 transforms exchanged": Bad(resigned(ENVELOPED + C14N, C14N + ENVELOPED), signxml_too=False),  # same bytes here
    "E8 a transform with comments": Bad(resigned(C14N, C14N.replace("c14n#", "c14n#WithComments")), signxml_too=False),
    "E8 a transform with prefixes": Bad(
        resigned(C14N, C14N.replace("></", f'><ec:InclusiveNamespaces xmlns:ec="{shape.EXCLUSIVE_C14N}" PrefixList="un"/></'))
    ),
    "E8 another canonicalisation of SignedInfo": Bad(
        resigned(METHOD, METHOD.replace(shape.EXCLUSIVE_C14N, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"))
    ),
    "E8 a method with parameters": Bad(
        resigned('rsa-sha256"></', 'rsa-sha256"><ds:HMACOutputLength>1</ds:HMACOutputLength></'), signxml_too=False
    ),
    "E8 a reference over the network": Bad(resigned('URI=""', 'URI="http://127.0.0.1:9/x.xml"')),
    "E8 a reference to a file": Bad(resigned('URI=""', 'URI="file:///etc/passwd"')),
    "E8 a reference by name": Bad(resigned('URI=""', 'URI="x.xml"')),
    "E8 a reference by XPointer": Bad(resigned('URI=""', 'URI="#xpointer(/)"')),
    "E8 a reference without URI": Bad(resigned(' URI=""', "")),
    "E8 a reference with a type": Bad(resigned('URI=""', f'Type="{DS}Manifest" URI=""'), signxml_too=False),
    "E9 SHA-1 digest": Bad(resigned(shape.SHA256, DS + "sha1")),
    "E9 MD5 digest": Bad(resigned(shape.SHA256, "http://www.w3.org/2001/04/xmldsig-more#md5")),
    "E9 RSA with SHA-1": Bad(resigned(shape.RSA_SHA256, DS + "rsa-sha1")),
    "E9 RSA-PSS": Bad(resigned(shape.RSA_SHA256, "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1")),
    "E9 no algorithm": Bad(resigned(f' Algorithm="{shape.RSA_SHA256}"', "")),
    "E10 HMAC with the public key": Bad(hmac_with_the_public_key),
    "E13 no reference": Bad(resigned(REFERENCE, "")),
    "E13 two references": Bad(resigned(REFERENCE, REFERENCE + REFERENCE)),
    "E13 an empty digest": Bad(resigned(DIGEST, "")),
    "E13 a digest that is no base64": Bad(resigned(DIGEST, "!" + DIGEST.decode()), signxml_too=False),  # it skips the "!"
    "E13 a digest of another length": Bad(resigned(DIGEST, "AAAA")),
    "text in SignedInfo": Bad(resigned(REFERENCE, b"x" + REFERENCE)),
    "an attribute on SignedInfo": Bad(
        resigned(f'<ds:SignedInfo xmlns:ds="{DS}"', f'<ds:SignedInfo xmlns:ds="{DS}" foo="x"')
    ),
    "an Object in the signature": Bad(
        after(b"</ds:Signature>", b"<ds:Object>x</ds:Object></ds:Signature>"), signxml_too=False  # outside of what is signed
    ),
    "B1 entities": Bad(
        lambda bank, _: b'<!DOCTYPE Envelope [<!ENTITY a "1"><!ENTITY b "&a;&a;">]>' + signed(bank), Code.FORMAT
    ),
    "B4 an external type": Bad(
        lambda bank, _: b'<!DOCTYPE Envelope SYSTEM "http://127.0.0.1:9/x.dtd">' + signed(bank), Code.FORMAT
    ),
    "B5 an entity that nobody declared": Bad(after(b"1840.00", b"1840&x;.00"), Code.FORMAT),
    "B7 too deep": Bad(
        lambda bank, _: signed(bank).replace(b"<Fr>bank</Fr>", b"<a>" * 2_500 + b"</a>" * 2_500), Code.FORMAT
    ),
    "B11 not the charset that it says": Bad(
        lambda bank, _: b'<?xml version="1.0" encoding="UTF-16"?>' + signed(bank), Code.FORMAT
    ),
    "B12 bad UTF-8": Bad(after("张三".encode(), b"\xff\xfe"), Code.FORMAT),
    "B12 a NUL": Bad(after(b"bank", b"ba\x00nk"), Code.FORMAT),
    "B12 two roots": Bad(lambda bank, _: signed(bank) + signed(bank), Code.FORMAT),
    "B12 bytes after the end": Bad(lambda bank, _: signed(bank) + b"x", Code.FORMAT),
    "B10 compressed": Bad(lambda bank, _: gzip.compress(signed(bank)), Code.FORMAT),
    "empty": Bad(lambda *_: b"", Code.TRUNCATED),
    "white space only": Bad(lambda *_: b" \n ", Code.TRUNCATED),
    "not XML": Bad(lambda *_: b"H|SHEYIN|1|RES|" * 9, Code.FORMAT),
}  # fmt: skip
