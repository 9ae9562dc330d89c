"""The command line: the only composition root. Commands are loaded when they are called, so that ``sheyin --help`` stays fast.

A new command is one row of ``COMMANDS`` and a function (or a cyclopts App with sub-commands) in a module of its own::

    Command("dlq", "gateway.cli.dlq:app", OPERATE, "Messages that could not be processed."),
    Command("status", "gateway.cli.status:status", LOOK, "How a run stands."),

The function's docstring and annotations are its help (``Parameters`` in NumPy's style); it takes ``as_json: AsJson = False`` and
``config: ConfigPath = None`` from ``output`` where they apply, speaks through ``output.Output`` and returns an ``output.Exit`` (or None for OK).
It raises SheyinError; ``main`` tells it and turns it into the exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cyclopts import App

BEGIN, OPERATE, LOOK, FILES, DEVELOP = "Begin", "Operate", "Look", "Files without a ledger", "Develop"


class Command(NamedTuple):
    """One row of the table of commands."""

    name: str
    place: str  # "module:function", imported when it is called
    group: str
    sentence: str
    json_file: bool = False  # its --json names a file; standard output and errors stay for people


COMMANDS = (
    Command("init", "gateway.cli.init:init", BEGIN, "Write a commented configuration to begin with."),
    Command("pki", "gateway.cli.pki:app", BEGIN, "Throwaway keys for trials."),
    Command("demo", "gateway.cli.demo:demo", BEGIN, "The reference month, with nothing but Python.", json_file=True),
    Command("db", "gateway.cli.db:app", BEGIN, "The ledger's schema."),
    Command("actor", "gateway.cli.actor:app", BEGIN, "The people who act: add them, list them."),
    Command("serve", "gateway.cli.serve:serve", OPERATE, "Run the gateway."),
    Command("submit", "gateway.cli.submit:submit", OPERATE, "Submit a run from a CSV or JSON lines file."),
    Command(
        "release", "gateway.cli.release:app", OPERATE, "Let a run go: a maker proposes, a different checker approves."
    ),
    Command("payer", "gateway.cli.payer:app", OPERATE, "A reference disbursement system over RabbitMQ."),
    Command("held", "gateway.cli.held:app", OPERATE, "Runs and payments that two people must look at."),
    Command("letter", "gateway.cli.letter:app", OPERATE, "What a bank says in writing, entered by two people."),
    Command("inbound", "gateway.cli.inbound:app", OPERATE, "What arrived: look, look again, take in by hand."),
    Command("export", "gateway.cli.export:app", OPERATE, "Emergency: a document leaves by other means."),
    Command("lanes", "gateway.cli.lanes:app", OPERATE, "Every bank's lane: look, stop, resume."),
    Command("parked", "gateway.cli.lanes:parked", OPERATE, "Bank answers that no rule could apply."),
    Command("dlq", "gateway.cli.dlq:app", OPERATE, "Messages that could not be processed."),
    Command("status", "gateway.cli.status:status", LOOK, "How a run stands, or the newest runs."),
    Command("report", "gateway.cli.report:report", LOOK, "What a run came to, as text, page, CSV or JSON."),
    Command("show", "gateway.cli.show:show", LOOK, "One payment's whole life."),
    Command("check", "gateway.cli.check:check", LOOK, "Does everything add up? Also a health check."),
    Command("audit", "gateway.cli.check:audit", LOOK, "The chain of acts."),
    Command("banks", "gateway.cli.banks:app", LOOK, "Every installed format, and the configured banks."),
    Command("keys", "gateway.cli.keys:keys", LOOK, "Keys and pinned certificates, and when they end."),
    Command(
        "topology", "gateway.cli.topology:topology", OPERATE, "Exchanges and queues: print, check or declare them."
    ),
    Command("encode", "gateway.cli.encode:encode", FILES, "Instructions in JSON lines → a bank's documents."),
    Command("inspect", "gateway.cli.inspect:inspect", FILES, "Decode, verify and explain any document."),
    Command("schemas", "gateway.cli.schemas:schemas", DEVELOP, "Write, or check, every generated file."),
)
_GLOBAL = ("--config", "--json")
_FILE_OR_OUTPUT = ("--html", "--csv")


def build(called: str = "", commands: Sequence[Command] = COMMANDS) -> App:
    """The application. Nothing of a command but its row is loaded; the one that is ``called`` shows its own docstring as help."""
    from cyclopts import App, Group, Parameter

    from gateway.cli.output import EXIT_SENTENCES

    codes = " · ".join(f"{int(code)} {sentence}" for code, sentence in EXIT_SENTENCES.items())
    app = App(
        name="sheyin",
        help="社银网关 Sheyin: the payments gateway between a social-insurance bureau and its banks.",
        help_epilogue=f"Exit codes: {codes}",
        version=_version,
        help_format="markdown" if called else "plaintext",  # rendering markdown costs 0.2 s
        default_parameter=Parameter(negative=(), show_default=_shown),
    )
    order = {
        group: Group(group, sort_key=number) for number, group in enumerate((BEGIN, OPERATE, LOOK, FILES, DEVELOP))
    }
    for command in commands:
        sentence = None if command.name == called else command.sentence
        app.command(command.place, name=command.name, group=order[command.group], help=sentence)
    return app


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code, having told every error."""
    tokens = _with_files(_hoisted(sys.argv[1:] if tokens is None else list(tokens)))
    to_file = any(command.json_file for command in COMMANDS if command.name == _word(tokens))
    as_json = not to_file and "--json" in tokens[: tokens.index("--") if "--" in tokens else None]
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's charset lacks must not end a command
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return _guarded(tokens, as_json)


def _guarded(tokens: list[str], as_json: bool) -> int:
    from cyclopts.exceptions import CycloptsError

    from gateway.cli.output import USAGE_ADVICE, Exit, Output, complain, error_document, report
    from gateway.core.errors import Code, SheyinError

    try:
        result = build(_word(tokens))(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return result if isinstance(result, int) else Exit.OK
    except SheyinError as error:
        return report(error, as_json=as_json)
    except CycloptsError as error:
        what = _usage(error, tokens)
        if as_json:
            Output(as_json=True).json(error_document(Code.SCHEMA, "command line", what))
        else:
            complain(Code.SCHEMA, "the command line", what, USAGE_ADVICE)
        return Exit.REFUSED
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = None  # nothing more is flushed at exit
        return Exit.OK
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return Exit.INTERRUPTED
    except Exception:  # noqa: BLE001 - a fault of ours has an exit code of its own, so that no check reads it as a difference
        import traceback

        traceback.print_exc()
        return Exit.FAULT


def _usage(error: Exception, tokens: list[str]) -> str:
    """The parser's sentence; for an unknown command our own, because the parser would load every command to find a near one."""
    from cyclopts.exceptions import UnknownCommandError

    if isinstance(error, UnknownCommandError):
        import difflib

        names = [command.name for command in COMMANDS]
        word = _word(tokens)
        near = difflib.get_close_matches(word, names, 1)
        return f"there is no command {word!r}" + (f"; did you mean {near[0]}?" if near else "")
    return " ".join(str(error).split())


def _hoisted(tokens: list[str]) -> list[str]:
    """``sheyin --config X --json banks`` is ``sheyin banks --config X --json``: options of every command may stand before it."""
    given: list[str] = []
    while tokens and tokens[0].partition("=")[0] in _GLOBAL:
        count = 2 if tokens[0] == "--config" else 1
        given, tokens = given + tokens[:count], tokens[count:]
    end = tokens.index("--") if "--" in tokens else len(tokens)
    return [*tokens[:end], *given, *tokens[end:]] if tokens else given


def _with_files(tokens: list[str]) -> list[str]:
    """``report RUN --csv`` without a file's name is ``--csv -``: standard output."""
    if _word(tokens) != "report":
        return tokens
    return [
        word
        for token, after in zip(tokens, [*tokens[1:], "--"], strict=True)
        for word in ((token, "-") if token in _FILE_OR_OUTPUT and after != "-" and after.startswith("-") else (token,))
    ]


def _word(tokens: list[str]) -> str:
    """The command that is called: the first word that is no option."""
    return next((token for token in tokens if not token.startswith("-")), "")


def _shown(default: object) -> str | None:
    """A default as help shows it; nothing where it means "not given"."""
    return None if default in ("", (), False, None) else str(default)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sheyin")
    except PackageNotFoundError:
        return "not installed"
