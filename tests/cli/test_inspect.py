"""`sheyin inspect`: published samples, our own documents, a bank's, sealed by anybody or nobody, and what must be refused."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.codec import xmldsig
from gateway.core.verdicts import Outcome
from gateway.edge.crypto import pki
from tests.adapters.iso20022_documents import block, camt_054, detail, entry, pain_002, transaction
from tests.adapters.replies.pingan import reply as packet
from tests.adapters.standard_file_examples import EXAMPLES
from tests.cli.conftest import SAMPLES, Run
from tests.sandbox import bureau
from tests.servers import ROOT

TOP = ["format", "kind", "seal", "totals", "group", "blocks", "rows"]
ROW = ["ref", "amount_minor", "currency", "status", "codes", "outcome", "verdict", "text"]
WORD = ["status", "reasons", "outcome"]
OUTCOMES = {str(outcome) for outcome in Outcome}
MIXED = pain_002(
    block(
        transaction("ACCC", ref="1", amount="1840.00"),
        transaction("RJCT", "AC04", ref="2", amount="2150.50"),
        transaction("RJCT", "=EA178", "=AM04", ref="3", amount="10.00"),
        transaction("RJCT", "=EP252?rejected by timeout", ref="4", amount="10.00"),
        transaction("RJCT", "AM05", ref="5", amount="10.00"),
        transaction("RJCT", "ZZ99", ref="6", amount="10.00"),
        transaction("ACSP", ref="7", amount="10.00"),
        own="<PmtInfSts>PART</PmtInfSts>",
    ),
    group="<OrgnlNbOfTxs>7</OrgnlNbOfTxs><OrgnlCtrlSum>4040.50</OrgnlCtrlSum><GrpSts>PART</GrpSts>",
)


def shape_of(document: Any) -> None:
    """Exactly the keys that a program may rely on, in their order, at every level."""
    assert list(document) == TOP
    assert list(document["seal"]) == ["state", "by"]
    assert list(document["totals"]) == ["declared_count", "declared_minor", "count", "minor"]
    assert list(document["group"]) == WORD
    assert all(list(block) == ["ref", *WORD] for block in document["blocks"])
    assert all(list(row) == ROW for row in document["rows"])
    words = [document["group"], *document["blocks"], *document["rows"]]
    assert {word["outcome"] for word in words} <= OUTCOMES
    assert all(isinstance(code, str) for word in words for code in word.get("codes", word.get("reasons")))


# ---------------------------------------------------------------------------------------------------------------- meaning


def test_levels_rows_and_codes_are_exactly_as_the_bank_wrote_them(run: Run) -> None:
    """Statuses and codes word for word on three levels, and what each means for the money."""
    document = run.inspect(MIXED, "--format", "iso20022", "--json").json
    shape_of(document)
    assert (document["format"], document["kind"]) == ("iso20022", "result")
    assert document["seal"] == {"state": "absent", "by": ""}
    assert document["totals"] == {"declared_count": 7, "declared_minor": 404050, "count": 7, "minor": 404050}
    assert document["group"] == {"status": "PART", "reasons": [], "outcome": "pending"}
    assert document["blocks"] == [{"ref": "B1", "status": "PART", "reasons": [], "outcome": "pending"}]
    told = [(row["ref"], row["status"], row["codes"], row["outcome"], row["verdict"]) for row in document["rows"]]
    assert told == [
        ("1", "ACCC", [], "paid", "PAID"),
        ("2", "RJCT", ["AC04"], "failed", "ACCOUNT_CLOSED"),
        ("3", "RJCT", ["EA178", "AM04"], "failed", "FUNDS"),
        ("4", "RJCT", ["EP252"], "unknown", "TIMEOUT"),
        ("5", "RJCT", ["AM05"], "unknown", "DUPLICATE"),
        ("6", "RJCT", ["ZZ99"], "unknown", "UNKNOWN_CODE"),
        ("7", "ACSP", [], "pending", "RECEIVED"),
    ]
    assert document["rows"][1]["amount_minor"] == 215050
    assert document["rows"][3]["text"] == "rejected by timeout"


def test_a_whole_file_refused_without_lines(run: Run) -> None:
    """A rejection that proves nothing was booked is refused; a duplicate may have been booked before."""
    for code, outcome in (("AM10", "refused"), ("DU01", "unknown"), ("DUPL", "unknown")):
        group = f"<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>"
        document = run.inspect(pain_002("", group=group), "--json").json
        assert document["group"] == {"status": "RJCT", "reasons": [code], "outcome": outcome}
        assert (document["rows"], document["totals"]["count"]) == ([], 0)


def test_returns_of_an_account_notice(run: Run) -> None:
    """Money that came back is returned with the bank's reason; marks of a booking are no codes."""
    kind = "<BkTxCd><Prtry><Cd>TUIHUI</Cd></Prtry></BkTxCd>"
    reason = "<Rsn><Cd>AC06</Cd></Rsn><AddtlInf>挂失</AddtlInf>"
    back = entry(detail(returned=reason, more=kind), family="RRTN", reversal="true")
    document = run.inspect(camt_054(back, entry(detail("<EndToEndId>2</EndToEndId>"))), "--json").json
    shape_of(document)
    assert document["kind"] == "return"
    assert [(block["status"], block["reasons"], block["outcome"]) for block in document["blocks"]] == [
        ("BOOK", [], "returned"),
        ("BOOK", [], "none"),
    ]
    told = [(row["ref"], row["status"], row["codes"], row["outcome"], row["verdict"]) for row in document["rows"]]
    assert told == [("1", "BOOK", ["AC06"], "returned", "CARD_LOST"), ("2", "BOOK", [], "none", "")]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_kind_of_standard_file(name: str, run: Run) -> None:
    """Each example of the specification is explained, its format told by its first bytes."""
    document = run.inspect(EXAMPLES[name], "--json").json
    shape_of(document)
    assert document["format"] == "standard_file"
    assert document["totals"]["count"] == len(document["rows"])


def test_a_result_in_the_standard_file(run: Run) -> None:
    """Its codes are shown as status and code of each line, the word in plain language as text."""
    document = run.inspect(EXAMPLES["result-1"], "--json").json
    assert document["group"] == {"status": "0000", "reasons": ["0000"], "outcome": "pending"}
    assert document["rows"][1] == {
        "ref": "1433899200000002",
        "amount_minor": 215050,
        "currency": "CNY",
        "status": "1002",
        "codes": ["1002"],
        "outcome": "failed",
        "verdict": "NAME_MISMATCH",
        "text": "户名不符",
    }


def test_the_agreement_of_a_configured_bank_decides_what_credited_means(run: Run, installation: Path) -> None:
    """ACSC is credited only where the bank has promised so."""
    config = (installation / "sheyin.toml").read_text(encoding="utf-8")
    (run.folder / "sheyin.toml").write_text(config.replace('credited = ["ACCC"]', 'credited = ["ACCC", "ACSC"]', 1))
    document = pain_002(block(transaction("ACSC")))
    assert run.inspect(document, "--json").json["rows"][0]["outcome"] == "pending"
    assert run.inspect(document, "--bank", "BANKA", "--json").json["rows"][0]["outcome"] == "paid"
    assert run.inspect(document, "--bank", "BANKB", "--json").json["rows"][0]["outcome"] == "pending"
    assert "no bank is called 'BANKX'" in run.inspect(document, "--bank", "BANKX").err


GOLDEN = ROOT / "tests" / "adapters" / "golden"


@pytest.mark.parametrize(
    ("path", "code", "kind", "rows"),
    [
        ("card_files/request.SH", "card_files", "name_check", [("901", "none", ""), ("902", "none", ""), ("903", "none", "")]),
        ("card_files/result.RH", "card_files", "name_check", [("901", "none", ""), ("902", "none", "NO_REASON"), ("903", "none", "UNKNOWN_CODE")]),
        ("pingan/batch.txt", "pingan", "payment", None),
        ("pingan/returned.txt", "pingan", "result", [
            ("1433899200000001", "paid", "PAID"), ("1433899200000002", "unknown", "TIMEOUT"),
            ("1433899200000003", "failed", "NAME_MISMATCH"), ("1433899200000004", "unknown", "UNKNOWN_CODE")]),
    ],
)  # fmt: skip
def test_banks_own_formats_are_recognised_and_explained(
    run: Run, path: str, code: str, kind: str, rows: list[tuple[str, str, str]] | None
) -> None:
    """By their first bytes alone, ours and the bank's; as a table too."""
    done = run.here("inspect", GOLDEN / path, "--json")
    assert done.code == 0, done.out
    assert (done.json["format"], done.json["kind"]) == (code, kind)
    if rows is not None:
        assert [(row["ref"], row["outcome"], row["verdict"]) for row in done.json["rows"]] == rows
    assert code in run.here("inspect", GOLDEN / path).out


def test_a_packet_is_explained(run: Run) -> None:
    """A reply that says "ask again", straight from the wire."""
    (run.folder / "reply").write_bytes(packet("KHKF01", {}, code="GW3002", text="通讯异常"))
    done = run.here("inspect", "reply", "--json")
    assert (done.json["kind"], done.json["group"]["outcome"]) == ("receipt", "unknown")


# ---------------------------------------------------------------------------------------------------------------- samples


def samples() -> list[Path]:
    """Published samples that are no part of this tree."""
    return sorted(SAMPLES.glob("*.xml")) if SAMPLES.is_dir() else []


EXPECTED = {
    "mb-ext-camt.054.001.08-notification": ("return", [("E2E-0001", "EUR", "none"), ("E2E-0002", "USD", "none")]),
    "mb-ext-pain.001.001.09-every-element": ("payment", [("T", "EUR", "none")]),
    "mb-ext-pain.002.001.10-cbpr-originator": ("result", [("OrgnlEndToEndId", "", "paid")]),
    "mb-ext-pain.002.001.10-every-element": ("result", [("OrgnlEndToEndId", "", "paid")]),
    "mb-ext-pain.002.001.10-sepa-status": (
        "result",
        [("SUP-0007-A", "EUR", "pending"), ("SUP-0007-B", "EUR", "failed")],
    ),
    "painfree-camt053.08": (
        "statement",
        [("E2E-0001", "CHF", "none"), ("E2E-0002", "CHF", "none"), ("E2E-0003", "CHF", "none")],
    ),
    "painfree-camt054.09": ("return", [("E2E-QR-0001", "CHF", "none"), ("", "CHF", "unknown")]),
    "painfree-pain002.10-PART": ("result", [("E2E-0001", "CHF", "pending"), ("E2E-0002", "CHF", "failed")]),
}


def test_published_samples_are_explained(run: Run) -> None:
    """Other people's documents, in any currency, about other people's payments."""
    if not samples():
        pytest.skip("the published samples lie outside this tree, in ../shared/samples")
    assert {path.stem for path in samples()} >= EXPECTED.keys()
    for path in samples():
        done = run("inspect", path, "--format", "iso20022", "--json")
        assert done.code == 0, f"{path.name}: {done.out}"
        assert run.here("inspect", path, "--json") == done
        shape_of(done.json)
        assert done.json["seal"]["state"] == "absent"
        kind, rows = EXPECTED.get(path.stem, (done.json["kind"], None))
        assert done.json["kind"] == kind
        if rows is not None:
            assert [(row["ref"], row["currency"], row["outcome"]) for row in done.json["rows"]] == rows
        shown = run.here("inspect", path)
        assert shown.code == 0
        assert done.json["kind"] in shown.out


# ---------------------------------------------------------------------------------------------------------------- seals


def signed_by(folder: Path, name: str, document: bytes, message: str) -> bytes:
    """The document in its wrapper, with a business header signed by one of the throwaway keys."""
    key = serialization.load_pem_private_key((folder / f"certs/dev/{name}.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate((folder / f"certs/dev/{name}.crt").read_bytes())
    before = f'<BusinessMessage xmlns="{bureau.WRAPPER}"><AppHdr xmlns="{bureau.HEAD}"><MsgDefIdr>{message}</MsgDefIdr><Sgntr>'
    after = b"</Sgntr></AppHdr>" + document + b"</BusinessMessage>"
    digest = hashes.Hash(hashes.SHA256())
    digest.update(before.encode() + after)
    shown = xmldsig.signed_info(digest.finalize())
    value = key.sign(shown, padding.PKCS1v15(), hashes.SHA256())
    der = certificate.public_bytes(serialization.Encoding.DER)
    return before.encode() + xmldsig.signature(shown, value, der) + after


@pytest.fixture(scope="session")
def sealed(installation: Path) -> bytes:
    """The mixed answer above, sealed by bank A."""
    return signed_by(installation, "banka-sign", MIXED, "pain.002.001.10")


def state(run: Run, document: bytes, *words: str | Path) -> tuple[str, str]:
    """What is said about its seal; its content must have been explained all the same."""
    done = run.inspect(document, *words, "--json")
    assert done.code == 0, done.out
    assert len(done.json["rows"]) == 7
    return done.json["seal"]["state"], done.json["seal"]["by"]


BY_BANK_A = "CN=BANKA signing 1 (development)"


def test_an_enveloped_seal(run: Run, installation: Path, sealed: bytes) -> None:
    """Valid only with the certificate that made it; without one there is only a claim; changed it is invalid."""
    keys = installation / "certs" / "dev"
    mine, other = ("--cert", keys / "banka-sign.crt"), ("--cert", keys / "bankb-sign.crt")
    assert state(run, sealed) == ("unverified", BY_BANK_A)
    assert state(run, sealed, *mine) == ("valid", BY_BANK_A)
    assert state(run, sealed, *other, *mine) == ("valid", BY_BANK_A)
    assert state(run, sealed, *other) == ("invalid", BY_BANK_A)
    assert state(run, sealed.replace(b"1840.00", b"9840.00"), *mine) == ("invalid", BY_BANK_A)
    assert state(run, sealed, *mine, "--at", "2001-01-01")[0] == "invalid"
    assert state(run, MIXED, *mine) == ("absent", "")


def test_the_configurations_certificates_are_tried(run: Run, installation: Path, sealed: bytes) -> None:
    """With a configuration a seal by anybody in it is valid, ours too; a stranger's is only not verified."""
    config = ("--config", installation / "sheyin.toml")
    assert state(run, sealed, *config) == ("valid", BY_BANK_A)
    ours = signed_by(installation, "bureau-sign", MIXED, "pain.002.001.10")
    assert state(run, ours, *config) == ("valid", "CN=Bureau signing (development)")
    assert state(run, ours, *config, "--bank", "BANKA")[0] == "invalid"
    pki.make(run.folder / "certs/dev", ["BANKX"], dt.datetime.now(dt.UTC) - dt.timedelta(days=1))
    nobody = signed_by(run.folder, "bankx-sign", MIXED, "pain.002.001.10")
    assert state(run, nobody, *config) == ("unverified", "CN=BANKX signing 1 (development)")
    foreign = bureau.wrapped(bureau.pain001(bureau.pays(7)), bureau.pair(run.folder, "stranger"))
    assert state(run, foreign, *config)[0] == "invalid"
    assert state(run, foreign, "--cert", run.folder / "stranger.pem")[0] == "valid"


def test_only_what_was_signed_is_shown_where_the_seal_is_valid(run: Run, installation: Path, sealed: bytes) -> None:
    """A comment that canonicalisation drops cannot change what is read: it is refused in the raw bytes and harmless in the signed ones."""
    tricky = sealed.replace(b"1840.00", b"18<!-- -->40.00")
    refused = run.inspect(tricky, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "FORMAT")
    document = run.inspect(tricky, "--json", "--cert", installation / "certs/dev/banka-sign.crt").json
    assert (document["seal"]["state"], document["rows"][0]["amount_minor"]) == ("valid", 184000)


def test_a_detached_seal(run: Run, installation: Path) -> None:
    """It is looked for beside the document, or named."""
    signer = bureau.pair(run.folder, "bank")
    payload = EXAMPLES["result-1"]
    cert = ("--cert", run.folder / "bank.pem")

    def said(*words: str | Path) -> tuple[str, str]:
        seal = run.inspect(payload, *words, "--json", name="result.txt").json["seal"]
        return seal["state"], seal["by"]

    assert said(*cert) == ("absent", "")
    (run.folder / "elsewhere.p7s").write_bytes(bureau.cms(payload, signer))
    assert said("--seal", "elsewhere.p7s", *cert) == ("valid", "CN=bank")
    (run.folder / "elsewhere.p7s").rename(run.folder / "result.txt.p7s")
    assert said(*cert) == ("valid", "CN=bank")
    assert said() == ("unverified", "CN=bank")
    assert said("--cert", installation / "certs/dev/banka-sign.crt") == ("invalid", "CN=bank")
    (run.folder / "result.txt.p7s").write_bytes(bureau.cms(payload + b"x", signer))
    assert said(*cert) == ("invalid", "CN=bank")
    (run.folder / "result.txt.p7s").write_bytes(b"no seal at all")
    assert said(*cert) == ("invalid", "")


def test_our_own_documents(run: Run, installation: Path) -> None:
    """What `sheyin encode` writes, wrapped and sealed or bare, is read back with every amount."""
    lines = b"".join(
        json.dumps(
            {
                "id": str(number),
                "person": {"name": "张三", "id_number": "11010519491231002X"},
                "bank": "BANKA",
                "account": "9900010000000000017",
                "amount": number,
            }
        ).encode()
        + b"\n"
        for number in range(1, 8)
    )
    for words, expected in ((("--config", installation / "sheyin.toml"), "valid"), ((), "absent")):
        for code in ("iso20022", "standard_file"):
            out = run.folder / f"{code}-{expected}"
            done = run("encode", "-", "--format", code, "--out", out, "--json", *words, stdin=lines)
            assert done.code == 0, done.out
            (name,) = [document["name"] for document in done.json["documents"]]
            found = run("inspect", out / name, *words, "--json").json
            assert (found["kind"], found["seal"]["state"]) == ("payment", expected)
            assert found["totals"] == {"declared_count": 7, "declared_minor": 28, "count": 7, "minor": 28}
            assert [row["amount_minor"] for row in found["rows"]] == [1, 2, 3, 4, 5, 6, 7]


# ---------------------------------------------------------------------------------------------------------------- refused

BARE = (ROOT / "tests" / "adapters" / "golden" / "iso20022" / "payment-bare.xml").read_bytes()


@pytest.mark.parametrize("name", ["NbOfTxs", "CtrlSum"])
def test_an_order_to_pay_whose_totals_differ(name: str, run: Run) -> None:
    """It is explained all the same, to people and to programs, and refused with TOTALS; an answer that repeats other totals is not."""
    good = run.inspect(BARE, "--json")
    assert (good.code, "error" in good.json) == (0, False)
    wrong = re.sub(rf"<{name}>[0-9.]+</{name}>".encode(), f"<{name}>9</{name}>".encode(), BARE)
    done = run.inspect(wrong, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "TOTALS")
    assert done.json["rows"] == good.json["rows"]
    shown = run.inspect(wrong)
    assert (shown.code, "DIFFERS" in shown.out, "TOTALS" in shown.err) == (2, True, True)


REFUSED: list[tuple[str, bytes, str]] = [
    ("empty", b"", "TRUNCATED"),
    ("cut", MIXED[:-20], "TRUNCATED"),
    ("cut in a line", MIXED[: len(MIXED) // 2], "TRUNCATED"),
    ("document type", b'<!DOCTYPE Document [<!ENTITY a "b">]>' + MIXED, "FORMAT"),
    (
        "external entity",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + MIXED.replace(b"1840.00", b"&x;"),
        "FORMAT",
    ),
    ("not well-formed", MIXED.replace(b"</TxSts>", b"</TxStS>", 1), "FORMAT"),
    ("after the end", MIXED + MIXED, "FORMAT"),
    ("another message", MIXED.replace(b"CstmrPmtStsRpt", b"CstmrPmtRvsl"), "SCHEMA"),
    ("amount", MIXED.replace(b"1840.00", b"1e3"), "FORMAT"),
    ("compressed", b"\x1f\x8b\x08\x00" + MIXED, "FORMAT"),
    ("no document", b"just words", "FORMAT"),
    ("standard file cut", EXAMPLES["payment"][: EXAMPLES["payment"].rindex(b"T|")], "TOTALS"),
    ("standard file cut in a line", EXAMPLES["payment"][:-3], "TRUNCATED"),
    ("standard file changed", EXAMPLES["payment"].replace(b"184000", b"184001"), "TOTALS"),
    ("standard file with carriage returns", EXAMPLES["payment"].replace(b"\n", b"\r\n"), "FORMAT"),
]


@pytest.mark.parametrize(("what", "document", "code"), REFUSED, ids=[what for what, _, _ in REFUSED])
def test_what_must_be_refused(what: str, document: bytes, code: str, run: Run) -> None:
    """Exit code 2; for programs the error with its code, for people one line and nothing of the content."""
    words = ("--format", "standard_file" if what.startswith("standard") else "iso20022")
    done = run.inspect(document, *words, "--json")
    assert done.code == 2
    assert list(done.json) == ["error"]
    assert list(done.json["error"]) == ["code", "where", "what"]
    assert done.json["error"]["code"] == code
    shown = run.inspect(document, *words)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith(f"error: {code}")
    assert len(run.inspect(document).err) > 10  # without a format too there is a sentence and no trace
    assert "Traceback" not in shown.err


def test_formats_that_nobody_knows(run: Run) -> None:
    """An unknown name lists the known ones; a seal beside a format that carries it inside is refused."""
    assert "; there are " in run.inspect(MIXED, "--format", "swift").err
    assert run.inspect(MIXED, "--seal", "x").code == 2
    assert run.inspect(MIXED, "--cert", "nowhere.pem").code == 2


def test_a_broken_configuration_that_nobody_asked_for_is_left_aside(run: Run) -> None:
    """Looking at a document must not fail because of a file that happens to lie there; named, it is an error."""
    (run.folder / "sheyin.toml").write_text("[gateway")
    done = run.inspect(MIXED, "--json")
    assert done.code == 0
    assert "the configuration was left aside" in done.err
    assert run.inspect(MIXED, "--config", "sheyin.toml").code == 2


# ---------------------------------------------------------------------------------------------------------------- people


def test_people_get_words_that_a_bank_clerk_understands(run: Run) -> None:
    """Chinese and English side by side: outcome, cause, next step; amounts with their currency."""
    shown = run.inspect(MIXED)
    assert shown.code == 0
    for words in (
        "absent 无签名",
        "已入账",
        "已销户",
        "不明，待查询",
        "CNY 4,040.50",
        "agrees 一致",
        "alternative_account",
    ):
        assert words in shown.out


def test_a_large_file_is_summarised(run: Run) -> None:
    """The first lines that somebody must look at, and counts of all."""
    rows = [
        transaction("RJCT", "AC04", ref="9999") if n == 900 else transaction("ACCC", ref=str(n)) for n in range(1_000)
    ]
    shown = run.inspect(pain_002(block(*rows)), "--rows", "5")
    assert "1 of the 1 that somebody must look at" in shown.out
    assert "9999" in shown.out
    assert "999" in shown.out
    assert len(shown.out.splitlines()) < 60
    assert len(run.inspect(pain_002(block(*rows)), "--json").json["rows"]) == 1_000
