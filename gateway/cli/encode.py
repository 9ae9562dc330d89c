"""``sheyin encode``: instructions in JSON lines → a bank's documents, through its adapter and without a ledger."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NamedTuple

import msgspec
from cyclopts import Parameter

import adapters
from gateway.cli import encode_checks, encode_lines
from gateway.cli.encode_lines import Defaults, Group, Key, Read
from gateway.cli.encode_setting import NO_ACCOUNT, Setting
from gateway.cli.output import AsJson, ConfigPath, Exit, Output, complain, error_document, several
from gateway.cli.plain_files import Folder
from gateway.core import batching
from gateway.core.adapter import Adapter
from gateway.core.bank import Bank, DocKind, PaymentHead
from gateway.core.calendar import CHINA_TIME
from gateway.core.contracts import BenefitLine
from gateway.core.errors import Code, Refused
from gateway.core.money import spoken

_SHOWN_MAX = 20
_PROGRESS_BYTES_MIN = 1024 * 1024


class _Plan(NamedTuple):
    """One document to be."""

    key: Key
    group: Group
    first: int
    last: int
    lines: int
    minor: int
    batch: int


def encode(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    *,
    format: Annotated[str, Parameter(name="--format")],
    out: Path = Path(),
    line: BenefitLine = BenefitLine.PENSION,
    fund: str = "",
    debit_account: str = "",
    pay_date: dt.date | None = None,
    customer: str = "",
    bureau: str = "",
    sequence: int = 1,
    first_key: int = 1,
    key: Path | None = None,
    cert: Path | None = None,
    password: str = "",
    option: tuple[str, ...] = (),
    checks: bool = False,
    overwrite: bool = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> Exit:
    """Write a bank's documents from instructions, one JSON object a line, without a ledger and without sending anything.

    Lines are grouped by bank, fund, debit account, pay date and benefit line, and split under the format's or the bank's caps. One bad
    line and nothing is written. The reference of a payment is its line number. Documents are sealed with --key, or with the key
    that the configuration names for the bank; without either they stay unsealed.

    Parameters
    ----------
    file
        Instructions as in schemas/messages/run.chunk.json, one a line, UTF-8; - reads standard input.
    format
        The format, as `sheyin banks` lists them.
    out
        Folder for the documents; without it the present one.
    line
        Benefit line of instructions that name none.
    fund
        Fund of instructions that name none; without it the benefit line's name.
    debit_account
        Debit account of instructions that name none; without it the configured bank's for the fund.
    pay_date
        Pay date of instructions that name none; without it today.
    customer
        Our customer number at the bank, where no bank is configured.
    bureau
        The bureau's name on the debit account, where none is configured.
    sequence
        Number of the first document of the day at each bank.
    first_key
        Reference of the first line's payment.
    key
        Our private key to seal with, PEM or PKCS#12.
    cert
        Its certificate; not needed with PKCS#12.
    password
        Name of the credential with the key file's password.
    option
        What the format asks of its bank, as NAME=VALUE, where no bank is configured; may be given several times.
    checks
        The lines are name checks: ref, bank, name, account, id_type, id_number.
    overwrite
        Replace files of the same name.
    """
    output = Output(as_json)
    setting = Setting(_adapter(format), config, customer, bureau, fund, debit_account, option)
    keys = Keys(key, cert, password)
    today = dt.datetime.now(CHINA_TIME).replace(microsecond=0)
    if checks:
        return _checks(output, file, out, setting, keys, today, sequence, overwrite=overwrite)
    defaults = Defaults(line, fund or str(line), debit_account or NO_ACCOUNT, pay_date or today.date())
    return _instructions(output, file, out, setting, keys, today, (sequence, first_key), defaults, overwrite=overwrite)


class Keys(NamedTuple):
    """What the command line says to seal with."""

    key: Path | None
    cert: Path | None
    password: str


def _instructions(
    output: Output,
    file: Path,
    out: Path,
    setting: Setting,
    keys: Keys,
    made: dt.datetime,
    first: tuple[int, int],
    defaults: Defaults,
    *,
    overwrite: bool,
) -> Exit:
    """Payments; ``first`` are the numbers of the first document and of the first line's payment."""
    adapter = setting.adapter
    if not adapter.pays:
        raise Refused(f"{adapter.code} carries no payments: --checks writes name checks", where="--format")
    with _open(file) as source:
        total = source.seek(0, io.SEEK_END)
        source.seek(0)
        with output.progress("Checking", total if total > _PROGRESS_BYTES_MIN else None, "bytes") as step:
            found = encode_lines.read(source, defaults, setting.partner, f"{made:%Y%m%d}", step)
        if found.bad_total or not found.count:
            return _refuse(output, found)
        plans = _plans(found, setting, first[0])
        crypto = setting.crypto(*keys)
        with Folder(out, crypto, overwrite=overwrite) as folder, output.progress("Writing", found.count) as step:
            documents = asyncio.run(_write_all(source, folder, plans, setting, made, *first, crypto is not None, step))
    _tell(output, adapter, found, documents, setting.notes(), sealed=crypto is not None, out=out)
    return Exit.OK


def _checks(
    output: Output,
    file: Path,
    out: Path,
    setting: Setting,
    keys: Keys,
    made: dt.datetime,
    sequence: int,
    *,
    overwrite: bool,
) -> Exit:
    """The other kind of lines: questions about names."""
    with _open(file) as source:
        asked, found = encode_checks.read(source, setting.partner)
    if found.bad_total or not found.count:
        return _refuse(output, found)
    crypto = setting.crypto(*keys)
    with Folder(out, crypto, overwrite=overwrite) as folder:
        documents = asyncio.run(
            encode_checks.write(
                asked,
                folder,
                setting.partner,
                made,
                sequence,
                sign_key=lambda code: setting.sign_key(setting.partner(code).bank),
                sealed=crypto is not None,
            )
        )
    if output.as_json:
        output.json({"format": setting.adapter.code, "out": str(out), "documents": documents})
        return Exit.OK
    shown = (
        (one["name"], one["bank"], f"{one['count']:,}", f"{one['size']:,}", one["digest"], one["seal"] or "none")
        for one in documents
    )
    columns = ("document", "bank", ("questions", "right"), ("bytes", "right"), "sha-256", "seal")
    output.table(f"Written to {out}", columns, shown)
    return Exit.OK


def _adapter(code: str) -> Adapter:
    found: Mapping[str, Adapter] = adapters.discover()
    if code not in found:
        what = f"no installed format is called {code!r}; there are {', '.join(found)}"
        raise Refused(what, code=Code.UNKNOWN_REF, where="--format")
    return found[code]


def _open(file: Path) -> BinaryIO:
    """The file, or standard input kept in a temporary one: it is read twice."""
    if str(file) == "-":
        kept = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the caller
        while chunk := sys.stdin.buffer.read(1024 * 1024):
            kept.write(chunk)
        return kept
    try:
        return file.open("rb")
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", code=Code.PATH, where=str(file)) from None


def _plans(found: Read, setting: Setting, sequence: int) -> list[_Plan]:
    """Documents in the order of banks and groups. Raises Refused RANGE where a cap lets them not all through."""
    plans: list[_Plan] = []
    for code in dict.fromkeys(key.bank for key in found.groups):
        mine = {key: group for key, group in found.groups.items() if key.bank == code}
        limits = setting.partner(code).limits
        batch_of = {key: number for number, key in enumerate(mine, 1)}
        groups = [
            batching.Group(code, key.fund, key.debit_account, key.pay_date, group.amounts, str(key.line))
            for key, group in mine.items()
        ]
        planned = batching.plan(groups, limits, used_today=sequence - 1)
        if sum(document.count for document in planned) < sum(len(group.amounts) for group in mine.values()):
            what = f"more documents than the {limits.documents_per_day_max} a day that {code} takes"
            raise Refused(what, code=Code.RANGE)
        for document in planned:
            of = document.group
            key = Key(code, of.fund, of.debit_account, of.pay_date, BenefitLine(of.line))
            first, last = document.first_rank, document.last_rank
            plans.append(_Plan(key, mine[key], first, last, document.count, document.minor, batch_of[key]))
    return plans


async def _write_all(
    source: BinaryIO,
    folder: Folder,
    plans: list[_Plan],
    setting: Setting,
    made: dt.datetime,
    sequence: int,
    first_key: int,
    sealed: bool,
    step: Callable[[int], None],
) -> list[dict[str, Any]]:
    numbers: dict[str, int] = {}
    documents = []
    for plan in plans:
        partner = setting.partner(plan.key.bank)
        bank = msgspec.structs.replace(partner.bank, sealed=sealed)
        # By customer number and not by bank: made-up banks share one, and names must differ.
        number = numbers[bank.customer] = numbers.get(bank.customer, sequence - 1) + 1
        head = _head(plan, bank, setting, made, number)
        name = batching.file_name(
            bank.file_name or partner.adapter.file_name,
            customer=bank.customer,
            date=made.date(),
            sequence=number,
            kind=DocKind.PAYMENT,
            reference=head.reference,
        )
        lines = encode_lines.pay_lines(source, plan.group, plan.first, plan.last, first_key, step)
        parts = partner.adapter.payment(head, lines, bank)
        bounds = partner.limits.document_bytes_max
        written = await folder.write(name, parts, partner.adapter.seal, setting.sign_key(bank), made, bounds)
        documents.append(
            {
                "name": name,
                "reference": head.reference,
                "bank": bank.code,
                "fund": head.fund,
                "line": head.benefit,
                "debit_account": head.debit_account,
                "pay_date": head.pay_date,
                "count": head.count,
                "minor": head.minor,
                "digest": written.digest,
                "size": written.size,
                "sealed": sealed,
                "seal": written.seal_name,
            }
        )
    return documents


def _head(plan: _Plan, bank: Bank, setting: Setting, made: dt.datetime, number: int) -> PaymentHead:
    return PaymentHead(
        reference=batching.reference(bank.code, made.date(), number),
        batch=batching.reference(bank.code, made.date(), plan.batch, mark="B"),
        sequence=number,
        created=made,
        pay_date=plan.key.pay_date,
        fund=plan.key.fund,
        benefit=str(plan.key.line),
        debit_account=setting.debit_account(plan.key),
        debit_name=setting.bureau,
        count=plan.lines,
        minor=plan.minor,
    )


# ---------------------------------------------------------------------------------------------------------------- telling


def _refuse(output: Output, found: Read) -> Exit:
    """Tell every bad line; nothing was written."""
    if not found.bad_total:
        raise Refused("there is no line in it", code=Code.FORMAT)
    first = found.bad[0]
    if output.as_json:
        errors = [{"id": e.instruction_id, "code": e.code, "where": e.where, "what": e.what} for e in found.bad]
        document: dict[str, Any] = dict(error_document(first.code, first.where, first.what))
        output.json(document | {"errors": errors, "errors_total": found.bad_total})
        return Exit.REFUSED
    for error in found.bad[:_SHOWN_MAX]:
        complain(error.code, error.where, error.what)
    rest = found.bad_total - min(found.bad_total, _SHOWN_MAX)
    more = f"{rest:,} more bad lines (--json tells a thousand); " if rest else ""
    print(f"       {more}nothing was written", file=sys.stderr)
    return Exit.REFUSED


def _tell(
    output: Output,
    adapter: Adapter,
    found: Read,
    documents: list[dict[str, Any]],
    notes: list[str],
    *,
    sealed: bool,
    out: Path,
) -> None:
    warnings = [*notes]
    warnings += [
        f"{e.where}: {e.what}; the gateway would hold this payment ({e.code})" for e in found.doubts[:_SHOWN_MAX]
    ]
    if found.doubts_total > _SHOWN_MAX:
        warnings.append(f"{found.doubts_total - _SHOWN_MAX:,} more id numbers fail their own check")
    if any(document["debit_account"] == NO_ACCOUNT for document in documents):
        warnings.append(f"no debit account was given: {NO_ACCOUNT} stands in its place")
    if not sealed:
        why = "no key is configured" if adapter.seal is not None else "the format has no seal"
        warnings.append(f"the documents are not sealed: {why}")
    totals = {"count": found.count, "minor": sum(document["minor"] for document in documents)}
    if output.as_json:
        result = {"format": adapter.code, "sealed": sealed, "out": str(out), "documents": documents}
        output.json(result | {"totals": totals, "warnings": warnings})
        return
    output.table(
        f"Written to {out}",
        (
            "document",
            "bank",
            "fund",
            "pay date",
            ("lines", "right"),
            ("amount", "right"),
            ("bytes", "right"),
            "sha-256",
            "seal",
        ),
        (
            (
                document["name"],
                document["bank"],
                document["fund"],
                f"{document['pay_date']}",
                f"{document['count']:,}",
                spoken(document["minor"]),
                f"{document['size']:,}",
                document["digest"],
                document["seal"] or ("inside" if sealed else "none"),
            )
            for document in documents
        ),
    )
    output.say(
        f"{several(len(documents), 'document')}, {several(totals['count'], 'payment')}, {spoken(totals['minor'])}"
    )
    for warning in warnings:
        output.warn(warning)
