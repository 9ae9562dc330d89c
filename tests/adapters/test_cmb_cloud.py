"""The CDC cloud: its envelope against openssl, golden bodies and replies of invented people, every word judged, and what a doubt leads to."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import msgspec
import pytest

from adapters.cmb_cloud import envelope
from adapters.cmb_cloud.codes import CODES, judge
from adapters.cmb_cloud.layout import PER_PART, options, write_pairs, write_payment
from adapters.cmb_cloud.reading import read
from gateway.core.bank import Agreement, Bank, Block, DocKind, Head, ListHead, PairLine, PayLine, Row, SealSlot, Tail
from gateway.core.errors import Code, Malformed, Refused
from gateway.core.verdicts import Outcome, Verdict
from tests.adapters.suite import ADAPTERS, LINES, NOW, bank_of, head_of, line_of

GOLDEN = Path(__file__).parent / "golden" / "cmb_cloud"
ADAPTER = ADAPTERS["cmb_cloud"]
USER = "N002432758"
PLACE = {"crtbnk": "某银行", "crtpvc": "广东省", "crtcty": "佛山市"}


def bank(**more: str) -> Bank:
    """The suite's, with more options."""
    given = bank_of(ADAPTER)
    return msgspec.structs.replace(given, format_options={**given.format_options, **more})


def text(chunks: Iterator[bytes | SealSlot]) -> bytes:
    """A payload."""
    return b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))


def paying(lines: list[PayLine], **more: str) -> bytes:
    """The payload of these payments."""
    return text(write_payment(head_of(lines), iter(lines), bank(**more)))


def told(name: str) -> tuple[Head, list[Row], Tail]:
    """A golden reply, read."""
    return of((GOLDEN / f"{name}.reply.json").read_bytes())


def of(data: bytes) -> tuple[Head, list[Row], Tail]:
    """Anything, read."""
    items = list(read(io.BytesIO(data)))
    head, tail = items[0], items[-1]
    assert isinstance(head, Head)
    assert isinstance(tail, Tail)
    return head, [row for row in items[1:-1] if isinstance(row, Row)], tail


# -------------------------------------------------------------------------------------------------------------- envelope


def test_the_text_to_sign_is_in_order() -> None:
    """Keys by ASCII at every level, no blanks, the time of Beijing; reqid has 17 digits of time and at most 51 characters."""
    part = paying(list(LINES)).splitlines()[0]
    made = envelope.request(part, USER, datetime(2015, 6, 10, 1, 0, 0, 123_456, UTC), "R" * 40)
    message = json.loads(made)
    assert json.dumps(message, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == made
    head = message["request"]["head"]
    assert head["reqid"] == "20150610090000123" + "R" * 34
    assert head == {"funcode": "BB6BTHHL", "reqid": head["reqid"], "userid": USER}
    assert message["signature"] == {"sigdat": "__signature_sigdat__", "sigtim": "20150610090000"}
    assert message["request"]["body"] == json.loads(part)["body"]


@pytest.mark.parametrize(
    ("user", "padded"), [(USER, "N002432758000000"), ("N1", "N100000000000000"), ("N" * 16, "N" * 16)]
)
def test_the_id_is_padded_on_the_right(user: str, padded: str) -> None:
    """Signer id of SM2 and iv of SM4 alike."""
    assert envelope.padded_id(user) == padded


def test_openssl_verifies_what_we_sign(tmp_path: Path) -> None:
    """Raw r‖s with the padded id holds for another implementation; with the default id, or after a change, it does not."""
    key = tmp_path / "key.pem"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", str(key))
    public = tmp_path / "public.pem"
    openssl("pkey", "-in", str(key), "-pubout", "-out", str(public))
    made = envelope.request(paying(list(LINES)).splitlines()[0], USER, NOW, "R1")
    der = openssl("dgst", "-sm3", "-sign", str(key), "-sigopt", f"distid:{envelope.padded_id(USER)}", given=made)
    filled = envelope.filled(made, raw(der))
    covered, signature = envelope.split(filled)
    assert (covered, signature) == (made, raw(der))
    for who, data, holds in (
        (envelope.padded_id(USER), covered, True),
        ("1234567812345678", covered, False),
        (envelope.padded_id(USER), covered.replace(b"1840.00", b"1840.01", 1), False),
    ):
        (tmp_path / "sig").write_bytes(der)
        words = ("-verify", str(public), "-sigopt", f"distid:{who}", "-signature", str(tmp_path / "sig"))
        assert (b"Verified OK" in openssl("dgst", "-sm3", *words, given=data, fails=not holds)) is holds


def openssl(*words: str, given: bytes = b"", fails: bool = False) -> bytes:
    """The other implementation."""
    done = subprocess.run(("openssl", *words), input=given, capture_output=True, check=False)
    assert fails or done.returncode == 0, done.stderr
    return done.stdout


def raw(der: bytes) -> bytes:
    """r‖s of DER."""
    end = 4 + der[3]
    return b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (der[4:end], der[end + 2 :]))


def test_a_reply_in_any_order_is_ordered_before_it_is_checked() -> None:
    """The bank signs the ordered text; only that is read."""
    reply = b'{ "signature" : {"sigtim":"1", "sigdat":"c2ln"},\n "response":{"head":{"b":"2","a":"\xe4\xb8\x80"},"body":{}}}'
    covered, signature = envelope.split(reply)
    assert signature == b"sig"
    assert (
        covered
        == (
            '{"response":{"body":{},"head":{"a":"一","b":"2"}},"signature":{"sigdat":"__signature_sigdat__","sigtim":"1"}}'
        ).encode()
    )


@pytest.mark.parametrize(
    "reply",
    [b"", b"{}", b"[]", b'{"signature":"x"}', b'{"signature":{"sigdat":7}}', b'{"signature":{"sigdat":"*"}}', b"\xff"],
)
def test_without_a_slot_there_is_no_signature(reply: bytes) -> None:
    """Malformed, never another error: the door makes it Unverified."""
    with pytest.raises(Malformed):
        envelope.split(reply)


def test_the_form_survives_its_encoding() -> None:
    """Base64's + / = are escaped."""
    hidden = bytes(range(256))
    body = envelope.form(USER, "BB6BTHHL", hidden)
    assert set(body) <= set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789=&%")
    found = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
    assert found | {"DATA": ""} == {"UID": USER, "FUNCODE": "BB6BTHHL", "ALG": "SM", "DATA": ""}
    assert envelope.hidden_in(found["DATA"].encode()) == hidden


@pytest.mark.parametrize("words", [b"CDCServer:bad sign", b"ErrMsg: \xe5\xbf\x99", b"", b"<html>", b"\xff\xfe"])
def test_errors_of_the_server_are_plain_text(words: bytes) -> None:
    """They are no ciphertext, whatever the status; what they say is kept."""
    with pytest.raises(Malformed) as error:
        envelope.hidden_in(words)
    assert ("bad sign" in error.value.what) == (b"bad sign" in words)


# --------------------------------------------------------------------------------------------------------------- writing


def few() -> list[PayLine]:
    """Three payments of invented people."""
    lines = [LINES[0], LINES[1], LINES[3]._replace(line=3)]
    return [line._replace(payment=1_000 + line.line) for line in lines]


@pytest.mark.parametrize("function", ["agency", "batch"])
def test_golden_payloads(function: str) -> None:
    """Byte for byte."""
    assert paying(few(), function=function) == (GOLDEN / f"{function}.jsonl").read_bytes()


def test_the_golden_allow_list() -> None:
    """The name that the bank has, where we know it."""
    pairs = [
        PairLine(1, "WL000123", "add", "张三", "9900010000000000017", "张叁"),
        PairLine(2, "WL000124", "remove", "李四", "9900010000000000025"),
    ]
    head = ListHead(reference="W1", sequence=1, created=NOW, count=2)
    assert text(write_pairs(head, pairs, bank(**PLACE))) == (GOLDEN / "allow.jsonl").read_bytes()
    with pytest.raises(Refused, match="crtbnk"):
        text(write_pairs(head, pairs, bank()))
    with pytest.raises(Refused, match="suspend"):
        text(write_pairs(head, [pairs[0]._replace(action="suspend")], bank(**PLACE)))


@pytest.mark.parametrize("function", ["agency", "batch"])
@pytest.mark.parametrize("count", [1, PER_PART, PER_PART + 1, 2 * PER_PART, 2 * PER_PART + 500])
def test_parts_of_a_thousand(function: str, count: int) -> None:
    """Begin and end tags, or continuation states; sums of each part; the whole read back."""
    made = paying([line_of(number) for number in range(1, count + 1)], function=function)
    parts = [json.loads(line)["body"] for line in made.splitlines()]
    many = -(-count // PER_PART)
    assert len(parts) == many
    if function == "agency":
        heads = [part["bb6cdcbhx1"][0] for part in parts]
        assert [head["begtag"] for head in heads] == ["Y"] + ["N"] * (many - 1)
        assert [head["endtag"] for head in heads] == ["N"] * (many - 1) + ["Y"]
        assert sum(int(head["curcnt"]) for head in heads) == count
        assert {(head["ttlcnt"], head["ttlnum"], head["reqnbr"]) for head in heads} == {(str(count), str(many), "")}
        marks = [row["trxseq"] for part in parts for row in part["bb6cdcdlx1"]]
        assert marks == [f"{number:08d}" for number in range(1, count + 1)]
    else:
        heads = [part["bb1bmdbhx1"][0] for part in parts]
        states = ["1", *["2"] * (many - 2), "3"] if many > 1 else [None]
        assert [head.get("ctnSts") for head in heads] == states
        assert {(head["ctnFlg"], head["dtlNbr"]) for head in heads} == {("Y" if many > 1 else "N", str(count))}
    head, rows, tail = of(made)
    assert (head.kind, head.declared_count, len(rows)) == (DocKind.PAYMENT, count, count)
    assert tail.minor == count * 184_000


@pytest.mark.parametrize("character", list("\\|\"'<>&=\n\t\x00\x7f\u200b\u2028\ufeff\ud842"))
def test_what_no_value_may_hold(character: str) -> None:
    """CHARSET with the code point: the bank's rule, or because the text is signed and some write it in two ways."""
    for field in ("name", "account", "purpose"):
        with pytest.raises(Refused) as error:
            paying([line_of(1)._replace(**{field: f"张{character}三"})])  # type: ignore[arg-type]  # the fields that are text
        assert error.value.code is Code.CHARSET
        assert f"U+{ord(character):04X}" in error.value.what


@pytest.mark.parametrize(
    "wrong",
    [
        {"userid": "n1"},
        {"userid": ""},
        {"busmod": "1"},
        {"function": "both"},
        {"trstyp": "", "cnvnbr": ""},
        {"first_ask_s": "soon"},
        {"ask_every_s": "0"},
        {"adress": "x"},
    ],
)
def test_wrong_options(wrong: dict[str, str]) -> None:
    """Refused with the configuration."""
    with pytest.raises(Refused):
        options(bank(**wrong))


@pytest.mark.parametrize("cut", [b'"begtag":"Y"', b'"endtag":"Y"', b'"curcnt":"4"', b'"ttlamt"', b'"cprref"'])
def test_a_payload_with_other_words_is_none(cut: bytes) -> None:
    """Tags, sums and references are looked at."""
    made = paying(list(LINES))
    assert cut in made
    if cut == b'"begtag":"Y"':
        return  # a first part is one by standing first
    with pytest.raises(Malformed):
        of(
            made.replace(
                cut,
                cut.replace(b'Y"', b'N"').replace(b"4", b"5").replace(b"ttlamt", b"xxx").replace(b"cprref", b"x"),
                1,
            )
        )


# --------------------------------------------------------------------------------------------------------------- reading


def test_results_of_an_agency_payment() -> None:
    """Reference at the end of the note, amount, word and reason of every payment; totals of the batch."""
    head, rows, tail = told("BB6BPDQY")
    assert (head.kind, head.original, head.status) == (DocKind.RESULT, "BANKA2015061000001", "FIN")
    assert (head.declared_count, head.declared_minor, tail.count, tail.minor) == (6, 552_003, 6, 552_003)
    assert [row.ref for row in rows] == [*(f"143389920000000{n}" for n in range(1, 6)), "trxseq 00000006"]
    found = [judge(head, None, row, Agreement()) for row in rows]
    assert [(one.outcome, one.verdict) for one in found] == [
        (Outcome.PAID, Verdict.PAID),
        (Outcome.FAILED, Verdict.NAME_MISMATCH),
        (Outcome.FAILED, Verdict.ACCOUNT_UNKNOWN),
        (Outcome.FAILED, Verdict.CARD_LOST),
        (Outcome.PENDING, Verdict.RECEIVED),
        (Outcome.UNKNOWN, Verdict.UNKNOWN_CODE),
    ]
    assert rows[2].reasons[0].code == "CSAB051"


def test_results_of_a_batch_payment() -> None:
    """Our reference is crtSqn; without it the line is nobody's."""
    head, rows, _ = told("BB1QRYBD")
    assert (head.kind, head.original) == (DocKind.RESULT, "BANKA2015061000001")
    assert [row.ref for row in rows] == [*(f"143389920000000{n}" for n in range(1, 5)), "yurRef 1005"]
    found = [judge(head, None, row, Agreement()) for row in rows]
    assert [(one.outcome, one.verdict) for one in found] == [
        (Outcome.PAID, Verdict.PAID),
        (Outcome.FAILED, Verdict.NAME_MISMATCH),
        (Outcome.RETURNED, Verdict.ACCOUNT_CLOSED),
        (Outcome.UNKNOWN, Verdict.TIMEOUT),
        (Outcome.PENDING, Verdict.RECEIVED),
    ]


@pytest.mark.parametrize(
    ("name", "original", "status"), [("BB6BTHHL", "", "BNK"), ("BB1PAYBH", "BANKA2015061000001", "NTE")]
)
def test_receipts(name: str, original: str, status: str) -> None:
    """The bank's word that it has the batch, and no more."""
    head, rows, _ = told(name)
    assert (head.kind, head.original, head.status, rows) == (DocKind.RECEIPT, original, status, [])
    assert judge(head, None, None, Agreement()).outcome is Outcome.PENDING


def test_the_allow_list_and_what_became_of_entries() -> None:
    """Without the bank's padding."""
    head, rows, _ = told("BAKQRYRVL")
    assert head.kind is DocKind.WHITELIST
    assert [(row.ref, row.name, row.account, row.bank_ref) for row in rows] == [
        ("WL000123", "张叁", "9900010000000000017", "CMB0000001")
    ]
    head, rows, _ = told("BAKOPRRVL")
    assert (head.kind, [(row.status, row.bank_ref) for row in rows]) == (
        DocKind.WHITELIST,
        [("AUT", "BAK12XV33M10DX1Z0001")],
    )


@pytest.mark.parametrize("name", ["BB6BTHHL", "BB1PAYBH", "BB6BPDQY", "BB1QRYBD", "BAKQRYRVL", "BAKOPRRVL"])
def test_replies_are_recognised_and_cut_ones_are_not_read(name: str) -> None:
    """Not one prefix of a reply is taken for a whole one."""
    data = (GOLDEN / f"{name}.reply.json").read_bytes()
    assert [code for code, other in ADAPTERS.items() if other.sniff(data[:4096])] == ["cmb_cloud"]
    for length in range(len(data)):
        with pytest.raises(Malformed):
            of(data[:length])


@pytest.mark.parametrize(
    "change",
    [
        (b'"trsamt":"0.01"', b'"trsamt":0.01'),
        (b'"trsamt":"0.01"', b'"trsamt":"-0.01"'),
        (b'"trsamt":"0.01"', b'"trsamt":"1e3"'),
        (b'"trsnum":"6"', b'"trsnum":"six"'),
        (b'"bb6bpdqyz2":[', b'"bb6bpdqyz2":["x",'),
        (b'"funcode":"BB6BPDQY"', b'"funcode":"NTOTHER1"'),
        (b'"resultcode":"SUC0000",', b""),
    ],
)
def test_another_shape_is_not_read(change: tuple[bytes, bytes]) -> None:
    """Values that are no texts, amounts that are none, functions that we never called."""
    data = (GOLDEN / "BB6BPDQY.reply.json").read_bytes()
    assert change[0] in data
    with pytest.raises(Malformed):
        of(data.replace(*change))


# --------------------------------------------------------------------------------------------------------------- judging


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((word, Outcome.PENDING) for word in ("AUT", "NTE", "WCF", "BNK", "ACK", "APD", "APW", "OPR", "A", "I")),
        *((word, Outcome.PAID) for word in ("S", "FIN/S")),
        *((word, Outcome.FAILED) for word in ("E", "C", "FIN/F", "FIN/R", "FIN/D", "FIN/C")),
        ("FIN/B", Outcome.RETURNED),
        *((word, Outcome.UNKNOWN) for word in ("WRF", "FIN/U", "FIN", "FIN/X", "", "X", "SUC0000")),
    ],
)
def test_only_final_words_free_a_payment(status: str, outcome: Outcome) -> None:
    """FIN with F, B, R, D or C, and nothing else, may be paid again."""
    head = Head(kind=DocKind.RESULT, message="BB1QRYBD", status="FIN")
    assert judge(head, None, Row("1", 1, "CNY", status), Agreement()).outcome is outcome
    assert judge(head, Block(ref="x"), Row("1", 1, "CNY", status), Agreement()).outcome is outcome


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((word, Outcome.PENDING) for word in ("SUC0000", "OPR", "BNK", "FIN", "FIN/S", "FIN/F")),
        *((word, Outcome.REFUSED) for word in ("FIN/R", "FIN/D", "FIN/C")),
        *((word, Outcome.UNKNOWN) for word in ("FABZ002", "FAAQ086", "ANYTHIN", "WRF")),
    ],
)
def test_the_word_on_the_whole(status: str, outcome: Outcome) -> None:
    """Any resultcode but SUC0000 says nothing about the money."""
    assert judge(Head(kind=DocKind.RECEIPT, message="x", status=status), None, None, Agreement()).outcome is outcome


def test_a_repeat_is_never_a_failure() -> None:
    """Whatever the state beside it."""
    row = Row("1", 1, "CNY", "E", (told("BB6BPDQY")[1][1].reasons[0]._replace(code="", text="业务参考号重复"),))
    found = judge(Head(kind=DocKind.RESULT, message="x"), None, row, Agreement())
    assert (found.outcome, found.verdict) == (Outcome.UNKNOWN, Verdict.DUPLICATE)


def test_every_word_has_its_source() -> None:
    """Fifty words, each with where it is written."""
    assert len(CODES) >= 50
    assert all("2026" in row.source or "5.37.0" in row.source or "examples" in row.source for row in CODES.values())
