"""The specification for banks says what the code does: its tables and examples are the code's, its commands run."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from adapters.standard_file import ADAPTER, layout
from adapters.standard_file.codes import CODES
from adapters.standard_file.kinds import LINES, RESERVED_KINDS, RESERVED_RECORDS, RULES
from adapters.standard_file.reading import read
from gateway.codec import cms
from gateway.core.bank import Head
from gateway.core.contracts import BenefitLine, IdType
from tests.adapters.standard_file_examples import EXAMPLES, SPECIFICATIONS, examples_in, rendered
from tests.servers import ROOT

Program = Callable[[str], str]


def text(language: str) -> str:
    """One of the two specifications."""
    return (ROOT / SPECIFICATIONS[language]).read_text(encoding="utf-8")


LANGUAGES = pytest.mark.parametrize("language", SPECIFICATIONS)


@LANGUAGES
def test_tables_and_examples_are_the_codes(language: str) -> None:
    """`python -m tests.adapters.standard_file_examples` would change nothing."""
    assert rendered(text(language), language) == text(language)


@LANGUAGES
def test_every_record_and_code_is_specified(language: str) -> None:
    """All record tables, all three code tables, all words of id types and benefits, every kind, what is reserved."""
    shown = text(language)
    assert set(re.findall(r"<!-- fields: (\w) -->", shown)) == set(layout.RECORDS)
    assert set(re.findall(r"<!-- codes: (\w+) -->", shown)) == {row.family for row in CODES.values()}
    for word in (*IdType, *BenefitLine):
        assert f"- `{word}` " in shown
    for name in (*LINES, *RESERVED_KINDS, *RESERVED_RECORDS):
        assert f"`{name}`" in shown
    assert "1,024" in shown
    assert f"{ADAPTER.limits.rows_max:,}" in shown


@LANGUAGES
def test_the_header_rules_are_specified(language: str) -> None:
    """Section 5's table names, for every kind, the optional fields that it must or may fill."""
    section = text(language).partition("## 5.")[2].partition("### 5.1")[0]
    for kind, rule in RULES.items():
        row = next(line for line in section.splitlines() if line.startswith(f"| `{kind}` "))
        named = {name for name in layout.HEADER.names if re.search(rf"(?<![a-z_]){name}(?![a-z_])", row)}
        assert named - {"part", "parts", "count", "total"} == (rule.must | rule.may) - {"count", "total"}


@LANGUAGES
def test_the_examples_are_whole_files(language: str) -> None:
    """What is printed, put into GB 18030, is read; its digests are recomputed here from the printed bytes alone."""
    examples = examples_in(text(language))
    assert examples == EXAMPLES
    held = hashlib.sha256(examples["payment"]).hexdigest()
    for data in examples.values():
        before, _, trailer = data[:-1].rpartition(b"\n")
        assert trailer.rpartition(b"|")[2].decode() == hashlib.sha256(before + b"\n").hexdigest()
        head = next(read(io.BytesIO(data)))
        assert isinstance(head, Head)
        assert head.original_digest in ("", held)


@LANGUAGES
def test_the_worked_digest_runs(language: str, tmp_path: Path, outside_program: Program) -> None:
    """Section 7's three commands, on the printed example, give the printed digests."""
    assert outside_program("iconv")
    printed = re.search(r"<!-- example: payment -->\n```text\n(.*?)```", text(language), re.S)
    assert printed
    (tmp_path / "payment.utf8").write_text(printed[1], encoding="utf-8")
    block = next(block for block in re.findall(r"```sh\n(.*?)```", text(language), re.S) if "iconv" in block)
    done = subprocess.run(["sh", "-ec", block], cwd=tmp_path, capture_output=True, check=True, text=True)
    trailer, whole = (line.split()[0] for line in done.stdout.splitlines())
    assert printed[1].rstrip().endswith(trailer)
    assert text(language).count(whole) == sum(data.count(whole.encode()) for data in EXAMPLES.values()) > 0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a throwaway key, its certificate and the example file, named as in section 4's commands."""
    folder = tmp_path_factory.mktemp("bank")
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bank A")])
    moment = datetime(2015, 6, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(moment).not_valid_after(moment + timedelta(days=36500))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "bank.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "bank.pem").write_bytes(pem)
    (folder / "bureau.pem").write_bytes(pem)
    (folder / "FILE").write_bytes(EXAMPLES["result-1"])
    return folder


@LANGUAGES
def test_the_seals_commands_run(language: str, keys: Path, outside_program: Program) -> None:
    """Section 4's two openssl commands make a seal that we read and verify it; with one byte changed they refuse."""
    assert outside_program("openssl")
    block = next(block for block in re.findall(r"```sh\n(.*?)```", text(language), re.S) if "openssl" in block)
    sign, verify = block.strip().splitlines()
    subprocess.run(sign.split(), cwd=keys, capture_output=True, check=True)
    seal = cms.parse_signed_data((keys / "FILE.p7s").read_bytes())
    assert seal.message_digest == hashlib.sha256(EXAMPLES["result-1"]).digest()
    assert subprocess.run(verify.split(), cwd=keys, capture_output=True, check=False).returncode == 0
    (keys / "OTHER").write_bytes(EXAMPLES["result-1"].replace(b"1002", b"0000"))
    other = verify.replace("-content FILE", "-content OTHER").split()
    assert subprocess.run(other, cwd=keys, capture_output=True, check=False).returncode != 0


@LANGUAGES
def test_file_names_are_the_adapters(language: str) -> None:
    """The name in section 3 is what the adapter's template gives."""
    values = {"customer": "440600001", "date": "20150610", "kind": "payment", "reference": "BANKA2015061000001"}
    assert ADAPTER.file_name.format(**values, seq=1) in text(language)


def test_both_languages_have_the_same_parts() -> None:
    """Same sections, same marked parts, in the same order."""
    english, chinese = (
        re.findall(r"<!-- \w+: [\w-]+ -->|^#+ [0-9.]+", text(language), re.M) for language in ("en", "zh")
    )
    assert english == chinese
