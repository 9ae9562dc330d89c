"""``sheyin report``: what one run came to, at first and after the second payment, and what still waits for what since when."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gateway.cli.acting import OfPayer, instant, on_ledger
from gateway.cli.config import load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output
from gateway.cli.report_figures import plain, shares, total, verdicts, words
from gateway.cli.report_page import page
from gateway.cli.status import line, lines_table
from gateway.core.errors import Code, Refused
from gateway.core.money import decimal, spoken

if TYPE_CHECKING:
    from gateway.edge.ledger import SqlLedger

_OUTPUT = Path("-")
FileOrOutput = Annotated[Path | None, Parameter(allow_leading_hyphen=True)]
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_SHOWN = 50
_LONG_DIGITS = 12  # a longer number is rounded by spreadsheets
CSV_COLUMNS = (
    *("part", "bank", "district", "state", "verdict", "count", "amount_yuan"),
    *("instruction", "name", "account", "waits_for", "since"),
)


def report(
    run: str,
    *,
    payer: OfPayer = "",
    html: FileOrOutput = None,
    csv: FileOrOutput = None,
    as_json: AsJson = False,
    config: ConfigPath = None,
) -> Exit:
    """What a run came to: paid at first and after the second payment, by bank, district and verdict; what waits for what since when.

    Names and accounts are masked. Exit code 1 where the conservation line does not add up.

    Parameters
    ----------
    run
        The run's id.
    html
        Write one printable page in Chinese and English to this file; without a name, or to -, on standard output.
    csv
        Write the figures and the register of what waits to this file, for a spreadsheet; likewise.
    """
    output = Output(as_json)
    if [html, csv].count(_OUTPUT) + as_json > 1:
        raise Refused("standard output holds one document: name a file for the others", where="--html, --csv, --json")

    async def work(ledger: SqlLedger) -> dict[str, Any]:
        found = await ledger.report(run, payer)
        return {**found, "waits": await ledger.case_figures(run, found["payer"])}

    loaded = load(config)
    found = on_ledger(loaded, work)
    found["lines"] = [line(bank, parts) for bank, parts in found["conservation"].items()]
    found["conserved"] = all(each["conserved"] for each in found["lines"])
    found["success"] = {
        "total": plain(total(found)),
        "by_bank": [plain(each) for each in shares(found, "bank")],
        "by_district": [plain(each) for each in shares(found, "district")],
    }
    if html is not None:
        names = {bank.code: bank.name_zh or bank.name for bank in loaded.banks}
        _write(html, page(found, loaded.gateway.bureau, names).encode(), output)
    if csv is not None:
        _write(csv, table(found).encode("utf-8-sig"), output)  # spreadsheets know UTF-8 by its mark only
    if as_json:
        output.json(found)
    elif html is None and csv is None:
        _tell(found, output)
    return Exit.OK if found["conserved"] else Exit.DIFFERS


# ---------------------------------------------------------------------------------------------------------------- faces


def _tell(found: dict[str, Any], output: Output) -> None:
    output.say(f"run {found['run_id']} of {found['payer']} ({found['line']}, {found['period']}): {found['state']}")
    columns = (
        "", ("ordered", "right"), ("amount", "right"), ("paid at first", "right"), ("", "right"), ("second payment", "right"),
        ("paid by now", "right"), ("", "right"), ("open", "right"),
    )  # fmt: skip
    rows = [
        (each.name or "total", f"{each.ordered:,}", spoken(each.minor), f"{each.first:,}", each.percent(each.first),
         f"{each.later:,}", f"{each.paid:,}", each.percent(each.paid), f"{each.missing:,}")
        for each in (*shares(found, "bank"), total(found))
    ]  # fmt: skip
    output.table("by bank", columns, rows)
    rows = [
        (each.name or "none", f"{each.ordered:,}", spoken(each.minor), f"{each.first:,}", each.percent(each.first),
         f"{each.later:,}", f"{each.paid:,}", each.percent(each.paid), f"{each.missing:,}")
        for each in shares(found, "district")
    ]  # fmt: skip
    output.table("by district", columns, rows)
    for title, key in (("not paid at first", "first"), ("not paid by the second payment", "later")):
        told = [
            (state, verdict, " ".join(words(verdict)), f"{n:,}", spoken(minor))
            for state, verdict, n, minor in verdicts(found[key])
        ]
        if told:
            output.table(title, ("state", "verdict", "", ("payments", "right"), ("amount", "right")), told)
    if found["waits"]:
        told_waits = [
            (w["waits_for"], w["verdict"], f"{w['count']:,}", spoken(w["minor"]), instant(w["since_ms"]))
            for w in found["waits"]
        ]
        columns_of = ("waits for", "verdict", ("payments", "right"), ("amount", "right"), "oldest since")
        output.table("what waits for what", columns_of, told_waits)
        register = [
            (w["instruction"], w["name"], w["account"], w["bank"], w["district"], spoken(w["minor"]), w["waits_for"],
             instant(w["since_ms"]))
            for w in found["waiting"][:_SHOWN]
        ]  # fmt: skip
        heads = ("instruction", "name", "account", "bank", "district", ("amount", "right"), "waits for", "since")
        output.table(f"the first {len(register)} of {len(found['waiting'])}", heads, register)
    lines_table(found["lines"], output)


def table(found: dict[str, Any]) -> str:
    """Figures and register as one CSV. No cell can be taken for a formula, and no number but counts and amounts for a number."""
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for row in _rows(found):
        writer.writerow([safe_cell(cell) for cell in row])
    return stream.getvalue()


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for part, key in (("first try", "first"), ("second payment", "later")):
        for row in found[key]:
            figures = (row["state"], row["verdict"], str(row["count"]), decimal(row["minor"]))
            yield (part, row["bank"], row["district"], *figures, "", "", "", "", "")
    for row in found["waiting"]:
        figures = (row["state"], row["verdict"], "1", decimal(row["minor"]))
        who = (row["instruction"], row["name"], row["account"], row["waits_for"], instant(row["since_ms"]))
        yield ("waiting", row["bank"], row["district"], *figures, *who)


def safe_cell(text: str) -> str:
    """A cell that a spreadsheet shows as it is (PROMISES, H12): an apostrophe before what it would compute or round."""
    if text.startswith(_FORMULA) or (text.isdigit() and len(text) >= _LONG_DIGITS):
        return f"'{text}"
    return text


def _write(path: Path, content: bytes, output: Output) -> None:
    if path == _OUTPUT:
        output.raw(content)
        return
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)  # whole or not at all
    except OSError as error:
        raise Refused(f"cannot be written: {error.strerror}", code=Code.PATH, where=str(path)) from None
    output.say(f"{path} is written")
