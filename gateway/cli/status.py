"""``sheyin status``: the newest runs, or how one of them stands, with the line that says where every fen is (P6)."""

from __future__ import annotations

from typing import Any

from gateway.cli.acting import OfPayer, instant, on_ledger
from gateway.cli.config import load
from gateway.cli.output import AsJson, ConfigPath, Exit, Output, several
from gateway.core.errors import Code, Refused
from gateway.core.money import spoken
from gateway.core.states import AttemptState

#: The conservation line: ordered = the sum of these.
PENDING = (AttemptState.NEW, AttemptState.READY, AttemptState.BATCHED)
ENDS = (
    *(AttemptState.PAID, AttemptState.FAILED, AttemptState.RETURNED, AttemptState.UNKNOWN),
    *(AttemptState.HELD, AttemptState.REFUSED, AttemptState.WITHDRAWN),
)
_DOCUMENTS_SHOWN = 40
Parts = dict[str, Any]


def status(
    run: str = "", *, payer: OfPayer = "", most: int = 20, as_json: AsJson = False, config: ConfigPath = None
) -> Exit:
    """How a run stands: its state, where every payment of it is, by bank, its documents, what is held. Without RUN the newest runs.

    Exit code 1 where a line does not add up.

    Parameters
    ----------
    run
        The run's id.
    most
        Without RUN: so many of the newest.
    """
    output = Output(as_json)
    loaded = load(config)
    if not run:
        found = on_ledger(loaded, lambda ledger: ledger.list_runs(most))
        if as_json:
            output.json({"runs": found})
        rows = [
            (r["payer"], r["run_id"], r["state"], r["kind"] or "", r["line"] or "", r["period"] or "", r["pay_date"] or "",
             instant(r["received_ms"]))
            for r in found
        ]  # fmt: skip
        output.table("runs", ("payer", "run", "state", "kind", "line", "period", "pay date", "received"), rows)
        return Exit.OK
    one = on_ledger(loaded, lambda ledger: ledger.status(run, payer))
    if one is None:
        raise Refused("no such run", code=Code.UNKNOWN_REF, where=run)
    lines = [line(bank, parts) for bank, parts in (one["own"] if _second(one) else one["banks"]).items()]
    one["conservation"] = lines
    one["conserved"] = all(each["conserved"] for each in lines)
    if as_json:
        output.json(one)
    else:
        _tell(one, output)
    return Exit.OK if one["conserved"] else Exit.DIFFERS


def _second(run: dict[str, Any]) -> bool:
    """A second-payment Run counts its own tries: in the other view they belong to the Runs that ordered them."""
    return not run["banks"]


def line(bank: str, parts: Parts) -> dict[str, Any]:
    """One bank's conservation line: ordered (with what moved between banks) against the sum of all ends and of what is pending."""

    def sum_of(names: tuple[str, ...]) -> tuple[int, int]:
        found = [parts.get(name, (0, 0)) for name in names]
        return sum(one[0] for one in found), sum(one[1] for one in found)

    counts = {str(name): sum_of((name,)) for name in ENDS} | {"pending": sum_of(PENDING)}
    ordered, came, went = (sum_of((name,)) for name in ("ordered", "moved_in", "moved_out"))
    due = (ordered[0] + came[0] - went[0], ordered[1] + came[1] - went[1])
    have = (sum(one[0] for one in counts.values()), sum(one[1] for one in counts.values()))
    share = {name: {"count": one[0], "minor": one[1]} for name, one in counts.items()}
    moved = {"moved_in": {"count": came[0], "minor": came[1]}, "moved_out": {"count": went[0], "minor": went[1]}}
    whole = {"count": ordered[0], "minor": ordered[1]}
    return {"bank": bank, "ordered": whole, **moved, **share, "conserved": due == have}


def lines_table(lines: list[dict[str, Any]], output: Output) -> None:
    """The conservation lines for people; parts that are nowhere are left out."""
    names = [name for name in (*map(str, ENDS), "pending") if any(one[name]["count"] for one in lines)]
    moved = [name for name in ("moved_in", "moved_out") if any(one[name]["count"] for one in lines)]
    shown = ["ordered", *moved, *names]
    rows = [
        (one["bank"], *(f"{one[name]['count']:,}" for name in shown), spoken(one["ordered"]["minor"]),
         "yes" if one["conserved"] else "NO")
        for one in lines
    ]  # fmt: skip
    columns: list[str | tuple[str, str]] = [
        "bank",
        *((name.replace("_", " "), "right") for name in shown),
        ("ordered amount", "right"),
        "adds up",
    ]
    output.table("where every payment is", columns, rows)


def _tell(run: dict[str, Any], output: Output) -> None:
    output.say(f"run {run['run_id']} of {run['payer']}: {run['state']}")
    output.say(f"  {run['kind']} · {run['line']} · {run['period']} · fund {run['fund']} · pay date {run['pay_date']}")
    for word in ("received", "accepted", "released", "closed"):
        if run[f"{word}_ms"]:
            output.say(f"  {word} {instant(run[f'{word}_ms'])}")
    if run["code"]:
        output.say(f"  {run['code']}: {run['what']}")
    if run["conservation"]:
        lines_table(run["conservation"], output)
    documents = run["documents"]
    if documents:
        rows = [
            (d["bank"], d["name"], d["state"], f"{d['count']:,}", spoken(d["minor"]), f"{d['told']:,}", str(d["sendings"]),
             f"{d['code'] or ''} {d['what'] or ''}")
            for d in documents[:_DOCUMENTS_SHOWN]
        ]  # fmt: skip
        columns = (
            "bank",
            "document",
            "state",
            ("payments", "right"),
            ("amount", "right"),
            ("told", "right"),
            "sent",
            "",
        )
        output.table(several(len(documents), "document"), columns, rows)
        if len(documents) > _DOCUMENTS_SHOWN:
            output.say(f"  and {len(documents) - _DOCUMENTS_SHOWN} more; --json lists all")
    for reason, count in run["open_holds"].items():
        output.say(f"  {count} payments are held: {reason}")
