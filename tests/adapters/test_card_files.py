"""Card files byte by byte: what stands where, all or nothing, what a person's audit and a card's notice mean."""

from __future__ import annotations

import json
import tomllib
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.card_files import ADAPTER
from adapters.card_files.layout import RECORDS
from gateway.cli import config as configuration
from gateway.core.bank import Agreement, Bank, CheckLine, DocKind, Head, ListHead, Reason, Row
from gateway.core.errors import Code, Malformed, Refused
from gateway.core.verdicts import Outcome, Verdict
from tests.adapters.suite import CHECKS, NOW, bank_of, checked, read

GOLDEN = Path(__file__).parent / "golden" / "card_files"
BANK = bank_of(ADAPTER)


def fixed(*fields: tuple[str, int]) -> bytes:
    """A record as the other side's program makes it: left, blanks after, widths in GBK bytes."""
    record = b""
    for text, width in fields:
        raw = text.encode("gbk")
        assert len(raw) <= width
        record += raw + b" " * (width - len(raw))
    return record


def audit(flag: str, detail: str, task: str = "R1", reason: str = "", name: str = "欧阳娜娜") -> bytes:
    """One record of RH."""
    return fixed(
        (flag, 1), (detail, 12), (task, 32), (name, 30), ("", 1), ("01", 2), ("11010519491231002X", 18), (reason, 200), ("F" * 30, 30)
    )  # fmt: skip


def mapped(social: str, card: str, name: str) -> bytes:
    """One record of BK."""
    head = fixed(
        (social, 20), (card, 20), (name, 30), ("1", 1), ("01", 2), ("11010519491231002X", 18), ("01", 2), ("CHN", 3)
    )
    rest = fixed(("", 6), ("19491231", 8), ("13800000000", 11), ("", 15), ("某市某路1号", 60), ("", 20), ("某单位", 80))
    return head + rest + fixed(("", 50), ("", 50), ("0001", 8), ("", 50), ("V000000001", 10), ("F" * 20, 20))


def file_of(kind: str, *records: bytes, count: int | None = None, end: bytes = b"\n", size: int | None = None) -> bytes:
    """A whole file."""
    size = RECORDS[kind].size if size is None else size
    header = f"{kind}{len(records) if count is None else count:08}{size:08}{'F' * 10}".encode()
    return header + b"\n" + b"".join(record + end for record in records)


def rows_of(document: bytes) -> tuple[Head, list[Row]]:
    """Head and rows."""
    head, _, rows, _ = read(ADAPTER, document)
    return head, rows


# -------------------------------------------------------------------------------------------------------------- golden


def test_golden_request() -> None:
    """The bytes of a known request never change by accident; every field stands where the published layout has it."""
    document = checked(ADAPTER)
    assert document == (GOLDEN / "request.SH").read_bytes()
    header, first, *_ = document.split(b"\n")
    assert header == b"SH0000000300000589FFFFFFFFFF"
    assert len(first) == 589
    assert first[:12] == b"901         "
    assert first[12:44] == b"BANKA2015061000001".ljust(32)
    assert first[44:74] == "欧阳娜娜".encode("gbk").ljust(30)
    assert first[75:77] == b"01"
    assert first[77:95] == b"11010519491231002X"
    assert first[97:100] == b"CHN"
    assert first[106:114] == b"19491231"
    assert first[539:] == b"9900010000000000017".ljust(50, b"F")


def test_golden_result() -> None:
    """An answer as the bank's program writes it: passed, not passed with its words, an unknown flag."""
    document = file_of(
        "RH",
        audit("1", "901"),
        audit("0", "902", reason="姓名与证件号码不符", name="艾力·买买提"),
        audit("7", "903", name="李四"),
    )
    assert document == (GOLDEN / "result.RH").read_bytes()
    head, rows = rows_of(document)
    assert (head.kind, head.message, head.original, head.original_kind) == (DocKind.NAME_CHECK, "RH", "R1", "SH")
    assert head.declared_count == 3
    assert [(row.ref, row.status, row.name, row.text) for row in rows] == [
        ("901", "1", "欧阳娜娜", ""),
        ("902", "0", "艾力·买买提", "姓名与证件号码不符"),
        ("903", "7", "李四", ""),
    ]
    assert rows[1].reasons == (Reason("card_files", "0", "姓名与证件号码不符"),)
    assert {row.id_number for row in rows} == {"11010519491231002X"}
    words = [ADAPTER.judge(head, None, row, Agreement()) for row in rows]
    assert [word.verdict for word in words] == [Verdict.RECEIVED, Verdict.NO_REASON, Verdict.UNKNOWN_CODE]
    assert {word.outcome for word in words} == {Outcome.NONE}


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_card_map(end: bytes) -> None:
    """Which bank card belongs to which social-security card, with either line end."""
    document = file_of("BK", mapped("A12345678", "9900010000000000017", "张三"), end=end)
    head, rows = rows_of(document)
    assert (head.kind, head.message, head.original) == (DocKind.CARD_STATUS, "BK", "")
    assert rows == [
        Row(
            "A12345678", None, "", "", bank_ref="V000000001", name="张三", account="9900010000000000017", id_number="11010519491231002X"
        )
    ]  # fmt: skip
    assert ADAPTER.judge(head, None, rows[0], Agreement()) == (Outcome.NONE, Verdict.NO_REASON)


# ------------------------------------------------------------------------------------------------------- all or nothing


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (file_of("RH", audit("1", "901"), count=2), Code.TRUNCATED),
        (file_of("RH", audit("1", "901"), audit("1", "902"), count=1), Code.TOTALS),
        (file_of("RH", audit("1", "901"), size=327), Code.SCHEMA),
        (file_of("RH", audit("1", "901")[:-1]), Code.FORMAT),
        (file_of("RH", audit("1", "901") + b" "), Code.FORMAT),
        (file_of("RH", audit("1", "901", task="R1"), audit("1", "902", task="R2")), Code.SCHEMA),
        (file_of("RH", audit("1", "901"))[:-1], Code.TRUNCATED),
        (file_of("RH", audit("1", "901")).replace(b"FFFFFFFFFF\n", b"FFFFFFFFF0\n", 1), Code.FORMAT),
        (file_of("RH", audit("1", "901")).replace(b"RH", b"RX", 1), Code.FORMAT),
        (file_of("RH", audit("1", "901").replace("欧阳娜娜".encode("gbk"), b"\xc5\xb7\xd1\xf4\xff\xff\xff\xff")), Code.FORMAT),
        (b"SH00000001", Code.TRUNCATED),
        (b"", Code.TRUNCATED),
    ],
    ids=["fewer", "more", "size", "short", "long", "tasks", "cut", "filler", "kind", "gbk", "header", "empty"],
)  # fmt: skip
def test_all_or_nothing(document: bytes, code: Code) -> None:
    """A file that is not exactly what its header says is not read."""
    with pytest.raises(Malformed) as error:
        list(ADAPTER.read(BytesIO(document)))
    assert error.value.code is code


def test_an_empty_answer_is_whole() -> None:
    """No record, and the header says so."""
    head, rows = rows_of(file_of("RH"))
    assert (head.declared_count, rows) == (0, [])


def test_a_character_cut_at_the_edge_is_refused_and_never_written() -> None:
    """Fifteen characters fill a name; a sixteenth is refused whole, not cut to its half."""
    fits = CHECKS[0]._replace(name="欧" * 15)
    assert rows_of(checked(ADAPTER, [fits]))[1][0].name == "欧" * 15
    with pytest.raises(Refused) as error:
        checked(ADAPTER, [fits._replace(name="欧" * 14 + "a" * 3)])
    assert error.value.code is Code.SIZE
    record = audit("1", "901", name="欧" * 15)
    cut = file_of("RH", record[:74] + b" " + record[75:])
    with pytest.raises(Malformed):
        rows_of(cut)


# ---------------------------------------------------------------------------------------------------------- the account


def asked(account: str, agreed: str) -> bytes:
    """One question under an agreement."""
    bank: Bank = msgspec.structs.replace(BANK, format_options={"account": agreed})
    assert ADAPTER.write_check is not None
    head = ListHead(reference="R1", sequence=1, created=NOW, count=1)
    line = CheckLine(1, "901", "张三", account, "resident", "11010519491231002X")
    return b"".join(part for part in ADAPTER.write_check(head, [line], bank) if isinstance(part, bytes))


def test_an_account_stands_where_the_bank_agreed_or_nowhere() -> None:
    """Never dropped in silence: "passed" would then be taken for a word on the account."""
    assert rows_of(asked("9900010000000000017", "reserve"))[1][0].account == "9900010000000000017"
    with pytest.raises(Refused) as error:
        asked("9900010000000000017", "none")
    assert error.value.code is Code.POLICY
    assert asked("", "none").split(b"\n")[1].endswith(b"F" * 50)


@pytest.mark.parametrize(("field", "text"), [("ref", "9" * 13), ("id_number", "9" * 19)])
def test_what_does_not_fit_is_refused(field: str, text: str) -> None:
    """References have 12 bytes, id numbers 18."""
    with pytest.raises(Refused) as error:
        checked(ADAPTER, [CHECKS[0]._replace(**{field: text})])  # type: ignore[arg-type]  # the fields that are text
    assert error.value.code is Code.SIZE


# -------------------------------------------------------------------------------------------------------------- notices


def notice(trcode: str, **changed: str) -> dict[str, str]:
    """As the card service is called with it."""
    return {
        "trcode": trcode, "bizid": "000000000000101", "termid": "", "termno": "77", "operid": "admin", "cardno": "A12345678",
        "sfz": "11010519491231002X", "name": "张三", "bankcardno": "9900010000000000017", "date": "20150610", "time": "090000",
    } | changed  # fmt: skip


def encoded(*notices: dict[str, str]) -> bytes:
    """A JSON array of them."""
    return json.dumps(notices, ensure_ascii=False).encode()


@pytest.mark.parametrize("trcode", ["B0056", "B0057"])
def test_notices_of_binding_and_unbinding(trcode: str) -> None:
    """The account that belonged to a card is another one now, or none."""
    document = encoded(notice(trcode), notice(trcode, termno="78", sfz="11010519491231003X"))
    assert ADAPTER.sniff(document)
    head, rows = rows_of(document)
    assert (head.kind, head.message, head.created) == (DocKind.CARD_STATUS, trcode, "20150610090000")
    assert [(row.ref, row.status, row.account, row.bank_ref) for row in rows] == [
        ("77", trcode, "9900010000000000017", "A12345678"),
        ("78", trcode, "9900010000000000017", "A12345678"),
    ]
    assert ADAPTER.judge(head, None, rows[0], Agreement()) == (Outcome.NONE, Verdict.ACCOUNT_CHANGED)


@pytest.mark.parametrize(
    "document",
    [
        encoded(),
        encoded(notice("B0058")),
        encoded(notice("B0056"), notice("B0057")),
        encoded(notice("B0056", bankcardno="")),
        b'[{"trcode": 56}]',
        encoded(notice("B0056"))[:-1],
        b"[" * 100_000,
    ],
    ids=["none", "other", "mixed", "card", "type", "cut", "deep"],
)
def test_other_notices_are_refused(document: bytes) -> None:
    """What is no notice of these two kinds, whole and of one kind, is not read."""
    with pytest.raises(Malformed):
        list(ADAPTER.read(BytesIO(document)))


@pytest.mark.parametrize(("state", "verdict"), [("4", Verdict.CARD_LOST), ("6", Verdict.CARD_REPLACING), ("0", Verdict.UNKNOWN_CODE)])  # fmt: skip
def test_states_of_a_card(state: str, verdict: Verdict) -> None:
    """The card system's own codes; the one that means two things is left unknown."""
    head = Head(kind=DocKind.CARD_STATUS, message="BK")
    assert ADAPTER.judge(head, None, Row("", None, "", state), Agreement()) == (Outcome.NONE, verdict)


# -------------------------------------------------------------------------------------------------------- configuration


def example() -> dict[str, Any]:
    """The bank of the format's page."""
    page = (Path(__file__).parents[2] / "adapters" / "card_files" / "README.md").read_text()
    (bank,) = tomllib.loads(page.split("```toml\n")[1].split("```")[0])["bank"]
    return dict(bank)


def configured(bank: dict[str, Any]) -> configuration.Config:
    """A configuration with this bank and nothing else that matters."""
    return configuration.of(
        {"gateway": {"bureau": "某市社会保险基金管理局"}, "bank": [bank]}, Path("/nowhere"), files=False
    )


def test_the_example_of_the_page_is_a_configuration() -> None:
    """Copied as it stands; without its option, or with a debit account, it is refused."""
    (bank,) = configured(example()).banks
    assert bank.format_options == {"account": "reserve"}
    refused: tuple[dict[str, Any], ...] = (
        {"format_options": {}},
        {"format_options": {"account": "yes"}},
        {"debit_accounts": {"pension": "9900100000000000123"}},
    )
    for wrong in refused:
        with pytest.raises(Refused) as error:
            configured({**example(), **wrong})
        assert error.value.code in (Code.SCHEMA, Code.POLICY)
