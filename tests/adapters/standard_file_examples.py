"""Small standard files of every kind, made by the product's own tables; the specification shows the same ones.

``python -m tests.adapters.standard_file_examples`` writes the tables and examples of schemas/standard_file*.md anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from adapters.standard_file import codes, layout, writing
from adapters.standard_file.kinds import FileKind
from adapters.standard_file.layout import Header
from gateway.codec.columns import Delimited, Value
from gateway.core.bank import Bank, Inquiry, PayLine, PaymentHead, WireKind
from gateway.core.contracts import BenefitLine, IdType

BEIJING = ZoneInfo("Asia/Shanghai")
BANK = Bank(code="BANKA", name="Bank A", adapter="standard_file", wire=WireKind.FOLDER, customer="440600001")
REFERENCE = "BANKA2015061000001"
HEAD = PaymentHead(
    reference=REFERENCE,
    batch="BANKA20150610B00001",
    sequence=1,
    created=datetime(2015, 6, 10, 9, 0, 0, tzinfo=BEIJING),
    pay_date=date(2015, 6, 10),
    fund="pension",
    benefit="pension",
    debit_account="9900100000000000123",
    debit_name="某市社会保险基金管理局",
    count=4,
    minor=671549,
)
_PURPOSE = "2015年6月养老金"
LINES = (
    PayLine(1, 1433899200000001, "欧阳娜娜", "9900010000000000017", 184000, "resident", "11010519491231002X", _PURPOSE),
    PayLine(2, 1433899200000002, "艾力·买买提", "9900010000000000025", 215050, purpose=_PURPOSE),
    PayLine(3, 1433899200000003, "周珅", "9900010000000000033", 99999, "passport", "E00000001", _PURPOSE),
    PayLine(4, 1433899200000004, "李䶮", "9900010000000000041", 172500, purpose=_PURPOSE, pair="WL000123"),
)


def file(header: Header, table: Delimited | None = None, rows: Iterable[tuple[Value, ...]] = ()) -> bytes:
    """A whole file with the right count, sum and digest; a receipt's header keeps its own count and sum."""
    rows = tuple(rows)
    amount = table.names.index("amount") if table and "amount" in table.names else None
    total = sum(int(row[amount] or 0) for row in rows) if amount is not None else 0
    if header.kind != FileKind.RCT:
        header = msgspec.structs.replace(header, count=len(rows), total=total)
    records = [layout.HEADER.pack(msgspec.structs.astuple(header))]
    records += [table.pack(row) for row in rows] if table else []
    return b"".join(writing.assemble(records, len(rows), total))


def answer(kind: FileKind, number: str, created: str, **fields: object) -> Header:
    """The header of a bank's file that answers the example payment file."""
    values: dict[str, object] = {
        "original": REFERENCE,
        "original_kind": "PAY",
        "original_digest": hashlib.sha256(PAYMENT).hexdigest(),
        "status": "0000",
        "kind": kind,
        "reference": number,
        "created": created,
        "customer": BANK.customer,
        "bank": BANK.code,
        **fields,
    }
    return msgspec.convert(values, Header)


def payment(head: PaymentHead = HEAD, lines: Iterable[PayLine] = LINES) -> bytes:
    """The whole payment file."""
    return b"".join(chunk for chunk in writing.write_payment(head, lines, BANK) if isinstance(chunk, bytes))


def inquiry(lines: tuple[int, ...] = ()) -> bytes:
    """A whole inquiry about the example payment file."""
    question = Inquiry(
        reference="BANKA20150610Q00001",
        original=REFERENCE,
        original_name=f"SY1_payment_440600001_20150610_{REFERENCE}.txt",
        created=datetime(2015, 6, 10, 11, 0, 0, tzinfo=BEIJING),
        lines=lines,
    )
    return b"".join(chunk for chunk in writing.write_inquiry(question, BANK) if isinstance(chunk, bytes))


PAYMENT = payment()
_RESULT = ("BANKA20150610R00001", "20150610163000")
EXAMPLES: dict[str, bytes] = {
    "payment": PAYMENT,
    "receipt": file(answer(FileKind.RCT, "BANKA20150610C00001", "20150610090512", count=4, total=671549)),
    "refused": file(
        answer(
            FileKind.RCT, "BANKA20150610C00002", "20150610090512", status="3001", text="余额不足", count=4, total=671549
        )
    ),
    "repeated": file(
        answer(
            FileKind.RCT, "BANKA20150610C00003", "20150610094500", status="4001", text="文件重复", count=4, total=671549
        )
    ),
    "result-1": file(
        answer(FileKind.RES, *_RESULT, part=1, parts=2),
        layout.RESULT,
        [
            (1, 1433899200000001, 184000, "0000", "20150610000000017", "", ""),
            (2, 1433899200000002, 215050, "1002", "", "户名不符", "艾力买买提"),
            (3, 1433899200000003, 99999, "0001", "", "", ""),
        ],
    ),
    "result-2": file(
        answer(FileKind.RES, "BANKA20150611R00001", "20150611093000", part=2, parts=2),
        layout.RESULT,
        [
            (4, 1433899200000004, 172500, "1003", "", "挂失", ""),
            (3, 1433899200000003, 99999, "0000", "20150611000000004", "", ""),
        ],
    ),
    "result-empty": file(answer(FileKind.RES, "BANKA20150610R00000", "20150610160000", parts=0)),
    "return": file(
        answer(
            FileKind.RET,
            "BANKA20150615N00001",
            "20150615170000",
            original="",
            original_kind="",
            original_digest="",
            status="",
        ),
        layout.RETURNED,
        [(1, 1433899200000001, 184000, "1005", "20150615000000101", "已销户退汇", "")],
    ),
    "inquiry": inquiry(),
    "inquiry-lines": inquiry((3, 4)),
    "answer": file(
        answer(FileKind.ANS, "BANKA20150610A00001", "20150610110130", inquiry="BANKA20150610Q00001"),
        layout.RESULT,
        [
            (3, 1433899200000003, 99999, "0001", "", "", ""),
            (4, 1433899200000004, 172500, "1003", "", "挂失", ""),
        ],
    ),
    "answer-not-found": file(
        answer(
            FileKind.ANS,
            "BANKA20150610A00002",
            "20150610110130",
            inquiry="BANKA20150610Q00001",
            original_digest="",
            status="6001",
            text="查无此文件",
        )
    ),
}

# ---------------------------------------------------------------------------------------- what the specification shows

SPECIFICATIONS = {"en": Path("schemas/standard_file.md"), "zh": Path("schemas/standard_file.zh-CN.md")}
_PART = re.compile(r"(<!-- (\w+): ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.S)
_HEADINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "fields": {
        "en": ("#", "field", "type", "must", "meaning", "example"),
        "zh": ("序", "字段", "类型", "必填", "含义", "示例"),
    },
    "codes": {"en": ("code", "words 中文 · English", "verdict"), "zh": ("代码", "说明 中文 · English", "分类")},
}
_ID_TYPES = {
    IdType.RESIDENT: "居民身份证 (GB 11643)",
    IdType.HMT_RESIDENT: "港澳台居民居住证 (GB 11643)",
    IdType.PASSPORT: "护照",
    IdType.HM_PERMIT: "港澳居民来往内地通行证",
    IdType.TW_PERMIT: "台湾居民来往大陆通行证",
    IdType.FOREIGN_RESIDENT: "外国人永久居留身份证",
    IdType.OTHER: "其他",
}
_BENEFITS = {
    BenefitLine.PENSION: "养老",
    BenefitLine.UNEMPLOYMENT: "失业",
    BenefitLine.WORK_INJURY_ONE_OFF: "工伤一次性待遇",
    BenefitLine.WORK_INJURY_LONG_TERM: "工伤长期待遇",
    BenefitLine.MEDICAL: "医疗",
    BenefitLine.MATERNITY: "生育",
}


def rendered(text: str, language: str) -> str:
    """The specification with its marked parts as the code has them: ``<!-- fields: H -->`` … ``<!-- end -->``."""
    return _PART.sub(lambda part: part[1] + _render(part[2], part[3], language) + part[5], text)


def examples_in(text: str) -> dict[str, bytes]:
    """The example files that a specification shows, as the bytes that they stand for."""
    shown = {name: body for _, what, name, body, _ in _PART.findall(text) if what == "example"}
    return {name: body.strip("`\n").removeprefix("text\n").encode("gb18030") + b"\n" for name, body in shown.items()}


def _render(what: str, name: str, language: str) -> str:
    if what == "example":
        return f"```text\n{EXAMPLES[name].decode('gb18030')}```\n"
    if what == "fields":
        rows = [
            (
                str(n),
                f.name,
                f.type + (f", {f.unit}" if f.unit else ""),
                "" if f.optional else "✓",
                getattr(f, language),
                f.example,
            )
            for n, f in enumerate(layout.RECORDS[name].fields, 1)
        ]
        return _table(_HEADINGS["fields"][language], [(n, f"`{f}`", t, m, w, f"`{e}`") for n, f, t, m, w, e in rows])
    if what == "codes":
        found = [row for row in codes.CODES.values() if row.family == name]
        return _table(_HEADINGS["codes"][language], [(f"`{row.code}`", row.words, row.verdict) for row in found])
    words = _ID_TYPES if name == "id_types" else _BENEFITS
    return "".join(f"- `{word}` {zh}\n" for word, zh in words.items())


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    for code, path in SPECIFICATIONS.items():
        path.write_text(rendered(path.read_text(), code))
