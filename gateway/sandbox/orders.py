"""What a bank reads and what it says, free of any format: the words between the books and the two format sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

import msgspec

from gateway.core.verdicts import Verdict


class FileRefused(Exception):
    """The bank does not take this file; nothing of it is booked.

    ``reference`` is what could be made out of the file's own, if anything; ``code`` the format's own code where it has
    a nearer one than the verdict's.
    """

    def __init__(self, verdict: Verdict, text: str, *, reference: str = "", created: str = "", code: str = "") -> None:
        super().__init__(f"{verdict}: {text}")
        self.verdict = verdict
        self.text = text
        self.reference = reference
        self.created = created
        self.code = code


#: One payment as it stands in the file: reference, account, name, fen. A plain tuple, because it goes into the books as it is.
Line = tuple[str, str, str, int]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a payment file. ``created`` is the file's own text, ``YYYY-MM-DDTHH:MM:SS`` first."""

    reference: str
    batch: str
    created: str
    pay_date: str
    customer: str
    debit_account: str
    count: int
    minor: int
    bank: str = ""  # whom the file is meant for, where it says so


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A status inquiry; ``lines`` empty asks about the whole file."""

    reference: str
    original: str
    original_name: str
    created: str
    lines: tuple[int, ...] = ()  # line numbers in the file asked about


class Kind(StrEnum):
    """What an answer of the bank is."""

    RECEIPT = "receipt"  # the file has arrived
    REFUSAL = "refusal"  # the whole file is not taken
    PENDING = "pending"  # every line: taken up, not yet credited
    RESULT = "result"
    CONTRADICTION = "contradiction"  # some lines of a result turned around
    RETURN = "return"
    ANSWER = "answer"  # to an inquiry


class Standing(StrEnum):
    """What became of a file at the bank."""

    BOOKED = "booked"
    REFUSED = "refused"
    REPEATED = "repeated"  # a second copy, not booked again
    OVERWRITTEN = "overwritten"  # booked, then replaced by a second copy
    LOST = "lost"  # taken and never looked at: no inquiry finds it
    ASKED = "asked"  # an inquiry, not a payment


class Booked(NamedTuple):
    """One line as the books hold it. ``verdict`` None: credited."""

    id: int
    reference: str
    account: str
    name: str
    minor: int
    verdict: Verdict | None
    text: str = ""
    bank_name: str = ""
    new_account: str = ""


class Answer(msgspec.Struct, kw_only=True):
    """One document of the bank's, planned. What it says is written when it is due, from the books."""

    kind: Kind
    document: int  # row of the file it answers; 0: of none that the books know
    part: int = 1
    parts: int = 1
    first: int = 0  # rows of the books it tells of, inclusive
    last: int = -1
    due: float = 0.0  # seconds since the epoch, real time
    held: bool = False  # waits for the ``release`` file
    faulty: bool = False
    times: int = 1  # how often it is handed over
    created: str = ""  # the document's own date, ``YYYY-MM-DDTHH:MM:SS``
    name: str = ""
    verdict: Verdict | None = None  # of a refusal
    code: str = ""  # of a refusal: nearer than the verdict's
    text: str = ""
    reference: str = ""  # of the file answered, as far as it could be read
    digest: str = ""  # SHA-256 of the file answered, hex
    base: int = 0  # row of the books at which that file's lines begin
    question: Question | None = None
    finding: Standing | None = None  # of an answer to an inquiry; None: not found
    under_way: tuple[tuple[int, int], ...] = ()  # of an answer to an inquiry: rows whose result was not given yet
    id: int = 0
    given: int = 0

    @property
    def count(self) -> int:
        """How many lines it tells of."""
        return self.last - self.first + 1


class Twist(msgspec.Struct, frozen=True, kw_only=True):
    """What the writer of a faulty answer does wrong; the default is a correct one."""

    wrong_totals: bool = False
    unknown_original: bool = False
    seal: Literal["", "none", "foreign"] = ""


class Opened(Protocol):
    """An inbound file whose seal is proven: its head, and its lines in bounded portions."""

    @property
    def head(self) -> Order | Question:
        """What it is."""
        ...

    def lines(self) -> Iterator[list[Line]]:
        """The payments, at most a few thousand at a time. Raises FileRefused at the first line that cannot be read."""
        ...


class Side(Protocol):
    """One format, on the bank's side."""

    detached: bool  # the seal travels beside the file, not inside
    other_content: str  # the format's code for "this reference is held with another content"

    def open(self, payload: bytes, seal: bytes | None) -> Opened:
        """Verify the seal, then read the head. Raises FileRefused."""
        ...

    def name(self, answer: Answer, order: Order | None) -> str:
        """File name of an answer, the same whenever it is asked."""
        ...

    def write(
        self, answer: Answer, order: Order | None, rows: Iterable[Booked], twist: Twist
    ) -> tuple[bytes, bytes | None]:
        """The document's bytes and, where the seal is detached, the seal. ``order`` None: nothing is known of the file answered."""
        ...
