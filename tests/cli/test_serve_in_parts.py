"""`sheyin serve` dies between two parts of a Document, over mutual TLS to a bank that takes them one by one: nothing twice, nothing lost."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.edge.crypto.pki import sm2_name, sm4_name
from gateway.edge.points import EXIT_STATUS
from gateway.sandbox.config import HttpWire
from gateway.sandbox.runner import Keys, Running, Sandbox, SandboxBank, banks
from tests.cli.conftest import run_in
from tests.cli.office import BIN, START_S, Office, header, order
from tests.edge.https_bank import Authority
from tests.servers import ROOT

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(300)]
BANK = "BANKA"
COUNT = 2_500
FAILING = 7
AWAY_MS = 3 * 3_600 * 1_000
EXAMPLE = ROOT / "tests" / "adapters" / "golden" / "cmb_cloud" / "bank.toml"
QUICK = {"first_ask_s": "1", "ask_every_s": "1", "pause_s": "0"}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Office, Running]]:
    """An office with the bank of the example, and the bank in a process of its own."""
    folder = tmp_path_factory.mktemp("parts")
    for words in (("init",), ("pki", "dev", "--sm2", BANK)):
        assert run_in(folder, *words).code == 0
    keys = folder / "certs" / "dev"
    pin = certificates(keys)
    with banks(Sandbox(banks=(config(folder, keys),)), folder / "bank") as running:
        office = Office(folder)
        write(folder, str(running.ready[BANK]["url"]), pin)
        done = office("db", "upgrade")
        assert done.code == 0, done.err
        office.add_people()
        yield office, running


def certificates(keys: Path) -> str:
    """TLS of both sides; the pin of the bank's."""
    servers, clients = Authority("Bank authority"), Authority("Bureau authority")
    shown, mine = servers.issue("bank"), clients.issue("bureau", hosts=())
    files = {
        "banka-ca.crt": servers.own.pem,
        "bank-tls.pem": shown.pem,
        "bank-tls.key": shown.key_pem,
        "bureau-ca.crt": clients.own.pem,
        "banka-tls.crt": mine.pem,
        "banka-tls.key": mine.key_pem,
    }
    for name, pem in files.items():
        (keys / name).write_bytes(pem)
    return shown.pin


def config(folder: Path, keys: Path) -> SandboxBank:
    """The sandbox bank: it checks the time of signing against the real clock."""
    scenario = folder / "scenario.json"
    scenario.write_text(json.dumps({"accounts": {account(FAILING): {"verdict": "NAME_MISMATCH"}}}))
    own = keys / sm2_name(BANK)
    return SandboxBank(
        code=BANK,
        adapter="cmb_cloud",
        customer="FS0001",
        wire=HttpWire(
            certificate=str(keys / "bank-tls.pem"), key=str(keys / "bank-tls.key"), clients=str(keys / "bureau-ca.crt")
        ),
        keys=Keys(sign_key=f"{own}.key", certificate=f"{own}.crt", bureau=(str(keys / "bureau-sm2-sign.crt"),)),
        state=str(folder / "state"),
        scenario=str(scenario),
        options={"userid": "N000000001", "secret": str(keys / sm4_name(BANK)), "clock": "real", "page_rows": "1000"},
    )


def write(folder: Path, url: str, pin: str) -> None:
    """The configuration of ``sheyin init`` with the example instead of its banks, open all day and asking at once."""
    path = folder / "sheyin.toml"
    made = path.read_text()
    example = EXAMPLE.read_text()
    example = example.replace('"08:30"', '"00:00"').replace('"16:30"', '"24:00"\nevery_day = true')
    example = re.sub(r"https://[0-9.:]+", url, example)
    example = example.replace("client_certificate", f'pin = "{pin}"\nclient_certificate')
    example += "".join(f'{name} = "{value}"\n' for name, value in QUICK.items())
    keys = "".join(
        f'[keys.{name}]\nuse = "{use}"\nfile = "certs/dev/{name}.key"\ncertificate = "certs/dev/{name}.crt"\n\n'
        for name, use in (("bureau-sm2-sign", "sign"),)
    )
    pins = f'[pins.{sm2_name(BANK)}]\nfile = "certs/dev/{sm2_name(BANK)}.crt"\n\n'
    secret = f'[secrets.{sm4_name(BANK)}]\ncredential = "{sm4_name(BANK)}"\n\n'
    path.write_text(made[: made.index("[[bank]]")] + keys + pins + secret + example)


def account(number: int) -> str:
    """Whose it is."""
    return str(order(number)["account"]) if order(number)["bank"] == BANK else f"{BIN[BANK]}{number:013d}"


def orders(folder: Path) -> None:
    """All of them at the one bank."""
    lines = []
    for number in range(COUNT):
        given: dict[str, Any] = {**order(number), "bank": BANK, "account": account(number)}
        given.pop("debit_account", None)
        lines.append(json.dumps(given, ensure_ascii=False) + "\n")
    (folder / "r1.jsonl").write_text("".join(lines))


@contextmanager
def dying(office: Office, point: str) -> Iterator[subprocess.Popen[bytes]]:
    """`sheyin serve` that is to die there."""
    with (office.folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--poll-ms", "200"],
            cwd=office.folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SHEYIN_CRASH_AT": point},
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def time_passes(folder: Path) -> None:
    """Three hours, for all that waits for time."""
    (path,) = [found for found in folder.rglob("*.db") if found.stat().st_size]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "UPDATE document SET last_sending_ms = last_sending_ms - ?, inquired_ms = inquired_ms - ?", [AWAY_MS] * 2
        )
        db.execute("UPDATE lane SET until_ms = until_ms - ?", [AWAY_MS])


def test_the_example_is_a_bank(bank: tuple[Office, Running]) -> None:
    """`sheyin` accepts it, and lists its format."""
    office, _ = bank
    found = office.good("banks")
    assert [(one["code"], one["format"], one["wire"]) for one in found["banks"]] == [(BANK, "cmb_cloud", "https")]
    (listed,) = [one for one in found["formats"] if one["format"] == "cmb_cloud"]
    assert listed["wires"] == ["https"]


def test_a_death_between_the_second_and_the_third_part(bank: tuple[Office, Running]) -> None:
    """The bank has two parts and books nothing; after the restart it is asked, and the third part alone is sent."""
    office, running = bank
    orders(office.folder)
    done = office.good("submit", "r1.jsonl", *header("R1"))
    assert (done["state"], done["count"]) == ("accepted", COUNT)
    office.good("release", "propose", "R1", "--confirm", f"{COUNT}:{done['minor']}", who="wang")
    office.good("release", "approve", "R1", who="li")
    with dying(office, "send.saved:2") as process:
        assert process.wait(START_S) == EXIT_STATUS, (office.folder / "serve.log").read_text()
    assert running.books(BANK)["paid"]["count"] == 0
    time_passes(office.folder)
    with office.serving():
        office.until(lambda: office.good("status", "R1")["state"] == "closed")
    books = running.books(BANK)
    assert (books["paid"]["count"], books["failed"]["count"], books["doubles"]) == (COUNT - 1, 1, 0)
    assert [document["lines"] for document in books["documents"]] == [COUNT]
    found = office.good("status", "R1")
    assert found["conserved"]
    assert [line["paid"]["count"] for line in found["conservation"]] == [COUNT - 1]
