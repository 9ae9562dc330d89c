"""``python -m gateway.sandbox``: run the banks of a configuration, or print their books."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from gateway.sandbox import books
from gateway.sandbox.config import load
from gateway.sandbox.process import run


def main() -> int:
    """Exit codes: 0 done, 1 a bank failed, 2 wrong usage or configuration."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway.sandbox", description="Sandbox banks of the Sheyin gateway."
    )
    parser.add_argument("--config", type=Path, required=True, help="JSON or TOML file, see gateway/sandbox/config.py")
    parser.add_argument("--books", action="store_true", help="print totals of every bank's books as JSON, and end")
    parser.add_argument(
        "--payments", metavar="CODE", help="print every payment in a bank's books, one JSON object a line, and end"
    )
    parser.add_argument("--watch-stdin", action="store_true", help="end when standard input ends")
    options = parser.parse_args()
    try:
        sandbox = load(options.config)
    except (OSError, msgspec.ValidationError, msgspec.DecodeError, ValueError) as error:
        sys.stderr.write(f"{options.config}: {error}\n")
        return 2
    folders = {bank.code: Path(bank.state) for bank in sandbox.banks}
    if options.books:
        found = {code: books.summary(folder) for code, folder in folders.items()}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
        return 0
    if options.payments:
        for payment in books.payments(folders[options.payments]):
            sys.stdout.write(msgspec.json.encode(payment._asdict()).decode() + "\n")
        return 0
    return run(sandbox, watch_stdin=options.watch_stdin)


if __name__ == "__main__":
    sys.exit(main())
