"""The bank behind its client program: one port that signs, one that sends; PAYPER and QPAYPER packages in forms.

Own code. Both ports are this bank's one door, told apart by the content type. What comes to be sent must be the attached PKCS#7 that this very
program made, with its own throwaway key: it is verified and opened before anything is read. A file ``no_card`` in the bank's state lets the sign
port fail.

``options`` of the bank: ``id`` of the certificate that an order must name (empty: any).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import gzip
import hashlib
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from lxml import etree

from gateway.core.verdicts import Verdict
from gateway.sandbox.bank import Counterpart
from gateway.sandbox.config import SandboxBank
from gateway.sandbox.conversation import Asked, Said, Word
from gateway.sandbox.orders import Line, Order

SIGN_TYPE = "INFOSEC_SIGN/1.0"
SERVLET = "/servlet/ICBCCMPAPIReqServlet"
WORDS = {
    Verdict.NAME_MISMATCH: "账号户名不符",
    Verdict.ACCOUNT_UNKNOWN: "账号不存在",
    Verdict.CARD_LOST: "账户已挂失",
    Verdict.CARD_REPLACING: "换卡中",
}
_FIELDS = {"Version": "0.0.1.0", "BankCode": "102", "Cert": ""}
_ECHOED = ("iSeqno", "PayAccNo", "PayAccNameCN", "RecAccNo", "RecAccNameCN", "CurrType", "PayAmt", "Ref", "ERPSqn")


class _Wrong(Exception):
    """What a package is answered with: RetCode and RetMsg."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code, self.words = code, words


class Card:
    """The certificate card in the client program."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.y.4400")])
        start = dt.datetime(2015, 1, 1, tzinfo=dt.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + dt.timedelta(days=36_500))
        self._certificate = builder.sign(self._key, hashes.SHA256())

    def sign(self, data: bytes) -> bytes:
        """Attached PKCS#7, DER."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(data).add_signer(self._certificate, self._key, hashes.SHA256())
        return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities])

    def opened(self, der: bytes) -> bytes:
        """What this card has signed. Raises ValueError for everything else."""
        try:
            signed = cms.ContentInfo.load(der)["content"]
            (signer,) = signed["signer_infos"]
            data = bytes(signed["encap_content_info"]["content"].native)
            attributes = signer["signed_attrs"].untag()
            told = next(each["values"][0].native for each in attributes if each["type"].native == "message_digest")
            self._key.public_key().verify(
                signer["signature"].native, attributes.dump(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (ValueError, TypeError, KeyError, AttributeError, StopIteration, InvalidSignature) as error:
            raise ValueError(f"not signed by this card: {error}") from None
        if told != hashlib.sha256(data).digest():
            raise ValueError("another content than was signed")
        return data


class Client:
    """One bank's client program."""

    def __init__(self, config: SandboxBank, bank: Counterpart) -> None:
        self._config, self._bank = config, bank
        self._card = Card()
        self._no_card = Path(config.state) / "no_card"

    def orders(self, asked: Asked) -> bool:
        """Whether it is a package that pays."""
        return b"TransCode=PAYPER&" in asked.body

    def reply(self, asked: Asked) -> Said:
        """Sign, or send."""
        if asked.headers.get("content-type") == SIGN_TYPE:
            return self._sign(asked.body)
        if urlsplit(asked.path).path != SERVLET:
            return Said(b"404", status=404)
        try:
            form = self._form(asked)
            answer = self._pay(form) if form["TransCode"] == "PAYPER" else self._ask(form)
        except (ValueError, KeyError, etree.XMLSyntaxError) as error:
            return Said(f"errorCode={type(error).__name__}".encode(), "text/plain")
        return Said(b"reqData=" + base64.encodebytes(answer.encode("gbk")), "text/xml; charset=GBK")

    def _sign(self, data: bytes) -> Said:
        code, body = (
            ("-1", "没有证书")
            if self._no_card.exists()
            else ("0", f"<sign>{base64.b64encode(self._card.sign(data)).decode()}</sign>")
        )
        text = f"<html><head><title>签名结果</title><result>{code}</result></head><body>{body}</body></html>"
        return Said(text.encode("gbk"), "INFOSEC_SIGN_RESULT/1.0")

    def _form(self, asked: Asked) -> dict[str, str]:
        """The fields of the form, which must agree with the address. Raises ValueError, KeyError."""
        place = {name: values[0] for name, values in parse_qs(urlsplit(asked.path).query).items()}
        form = {
            name: values[0] for name, values in parse_qs(asked.body.decode("ascii"), keep_blank_values=True).items()
        }
        wanted = _FIELDS | {"GroupCIS": self._config.customer, "PackageID": place["PackageID"], "ID": place["userID"]}
        if any(form[name] != text for name, text in wanted.items()) or not re.fullmatch("[0-9]{17}", place["SendTime"]):
            raise ValueError("form and address disagree")
        if self._config.options.get("id", "") not in ("", form["ID"]):
            raise ValueError("another certificate")
        return form

    # ------------------------------------------------------------------------------------------------------------ paying

    def _pay(self, form: dict[str, str]) -> str:
        data = self._card.opened(base64.b64decode(form["reqData"], validate=True))
        if form.get("zipFlag") == "1":
            data = _unzipped(data)
        root = _parsed(data)
        pub = self._pub(root, form)
        try:
            rows = root.findall("eb/in/rd")
            lines = [_line(row, number) for number, row in enumerate(rows, 1)]
            self._book(root, lines)
        except _Wrong as wrong:
            return _package(pub, wrong.code, wrong.words, "")
        details = "".join(_echo(row, Result="0", OrderNo=str(number)) for number, row in enumerate(rows, 1))
        return _package(pub, "0", "", f"<out><OnlBatF>1</OnlBatF><TotalNum>{len(rows)}</TotalNum>{details}</out>")

    def _pub(self, root: etree._Element, form: dict[str, str]) -> dict[str, str]:
        pub = {str(child.tag): child.text or "" for child in root.iterfind("eb/pub/*")}
        same = {
            "TransCode": form["TransCode"],
            "CIS": form["GroupCIS"],
            "ID": form["ID"],
            "fSeqno": form["PackageID"],
            "BankCode": "102",
        }
        if any(pub[name] != text for name, text in same.items()):
            raise ValueError("form and package disagree")
        if not (re.fullmatch("[0-9]{8}", pub["TranDate"]) and re.fullmatch("[0-9]{9}", pub["TranTime"])):
            raise ValueError("no time")
        return pub

    def _book(self, root: etree._Element, lines: list[Line]) -> None:
        """Raises _Wrong."""
        pub = {str(child.tag): child.text or "" for child in root.iterfind("eb/pub/*")}
        head = {str(child.tag): child.text or "" for child in root.iterfind("eb/in/*") if child.tag != "rd"}
        if head.get("SignTime") != pub["TranDate"] + pub["TranTime"]:
            raise _Wrong("B0003", "签名时间错误")
        if (head.get("TotalNum"), head.get("TotalAmt")) != (str(len(lines)), str(sum(line[3] for line in lines))):
            raise _Wrong("B0004", "总笔数或总金额不符")
        accounts = {row.findtext("PayAccNo", "") for row in root.iterfind("eb/in/rd")}
        if len(accounts) != 1:
            raise _Wrong("B0005", "付款账号不符")
        day, time = pub["TranDate"], pub["TranTime"]
        order = Order(
            reference=pub["fSeqno"],
            batch=pub["fSeqno"],
            created=f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:6]}",
            pay_date=f"{day[:4]}-{day[4:6]}-{day[6:]}",
            customer=pub["CIS"],
            debit_account=accounts.pop(),
            count=len(lines),
            minor=sum(line[3] for line in lines),
        )
        refusal = self._bank.hear(order, lines)
        if refusal is not None:
            repeated = refusal.verdict is Verdict.DUPLICATE
            raise _Wrong("B0012" if repeated else "B0009", "指令包序列号为空或重复" if repeated else refusal.text)

    # ------------------------------------------------------------------------------------------------------------ asking

    def _ask(self, form: dict[str, str]) -> str:
        root = _parsed(form["reqData"].encode("gbk"))
        pub = self._pub(root, form)
        original = root.findtext("eb/in/QryfSeqno", "")
        told = self._bank.told(original)
        if told is None:
            return _package(pub, "B0116", "没有符合条件的记录", "")
        head = f"<QryfSeqno>{original}</QryfSeqno><BatRetCode>{'B0008' if told.refused else '0'}</BatRetCode><BatRetMsg>{told.why}</BatRetMsg>"
        return _package(pub, "0", "", f"<out>{head}{''.join(_state(word) for word in told.words)}</out>")


def _state(word: Word) -> str:
    """One payment as it stands now."""
    verdict = word.booked.verdict
    result, code, words = "7", "", ""
    if not word.told:
        result = "9"
    elif verdict is not None:
        result, code, words = (
            "6",
            "9999" if verdict is Verdict.UNKNOWN_CODE else "",
            word.booked.text or WORDS.get(verdict, "交易失败"),
        )
    key = word.booked.reference
    return (
        f"<rd><iSeqno>{word.line}</iSeqno><QryiSeqno>{word.line}</QryiSeqno><QryOrderNo>{word.line}</QryOrderNo>"
        f"<RecAccNo>{word.booked.account}</RecAccNo><RecAccNameCN>{_safe(word.booked.name)}</RecAccNameCN><CurrType>001</CurrType>"
        f"<PayAmt>{word.booked.minor}</PayAmt><Ref>{key}</Ref><ERPSqn>{key}</ERPSqn><iRetCode>0</iRetCode><iRetMsg></iRetMsg>"
        f"<Result>{result}</Result><instrRetCode>{code}</instrRetCode><instrRetMsg>{words}</instrRetMsg></rd>"
    )


def _line(row: etree._Element, number: int) -> Line:
    texts = {str(child.tag): child.text or "" for child in row}
    whole = texts.get("RecAccNo") and texts.get("RecAccNameCN") and texts.get("ERPSqn")
    if (
        texts.get("iSeqno") != str(number)
        or not whole
        or texts.get("CurrType") != "001"
        or texts.get("SysIOFlg") != "1"
    ):
        raise _Wrong("B0006", f"第 {number} 笔错误")
    if not re.fullmatch("[1-9][0-9]{0,14}", texts.get("PayAmt", "")):
        raise _Wrong("B0007", f"第 {number} 笔金额错误")
    return texts["ERPSqn"], texts["RecAccNo"], texts["RecAccNameCN"], int(texts["PayAmt"])


def _echo(row: etree._Element, **more: str) -> str:
    texts = {tag: row.findtext(tag, "") for tag in _ECHOED} | {"iRetCode": "0", "iRetMsg": ""} | more
    return f"<rd>{''.join(f'<{tag}>{_safe(text)}</{tag}>' for tag, text in texts.items())}</rd>"


def _package(pub: dict[str, str], code: str, words: str, out: str) -> str:
    told = pub | {"SerialNo": f"SN{pub['fSeqno']}", "RetCode": code, "RetMsg": words}
    parts = "".join(f"<{tag}>{_safe(text)}</{tag}>" for tag, text in told.items())
    return f'<?xml  version="1.0" encoding="GB2312" ?>\n<CMS><eb><pub>{parts}</pub>{out}</eb></CMS>'


def _unzipped(data: bytes) -> bytes:
    before, _, rest = data.partition(b"<zip>")
    packed, _, after = rest.partition(b"</zip>")
    try:
        return before + gzip.decompress(base64.b64decode(packed, validate=True)) + after
    except (OSError, EOFError, binascii.Error) as error:
        raise ValueError(str(error)) from None


def _parsed(data: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    root = etree.fromstring(data, parser)
    if root.tag != "CMS" or root.getroottree().docinfo.internalDTD is not None:
        raise ValueError("no package")
    return root


def _safe(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


CONVERSATION = Client
