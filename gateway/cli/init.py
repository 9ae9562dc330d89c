"""``sheyin init``: a commented configuration to begin with, an agreement for each of its banks, every question to a bank beside its setting.

The sentences are those of ``words.py``, so the file and docs/configuration.md never differ. Nothing that is there is overwritten.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import adapters
from gateway.cli.config import FILE_NAME
from gateway.cli.config_file import advised
from gateway.cli.output import AsJson, Exit, Output
from gateway.cli.words import WORDS
from gateway.core.bank import Agreement, Bank, DuplicateAnswer, Limits, Window, WireKind
from gateway.core.errors import Code, Conflict, Refused
from gateway.core.settings import AtRestKeys
from gateway.edge.crypto import pki

KEYS = "certs/dev"
_COMMENT_COLUMNS = 110
_SHARED = "exchange"
_ASK = "问银行: "


class _Example(NamedTuple):
    """One bank of the example. Nobody real: card numbers that begin with 990 are given to no country."""

    bank: Bank
    intro: str


def init(folder: Path = Path(), *, as_json: AsJson = False) -> Exit:
    """Write sheyin.toml with two example banks, each setting with its sentence and what to ask the bank. Never overwrites.

    Together with `sheyin pki dev` it works at once, for trials. Docs: docs/configuration.md.

    Parameters
    ----------
    folder
        Where to; without it the present folder.
    """
    output = Output(as_json)
    path = folder / FILE_NAME
    shared = folder / _SHARED / "BANKA"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(template())
        for way in ("in", "out"):
            (shared / way).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        error = Conflict("is there already, and is never overwritten", where=str(path))
        raise advised(error, "Give another folder, or move it away first.") from None
    except OSError as error:
        raise Refused(f"cannot be written: {error.strerror}", code=Code.PATH, where=str(path)) from None
    if as_json:
        output.json({"written": str(path), "made": [str(shared / way) for way in ("in", "out")]})
        return Exit.OK
    output.say(f"{path} is written. Next:")
    here = "" if folder == Path() else f"cd {folder} && "
    output.say(f"  {here}sheyin pki dev     throwaway keys for a trial")
    output.say(f"  {here}sheyin banks       what is configured")
    output.say(f"  {here}sheyin keys        keys and pins, and until when")
    return Exit.OK


def template() -> str:
    """The file's text."""
    lines = [
        "# Sheyin 社银网关. Every setting: docs/configuration.md. What is commented out shows its default.",
        "# Secrets never stand here: credentials come by name from $CREDENTIALS_DIRECTORY (systemd), from SHEYIN_CREDENTIAL_…",
        "# in the environment, or from files in credentials_dir. `sheyin pki dev` makes throwaway ones for a trial.",
        "",
        "[gateway]",
        *_set("gateway.bureau", "某市社会保险基金管理局"),
        *_set("gateway.production", value=False),
        *_set("gateway.credentials_dir", KEYS),
        *_unset("gateway.ledger", "postgresql://sheyin@db.example/sheyin"),
        *_unset("gateway.ledger_password", "ledger-password"),
        *_unset("gateway.bus", "amqps://gateway@mq.example/sheyin"),
        *_unset("gateway.bus_password", "bus-password"),
        *_unset("gateway.bus_management", "https://mq.example:15671"),
        *_unset("gateway.bus_ca", "certs/mq-ca.pem"),
        *_unset("gateway.data_dir", "data"),
        *_unset("gateway.replica", "gateway-1"),
        *_unset("gateway.incomplete_run_minutes", 1440),
        *_unset("gateway.log_level", "INFO"),
        "",
        "[atrest]",
        *_set("atrest.key", AtRestKeys().key),
        *_unset("atrest.number", 1),
        "",
        *_comment(WORDS["keys"].en),
        *(line for name, use in (("bureau-sign", "sign"), ("bureau-decrypt", "decrypt")) for line in _key(name, use)),
        *_comment(WORDS["pins"].en),
        *_comment(WORDS["pins.file"].en),
        *_comment(_ASK + WORDS["pins.file"].ask),
        *(line for example in _examples() for line in _pin(example.bank.pins[0])),
        *_comment(WORDS["payer"].en),
        "[[payer]]",
        *_set("payer.code", "PENSION"),
        *_set("payer.name", "养老金发放系统"),
    ]
    for example in _examples():
        lines += ["", *_bank(example)]
    return "\n".join(lines) + "\n"


def _examples() -> tuple[_Example, ...]:
    first, second = "BANKA", "BANKB"
    return (
        _Example(
            Bank(
                code=first,
                name="Bank Jia",
                name_zh="甲银行",
                adapter="iso20022",
                wire=WireKind.FOLDER,
                customer="FS0001",
                clearing_code="990588000001",
                bin_prefixes=("990001",),
                debit_accounts={"pension": "9900000000000018"},
                agreement=Agreement(
                    duplicate_key="reference", duplicate_window_days=30, duplicate_answer=DuplicateAnswer.ERROR
                ),
                pins=(pki.sign_name(first),),
                wire_options={"root": f"{_SHARED}/{first}", "complete": "rename"},
            ),
            "A bank that has promised something: repeats of a reference are answered with an error for 30 days.",
        ),
        _Example(
            Bank(
                code=second,
                name="Bank Yi",
                name_zh="乙银行",
                adapter="standard_file",
                wire=WireKind.SFTP,
                customer="FS0002",
                bin_prefixes=("990002",),
                debit_accounts={"pension": "9900000000000026"},
                pins=(pki.sign_name(second),),
                wire_options={
                    "host": "127.0.0.1",
                    "port": 2222,
                    "user": "FS0002",
                    "host_key": f"file:{KEYS}/{pki.host_name(second)}.pub",
                    "client_key": f"{pki.client_name(second)}.key",
                },
            ),
            "A bank that has promised nothing: every line of its agreement is the careful reading.",
        ),
    )


def _bank(example: _Example) -> Iterator[str]:
    bank = example.bank
    yield f"# {'-' * 40} {bank.code}"
    yield from _comment(example.intro)
    yield "[[bank]]"
    for name in ("code", "name", "name_zh", "adapter", "wire", "customer"):
        yield from _set(f"bank.{name}", getattr(bank, name))
    clearing = _set if bank.clearing_code else _unset
    yield from clearing("bank.clearing_code", bank.clearing_code or "990588000002")
    yield from _set("bank.bin_prefixes", bank.bin_prefixes)
    yield from _set("bank.debit_accounts", bank.debit_accounts)
    yield from _set("bank.sign_key", bank.sign_key)
    yield from _set("bank.pins", bank.pins)
    yield from _unset("bank.file_name", adapters.discover()[bank.adapter].file_name)
    yield from _unset("bank.calendar_extra_closed", ("2026-12-31",), dates=True)
    yield from _section("bank.agreement", bank.agreement, Agreement.__struct_fields__)
    yield from _section("bank.window", bank.window, Window.__struct_fields__)
    yield ""
    yield from _comment(WORDS["bank.wire_options"].en)
    yield "[bank.wire_options]"
    for name, value in bank.wire_options.items():
        yield from _set(f"bank.wire_options.{name}", value)
    yield ""
    yield from _comment(WORDS["bank.limits"].en)
    yield "# [bank.limits]"
    limits = adapters.discover()[bank.adapter].limits
    for name in Limits.__struct_fields__:
        yield from _unset(f"bank.limits.{name}", getattr(limits, name))


def _section(key: str, values: msgspec.Struct, names: Iterable[str]) -> Iterator[str]:
    yield ""
    yield from _comment(WORDS[key].en)
    yield f"[{key}]"
    for name in names:
        yield from _set(f"{key}.{name}", getattr(values, name))


def _key(name: str, use: str) -> Iterator[str]:
    yield f"[keys.{name}]"
    yield f'use = "{use}"  # {WORDS["keys.use"].en}'
    yield f'file = "{KEYS}/{name}.key"'
    yield f'certificate = "{KEYS}/{name}.crt"'
    yield f'# password = "{name}-password"  # {WORDS["keys.password"].en}'
    yield ""


def _pin(name: str) -> Iterator[str]:
    yield f"[pins.{name}]"
    yield f'file = "{KEYS}/{name}.crt"'
    yield ""


def _set(key: str, value: Any) -> Iterator[str]:
    yield from _told(key)
    yield f"{key.rpartition('.')[2]} = {_toml(value)}"


def _unset(key: str, value: Any, *, dates: bool = False) -> Iterator[str]:
    yield from _told(key)
    text = f"[{', '.join(value)}]" if dates else _toml(value)
    yield f"# {key.rpartition('.')[2]} = {text}"


def _told(key: str) -> Iterator[str]:
    words = WORDS[key]
    yield from _comment(words.en)
    if words.ask:
        yield from _comment(_ASK + words.ask)


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _COMMENT_COLUMNS):
        yield f"# {line}"


def _toml(value: Any) -> str:
    """A value as TOML writes it. JSON's strings, numbers and booleans are TOML's too."""
    if isinstance(value, Enum):
        return _toml(value.value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return msgspec.json.encode(value).decode()
