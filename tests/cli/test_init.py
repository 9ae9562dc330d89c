"""The first quarter of an hour: init, pki dev, keys, banks, topology, as a stranger would call them."""

from __future__ import annotations

import datetime as dt
import stat
import tomllib
from pathlib import Path

import msgspec
import pytest

import adapters
from gateway.core.bank import Agreement
from gateway.edge.crypto import pki
from tests.cli.conftest import Run


def test_init_writes_an_agreement_for_each_bank_with_every_question(run: Run) -> None:
    """Every field of the agreement stands there, behind its sentence and its question."""
    done = run("init", "town")
    assert done.code == 0, done.err
    text = (run.folder / "town" / "sheyin.toml").read_text(encoding="utf-8")
    banks = tomllib.loads(text)["bank"]
    assert len(banks) == 2
    for bank in banks:
        assert set(bank["agreement"]) == set(Agreement.__struct_fields__)
    assert msgspec.convert(banks[1]["agreement"], Agreement) == Agreement()  # the careful reading
    assert text.count("# 问银行: ") > 40
    settings = [number for number, line in enumerate(text.splitlines()) if " = " in line and not line.startswith("#")]
    lines = text.splitlines()
    assert all(
        "#" in lines[number] or lines[number - 1].startswith(("#", "file =", "use =", "[")) for number in settings
    )
    assert (run.folder / "town" / "exchange" / "BANKA" / "in").is_dir()


def test_init_never_overwrites(run: Run) -> None:
    """The second call changes nothing and says so."""
    assert run("init").code == 0
    path = run.folder / "sheyin.toml"
    path.write_text("mine")
    done = run("init", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "CONFLICT")
    assert path.read_text() == "mine"


def test_what_init_writes_works_at_once_with_throwaway_keys(run: Run) -> None:
    """Three commands, none of which needs anything else; the keys are nobody's but the owner's."""
    assert run("init").code == 0
    early = run("keys")
    assert (early.code, "No such file" in early.err) == (2, True)
    made = run("pki", "dev", "--json")
    assert made.code == 0, made.err
    assert made.json["banks"] == ["BANKA", "BANKB"]
    keys = run.folder / "certs" / "dev"
    assert stat.S_IMODE((keys / "bureau-sign.key").stat().st_mode) == 0o600
    assert (keys / ".gitignore").read_text() == "*\n"
    again = run("pki", "dev", "--json").json
    assert (again["made"], len(again["kept"])) == ([], 18)
    listed = run("keys", "--json")
    assert listed.code == 0, listed.err
    assert [(key["name"], key["use"], key["banks"]) for key in listed.json["keys"]] == [
        ("bureau-sign", "sign", []),
        ("bureau-decrypt", "decrypt", []),
        ("banka-sign", "verify", ["BANKA"]),
        ("bankb-sign", "verify", ["BANKB"]),
    ]
    assert all(700 < key["days_left"] < 731 and not key["warning"] for key in listed.json["keys"])
    assert listed.json["keys"][0]["fingerprint"] in run("keys").out.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    ("days_left", "warning", "code"),
    [(61, "", 0), (59, "60", 0), (29, "30", 0), (6, "7", 0), (0, "1", 0), (-2, "ended", 1)],
)
def test_keys_warn_before_they_end(days_left: int, warning: str, code: int, run: Run) -> None:
    """Sixty, thirty, seven days and one day before; a certificate that has ended is exit code 1."""
    run.here("init")
    now = dt.datetime.now(dt.UTC)
    ends = now + dt.timedelta(days=days_left, hours=1)
    pki.make(run.folder / "certs/dev", ["BANKA", "BANKB"], ends - dt.timedelta(days=365), years=1)
    done = run.here("keys", "--json")
    assert done.code == code, done.err
    assert all((warning in key["warning"]) if warning else key["warning"] == "" for key in done.json["keys"])


def test_keys_finds_what_is_wrong_with_a_key(run: Run) -> None:
    """A key that everybody may read is refused where it is listed, before anything is signed with it."""
    run.here("init")
    run.here("pki", "dev")
    (run.folder / "certs/dev/bureau-sign.key").chmod(0o644)
    done = run.here("keys", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "POLICY")
    assert "open to every user" in done.json["error"]["what"]


def test_throwaway_keys_are_not_for_production(run: Run) -> None:
    """Neither made there nor used there."""
    run.here("init")
    run.here("pki", "dev")
    path = run.folder / "sheyin.toml"
    text = path.read_text(encoding="utf-8").replace(
        "production = false", 'production = true\nbus = "amqps://a@b/c"\nledger = "postgresql://a@b/c"'
    )
    path.write_text(text, encoding="utf-8")
    made, listed = run.here("pki", "dev", "--json"), run.here("keys", "--json")
    assert (made.code, made.json["error"]["code"]) == (2, "POLICY")
    assert (listed.code, "not for production" in listed.json["error"]["what"]) == (2, True)


def test_pki_without_a_configuration_asks_for_banks(run: Run) -> None:
    """With their codes it makes keys for them, a second pair on request."""
    assert run.here("pki", "dev", "--json").json["error"]["code"] == "SCHEMA"
    done = run.here("pki", "dev", "here", "--bank", "BANKX", "--overlap", "BANKY", "--json")
    assert done.code == 0
    assert {"bankx-sign.crt", "banky-sign-2.crt"} <= set(done.json["made"])


def test_banks_lists_every_format_without_any_configuration(run: Run) -> None:
    """A program reads what each format can do and how sure its source is."""
    done = run("banks", "--json")
    assert done.code == 0
    assert done.json["banks"] == []
    assert [found["format"] for found in done.json["formats"]] == list(adapters.discover())
    for found in done.json["formats"]:
        adapter = adapters.discover()[found["format"]]
        assert list(found) == [
            *("format", "title", "title_zh", "wires", "seals", "trust", "limits", "capabilities"),
            *("charset", "confidence", "source", "codes"),
        ]
        assert set(found["wires"]) == set(adapter.routes)
        assert found["limits"]["rows_max"] == adapter.limits.rows_max
        assert found["capabilities"]["writes"] == sorted(adapter.capabilities.writes)
        assert found["codes"] == len(adapter.codes)
        assert found["confidence"] in ("certain", "likely", "partial", "own")
    seals = {found["format"]: found["seals"] for found in done.json["formats"]}
    assert (seals["iso20022"], seals["standard_file"], seals["card_files"]) == (["xmldsig"], ["detached"], [])
    shown = run.here("banks").out
    assert all(adapter.title in shown and adapter.source in shown for adapter in adapters.discover().values())


def test_banks_tells_the_configured_ones(run: Run, installation: Path) -> None:
    """With their agreement, window and limits; no address, no secret."""
    done = run("banks", "--json", SHEYIN_CONFIG=str(installation / "sheyin.toml"))
    first, second = done.json["banks"]
    assert (first["code"], first["format"], first["wire"], first["sealed"]) == ("BANKA", "iso20022", "folder", True)
    assert first["agreement"]["duplicate_answer"] == "error"
    assert second["limits"]["rows_max"] == 100_000
    assert "127.0.0.1" not in done.out
    shown = run.here("banks", "--config", installation / "sheyin.toml").out
    assert "甲银行" in shown
    assert "08:30-16:30" in shown
