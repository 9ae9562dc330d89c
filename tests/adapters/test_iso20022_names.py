"""Names asked and answered: acmt.023 in two shapes, acmt.024 in every version, verification of payee as pain.002."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapters.iso20022 import ADAPTER
from gateway.codec.text import xml_illegal
from gateway.core.bank import Agreement, Bank, CheckLine, DocKind, ListHead, Reason, SealSlot
from gateway.core.errors import Code, Halt, Malformed, Refused
from gateway.core.verdicts import Outcome
from tests.adapters.iso20022_documents import (
    BANK,
    UNSEALED,
    Told,
    assert_valid,
    block,
    pain_002,
    reason,
    told,
    transaction,
)

OLD, NEW = "acmt.023.001.02", "acmt.023.001.04"
HEAD = ListHead(
    reference="BANKA2015061000002",
    sequence=2,
    created=datetime(2015, 6, 10, 9, 0, 0, tzinfo=ZoneInfo("Asia/Shanghai")),
    count=3,
)
LINES = (
    CheckLine(1, "901", "欧阳娜娜", "9900010000000000017", "resident", "11010519491231002X"),
    CheckLine(2, "902", "艾力·买买提", "9900010000000000025"),
    CheckLine(3, "903", "A&B <𠮷野>\r", "9900010000000000033", "other", "E00000001"),
)


def asking(message: str, bank: Bank = UNSEALED) -> Bank:
    """The bank, asked with that message."""
    return msgspec.structs.replace(bank, format_options={"name_check": message})


def written(message: str = NEW, lines: Sequence[CheckLine] = LINES, bank: Bank = UNSEALED, **head: Any) -> bytes:
    """The questions' bytes, the slot left out."""
    assert ADAPTER.write_check is not None
    asked = msgspec.structs.replace(HEAD, **({"count": len(lines)} | head))
    chunks = ADAPTER.write_check(asked, lines, asking(message, bank))
    return b"".join(chunk for chunk in chunks if not isinstance(chunk, SealSlot))


# ------------------------------------------------------------------------------------------------------ asked


@pytest.mark.parametrize(("message", "schema"), [(NEW, NEW), (OLD, f"{OLD}.ours")])
def test_both_shapes_are_valid(message: str, schema: str) -> None:
    """.04 against the official schema, .02 against the one reconstructed of what we write; and the wrapper's header names the message."""
    assert_valid(etree.fromstring(written(message)), schema)
    header, document = etree.fromstring(written(message, bank=BANK))
    assert_valid(document, schema)
    assert header.findtext("{*}MsgDefIdr") == message
    assert header.findtext("{*}BizMsgIdr") == HEAD.reference


def test_the_old_shape_is_the_new_one_but_for_the_account() -> None:
    """What is public of .02 differs in nothing else that we write: moved below an Id, it is valid as .04."""
    with pytest.raises(AssertionError):
        assert_valid(etree.fromstring(written(OLD).replace(OLD.encode(), NEW.encode())), NEW)
    moved = written(OLD).replace(OLD.encode(), NEW.encode())
    moved = moved.replace(b"<Acct>", b"<Acct><Id>").replace(b"</Acct>", b"</Id></Acct>")
    assert moved == written(NEW)


def test_the_newest_is_asked_where_nothing_is_agreed() -> None:
    """A bank without the option; and one with a word that is none is refused."""
    assert ADAPTER.write_check is not None
    without = b"".join(c for c in ADAPTER.write_check(HEAD, LINES, UNSEALED) if isinstance(c, bytes))
    assert without == written(NEW)
    with pytest.raises(Refused) as error:
        written("acmt.023.001.03")
    assert error.value.code is Code.SCHEMA


@pytest.mark.parametrize("message", [OLD, NEW])
def test_questions_come_back(message: str) -> None:
    """Read by the same paths, whichever shape it is."""
    found = told(written(message, bank=BANK))
    assert (found.head.kind, found.head.message, found.head.reference) == (DocKind.NAME_CHECK, message, HEAD.reference)
    assert [(row.ref, row.name, row.account, row.id_number, row.status) for row in found.rows] == [
        (line.ref, line.name, line.account, line.id_number, "") for line in LINES
    ]


@settings(max_examples=60)
@given(
    message=st.sampled_from([OLD, NEW]),
    names=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40), min_size=1, max_size=5),
)
def test_bytes_are_canonical_and_valid_whatever_the_name(message: str, names: list[str]) -> None:
    """So a running hash is what a verifier will compute."""
    lines = [CheckLine(number, f"{number}", name, "99000", "passport", "E1") for number, name in enumerate(names, 1)]
    if any(map(xml_illegal, names)):
        with pytest.raises(Refused) as error:
            written(message, lines)
        assert error.value.code is Code.CHARSET
        return
    root = etree.fromstring(written(message, lines))
    assert etree.tostring(root, method="c14n", exclusive=True) == written(message, lines)
    assert_valid(root, NEW if message == NEW else f"{OLD}.ours")


def test_a_thousand_questions_in_one_message() -> None:
    """All in one, and as many come back."""
    lines = [LINES[1]._replace(line=number, ref=f"{number}") for number in range(1, 1_001)]
    found = told(written(lines=lines))
    assert [row.ref for row in found.rows] == [f"{number}" for number in range(1, 1_001)]


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [
        ("name", "", Code.NAME),
        ("account", "", Code.NAME),
        ("ref", "", Code.NAME),
        ("name", "张" * 141, Code.SIZE),
        ("account", "9" * 35, Code.SIZE),
        ("ref", "9" * 36, Code.SIZE),
        ("id_number", "9" * 36, Code.SIZE),
        ("name", "张\ud842", Code.CHARSET),
    ],
)
def test_what_does_not_fit_is_refused(field: str, text: str, code: Code) -> None:
    """Nothing is cut, replaced or left out."""
    with pytest.raises(Refused) as error:
        written(lines=[LINES[0]._replace(**{field: text})])  # type: ignore[arg-type]  # fields of text
    assert error.value.code is code


@pytest.mark.parametrize("lines", [(), LINES[1:], LINES[:2]])
def test_other_questions_than_the_head_says(lines: tuple[CheckLine, ...]) -> None:
    """None at all, another numbering, another count."""
    with pytest.raises(Halt):
        written(lines=lines, count=3)


def test_a_question_without_a_person() -> None:
    """A Vrfctn that asks about nobody is not passed over."""
    document = written(lines=LINES[:1]).replace(b"</IdVrfctnReq>", b"<Vrfctn><Id>902</Id></Vrfctn></IdVrfctnReq>")
    with pytest.raises(Malformed) as error:
        told(document)
    assert error.value.code is Code.SCHEMA


# ------------------------------------------------------------------------------------------------------ answered


def person(name: str, account: str, *, nested: bool, id_number: str = "") -> str:
    """The inside of OrgnlPtyAndAcctId or UpdtdPtyAndAcctId."""
    papers = f"<Id><PrvtId><Othr><Id>{id_number}</Id></Othr></PrvtId></Id>" if id_number else ""
    number = f"<Othr><Id>{account}</Id></Othr>"
    return f"<Pty><Nm>{name}</Nm>{papers}</Pty><Acct>{f'<Id>{number}</Id>' if nested else number}</Acct>"


def answer(flag: str, *reasons: str, ref: str = "901", asked: str = "", told: str = "") -> str:
    """A ``Rpt``; a reason is ``PN01`` or ``=SUCC`` (proprietary)."""
    codes = "".join(
        f"<Rsn><Prtry>{code[1:]}</Prtry></Rsn>" if code.startswith("=") else f"<Rsn><Cd>{code}</Cd></Rsn>"
        for code in reasons
    )
    both = f"<OrgnlPtyAndAcctId>{asked}</OrgnlPtyAndAcctId>" if asked else ""
    both += f"<UpdtdPtyAndAcctId>{told}</UpdtdPtyAndAcctId>" if told else ""
    return f"<Rpt><OrgnlId>{ref}</OrgnlId><Vrfctn>{flag}</Vrfctn>{codes}{both}</Rpt>"


def report(*answers: str, version: str = "04", original: str = HEAD.reference) -> bytes:
    """An acmt.024."""
    agent = "<Agt><FinInstnId><Othr><Id>BANK_A</Id></Othr></FinInstnId></Agt>"
    namespace = f' xmlns="urn:iso:std:iso:20022:tech:xsd:acmt.024.001.{version}"' if version else ""
    about = f"<OrgnlAssgnmt><MsgId>{original}</MsgId></OrgnlAssgnmt>" if original else ""
    return (
        f"<Document{namespace}><IdVrfctnRpt><Assgnmt><MsgId>RPT1</MsgId><CreDtTm>2015-06-10T10:00:00+08:00</CreDtTm>"
        f"<Assgnr>{agent}</Assgnr><Assgne>{agent}</Assgne></Assgnmt>{about}{''.join(answers)}</IdVrfctnRpt></Document>"
    ).encode()


def verdicts(found: Told) -> list[str]:
    """What each line says of its name; that it says nothing about money is checked on the way."""
    judged = found.judged(Agreement(credited=("true", "RCVC", "SUCC")))
    assert {each.outcome for each in judged} == {Outcome.NONE}
    assert ADAPTER.judge(found.head, None, None, Agreement()).outcome is Outcome.NONE
    return [str(each.verdict) for each in judged]


def test_a_report_is_read() -> None:
    """Head, and of each answer its reference, flag, reason, and the bank's own spelling where it gives one."""
    asked = person("欧阳娜娜", "9900010000000000017", nested=True, id_number="11010519491231002X")
    document = report(
        answer("true", asked=asked),
        answer("false", "PN02", ref="902", asked=asked, told=person("欧阳娜", "9900010000000000017", nested=True)),
        answer("false", "AC01", ref="903", asked=asked, told="<Acct><Id><Othr><Id>99</Id></Othr></Id></Acct>"),
    )
    assert_valid(etree.fromstring(document), "acmt.024.001.04")
    found = told(document)
    head = found.head
    assert (head.kind, head.message, head.reference) == (DocKind.NAME_CHECK, "acmt.024.001.04", "RPT1")
    assert (head.original, head.original_kind, head.created) == (
        HEAD.reference,
        "acmt.023",
        "2015-06-10T10:00:00+08:00",
    )
    assert [(row.ref, row.status, row.reasons, row.name, row.account, row.id_number) for row in found.rows] == [
        ("901", "true", (), "", "9900010000000000017", "11010519491231002X"),
        ("902", "false", (Reason("cd", "PN02"),), "欧阳娜", "9900010000000000017", "11010519491231002X"),
        ("903", "false", (Reason("cd", "AC01"),), "", "99", "11010519491231002X"),
    ]
    assert verdicts(found) == ["RECEIVED", "NAME_MISMATCH", "ACCOUNT_UNKNOWN"]


@pytest.mark.parametrize("version", ["01", "02", "03", "04", "05", ""])
@pytest.mark.parametrize("nested", [True, False])
def test_every_version_and_nesting(version: str, nested: bool) -> None:
    """An account in either nesting is found: read as the other one, there would silently be none."""
    found = told(report(answer("true", asked=person("张三", "99", nested=nested)), version=version))
    assert [row.account for row in found.rows] == ["99"]


@pytest.mark.parametrize(
    ("flag", "reasons", "verdict"),
    [
        ("true", (), "RECEIVED"),
        ("1", (), "RECEIVED"),
        ("true", ("=SUCC",), "RECEIVED"),
        ("true", ("PN01",), "NAME_MISMATCH"),
        ("true", ("=CMTC",), "UNKNOWN_CODE"),
        ("true", ("MS03",), "NO_REASON"),
        ("false", (), "NO_REASON"),
        ("0", (), "NO_REASON"),
        ("false", ("=SUCC",), "UNKNOWN_CODE"),
        ("false", ("=PN01",), "NAME_MISMATCH"),
        ("false", ("=MISS",), "UNKNOWN_CODE"),
        ("false", ("DUPL",), "DUPLICATE"),
        ("false", ("NORR",), "TIMEOUT"),
        ("yes", (), "UNKNOWN_CODE"),
        ("ACCC", (), "UNKNOWN_CODE"),
    ],
)
def test_what_an_answer_means(flag: str, reasons: tuple[str, ...], verdict: str) -> None:
    """The reason decides before the flag; what contradicts itself, or nobody knows, is for a person."""
    assert verdicts(told(report(answer(flag, *reasons)))) == [verdict]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (report(), Code.SCHEMA),
        (report("<Rpt><OrgnlId>901</OrgnlId></Rpt>"), Code.SCHEMA),
        (report("<Rpt><Vrfctn>true</Vrfctn></Rpt>"), Code.SCHEMA),
        (report(answer("true", asked="<Acct><Nm>x</Nm></Acct>")), Code.SCHEMA),
        (report(answer("true", asked="<Acct><Id><Othr><Id>1</Id></Othr></Id><IBAN>2</IBAN></Acct>")), Code.SCHEMA),
        (report(answer("true"), "<SplmtryData/>", "<X><Rpt/></X>"), Code.SCHEMA),
        (report(answer("true")).replace(b"<MsgId>RPT1</MsgId>", b""), Code.SCHEMA),
        (report(answer("true", "PN01", "PN02")), Code.SCHEMA),
        (report(answer("true"))[:-20], Code.TRUNCATED),
    ],
)
def test_a_report_that_is_none(document: bytes, code: Code) -> None:
    """Refused whole, with its code."""
    with pytest.raises(Malformed) as error:
        told(document)
    assert error.value.code is code


# ------------------------------------------------------------------------------------ verification of payee as pain.002


def test_a_verification_of_payee_is_a_name_check() -> None:
    """By the group's word: then nothing in it is about money, whatever stands on its lines."""
    lines = [transaction(status, ref="NOTPROVIDED") for status in ("RCVC", "RVMC", "RVNM", "RVNA", "RVNC", "ACCC", "")]
    group = "<GrpSts>RVCM</GrpSts>" + reason("?the responsibility is yours")
    found = told(pain_002(block(*lines), group=group))
    assert found.head.kind is DocKind.NAME_CHECK
    assert (found.head.status, found.head.reasons) == ("RVCM", (Reason("", "", "the responsibility is yours"),))
    assert ADAPTER.judge(found.head, None, None, Agreement()).verdict == "NAME_MISMATCH"
    assert verdicts(found) == [
        "RECEIVED",
        "NAME_MISMATCH",
        "NAME_MISMATCH",
        "NO_REASON",
        "NO_REASON",
        "UNKNOWN_CODE",
        "NO_REASON",
    ]


@pytest.mark.parametrize("word", ["RCVC", "RVCM", "RVNC", "RVMC", "RVNM", "RVNA"])
def test_the_first_word_tells_what_a_report_is(word: str) -> None:
    """The group's, else the first block's, else the first line's; a report that begins with a payment's word stays a result."""
    inside = block(transaction(word))
    for group, inner in (
        (f"<GrpSts>{word}</GrpSts>", ""),
        ("", inside),
        ("", block(own=f"<PmtInfSts>{word}</PmtInfSts>")),
    ):
        assert told(pain_002(inner, group=group)).head.kind is DocKind.NAME_CHECK
    for group, inner in (("<GrpSts>PART</GrpSts>", inside), ("", block(transaction("ACCC"), transaction(word)))):
        found = told(pain_002(inner, group=group))
        assert found.head.kind is DocKind.RESULT
        assert found.judged()[-1].outcome is Outcome.NONE
