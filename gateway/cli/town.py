"""A whole town in a folder: throwaway keys, counterpart banks in a process of their own, and the gateway's configuration to go with them.

The demo, the tests and the benchmark live here. Everything is fictional and on loopback.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

import adapters
from gateway.cli.config import Config
from gateway.cli.config_file import File
from gateway.cli.town_formats import DIALECTS, PLAIN, Dialect, our_wire, their_wire
from gateway.core.bank import Agreement, Bank, DuplicateAnswer, WireKind
from gateway.core.bank import Window as BankWindow
from gateway.core.settings import LOCAL_BUS, Payer
from gateway.core.settings import Gateway as GatewaySettings
from gateway.edge.crypto import pki
from gateway.sandbox import runner
from gateway.sandbox.failures import write_scenario
from gateway.sandbox.month import BANKS, DEBIT_ACCOUNT, FUND, PAYER, DemoBank, Month

BUREAU = "佛山市社会保险基金管理局（演示）"
#: One of each, so that the demo and the tests meet them all; every other bank answers a repeat with an error.
DUPLICATE_ANSWERS = dict(zip((bank.code for bank in BANKS), DuplicateAnswer, strict=True))
#: Above this a Document's lines would weigh more in memory than all the rest; the format would take more.
ROWS_MAX = 10_000


class Town(msgspec.Struct, frozen=True, kw_only=True):
    """What was set up: the configuration of our side, and the running other side."""

    folder: Path
    config: Config
    banks: runner.Running


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between a demo, a test and a benchmark."""

    ledger: str = ""  # empty: SQLite in the folder
    bus: str = LOCAL_BUS
    wires: Mapping[str, WireKind] = {}  # by bank code, instead of the month's own
    since: dt.datetime = dt.datetime(2015, 1, 1, tzinfo=dt.UTC)  # from when the throwaway certificates are valid
    every_day: bool = False  # windows round the clock, for runs on the real clock
    answers: runner.Answers = runner.Answers()
    faults: Mapping[str, runner.Faults] = {}
    hold_results: bool = False
    agreements: Mapping[str, Agreement] = {}  # by bank code, instead of the town's own; the bank keeps to it


@contextmanager
def town(folder: Path, month: Month, setting: Setting) -> Iterator[Town]:
    """Keys, banks, configuration; the banks' process ends with the block."""
    banks = month.banks
    keys = pki.make(
        folder / "keys",
        [bank.code for bank in banks],
        setting.since,
        years=30,
        sm2_banks=[bank.code for bank in banks if _dialect(bank).sm2],
        tls_banks=[bank.code for bank in banks if _dialect(bank).tls],
    )
    plans = write_scenario(folder / "scenarios", month.scenarios())
    sandbox = runner.Sandbox(banks=tuple(_other_side(folder, bank, setting, plans[bank.code]) for bank in banks))
    with runner.banks(sandbox, folder / "banks") as running:
        ours = tuple(_our_side(folder, bank, setting, running) for bank in banks)
        file = File(
            gateway=GatewaySettings(
                bureau=BUREAU, ledger=setting.ledger, bus=setting.bus, credentials_dir="keys", replica="demo"
            ),
            keys={
                name: msgspec.structs.replace(key, file=f"keys/{key.file}", certificate=f"keys/{key.certificate}")
                for name, key in keys.bureau.keys.items()
            },
            pins={
                name: msgspec.structs.replace(pin, file=f"keys/{pin.file}") for name, pin in keys.bureau.pins.items()
            },
            secrets=dict(keys.bureau.secrets),
            payer=(Payer(code=PAYER, name="养老金发放系统（演示）"),),
            bank=ours,
        )
        yield Town(folder=folder, config=Config(file, folder), banks=running)


def _wire(bank: DemoBank, setting: Setting) -> WireKind:
    return setting.wires.get(bank.code, bank.wire)


def _agreement(bank: DemoBank, setting: Setting) -> Agreement:
    if (given := setting.agreements.get(bank.code)) is not None:
        return given
    answer = DUPLICATE_ANSWERS.get(bank.code, DuplicateAnswer.ERROR)
    key = "" if answer is DuplicateAnswer.NO_DEDUPE else "reference"
    agreement = Agreement(duplicate_key=key, duplicate_answer=answer, inquiry_interval_minutes=1)
    return msgspec.structs.replace(agreement, credited=_dialect(bank).credited or agreement.credited)


def _dialect(bank: DemoBank) -> Dialect:
    return DIALECTS.get(bank.adapter, PLAIN)


def _sign_name(bank: DemoBank) -> str:
    return pki.sm2_name(bank.code) if _dialect(bank).sm2 else pki.sign_name(bank.code)


def _bureau_sign(bank: DemoBank) -> str:
    return "bureau-sm2-sign" if _dialect(bank).sm2 else "bureau-sign"


def _other_side(folder: Path, bank: DemoBank, setting: Setting, plan: Path) -> runner.SandboxBank:
    keys, home = folder / "keys", folder / "banks" / bank.code
    dialect = _dialect(bank)
    wire: runner.FolderWire | runner.SftpWire | runner.AmqpWire | runner.HttpWire
    match _wire(bank, setting):
        case WireKind.SFTP:
            wire = runner.SftpWire(
                directory=str(home / "files"),
                host_key=str(keys / f"{pki.host_name(bank.code)}.key"),
                client_keys=str(keys / f"{pki.client_name(bank.code)}.pub"),
            )
        case WireKind.AMQP:
            wire = runner.AmqpWire(url=setting.bus)
        case WireKind.HTTPS:
            wire = their_wire(dialect, bank.code, keys, home)
        case _:
            wire = runner.FolderWire(directory=str(home / "files"))
    return runner.SandboxBank(
        code=bank.code,
        adapter=bank.adapter,
        customer=bank.customer,
        wire=wire,
        keys=runner.Keys(
            sign_key=str(keys / f"{_sign_name(bank)}.key"),
            certificate=str(keys / f"{_sign_name(bank)}.crt"),
            bureau=(str(keys / f"{_bureau_sign(bank)}.crt"),),
        ),
        state=str(home / "state"),
        debit_accounts=(DEBIT_ACCOUNT,),
        answers=msgspec.structs.replace(setting.answers, duplicate=_agreement(bank, setting).duplicate_answer),
        faults=setting.faults.get(bank.code, runner.Faults()),
        scenario=str(plan),
        hold_results=setting.hold_results,
        options=dialect.theirs(bank.code, keys),
    )


def _our_side(folder: Path, bank: DemoBank, setting: Setting, running: runner.Running) -> Bank:
    wire, dialect, ready = _wire(bank, setting), _dialect(bank), running.ready[bank.code]
    keys, home = folder / "keys", folder / "banks" / bank.code
    options: dict[str, str | int | bool] = {}
    if wire is WireKind.FOLDER:
        options = {"root": str(home / "files"), "complete": "rename"}
    elif wire is WireKind.SFTP:
        line = (keys / f"{pki.host_name(bank.code)}.pub").read_text().split()
        options = {
            "host": "127.0.0.1",
            "port": int(ready["port"]),
            "user": bank.customer,
            "host_key": " ".join(line[:2]),
            "client_key": f"{pki.client_name(bank.code)}.key",
            "complete": "rename",
        }
    elif wire is WireKind.HTTPS:
        options = our_wire(dialect, bank.code, keys, home, str(ready["url"]))
    adapter = adapters.discover()[bank.adapter]
    limits = adapter.limits
    window = BankWindow(opens="00:00", cut_off="24:00", every_day=True) if setting.every_day else BankWindow()
    return Bank(
        code=bank.code,
        name=bank.name,
        name_zh=bank.name_zh,
        adapter=bank.adapter,
        wire=wire,
        customer=bank.customer,
        clearing_code=bank.clearing_code,
        bin_prefixes=(bank.bin_prefix,),
        debit_accounts={FUND: DEBIT_ACCOUNT},
        agreement=_agreement(bank, setting),
        window=window,
        limits=msgspec.structs.replace(limits, rows_max=min(limits.rows_max, ROWS_MAX)),
        sign_key=_bureau_sign(bank),
        pins=(_sign_name(bank),) if adapter.seal is not None else (),
        wire_options=options,
        format_options=dialect.ours(bank.code, int(ready.get("port", 0))),
    )
