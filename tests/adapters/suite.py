"""What the suite over every format shares: the formats, a bank for each, a few payments, and reading with its order checked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec

from adapters import discover
from gateway.core.adapter import Adapter
from gateway.core.bank import (
    Bank,
    Block,
    CheckLine,
    Head,
    Item,
    ListHead,
    PayLine,
    PaymentHead,
    Row,
    SealSlot,
    Tail,
)

ADAPTERS = discover()
PAYING = {code: adapter for code, adapter in ADAPTERS.items() if adapter.pays}
CHECKING = {code: adapter for code, adapter in ADAPTERS.items() if adapter.write_check is not None}
BEIJING = ZoneInfo("Asia/Shanghai")
NOW = datetime(2015, 6, 10, 9, 0, 0, tzinfo=BEIJING)


def bank_of(adapter: Adapter, *, sealed: bool = True) -> Bank:
    """A bank that speaks the format; its agreement is the careful default."""
    return Bank(
        code="BANK_A",
        name="Bank A",
        adapter=adapter.code,
        wire=next(iter(adapter.routes)),
        customer="440600001",
        clearing_code="999584000017",
        sealed=sealed,
        format_options=options_of(adapter),
    )


def options_of(adapter: Adapter) -> dict[str, str]:
    """The example of every option that the format cannot do without."""
    if adapter.options is None:
        return {}
    info = msgspec.inspect.type_info(adapter.options)
    assert isinstance(info, msgspec.inspect.StructType)
    examples = {}
    for field in info.fields:
        if field.required:
            assert isinstance(field.type, msgspec.inspect.Metadata)
            examples[field.encode_name] = str((field.type.extra_json_schema or {})["examples"][0])
    return examples


def head_of(lines: Sequence[PayLine]) -> PaymentHead:
    """The head of a Document that holds these lines."""
    return PaymentHead(
        reference="BANKA2015061000001",
        batch="BANKA20150610B00001",
        sequence=1,
        created=NOW,
        pay_date=date(2015, 6, 10),
        fund="pension",
        benefit="pension",
        debit_account="9900100000000000123",
        debit_name="某市社会保险基金管理局",
        count=len(lines),
        minor=sum(line.amount for line in lines),
    )


def line_of(number: int, name: str = "张三", account: str = "9900010000000000017", amount: int = 184000) -> PayLine:
    """One payment."""
    return PayLine(
        number,
        1_433_899_200_000_000 + number,
        name,
        account,
        amount,
        "resident",
        "11010519491231002X",
        "2015年6月养老金",
    )


LINES = (
    line_of(1, "欧阳娜娜"),
    line_of(2, "艾力·买买提", amount=1),
    line_of(3, "李四", "9900010000000000025", 1_000_000_000),
    line_of(4)._replace(id_type="", id_number="", purpose="", pair="WL000123"),
)


def written(adapter: Adapter, lines: Sequence[PayLine] = LINES, head: PaymentHead | None = None) -> bytes:
    """The payment Document's bytes, without a seal."""
    chunks = adapter.payment(head or head_of(lines), iter(lines), bank_of(adapter, sealed=False))
    return b"".join(chunk for chunk in chunks if not isinstance(chunk, SealSlot))


CHECKS = (
    CheckLine(1, "901", "欧阳娜娜", "9900010000000000017", "resident", "11010519491231002X"),
    CheckLine(2, "902", "艾力·买买提", "9900010000000000025"),
    CheckLine(3, "903", "李四", "9900010000000000033", "passport", "E00000001"),
)


def checked(adapter: Adapter, lines: Sequence[CheckLine] = CHECKS, *, count: int | None = None) -> bytes:
    """The bytes of a Document that asks about names, without a seal."""
    assert adapter.write_check is not None
    count = len(lines) if count is None else count
    head = ListHead(reference="BANKA2015061000001", sequence=1, created=NOW, count=count)
    chunks = adapter.write_check(head, iter(lines), bank_of(adapter, sealed=False))
    return b"".join(chunk for chunk in chunks if not isinstance(chunk, SealSlot))


def any_document(adapter: Adapter) -> bytes:
    """One that the format writes: payments, or else questions about names."""
    return written(adapter) if adapter.pays else checked(adapter)


def read(adapter: Adapter, document: bytes) -> tuple[Head, list[Block], list[Row], Tail]:
    """All items, their order checked: one Head, Blocks and Rows that name a Block told before, one Tail."""
    items: list[Item] = list(adapter.read(io.BytesIO(document)))
    head, *middle, tail = items
    assert isinstance(head, Head)
    assert isinstance(tail, Tail)
    blocks: list[Block] = []
    rows: list[Row] = []
    for item in middle:
        if isinstance(item, Block):
            blocks.append(item)
        else:
            assert isinstance(item, Row)
            assert -1 <= item.block < len(blocks)
            rows.append(item)
    assert tail.count == len(rows)
    return head, blocks, rows, tail
