"""The banks' seals: outside programs accept what a bank signs, and a bank accepts only what the bureau signed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.sandbox import seals
from gateway.sandbox.bank import Counterpart
from gateway.sandbox.config import FolderWire, SandboxBank
from gateway.sandbox.doors import Arrival, Outgoing
from gateway.sandbox.iso20022_read import skeleton
from gateway.sandbox.sides import side
from tests.sandbox.bureau import CUSTOMER, Ring, cms, group, pain001, pays, records, standard, wrapped

Program = Callable[[str], str]
Sends = Callable[..., list[Outgoing]]


@pytest.fixture
def send(ring: Ring, tmp_path: Path) -> Sends:
    """Give a file to a bank in this process; what it says."""

    def send(adapter: str, payload: bytes, seal: bytes | None = None, *, signed: bool = True) -> list[Outgoing]:
        bank = SandboxBank(
            code="BANKA" if adapter == "iso20022" else "BANKB",
            adapter="iso20022" if adapter == "iso20022" else "standard_file",
            customer=CUSTOMER,
            wire=FolderWire(directory=str(tmp_path)),
            keys=ring.keys() if signed else None,
            state=str(tmp_path / "state"),
        )
        counterpart = Counterpart(bank, side(bank), now="2015-06-10T09:00:00")
        arrival = Arrival("f", payload, seal, None)
        counterpart.receive(arrival)
        counterpart.put_aside(arrival)
        said = []
        while due := counterpart.next_answer():
            counterpart.given(due[0])
            said.append(due[1])
        counterpart.close()
        return said

    return send


def test_xmlsec1_accepts_the_banks_signature(send: Sends, ring: Ring, tmp_path: Path, outside_program: Program) -> None:
    """xmlsec1 verifies receipt and result against the bank's certificate, and not once a byte is changed."""
    said = send("iso20022", wrapped(pain001(pays(3)), ring.bureau))
    assert [item.kind for item in said] == ["receipt", "result"]
    for item in said:
        assert _xmlsec(outside_program("xmlsec1"), tmp_path, item.payload, ring) == 0
        assert _xmlsec(outside_program("xmlsec1"), tmp_path, item.payload.replace(b"R0001", b"R0002"), ring) != 0


def _xmlsec(program: str, folder: Path, payload: bytes, ring: Ring) -> int:
    path = folder / "said.xml"
    path.write_bytes(payload)
    command = [
        program,
        "--verify",
        "--enabled-key-data",
        "rsa",
        "--pubkey-cert-pem",
        str(ring.bank.cert_path),
        str(path),
    ]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_openssl_accepts_the_banks_seal(send: Sends, ring: Ring, tmp_path: Path, outside_program: Program) -> None:
    """openssl verifies receipt and result against the bank's certificate, and not once a byte is changed."""
    payload = standard(pays(3))
    said = send("standard_file", payload, cms(payload, ring.bureau))
    assert [item.kind for item in said] == ["receipt", "result"]
    for item in said:
        assert item.seal is not None
        assert _openssl(outside_program("openssl"), tmp_path, item.payload, item.seal, ring) == 0
        assert _openssl(outside_program("openssl"), tmp_path, item.payload[:-2] + b"x\n", item.seal, ring) != 0


def _openssl(program: str, folder: Path, payload: bytes, seal: bytes, ring: Ring) -> int:
    (folder / "said").write_bytes(payload)
    (folder / "said.p7s").write_bytes(seal)
    cert = str(ring.bank.cert_path)
    command = [program, "cms", "-verify", "-binary", "-inform", "DER", "-in", str(folder / "said.p7s"), "-content"]
    command += [str(folder / "said"), "-CAfile", cert, "-certfile", cert, "-purpose", "any", "-out", "/dev/null"]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_takes_what_openssl_seals(send: Sends, ring: Ring, tmp_path: Path, outside_program: Program) -> None:
    """A seal made by the openssl program opens the file as well as our own."""
    payload = standard(pays(3))
    path, sealed = tmp_path / "f.txt", tmp_path / "f.p7s"
    path.write_bytes(payload)
    command = [outside_program("openssl"), "cms", "-sign", "-binary", "-in", str(path), "-outform", "DER"]
    command += ["-signer", str(ring.bureau.cert_path), "-inkey", str(ring.bureau.key_path), "-out", str(sealed)]
    subprocess.run(command, check=True, capture_output=True)
    assert [item.kind for item in send("standard_file", payload, sealed.read_bytes())] == ["receipt", "result"]


def test_takes_what_is_not_canonical(send: Sends, ring: Ring, tmp_path: Path, outside_program: Program) -> None:
    """A pretty-printed file that xmlsec1 signed is made canonical before its digest is compared."""
    template = wrapped(pain001(pays(3)), ring.bureau).decode()
    start, end = template.index("<DigestValue>") + len("<DigestValue>"), template.index("</DigestValue>")
    template = template[:start] + template[end:]
    start, end = template.index("<SignatureValue>") + len("<SignatureValue>"), template.index("</SignatureValue>")
    template = template[:start] + template[end:]
    template = '<?xml version="1.0" encoding="UTF-8"?>\n' + template.replace("><", ">\n  <").replace("' ", "'  ")
    (tmp_path / "template.xml").write_text(template, encoding="utf-8")
    command = [outside_program("xmlsec1"), "--sign", "--privkey-pem", str(ring.bureau.key_path)]
    command += ["--output", str(tmp_path / "signed.xml"), str(tmp_path / "template.xml")]
    subprocess.run(command, check=True, capture_output=True)
    said = send("iso20022", (tmp_path / "signed.xml").read_bytes())
    assert [item.kind for item in said] == ["receipt", "result"]


def _moved(ring: Ring) -> bytes:
    """A signed file whose header was put into the Document's place under a new root."""
    return b"<Outer>" + wrapped(pain001(pays(2)), ring.bureau) + b"</Outer>"


def _doubled(ring: Ring) -> bytes:
    """The signature a second time, in a payment."""
    payload = wrapped(pain001(pays(2)), ring.bureau)
    start, end = payload.index(b"<Signature "), payload.index(b"</Signature>") + len(b"</Signature>")
    return payload.replace(b"</CdtTrfTxInf>", payload[start:end] + b"</CdtTrfTxInf>", 1)


ISO_LIES: list[tuple[str, Callable[[Ring], bytes]]] = [
    ("unsigned", lambda ring: wrapped(pain001(pays(2)), None)),
    ("stranger", lambda ring: wrapped(pain001(pays(2)), ring.bank)),
    ("amount changed", lambda ring: wrapped(pain001(pays(2)), ring.bureau).replace(b"1000.02", b"9000.02")),
    ("moved", _moved),
    ("doubled", _doubled),
    ("comment", lambda ring: wrapped(pain001(pays(2)), ring.bureau).replace(b"1000.02", b"10<!-- -->00.02")),
]


@pytest.mark.parametrize(("what", "made"), ISO_LIES, ids=[what for what, _ in ISO_LIES])
def test_refuses_a_wrong_signature(send: Sends, ring: Ring, what: str, made: Callable[[Ring], bytes]) -> None:
    """A whole-file refusal that quotes our reference, and nothing booked."""
    said = send("iso20022", made(ring))
    if what == "comment":  # canonical XML drops comments: what was signed is what is read
        assert [item.kind for item in said] == ["receipt", "result"]
        assert b"1000.02" in said[1].payload
        return
    assert [item.kind for item in said] == ["refusal"]
    assert group(said[0].payload) in (("R0001", "RJCT", "DS0B"), ("R0001", "RJCT", "FF01"))


def test_refuses_a_wrong_seal(send: Sends, ring: Ring) -> None:
    """No seal, a stranger's, another file's: refused as a whole with the code for it."""
    payload = standard(pays(2))
    other = standard(pays(3))
    for seal in (None, cms(payload, ring.bank), cms(other, ring.bureau), b"0\x03\x02\x01\x00"):
        (said,) = send("standard_file", payload, seal)
        header = next(records(said.payload))
        assert (said.kind, header[3], header[8], header[12]) == ("refusal", "RCT", "R0001", "2003")


def test_reads_what_is_canonical_without_a_tree(ring: Ring) -> None:
    """The quick way and the slow way read the same bytes."""
    payload = wrapped(pain001(pays(2)), ring.bureau)
    pins = seals.Pins((str(ring.bureau.cert_path),))
    signature = skeleton(payload).find(f".//{{{seals.DS}}}Signature")
    assert signature is not None
    quick = seals.canonical(payload, signature, pins)
    slow = seals.canonical(payload.replace(b"<Nm>", b"<Nm >"), signature, pins)
    assert quick == slow
