"""Name checks in JSON lines → a bank's documents: each line a question whether an account belongs to a person of this name.

Every bad line is told by its code, place and sentence; where there is one, nothing is written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from gateway.cli.encode_lines import LINE_BYTES_MAX, Partner, Read
from gateway.cli.plain_files import Folder
from gateway.codec.text import name_fault, spoken
from gateway.core import batching
from gateway.core.bank import CheckLine, DocKind, ListHead
from gateway.core.contracts import IdType
from gateway.core.errors import Code, Refused


class NameCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question; ``ref`` comes back in the answer."""

    ref: str
    bank: str
    name: str
    account: str = ""
    id_type: IdType | None = None
    id_number: str = ""


_decode = msgspec.json.Decoder(NameCheck).decode
Checks = dict[str, list[CheckLine]]
"""Bank → its questions, in the order of the file."""


def read(source: BinaryIO, partner: Callable[[str], Partner]) -> tuple[Checks, Read]:
    """All questions, and what is wrong with lines. Held in memory: nobody asks about a whole month at once."""
    checks: Checks = {}
    found = Read()
    seen: set[tuple[str, str]] = set()
    for number, line in enumerate(iter(lambda: source.readline(LINE_BYTES_MAX), b""), 1):
        if not line.strip():
            continue
        try:
            check = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            code = Code.SCHEMA if isinstance(error, msgspec.ValidationError) else Code.FORMAT
            found.refuse(number, "", code, "", str(error)[:200])
            continue
        if fault := _fault(check, partner(check.bank), seen):
            found.refuse(number, check.ref, *fault)
            continue
        seen.add((check.bank, check.ref))
        lines = checks.setdefault(check.bank, [])
        kind = str(check.id_type or "")
        lines.append(CheckLine(len(lines) + 1, check.ref, check.name, check.account, kind, check.id_number))
        found.count += 1
    return checks, found


def _fault(check: NameCheck, partner: Partner, seen: set[tuple[str, str]]) -> tuple[Code, str, str] | None:
    """(code, where, what)."""
    if not check.ref or (check.bank, check.ref) in seen:
        return Code.DUP, "ref", "a reference stands once in a file, and is not empty"
    if fault := name_fault(check.name):
        return Code.NAME, "name", fault
    if lacking := partner.adapter.encodable(check.name):
        return Code.CHARSET, "name", f"{partner.adapter.code} cannot write {spoken(lacking)}"
    return None


async def write(
    checks: Checks,
    folder: Folder,
    partner: Callable[[str], Partner],
    made: dt.datetime,
    sequence: int,
    *,
    sign_key: Callable[[str], str],
    sealed: bool,
) -> list[dict[str, Any]]:
    """Documents under the cap of rows. Raises Refused for what the format cannot hold."""
    documents = []
    numbers: dict[str, int] = {}
    for code, lines in checks.items():
        known = partner(code)
        bank, write_check = msgspec.structs.replace(known.bank, sealed=sealed), known.adapter.write_check
        if write_check is None:
            raise Refused(f"{known.adapter.code} asks about no names", code=Code.POLICY, where="--checks")
        step = known.limits.rows_max
        for start in range(0, len(lines), step):
            part = [line._replace(line=at) for at, line in enumerate(lines[start : start + step], 1)]
            number = numbers[bank.customer] = numbers.get(bank.customer, sequence - 1) + 1
            reference = batching.reference(code, made.date(), number)
            name = batching.file_name(
                bank.file_name or known.adapter.file_name,
                customer=bank.customer,
                date=made.date(),
                sequence=number,
                kind=DocKind.NAME_CHECK,
                reference=reference,
            )
            head = ListHead(reference=reference, sequence=number, created=made, count=len(part))
            parts = write_check(head, iter(part), bank)
            bounds = known.limits.document_bytes_max
            written = await folder.write(name, parts, known.adapter.seal, sign_key(code), made, bounds)
            documents.append(
                {
                    "name": name,
                    "reference": reference,
                    "bank": code,
                    "count": len(part),
                    "digest": written.digest,
                    "size": written.size,
                    "sealed": sealed,
                    "seal": written.seal_name,
                }
            )
    return documents
