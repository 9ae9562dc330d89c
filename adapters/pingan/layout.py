"""The batch file (GBK, ``|::|`` between fields) and its return file, and the bank's replies as Documents.

::

    account|::|count|::|total                                                     first line of a batch
    order|::|card|::|name|::|province|::|city|::|bank|::|amount|::|remark|::|bank code|::|mobile
    order|::|card|::|name|::|amount|::|fee|::|code|::|text                         a line of the return file

The file has no place for a reference: the batch's number travels in the commands (KHKF01, KHKF02) and is ours of the Document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, BinaryIO, Literal

import msgspec

from adapters.pingan import packet
from adapters.pingan.codes import DONE, FAILED, SET
from gateway.codec.columns import CODE, NUMBER, Delimited, Field
from gateway.codec.lines import chunks, text_lines
from gateway.codec.text import GBK
from gateway.core.adapter import format_options
from gateway.core.bank import Bank, DocKind, Head, Item, PayLine, PaymentHead, Reason, Row, SealSlot, Tail
from gateway.core.errors import Code, Halt, Malformed, Refused
from gateway.core.money import CNY, parse_decimal

CHARSET = GBK
SEPARATOR = "|::|"
REFERENCE_CHARS_MAX = 20  # BatchNo
ROWS_MAX = 30_000  # of one batch
TOTAL_MINOR_MAX = 10**14 - 1  # 14 digits, two of them behind the point
LINE_BYTES_MAX = 1024
BLOCK_BYTES = 256 * 1024
BATCH, BATCH_STATE, SINGLE, SINGLE_STATE = "KHKF01", "KHKF02", "KHKF03", "KHKF04"
KINDS = {BATCH: DocKind.RECEIPT, SINGLE: DocKind.RECEIPT}


def _text(name: str, width: int, en: str, zh: str) -> Field:
    return Field(name, width, optional=True, en=en, zh=zh)


_ORDER = Field("order", 20, CODE, chars="0-9", en="our number of the payment", zh="第三方流水号")
_CARD = Field("card", 20, CODE, chars="0-9A-Za-z-", en="account of the payee", zh="收款卡号/账号")
_NAME = Field("name", 32, en="name of the payee", zh="收款人户名")
_AMOUNT = Field("amount", 17, CODE, chars="0-9.", en="yuan, two decimals", zh="金额")

FIRST = Delimited(
    "first line",
    Field("account", 32, CODE, chars="0-9A-Za-z-", en="our account", zh="付款账号"),
    Field("count", 10, NUMBER, positive=True, en="number of payments", zh="总笔数"),
    Field("total", 17, CODE, chars="0-9.", en="their sum, yuan", zh="总金额"),
    charset=CHARSET,
    separator=SEPARATOR,
)
PAYMENT = Delimited(
    "payment",
    _ORDER,
    _CARD,
    _NAME,
    _text("province", 32, "province of the payee's bank", "省"),
    _text("city", 32, "its city", "市"),
    _text("bank", 60, "its name", "开户行名称"),
    _AMOUNT,
    _text("remark", 30, "purpose", "摘要"),
    Field("bank_code", 12, CODE, chars="0-9", optional=True, en="clearing number of the payee's bank", zh="联行号"),
    Field("mobile", 20, CODE, chars="0-9+-", optional=True, en="mobile number", zh="手机号"),
    charset=CHARSET,
    separator=SEPARATOR,
)
RESULT = Delimited(
    "result",
    _text("order", 32, "our number of the payment", "第三方流水号"),
    _text("card", 40, "account of the payee", "收款卡号/账号"),
    _text("name", 80, "name of the payee", "收款人户名"),
    Field("amount", 20, CODE, chars="0-9.", en="yuan", zh="金额"),
    _text("fee", 20, "fee taken", "实收手续费"),
    Field("code", 10, CODE, chars="0-9A-Za-z", en="0000 credited, 9001 not known", zh="返回码"),
    _text("text", 400, "what it means", "返回消息"),
    charset=CHARSET,
    separator=SEPARATOR,
)
_FIRST = re.compile(rb"[0-9A-Za-z-]{1,32}\|::\|[1-9][0-9]{0,9}\|::\|[0-9]+\.[0-9]{2}\r?\n")
_PACKET = re.compile(rb"A001010[12]0[123]")
encodable = PAYMENT.unfit


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a Bank of this format says under ``format_options``."""

    mode: Literal["batch", "single"] = "batch"  # one file for all, or one command a payment
    encoding: Literal["gbk", "utf-8"] = "gbk"  # of the commands; the batch file is always GBK
    corp_id: str = ""  # 单位代码, where the contract has one
    busi_type: str = "00000"  # 费项代码
    operator: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z]{1,5}(?!\n)$")] = "00000"
    upload: str = ""  # the folder ``up`` beside the commands, as the bank's client sees it
    download: str = ""  # the folder ``down``, likewise
    first_ask_s: Annotated[int, msgspec.Meta(ge=0)] = 300  # how long after sending the first question waits
    ask_every_s: Annotated[int, msgspec.Meta(ge=1)] = 300


def yuan(minor: int) -> str:
    """Fen as yuan with two decimals; never negative here."""
    return f"{minor // 100}.{minor % 100:02}"


def write_payment(head: PaymentHead, lines: Iterable[PayLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """The batch file in chunks of at least 64 KiB but the last.

    Raises Refused (CHARSET, SIZE, FORMAT, SCHEMA, RANGE, POLICY) for what the format cannot hold, Halt where the lines are not numbered
    1, 2, … or do not add up to the head.
    """
    if head.count != 1 and format_options(bank, Options).mode == "single":
        what = "a command carries one payment: the bank's limits.rows_max must be 1"
        raise Refused(what, code=Code.POLICY, where=head.reference)
    if head.currency != CNY:
        raise Refused(f"this format pays {CNY} only", code=Code.POLICY, where="currency")
    if len(head.reference) > REFERENCE_CHARS_MAX:
        what = f"a batch number has at most {REFERENCE_CHARS_MAX} characters: give the bank a shorter code"
        raise Refused(what, code=Code.SIZE, where=head.reference)
    if not 0 < head.minor <= TOTAL_MINOR_MAX:
        raise Refused(f"{head.minor} fen do not fit a batch", code=Code.RANGE, where=head.reference)

    def records() -> Iterator[str]:
        yield FIRST.pack((head.debit_account, head.count, yuan(head.minor)), 1)
        yield from _payments(head, lines)

    yield from chunks(records(), CHARSET)


def _payments(head: PaymentHead, lines: Iterable[PayLine]) -> Iterator[str]:
    pack = PAYMENT.pack
    number = minor = 0
    for number, line in enumerate(lines, 1):
        if line.line != number:
            raise Halt(f"line {line.line} of {head.reference} stands at {number}")
        if line.amount <= 0:
            raise Refused("the amount is not positive", code=Code.RANGE, where=f"payment {number}")
        minor += line.amount
        yield pack(
            (str(line.key), line.account, line.name, "", "", "", yuan(line.amount), line.purpose, "", ""), number + 1
        )
    if (number, minor) != (head.count, head.minor):
        raise Halt(f"{head.reference} has {number} lines and {minor} fen, its head says {head.count} and {head.minor}")


# -------------------------------------------------------------------------------------------------------------- reading


def sniff(beginning: bytes) -> bool:
    """Whether these first bytes look like a packet or a batch file."""
    return bool(_PACKET.match(beginning) or _FIRST.match(beginning))


def read(stream: BinaryIO) -> Iterator[Item]:
    """A batch file, a return file, or a packet. Raises Malformed: TRUNCATED, TOTALS, FORMAT, SCHEMA, SIZE.

    A return file may end without a line end and says nowhere how many lines it has: those that it lacks stay open.
    """
    beginning = stream.read(packet.HEAD_BYTES)
    if beginning.startswith(packet.STARTS):
        yield from _packet(beginning + stream.read(packet.BODY_BYTES_MAX + 1))
        return
    lines = _lines(beginning, stream)
    first, ended = next(lines, ("", False))
    if not first:
        raise Malformed("the file is empty", code=Code.TRUNCATED)
    account, count, total = FIRST.split(first, 1)
    del account
    declared = (int(count), parse_decimal(total))
    second, ended = next(lines, ("", ended))
    if not second:
        raise Malformed("stops after its first line", code=Code.TRUNCATED)
    if second.count(SEPARATOR) == len(PAYMENT.fields) - 1:
        yield from _batch(declared, second, ended, lines)
    else:
        yield from _results(second, lines)


def _batch(declared: tuple[int, int], line: str, ended: bool, lines: Iterator[tuple[str, bool]]) -> Iterator[Item]:
    yield Head(kind=DocKind.PAYMENT, message=BATCH, declared_count=declared[0], declared_minor=declared[1])
    number = minor = 0
    while line:
        order, card, name, _, _, _, amount, remark, _, _ = PAYMENT.split(line, number + 2)
        fen = parse_decimal(amount)
        number, minor = number + 1, minor + fen
        yield Row(order, fen, CNY, "", text=remark, name=name, account=card)
        line, ended = next(lines, ("", ended))
    if not ended or number < declared[0]:
        raise Malformed(f"{number} of {declared[0]} payments: the end is missing", code=Code.TRUNCATED)
    if (number, minor) != declared:
        what = f"{number} payments and {minor} fen, the first line says {declared[0]} and {declared[1]}"
        raise Malformed(what, code=Code.TOTALS)
    yield Tail(count=number, minor=minor)


def _results(line: str, lines: Iterator[tuple[str, bool]]) -> Iterator[Item]:
    yield Head(kind=DocKind.RESULT, message=BATCH_STATE)
    number = minor = 0
    while line:
        order, _, _, amount, _, code, text = RESULT.split(line, number + 2)
        fen = parse_decimal(amount)
        number, minor = number + 1, minor + fen
        yield Row(order, fen, CNY, code, (Reason(SET, code, text),), text=text)
        line, _ = next(lines, ("", True))
    yield Tail(count=number, minor=minor)


def _lines(beginning: bytes, stream: BinaryIO) -> Iterator[tuple[str, bool]]:
    """(line, whether it has its end), LF or CR LF."""
    rest, at = beginning, 0
    while True:
        cut = rest.rfind(b"\n") + 1
        if cut:
            for line in text_lines(rest[:cut], CHARSET, at):
                at += 1
                if not line or len(line) > LINE_BYTES_MAX:
                    raise Malformed("an empty line, or one too long", code=Code.SIZE, where=f"line {at}")
                yield line.removesuffix("\r"), True
        rest = rest[cut:]
        more = stream.read(BLOCK_BYTES)
        if not more:
            break
        if len(rest) > LINE_BYTES_MAX:
            raise Malformed(f"longer than {LINE_BYTES_MAX} bytes", code=Code.SIZE, where=f"line {at + 1}")
        rest += more
    if rest:
        yield text_lines(rest + b"\n", CHARSET, at)[0], False


def _packet(data: bytes) -> Iterator[Item]:
    """A reply: to KHKF01 and KHKF03 a receipt, to KHKF02 an answer, to KHKF04 an answer or the result of its one payment.

    Our own requests, and replies that only move files, are read for people.
    """
    found = packet.read(data)
    status, text = found.head["code"], found.head["text"]
    state = found.leaf("BatchStt") or found.leaf("Status")
    if found.ok and state:
        status, text = state, found.leaf("BatchInfo") or found.leaf("RetMsg")
    told = found.ok and found.transaction == SINGLE_STATE and state in (DONE, FAILED)
    kind = DocKind.RESULT if told else KINDS.get(found.transaction, DocKind.ANSWER)
    if found.head["service"] == packet.REQUEST:
        kind = DocKind.INQUIRY
    if told:
        yield Head(kind=kind, message=found.transaction, created=found.head["time"])
        yield _single(found, state)
        yield Tail(count=1, minor=None)
        return
    yield Head(
        kind=kind,
        message=found.transaction,
        reference=found.head["serial"],
        original=found.leaf("BatchNo"),
        original_kind=BATCH if found.leaf("BatchNo") else "",
        created=found.head["time"],
        status=status,
        reasons=(Reason(SET, status, text),) if status else (),
    )
    yield Tail(count=0, minor=None)


def _single(found: packet.Packet, state: str) -> Row:
    order = found.leaf("OrderNumber")
    if not order:
        raise Malformed("names no payment", code=Code.SCHEMA)
    amount = found.leaf("TranAmount")
    reason = Reason(SET, found.leaf("RetCode"), found.leaf("RetMsg"))
    return Row(
        order,
        parse_decimal(amount) if amount else None,
        CNY,
        state,
        (reason,),
        bank_ref=found.leaf("TranFlowNo") or found.leaf("BussFlowNo"),
        text=reason.text,
    )


def first_line(data: bytes) -> tuple[str, str, str]:
    """(account, count, total) of a batch file that we wrote, from its beginning."""
    account, count, total = FIRST.split(data.partition(b"\n")[0].decode(CHARSET), 1)
    return account, count, total
