"""The configuration: strict, with exact messages, without secrets, and with nothing undocumented."""

from __future__ import annotations

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.cli import config, config_file, words
from gateway.cli.pages import SECTIONS, settings
from gateway.core.errors import Code, Refused

BANK = {
    "code": "BANKA",
    "name": "Bank Jia",
    "adapter": "iso20022",
    "wire": "folder",
    "customer": "FS0001",
    "pins": ["banka-sign"],
    "wire_options": {"root": "exchange"},
}
GOOD: dict[str, Any] = {
    "gateway": {"bureau": "某市社保局"},
    "keys": {"bureau-sign": {"use": "sign", "file": "a.key", "certificate": "a.crt"}},
    "pins": {"banka-sign": {"file": "b.crt"}},
    "payer": [{"code": "PENSION", "name": "养老金"}],
    "bank": [BANK],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with one setting changed; ``bank.…`` is the only bank, DEL takes the setting away."""
    document = copy.deepcopy(GOOD)
    *above, last = path.split(".")
    place: Any = document
    for step in above:
        place = place.setdefault(step, {})
        place = place[0] if isinstance(place, list) else place
    if value == "DEL":
        del place[last]
    else:
        place[last] = value
    return document


def test_a_good_configuration_gives_everything_that_the_gateway_needs(tmp_path: Path) -> None:
    """Places count from the configuration's folder; what is not given has its default."""
    found = config.of(GOOD, tmp_path)
    assert found.ledger_url() == f"sqlite:///{tmp_path}/data/ledger.db"
    assert found.archive_dir == tmp_path / "data" / "archive"
    assert found.local_bus
    assert found.owner
    bank = found.bank("BANKA")
    assert bank.wire_options["root"] == str(tmp_path / "exchange")
    assert found.adapter(bank).code == "iso20022"
    assert found.topology().queue("payer.PENSION.events") is not None
    with pytest.raises(Refused, match="no bank is called 'BANKX'; there are BANKA"):
        found.bank("BANKX")


SECOND = {**BANK, "code": "BANK_A"}
FAULTS: list[tuple[str, Any, Code, str, str]] = [
    ("gateway", "DEL", Code.SCHEMA, "", "missing: `gateway`"),
    ("gateway.bureau", "DEL", Code.SCHEMA, "gateway", "missing: `bureau`"),
    ("gateway.bureau", 7, Code.SCHEMA, "gateway.bureau", "Expected `str`, got `int`"),
    ("gateway.buss", "x", Code.SCHEMA, "gateway", "no setting is called 'buss'; did you mean bus?"),
    ("gateway.log_level", "LOUD", Code.SCHEMA, "gateway.log_level", "there are DEBUG, ERROR, INFO, WARNING"),
    ("gateway.incomplete_run_minutes", 0, Code.SCHEMA, "gateway.incomplete_run_minutes", ">= 1"),
    ("gateway.bus", "amqp://a:secret@mq/x", Code.POLICY, "gateway.bus", "holds a password"),
    ("gateway.ledger", "postgresql://a:secret@db/x", Code.POLICY, "gateway.ledger", "holds a password"),
    ("gateway.production", True, Code.POLICY, "gateway.bus", "in production messages come over RabbitMQ"),
    ("atrest.key", "../key", Code.SCHEMA, "atrest.key", "regex"),
    ("keys.bureau-sign.use", "seal", Code.SCHEMA, "keys.bureau-sign.use", "there are decrypt, sign"),
    ("keys.bureau-sign.use", "decrypt", Code.CERT, "bank BANKA: sign_key", '[keys.bureau-sign] with use = "sign"'),
    ("keys.bureau-sign.passwort", "x", Code.SCHEMA, "keys.bureau-sign", "did you mean password?"),
    ("pins", {}, Code.CERT, "bank BANKA: pins", "no [pins.banka-sign]"),
    ("payer", [{"code": "pension", "name": "x"}], Code.SCHEMA, "payer pension: code", "regex"),
    ("payer", [{"code": "AB", "name": "x"}] * 2, Code.CONFLICT, "payer AB", "two payers have this code"),
    ("bank.code", "bank-a", Code.FORMAT, "bank bank-a: code", "2 to 16"),
    ("bank", [BANK, BANK], Code.CONFLICT, "bank BANKA", "two banks have this code"),
    ("bank", [BANK, SECOND], Code.CONFLICT, "code", "would share references"),
    ("bank.adapter", "swift", Code.SCHEMA, "bank BANKA: adapter", "; there are "),
    ("bank.wire", "fax", Code.SCHEMA, "bank BANKA: wire", "there are folder, sftp, amqp, https"),
    ("bank.wire", "https", Code.SCHEMA, "bank BANKA: wire", "it does by amqp, folder, sftp"),
    ("bank.customer", "", Code.FORMAT, "bank BANKA: customer", "1 to 30"),
    ("bank.clearing_code", "12", Code.FORMAT, "bank BANKA: clearing_code", "12 digits"),
    ("bank.bin_prefixes", ["62x"], Code.FORMAT, "bank BANKA: bin_prefixes", "3 to 12 digits"),
    ("bank.debit_accounts", {"Pension": "99001"}, Code.FORMAT, "bank BANKA: debit_accounts", "funds"),
    ("bank.debit_accounts", {"pension": "9"}, Code.FORMAT, "bank BANKA: debit_accounts.pension", "account number"),
    ("bank.file_name", "{date}.xml", Code.FORMAT, "bank BANKA: file_name", "names must differ"),
    ("bank.file_name", "{name}.xml", Code.FORMAT, "bank BANKA: file_name", "no such field"),
    ("bank.file_name", "{reference}/x", Code.PATH, "bank BANKA: file_name", "not a file name"),
    ("bank.window", {"opens": "17:00"}, Code.RANGE, "bank BANKA: window", "never open"),
    ("bank.window", {"cut_off": "25:00"}, Code.RANGE, "bank BANKA: window.cut_off", "00:00 to 24:00"),
    ("bank.limits", {"rows_max": 10_001}, Code.RANGE, "bank BANKA: limits.rows_max", "holds at most 10,000"),
    ("bank.limits", {"rows_max": 0}, Code.RANGE, "bank BANKA: limits.rows_max", "at least 1"),
    ("bank.limits", {"row_max": 5}, Code.SCHEMA, "bank BANKA: limits", "did you mean rows_max?"),
    ("bank.agreement", {"duplicate_key": "reference"}, Code.SCHEMA, "bank BANKA: agreement.duplicate_key", "no_dedupe"),
    (
        "bank.agreement",
        {"duplicate_answer": "error"},
        Code.SCHEMA,
        "bank BANKA: agreement.duplicate_key",
        "nothing says",
    ),
    ("bank.agreement", {"credited": []}, Code.SCHEMA, "bank BANKA: agreement.credited", "at least one"),
    ("bank.agreement", {"refunds": "me"}, Code.SCHEMA, "bank BANKA: agreement.refunds", '"bank" or "bureau"'),
    ("bank.agreement", {"refund_days": -1}, Code.RANGE, "bank BANKA: agreement.refund_days", "negative"),
    (
        "bank.agreement",
        {"inquiry_interval_minutes": 0},
        Code.RANGE,
        "bank BANKA: agreement.inquiry_interval_minutes",
        "one minute",
    ),
    ("bank.pins", [], Code.CERT, "bank BANKA: pins", "no certificate of the bank is pinned"),
    ("bank.pins", ["banka-sign"] * 2, Code.CERT, "bank BANKA: pins", "twice"),
    ("bank.sign_key", "other", Code.CERT, "bank BANKA: sign_key", "[keys.other]"),
    ("bank.format_options", {"x": "1"}, Code.SCHEMA, "bank BANKA", "format_options: Object contains unknown field `x`"),
    ("bank.wire_options", {}, Code.SCHEMA, "bank BANKA: wire_options", "missing required field `root`"),
    ("bank.wire_options", {"root": "x", "rot": 1}, Code.SCHEMA, "bank BANKA: wire_options", "unknown field `rot`"),
    ("bank.wire_options", {"root": "file:nowhere"}, Code.PATH, "bank BANKA: wire_options.root", "No such file"),
]


def written(document: dict[str, Any], folder: Path) -> Path:
    """The document as sheyin.toml, every value in one line."""

    def toml(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(toml, value)) + "]"
        return json.dumps(value, ensure_ascii=False)

    path = folder / "sheyin.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in document.items()), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("path", "value", "code", "where", "what"),
    FAULTS,
    ids=[f"{fault[0]}-{number}" for number, fault in enumerate(FAULTS)],
)
def test_a_fault_names_the_key_and_what_is_wrong(
    path: str, value: Any, code: Code, where: str, what: str, tmp_path: Path
) -> None:
    """Whoever wrote it finds the line by the message alone."""
    with pytest.raises(Refused) as raised:
        config.load(written(changed(path, value), tmp_path), {})
    assert raised.value.code is code
    assert raised.value.where == (f"sheyin.toml: {where}" if where else "sheyin.toml")
    assert what in raised.value.what


def test_the_document_that_the_faults_are_made_of_is_good(tmp_path: Path) -> None:
    """So each fault above is the one that was put there."""
    assert config.load(written(GOOD, tmp_path), {}).banks[0].code == "BANKA"


@pytest.mark.parametrize(
    ("content", "code", "what"),
    [
        (b"[gateway\n", Code.FORMAT, "not TOML"),
        (b"\xff\xfe", Code.FORMAT, "not UTF-8 at byte 0"),
        (b"", Code.SCHEMA, "missing: `gateway`"),
        (b"#" * (4 * 1024 * 1024 + 1), Code.SIZE, "larger than"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(content: bytes, code: Code, what: str, tmp_path: Path) -> None:
    """Before anything of it is used."""
    path = tmp_path / "other.toml"
    path.write_bytes(content)
    with pytest.raises(Refused, match=what) as raised:
        config.load(path, {})
    assert raised.value.code is code


def test_the_file_is_found_by_option_environment_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order; with none of them the error says how to get one."""
    here, there, given = (tmp_path / name for name in ("here", "there", "given"))
    for folder in (here, there, given):
        folder.mkdir()
        written(changed("gateway.bureau", folder.name), folder)
    monkeypatch.chdir(here)
    variables = {"SHEYIN_CONFIG": str(there / "sheyin.toml")}
    assert config.load(given / "sheyin.toml", variables).gateway.bureau == "given"
    assert config.load(None, variables).gateway.bureau == "there"
    assert config.load(None, {}).gateway.bureau == "here"
    (here / "sheyin.toml").unlink()
    with pytest.raises(Refused) as raised:
        config.load(None, {})
    assert "sheyin init" in raised.value.__notes__[0]


def test_the_environment_overrules_a_few_settings_and_may_hold_passwords(tmp_path: Path) -> None:
    """A container gets its addresses that way; printing the configuration shows no password."""
    variables = {
        "SHEYIN_LEDGER_URL": "postgresql://sheyin:s3cret@db/sheyin",
        "SHEYIN_BUS_URL": "amqps://gateway:s3cret@mq/sheyin",
        "SHEYIN_DATA_DIR": "/var/lib/sheyin",
        "SHEYIN_REPLICA": "gateway-2",
    }
    found = config.load(written(GOOD, tmp_path), variables)
    assert found.ledger_url() == variables["SHEYIN_LEDGER_URL"]
    assert found.bus_url() == variables["SHEYIN_BUS_URL"]
    assert found.data_dir == Path("/var/lib/sheyin")
    assert found.owner == "gateway-2"
    assert "s3cret" not in f"{found!r} {found}"


def test_passwords_come_from_credentials_by_name(tmp_path: Path) -> None:
    """The file names the credential; its value is quoted into the address for the driver alone."""
    document = changed("gateway.bus", "amqps://gateway@mq/sheyin")
    document["gateway"] |= {
        "bus_password": "bus-password",
        "bus_management": "https://mq:15671",
        "credentials_dir": ".",
    }
    path = written(document, tmp_path)
    with pytest.raises(Refused, match="no credential is called 'bus-password'"):
        config.load(path, {}).bus_url()
    (tmp_path / "bus-password").write_text("p@ss/word\n")
    found = config.load(path, {})
    assert found.bus_url() == "amqps://gateway:p%40ss%2Fword@mq/sheyin"
    management = found.management()
    assert management is not None
    assert (management[0], management[1], management[3]) == ("https://mq:15671", "gateway", "sheyin")


def test_limits_that_are_not_given_are_the_formats_own(tmp_path: Path) -> None:
    """A bank that takes fewer rows still has its format's widths, not some general ones."""
    document = changed("bank.limits", {"rows_max": 500})
    document["bank"][0] |= {"adapter": "standard_file"}
    bank = config.load(written(document, tmp_path), {}).banks[0]
    assert bank.limits is not None
    assert (bank.limits.rows_max, bank.limits.name_bytes_max) == (500, 120)


def test_production_refuses_what_only_a_trial_may_do(tmp_path: Path) -> None:
    """Each by itself: the in-process bus, SQLite, a bank without seals; with all of them right it loads."""
    document = changed("gateway.production", True)
    for setting, value, what in (
        ("bus", "amqps://gateway@mq/sheyin", "RabbitMQ"),
        ("ledger", "postgresql://sheyin@db/sheyin", "PostgreSQL"),
    ):
        with pytest.raises(Refused, match=what):
            config.load(written(document, tmp_path), {})
        document["gateway"][setting] = value
    assert config.load(written(document, tmp_path), {}).gateway.production
    document["bank"][0]["sealed"] = False
    with pytest.raises(Refused, match="every Document is sealed"):
        config.load(written(document, tmp_path), {})


def test_an_unsealed_trial_needs_no_keys(tmp_path: Path) -> None:
    """The test profile against an outside bank simulator has neither pins nor keys."""
    document = changed("bank.sealed", False)
    document["bank"][0]["pins"] = []
    document |= {"keys": {}, "pins": {}}
    assert not config.load(written(document, tmp_path), {}).banks[0].sealed


# ---------------------------------------------------------------------------------------------------------------- documented


def test_every_setting_has_its_sentence_and_every_sentence_its_setting() -> None:
    """A setting without a sentence in words.py is undocumented; a sentence without a setting is a lie."""
    keys = {key for _, path, types in SECTIONS for key in settings(path, types)} | {path for _, path, _ in SECTIONS}
    assert keys - words.WORDS.keys() == set()
    assert words.WORDS.keys() - keys == set()
    assert all(word.en.endswith((".", ":")) and len(word.en) > 8 for word in words.WORDS.values())


def test_the_documented_tables_are_all_that_the_file_has() -> None:
    """No struct is reachable from the file's type that the page does not show."""
    documented = {type_ for _, _, types in SECTIONS for type_ in types}
    todo: list[Any] = [msgspec.inspect.type_info(config_file.File)]
    found = set()
    while todo:
        info = todo.pop()
        if isinstance(info, msgspec.inspect.StructType) and info.cls not in found:
            found.add(info.cls)
            todo += [field.type for field in info.fields]
        for name in ("item_type", "value_type"):
            if getattr(info, name, None) is not None:
                todo.append(getattr(info, name))
        todo += list(getattr(info, "types", ()))
    assert found - {config_file.File} <= documented
    assert set(config_file.WIRE_OPTIONS.values()) <= documented


def test_every_question_to_a_bank_ends_as_one() -> None:
    """What stands behind 问银行 is said to a bank: a question or a request."""
    asked = [word.ask for word in words.WORDS.values() if word.ask]
    assert len(asked) > 30
    assert all(text.endswith(("？", "）", "。")) for text in asked)


def test_the_example_is_toml_that_loads(tmp_path: Path, installation: Path) -> None:
    """What `sheyin init` writes is a configuration without a fault, files included once there are keys."""
    document = tomllib.loads((installation / "sheyin.toml").read_text(encoding="utf-8"))
    assert set(document) == {"gateway", "atrest", "keys", "pins", "payer", "bank"}
    found = config.load(installation / "sheyin.toml", {})
    assert [bank.adapter for bank in found.banks] == ["iso20022", "standard_file"]
    assert str(found.banks[1].wire_options["host_key"]).startswith("ssh-ed25519 ")
