"""What the command line says, in one place: tables and progress for people, JSON for programs, errors for both, exit codes.

``--json``: standard output holds exactly one JSON document, also for an error: ``{"error": {"code", "where", "what"}}``. Otherwise results
go to standard output, and errors, warnings and progress to standard error. Progress is shown on a terminal only.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from gateway.core.errors import Code, Halt, InDoubt, NotSent, SheyinError, Unavailable

AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON document for programs.")]
ConfigPath = Annotated[
    Path | None,
    Parameter(
        name="--config", env_var="SHEYIN_CONFIG", help="The configuration; without it ./sheyin.toml, if there is one."
    ),
]
_STEPS = 500  # of a progress bar
PIPE_COLUMNS = 200  # width of tables where there is no terminal to ask


class Exit(IntEnum):
    """Exit codes; docs/commands.md and --help tell them."""

    OK = 0
    DIFFERS = 1  # a check found something that is not as it must be
    REFUSED = 2  # bad input, a wrong command line, or our own rule says no; nothing was changed
    UNAVAILABLE = 3  # a server is away; try again later
    HALTED = 4  # an invariant is broken, or money is in doubt: a person must look
    FAULT = 70  # a fault of the program itself
    INTERRUPTED = 130  # Ctrl-C


EXIT_SENTENCES = {
    Exit.OK: "done",
    Exit.DIFFERS: "a check found something that is not as it must be",
    Exit.REFUSED: "bad input, a wrong command line, or refused by a rule; nothing was changed",
    Exit.UNAVAILABLE: "a server (broker, ledger, bank) is away; nothing is known to have happened, try again later",
    Exit.HALTED: "an invariant is broken or money is in doubt: stop and look",
    Exit.FAULT: "a fault of the program itself; the trace is on standard error",
    Exit.INTERRUPTED: "interrupted from the keyboard",
}

#: What to do about an error, where it does not say so itself.
ADVICE = {
    Code.CONFLICT: "Two things claim to be the same and differ: find out which one is meant.",
    Code.FORMAT: "Compare it with the format's specification; ask the sender for a new one.",
    Code.SCHEMA: "Compare it with docs/configuration.md or schemas/: a field is missing, extra or of another type.",
    Code.TOTALS: "Nothing of it was used. Ask the sender which of the totals is right.",
    Code.SIG: "Do not use its content. Ask the sender, by another channel, for a sealed copy.",
    Code.CERT: "`sheyin keys` shows what is configured and until when.",
    Code.SIZE: "Split it, or ask for the limit to be raised.",
    Code.PATH: "Check the path and who may read it.",
    Code.AUTH: "A person's secret: $SHEYIN_ACTOR_SECRET, or asked for; `sheyin actor list` shows who may do what. Of programs: the credentials.",
    Code.TRUNCATED: "It was cut on its way: fetch it again.",
    Code.CHARSET: "Write the name with a character that the format has, as the bank's own system spells it.",
    Code.UNKNOWN_REF: "Check for a misspelling: `sheyin status` lists runs, `sheyin banks` banks and formats.",
}
USAGE_ADVICE = "`sheyin --help` lists the commands, `sheyin COMMAND --help` their options."


def exit_code(error: SheyinError) -> Exit:
    """The exit code by what the error says about the money."""
    if isinstance(error, Halt | InDoubt):
        return Exit.HALTED
    if isinstance(error, Unavailable | NotSent):
        return Exit.UNAVAILABLE
    return Exit.REFUSED


class Output:
    """How one command speaks. ``as_json``: nothing but the final document goes to standard output."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    def json(self, value: Any) -> None:
        """The document: UTF-8, two spaces, one newline at the end."""
        self.raw(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    def raw(self, data: bytes) -> None:
        """Bytes of the document as they are; ``main`` flushes."""
        sys.stdout.buffer.write(data)

    def say(self, *renderables: Any) -> None:
        """Something for people: text with no markup, or anything that rich can render. Silent with --json."""
        if not self.as_json:
            console().print(*renderables, markup=False, highlight=False, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str | tuple[str, str]], rows: Iterable[Sequence[str]]) -> None:
        """A table; a column is its heading, or heading and justification (``right``)."""
        if self.as_json:
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=title or None, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold", pad_edge=False
        )
        for column in columns:
            heading, justify = (column, "left") if isinstance(column, str) else column
            table.add_column(heading, justify="right" if justify == "right" else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        console().print(table)

    def warn(self, text: str) -> None:
        """A sentence on standard error, with --json too."""
        print(f"warning: {text}", file=sys.stderr)

    @contextlib.contextmanager
    def progress(self, what: str, total: int | None, unit: str = "") -> Iterator[Callable[[int], None]]:
        """A bar on standard error; the yielded function is told how much more is done.

        Nothing without a terminal, with --json, or without a total. Print results after it has ended: it wipes its line.
        """
        if self.as_json or total is None or not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        amount = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(what, total=total)
            waiting, step = 0, max(1, total // _STEPS)

            def advance(more: int) -> None:
                nonlocal waiting
                waiting += more
                if waiting >= step:  # drawing costs more than what is counted
                    bars.advance(task, waiting)
                    waiting = 0

            yield advance


def console() -> Any:
    """rich's console on standard output, wide where there is no terminal; a closed pipe is left to ``main``."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Plain() if sys.stdout.isatty() else Plain(width=PIPE_COLUMNS)


def several(count: int, what: str) -> str:
    """``1 document``, ``1,200 documents``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def error_document(code: str, where: str, what: str) -> dict[str, dict[str, str]]:
    """The shape of every error in JSON."""
    return {"error": {"code": code, "where": where, "what": what}}


def report(error: SheyinError, *, as_json: bool) -> Exit:
    """Tell an error and return its exit code."""
    if as_json:
        Output(as_json=True).json(error_document(error.code, error.where, error.what))
    else:
        fallback = [ADVICE[error.code]] if error.code in ADVICE else []
        advice = getattr(error, "__notes__", None) or fallback
        complain(error.code, error.where, error.what, *advice)
        if exit_code(error) is not Exit.REFUSED:
            print(f"       {error.money}", file=sys.stderr)
    return exit_code(error)


def complain(code: str, where: str, what: str, *advice: str) -> None:
    """One clear line on standard error, and below it what to do."""
    place = f" at {where}" if where else ""
    print(f"error: {code}{place}: {what}", file=sys.stderr)
    for sentence in advice:
        print(f"       {sentence}", file=sys.stderr)
