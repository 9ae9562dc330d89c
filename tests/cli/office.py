"""A small bureau in a folder: what `sheyin init` and `sheyin pki dev` make, two folder banks in their own process, three people."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway.core.calendar import CHINA_TIME
from gateway.sandbox.people import card, chances, person
from gateway.sandbox.runner import FolderWire, Keys, Sandbox, SandboxBank, banks
from tests.cli.conftest import Ran, run_in
from tests.servers import ROOT

DEBIT = {"BANKA": "9900000000000018", "BANKB": "9900000000000026"}
BIN = {"BANKA": "990001", "BANKB": "990002"}
PEOPLE = {"wang": "maker,operator", "li": "checker", "zhao": "maker,checker"}
START_S = 60.0


def today() -> str:
    """The date in China, where the bureau is."""
    return dt.datetime.now(CHINA_TIME).date().isoformat()


def header(run_id: str, **changed: str) -> list[str]:
    """The options of a run's header."""
    given = {
        "run-id": run_id,
        "line": "pension",
        "period": "2015-06",
        "fund": "pension",
        "debit-account": DEBIT["BANKA"],
        "pay-date": today(),
    } | changed
    return [word for name, value in given.items() for word in (f"--{name}", value)]


def order(number: int, stem: str = "P") -> dict[str, Any]:
    """One instruction; every third is paid at the second bank."""
    bank = "BANKB" if number % 3 == 2 else "BANKA"
    somebody = person(number, chances(7, 1, number + 1)[number])
    found: dict[str, Any] = {
        "id": f"{stem}-{number:04}",
        "person": {"name": somebody.name, "id_number": somebody.id_number},
        "bank": bank,
        "account": card(BIN[bank], 19, number),
        "amount": 100_000 + number,
        "district": somebody.district,
    }
    return found | ({"debit_account": DEBIT["BANKB"]} if bank == "BANKB" else {})


def total(count: int) -> int:
    """Fen of the first ``count`` orders."""
    return sum(order(number)["amount"] for number in range(count))


class Office:
    """The folder, and ``sheyin`` called in it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = environment

    def __call__(self, *tokens: str | Path, stdin: bytes = b"", who: str = "") -> Ran:
        variables = {"SHEYIN_ACTOR_SECRET": secret(who)} if who else {}
        signed = ("--as", who) if who else ()
        return run_in(self.folder, *tokens, *signed, stdin=stdin, **self.environment, **variables)

    def good(self, *tokens: str | Path, who: str = "") -> Any:
        """The JSON of a command that must end with 0."""
        done = self(*tokens, "--json", who=who)
        assert done.code == 0, done.out + done.err
        return done.json

    def jsonl(self, name: str, count: int, stem: str = "P") -> Path:
        """A file of orders."""
        path = self.folder / name
        path.write_text("".join(json.dumps(order(n, stem), ensure_ascii=False) + "\n" for n in range(count)))
        return path

    def add_people(self) -> None:
        """Everybody, by command."""
        for name, roles in PEOPLE.items():
            variables = {"SHEYIN_ACTOR_SECRET": secret(name), **self.environment}
            done = run_in(self.folder, "actor", "add", name, "--roles", roles, "--first", stdin=b"", **variables)
            assert done.code == 0, done.err

    @contextlib.contextmanager
    def banks(self, failing: dict[str, dict[str, Any]] | None = None) -> Iterator[None]:
        """Both banks; ``failing`` are accounts with a story."""
        scenario = self.folder / "scenario.json"
        scenario.write_text(json.dumps({"accounts": failing or {}}))
        keys = self.folder / "certs" / "dev"
        both = tuple(
            SandboxBank(
                code=code,
                adapter="iso20022" if code == "BANKA" else "standard_file",
                customer=customer,
                wire=FolderWire(directory=str(self.folder / "exchange" / code)),
                keys=Keys(
                    sign_key=str(keys / f"{code.lower()}-sign.key"),
                    certificate=str(keys / f"{code.lower()}-sign.crt"),
                    bureau=(str(keys / "bureau-sign.crt"),),
                ),
                state=str(self.folder / "state" / code),
                scenario=str(scenario),
            )
            for code, customer in (("BANKA", "FS0001"), ("BANKB", "FS0002"))
        )
        with banks(Sandbox(banks=both), self.folder / "banks"):
            yield

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """`sheyin serve` beside the test; stopped by SIGTERM."""
        with (self.folder / "serve.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--poll-ms", "200"],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
            )
        assert process.stdout is not None
        try:
            assert b"ready" in process.stdout.readline(), (self.folder / "serve.log").read_text()
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(START_S) == 0, (self.folder / "serve.log").read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()

    def until(self, holds: Callable[[], bool]) -> None:
        """Ask again until it holds."""
        deadline = time.monotonic() + START_S
        while not holds():
            assert time.monotonic() < deadline, (self.folder / "serve.log").read_text()[-4000:]
            time.sleep(0.3)


def secret(name: str) -> str:
    """What that person would type."""
    return f"only a test, {name}"


def open_office(folder: Path, **environment: str) -> Office:
    """An installation with both banks on folders, windows open all day, and an empty ledger."""
    office = Office(folder, **environment)
    for words in (("init",), ("pki", "dev")):
        assert run_in(folder, *words).code == 0
    path = folder / "sheyin.toml"
    text = path.read_text()
    text = (
        text.replace("every_day = false", "every_day = true")
        .replace('"08:30"', '"00:00"')
        .replace('"16:30"', '"24:00"')
    )
    text = text.replace('wire = "sftp"', 'wire = "folder"')
    text = (
        text[: text.rindex("[bank.wire_options]")]
        + '[bank.wire_options]\nroot = "exchange/BANKB"\ncomplete = "rename"\n'
    )
    path.write_text(text)
    for way in ("in", "out"):
        (folder / "exchange" / "BANKB" / way).mkdir(parents=True, exist_ok=True)
    done = office("db", "upgrade")
    assert done.code == 0, done.err
    return office
