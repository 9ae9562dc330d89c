"""What a sandbox bank is told: one JSON or TOML file for the whole process, read into these structs.

Paths are taken as written (relative ones from the working directory). Durations are seconds of real time; dates inside the answers come
from the file that is answered, never from the machine's clock, because the demo lives in June 2015.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from gateway.core.bank import DuplicateAnswer


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A misspelt setting is an error, not a default."""


class FolderWire(_Strict, frozen=True, tag="folder"):
    """A directory with ``in/`` (from the bureau), ``in/done/`` and ``out/`` (to the bureau)."""

    directory: str


class SftpWire(_Strict, frozen=True, tag="sftp"):
    """The same directory behind an SFTP server of this bank alone; the client sees it as its root."""

    directory: str
    host_key: str  # private key, OpenSSH or PEM
    client_keys: str  # authorized_keys file
    user: str = ""  # empty: the customer number
    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one, told in the ready line


class AmqpWire(_Strict, frozen=True, tag="amqp"):
    """A pair of queues at the bureau's broker; they are declared by the gateway, the bank waits until they exist."""

    url: str
    inbound: str = ""  # empty: ``bank.<CODE>.in``
    outbound: str = ""  # routing key; empty: ``bank.<CODE>.out``
    exchange: str = "banks"


class HttpWire(_Strict, frozen=True, tag="http"):
    """An HTTP server of this bank alone. Paths are PEM files; without a certificate it speaks plain HTTP."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one, told in the ready line
    certificate: str = ""
    key: str = ""
    clients: str = ""  # whose certificates the bureau must show one of; empty: none is asked for
    directory: str = ""  # a folder shared with the bureau, for formats that lay files beside their commands


Wire = FolderWire | SftpWire | AmqpWire | HttpWire


class Keys(_Strict, frozen=True):
    """PEM files. ``bureau`` may list several certificates: an overlap of two keys."""

    sign_key: str
    certificate: str
    bureau: tuple[str, ...]


class Answers(_Strict, frozen=True):
    """How the bank answers when nothing goes wrong."""

    receipts: bool = True
    receipt_delay_s: float = 0.0
    delay_s: float = 0.0  # from taking the file to its first result
    part_delay_s: float = 0.0  # between the parts of a result
    return_delay_s: float = 0.0  # from the last result to the return
    parts: int = 1
    order: Literal["straight", "reverse"] = "straight"
    repeat: int = 1  # how often each result is handed over, same name and bytes
    pending_first: bool = False  # first a result that says "taken up" for every line, then the final one
    credited_word: str = "ACCC"  # the status word for "credited" where the format has several
    duplicate: DuplicateAnswer = DuplicateAnswer.ERROR
    duplicate_key: Literal["reference", "name"] = "reference"


class Faults(_Strict, frozen=True):
    """What goes wrong on request. Everything is off by default; ``documents`` limits what concerns files to the n-th that
    come (1-based, inquiries not counted)."""

    documents: tuple[int, ...] = ()
    drop: Literal["", "file", "answers"] = ""  # take the file and lose it unbooked; or book it and never speak of it
    slow_s: float = 0.0  # before the file is even looked at
    truncate_bytes: int = 0  # cut this many bytes off the end of each result, after sealing
    seal: Literal["", "none", "flipped", "foreign"] = (
        ""  # leave it out; change one byte of what was sealed; another key's
    )
    wrong_amount: int = 0  # this many lines of each result tell one fen more
    unknown_code: int = 0  # this many lines of each result fail with a code that no table has
    foreign_reference: int = 0  # this many lines of each result carry a reference that was never sent
    wrong_totals: bool = False  # the declared totals of each result are off by one fen
    unknown_original: bool = False  # each result names a Document that was never sent
    contradict: int = 0  # a second result turns this many lines around: paid into failed, failed into paid
    file_refusal: str = (
        ""  # a Verdict's name: after the receipt, the whole file is refused for it and nothing is booked
    )
    sftp_cut_bytes: int = 0  # once, an upload's connection breaks after so many bytes
    sftp_lost_replies: int = 0  # this many renames are done, and the connection breaks before the reply
    http_errors: tuple[int, ...] = ()  # the n-th orders over HTTP get "500", in plain text, and are not looked at
    http_lost_replies: tuple[int, ...] = ()  # the n-th are taken, and the connection ends without a reply
    then_correct: bool = False  # after each faulty result the correct one follows


class SandboxBank(_Strict, frozen=True):
    """One counterpart bank."""

    code: str
    adapter: str  # a format that ``sides.py`` finds
    customer: str  # the bureau's customer number here
    wire: Wire
    keys: Keys | None  # None: the unsigned test profile
    state: str  # folder for the books and the ``release`` file; made if absent
    debit_accounts: tuple[str, ...] = ()  # empty: any account of the bureau's may be debited
    rows_max: int = 100_000
    answers: Answers = Answers()
    faults: Faults = Faults()
    scenario: str = ""  # JSON file, see scenario.py; empty: every account is paid
    hold_results: bool = False  # results and returns wait until a file ``release`` appears in ``state``
    options: Mapping[
        str, str
    ] = {}  # what the format's side needs besides (business modes, files of secrets): see its module
    schemas: str = ""  # folder with the official XSDs: every inbound Document is checked against them (tests)

    def __post_init__(self) -> None:
        if self.answers.parts < 1 or self.answers.repeat < 1:
            raise ValueError("parts and repeat start at 1")


class Sandbox(_Strict, frozen=True):
    """The process: its banks, and how often it looks at folders."""

    banks: tuple[SandboxBank, ...]
    poll_s: float = 0.05
    now: str = ""  # ``2015-06-10T09:00:00``: the clock of answers to what cannot be read; everything else uses the file's own dates


def load(path: Path) -> Sandbox:
    """Read a configuration; raises msgspec.ValidationError for what does not fit and OSError for what is not there."""
    if path.suffix == ".toml":
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Sandbox)
    return msgspec.json.decode(path.read_bytes(), type=Sandbox)


def save(sandbox: Sandbox, path: Path) -> None:
    """Write a configuration as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(sandbox), indent=2))
