"""CNAPS on the bank's side: 382 in; 990 or 900 as receipt, 383 as result, 900 or 911 as refusal. Own code on lxml, SM2 by ``openssl``.

What it cannot read or has seen before it discards (911), as the clearing centre does; what it may not do it rejects (900, PR09). The format has
no inquiry and no message for money that comes back. ``options``: ``number`` is its clearing number, ``receipt`` ``990`` or ``900``.

Sources: the element trees and signed strings named in adapters/cnaps2/README.md.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lxml import etree

from gateway.core.verdicts import Verdict
from gateway.sandbox.cmb_cloud_crypto import Sm2, stranger
from gateway.sandbox.config import SandboxBank
from gateway.sandbox.orders import Answer, Booked, FileRefused, Kind, Line, Order, Twist
from gateway.sandbox.seals import SealWrong

NUMBER = "999584000017"
#: The standard's signer id (GM/T 0009), since nothing else is public.
SIGNER_ID = "1234567812345678"
UNKNOWN_ORIGINAL = "NEVERSENT"
PORTION = 1_000
HEADER_BYTES = 132
#: Ours alone: the centre's codes for a discard are not public.
DISCARDED = "SANDBOX1"

_NAMESPACE = "urn:cnaps:std:beps:2010:tech:xsd:beps.382.001.01"
_REFERENCE = re.compile(rb"<MsgId>([A-Za-z0-9]{1,35})</MsgId>")
#: What is signed of a 382: of the message, of a detail. ``*`` marks an amount.
_GROUP = "MsgId CreDtTm InstgPty/InstgDrctPty InstgPty/InstgPty InstdPty/InstdDrctPty InstdPty/InstdPty SysCd Rmk"
_BODY = (
    "BtchNb RtrLtd EndToEndId ChckFlg Dbtr/Nm DbtrAcct/Id/Othr/Id DbtrAgt/FIId/ClrSysMmbId/MmbId DbtrAgt/BrnchId/Id "
    "CdtrAgt/FIId/ClrSysMmbId/MmbId TtlAmt* PmtTpInf/CtgyPurp/Prtry CdtrNb"
)
_DETAIL = "Purp/Prtry TxId BrnchId Cdtr/Nm CdtrAcct/Id/Othr/Id Amt*"

#: How it says why a payment failed: code, words. No code exists for a lost or replaced card.
LINE_WORDS: dict[Verdict, tuple[str, str]] = {
    Verdict.ACCOUNT_UNKNOWN: ("RJ01", "账号不存在"),
    Verdict.NAME_MISMATCH: ("RJ02", "账号、户名不符"),
    Verdict.FUNDS: ("RJ03", "余额不足"),
    Verdict.AMOUNT_LIMIT: ("RJ04", "当日累计超额"),
    Verdict.NO_REASON: ("RJ05", ""),
    Verdict.NOT_ALLOWED: ("RJ07", "超过协议授权"),
    Verdict.ACCOUNT_TYPE: ("RJ08", "账户类型非法"),
    Verdict.CARD_LOST: ("RJ90", "卡已挂失"),
    Verdict.CARD_REPLACING: ("RJ90", "换卡中"),
    Verdict.ACCOUNT_CLOSED: ("RJ90", "账户已销户"),
    Verdict.ACCOUNT_BLOCKED: ("RJ90", "账户冻结"),
    Verdict.ACCOUNT_DORMANT: ("RJ90", "长期不动户"),
    Verdict.DECEASED: ("RJ90", "持卡人已死亡"),
    Verdict.DUPLICATE: ("RJ90", "明细标识号重复"),
    Verdict.TIMEOUT: ("RJ90", "处理超时"),
    Verdict.UNKNOWN_CODE: ("RJ77", "其他"),
}
#: Refusals of a whole message that the receiving bank gives by its own code; every other one is a discard.
WHOLE_CODES = {Verdict.FUNDS: "RJ03", Verdict.NOT_ALLOWED: "RJ07", Verdict.NO_REASON: "RJ90"}


class Batch:
    """An opened 382."""

    def __init__(self, root: etree._Element) -> None:
        self._group, self._inner = _one(root, "GrpHdr"), _one(root, "BtchPmtByAgcyInf")
        self._details = self._inner.findall(f"{{{_NAMESPACE}}}CdtrDtls")
        self._lines: list[Line] = [
            (
                _text(detail, "TxId"),
                _text(detail, "CdtrAcct/Id/Othr/Id"),
                _text(detail, "Cdtr/Nm"),
                _fen(_one(detail, "Amt")),
            )
            for detail in self._details
        ]
        self.head = Order(
            reference=_text(self._group, "MsgId"),
            batch=_text(self._inner, "BtchNb"),
            created=_text(self._group, "CreDtTm"),
            pay_date=_text(self._group, "CreDtTm")[:10],
            customer=_text(self._group, "InstgPty/InstgPty"),
            debit_account=_text(self._inner, "DbtrAcct/Id/Othr/Id"),
            count=int(_text(self._inner, "CdtrNb")),
            minor=_fen(_one(self._inner, "TtlAmt")),
        )

    def signed(self) -> bytes:
        """The string of chosen values."""
        parts = [*_values(self._group, _GROUP), *_values(self._inner, _BODY)]
        for detail in self._details:
            parts += _values(detail, _DETAIL)
        return "".join(f"{part}|" for part in parts).encode()

    def lines(self) -> Iterator[list[Line]]:
        """The details, a thousand at a time."""
        for start in range(0, len(self._lines), PORTION):
            yield self._lines[start : start + PORTION]


class Cnaps2Side:
    """One bank's CNAPS."""

    detached = False
    other_content = ""

    def __init__(self, config: SandboxBank) -> None:
        self._code, self._customer = config.code, config.customer
        self._number, self._receipt = config.options.get("number", NUMBER), config.options.get("receipt", "990")
        self._folder = Path(config.state)
        self._folder.mkdir(parents=True, exist_ok=True)
        keys = config.keys
        self._sm2 = Sm2(Path(keys.sign_key), keys.bureau, self._folder) if keys else None

    # ------------------------------------------------------------------------------------------------------------ taking

    def open(self, payload: bytes, seal: bytes | None) -> Batch:
        """Read the envelope, verify the signature over the chosen values, then give the details. Raises FileRefused."""
        del seal
        reference = guess(payload)
        try:
            batch = self._opened(payload)
        except (ValueError, etree.XMLSyntaxError, UnicodeDecodeError) as error:
            raise FileRefused(Verdict.FORMAT_REFUSED, str(error), reference=reference) from None
        except SealWrong as error:
            raise FileRefused(Verdict.SEAL_REFUSED, str(error), reference=reference) from None
        return batch

    def _opened(self, payload: bytes) -> Batch:
        head = payload[:HEADER_BYTES].decode("ascii")
        if not (head.startswith("{H:02") and head.endswith("}\r\n") and head[55:58] == "XML"):
            raise ValueError("no header of 132 bytes")
        rest, slot = payload[HEADER_BYTES:], b""
        if rest.startswith(b"{S:"):
            slot, _, rest = rest[3:].partition(b"}\r\n")
        root = etree.fromstring(rest, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
        if root.tag != f"{{{_NAMESPACE}}}Document" or head[58:78].rstrip() != "beps.382.001.01":
            raise ValueError("no beps.382.001.01")
        batch = Batch(_one(root, "BtchPmtByAgcy"))
        if head[78:98].rstrip() != batch.head.reference:
            raise ValueError("the envelope and the message name different ids")
        if self._sm2 is not None:
            try:
                signature = base64.b64decode(b"".join(slot.split()), validate=True)
            except binascii.Error:
                raise SealWrong("the signature is no base64") from None
            self._sm2.verify_der(signature, batch.signed(), SIGNER_ID)
        return batch

    # ------------------------------------------------------------------------------------------------------------ answering

    def name(self, answer: Answer, order: Order | None) -> str:
        """``<message>_<customer>_<number>.txt``."""
        return f"{self._message(answer)[:8]}_{self._customer}_{answer.id:08d}.txt"

    def write(
        self, answer: Answer, order: Order | None, rows: Iterable[Booked], twist: Twist
    ) -> tuple[bytes, bytes | None]:
        """The message in its envelope; 911 and 990 have no signature."""
        message, reference = self._message(answer), f"{self._code}{answer.id:010d}"
        original = UNKNOWN_ORIGINAL if twist.unknown_original else (order.reference if order else answer.reference)
        tree = _Tree(message)
        signed: bytes | None = None
        if message.startswith("beps.383") and order is not None:
            signed = self._result(tree, answer, order, rows, twist, reference, original)
        elif message.startswith("ccms.900"):
            signed = self._confirmation(tree, answer, reference, original)
        else:
            self._unsigned(tree, answer, message, original)
        slot = b""
        if signed is not None and self._sm2 is not None and twist.seal != "none":
            sealer = Sm2(stranger(self._folder), (), self._folder) if twist.seal == "foreign" else self._sm2
            value = base64.b64encode(sealer.sign_der(signed, SIGNER_ID))
            slot = b"{S:" + value[:64] + b"\r\n" + value[64:] + b"}\r\n"  # folded, as some senders do
        return self._envelope(answer, message, reference) + slot + tree.bytes(), None

    def _message(self, answer: Answer) -> str:
        if answer.kind is Kind.RECEIPT:
            return f"ccms.{self._receipt}.001.02"
        if answer.kind is Kind.REFUSAL:
            return "ccms.900.001.02" if answer.verdict in WHOLE_CODES else "ccms.911.001.02"
        if answer.kind in (Kind.RETURN, Kind.ANSWER):
            raise ValueError(f"CNAPS as it is public has no message for a {answer.kind}")
        return "beps.383.001.01"

    def _result(
        self,
        tree: _Tree,
        answer: Answer,
        order: Order,
        rows: Iterable[Booked],
        twist: Twist,
        reference: str,
        original: str,
    ) -> bytes:
        rows = list(rows)
        paid = [row for row in rows if row.verdict is None]
        tree.open("BtchPmtByAgcyRspn")
        self._group(tree, answer, reference)
        tree.branch(
            "OrgnlMsgInf",
            OrgnlMsgId=original,
            OrgnlInstgPty=order.customer,
            OrgnlBtchNb=order.batch,
            OrgnlTtlAmt=order.minor + (1 if twist.wrong_totals else 0),
            OrgnlTtlNb=str(order.count),
        )
        tree.open("BtchPmtByAgcyRspnInf")
        tree.leaf("SndgTtlAmt", sum(row.minor for row in paid))
        tree.leaf("SndgTtlNb", str(len(paid)))
        tree.at("DbtrAgt/BrnchId/Id", self._number)
        tree.at("Dbtr/Nm", "社会保险基金管理局")
        tree.at("DbtrAcct/Id/Othr/Id", order.debit_account)
        for row in rows:
            self._detail(tree, row, pending=answer.kind is Kind.PENDING)
        tree.close("BtchPmtByAgcyRspnInf")
        tree.close("BtchPmtByAgcyRspn")
        return tree.signed()

    def _detail(self, tree: _Tree, row: Booked, *, pending: bool) -> None:
        tree.open("SndgDtls")
        tree.open("RspnInf")
        if row.verdict is None or pending:
            tree.leaf("Sts", "PR89" if pending else "PR02")
        else:
            code, words = LINE_WORDS.get(row.verdict, ("RJ90", ""))
            words = (row.text or words) + (f" 新账号{row.new_account}" if row.new_account else "")
            tree.leaf("Sts", "PR09")
            tree.leaf("RjctCd", code)
            if words:
                tree.leaf("RjctInf", words[:105], signed=False)
        tree.close("RspnInf")
        tree.leaf("TxId", row.reference)
        tree.at("Cdtr/Nm", row.bank_name or row.name)
        tree.at("CdtrAcct/Id/Othr/Id", row.account)
        tree.leaf("BrnchId", self._number)
        tree.leaf("Amt", row.minor)
        tree.close("SndgDtls")

    def _confirmation(self, tree: _Tree, answer: Answer, reference: str, original: str) -> bytes:
        tree.open("CmonConf")
        self._group(tree, answer, reference)
        tree.branch("OrgnlGrpHdr", OrgnlMsgId=original, OrgnlInstgPty=self._customer[:14], OrgnlMT="beps.382.001.01")
        tree.open("CmonConfInf")
        code = WHOLE_CODES[answer.verdict] if answer.kind is Kind.REFUSAL and answer.verdict else ""
        tree.leaf("PrcSts", "PR09" if code else "PR10")
        if code:
            tree.leaf("PtyPrcCd", code)
            if answer.text:
                tree.leaf("RjctInf", answer.text[:105], signed=False)
        else:
            tree.leaf("PrcCd", "CB1I0000")
        tree.close("CmonConfInf")
        tree.close("CmonConf")
        return tree.signed()

    def _unsigned(self, tree: _Tree, answer: Answer, message: str, original: str) -> None:
        discarded = message.startswith("ccms.911")
        outer, inner = ("DscrdMsgNtfctn", "DscrdInf") if discarded else ("ComConf", "ConfInf")
        tree.open(outer)
        tree.open(inner)
        day = answer.created[:10].replace("-", "")
        told = {
            "OrigSndr": self._customer[:14],
            "OrigSndDt": day,
            "MT": "beps.382.001.01",
            "MsgId": (original or UNKNOWN_ORIGINAL)[:20],
        }
        for name, text in told.items():
            tree.leaf(name, text)
        if discarded:
            tree.leaf("PrcCd", DISCARDED)
            words = "报文标识号重复" if answer.verdict is Verdict.DUPLICATE else answer.text
            if words:
                tree.leaf("RjctInf", words[:105])
        else:
            tree.leaf("MsgPrcCd", "PM1I0000")
        tree.close(inner)
        tree.close(outer)

    def _group(self, tree: _Tree, answer: Answer, reference: str) -> None:
        tree.open("GrpHdr")
        tree.leaf("MsgId", reference)
        tree.leaf("CreDtTm", answer.created)
        tree.branch("InstgPty", InstgDrctPty=self._number, InstgPty=self._number)
        tree.branch("InstdPty", InstdDrctPty=self._customer[:14], InstdPty=self._customer[:14])
        tree.leaf("SysCd", "BEPS")
        tree.close("GrpHdr")

    def _envelope(self, answer: Answer, message: str, reference: str) -> bytes:
        stamp = answer.created.translate({ord(sign): None for sign in "-:T"})
        system = "BEPS" if message.startswith("beps") else "CCMS"
        head = f"{{H:02{self._number:<14}{system}{self._customer[:14]:<14}{system}{stamp}XML{message:<20}{reference:<20}{'':<20}3D"
        return f"{head:<129}}}\r\n".encode("ascii")


class _Tree:
    """A message being written, with the values that are signed gathered on the way."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._parts: list[str] = []
        self._signed: list[str] = []

    def open(self, name: str) -> None:
        self._parts.append(f"<{name}>")

    def close(self, name: str) -> None:
        self._parts.append(f"</{name}>")

    def leaf(self, name: str, value: str | int, *, signed: bool = True) -> None:
        """A text, or an amount in fen."""
        if isinstance(value, int):
            value = f"{value // 100}.{value % 100:02d}"
            self._parts.append(f'<{name} Ccy="CNY">{value}</{name}>')
            value = f"CNY{value}"
        else:
            text = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            self._parts.append(f"<{name}>{text}</{name}>")
        if signed:
            self._signed.append(f"{value}|")

    def at(self, path: str, text: str) -> None:
        """One leaf alone in its branches."""
        *branches, leaf = path.split("/")
        for name in branches:
            self.open(name)
        self.leaf(leaf, text)
        for name in reversed(branches):
            self.close(name)

    def branch(self, name: str, **leaves: str | int) -> None:
        """A branch of leaves."""
        self.open(name)
        for leaf, value in leaves.items():
            self.leaf(leaf, value)
        self.close(name)

    def signed(self) -> bytes:
        return "".join(self._signed).encode()

    def bytes(self) -> bytes:
        family = self._message[:4]
        space = f"urn:cnaps:std:{family}:2010:tech:xsd:{self._message}"
        body = "".join(self._parts)
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{space}">{body}</Document>'.encode()


def guess(payload: bytes) -> str:
    """The reference of a message that cannot be trusted or read, for the refusal only."""
    found = _REFERENCE.search(payload)
    return found[1].decode() if found else ""


def _one(parent: etree._Element, path: str) -> etree._Element:
    found = parent.findall("/".join(f"{{{_NAMESPACE}}}{step}" for step in path.split("/")))
    if len(found) != 1:
        raise ValueError(f"{path} is not there exactly once")
    return found[0]


def _text(parent: etree._Element, path: str) -> str:
    text = _one(parent, path).text
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def _values(parent: etree._Element, paths: str) -> Iterator[str]:
    for path in paths.split():
        found = parent.findall("/".join(f"{{{_NAMESPACE}}}{step}" for step in path.rstrip("*").split("/")))
        for element in found:
            fen = _fen(element) if path.endswith("*") else 0
            yield f"CNY{fen // 100}.{fen % 100:02d}" if path.endswith("*") else element.text or ""


def _fen(element: etree._Element) -> int:
    whole, _, fraction = (element.text or "").partition(".")
    if element.get("Ccy") != "CNY" or not re.fullmatch("[0-9]{1,16}", whole) or not re.fullmatch("[0-9]{2}", fraction):
        raise ValueError(f"{element.text!r} is no amount of CNY with two decimals")
    return int(whole) * 100 + int(fraction)


SIDE = Cnaps2Side
