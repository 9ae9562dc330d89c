"""beps.382 and beps.394 byte by byte: the envelope's places, the schemas, the string that is signed, what is refused, the example configuration."""

from __future__ import annotations

import base64
import tomllib
from functools import cache
from pathlib import Path

import msgspec
import pytest
from lxml import etree

from adapters.cnaps2 import ADAPTER, envelope
from adapters.cnaps2.messages import split
from gateway.cli import config as configuration
from gateway.core.bank import ListHead, SealSlot
from gateway.core.errors import Code, Malformed, Refused
from tests.adapters.cnaps2_documents import REPLY, account, accounts, arrived, confirmation, discarded
from tests.adapters.suite import CHECKS, LINES, NOW, bank_of, checked, head_of, line_of, written

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden" / "cnaps2"
BEFORE_XML = 132


@cache
def schema(message: str) -> etree.XMLSchema:
    """A reconstructed one."""
    return etree.XMLSchema(etree.parse(ROOT / "schemas" / "cnaps2" / f"{message}.xsd"))


def xml_of(document: bytes) -> etree._Element:
    """What stands behind the envelope."""
    return etree.fromstring(document[document.index(b"<?xml") :])


def valid(document: bytes) -> bool:
    """Against the schema of its own message."""
    root = xml_of(document)
    return schema((etree.QName(root).namespace or "").rpartition(":")[2]).validate(root)


def sealed(**changes: str) -> bytes:
    """A payment Document whose slot is still empty, at a bank with other options."""
    bank = bank_of(ADAPTER)
    bank = msgspec.structs.replace(bank, format_options=dict(bank.format_options) | changes)
    chunks = ADAPTER.payment(head_of(LINES), iter(LINES), bank)
    return b"".join(chunk for chunk in chunks if not isinstance(chunk, SealSlot))


def test_golden_payment() -> None:
    """The bytes of a known message never change by accident, and are as the schema has them."""
    assert sealed() == (GOLDEN / "payment.txt").read_bytes()
    assert valid(sealed())


def test_golden_question() -> None:
    """The same for names."""
    assert checked(ADAPTER) == (GOLDEN / "question.txt").read_bytes()
    assert valid(checked(ADAPTER))


def test_the_envelope_place_by_place() -> None:
    """132 bytes as measured; the reference is the transport's id too; an empty slot, and none in the unsealed test profile."""
    head = sealed()[:BEFORE_XML].decode("ascii")
    assert [head[start:stop] for start, stop in [(0, 3), (3, 5), (19, 23), (37, 41), (55, 58), (118, 120)]] == [
        "{H:", "02", "BEPS", "BEPS", "XML", "3U",
    ]  # fmt: skip
    assert (head[5:19], head[23:37]) == ("313584000012  ", "999584000017  ")
    assert (head[41:49], head[49:55], head[58:78].rstrip()) == ("20150610", "090000", "beps.382.001.01")
    assert head[78:98] == head[98:118] == "BANKA2015061000001  "
    assert head[120:] == " " * 9 + "}\r\n"
    assert sealed().startswith(b"{S:}\r\n<?xml", BEFORE_XML)
    assert written(ADAPTER).startswith(b"<?xml", BEFORE_XML)


def test_what_is_signed_of_a_payment() -> None:
    """Chosen values in the published order, each with |; an element that is not there leaves no trace."""
    text, signature = split(sealed())
    lines = "".join(
        f"9001|{line.key}|999584000017|{line.name}|{line.account}|CNY{line.amount // 100}.{line.amount % 100:02}|" for line in LINES
    )  # fmt: skip
    total = sum(line.amount for line in LINES)
    group = "BANKA2015061000001|2015-06-10T09:00:00|313584000012|440600001|999584000017|999584000017|BEPS|"
    parties = "某市社会保险基金管理局|9900100000000000123|999584000017|999584000017|999584000017|"
    assert signature == b""
    assert text.decode() == f"{group}00000001|1|CE01|{parties}CNY{total // 100}.{total % 100:02}|C209|4|{lines}"
    assert "|1|HT-1|CE01|" in split(sealed(contract="HT-1"))[0].decode()


def test_what_is_signed_of_a_question() -> None:
    """Header, count, and of each account: number, name, bank."""
    head = ListHead(reference="BANKA2015061000001", sequence=1, created=NOW, count=len(CHECKS))
    assert ADAPTER.write_check is not None
    chunks = ADAPTER.write_check(head, CHECKS, bank_of(ADAPTER))
    text, _ = split(b"".join(chunk for chunk in chunks if not isinstance(chunk, SealSlot)))
    asked = "".join(f"{line.account}|{line.name}|999584000017|" for line in CHECKS)
    assert text.decode().endswith(f"|BEPS|3|{asked}")


@pytest.mark.parametrize("size", [70, 71, 72, 256])
def test_a_signature_goes_into_its_slot(size: int) -> None:
    """Whatever its length, in base64; the rest stays as it is, and it is found again, folded or not."""
    made = bytes(range(256))[:size]
    document = envelope.join(sealed(), made)
    assert document.startswith(b"{S:" + base64.b64encode(made) + b"}\r\n<?xml", BEFORE_XML)
    assert split(document) == (split(sealed())[0], made)
    assert xml_of(document).tag == xml_of(sealed()).tag
    folded = base64.b64encode(made)
    again = document.replace(folded, folded[:64] + b"\r\n" + folded[64:])
    assert split(again)[1] == made
    for other in (document, written(ADAPTER)):  # signed already, and without a slot
        with pytest.raises(Malformed):
            envelope.join(other, made)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<ChckFlg>CE01", b"<ChckFlg>CE03"),
        (b'<TtlAmt Ccy="CNY">', b"<TtlAmt>"),
        (b"<BtchNb>00000001", b"<BtchNb>A"),
        (b"<RtrLtd>1</RtrLtd>", b""),
        (b"<SysCd>BEPS", b"<SysCd>BANK"),
        (b"<CdtrNb>4", b"<CdtrNb>123456789"),
    ],
    ids=["flag", "currency", "batch", "missing", "system", "count"],
)
def test_the_schemas_see_what_is_wrong(old: bytes, new: bytes) -> None:
    """A schema that passes everything would prove nothing."""
    assert old in sealed()
    assert not valid(sealed().replace(old, new, 1))


@pytest.mark.parametrize(
    "document",
    [REPLY, accounts(account("张三", "PR05", "", "AS00")), confirmation("PR09", party="RJ03"), discarded("重复"), arrived()],
    ids=["383", "395", "900", "911", "990"],
)  # fmt: skip
def test_what_the_tests_read_is_as_the_schemas_have_it(document: bytes) -> None:
    """The hand-written replies are no easier than the trees."""
    assert valid(document)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "张|三"}, Code.FORMAT),
        ({"account": "99|1"}, Code.FORMAT),
        ({"name": "张" * 61}, Code.SIZE),
        ({"account": "9" * 33}, Code.SIZE),
        ({"purpose": "金" * 257}, Code.SIZE),
        ({"name": ""}, Code.NAME),
        ({"key": 10**16}, Code.SIZE),
        ({"name": "张\x00三"}, Code.CHARSET),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, str], code: Code) -> None:
    """Nothing is cut; | is the border between signed values, so no value may hold it. The sentence repeats no name."""
    with pytest.raises(Refused) as error:
        written(ADAPTER, [line_of(1)._replace(**changes)])  # type: ignore[arg-type]  # as the table has them
    assert error.value.code is code
    assert "张" not in error.value.what


def test_words_may_hold_the_border() -> None:
    """AddtlInf is not signed."""
    assert "养老金|6月" in written(ADAPTER, [line_of(1)._replace(purpose="养老金|6月")]).decode()


def test_a_long_reference_is_refused() -> None:
    """The envelope has 20 places: a bank's code has at most 7."""
    head = msgspec.structs.replace(head_of(LINES), reference="LONGBANK2015061000001")
    with pytest.raises(Refused) as error:
        written(ADAPTER, head=head)
    assert (error.value.code, "holds 20" in error.value.what) == (Code.SIZE, True)


@pytest.mark.parametrize(
    ("field", "value"), [("customer", "4406-1"), ("customer", "4" * 15), ("clearing_code", "999-1"), ("format_options", {"sender": "1"})]
)  # fmt: skip
def test_a_bank_that_cannot_be_written_for(field: str, value: object) -> None:
    """A number that a party's field cannot hold, or an option that nobody gave: SCHEMA."""
    bank = msgspec.structs.replace(bank_of(ADAPTER), **{field: value})
    with pytest.raises(Refused) as error:
        list(ADAPTER.payment(head_of(LINES), iter(LINES), bank))
    assert error.value.code is Code.SCHEMA


def test_the_example_of_the_page_is_a_configuration() -> None:
    """Copied as it stands; an option that nobody knows is refused."""
    page = (ROOT / "adapters" / "cnaps2" / "README.md").read_text(encoding="utf-8")
    document = {
        "gateway": {"bureau": "某市社会保险基金管理局"},
        **tomllib.loads(page.split("```toml\n")[1].split("```")[0]),
    }
    (bank,) = configuration.of(document, Path("/nowhere"), files=False).banks
    assert bank.agreement.credited == ("PR02", "PR05")
    chunks = ADAPTER.payment(head_of(LINES), iter(LINES), bank)
    assert valid(b"".join(chunk for chunk in chunks if isinstance(chunk, bytes)))
    (example,) = document["bank"]
    document["bank"] = [example | {"format_options": {"sender": "1"}}]
    with pytest.raises(Refused):
        configuration.of(document, Path("/nowhere"), files=False)
