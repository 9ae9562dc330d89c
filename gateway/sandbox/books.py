"""A bank's own books: what was credited to which account, when, under which of our references; and what it still has to say.

One SQLite file per bank, written by its own process alone. A file is booked, and all its answers are planned, in one transaction, so a bank
that is killed comes back with every answer due. Readers (tests, ``--books``) open it read-only at any time.

Nothing is deduplicated here: a line booked twice stands twice, so a double payment is visible.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.core.money import Totals
from gateway.core.verdicts import Verdict
from gateway.sandbox.orders import Answer, Booked, Kind, Line, Order, Standing
from gateway.sandbox.scenario import Failure

FILE = "books.sqlite"
ROWS_AT_ONCE = 2_000

_TABLES = """
CREATE TABLE IF NOT EXISTS document (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL, reference TEXT NOT NULL, standing TEXT NOT NULL,
  head TEXT NOT NULL, why TEXT NOT NULL, first INTEGER NOT NULL DEFAULT 0, last INTEGER NOT NULL DEFAULT -1,
  taken INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS document_reference ON document (reference);
CREATE TABLE IF NOT EXISTS line (
  id INTEGER PRIMARY KEY, document INTEGER NOT NULL, reference TEXT NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL,
  minor INTEGER NOT NULL, verdict TEXT, text TEXT NOT NULL DEFAULT '', bank_name TEXT NOT NULL DEFAULT '',
  new_account TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS line_failed ON line (account) WHERE verdict IS NOT NULL;
CREATE TABLE IF NOT EXISTS returned (line INTEGER PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answer (
  id INTEGER PRIMARY KEY, document INTEGER NOT NULL, kind TEXT NOT NULL, due REAL NOT NULL, held INTEGER NOT NULL, todo INTEGER NOT NULL,
  body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS answer_todo ON answer (due, id) WHERE todo > 0;
CREATE VIEW IF NOT EXISTS stood AS
  SELECT line.*, verdict IS NULL AND returned.line IS NULL AS paid, returned.line IS NOT NULL AS back
  FROM line JOIN document ON document.id = line.document AND document.standing = 'booked'
  LEFT JOIN returned ON returned.line = line.id;
"""

_KNOWN = "SELECT id, name, standing, head, first, last, digest, reference FROM document WHERE"


class Payment(NamedTuple):
    """One of our references in the bank's books. ``times`` above 1 is a double payment."""

    reference: str
    account: str
    minor: int  # fen standing on the account, all times together
    times: int
    returned: int


class Known(NamedTuple):
    """A file in the books; ``first`` and ``last`` bound its lines."""

    id: int
    name: str
    standing: Standing
    order: Order | None  # None: it could not be read so far
    first: int
    last: int
    digest: str
    reference: str


class Books:
    """The books of one bank. One thread at a time; ``check_same_thread`` is off because a worker thread takes turns with the loop."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / FILE, isolation_level=None, check_same_thread=False)
        # NORMAL loses nothing when the process is killed, only when the machine is: enough for a bank that is not real.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-16384", "wal_autocheckpoint=2000"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, exceptions included."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # ------------------------------------------------------------------------------------------------------------ writing

    def enter(
        self, *, name: str, digest: str, order: msgspec.Struct | None, reference: str, standing: Standing, why: str = ""
    ) -> int:
        """Enter a file; returns its row."""
        head = msgspec.json.encode(order).decode() if order else ""
        row = (name, digest, reference, standing, head, why)
        cursor = self._db.execute(
            "INSERT INTO document (name, digest, reference, standing, head, why) VALUES (?, ?, ?, ?, ?, ?)", row
        )
        return int(cursor.lastrowid or 0)

    def book(
        self, document: int, portions: Iterable[list[Line]], failure: Callable[[Line], Failure | None]
    ) -> tuple[int, Totals]:
        """Credit every line, except those that ``failure`` gives a reason for. Returns the first row (rows are gapless, because nobody
        else writes) and the totals of all lines."""
        first = row = int(self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM line").fetchone()[0])
        minor = 0
        insert = f"INSERT INTO line (document, reference, account, name, minor) VALUES ({document:d}, ?, ?, ?, ?)"  # noqa: S608 - a number
        for portion in portions:
            self._db.executemany(insert, portion)
            minor += sum(line[3] for line in portion)
            failed = [(*why, row + index) for index, line in enumerate(portion) if (why := failure(line)) is not None]
            if failed:
                self._db.executemany(
                    "UPDATE line SET verdict = ?, text = ?, bank_name = ?, new_account = ? WHERE id = ?", failed
                )
            row += len(portion)
        self._db.execute("UPDATE document SET first = ?, last = ? WHERE id = ?", (first, row - 1, document))
        return first, Totals(row - first, minor)

    def stand(self, document: int, standing: Standing) -> None:
        """Change what became of a file."""
        self._db.execute("UPDATE document SET standing = ? WHERE id = ?", (standing, document))

    def plan(self, answer: Answer) -> int:
        """Plan an answer; returns its row."""
        cursor = self._db.execute(
            "INSERT INTO answer (document, kind, due, held, todo, body) VALUES (?, ?, ?, ?, ?, ?)",
            (answer.document, answer.kind, answer.due, answer.held, answer.times, msgspec.json.encode(answer).decode()),
        )
        return int(cursor.lastrowid or 0)

    def again(self, document: int, due: float) -> int:
        """Let every answer that was already given for a file be given once more; returns how many."""
        cursor = self._db.execute(
            "UPDATE answer SET todo = 1, due = ? WHERE document = ? AND todo = 0", (due, document)
        )
        return cursor.rowcount

    def forget(self, document: int) -> None:
        """Drop every answer about a file that was not given yet."""
        self._db.execute("UPDATE answer SET todo = 0 WHERE document = ?", (document,))

    def given(self, answer: Answer) -> None:
        """Handed over once; a return moves the money here and now."""
        self._db.execute("UPDATE answer SET todo = todo - 1 WHERE id = ?", (answer.id,))

    def put_back(self, lines: Iterable[tuple[int, Verdict]]) -> None:
        """Take credited lines back from their accounts."""
        self._db.executemany("INSERT OR IGNORE INTO returned (line, reason) VALUES (?, ?)", lines)

    def taken(self, document: int) -> None:
        """The file was put aside: from here on the same name and bytes are a second copy, not our own unfinished work."""
        self._db.execute("UPDATE document SET taken = 1 WHERE id = ?", (document,))

    # ------------------------------------------------------------------------------------------------------------ reading

    def unfinished(self, name: str, digest: str) -> int:
        """The row of a file that was entered, but not put aside before the process ended; 0 if there is none."""
        row = self._db.execute(
            "SELECT id FROM document WHERE name = ? AND digest = ? AND NOT taken", (name, digest)
        ).fetchone()
        return int(row[0]) if row else 0

    def failed_before(self, account: str, document: int) -> bool:
        """Whether a payment to this account has failed in another file."""
        query = "SELECT 1 FROM line WHERE account = ? AND verdict IS NOT NULL AND document <> ? LIMIT 1"
        return self._db.execute(query, (account, document)).fetchone() is not None

    def known(self, *, reference: str = "", name: str = "") -> Known | None:
        """The first file that stands booked under this reference, or else under this file name."""
        column, value = ("reference", reference) if reference else ("name", name)
        row = self._db.execute(
            f"{_KNOWN} {column} = ? AND standing = ? ORDER BY id LIMIT 1",
            (value, Standing.BOOKED),
        ).fetchone()
        return self._known(row) if row else None

    def standing(self, reference: str, standing: Standing) -> Known | None:
        """The first file under this reference of which that became."""
        query = f"{_KNOWN} reference = ? AND standing = ? ORDER BY id LIMIT 1"
        row = self._db.execute(query, (reference, standing)).fetchone()
        return self._known(row) if row else None

    def planned(self, document: int) -> list[Answer]:
        """Everything that is to be said about a file, in the order in which it is."""
        rows = self._db.execute("SELECT body FROM answer WHERE document = ? ORDER BY due, id", (document,))
        return [msgspec.json.decode(row[0], type=Answer) for row in rows]

    def file(self, document: int) -> Known | None:
        """A payment file by its row, whatever became of it."""
        row = self._db.execute(f"{_KNOWN} id = ?", (document,)).fetchone()
        return self._known(row) if row and row[2] != Standing.ASKED else None

    def refusal(self, reference: str) -> Answer | None:
        """What was said when a file under this reference was refused; None if none was."""
        query = (
            "SELECT body FROM answer JOIN document ON document.id = answer.document"
            " WHERE reference = ? AND standing = ? AND kind = ? ORDER BY answer.id LIMIT 1"
        )
        row = self._db.execute(query, (reference, Standing.REFUSED, Kind.REFUSAL)).fetchone()
        return msgspec.json.decode(row[0], type=Answer) if row else None

    def under_way(self, document: int) -> tuple[tuple[int, int], ...]:
        """Rows of a file whose result is planned and was not given yet, as ranges."""
        query = "SELECT todo, body FROM answer WHERE document = ? AND kind = ? AND todo > 0"
        planned = [
            (row[0], msgspec.json.decode(row[1], type=Answer))
            for row in self._db.execute(query, (document, Kind.RESULT))
        ]
        return tuple(sorted({(answer.first, answer.last) for todo, answer in planned if todo == answer.times}))

    def files_seen(self) -> int:
        """How many files other than inquiries have come so far, whatever became of them."""
        return int(
            self._db.execute("SELECT count(*) FROM document WHERE standing <> ?", (Standing.ASKED,)).fetchone()[0]
        )

    def lines(self, first: int, last: int) -> Iterator[Booked]:
        """Booked lines by row, in order."""
        query = (
            "SELECT id, reference, account, name, minor, verdict, text, bank_name, new_account FROM line"
            " WHERE id BETWEEN ? AND ? ORDER BY id"
        )
        cursor = self._db.execute(query, (first, last))
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            for row in rows:
                booked = Booked._make(row)
                yield booked._replace(verdict=Verdict(row[5])) if row[5] else booked

    def reasons(self, first: int, last: int) -> list[tuple[int, Verdict]]:
        """Lines of a range that came back, with the reason."""
        query = "SELECT line, reason FROM returned WHERE line BETWEEN ? AND ? ORDER BY line"
        return [(row[0], Verdict(row[1])) for row in self._db.execute(query, (first, last))]

    def due(self, now: float, *, released: bool) -> Answer | None:
        """The answer to give next, or None."""
        query = "SELECT id, todo, body FROM answer WHERE todo > 0 AND due <= ? AND held <= ? ORDER BY due, id LIMIT 1"
        row = self._db.execute(query, (now, released)).fetchone()
        if row is None:
            return None
        answer = msgspec.json.decode(row[2], type=Answer)
        answer.id, answer.given = row[0], answer.times - row[1]
        return answer

    def _known(self, row: tuple[Any, ...]) -> Known:
        order = msgspec.json.decode(row[3], type=Order) if row[3] else None
        return Known(row[0], row[1], Standing(row[2]), order, *row[4:])


def payments(folder: Path) -> Iterator[Payment]:
    """Every reference in the books of a bank, running or not."""
    query = (
        "SELECT reference, max(account), sum(CASE WHEN paid THEN minor ELSE 0 END), sum(paid), sum(back) FROM stood"
        " GROUP BY reference ORDER BY min(id)"
    )
    with closing(_reader(folder)) as db:
        for row in db.execute(query):
            yield Payment(*row)


def summary(folder: Path) -> dict[str, Any]:
    """Totals of a bank's books; amounts in fen, ``doubles`` counts references that were credited more than once::

    {"paid": {"count", "minor"}, "failed": {"count", "minor", "by_verdict": {}}, "returned": {"count", "minor"}, "doubles",
     "documents": [{"name", "reference", "standing", "why", "lines"}]}
    """
    with closing(_reader(folder)) as db:
        share = "SELECT count(*), coalesce(sum(minor), 0) FROM stood WHERE "
        paid = db.execute(share + "paid").fetchone()
        back = db.execute(share + "back").fetchone()
        doubles = "SELECT count(*) FROM (SELECT 1 FROM stood WHERE paid GROUP BY reference HAVING count(*) > 1)"
        failed = "SELECT verdict, count(*), sum(minor) FROM stood WHERE verdict IS NOT NULL GROUP BY verdict ORDER BY verdict"
        rows = db.execute(failed).fetchall()
        documents = "SELECT name, reference, standing, why, last - first + 1 FROM document ORDER BY id"
        return {
            "paid": {"count": paid[0], "minor": paid[1]},
            "failed": {
                "count": sum(row[1] for row in rows),
                "minor": sum(row[2] for row in rows),
                "by_verdict": {row[0]: row[1] for row in rows},
            },
            "returned": {"count": back[0], "minor": back[1]},
            "doubles": db.execute(doubles).fetchone()[0],
            "documents": [
                dict(zip(("name", "reference", "standing", "why", "lines"), row, strict=True))
                for row in db.execute(documents)
            ],
        }


def _reader(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)
