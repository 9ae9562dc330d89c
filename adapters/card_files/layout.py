"""The files of a city's social-security card centre and a bank: what stands where, byte by byte, in GBK.

::

    SH00000002 00000589 FFFFFFFFFF      header, 28 bytes: kind, count of records, bytes of one record, filler (no blanks between)
    detail no | task no | name | ...    records of exactly that many bytes

SH asks a bank about persons, RH answers it, BK tells which bank card belongs to which social-security card. Each line ends in LF, in some
writers CR LF; text stands left and is filled with blanks, numbers with zeros, reserved fields with ``F``. All or nothing: a file whose
header counts other records than there are is not read at all.

Source: a2531509/eracloud_jx at c2b4ff07 (Jiaxing citizen-card system, public repository without a licence; read for its facts only).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec

from gateway.codec.columns import CODE, CONST, NUMBER, Field, Fixed
from gateway.codec.text import GBK
from gateway.core.adapter import format_options
from gateway.core.bank import Bank, CheckLine, ListHead, SealSlot
from gateway.core.contracts import IdType
from gateway.core.errors import Code, Halt, Refused

CHARSET = GBK
FILL = "F"  # of reserved fields and of the header's end
COUNT_MAX = 99_999_999  # what eight digits hold; how many lines a Bank takes is its Limits
NAME_BYTES_MAX = 30
ACCOUNT_CHARS_MAX = 30  # what RH's reserved field can give back
CHUNK_RECORDS = 128

SH, RH, BK = "SH", "RH", "BK"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a Bank of this format says under ``format_options``."""

    #: Where SH carries the account asked about: the published record has no field for one. ``reserve``: in its reserved field, by
    #: agreement with the bank. ``none``: nowhere, and a question about an account is refused.
    account: Annotated[Literal["reserve", "none"], msgspec.Meta(extra_json_schema={"examples": ["reserve"]})]


def _text(name: str, width: int, en: str, zh: str, *, optional: bool = True) -> Field:
    return Field(name, width, optional=optional, en=en, zh=zh)


_DETAIL = _text("detail", 12, "number of the line, the sender's own", "任务明细号", optional=False)
_TASK = _text("task", 32, "number of the task that the line belongs to", "任务编号", optional=False)
_NAME = _text("name", NAME_BYTES_MAX, "name", "姓名", optional=False)
_SEX = _text("sex", 1, "sex", "性别")
_ID_TYPE = Field("id_type", 2, CODE, chars="0-9", exact=True, optional=True, en="kind of id document", zh="证件类型")
_ID_NUMBER = _text("id_number", 18, "its number", "证件号码")
_NATION = _text("nation", 2, "ethnic group", "民族")
_COUNTRY = _text("country", 3, "country", "国籍")
_BIRTHPLACE = _text("birthplace", 6, "place of birth", "出生地")
_BIRTHDAY = _text("birthday", 8, "date of birth, yyyyMMdd", "出生日期")
_CONTACT = (
    _text("mobile", 11, "mobile number", "手机号码"),
    _text("phone", 15, "telephone", "联系电话"),
    _text("address", 60, "address", "联系地址"),
    _text("employer", 20, "number of the employer", "单位编号"),
    _text("employer_name", 80, "name of the employer", "单位名称"),
    _text("town", 50, "town or street", "乡镇街道"),
    _text("village", 50, "village or community", "村社区"),
)
_GUARDIAN = (
    _text("guardian", 60, "name of the guardian", "监护人姓名"),
    _text("guardian_sex", 1, "sex of the guardian", "监护人性别"),
    _text("guardian_id_type", 2, "kind of the guardian's id document", "监护人证件类型"),
    _text("guardian_id_number", 18, "its number", "监护人证件号码"),
)
_BRANCH = (
    _text("branch", 8, "branch that hands out the card", "领卡网点"),
    _text("branch_name", 50, "its name", "领卡网点名称"),
)


def _reserve(width: int) -> Field:
    return _text("reserve", width, "reserved", "保留域", optional=False)


def _header(kind: str) -> Fixed:
    return Fixed(
        f"{kind} header",
        Field("kind", 2, CONST, const=kind, en="kind of file", zh="文件类型"),
        Field("count", 8, NUMBER, en="number of records", zh="记录数"),
        Field("size", 8, NUMBER, positive=True, en="bytes of one record", zh="记录长度"),
        Field("fill", 10, CONST, const=FILL * 10, en="filler", zh="填充"),
        charset=CHARSET,
    )


HEADERS = {kind: _header(kind) for kind in (SH, RH, BK)}
HEADER_BYTES = HEADERS[SH].size

REQUEST = Fixed(
    "SH record",
    _DETAIL, _TASK, _NAME, _SEX, _ID_TYPE, _ID_NUMBER, _NATION, _COUNTRY, _BIRTHPLACE, _BIRTHDAY, *_CONTACT, *_GUARDIAN, *_BRANCH, _reserve(50),
    charset=CHARSET,
)  # fmt: skip
RESULT = Fixed(
    "RH record",
    Field("flag", 1, en="1: passed, 0: not passed", zh="审核结果"),
    _DETAIL, _TASK, _NAME, _SEX, _ID_TYPE, _ID_NUMBER,
    _text("reason", 200, "why it was not passed", "失败原因"),
    _reserve(30),
    charset=CHARSET,
)  # fmt: skip
MAP = Fixed(
    "BK record",
    _text("social_card", 20, "number of the social-security card", "社保卡卡号", optional=False),
    _text("bank_card", 20, "number of the bank card", "银行卡卡号", optional=False),
    _NAME, _SEX, _ID_TYPE, _ID_NUMBER, _NATION, _COUNTRY, _BIRTHPLACE, _BIRTHDAY, *_CONTACT, *_BRANCH,
    _text("voucher", 10, "number of the bank's voucher", "凭证号"),
    _reserve(20),
    charset=CHARSET,
)  # fmt: skip
RECORDS = {SH: REQUEST, RH: RESULT, BK: MAP}

#: Kind of id document → the code in these files; every other kind is OTHER_ID. Known besides: 02 officer's, 04 entry permit, 05 temporary.
ID_TYPES = {IdType.RESIDENT: "01", IdType.PASSPORT: "03"}
OTHER_ID = "10"
CHINA = "CHN"
_ACCOUNT = re.compile(r"[0-9-]{1,30}", re.ASCII)
#: What we know of a person stands in the first ten fields of SH; the contact, the guardian and the branch stay blank.
_PERSON = Fixed("SH record", *REQUEST.fields[:10], charset=CHARSET)
_UNKNOWN = b" " * (REQUEST.size - _PERSON.size - REQUEST.fields[-1].width)


def write_check(head: ListHead, lines: Iterable[CheckLine], bank: Bank) -> Iterator[bytes | SealSlot]:
    """An SH file in chunks of whole records.

    The task number is the Document's reference, the detail number the line's ``ref``. Raises Refused (CHARSET, SIZE, FORMAT, SCHEMA; POLICY for
    an account that this Bank's agreement has no place for), Halt where the lines are not numbered 1, 2, … or are not as many as the head says.
    """
    if not 0 < head.count <= COUNT_MAX:
        raise Refused(f"{head.count} lines, must be 1..{COUNT_MAX}", code=Code.RANGE, where=head.reference)
    in_reserve = format_options(bank, Options).account == "reserve"
    waiting = [HEADERS[SH].pack((head.count, REQUEST.size)), b"\n"]
    number = 0
    for number, line in enumerate(lines, 1):
        if line.line != number:
            raise Halt(f"line {line.line} of {head.reference} stands at {number}")
        waiting += (_request(head, line, in_reserve), b"\n")
        if len(waiting) > 2 * CHUNK_RECORDS:
            yield b"".join(waiting)
            waiting = []
    if number != head.count:
        raise Halt(f"{head.reference} has {number} lines, its head says {head.count}")
    if waiting:
        yield b"".join(waiting)


def _request(head: ListHead, line: CheckLine, in_reserve: bool) -> bytes:
    if line.account and not in_reserve:
        what = "SH has no field for an account, and nothing is agreed: format_options.account is none"
        raise Refused(what, code=Code.POLICY, where=f"SH record {line.line}")
    if line.account and not _ACCOUNT.fullmatch(line.account):
        raise Refused("account is not 1 to 30 digits", code=Code.FORMAT, where=f"SH record {line.line}")
    resident = line.id_type == IdType.RESIDENT and len(line.id_number) == 18
    person = (
        line.ref,
        head.reference,
        line.name,
        "",
        ID_TYPES.get(IdType(line.id_type), OTHER_ID) if line.id_type else "",
        line.id_number,
        "",
        CHINA if resident else "",
        "",
        line.id_number[6:14] if resident else "",
    )
    return _PERSON.pack(person, line.line) + _UNKNOWN + line.account.ljust(50, FILL).encode("ascii")
