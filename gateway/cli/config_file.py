"""The configuration's file: read, overlaid with the environment, decoded strictly, checked whole, every fault named by its key.

Nothing here opens a key, a database or a connection. ``where`` of every error names the file and the key in the file's own words
(``sheyin.toml: bank BANKA: limits.rows_max``).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from gateway.core.adapter import Adapter
from gateway.core.bank import Bank, WireKind
from gateway.core.errors import Code, Refused
from gateway.core.settings import AtRestKeys, Gateway, Payer, check_banks, check_payers, check_production
from gateway.edge.crypto.keys import Device, KeyFile, PinFile, SecretFile, Service
from gateway.edge.wires.options import AmqpOptions, FolderOptions, HttpsOptions, SftpOptions, options_of

T = TypeVar("T")

FILE_BYTES_MAX = 4 * 1024 * 1024
#: Environment variable → setting of ``[gateway]`` that it overrules; an address there may hold its password.
ENVIRONMENT = {
    "SHEYIN_LEDGER_URL": "ledger",
    "SHEYIN_BUS_URL": "bus",
    "SHEYIN_BUS_MANAGEMENT_URL": "bus_management",
    "SHEYIN_DATA_DIR": "data_dir",
    "SHEYIN_REPLICA": "replica",
}
ADDRESSES = ("ledger", "bus", "bus_management")
WIRE_OPTIONS: Mapping[WireKind, type[msgspec.Struct]] = {
    WireKind.FOLDER: FolderOptions,
    WireKind.SFTP: SftpOptions,
    WireKind.AMQP: AmqpOptions,
    WireKind.HTTPS: HttpsOptions,
}
#: How an option names a file whose text it stands for: ``host_key = "file:certs/bank-host.pub"``.
FROM_FILE = "file:"


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file as it is written."""

    gateway: Gateway
    atrest: AtRestKeys = AtRestKeys()
    keys: dict[str, KeyFile] = {}
    pins: dict[str, PinFile] = {}
    secrets: dict[str, SecretFile] = {}
    engines: dict[str, Device | Service] = {}
    payer: tuple[Payer, ...] = ()
    bank: tuple[Bank, ...] = ()


def read(path: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The document with what the environment overrules. Raises Refused: PATH, SIZE, FORMAT, and POLICY for a password in the file."""
    return _overlaid(_read(path), environment, path.name)


def decode(
    document: dict[str, Any], folder: Path, found: Mapping[str, Adapter], *, name: str = "", files: bool = True
) -> File:
    """The document as checked values. ``files`` False leaves options that name a file unread. Raises Refused, its ``where`` with ``name``."""
    file = _decoded(_with_format_limits(document, found), name)
    try:
        if files:
            file = msgspec.structs.replace(file, bank=tuple(_placed(bank, folder) for bank in file.bank))
        _check(file, found, files=files)
    except Refused as error:
        where = ": ".join(part for part in (name, error.where) if part)
        raise advised(Refused(error.what, code=error.code, where=where), *getattr(error, "__notes__", ())) from None
    return file


def advised(error: Refused, *advice: str) -> Refused:
    """The error with what to do about it; ``output`` prints the notes."""
    for sentence in advice:
        error.add_note(sentence)
    return error


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(path)) from None
    if len(data) > FILE_BYTES_MAX:
        raise Refused(f"larger than {FILE_BYTES_MAX} bytes", code=Code.SIZE, where=str(path))
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8 at byte {error.start}", code=Code.FORMAT, where=path.name) from None
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"not TOML: {error}", code=Code.FORMAT, where=path.name) from None


def _overlaid(document: dict[str, Any], environment: Mapping[str, str], name: str) -> dict[str, Any]:
    """The document with what the environment overrules. Raises Refused for an address in the file that holds a password."""
    section = document.get("gateway")
    section = dict(section) if isinstance(section, dict) else {}
    for key in ADDRESSES:
        if isinstance(section.get(key), str) and urlsplit(section[key]).password is not None:
            credential = "bus_password" if key.startswith("bus") else f"{key}_password"
            raise advised(
                Refused("holds a password; secrets never stand in the configuration", where=f"{name}: gateway.{key}"),
                f'Take it out and name its credential: {credential} = "…"; or give the address in the environment.',
            )
    for variable, key in ENVIRONMENT.items():
        if environment.get(variable):
            section[key] = environment[variable]
            if key in ("ledger", "bus") and urlsplit(environment[variable]).password is not None:
                section.pop(f"{key}_password", None)
    return {**document, "gateway": section} if section else document


def _with_format_limits(document: dict[str, Any], found: Mapping[str, Adapter]) -> dict[str, Any]:
    """A Bank that gives some limits keeps its format's others."""
    banks = document.get("bank")
    if not isinstance(banks, list | tuple):
        return document
    whole = []
    for bank in banks:
        limits = bank.get("limits") if isinstance(bank, dict) else None
        adapter = found.get(str(bank.get("adapter"))) if isinstance(limits, dict) else None
        if isinstance(limits, dict) and adapter is not None:
            bank = {**bank, "limits": {**msgspec.structs.asdict(adapter.limits), **limits}}  # noqa: PLW2901 - the whole of the given one
        whole.append(bank)
    return {**document, "bank": whole}


def _placed(bank: Bank, folder: Path) -> Bank:
    """The Bank with its wire's files read and its folder made absolute. Raises Refused PATH."""
    options = dict(bank.wire_options)
    for key, value in options.items():
        if isinstance(value, str) and value.startswith(FROM_FILE):
            path = folder / value.removeprefix(FROM_FILE)
            try:
                options[key] = path.read_text().strip()
            except OSError as error:
                where = f"bank {bank.code}: wire_options.{key}"
                raise Refused(f"{path}: {error.strerror}", code=Code.PATH, where=where) from None
    shared = {WireKind.FOLDER: "root", WireKind.HTTPS: "directory"}.get(bank.wire, "")
    if isinstance(options.get(shared), str) and options[shared]:
        options[shared] = str(folder / str(options[shared]))
    return msgspec.structs.replace(bank, wire_options=options)


def _check(file: File, found: Mapping[str, Adapter], *, files: bool) -> None:
    check_payers(file.payer)
    check_banks(file.bank, found, file.gateway.bureau)
    for bank in file.bank:
        at = f"bank {bank.code}"
        for pin in bank.pins:
            if pin not in file.pins:
                raise Refused(f"no [pins.{pin}] says where this certificate lies", code=Code.CERT, where=f"{at}: pins")
        if bank.sealed and found[bank.adapter].seal is not None:
            key = file.keys.get(bank.sign_key)
            if key is None or key.use != "sign":
                what = f'no [keys.{bank.sign_key}] with use = "sign" says where this key lies'
                raise Refused(what, code=Code.CERT, where=f"{at}: sign_key")
        if files and (type_ := WIRE_OPTIONS.get(bank.wire)) is not None:
            try:
                options_of(bank, type_)
            except Refused as error:
                what = error.what.removeprefix("wire_options: ")
                raise Refused(what, code=error.code, where=f"{at}: wire_options") from None
    check_production(file.gateway, file.bank)


# ---------------------------------------------------------------------------------------------------------------- messages

_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.S)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[([^\]]*)\]")


def _decoded(document: dict[str, Any], name: str) -> File:
    mappings: tuple[tuple[str, Any], ...] = (
        ("keys", KeyFile),
        ("pins", PinFile),
        ("secrets", SecretFile),
        ("engines", Device | Service),
    )
    for section, type_ in mappings:  # one by one: msgspec tells no key of a mapping
        entries = document.get(section)
        for key, value in entries.items() if isinstance(entries, dict) else ():
            _converted(value, type_, document, name, f"{section}.{key}")
    return _converted(document, File, document, name)


def _converted(value: Any, type_: type[T], document: dict[str, Any], name: str, above: str = "") -> T:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        found = _AT.match(str(error))
        assert found is not None  # the pattern takes every text
        what, steps = found["what"], _STEP.findall(found["path"] or "")
        info = _type_at(type_, steps)
        where = f"{above}.{_spelled({}, steps)}".rstrip(".") if above else _spelled(document, steps)
        if unknown := _UNKNOWN.match(what):
            fields = [field.name for field in getattr(info, "fields", ())]
            near = difflib.get_close_matches(unknown["field"], fields, 1)
            what = f"no setting is called {unknown['field']!r}; "
            what += f"did you mean {near[0]}?" if near else f"there are {', '.join(fields)}"
        elif what.startswith("Invalid enum value"):
            what += f"; there are {', '.join(_choices(info))}"
        else:
            what = what.replace("Object missing required field", "missing:")
        raise Refused(what, code=Code.SCHEMA, where=": ".join(part for part in (name, where) if part)) from None


def _spelled(document: dict[str, Any], steps: list[tuple[str, str]]) -> str:
    """The path in the file's own words: banks and payers by their codes instead of their numbers."""
    spelled, join = "", ""
    value: Any = document
    for word, index in steps:
        if word:
            spelled += join + word
            join, value = ".", value.get(word, {}) if isinstance(value, dict) else {}
        elif index.isdigit() and isinstance(value, list | tuple) and int(index) < len(value):
            value = value[int(index)]
            code = value.get("code") if isinstance(value, dict) else None
            spelled += f" {code}" if isinstance(code, str) else f" number {int(index) + 1}"
            join = ": "
    return spelled


def _type_at(type_: type, steps: list[tuple[str, str]]) -> Any:
    """What the file should hold where the path ends."""
    info: Any = _without_none(msgspec.inspect.type_info(type_))
    for word, _ in steps:
        if word:
            info = next((field.type for field in getattr(info, "fields", ()) if field.name == word), None)
        else:
            info = getattr(info, "item_type", None) or getattr(info, "value_type", None)
        info = _without_none(info)
    return info


def _without_none(info: Any) -> Any:
    if isinstance(info, msgspec.inspect.UnionType):
        return next(part for part in info.types if not isinstance(part, msgspec.inspect.NoneType))
    return info


def _choices(info: Any) -> list[str]:
    if isinstance(info, msgspec.inspect.EnumType):
        return [str(member.value) for member in info.cls]
    return [str(value) for value in getattr(info, "values", ())]
