"""The bank's side of a test: reads what our lane delivered and answers with the sandbox banks' own writers, sealed with the dev keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gateway.core.errors import Halt
from gateway.core.verdicts import Verdict
from gateway.edge.crypto.pki import DevPki, sign_name
from gateway.sandbox.config import FolderWire, Keys, SandboxBank
from gateway.sandbox.orders import Answer, Booked, Kind, Opened, Order, Question, Side, Standing, Twist
from gateway.sandbox.seals import Signer
from gateway.sandbox.sides import side
from tests.flow.fakes import FakeWire

CREATED = "2015-06-10T09:30:00"


class Taken(NamedTuple):
    """One payment file as the bank reads it."""

    name: str
    order: Order
    digest: str
    rows: list[Booked]


class Letter(NamedTuple):
    """One file of the bank's: name, payload, detached seal."""

    name: str
    payload: bytes
    seal: bytes | None


@cache
def _desk(code: str, adapter: str, folder: Path, sealed: bool) -> tuple[Side, Signer]:
    """A bank's format with its keys, and its key alone; both hold nothing else."""
    key, certificate = folder / f"{sign_name(code)}.key", folder / f"{sign_name(code)}.crt"
    own = Keys(sign_key=str(key), certificate=str(certificate), bureau=(str(folder / "bureau-sign.crt"),))
    config = SandboxBank(
        code=code,
        adapter="iso20022" if adapter == "iso20022" else "standard_file",
        customer="C440600001",
        wire=FolderWire(directory="unused"),
        keys=own if sealed else None,
        state="unused",
    )
    return side(config), Signer(key, certificate)


class Counterpart:
    """One bank. ``take`` what came, then ``say`` something about it."""

    def __init__(self, code: str, adapter: str, wire: FakeWire, keys: DevPki, *, sealed: bool = True) -> None:
        self.wire = wire
        self._numbers = 0
        self.side, self.signer = _desk(code, adapter, keys.folder, sealed)

    def take(self, name: str = "") -> Taken:
        """Verify, read and put aside a payment file of ours: the oldest, or the one of that name."""
        name = name or next(each for each in self.waiting() if "inquiry" not in each)
        opened = self._opened(name)
        if not isinstance(opened.head, Order):
            raise Halt(f"{name} is no payment file")
        lines = [line for portion in opened.lines() for line in portion]
        rows = [
            Booked(number, reference, account, holder, minor, None)
            for number, (reference, account, holder, minor) in enumerate(lines, 1)
        ]
        digest = hashlib.sha256(self.wire.files[f"in/{name}"]).hexdigest()
        self._aside(name)
        return Taken(name, opened.head, digest, rows)

    def asked(self) -> Question:
        """Verify, read and put aside the oldest inquiry of ours."""
        name = next(each for each in self.waiting() if "inquiry" in each)
        head = self._opened(name).head
        assert isinstance(head, Question)
        self._aside(name)
        return head

    def waiting(self) -> list[str]:
        """Payloads that lie in ``in/``."""
        inside = [path.removeprefix("in/") for path in self.wire.files if path.startswith("in/")]
        return [name for name in inside if "/" not in name and not name.endswith((".tmp", ".p7s"))]

    def letter(
        self,
        kind: Kind,
        taken: Taken | None = None,
        *,
        rows: Iterable[Booked] | None = None,
        part: int = 1,
        parts: int = 1,
        verdict: Verdict | None = None,
        code: str = "",
        question: Question | None = None,
        finding: Standing | None = None,
        digest: str = "",
        twist: Twist | None = None,
    ) -> Letter:
        """What the bank says, written and sealed, not laid out yet."""
        self._numbers += 1
        told = list(rows or ())
        if rows is None and taken is not None and kind not in (Kind.RECEIPT, Kind.REFUSAL):
            told = taken.rows
        answer = Answer(kind=kind, document=1, part=part, parts=parts, created=CREATED, verdict=verdict, code=code)
        answer.id, answer.base, answer.question, answer.finding = self._numbers, 1, question, finding
        if taken is not None:
            answer.reference, answer.digest = taken.order.reference, digest or taken.digest
        order = taken.order if taken else None
        payload, seal = self.side.write(answer, order, told, twist or Twist())
        return Letter(self.side.name(answer, order), payload, seal)

    def say(self, letter: Letter, name: str = "") -> str:
        """Lay it out for us; its name."""
        self.wire.put(name or letter.name, letter.payload, letter.seal)
        return name or letter.name

    def resealed(self, payload: bytes) -> bytes:
        """A detached seal of this bank over whatever bytes."""
        return self.signer.detached(payload)

    def result(self, taken: Taken, failing: dict[int, Verdict] | None = None) -> str:
        """The whole result at once: all paid but the lines (1-based) that fail."""
        why = failing or {}
        rows = [row._replace(verdict=why.get(row.id)) for row in taken.rows]
        return self.say(self.letter(Kind.RESULT, taken, rows=rows))

    def _opened(self, name: str) -> Opened:
        return self.side.open(self.wire.files[f"in/{name}"], self.wire.files.get(f"in/{name}.p7s"))

    def _aside(self, name: str) -> None:
        for each in (name, f"{name}.p7s"):
            if f"in/{each}" in self.wire.files:
                self.wire.files[f"in/done/{each}"] = self.wire.files.pop(f"in/{each}")
