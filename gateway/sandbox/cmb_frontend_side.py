"""The bank behind a front-end machine: CMBSDKPGK messages over HTTP, batches in parts under one number, states, payments and returns when asked.

Own code on lxml, after the published components. What comes in parts is kept in ``receiving.json`` of the bank's state, so that a bank that is
killed goes on receiving; whole batches go into the books. A file ``logged_out`` there lets every call fail with -4.

``options`` of the bank: ``busmod`` and ``bbknbr`` that an order must name (empty: any), ``page`` how many payments an answer lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from lxml import etree

from gateway.core.verdicts import Verdict
from gateway.sandbox.bank import Counterpart
from gateway.sandbox.config import SandboxBank
from gateway.sandbox.conversation import Asked, Said, Word
from gateway.sandbox.orders import Line, Order

PER_MESSAGE = 3_000
PAGE = 1_000
NAME_BYTES_MAX, TEXT_BYTES_MAX = 62, 42
#: Codes that are public; for any other failure E stands alone with its words.
LINE_CODES = {
    Verdict.NAME_MISMATCH: ("CMB1003", "客户名失配"),
    Verdict.ACCOUNT_UNKNOWN: ("CSAB051", "户口不存在"),
    Verdict.DUPLICATE: ("NCB4241", "业务参考号重复"),
    Verdict.UNKNOWN_CODE: ("XYZ9999", "其他"),
}
LINE_WORDS = {Verdict.CARD_LOST: "挂失", Verdict.CARD_REPLACING: "换卡中", Verdict.ACCOUNT_CLOSED: "已销户"}
RETURN_CODES = {Verdict.NAME_MISMATCH: ("002", "账号、户名不符")}
REPEATED = "NCB4241 -业务参考号重复"
_DAY = re.compile("(20[0-9]{6})[0-9]{5}$")
_AMOUNT = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,2}))?")


class Batch(msgspec.Struct):
    """A batch under its number; its payments only until the last part is there."""

    reference: str
    count: int
    minor: int
    account: str
    lines: list[Line] = []
    whole: bool = False


class _Wrong(Exception):
    """What the call fails with: RETCOD and ERRMSG."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code, self.words = code, words


class FrontEnd:
    """One bank's front-end machine."""

    def __init__(self, config: SandboxBank, bank: Counterpart) -> None:
        self._config, self._bank = config, bank
        self._folder = Path(config.state)
        self._file = self._folder / "receiving.json"
        self._page = int(config.options.get("page", PAGE))
        kept = self._file.read_bytes() if self._file.exists() else b"{}"
        self._batches = msgspec.json.decode(kept, type=dict[str, Batch])

    def orders(self, asked: Asked) -> bool:
        """Whether it is a part of a batch."""
        return b"<FUNNAM>NTAGCAPY</FUNNAM>" in asked.body

    def reply(self, asked: Asked) -> Said:
        """One message, one answer."""
        function = ""
        try:
            root = _parsed(asked.body)
            function = root.findtext("INFO/FUNNAM", "")
            self._check_login(root)
            answer = {
                "NTAGCAPY": self._take,
                "NTAGCINY": self._state,
                "NTAGDINF": self._payments,
                "NTAGDRFD": self._returns,
            }.get(function)
            if answer is None:
                raise _Wrong("-3", "函数名不存在")
            body, code, words = answer(root), "0", ""
        except _Wrong as wrong:
            body, code, words = "", wrong.code, wrong.words
        info = _element("INFO", DATTYP="2", ERRMSG=words, FUNNAM=function, LGNNAM=self._config.customer, RETCOD=code)
        text = f'<?xml version="1.0" encoding="GBK"?><CMBSDKPGK>{info}{body}</CMBSDKPGK>'
        return Said(text.encode("gbk"), "text/xml; charset=GBK")

    def _check_login(self, root: etree._Element) -> None:
        if (self._folder / "logged_out").exists() or root.findtext("INFO/LGNNAM") != self._config.customer:
            raise _Wrong("-4", "尚未登录系统")

    # ------------------------------------------------------------------------------------------------------------ parts

    def _take(self, root: etree._Element) -> str:
        """A part: checked, kept, and booked with the whole batch once it is the last."""
        head = root.find("NTAGCAGCX1")
        if head is None:
            raise _Wrong("-3", "缺少概要")
        for tag, wanted, found in (
            ("BUSMOD", self._config.options.get("busmod", ""), root.findtext("NTBUSMODY/BUSMOD", "")),
            ("BBKNBR", self._config.options.get("bbknbr", ""), head.findtext("BBKNBR", "")),
        ):
            if wanted not in ("", found):
                raise _Wrong("-2", f"{tag} 无权限")
        number, batch = self._opened(head)
        lines = _lines(root, len(batch.lines))
        told = (_count(head, "CURCNT"), _fen(head.findtext("CURAMT", "")))
        if told != (len(lines), sum(line[3] for line in lines)) or not 0 < len(lines) <= PER_MESSAGE:
            raise _Wrong("-3", "本次笔数或金额不符")
        batch.lines += lines
        last = head.findtext("ENDTAG") == "Y"
        if last and (batch.count, batch.minor) != (len(batch.lines), sum(line[3] for line in batch.lines)):
            raise _Wrong("-3", "总笔数或总金额不符")
        self._batches[number] = batch
        if last:
            self._book(number, batch)
        self._keep()
        return _element("NTAGCAGCZ1", REQNBR=number, REQSTA="BNK" if last else "OPR")

    def _opened(self, head: etree._Element) -> tuple[str, Batch]:
        """A copy of the batch that the part belongs to."""
        given, reference = head.findtext("REQNBR", ""), head.findtext("YURREF", "")
        if head.findtext("BEGTAG") == "Y":
            known = any(batch.reference == reference for batch in self._batches.values())
            if given or not re.fullmatch("[0-9A-Z]{1,30}", reference):
                raise _Wrong("-3", "业务参考号或流程实例号格式错误")
            if known or self._bank.told(reference) is not None:
                raise _Wrong("-2", REPEATED)
            number = f"{len(self._batches) + 1:010d}"
            totals = (_count(head, "TTLCNT"), _fen(head.findtext("TTLAMT", "")))
            return number, Batch(reference, *totals, head.findtext("ACCNBR", ""))
        batch = self._batches.get(given)
        if batch is None or batch.whole or batch.reference != reference:
            raise _Wrong("-2", "流程实例号不符")
        return given, msgspec.structs.replace(batch, lines=list(batch.lines))

    def _book(self, number: str, batch: Batch) -> None:
        day = _day(batch.reference)
        order = Order(
            reference=batch.reference,
            batch=number,
            created=f"{day[:4]}-{day[4:6]}-{day[6:]}T09:00:00",
            pay_date=f"{day[:4]}-{day[4:6]}-{day[6:]}",
            customer=self._config.customer,
            debit_account=batch.account,
            count=batch.count,
            minor=batch.minor,
        )
        refusal = self._bank.hear(order, batch.lines)
        if refusal is not None:
            raise _Wrong("-2", REPEATED if refusal.verdict is Verdict.DUPLICATE else refusal.text)
        batch.lines, batch.whole = [], True

    def _keep(self) -> None:
        self._file.write_bytes(msgspec.json.encode(self._batches))

    # ------------------------------------------------------------------------------------------------------------ questions

    def _state(self, root: etree._Element) -> str:
        """NTAGCINY: the batch under one reference of the customer's."""
        question = root.find("NTAGCINYX1")
        if question is None or question.findtext("BUSCOD") != "N03020":
            raise _Wrong("-3", "业务类型错误")
        begin, end = question.findtext("BGNDAT", ""), question.findtext("ENDDAT", "")
        if not (re.fullmatch("[0-9]{8}", begin) and re.fullmatch("[0-9]{8}", end) and begin <= end):
            raise _Wrong("-3", "日期错误")
        reference = question.findtext("YURREF", "")
        if not begin <= _day(reference) <= end:
            return ""
        found = ((number, batch) for number, batch in self._batches.items() if batch.reference == reference)
        return "".join(self._batch(number, batch) for number, batch in found)

    def _batch(self, number: str, batch: Batch) -> str:
        told = self._bank.told(batch.reference) if batch.whole else None
        if batch.whole and told is None:
            return ""  # lost on purpose
        paid = [word.booked.minor for word in told.words if word.booked.verdict is None] if told else []
        state, flag, words = "OPR", "", ""
        if told is not None:
            finished = bool(told.refused) or all(word.told for word in told.words)
            state, flag = ("FIN", "S") if finished else ("BNK", "")
            if told.refused:
                flag, words = "R", told.why
            elif finished and not paid:
                flag, words = "F", "无一笔成功入账"
        return _element(
            "NTAGCINQZ",
            REQNBR=number,
            BUSCOD="N03020",
            OPRDAT=_day(batch.reference),
            REQSTA=state,
            RTNFLG=flag,
            ACCNBR=batch.account,
            TRSNUM=f"{batch.count:06d}",
            TOTAMT=_yuan(batch.minor),
            CCYNBR="10",
            SUCNUM=f"{len(paid):06d}",
            SUCAMT=_yuan(sum(paid)),
            YURREF=batch.reference,
            ERRDSP=words,
        )

    def _payments(self, root: etree._Element) -> str:
        """NTAGDINF: the payments of a batch from a place on; what is still being received has no state."""
        question = root.find("NTAGDINFY1")
        batch = self._batches.get(question.findtext("REQNBR", "")) if question is not None else None
        if question is None or batch is None:
            raise _Wrong("-2", "流程实例号不存在")
        start = int(question.findtext("TRXSEQ") or "1")
        if not batch.whole:
            rows = [(n, *line, "", "", "") for n, line in enumerate(batch.lines, 1)]
        else:
            told = self._bank.told(batch.reference)
            rows = sorted(_told_row(word) for word in told.words) if told is not None else []
        page = [row for row in rows if row[0] >= start][: self._page]
        place = ""
        if page and page[-1][0] < rows[-1][0]:
            more = f"{page[-1][0] + 1:08d}"
            number = question.findtext("REQNBR", "")
            place = _element("NTAGDINFY1", REQNBR=number, BTHNBR="0000000001", TRXSEQ=more, HISTAG="N")
        return place + "".join(_detail(*row) for row in page)

    def _returns(self, root: etree._Element) -> str:
        """NTAGDRFD: what came back to one account."""
        account = root.findtext("NTAGDRFDY1/ACCNBR", "")
        rows = []
        for number, batch in self._batches.items():
            told = self._bank.told(batch.reference) if batch.whole and batch.account == account else None
            for word in told.words if told is not None else ():
                if word.returned is not None:
                    rows.append(_returned(number, batch.reference, word))
        return "".join(rows)


def _detail(n: int, key: str, account: str, name: str, minor: int, state: str, code: str, words: str) -> str:
    return _element(
        "NTAGCDTLY1",
        TRXSEQ=f"{n:08d}",
        ACCNBR=account,
        ACCNAM=name,
        TRSAMT=_yuan(minor),
        STSCOD=state,
        ERRCOD=code,
        ERRDSP=words,
        CPRREF=key,
        CPRACT=key,
    )


def _returned(number: str, reference: str, word: Word) -> str:
    code, words = RETURN_CODES.get(word.returned or Verdict.NO_REASON, ("999", "其他"))
    return _element(
        "NTAGDRFDZ1",
        REQNBR=number,
        YURREF=reference,
        BTHDTL=f"{word.line:08d}",
        EACNBR=word.booked.account,
        EACNAM=word.booked.name,
        TRSAMT=_yuan(word.booked.minor),
        CPRACT=word.booked.reference,
        TRSDAT=_day(reference),
        STSCOD="E",
        RTNCOD=code,
        RTNTXT=words,
    )


def _told_row(word: Word) -> tuple[int, str, str, str, int, str, str, str]:
    """Line, key, account, name, fen, state, code, words."""
    line, verdict = word.booked, word.booked.verdict
    state, code, words = (
        ("S", "", "") if verdict is None else ("E", *LINE_CODES.get(verdict, ("", LINE_WORDS.get(verdict, ""))))
    )
    if not word.told:
        state, code, words = "A", "", ""
    told = f"{code} {(line.text or words) if word.told else ''}".strip()
    return word.line, line.reference, line.account, line.name, line.minor, state, code, told


def _lines(root: etree._Element, before: int) -> list[Line]:
    """The payments of a part, numbered on from the part before."""
    lines: list[Line] = []
    for detail in root.iter("NTAGCDTLY1"):
        texts = {child.tag: child.text or "" for child in detail}
        number = before + len(lines) + 1
        sizes = ((texts.get("ACCNAM", ""), NAME_BYTES_MAX), (texts.get("TRSDSP", ""), TEXT_BYTES_MAX))
        if texts.get("TRXSEQ") != f"{number:08d}" or any(len(text.encode("gbk")) > most for text, most in sizes):
            raise _Wrong("-3", f"第 {number} 笔格式错误")
        if not texts.get("ACCNBR") or not texts.get("ACCNAM") or texts.get("BNKFLG") != "Y":
            raise _Wrong("-3", f"第 {number} 笔缺少必输项")
        lines.append((texts.get("CPRREF", ""), texts["ACCNBR"], texts["ACCNAM"], _fen(texts.get("TRSAMT", ""))))
    return lines


def _parsed(body: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise _Wrong("-3", f"数据格式错误 {error.msg}"[:100]) from None
    if root.tag != "CMBSDKPGK" or not body.startswith(b'<?xml version="1.0" encoding="GBK"?>'):
        raise _Wrong("-3", "数据格式错误")
    return root


def _element(tag: str, **texts: str) -> str:
    return f"<{tag}>{''.join(_children(texts))}</{tag}>"


def _children(texts: dict[str, str]) -> Iterator[str]:
    for tag, text in texts.items():
        safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        yield f"<{tag}>{safe}</{tag}>"


def _count(head: etree._Element, tag: str) -> int:
    text = head.findtext(tag, "")
    if not re.fullmatch("[0-9]{1,8}", text):
        raise _Wrong("-3", f"{tag} 格式错误")
    return int(text)


def _fen(text: str) -> int:
    found = _AMOUNT.fullmatch(text)
    if not found:
        raise _Wrong("-3", "金额格式错误")
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))


def _yuan(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def _day(reference: str) -> str:
    """The day that the customer's reference tells, which is the bank's own here: its clock is not the machine's."""
    found = _DAY.search(reference)
    return found[1] if found else "20150610"


CONVERSATION = FrontEnd
