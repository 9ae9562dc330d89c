"""The command line's manners: fast help, exit codes, one clear line for an error, JSON for programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import COMMANDS, main
from gateway.cli.output import Exit, exit_code
from gateway.core.errors import Halt, InDoubt, Malformed, NotSent, Refused, SheyinError, Unavailable, Unverified
from tests.cli.conftest import Run
from tests.servers import ROOT

HEAVY = ("sqlalchemy", "aio_pika", "asyncssh", "lxml", "cryptography")


def test_help_lists_every_command_and_the_exit_codes(run: Run) -> None:
    """Whoever asks for help sees each command with its sentence, and what the exit codes mean."""
    done = run("--help")
    assert done.code == 0
    for command in COMMANDS:
        assert command.name in done.out
    assert "Exit codes: 0 done" in done.out
    told = " ".join(done.out.split())
    assert "70 a fault of the program" in told
    assert "130 interrupted" in told


def test_help_loads_no_heavy_library() -> None:
    """Neither the database library nor the broker's nor any other that takes long is imported for help."""
    program = f"""
import sys
from gateway.cli import main
assert main(["--help"]) == 0
loaded = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help(command: object, run: Run) -> None:
    """Each row of the table leads to a function or App, with help that says more than its name."""
    done = run(command.name, "--help")  # type: ignore[attr-defined]  # pytest gives parameters as objects
    assert done.code == 0, done.err
    assert done.out.startswith(f"Usage: sheyin {command.name}")  # type: ignore[attr-defined]  # as above


def test_version(run: Run) -> None:
    """The version is that of the installed package."""
    assert run("--version").out.strip()[0].isdigit()


def test_an_unknown_command_is_refused_with_the_nearest_one(run: Run) -> None:
    """A slip of the finger costs a second, not a trace."""
    done = run("bnaks")
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert "there is no command 'bnaks'; did you mean banks?" in done.err


@pytest.mark.parametrize(
    "words", [("banks", "--jsno"), ("inspect",), ("inspect", "x", "--rows", "many"), ("encode", "x")]
)
def test_a_wrong_command_line_is_exit_code_2(words: tuple[str, ...], run: Run) -> None:
    """Unknown options, missing arguments and wrong values say what is wrong, on standard error."""
    done = run(*words)
    assert (done.code, done.out) == (Exit.REFUSED, "")
    assert done.err.startswith("error: SCHEMA at the command line: ")


def test_an_error_for_programs_is_one_document_on_standard_output(run: Run) -> None:
    """With --json an error has the same three words as for people, and nothing else stands on standard output."""
    done = run("inspect", "nowhere.xml", "--json")
    assert done.code == Exit.REFUSED
    assert done.json == {
        "error": {"code": "PATH", "where": "nowhere.xml", "what": "cannot be read: No such file or directory"}
    }
    wrong = run("banks", "--json", "--nonsense")
    assert wrong.json["error"]["code"] == "SCHEMA"


def test_an_error_for_people_says_what_to_do(run: Run) -> None:
    """Code, place and sentence in one line; below it the next step."""
    done = run("keys")
    assert done.code == Exit.REFUSED
    first, advice = done.err.splitlines()
    assert first.startswith("error: PATH: no sheyin.toml here")
    assert "sheyin init" in advice


def test_options_of_every_command_may_stand_before_it(run: Run, installation: Path) -> None:
    """`sheyin --config X --json banks` is `sheyin banks --config X --json`."""
    path = installation / "sheyin.toml"
    before, after = run("--config", path, "--json", "banks"), run("banks", "--config", path, "--json")
    assert before == after
    assert [bank["code"] for bank in before.json["banks"]] == ["BANKA", "BANKB"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused, Exit.REFUSED),
        (Malformed, Exit.REFUSED),
        (Unverified, Exit.REFUSED),
        (Unavailable, Exit.UNAVAILABLE),
        (NotSent, Exit.UNAVAILABLE),
        (InDoubt, Exit.HALTED),
        (Halt, Exit.HALTED),
    ],
)
def test_exit_codes_say_what_is_known_about_the_money(error: type[SheyinError], code: Exit) -> None:
    """A script can tell "try again" from "never again" and from "call somebody"."""
    assert exit_code(error("anything")) is code


def test_a_reader_that_goes_away_is_no_error(installation: Path) -> None:
    """`sheyin … | head -1` ends quietly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "topology", "--json"],
        cwd=installation,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    assert (process.wait(60), error) == (0, b"")
    process.stderr.close()


def test_main_returns_its_exit_code_to_its_caller(capsys: pytest.CaptureFixture[str]) -> None:
    """In a program the same call returns what the process would end with."""
    assert main(["nonsense"]) == Exit.REFUSED
    assert "no command" in capsys.readouterr().err
