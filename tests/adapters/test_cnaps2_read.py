"""What the other side says in CNAPS: read, verified over exactly what was read, and judged; what is not signed never decides about money."""

from __future__ import annotations

import re

import pytest

from adapters.cnaps2 import ADAPTER
from adapters.cnaps2.messages import split, unsigned
from gateway.core.bank import Agreement, DocKind, Head, Reason, Row
from gateway.core.errors import Code, Malformed
from gateway.core.verdicts import Judgement, Outcome, Verdict
from tests.adapters.cnaps2_documents import (
    GROUP,
    ORIGINAL,
    REPLY,
    REPLY_SIGNED,
    account,
    accounts,
    arrived,
    confirmation,
    detail,
    discarded,
    enveloped,
    reply,
)
from tests.adapters.suite import read, written

CREDITED = Agreement(credited=("PR02", "PR05"))


def whole(document: bytes) -> tuple[Head, Judgement]:
    """The word on the whole of a message without lines."""
    head, _, rows, _ = read(ADAPTER, document)
    assert not rows
    return head, ADAPTER.judge(head, None, None, CREDITED)


def judged(status: str, code: str = "", words: str = "", agreement: Agreement = CREDITED) -> tuple[Outcome, Verdict]:
    """The word on a line."""
    head, _, (row, _), _ = read(ADAPTER, reply(detail(1, status, code, words), detail(2)))
    return ADAPTER.judge(head, None, row, agreement)


def wrong(document: bytes) -> Code:
    """It is not read; why."""
    with pytest.raises(Malformed) as error:
        read(ADAPTER, document)
    return error.value.code


# ------------------------------------------------------------------------------------------------------------- reading


def test_a_reply() -> None:
    """Of which Document it speaks, the original's totals, every line's reference, amount, state, code and words."""
    head, _, rows, tail = read(ADAPTER, REPLY)
    assert (head.kind, head.message, head.reference) == (DocKind.RESULT, "beps.383.001.01", "2015061000000017")
    assert (head.original, head.declared_count, head.declared_minor) == (ORIGINAL, 2, 368000)
    assert (head.status, head.reasons, head.parts) == ("", (), 0), "NPCPrcInf is not signed, and says nothing here"
    assert rows == [
        Row("1433899200000001", 184000, "CNY", "PR02", (), "", "", -1, "欧阳娜娜", "9900010000000000017"),
        Row(
            "1433899200000002", 184000, "CNY", "PR09", (Reason("RjctCd", "RJ90", "卡已挂失"),), "", "卡已挂失", -1, "张三",
            "9900010000000000017",
        ),
    ]  # fmt: skip
    assert (tail.count, tail.minor) == (2, 368000)


def test_what_is_signed_of_a_reply() -> None:
    """The published values in the published order; a line without a reject code has none."""
    text, signature = split(REPLY)
    assert text.decode() == REPLY_SIGNED
    assert signature.startswith(b"\x30\x45\x02\x21")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<Sts>PR09", b"<Sts>PR02"),
        (b"<RjctCd>RJ90", b"<RjctCd>RJ01"),
        (b"1433899200000002", b"1433899200000001"),
        (b'<Amt Ccy="CNY">1840.00', b'<Amt Ccy="CNY">1840.01'),
        (b'<Amt Ccy="CNY">1840.00', b'<Amt Ccy="USD">1840.00'),
        (b"<OrgnlMsgId>BANKA", b"<OrgnlMsgId>BANKB"),
        (b"<OrgnlTtlNb>2", b"<OrgnlTtlNb>3"),
        (b"9900010000000000017", b"9900010000000000018"),
        ("欧阳".encode(), "欧".encode()),
    ],
)
def test_whatever_decides_about_money_is_signed(old: bytes, new: bytes) -> None:
    """One value more or less, and the string is another one."""
    assert old in REPLY
    assert split(REPLY.replace(old, new, 1))[0].decode() != REPLY_SIGNED


def test_what_is_not_signed_decides_nothing() -> None:
    """Words and the centre's own processing: changed, the string is the same, and so is each line's outcome."""
    other = REPLY.replace("卡已挂失".encode(), "卡正常".encode()).replace(b"<PrcSts>PR05", b"<PrcSts>PR09")
    assert split(other)[0] == split(REPLY)[0]
    outcomes = []
    for document in (REPLY, other):
        head, _, rows, _ = read(ADAPTER, document)
        assert ADAPTER.judge(head, None, None, CREDITED).outcome is Outcome.NONE
        outcomes.append([ADAPTER.judge(head, None, row, CREDITED).outcome for row in rows])
    assert outcomes[0] == outcomes[1] == [Outcome.PAID, Outcome.FAILED]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (REPLY.replace(b"}\r\n", b"}\n", 1), Code.FORMAT),
        (REPLY.replace(b"beps.383.001.01 ", b"beps.381.001.01 "), Code.SCHEMA),
        (REPLY.replace(b"xsd:beps.383", b"xsd:beps.381"), Code.SCHEMA),
        (REPLY.replace(b"urn:cnaps:std", b"urn:other:std"), Code.SCHEMA),
        (reply(), Code.SCHEMA),
        (REPLY.replace(b' Ccy="CNY"', b"", 1), Code.SCHEMA),
        (REPLY.replace(b'<Amt Ccy="CNY">1840.00', b'<Amt Ccy="CNY">1,840.00'), Code.FORMAT),
        (REPLY.replace(b"<TxId>1433899200000002", b"<TxId>PR02"), Code.SCHEMA),
        (REPLY.replace(b"<TxId>1433899200000002</TxId>", b""), Code.SCHEMA),
        (REPLY.replace(b"<Sts>PR09</Sts>", b"<Sts>PR09</Sts><Sts>PR02</Sts>"), Code.SCHEMA),
        (REPLY.replace(b"</SndgDtls></Btch", b"</SndgDtls><SndgTtlNb>2</SndgTtlNb></Btch"), Code.SCHEMA),
        (REPLY.replace(b"</BtchPmtByAgcyRspn></Doc", f"{GROUP}</BtchPmtByAgcyRspn></Doc".encode()), Code.SCHEMA),
        (enveloped("beps.383.001.01", "<x/>"), Code.SCHEMA),
        (b"{H:02", Code.TRUNCATED),
        (b"<?xml version='1.0'?><Document/>", Code.FORMAT),
    ],
)  # fmt: skip
def test_what_is_not_the_shape_is_not_read(document: bytes, code: Code) -> None:
    """A header that names another message, another namespace, values that stand twice or behind the lines, an amount without currency."""
    assert wrong(document) is code


@pytest.mark.parametrize(
    "document",
    [
        REPLY.replace(b"{S:", b"{X:"),
        re.sub(rb"\{S:.*?\}\r\n", b"", REPLY, flags=re.DOTALL),
        REPLY.replace(b"{S:MEUC", b"{S:M!UC"),
        REPLY.replace("欧阳娜娜".encode(), "欧阳|娜".encode()),
        arrived(),
    ],
    ids=["no slot", "left out", "no base64", "a border in a name", "never signed"],
)
def test_what_cannot_be_verified(document: bytes) -> None:
    """No slot, no base64, a value that would move the borders: Malformed, before any key is asked."""
    with pytest.raises(Malformed):
        split(document)


@pytest.mark.parametrize(("document", "bare"), [(arrived(), True), (discarded(), True), (REPLY, False), (confirmation("PR10"), False)])  # fmt: skip
def test_which_messages_have_no_signature(document: bytes, bare: bool) -> None:
    """990 and 911 alone; a 383 without its slot does not become one by a header that says so."""
    assert unsigned(document) is bare
    forged = re.sub(rb"\{S:.*?\}\r\n", b"", REPLY, flags=re.DOTALL).replace(
        b"beps.383.001.01     ", b"ccms.990.001.02     "
    )
    assert unsigned(forged)
    assert wrong(forged) is Code.SCHEMA


def test_an_answer_about_accounts() -> None:
    """Account and name come back, the code beside; the account's state is shown and means nothing."""
    head, _, rows, tail = read(
        ADAPTER, accounts(account("张三", "PR05", "", "AS00"), account("李四", "PR09", "RJ02", "AS03"))
    )
    assert (head.kind, head.original, tail.count, tail.minor) == (DocKind.NAME_CHECK, ORIGINAL, 2, None)
    assert [(row.name, row.account, row.status) for row in rows] == [
        ("张三", "9900010000000000017", "PR05"),
        ("李四", "9900010000000000017", "PR09"),
    ]
    words = [ADAPTER.judge(head, None, row, CREDITED) for row in rows]
    assert words == [(Outcome.NONE, Verdict.NO_REASON), (Outcome.NONE, Verdict.NAME_MISMATCH)]
    assert not [key for key in ADAPTER.codes if key[2].startswith("AS")]
    assert wrong(accounts(account("张三", "PR05")).replace(b"<AcctCnt>1", b"<AcctCnt>2")) is Code.TOTALS


# ------------------------------------------------------------------------------------------------------------- judging


@pytest.mark.parametrize(
    ("status", "code", "words", "expected"),
    [
        ("PR02", "", "", (Outcome.PAID, Verdict.PAID)),
        ("PR05", "", "", (Outcome.PAID, Verdict.PAID)),
        ("PR03", "", "", (Outcome.PENDING, Verdict.RECEIVED)),
        ("PR04", "", "", (Outcome.PENDING, Verdict.RECEIVED)),
        ("PR10", "", "", (Outcome.PENDING, Verdict.RECEIVED)),
        ("PR11", "", "", (Outcome.PENDING, Verdict.RECEIVED)),
        ("PR12", "", "", (Outcome.PENDING, Verdict.RECEIVED)),
        ("PR88", "", "", (Outcome.PENDING, Verdict.RECEIVED)),
        ("PR89", "", "", (Outcome.PENDING, Verdict.RECEIVED)),
        ("PR08", "", "", (Outcome.FAILED, Verdict.CANCELLED)),
        ("PR21", "", "", (Outcome.UNKNOWN, Verdict.CANCELLED)),
        ("PR22", "", "", (Outcome.UNKNOWN, Verdict.CANCELLED)),
        ("PR32", "", "", (Outcome.UNKNOWN, Verdict.TIMEOUT)),
        ("PR77", "", "", (Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)),
        ("PR09", "RJ01", "", (Outcome.FAILED, Verdict.ACCOUNT_UNKNOWN)),
        ("PR09", "RJ02", "", (Outcome.FAILED, Verdict.NAME_MISMATCH)),
        ("PR09", "RJ02", "挂失", (Outcome.FAILED, Verdict.NAME_MISMATCH)),
        ("PR09", "RJ03", "", (Outcome.FAILED, Verdict.FUNDS)),
        ("PR09", "RJ04", "", (Outcome.FAILED, Verdict.AMOUNT_LIMIT)),
        ("PR09", "RJ06", "", (Outcome.FAILED, Verdict.NOT_ALLOWED)),
        ("PR09", "RJ07", "", (Outcome.FAILED, Verdict.NOT_ALLOWED)),
        ("PR09", "RJ08", "", (Outcome.FAILED, Verdict.ACCOUNT_TYPE)),
        ("PR09", "RJ09", "", (Outcome.FAILED, Verdict.NO_REASON)),
        ("PR09", "RJ05", "", (Outcome.FAILED, Verdict.NO_REASON)),
        ("PR09", "RJ90", "", (Outcome.FAILED, Verdict.NO_REASON)),
        ("PR09", "", "", (Outcome.FAILED, Verdict.NO_REASON)),
        ("PR09", "RJ90", "卡已挂失", (Outcome.FAILED, Verdict.CARD_LOST)),
        ("PR09", "RJ05", "该卡换卡中", (Outcome.FAILED, Verdict.CARD_REPLACING)),
        ("PR09", "RJ90", "账户已销户", (Outcome.FAILED, Verdict.ACCOUNT_CLOSED)),
        ("PR09", "", "户名不符", (Outcome.FAILED, Verdict.NAME_MISMATCH)),
        ("PR09", "RJ90", "挂失或已销户", (Outcome.FAILED, Verdict.NO_REASON)),
        ("PR09", "RJ90", "系统忙", (Outcome.FAILED, Verdict.NO_REASON)),
        ("PR09", "RJ77", "挂失", (Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)),
        ("PR09", "RJ90", "明细标识号重复", (Outcome.UNKNOWN, Verdict.DUPLICATE)),
        ("PR02", "", "重复", (Outcome.UNKNOWN, Verdict.DUPLICATE)),
        ("PR09", "RJ01", "处理超时", (Outcome.UNKNOWN, Verdict.TIMEOUT)),
        ("PR02", "RJ02", "", (Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)),
    ],
)
def test_the_word_on_a_line(status: str, code: str, words: str, expected: tuple[Outcome, Verdict]) -> None:
    """State, code and words together; a duplicate or time-out in the words is never a failure."""
    assert judged(status, code, words) == expected


def test_credited_is_what_the_agreement_says() -> None:
    """A bank that has promised nothing has credited nothing yet."""
    assert judged("PR02", agreement=Agreement()) == (Outcome.PENDING, Verdict.RECEIVED)
    assert judged("PR05", agreement=Agreement(credited=("PR02",))) == (Outcome.PENDING, Verdict.RECEIVED)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (arrived(), (Outcome.PENDING, Verdict.RECEIVED)),
        (arrived("PM1E0007"), (Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)),
        (discarded(), (Outcome.UNKNOWN, Verdict.NO_REASON)),
        (discarded("报文标识号重复"), (Outcome.UNKNOWN, Verdict.DUPLICATE)),
        (discarded("格式错误"), (Outcome.UNKNOWN, Verdict.NO_REASON)),
        (confirmation("PR10", code="CB1I0000"), (Outcome.PENDING, Verdict.RECEIVED)),
        (confirmation("PR03"), (Outcome.PENDING, Verdict.RECEIVED)),
        (confirmation("PR05"), (Outcome.PENDING, Verdict.RECEIVED)),
        (confirmation("PR08"), (Outcome.UNKNOWN, Verdict.CANCELLED)),
        (confirmation("PR32"), (Outcome.UNKNOWN, Verdict.TIMEOUT)),
        (confirmation("PR09", party="RJ03"), (Outcome.REFUSED, Verdict.FUNDS)),
        (confirmation("PR09", party="RJ06"), (Outcome.REFUSED, Verdict.NOT_ALLOWED)),
        (confirmation("PR09", party="RJ90", words="余额不足"), (Outcome.UNKNOWN, Verdict.NO_REASON)),
        (confirmation("PR09", party="RJ03", words="报文重复"), (Outcome.UNKNOWN, Verdict.DUPLICATE)),
        (confirmation("PR09", words="重复"), (Outcome.UNKNOWN, Verdict.DUPLICATE)),
        (confirmation("PR09"), (Outcome.UNKNOWN, Verdict.NO_REASON)),
        (confirmation("PR09", party="RJ03", code="XX1E0001"), (Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)),
        (confirmation("PR77"), (Outcome.UNKNOWN, Verdict.UNKNOWN_CODE)),
    ],
)  # fmt: skip
def test_the_word_on_the_whole(document: bytes, expected: tuple[Outcome, Verdict]) -> None:
    """Refused only by a signed code that proves that nothing was booked; unsigned messages receipt or doubt."""
    head, word = whole(document)
    assert (head.kind, head.original) == (DocKind.RECEIPT, ORIGINAL)
    assert word == expected


def test_our_own_payment_says_nothing() -> None:
    """Read back for inspection, nothing is judged of it."""
    head, _, rows, _ = read(ADAPTER, written(ADAPTER))
    assert ADAPTER.judge(head, None, rows[0], CREDITED) == (Outcome.NONE, Verdict.NO_REASON)
