"""The records of the standard file, version 1: one column table each.

::

    H|SHEYIN|1|PAY|...        header: what the file is, what it answers, count and total
    B|...                     payment files only: what all lines share
    D|... R|... N|... Q|...   lines, one kind of them a file
    T|count|total|sha256      trailer: its digest is over every byte before it

GB18030, ``|`` between fields, LF after every record. Source: our own specification, ``schemas/standard_file.md``; its
field tables are written from these columns and a test keeps them equal.
"""

from __future__ import annotations

import msgspec

from gateway.codec.columns import CODE, CONST, NUMBER, Delimited, Field
from gateway.codec.text import GB18030
from gateway.core.money import CNY

CHARSET = GB18030
FORMAT = "SHEYIN"
VERSION = 1
STARTS = f"H|{FORMAT}|".encode("ascii")
STAMP = "%Y%m%d%H%M%S"  # of ``created``, Asia/Shanghai
DAY = "%Y%m%d"
LINE_BYTES_MAX = 1024  # the longest record that the tables allow has fewer
COUNT_MAX = 999_999  # what six digits hold; how many lines a Bank takes is its Limits

NAME_BYTES_MAX = 120
ACCOUNT_CHARS_MAX = 34
PURPOSE_BYTES_MAX = 140

#: Characters whose bytes depend on the edition of GB 18030 (2000, 2005, 2022), and all private use: never written,
#: since the bank's program may read another character; read as this machine's codec has them, because the bank's
#: spelling is for people.
UNWRITTEN = "\u1e3f\u9fb4-\u9fbb\ufe10-\ufe19\ue000-\uf8ff"

_ID = "0-9A-Z"
_WORD = "0-9a-z_"


def _record(name: str, *fields: Field) -> Delimited:
    return Delimited(name, *fields, charset=CHARSET, unwritten=UNWRITTEN)


def _type(letter: str, en: str, zh: str) -> Field:
    return Field("type", 1, CONST, const=letter, en=en, zh=zh, example=letter)


HEADER = _record(
    "header",
    _type("H", "record type: header", "记录类型：文件头"),
    Field("format", 6, CONST, const=FORMAT, en="name of this specification", zh="规范标识", example=FORMAT),
    Field("version", 3, NUMBER, positive=True, en="version of this specification", zh="版本号", example=str(VERSION)),
    Field("kind", 3, CODE, chars="A-Z", exact=True, en="kind of file", zh="文件种类", example="RES"),
    Field(
        "reference",
        30,
        CODE,
        chars=_ID,
        en="the sender's own reference of this file, never used again",
        zh="本文件编号（发送方自编，永不重复）",
        example="BANKA20150610R00001",
    ),
    Field(
        "created",
        14,
        CODE,
        chars="0-9",
        exact=True,
        en="when it was made, yyyyMMddHHmmss, Beijing time",
        zh="生成时间 yyyyMMddHHmmss（北京时间）",
        example="20150610163000",
    ),
    Field(
        "customer",
        30,
        CODE,
        chars="0-9A-Za-z-",
        en="the bureau's customer number at the bank",
        zh="社保局在银行的客户号",
        example="440600001",
    ),
    Field(
        "bank",
        16,
        CODE,
        chars=_ID + "_",
        en="the bank's code as agreed",
        zh="约定的银行代码",
        example="BANKA",
    ),
    Field(
        "original",
        30,
        CODE,
        chars=_ID,
        optional=True,
        en="reference of the file that this one answers or asks about",
        zh="原文件编号（被答复或被查询的文件）",
        example="BANKA2015061000001",
    ),
    Field(
        "original_kind", 3, CODE, chars="A-Z", exact=True, optional=True, en="its kind", zh="原文件种类", example="PAY"
    ),
    Field(
        "original_digest",
        64,
        CODE,
        chars="0-9a-f",
        exact=True,
        optional=True,
        en="SHA-256 of that whole file as received, trailer included, lower-case hexadecimal",
        zh="原文件全文（含文件尾）的 SHA-256，小写十六进制",
        example="7f83b165…069b",
    ),
    Field(
        "inquiry",
        30,
        CODE,
        chars=_ID,
        optional=True,
        en="reference of the inquiry that an answer answers",
        zh="所答复的查询文件编号",
        example="BANKA20150610Q00001",
    ),
    Field(
        "status",
        4,
        CODE,
        chars="0-9",
        exact=True,
        optional=True,
        en="the bank's word on the whole original file, a document code",
        zh="整份原文件的处理代码（文件级代码）",
        example="0000",
    ),
    Field("text", 120, optional=True, en="that word in plain language", zh="处理说明", example="文件已受理"),
    Field("part", 4, NUMBER, positive=True, en="number of this part, from 1", zh="本文件为第几部分", example="1"),
    Field(
        "parts",
        4,
        NUMBER,
        en="how many parts the whole has; 0: not known yet",
        zh="共几部分；0 表示尚未确定",
        example="3",
    ),
    Field("currency", 3, CODE, chars="A-Z", exact=True, en="currency, ISO 4217", zh="币种", example="CNY"),
    Field(
        "count",
        6,
        NUMBER,
        optional=True,
        en="number of lines in this file; in a receipt, of the original file as the bank read it",
        zh="本文件明细笔数；回执中为银行读到的原文件笔数",
        example="238",
    ),
    Field(
        "total",
        18,
        NUMBER,
        optional=True,
        unit="fen",
        en="sum of their amounts; in a receipt, of the original file as the bank read it",
        zh="明细金额合计（分）；回执中为银行读到的原文件合计",
        example="43792000",
    ),
)


class Header(msgspec.Struct, frozen=True):
    """The header's values in the order of its columns, constants left out."""

    version: int = 1
    kind: str = ""
    reference: str = ""
    created: str = ""
    customer: str = ""
    bank: str = ""
    original: str = ""
    original_kind: str = ""
    original_digest: str = ""
    inquiry: str = ""
    status: str = ""
    text: str = ""
    part: int = 1
    parts: int = 1
    currency: str = CNY
    count: int | None = 0
    total: int | None = 0


BATCH = _record(
    "batch",
    _type("B", "record type: what all payments share", "记录类型：批次信息"),
    Field("batch", 30, CODE, chars=_ID, en="the bureau's batch", zh="批次编号", example="BANKA20150610B00001"),
    Field(
        "sequence",
        5,
        NUMBER,
        positive=True,
        en="number of this payment file on its day, from 1",
        zh="当日第几个付款文件",
        example="1",
    ),
    Field(
        "pay_date",
        8,
        CODE,
        chars="0-9",
        exact=True,
        en="day on which the accounts shall be credited, yyyyMMdd",
        zh="入账日期 yyyyMMdd",
        example="20150610",
    ),
    Field("fund", 32, CODE, chars=_WORD, en="benefit fund that pays", zh="支付基金", example="pension"),
    Field("benefit", 32, CODE, chars=_WORD, en="line of benefit", zh="待遇险种", example="pension"),
    Field(
        "debit_account",
        ACCOUNT_CHARS_MAX,
        CODE,
        chars="0-9A-Za-z-",
        en="account to debit",
        zh="付款账号（支出户）",
        example="9900100000000000123",
    ),
    Field("debit_name", 120, en="its name", zh="付款户名", example="某市社会保险基金管理局"),
)

_LINE = Field("line", 6, NUMBER, positive=True, en="line number, from 1, no gap", zh="行号，从 1 起连续", example="1")
#: A payment file's line: answers name it, and come in any order.
_ORIGINAL_LINE = Field(
    "line", 6, NUMBER, positive=True, en="line number in the payment file", zh="付款文件中的行号", example="17"
)
_REFERENCE = Field(
    "reference",
    19,
    NUMBER,
    positive=True,
    en="the bureau's reference of this payment, returned unchanged",
    zh="付款编号，原样返回",
    example="1433899200000017",
)
_AMOUNT = Field("amount", 12, NUMBER, positive=True, unit="fen", en="amount", zh="金额（分）", example="184000")

#: In the order of PayLine, so that one is packed as it comes.
PAYMENT = _record(
    "payment line",
    _type("D", "record type: payment line", "记录类型：付款明细"),
    _LINE,
    _REFERENCE,
    Field("name", NAME_BYTES_MAX, en="name of the holder of the account", zh="收款户名", example="欧阳娜娜"),
    Field(
        "account",
        ACCOUNT_CHARS_MAX,
        CODE,
        chars="0-9A-Za-z-",
        en="card or account to credit",
        zh="收款卡号或账号",
        example="9900010000000000017",
    ),
    _AMOUNT,
    Field(
        "id_type",
        20,
        CODE,
        chars=_WORD,
        optional=True,
        en="kind of identity document",
        zh="证件类型",
        example="resident",
    ),
    Field(
        "id_number",
        32,
        CODE,
        chars="0-9A-Za-z()/-",
        optional=True,
        en="its number",
        zh="证件号码",
        example="11010519491231002X",
    ),
    Field("purpose", PURPOSE_BYTES_MAX, optional=True, en="purpose", zh="用途", example="2015年6月养老金"),
    Field(
        "pair",
        20,
        CODE,
        chars="0-9A-Za-z-",
        optional=True,
        en="number of the whitelist entry used for the name",
        zh="户名白名单编号",
        example="WL000123",
    ),
)


def _answer_line(name: str, kind: Field, line: Field, serial_en: str, serial_zh: str) -> Delimited:
    return _record(
        name,
        kind,
        line,
        _REFERENCE,
        _AMOUNT,
        Field(
            "code", 4, CODE, chars="0-9", exact=True, en="the bank's word, a line code", zh="处理代码", example="1002"
        ),
        Field(
            "serial",
            40,
            CODE,
            chars="0-9A-Za-z-",
            optional=True,
            en=serial_en,
            zh=serial_zh,
            example="20150610000000017",
        ),
        Field("text", 120, optional=True, en="that word in plain language", zh="处理说明", example="户名不符"),
        Field(
            "name",
            NAME_BYTES_MAX,
            optional=True,
            en="the holder's name as the bank has it, where the bank may tell it",
            zh="银行登记的户名（可告知时填写）",
            example="欧阳娜",
        ),
    )


RESULT = _answer_line(
    "result line",
    _type("R", "record type: result line", "记录类型：结果明细"),
    _ORIGINAL_LINE,
    "the bank's serial number",
    "银行流水号",
)
#: Returns of a day come together, whatever file paid them: they are numbered in their own file.
RETURNED = _answer_line(
    "return line",
    _type("N", "record type: return line", "记录类型：退款明细"),
    _LINE,
    "serial number of the refund",
    "退款流水号",
)
QUESTION = _record("inquiry line", _type("Q", "record type: line asked about", "记录类型：查询明细"), _ORIGINAL_LINE)
TRAILER = _record(
    "trailer",
    _type("T", "record type: trailer", "记录类型：文件尾"),
    Field("count", 6, NUMBER, en="number of lines in this file", zh="本文件明细笔数", example="238"),
    Field("total", 18, NUMBER, unit="fen", en="sum of their amounts", zh="明细金额合计（分）", example="43792000"),
    Field(
        "digest",
        64,
        CODE,
        chars="0-9a-f",
        exact=True,
        en="SHA-256 of every byte before this record, lower-case hexadecimal",
        zh="本记录之前全部字节的 SHA-256，小写十六进制",
        example="9b74c989…2d01",
    ),
)

#: Every record in the order of the specification, with the kinds of file that hold it.
RECORDS: dict[str, Delimited] = {
    "H": HEADER,
    "B": BATCH,
    "D": PAYMENT,
    "R": RESULT,
    "N": RETURNED,
    "Q": QUESTION,
    "T": TRAILER,
}
