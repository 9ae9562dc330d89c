"""The bureau as the sandbox banks' tests play it: keys, sealed payment files by plain string building, and a reader of answers.

Nothing of the gateway's adapters, codec or edge is used: what is tested here is the bank alone.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from lxml import etree

from gateway.sandbox.runner import Keys, Running

T = TypeVar("T")
CUSTOMER = "C440600001"
DEBIT = "9900000000000018"
PAIN_001 = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
PAIN_002 = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"
CAMT_054 = "urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"
HEAD = "urn:iso:std:iso:20022:tech:xsd:head.001.001.02"
WRAPPER = "urn:sheyin:xsd:business-message:1"
DS = "http://www.w3.org/2000/09/xmldsig#"
N = {"p": PAIN_002, "c": CAMT_054, "h": HEAD, "ds": DS}
WAIT_S = 20.0


class Pay(NamedTuple):
    """One payment; ``minor`` in fen."""

    reference: str
    account: str
    name: str = "张三"
    minor: int = 184_000


def pays(count: int, first: int = 1) -> list[Pay]:
    """So many payments to different accounts."""
    return [Pay(str(n), f"990001{n:013d}", f"张{n % 97}·三", 100_000 + n) for n in range(first, first + count)]


class Pair(NamedTuple):
    """A private key and its self-signed certificate, as files and as objects."""

    key_path: Path
    cert_path: Path
    key: rsa.RSAPrivateKey
    cert: x509.Certificate


def pair(folder: Path, name: str) -> Pair:
    """Make one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=1))
    cert = builder.not_valid_after(now + dt.timedelta(days=30)).sign(key, hashes.SHA256())
    key_path, cert_path = folder / f"{name}.key.pem", folder / f"{name}.pem"
    none = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, none))
    cert_path.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    return Pair(key_path, cert_path, key, cert)


class Ring(NamedTuple):
    """The bureau's and a bank's keys, and one of a stranger."""

    bureau: Pair
    bank: Pair
    stranger: Pair

    def keys(self) -> Keys:
        """As a bank's configuration names them."""
        return Keys(
            sign_key=str(self.bank.key_path),
            certificate=str(self.bank.cert_path),
            bureau=(str(self.stranger.cert_path), str(self.bureau.cert_path)),
        )


# ------------------------------------------------------------------------------------------------------- ISO 20022


def pain001(payments: list[Pay], reference: str = "R0001", *, customer: str = CUSTOMER, debit: str = DEBIT) -> bytes:
    """A pain.001.001.09 ``Document``, canonical."""
    rows = "".join(
        f"<CdtTrfTxInf><PmtId><EndToEndId>{pay.reference}</EndToEndId></PmtId>"
        f'<Amt><InstdAmt Ccy="CNY">{pay.minor // 100}.{pay.minor % 100:02d}</InstdAmt></Amt>'
        f"<Cdtr><Nm>{pay.name}</Nm></Cdtr><CdtrAcct><Id><Othr><Id>{pay.account}</Id></Othr></Id></CdtrAcct></CdtTrfTxInf>"
        for pay in payments
    )
    minor = sum(pay.minor for pay in payments)
    totals = f"<NbOfTxs>{len(payments)}</NbOfTxs><CtrlSum>{minor // 100}.{minor % 100:02d}</CtrlSum>"
    return (
        f'<Document xmlns="{PAIN_001}"><CstmrCdtTrfInitn><GrpHdr><MsgId>{reference}</MsgId>'
        f"<CreDtTm>2015-06-10T09:00:00+08:00</CreDtTm>{totals}"
        f"<InitgPty><Nm>社保局</Nm><Id><OrgId><Othr><Id>{customer}</Id></Othr></OrgId></Id></InitgPty></GrpHdr>"
        f"<PmtInf><PmtInfId>B{reference}</PmtInfId><PmtMtd>TRF</PmtMtd>{totals}<ReqdExctnDt><Dt>2015-06-15</Dt></ReqdExctnDt>"
        f"<Dbtr><Nm>社保局</Nm></Dbtr><DbtrAcct><Id><Othr><Id>{debit}</Id></Othr></Id></DbtrAcct><DbtrAgt><FinInstnId>"
        f"<ClrSysMmbId><MmbId>990588000001</MmbId></ClrSysMmbId></FinInstnId></DbtrAgt>{rows}</PmtInf></CstmrCdtTrfInitn></Document>"
    ).encode()


def wrapped(document: bytes, signer: Pair | None, *, reference: str = "R0001") -> bytes:
    """The Document in its wrapper, with a signed business header."""
    before = (
        f'<BusinessMessage xmlns="{WRAPPER}"><AppHdr xmlns="{HEAD}">'
        f"<Fr><OrgId><Id><OrgId><Othr><Id>{CUSTOMER}</Id></Othr></OrgId></Id></OrgId></Fr>"
        "<To><FIId><FinInstnId><Othr><Id>BANKA</Id></Othr></FinInstnId></FIId></To>"
        f"<BizMsgIdr>{reference}</BizMsgIdr><MsgDefIdr>pain.001.001.09</MsgDefIdr><CreDt>2015-06-10T09:00:00+08:00</CreDt><Sgntr>"
    ).encode()
    after = b"</Sgntr></AppHdr>" + document + b"</BusinessMessage>"
    return before + (_xmldsig(before + after, signer) if signer else b"") + after


def _xmldsig(canonical: bytes, signer: Pair) -> bytes:
    digest = base64.b64encode(hashlib.sha256(canonical).digest()).decode()
    exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
    info = (
        f'<CanonicalizationMethod Algorithm="{exclusive}"></CanonicalizationMethod>'
        '<SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></SignatureMethod><Reference URI="">'
        f'<Transforms><Transform Algorithm="{DS}enveloped-signature"></Transform><Transform Algorithm="{exclusive}"></Transform>'
        '</Transforms><DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></DigestMethod>'
        f"<DigestValue>{digest}</DigestValue></Reference></SignedInfo>"
    )
    signed = signer.key.sign(f'<SignedInfo xmlns="{DS}">{info}'.encode(), padding.PKCS1v15(), hashes.SHA256())
    value = base64.b64encode(signed).decode()
    return f'<Signature xmlns="{DS}"><SignedInfo>{info}<SignatureValue>{value}</SignatureValue></Signature>'.encode()


# --------------------------------------------------------------------------------------------------- standard file


def standard(payments: list[Pay], reference: str = "R0001", *, customer: str = CUSTOMER, debit: str = DEBIT) -> bytes:
    """A standard payment file."""
    minor = sum(pay.minor for pay in payments)
    head = f"H|SHEYIN|1|PAY|{reference}|20150610090000|{customer}|BANKB|||||||1|1|CNY|{len(payments)}|{minor}\n"
    batch = f"B|B{reference}|1|20150615|pension|pension|{debit}|社保局\n"
    rows = "".join(
        f"D|{line}|{pay.reference}|{pay.name}|{pay.account}|{pay.minor}||||\n"
        for line, pay in enumerate(payments, start=1)
    )
    return ended(head + batch + rows, len(payments), minor)


def inquiry(original: str, lines: tuple[int, ...] = (), reference: str = "Q0001") -> bytes:
    """A standard inquiry."""
    head = f"H|SHEYIN|1|INQ|{reference}|20150611090000|{CUSTOMER}|BANKB|{original}|PAY|||||1|1|CNY|{len(lines)}|0\n"
    return ended(head + "".join(f"Q|{line}\n" for line in lines), len(lines), 0)


def ended(text: str, count: int, minor: int) -> bytes:
    """Any standard file with its trailer."""
    body = text.encode("gb18030")
    return body + f"T|{count}|{minor}|{hashlib.sha256(body).hexdigest()}\n".encode()


def cms(payload: bytes, signer: Pair) -> bytes:
    """Detached CMS over a file."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(payload).add_signer(signer.cert, signer.key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities]
    return builder.sign(serialization.Encoding.DER, options)


# ------------------------------------------------------------------------------------------------------ the folder


class Folder(NamedTuple):
    """A bank's directory as the bureau sees it."""

    path: Path

    def put(self, name: str, payload: bytes, seal: bytes | None = None) -> None:
        """Lay a file down under a temporary name, its seal first, then rename."""
        if seal is not None:
            (self.path / "in" / f"{name}.p7s").write_bytes(seal)
        temporary = self.path / "in" / f"{name}.tmp"
        temporary.write_bytes(payload)
        temporary.rename(self.path / "in" / name)

    def names(self) -> list[str]:
        """What the bank has laid out, in the order of its writing, seals left out."""
        found = [entry for entry in (self.path / "out").iterdir() if entry.is_file()]
        found = [entry for entry in found if not entry.name.endswith((".tmp", ".p7s"))]
        return [entry.name for entry in sorted(found, key=lambda entry: (entry.stat().st_mtime_ns, entry.name))]

    def wait(self, count: int) -> list[str]:
        """The names once there are so many; fails if they do not come."""
        return until(lambda: names if len(names := self.names()) >= count else None)

    def read(self, name: str) -> bytes:
        """One answer's bytes."""
        return (self.path / "out" / name).read_bytes()

    def take(self, name: str) -> bytes:
        """One answer's bytes; it is put aside, with its seal."""
        data = self.read(name)
        for each in (name, f"{name}.p7s"):
            if (self.path / "out" / each).exists():
                (self.path / "out" / each).rename(self.path / "out" / "done" / each)
        return data


def until(probe: Callable[[], T | None], wait_s: float = WAIT_S) -> T:
    """The probe's first answer that is not None; fails when it takes too long."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        if (found := probe()) is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come in time")


def booked(running: Running, code: str, count: int = 1) -> None:
    """Wait until the bank has entered so many files."""
    until(lambda: True if len(running.books(code)["documents"]) >= count else None)


# --------------------------------------------------------------------------------------------------- what they say


class Told(NamedTuple):
    """One line of an answer: reference, status word or code, reason code, fen."""

    reference: str
    status: str
    code: str
    minor: int


def told_iso(payload: bytes) -> list[Told]:
    """The lines of a pain.002."""
    return [
        Told(
            row.findtext("p:OrgnlEndToEndId", "", N),
            row.findtext("p:TxSts", "", N),
            row.findtext("p:StsRsnInf/p:Rsn/*", "", N),
            int(row.findtext("p:OrgnlTxRef/p:Amt/p:InstdAmt", "", N).replace(".", "")),
        )
        for row in etree.fromstring(payload).iterfind(".//p:TxInfAndSts", N)
    ]


def group(payload: bytes) -> tuple[str, str, str]:
    """Original reference, group status and its reason code of a pain.002."""
    found = etree.fromstring(payload).find(".//p:OrgnlGrpInfAndSts", N)
    assert found is not None
    return tuple(found.findtext(path, "", N) for path in ("p:OrgnlMsgId", "p:GrpSts", "p:StsRsnInf/p:Rsn/*"))  # type: ignore[return-value]  # three paths, three words


def records(payload: bytes) -> Iterator[list[str]]:
    """The records of a standard file."""
    for record in payload.decode("gb18030").splitlines():
        yield record.split("|")


def told_standard(payload: bytes) -> list[Told]:
    """The lines of a standard result, return or answer."""
    return [Told(row[2], row[4], row[4], int(row[3])) for row in records(payload) if row[0] in ("R", "N")]
