"""Enveloped signatures: the corpus E1 to E13, judged by our verifier and, as second opinion, by signxml.

Every case is a document and what has to come out. Our verdict is the one that counts; signxml's is written beside it.
Wherever ours accepts, signxml accepts too and has digested the very same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from signxml.algorithms import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConstructionMethod,
    SignatureMethod,
)
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, XMLVerifier

from gateway.codec import xmldsig as shape
from gateway.core.bank import Bank, Enveloped, Limits, WireKind
from gateway.core.errors import Code, Unverified
from gateway.edge.clock import ManualClock
from gateway.edge.credentials import Credentials
from gateway.edge.crypto import ConfiguredCrypto
from gateway.edge.crypto import xmldsig as verifier
from gateway.edge.crypto.pki import DevPki, self_signed
from gateway.edge.work import InlineWork
from tests.edge.xmldsig_corpus import (
    BAD,
    DS,
    GOOD,
    HOLE,
    JUNE,
    LOCATION,
    Key,
    canonical,
    document,
    key_of,
    pin,
    signed,
)


@pytest.fixture(scope="module")
def bank_key(pki: DevPki) -> Key:
    """Bank A's pair, pinned."""
    return key_of(pki.folder, "bank_a-sign")


@pytest.fixture(scope="module")
def stranger(pki: DevPki) -> Key:
    """Bank B's pair, not pinned for bank A."""
    return key_of(pki.folder, "bank_b-sign")


def ours(xml: bytes, *keys: Key, at: datetime = JUNE) -> bytes:
    """Our verdict: the signed bytes, or Unverified."""
    return verifier.verify([pin(key) for key in keys], io.BytesIO(xml), LOCATION, at)[1]


def theirs(xml: bytes, key: Key) -> bytes | None:
    """signxml's verdict, set up as strictly as it goes: the signed bytes, or None."""
    config = SignatureConfiguration(
        location=f"./{LOCATION[0]}/{LOCATION[1]}/",
        expect_references=1,
        signature_methods=frozenset({SignatureMethod.RSA_SHA256}),
        digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
        verification_time=JUNE,
    )
    try:
        result = XMLVerifier().verify(xml, x509_cert=key.certificate, expect_config=config)
    except (SignXMLException, etree.LxmlError, ValueError, TypeError):
        return None
    assert not isinstance(result, list)
    return bytes(result.signed_data)


# ---------------------------------------------------------------------------------------------------- accepted


@pytest.mark.parametrize("case", GOOD)
def test_accepted_by_both_over_the_same_bytes(bank_key: Key, case: str) -> None:
    """What is returned are the canonical bytes of the document without its signature, and signxml digested the same."""
    xml = GOOD[case](bank_key)
    found = ours(xml, bank_key)
    assert found == theirs(xml, bank_key)
    without = etree.fromstring(xml)
    (signature,) = without.iter(f"{{{DS}}}Signature")
    parent = signature.getparent()
    assert parent is not None
    tail = signature.tail or ""
    parent.remove(signature)
    parent.text = (parent.text or "") + tail
    assert found == etree.tostring(without, method="c14n", exclusive=True, with_comments=False)


def test_what_is_read_is_what_was_signed(bank_key: Key) -> None:
    """The comment attack: the raw amount reads 100 in one program, the signed one is 10000.00 in every program (fact 8)."""
    xml = signed(bank_key, document(amount="100<!-- -->00.00"))
    found = ours(xml, bank_key)
    assert b"<!--" not in found
    assert etree.fromstring(found).findtext(".//{*}Amt") == "10000.00"
    assert etree.fromstring(xml).findtext(".//{*}Amt") == "100"


def test_another_prefix_and_layout(bank_key: Key) -> None:
    """A signature by signxml with its own prefix and order of attributes is the same shape."""
    xml = document().replace(HOLE, b'<Signature xmlns="%s" Id="placeholder"></Signature>' % DS.encode())
    signer = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=SignatureMethod.RSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signer.namespaces = {None: DS}  # type: ignore[dict-item]  # the default namespace
    root = signer.sign(etree.fromstring(xml), key=bank_key.private, cert=[bank_key.certificate])
    made = etree.tostring(root)
    assert ours(made, bank_key) == theirs(made, bank_key) == canonical(document())


def test_xmlsec1s_signature(pki: DevPki, bank_key: Key, outside_program: Callable[[str], str], tmp_path: Path) -> None:
    """A third implementation signs a template, and both verifiers accept it."""
    template = shape.signature(shape.signed_info(bytes(32)), b"", b"")
    template = template.replace(base64.b64encode(bytes(32)), b"")
    template = template[: template.index(b"<ds:KeyInfo>")] + b"</ds:Signature>"
    (tmp_path / "in.xml").write_bytes(document().replace(HOLE, template))
    command = [outside_program("xmlsec1"), "--sign", "--output", "out.xml", "--privkey-pem"]
    command += [str(pki.folder / "bank_a-sign.key"), "in.xml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    made = (tmp_path / "out.xml").read_bytes()
    assert ours(made, bank_key) == theirs(made, bank_key) == canonical(document())


# ---------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("case", BAD)
def test_refused(bank_key: Key, stranger: Key, case: str) -> None:
    """Each with its code; and signxml refuses as well, or stands beside the case as less strict."""
    bad = BAD[case]
    xml = bad.make(bank_key, stranger)
    with pytest.raises(Unverified) as error:
        ours(xml, bank_key)
    assert error.value.code is bad.code, error.value
    assert (theirs(xml, bank_key) is None) is bad.signxml_too


def test_truncation_at_every_byte(bank_key: Key) -> None:
    """However much is missing, it is refused; as TRUNCATED, unless the cut makes a prefix that means nothing."""
    xml = signed(bank_key)
    codes = []
    for at in range(len(xml)):
        with pytest.raises(Unverified) as error:
            ours(xml[:at], bank_key)
        codes.append(error.value.code)
    assert set(codes) <= {Code.TRUNCATED, Code.FORMAT}
    assert codes.count(Code.FORMAT) == len("ds:Signature") - len("ds")


@given(st.data())
def test_one_changed_byte(bank_key: Key, data: st.DataObject) -> None:
    """A flipped bit anywhere never changes what is read: refused, or the same signed bytes as before."""
    xml = bytearray(signed(bank_key))
    expected = canonical(document())
    at = data.draw(st.integers(0, len(xml) - 1))
    xml[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = ours(bytes(xml), bank_key)
    except Unverified:
        return
    assert found == expected  # in KeyInfo, which nobody trusts, or in the spelling of an attribute's quotes


# ---------------------------------------------------------------------------------------------------- pins and validity


def test_the_pin_that_signed_is_told(bank_key: Key, stranger: Key) -> None:
    """With two pins during an overlap, either counts and is named."""
    pins = [pin(stranger, "old"), pin(bank_key, "new")]
    assert verifier.verify(pins, io.BytesIO(signed(bank_key)), LOCATION, JUNE)[0].name == "new"
    assert verifier.verify(pins, io.BytesIO(signed(stranger)), LOCATION, JUNE)[0].name == "old"


@pytest.mark.parametrize("at", [datetime(2014, 6, 1, tzinfo=UTC), datetime(2018, 1, 1, tzinfo=UTC)])
def test_an_expired_or_early_pin_is_cert(bank_key: Key, at: datetime) -> None:
    """Rightly signed, but not at this time (E11)."""
    with pytest.raises(Unverified) as error:
        ours(signed(bank_key), bank_key, at=at)
    assert error.value.code is Code.CERT


def test_a_short_key_is_no_key(bank_key: Key) -> None:
    """A pinned RSA-1024 certificate cannot even be loaded (E9)."""
    small = rsa.generate_private_key(65537, 1024)
    certificate = self_signed(small, "small", JUNE, JUNE.replace(year=2016), "sign")
    with pytest.raises(Exception, match="1024 bits"):
        pin(Key(small, certificate))


def test_through_the_port(pki: DevPki, bank_key: Key) -> None:
    """``signed`` holds the canonical bytes, ``by`` names the pin; the Bank's own size limit counts."""
    crypto = ConfiguredCrypto(pki.bureau, Credentials(), ManualClock(JUNE), InlineWork(), folder=pki.folder)
    bank = Bank(
        code="BANK_A",
        name="A",
        adapter="iso20022",
        wire=WireKind.SFTP,
        customer="C1",
        pins=("bank_a-sign-2", "bank_a-sign"),
    )
    xml = signed(bank_key)
    payload = io.BytesIO(xml)
    payload.read(10)
    found = crypto.verify(bank, Enveloped(location=LOCATION), payload, None, JUNE)
    assert found.by == "bank_a-sign"
    assert found.fingerprint == hashlib.sha256(bank_key.der).hexdigest()
    assert found.signed.read() == canonical(document())
    small = Bank(
        code="BANK_A", name="A", adapter="iso20022", wire=WireKind.SFTP, customer="C1", pins=bank.pins,
        limits=Limits(document_bytes_max=len(xml) - 1),
    )  # fmt: skip
    with pytest.raises(Unverified) as error:
        crypto.verify(small, Enveloped(location=LOCATION), io.BytesIO(xml), None, JUNE)
    assert error.value.code is Code.SIZE


def test_memory_for_ten_thousand_rows(bank_key: Key, tmp_path: Path) -> None:
    """A result file of 10,000 rows (3 MB) is verified in at most 60 MiB above what the process had before."""
    (tmp_path / "doc.xml").write_bytes(signed(bank_key, document(rows=22_000)))
    (tmp_path / "pin.der").write_bytes(bank_key.der)
    program = (
        "import resource, sys, datetime\n"
        "from gateway.edge.crypto import xmldsig\n"
        "from gateway.edge.crypto.keys import Certificate, read_certificate\n"
        "pin = Certificate('b', 'verify', read_certificate(open('pin.der', 'rb').read(), 'b'))\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        f"_, signed = xmldsig.verify([pin], open('doc.xml', 'rb'), {LOCATION!r},\n"
        "    datetime.datetime(2015, 6, 10, tzinfo=datetime.timezone.utc))\n"
        "print(len(signed), peak() - before)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(root)}, capture_output=True, check=True
    )
    size, grown_mib = map(int, done.stdout.split())
    assert size > 2_500_000
    assert grown_mib <= 60
