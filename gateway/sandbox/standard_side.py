"""The standard file on the bank's side: payments and inquiries in; receipts, results, returns and answers out; detached CMS both ways.

Own code, written from schemas/standard_file.md alone. Two things it takes care of that are easily got wrong: fields are split after decoding,
because ``|`` (0x7C) also ends two-byte characters of GB18030; and records are split at LF only, before decoding, because 0x0A ends none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from gateway.core.verdicts import Verdict
from gateway.sandbox import seals
from gateway.sandbox.config import SandboxBank
from gateway.sandbox.orders import Answer, Booked, FileRefused, Kind, Line, Opened, Order, Question, Standing, Twist

CHARSET = "gb18030"
PORTION_BYTES = 256 * 1024
TEXT_BYTES_MAX = 120
UNKNOWN_ORIGINAL = "NEVERSENT"
UNREADABLE = "UNREADABLE"  # the header must name an original; this one names none of the bureau's

#: Section 6 of the specification: of a whole file.
FILE_CODES: dict[Verdict, str] = {
    Verdict.FORMAT_REFUSED: "2001",
    Verdict.TOTALS_REFUSED: "2002",
    Verdict.SEAL_REFUSED: "2003",
    Verdict.NOT_ALLOWED: "2004",
    Verdict.FUNDS: "3001",
    Verdict.DUPLICATE: "4001",
    Verdict.TIMEOUT: "5001",
    Verdict.BANK_FAULT: "5002",
    Verdict.NOT_FOUND: "6001",
    Verdict.UNKNOWN_CODE: "9999",
}
#: Section 6: of one payment.
LINE_CODES: dict[Verdict, tuple[str, str]] = {
    Verdict.ACCOUNT_UNKNOWN: ("1001", "账号不存在"),
    Verdict.NAME_MISMATCH: ("1002", "户名不符"),
    Verdict.CARD_LOST: ("1003", "挂失"),
    Verdict.CARD_REPLACING: ("1004", "换卡中"),
    Verdict.ACCOUNT_CLOSED: ("1005", "已销户"),
    Verdict.ACCOUNT_BLOCKED: ("1006", "账户冻结"),
    Verdict.ACCOUNT_DORMANT: ("1007", "长期不动户"),
    Verdict.ACCOUNT_TYPE: ("1008", "账户类型不符"),
    Verdict.ACCOUNT_CHANGED: ("1009", "账号已变更"),
    Verdict.ID_MISMATCH: ("1010", "证件不符"),
    Verdict.DECEASED: ("1011", "收款人已死亡"),
    Verdict.AMOUNT_LIMIT: ("1012", "金额超限"),
    Verdict.NO_REASON: ("1099", "其他原因"),
    Verdict.FORMAT_REFUSED: ("2001", "明细格式错误"),
    Verdict.NOT_ALLOWED: ("2004", "协议未授权"),
    Verdict.FUNDS: ("3001", "余额不足"),
    Verdict.DUPLICATE: ("4003", "付款编号重复"),
    Verdict.TIMEOUT: ("5001", "处理超时"),
    Verdict.BANK_FAULT: ("5002", "银行处理异常"),
    Verdict.CANCELLED: ("7001", "已撤销"),
    Verdict.UNKNOWN_CODE: ("9999", "其他"),
}
NOT_FOUND_LINE = "6002"
CREDITED, TAKEN_UP = "0000", "0001"


class StandardFile:
    """An opened file of ours: ``PAY`` or ``INQ``. The digest of the trailer and the shape of every record are checked on the way."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        cut = payload.rfind(b"\n", 0, len(payload) - 1) + 1
        self._end = cut
        header = self._fields(payload[: payload.find(b"\n") + 1], 19, "H")
        self._reference, self._created = header[4], _dashed(header[5])
        if header[1] != "SHEYIN" or header[2] != "1":
            raise self._wrong("版本不支持", "2006" if header[1] == "SHEYIN" else "")
        trailer = self._fields(payload[cut:], 4, "T")
        if trailer[1:3] != header[17:19]:
            raise self._refused(Verdict.TOTALS_REFUSED, "文件头与文件尾不符")
        if hashlib.sha256(payload[:cut]).hexdigest() != trailer[3]:
            raise self._wrong("文件摘要不符", "2005")
        self._start = payload.find(b"\n") + 1
        self.head: Order | Question
        if header[3] == "PAY":
            self.head = self._order(header)
        elif header[3] == "INQ":
            self.head = self._question(header)
        else:
            raise self._wrong(f"a file of kind {header[3]} is not taken")

    def lines(self) -> Iterator[list[Line]]:
        """The payments, some thousand at a time. Raises FileRefused."""
        start, number = self._start, 0
        while start < self._end:
            stop = self._payload.rfind(b"\n", start, min(self._end, start + PORTION_BYTES)) + 1
            if stop <= start:
                raise self._wrong("a record is too long")
            portion = self._portion(self._payload[start:stop], number)
            number += len(portion)
            yield portion
            start = stop

    def _portion(self, data: bytes, number: int) -> list[Line]:
        rows = [record.split("|") for record in self._decoded(data)[:-1].split("\n")]
        lines: list[Line] = []
        try:
            for type_, line, reference, name, account, amount, *rest in rows:
                number += 1
                if type_ != "D" or line != str(number) or len(rest) != 4 or not (account and name and reference):
                    raise self._wrong(f"line {number} is not as specified")
                lines.append((reference, account, name, int(amount)))
        except ValueError as error:
            raise self._wrong(f"line {number + 1}: {error}") from None
        return lines

    def _order(self, header: list[str]) -> Order:
        end = self._payload.find(b"\n", self._start) + 1
        batch = self._fields(self._payload[self._start : end], 8, "B")
        self._start = end
        return Order(
            reference=header[4],
            batch=batch[1],
            created=self._created,
            pay_date=f"{batch[3][:4]}-{batch[3][4:6]}-{batch[3][6:]}",
            customer=header[6],
            debit_account=batch[6],
            bank=header[7],
            count=int(header[17]),
            minor=int(header[18]),
        )

    def _question(self, header: list[str]) -> Question:
        records = self._decoded(self._payload[self._start : self._end]).split("\n")[:-1]
        fields = [record.split("|") for record in records]
        if any(len(field) != 2 or field[0] != "Q" for field in fields) or len(fields) != int(header[17]):
            raise self._wrong("an inquiry holds only lines of type Q, as many as declared")
        return Question(
            reference=header[4],
            original=header[8],
            original_name="",
            created=self._created,
            lines=tuple(int(field[1]) for field in fields),
        )

    def _fields(self, record: bytes, count: int, letter: str) -> list[str]:
        fields = self._decoded(record).removesuffix("\n").split("|")
        if len(fields) != count or fields[0] != letter or not record.endswith(b"\n"):
            raise self._wrong(f"no record of type {letter} with {count} fields where it belongs")
        return fields

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode(CHARSET)
        except UnicodeDecodeError:
            raise self._wrong("not GB18030") from None

    def _wrong(self, text: str, code: str = "") -> FileRefused:
        return self._refused(Verdict.FORMAT_REFUSED, text, code)

    def _refused(self, verdict: Verdict, text: str, code: str = "") -> FileRefused:
        reference, created = getattr(self, "_reference", guess(self._payload)), getattr(self, "_created", "")
        return FileRefused(verdict, text, reference=reference, created=created, code=code)


class StandardSide:
    """One bank's standard file."""

    detached = True
    other_content = "4002"

    def __init__(self, config: SandboxBank) -> None:
        self._code, self._customer = config.code, config.customer
        self._signer, self._pins = seals.keyring(config.keys)
        self._foreign: seals.Foreign | None = None

    def open(self, payload: bytes, seal: bytes | None) -> Opened:
        """Verify the seal, then read. Raises FileRefused."""
        if self._pins is not None:
            try:
                seals.check_detached(payload, seal, self._pins)
            except seals.SealWrong as error:
                raise FileRefused(Verdict.SEAL_REFUSED, str(error), reference=guess(payload)) from error
        return StandardFile(payload)

    def name(self, answer: Answer, order: Order | None) -> str:
        """``SY1_<kind>_<customer>_<yyyyMMdd>_<reference>.txt`` (section 3)."""
        day = answer.created[:10].replace("-", "")
        return f"SY1_{_NAMES[_kind(answer)]}_{self._customer}_{day}_{self._own(answer)}.txt"

    def write(
        self, answer: Answer, order: Order | None, rows: Iterable[Booked], twist: Twist
    ) -> tuple[bytes, bytes | None]:
        """The file's bytes and its detached seal."""
        records, minor = _records(answer, rows)
        count = len(records)
        told = (count, minor)
        if answer.kind is Kind.RECEIPT and order is not None:
            told = (order.count, order.minor)
        header = self._header(answer, order, told, twist)
        body = "".join([header, *records]).encode(CHARSET)
        trailer = f"T|{count}|{minor + (1 if twist.wrong_totals else 0)}|{hashlib.sha256(body).hexdigest()}\n"
        payload = body + trailer.encode()
        if self._signer is None or twist.seal == "none":
            return payload, None
        if twist.seal == "foreign":
            self._foreign = self._foreign or seals.Foreign(self._signer.certificate)
            return payload, self._foreign.detached(payload)
        return payload, self._signer.detached(payload)

    def _header(self, answer: Answer, order: Order | None, told: tuple[int, int], twist: Twist) -> str:
        status, text = _status(answer)
        question = answer.question
        original = question.original if question else answer.reference or UNREADABLE
        original_kind, digest = "PAY", answer.digest
        count, minor = str(told[0]), str(told[1])
        if answer.kind is Kind.RETURN:
            original, original_kind, digest, status, text = "", "", "", "", ""
        elif answer.kind is Kind.REFUSAL:
            count = minor = ""
        elif twist.unknown_original:
            original = UNKNOWN_ORIGINAL
        created = answer.created.translate({ord(sign): None for sign in "-:T"})
        fields = (
            "H",
            "SHEYIN",
            "1",
            _kind(answer),
            self._own(answer),
            created,
            self._customer,
            self._code,
            original,
            original_kind,
        )
        more = (
            digest,
            question.reference if question else "",
            status,
            text,
            str(answer.part),
            str(answer.parts),
            "CNY",
            count,
            minor,
        )
        return "|".join((*fields, *more)) + "\n"

    def _own(self, answer: Answer) -> str:
        """Our own reference of an answer: the bank's code, its date, a letter for its kind, its number."""
        return f"{self._code.replace('_', '')}{answer.created[:10].replace('-', '')}{_kind(answer)[1]}{answer.id:08d}"


_NAMES = {"RCT": "receipt", "RES": "result", "RET": "return", "ANS": "answer"}


def guess(payload: bytes) -> str:
    """The reference of a file that cannot be trusted or read, for the refusal only."""
    fields = payload[:200].split(b"|")
    told = fields[4] if len(fields) > 4 else b""
    return told.decode() if told.isalnum() and told.isascii() and len(told) <= 30 else ""


def _kind(answer: Answer) -> str:
    """Field 4 of the header."""
    if answer.kind in (Kind.RECEIPT, Kind.REFUSAL):
        return "RCT"
    return {Kind.RETURN: "RET", Kind.ANSWER: "ANS"}.get(answer.kind, "RES")


def _status(answer: Answer) -> tuple[str, str]:
    """The word on the whole original file."""
    if answer.kind is Kind.REFUSAL or answer.finding is Standing.REFUSED:
        return answer.code or FILE_CODES[answer.verdict or Verdict.BANK_FAULT], _cut(answer.text)
    if answer.kind is Kind.ANSWER and answer.finding is None:
        return FILE_CODES[Verdict.NOT_FOUND], "查无此文件"
    return (TAKEN_UP, "处理中") if answer.kind is Kind.PENDING else (CREDITED, "")


def _records(answer: Answer, rows: Iterable[Booked]) -> tuple[list[str], int]:
    """The lines, and the sum of their amounts. A line's number is its place in the file answered; in a return, in this one."""
    if answer.kind is Kind.RETURN:
        return _returns(rows)
    records, total = [], 0
    pending = answer.kind is Kind.PENDING
    base = answer.base - 1
    for id_, reference, _account, _name, minor, verdict, text, bank_name, new_account in rows:
        total += minor
        under_way = pending or any(first <= id_ <= last for first, last in answer.under_way)
        if under_way:
            records.append(f"R|{id_ - base}|{reference}|{minor}|{TAKEN_UP}|||\n")
        elif verdict is None:
            records.append(f"R|{id_ - base}|{reference}|{minor}|{CREDITED}|{id_}||\n")
        else:
            code, words = LINE_CODES[verdict]
            words = _cut(f"{text or words} 新账号{new_account}" if new_account else text or words)
            records.append(f"R|{id_ - base}|{reference}|{minor}|{code}||{words}|{_cut(bank_name)}\n")
    return records, total


def _returns(rows: Iterable[Booked]) -> tuple[list[str], int]:
    records, total = [], 0
    for number, row in enumerate(rows, start=1):
        total += row.minor
        code, words = LINE_CODES[row.verdict or Verdict.NO_REASON]
        records.append(f"N|{number}|{row.reference}|{row.minor}|{code}|T{row.id}|{_cut(row.text or words)}|\n")
    return records, total


def _cut(text: str) -> str:
    """At most as many bytes as the field has; no character of it may end a field or a record."""
    text = "".join(" " if sign == "|" or sign < " " else sign for sign in text)
    return text.encode(CHARSET)[:TEXT_BYTES_MAX].decode(CHARSET, "ignore")


def _dashed(stamp: str) -> str:
    """``20150610093000`` → ``2015-06-10T09:30:00``."""
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T{stamp[8:10]}:{stamp[10:12]}:{stamp[12:14]}"


SIDE = StandardSide
