"""`sheyin encode`: whole documents under every cap or none at all, sealed where there is a key, every bad line by its code."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

import adapters
from gateway.core.bank import Detached, Enveloped, Row
from gateway.core.ids import check_character
from tests.adapters.suite import ADAPTERS, options_of
from tests.cli.conftest import Ran, Run
from tests.sandbox import bureau
from tests.servers import ROOT

FORMATS = sorted(code for code, adapter in adapters.discover().items() if adapter.pays)
#: Those whose seal stands inside the document or beside it; the others' is made in the conversation, or there is none.
SEALED = [code for code in FORMATS if isinstance(ADAPTERS[code].seal, Enveloped | Detached)]
PERSON = {"name": "张三", "id_number": "11010519491231002X"}


def told_options(code: str) -> list[str]:
    """What the format cannot do without, as words of the command line."""
    return [word for name, value in options_of(ADAPTERS[code]).items() for word in ("--option", f"{name}={value}")]


def line(number: int, **changed: Any) -> dict[str, Any]:
    """One instruction; amounts are their numbers."""
    return {
        "id": f"I{number}",
        "person": PERSON,
        "bank": "BANKA",
        "account": "9900010000000000017",
        "amount": number,
        **changed,
    }


def lines(*instructions: dict[str, Any]) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in instructions)


def encoded(run: Run, content: bytes, *words: str | Path, out: str = "out") -> Ran:
    """Encode these lines as JSON output."""
    (run.folder / "lines.jsonl").write_bytes(content)
    return run.here("encode", "lines.jsonl", "--out", out, "--json", *words)


def read(folder: Path, document: dict[str, Any], code: str) -> list[Row]:
    """The payments in a written document, by the format's own reader."""
    with (folder / document["name"]).open("rb") as stream:
        return [item for item in adapters.discover()[code].read(stream) if isinstance(item, Row)]


@pytest.mark.parametrize("code", FORMATS)
def test_every_line_stands_in_one_document_with_its_line_number_as_reference(code: str, run: Run) -> None:
    """Count, total and digest are told for each document and agree with its bytes."""
    done = encoded(run, lines(*(line(number) for number in range(1, 31))), "--format", code, *told_options(code))
    assert done.code == 0, done.out
    (document,) = done.json["documents"]
    payload = (run.folder / "out" / document["name"]).read_bytes()
    assert (document["count"], document["minor"], document["size"]) == (30, 465, len(payload))
    assert done.json["totals"] == {"count": 30, "minor": 465}
    assert document["digest"] == hashlib.sha256(payload).hexdigest()
    assert [(row.ref, row.amount) for row in read(run.folder / "out", document, code)] == [
        (str(number), number) for number in range(1, 31)
    ]
    assert not done.json["sealed"]
    why = "no key is configured" if ADAPTERS[code].seal is not None else "the format has no seal"
    assert any(f"not sealed: {why}" in warning for warning in done.json["warnings"])
    assert [path.name for path in (run.folder / "out").iterdir()] == [document["name"]]


@pytest.mark.parametrize("code", FORMATS)
def test_caps_split_and_groups_never_mix(code: str, run: Run) -> None:
    """Banks, funds, debit accounts, pay dates and benefit lines apart; rows under the cap of the bank's own limits."""
    (run.folder / "sheyin.toml").write_text(
        f"""
        gateway = {{ bureau = "某市社保局" }}
        [[bank]]
        code = "BANKA"
        name = "Bank Jia"
        adapter = "{code}"
        wire = "{next(iter(ADAPTERS[code].routes))}"
        format_options = {{ {", ".join(f"{name} = {json.dumps(value)}" for name, value in options_of(ADAPTERS[code]).items())} }}
        customer = "FS0001"
        sealed = false
        debit_accounts = {{ pension = "9900000000000018", medical = "9900000000000026" }}
        limits = {{ rows_max = 4, document_minor_max = 1000 }}
        wire_options = {{ root = "x" }}
        """
    )
    content = lines(
        *(line(number) for number in range(1, 11)),
        line(11, fund="medical", line="medical"),
        line(12, pay_date="2030-06-10"),
        line(13, debit_account="9900000000000034"),
        line(14, amount=999),
        line(15, amount=2),
    )
    done = encoded(run, content, "--format", code, "--pay-date", "2030-06-01")
    assert done.code == 0, done.out
    told = [
        (d["fund"], d["line"], d["debit_account"], d["pay_date"], d["count"], d["minor"])
        for d in done.json["documents"]
    ]
    first = ("pension", "pension", "9900000000000018", "2030-06-01")
    assert told == [
        (*first, 4, 10),
        (*first, 4, 26),
        (*first, 2, 19),  # 999 more would be above the cap of 1,000 fen
        (*first, 1, 999),
        (*first, 1, 2),
        ("medical", "medical", "9900000000000026", "2030-06-01", 1, 11),
        ("pension", "pension", "9900000000000018", "2030-06-10", 1, 12),
        ("pension", "pension", "9900000000000034", "2030-06-01", 1, 13),
    ]
    references = [row.ref for d in done.json["documents"] for row in read(run.folder / "out", d, code)]
    assert sorted(map(int, references)) == list(range(1, 16))
    assert (
        len({d["reference"] for d in done.json["documents"]}) == len({d["name"] for d in done.json["documents"]}) == 8
    )


def check(number: int, **changed: Any) -> dict[str, Any]:
    """One question about a name."""
    return {"ref": f"{number}", "bank": "CARDS", "name": "张三", "account": "9900010000000000017", "id_type": "resident"} | {
        "id_number": "11010519491231002X", **changed,
    }  # fmt: skip


def test_name_checks_of_a_format_without_payments(run: Run) -> None:
    """Questions instead of instructions; refused where the format carries the other kind alone."""
    content = lines(*(check(number) for number in range(1, 4)), check(4, bank="OTHER"))
    asked = ("--format", "card_files", "--option", "account=reserve")
    assert "--checks writes name checks" in encoded(run, content, *asked).out
    done = encoded(run, content, *asked, "--checks")
    assert done.code == 0, done.out
    assert [(one["bank"], one["count"]) for one in done.json["documents"]] == [("CARDS", 3), ("OTHER", 1)]
    rows = read(run.folder / "out", done.json["documents"][0], "card_files")
    assert [(row.ref, row.name, row.account) for row in rows] == [
        (f"{number}", "张三", "9900010000000000017") for number in range(1, 4)
    ]
    table = run.here("encode", "lines.jsonl", *asked, "--checks", "--out", "again")
    assert table.code == 0
    assert "SH_CARDS" in table.out
    refused = encoded(run, content, "--format", "standard_file", "--checks", out="third")
    assert (refused.code, refused.json["error"]["code"]) == (2, "POLICY")
    assert not list((run.folder / "third").iterdir())


@pytest.mark.parametrize("message", ["acmt.023.001.02", "acmt.023.001.04"])
def test_name_checks_of_a_format_that_pays_too(run: Run, message: str) -> None:
    """The same questions in the message that the bank has agreed on."""
    content = lines(*(check(number) for number in range(1, 4)))
    asked = ("--format", "iso20022", "--option", f"name_check={message}", "--checks")
    done = encoded(run, content, *asked)
    assert done.code == 0, done.out
    (document,) = done.json["documents"]
    assert message.encode() in (run.folder / "out" / document["name"]).read_bytes()
    assert [row.ref for row in read(run.folder / "out", document, "iso20022")] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("changed", "code", "where"),
    [
        ({"name": "张\u200b三"}, "NAME", "line 2: name"),
        ({"name": "张㛃"}, "CHARSET", "line 2: name"),
        ({"ref": "1"}, "DUP", "line 2: ref"),
        ({"ref": ""}, "DUP", "line 2: ref"),
        ({"amount": 1}, "SCHEMA", "line 2"),
        ({"id_type": "licence"}, "SCHEMA", "line 2"),
    ],
)
def test_a_bad_question_and_nothing_is_written(run: Run, changed: dict[str, Any], code: str, where: str) -> None:
    """Told by its code and place."""
    content = lines(check(1), check(2, **changed))
    done = encoded(run, content, "--format", "card_files", "--option", "account=reserve", "--checks")
    assert done.code == 2
    assert [(error["code"], error["where"]) for error in done.json["errors"]] == [(code, where)]
    assert not (run.folder / "out").exists()


@pytest.mark.parametrize("word", ["account=both", "account", "nothing=1"])
def test_an_option_that_the_format_does_not_know(run: Run, word: str) -> None:
    """Refused before anything is read."""
    done = encoded(run, lines(check(1)), "--format", "card_files", "--checks", "--option", word)
    assert (done.code, done.json["error"]["where"]) == (2, "--option")


def test_the_formats_own_cap_of_rows(run: Run) -> None:
    """Ten thousand payments in a document whose seal is inside, one more in the next."""
    content = lines(*(line(number, id=str(number), amount=1) for number in range(1, 10_002)))
    done = encoded(run, content, "--format", "iso20022")
    assert [d["count"] for d in done.json["documents"]] == [10_000, 1]


def test_banks_are_never_mixed(run: Run) -> None:
    """Each bank of the file has documents of its own, under different names."""
    content = lines(*(line(number, bank=f"BANK{'ABC'[number % 3]}") for number in range(1, 10)))
    done = encoded(run, content, "--format", "iso20022")
    assert [(d["bank"], d["count"]) for d in done.json["documents"]] == [("BANKB", 3), ("BANKC", 3), ("BANKA", 3)]
    assert len(list((run.folder / "out").iterdir())) == 3


# ---------------------------------------------------------------------------------------------------------------- seals


def test_sealed_with_the_configurations_key(
    run: Run, installation: Path, outside_program: Callable[[str], str]
) -> None:
    """Programs that somebody else wrote verify what is written: xmlsec1 the one inside, openssl the one beside."""
    config, keys = installation / "sheyin.toml", installation / "certs" / "dev"
    for code in SEALED:
        done = encoded(run, lines(line(1), line(2)), "--format", code, "--config", config, out=code)
        assert done.code == 0, done.out
        assert done.json["sealed"]
        (document,) = done.json["documents"]
        path = run.folder / code / document["name"]
        if document["seal"]:
            words = [outside_program("openssl"), "cms", "-verify", "-binary", "-inform", "DER", "-in", f"{path}.p7s"]
            words += ["-content", str(path), "-certfile", str(keys / "bureau-sign.crt"), "-nointern", "-noverify"]
            words += ["-out", "/dev/null"]
        else:
            words = [outside_program("xmlsec1"), "--verify", "--insecure", str(path)]
        assert subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_sealed_with_a_key_of_the_command_line(run: Run) -> None:
    """Without any configuration: a PEM key and its certificate."""
    signer = bureau.pair(run.folder, "mine")
    signer.key_path.chmod(0o600)
    words = ("--key", signer.key_path, "--cert", signer.cert_path)
    for code in SEALED:
        done = encoded(run, lines(line(1)), "--format", code, *words, out=code)
        assert done.code == 0, done.out
        name = done.json["documents"][0]["name"]
        found = run.here("inspect", run.folder / code / name, "--cert", signer.cert_path, "--json").json
        assert found["seal"] == {"state": "valid", "by": "CN=mine"}
    wrong = encoded(
        run, lines(line(1)), "--format", code, "--key", signer.key_path, "--cert", "nowhere.pem", out="other"
    )
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "PATH")


def test_an_unsealed_pain_001_is_official(run: Run) -> None:
    """The bare document fits the published schema."""
    done = encoded(run, lines(line(1), line(2, purpose="养老金 & <待遇>")), "--format", "iso20022")
    schema = etree.XMLSchema(etree.parse(str(ROOT / "schemas/iso20022/pain.001.001.09.xsd")))
    schema.assertValid(etree.parse(str(run.folder / "out" / done.json["documents"][0]["name"])))


# ---------------------------------------------------------------------------------------------------------------- bad lines

BAD: list[tuple[str, bytes | dict[str, Any], str, str]] = [
    ("no JSON", b"not json\n", "FORMAT", "line 2"),
    ("an array", b"[1]\n", "SCHEMA", "line 2"),
    ("a key twice", lines(line(2)).replace(b"{", b'{"id": "I0", ', 1), "FORMAT", "line 2"),
    ("no id number", line(2, person={"name": "张三"}), "SCHEMA", "line 2: person"),
    ("unknown field", line(2, iban="x"), "SCHEMA", "line 2"),
    ("amount as text", line(2, amount="5"), "SCHEMA", "line 2: amount"),
    ("amount as a fraction", line(2, amount=1.5), "SCHEMA", "line 2: amount"),
    ("zero", line(2, amount=0), "RANGE", "line 2: amount"),
    ("negative", line(2, amount=-5), "RANGE", "line 2: amount"),
    ("too much", line(2, amount=1_000_000_001), "RANGE", "line 2: amount"),
    ("another currency", line(2, currency="USD"), "SCHEMA", "line 2: currency"),
    ("bank's code", line(2, bank="bank a"), "SCHEMA", "line 2: bank"),
    ("full-width digits", line(2, account="９９０００１００００"), "SCHEMA", "line 2: account"),
    ("newline in an account", line(2, account="9900010000000000017\n"), "SCHEMA", "line 2: account"),
    ("no such day", line(2, pay_date="2030-02-30"), "SCHEMA", "line 2: pay_date"),
    ("invisible character", line(2, person={**PERSON, "name": "张\u200b三"}), "NAME", "line 2: person.name"),
    ("in the payee's name", line(2, payee={**PERSON, "name": "李\u202e四"}), "NAME", "line 2: payee.name"),
    ("empty name", line(2, person={**PERSON, "name": " "}), "NAME", "line 2: person.name"),
    ("long name", line(2, person={**PERSON, "name": "长" * 99}), "SIZE", "line 2: name"),
    ("a repeated line", line(1), "DUP", "line 2: id"),
    ("a known id with another amount", line(1, amount=2), "CONFLICT", "line 2: id"),
    ("a line without end", b'{"id": "' + b"x" * 70_000 + b'"}\n', "SIZE", "line 2"),
]


@pytest.mark.parametrize("code", FORMATS)
@pytest.mark.parametrize(("what", "bad", "reject", "where"), BAD, ids=[bad[0] for bad in BAD])
def test_one_bad_line_and_nothing_is_written(
    what: str, bad: bytes | dict[str, Any], reject: str, where: str, code: str, run: Run
) -> None:
    """Its code, its place, a sentence; the good lines around it do not hide it and are not written."""
    content = lines(line(1)) + (bad if isinstance(bad, bytes) else lines(bad)) + lines(line(3))
    done = encoded(run, content, "--format", code)
    assert done.code == 2
    (error,) = done.json["errors"]
    assert (error["code"], error["where"]) == (reject, where)
    assert done.json["error"] == {key: error[key] for key in ("code", "where", "what")}
    assert "张" not in error["what"]
    assert not (run.folder / "out").exists()


def test_people_see_the_first_bad_lines_and_how_many_more(run: Run) -> None:
    """One line each on standard error, twenty of them."""
    (run.folder / "bad.jsonl").write_bytes(lines(*(line(number, amount=0) for number in range(1, 31))))
    done = run("encode", "bad.jsonl", "--format", "iso20022")
    told = done.err.splitlines()
    assert (done.code, done.out, len(told)) == (2, "", 21)
    assert told[0] == "error: RANGE at line 1: amount: Expected `int` >= 1"
    assert told[-1].strip() == "10 more bad lines (--json tells a thousand); nothing was written"


def test_a_character_that_a_format_lacks(run: Run) -> None:
    """The standard file's separator stands in no name; XML can hold it."""
    content = lines(line(1, person={**PERSON, "name": "张|三"}))
    assert encoded(run, content, "--format", "standard_file").json["error"]["code"] == "CHARSET"
    assert encoded(run, content, "--format", "iso20022").code == 0


def test_an_id_number_that_fails_its_check_is_a_warning(run: Run) -> None:
    """A doubt holds a payment in the gateway; it never refuses the file."""
    first = PERSON["id_number"][:17]
    wrong = "X0"[check_character(first) == "X"]
    done = encoded(run, lines(line(1, person={**PERSON, "id_number": first + wrong})), "--format", "iso20022")
    assert done.code == 0
    assert any("line 1: the check character is wrong" in warning for warning in done.json["warnings"])


def test_an_empty_file_has_nothing_to_encode(run: Run) -> None:
    """Blank lines are no instructions."""
    assert encoded(run, b"\n\n", "--format", "iso20022").json["error"]["code"] == "FORMAT"


def test_nothing_is_overwritten_unless_asked(run: Run) -> None:
    """The same day's second file gets another number, or --overwrite says that the first may go; a refusal leaves no half files."""
    content = lines(line(1))
    assert encoded(run, content, "--format", "iso20022").code == 0
    again = encoded(run, content, "--format", "iso20022")
    assert (again.code, again.json["error"]["code"]) == (2, "CONFLICT")
    assert encoded(run, content, "--format", "iso20022", "--overwrite").code == 0
    second = encoded(run, content, "--format", "iso20022", "--sequence", "2")
    assert second.code == 0
    assert len(list((run.folder / "out").iterdir())) == 2


def test_all_documents_are_written_or_none(run: Run) -> None:
    """Where the last of several cannot be written, the first ones are not left behind."""
    content = lines(*(line(number, bank=f"BANK{number}") for number in range(1, 4)))
    names = [d["name"] for d in encoded(run, content, "--format", "iso20022", out="all").json["documents"]]
    (run.folder / "some").mkdir()
    (run.folder / "some" / names[2]).write_text("somebody's")
    assert encoded(run, content, "--format", "iso20022", out="some").code == 2
    assert [path.name for path in (run.folder / "some").iterdir()] == [names[2]]
    assert (run.folder / "some" / names[2]).read_text() == "somebody's"


def test_more_documents_than_a_day_takes_are_refused(run: Run) -> None:
    """Where the cap on documents a day lets not all through, none is written."""
    content = lines(line(1))
    done = encoded(run, content, "--format", "iso20022", "--sequence", "10000")
    assert (done.code, done.json["error"]["code"]) == (2, "RANGE")


def test_people_get_a_table(run: Run) -> None:
    """Names, counts, totals, digests; the process is a user's."""
    done = run("encode", "-", "--format", "standard_file", "--out", "out", stdin=lines(line(1), line(2)))
    assert done.code == 0, done.err
    assert "1 document, 2 payments, CNY 0.03" in done.out
    assert "warning: the documents are not sealed" in done.err


def test_a_bank_of_another_format_is_told(run: Run, installation: Path) -> None:
    """What stands in for the bank's own agreement is said in the output."""
    done = encoded(run, lines(line(1)), "--format", "standard_file", "--config", installation / "sheyin.toml")
    assert done.code == 0, done.out
    assert [
        w for w in done.json["warnings"] if "BANKA is configured with iso20022, not standard_file: BUREAU stands" in w
    ]
    same = encoded(run, lines(line(1)), "--format", "iso20022", "--config", installation / "sheyin.toml", out="same")
    assert not [w for w in same.json["warnings"] if "is configured with" in w]
