"""B2Bi packets and files byte by byte: places counted in bytes, what is refused, what each word means for the money."""

from __future__ import annotations

import tomllib
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from adapters.pingan import ADAPTER, packet
from gateway.cli import config as configuration
from gateway.core.bank import Agreement, DocKind, Head, Reason, Row
from gateway.core.errors import Code, Malformed, Refused
from gateway.core.verdicts import Outcome, Verdict
from tests.adapters.replies.pingan import reply
from tests.adapters.suite import LINES, NOW, bank_of, head_of, line_of, read, written

GOLDEN = Path(__file__).parent / "golden" / "pingan"
RETURNED = """9900100000000000123|::|4|::|20001840.01
1433899200000001|::|9900010000000000017|::|欧阳娜娜|::|1840.00|::|0.00|::|0000|::|交易成功
1433899200000002|::|9900010000000000017|::|艾力·买买提|::|0.01|::|0.00|::|9001|::|结果不明确
1433899200000003|::|9900010000000000025|::|李四|::|10000000.0|::|0|::|X123|::|账户户名不符，请核实
1433899200000004|::|9900010000000000017|::|张三|::|1840.00|::||::|X999|::|
""".encode("gbk")


def judged(head: Head, rows: list[Row]) -> list[tuple[Outcome, Verdict]]:
    """Of every line."""
    return [tuple(ADAPTER.judge(head, None, row, Agreement())) for row in rows]  # type: ignore[misc]  # a pair is a pair


def test_golden_batch() -> None:
    """The bytes of a known batch never change by accident."""
    document = written(ADAPTER)
    assert document == (GOLDEN / "batch.txt").read_bytes()
    first, second, *_ = document.decode("gbk").split("\n")
    assert (
        first
        == f"9900100000000000123|::|4|::|{sum(line.amount for line in LINES) // 100}.{sum(line.amount for line in LINES) % 100:02}"
    )
    assert second.split("|::|") == [
        str(LINES[0].key), "9900010000000000017", "欧阳娜娜", "", "", "", "1840.00", "2015年6月养老金", "", "",
    ]  # fmt: skip


def test_golden_return_file() -> None:
    """Credited, not known, failed in words that are known, and in none: only the last one is for a person."""
    assert (GOLDEN / "returned.txt").read_bytes() == RETURNED
    head, _, rows, tail = read(ADAPTER, RETURNED)
    assert (head.kind, head.original, head.declared_count) == (DocKind.RESULT, "", None)
    assert [(row.ref, row.amount, row.status) for row in rows] == [
        ("1433899200000001", 184000, "0000"),
        ("1433899200000002", 1, "9001"),
        ("1433899200000003", 1_000_000_000, "X123"),
        ("1433899200000004", 184000, "X999"),
    ]
    assert tail.count == 4
    assert judged(head, rows) == [
        (Outcome.PAID, Verdict.PAID),
        (Outcome.UNKNOWN, Verdict.TIMEOUT),
        (Outcome.FAILED, Verdict.NAME_MISMATCH),
        (Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
    ]


@pytest.mark.parametrize("document", [RETURNED.replace(b"\n", b"\r\n"), RETURNED.removesuffix(b"\n")], ids=["crlf", "no end"])  # fmt: skip
def test_line_ends_of_a_return_file(document: bytes) -> None:
    """The client's machine writes either; the last line may have none."""
    assert read(ADAPTER, document)[3].count == 4


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (RETURNED.replace(b"|::|0000|::|", b"|::|0000|"), Code.SCHEMA),
        (RETURNED.replace(b"0.01|::|", b"0,01|::|", 1), Code.FORMAT),
        (RETURNED.replace(b"\n", b"\n\n", 1), Code.SIZE),
        (RETURNED.replace("欧阳".encode("gbk"), b"\xff\xff"), Code.FORMAT),
        (RETURNED[:40], Code.TRUNCATED),
        (b"9900100000000000123|::|4|::|3680.02\n", Code.TRUNCATED),
        (written(ADAPTER).replace(b"|::|4|::|", b"|::|3|::|", 1), Code.TOTALS),
        (written(ADAPTER).replace(b"|::|1840.00|::|", b"|::|1840.01|::|", 1), Code.TOTALS),
    ],
    ids=["fields", "amount", "empty", "gbk", "cut", "first", "count", "total"],
)
def test_files_that_are_not_read(document: bytes, code: Code) -> None:
    """Whole, in GBK, with the fields that belong there, adding up; or not at all."""
    with pytest.raises(Malformed) as error:
        list(ADAPTER.read(BytesIO(document)))
    assert error.value.code in (code, Code.FORMAT if code is Code.TRUNCATED else code)


def test_what_the_batch_cannot_hold() -> None:
    """A longer reference, a second payment where commands carry one, a separator in a name."""
    long = msgspec.structs.replace(head_of(LINES), reference="ABCDEFGH2015061000001")
    with pytest.raises(Refused) as error:
        written(ADAPTER, LINES, long)
    assert error.value.code is Code.SIZE
    single = msgspec.structs.replace(bank_of(ADAPTER), format_options={"mode": "single"})
    assert ADAPTER.write_payment is not None
    with pytest.raises(Refused) as error:
        list(ADAPTER.write_payment(head_of(LINES), iter(LINES), single))
    assert error.value.code is Code.POLICY
    with pytest.raises(Refused) as error:
        written(ADAPTER, [line_of(1, "张|三")])
    assert error.value.code is Code.CHARSET


# ------------------------------------------------------------------------------------------------------------- packets


def test_a_request_counts_bytes() -> None:
    """Every place of the header, and the length of a body with Chinese in it, in both charsets."""
    sizes = []
    for charset, flag in (("gbk", b"01"), ("utf-8", b"02")):
        made = packet.write(
            "FILE02", {"TradeSn": "S1", "Desc": "养老金"}, charset=charset, protocol="02", company="00901000000000000001",
            operator="00000", serial="20150610090000abcd01", now=NOW,
        )  # fmt: skip
        assert made[:10] == b"A00101" + flag + b"02"
        assert made[10:30] == b"00901000000000000001"
        assert int(made[30:40]) == len(made) - 222
        assert made[40:51] == b"FILE0200000"
        assert made[51:87] == b"01" + b"20150610090000" + b"20150610090000abcd01"
        assert made[87:193] == b" " * 106
        assert made[193:222] == b"0000" + b"01" + b" " * 12 + b"0000000000" + b"0"
        sizes.append(len(made))
        found = packet.read(made)
        assert (found.transaction, found.leaf("Desc"), found.head["service"]) == ("FILE02", "养老金", "01")
    assert sizes[1] - sizes[0] == len("养老金") + len("UTF-8") - len("GBK")


def test_a_text_that_is_cut_in_the_middle_of_a_character() -> None:
    """The text has 100 bytes, so its last character may be half: that half goes, and nothing after it is shifted."""
    words = "交易" * 24 + "受"  # 98 bytes and a colon: the next character would be cut
    made = bytearray(reply("KHKF01", {"BatchNo": "R1"}, text=words))
    made[192:193] = "理".encode("gbk")[:1]
    found = packet.read(bytes(made))
    assert found.head["text"] == words
    assert (found.ok, found.leaf("BatchNo")) == (True, "R1")


GOOD = reply("KHKF01", {"BatchNo": "R1"})


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (GOOD[:-1], Code.TRUNCATED),
        (GOOD + b" ", Code.FORMAT),
        (GOOD[:221], Code.TRUNCATED),
        (b"A00201" + GOOD[6:], Code.FORMAT),
        (GOOD[:6] + b"03" + GOOD[8:], Code.FORMAT),
        (GOOD[:30] + b"99999999xx" + GOOD[40:], Code.SIZE),
        (GOOD[:193] + b"1" + GOOD[194:], Code.SCHEMA),
        (GOOD[:197] + b"1" + GOOD[198:], Code.SCHEMA),
        (GOOD[:221] + b"1" + GOOD[222:], Code.SCHEMA),
        (GOOD[:87] + "成功".encode("gbk") + GOOD[91:], Code.FORMAT),
        (reply("KHKF01", {"BatchNo": "R1</BatchNo><BatchNo>R2"}), Code.SCHEMA),
        (reply("KHKF01", {"BatchNo": "&x;"}), Code.FORMAT),
    ],
    ids=["cut", "more", "head", "type", "charset", "length", "packets", "signed", "attached", "shifted", "twice", "entity"],
)  # fmt: skip
def test_packets_that_are_not_read(data: bytes, code: Code) -> None:
    """Whole, plain, and counted in bytes; or not at all."""
    with pytest.raises(Malformed) as error:
        packet.read(data)
    assert error.value.code is code


@pytest.mark.parametrize(
    ("transaction", "leaves", "kind", "outcome", "verdict"),
    [
        ("KHKF01", {"BatchNo": "R1"}, DocKind.RECEIPT, Outcome.PENDING, Verdict.RECEIVED),
        ("KHKF02", {"BatchNo": "R1", "BatchStt": "40"}, DocKind.ANSWER, Outcome.PENDING, Verdict.RECEIVED),
        ("KHKF02", {"BatchNo": "R1", "BatchStt": "20"}, DocKind.ANSWER, Outcome.PENDING, Verdict.RECEIVED),
        ("KHKF02", {"BatchNo": "R1", "BatchStt": "30"}, DocKind.ANSWER, Outcome.UNKNOWN, Verdict.BANK_FAULT),
        ("KHKF02", {"BatchNo": "R1", "BatchStt": "77"}, DocKind.ANSWER, Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
        ("KHKF04", {"OrderNumber": "1", "Status": "10"}, DocKind.ANSWER, Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
    ],
)
def test_words_on_the_whole(
    transaction: str, leaves: dict[str, str], kind: DocKind, outcome: Outcome, verdict: Verdict
) -> None:
    """None of them refuses: a state does not prove that nothing was booked."""
    head, _, rows, _ = read(ADAPTER, reply(transaction, leaves))
    assert (head.kind, head.original, rows) == (kind, leaves.get("BatchNo", ""), [])
    assert ADAPTER.judge(head, None, None, Agreement()) == (outcome, verdict)


@pytest.mark.parametrize(
    ("status", "code", "words", "expected"),
    [
        ("20", "0000", "成功", (Outcome.PAID, Verdict.PAID)),
        ("30", "X1", "已销户", (Outcome.FAILED, Verdict.ACCOUNT_CLOSED)),
        ("30", "X1", "别的", (Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)),
        ("30", "9001", "", (Outcome.UNKNOWN, Verdict.TIMEOUT)),
        ("30", "0000", "成功", (Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)),
    ],
)
def test_words_on_a_single_payment(status: str, code: str, words: str, expected: tuple[Outcome, Verdict]) -> None:
    """Its state first; a failure that calls itself credited is for a person."""
    leaves = {"OrderNumber": "7", "Status": status, "RetCode": code, "RetMsg": words, "TranAmount": "18.40"}
    head, _, (row,), _ = read(ADAPTER, reply("KHKF04", leaves))
    assert (head.kind, row.ref, row.amount) == (DocKind.RESULT, "7", 1840)
    assert row.reasons == (Reason("pingan", code, words),)
    assert judged(head, [row]) == [expected]


@pytest.mark.parametrize(
    "code", ["YQ9999", "GW3002", "EBLN00", "AFE004", "E00006", "E00007", "E00008", "YQ9989", "YQ9976"]
)
def test_codes_after_which_the_outcome_is_asked_for(code: str) -> None:
    """Not one of them is a failure."""
    head, _, _, _ = read(ADAPTER, reply("KHKF01", {}, code=code, text="通讯异常"))
    assert ADAPTER.judge(head, None, None, Agreement()) == (Outcome.UNKNOWN, Verdict.TIMEOUT)


def test_the_example_of_the_page_is_a_configuration() -> None:
    """Copied as it stands; an option that nobody knows is refused."""
    page = (Path(__file__).parents[2] / "adapters" / "pingan" / "README.md").read_text()
    (example,) = tomllib.loads(page.split("```toml\n")[1].split("```")[0])["bank"]
    document = {"gateway": {"bureau": "某市社会保险基金管理局"}, "bank": [example]}
    (bank,) = configuration.of(document, Path("/nowhere"), files=False).banks
    assert bank.format_options["upload"] == "D:\\b2bi\\up"
    document["bank"] = [example | {"format_options": {"mode": "both"}}]
    with pytest.raises(Refused):
        configuration.of(document, Path("/nowhere"), files=False)
