"""What PostgreSQL is busy with, by looking often: the statements that were under way, and for how many of the looks.

For ``--profile``: no extension and no server setting is needed, and parameters are never seen, because the gateway binds them.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

LOOK_S = 0.02
STATEMENT_CHARS = 400
_LOOK = (
    "SELECT query, coalesce(wait_event_type || ':' || wait_event, 'working') FROM pg_stat_activity "
    "WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


@contextmanager
def statements(ledger_url: str, path: Path) -> Iterator[None]:
    """Look for the length of the block; the dearest statements stand in ``path`` afterwards. Nothing for SQLite."""
    if ledger_url.startswith("sqlite"):
        yield
        return
    seen: Counter[tuple[str, str]] = Counter()
    ended = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(_look(ledger_url, seen, ended)), name="statements", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        path.write_text(_table(seen), encoding="utf-8")


async def _look(ledger_url: str, seen: Counter[tuple[str, str]], ended: threading.Event) -> None:
    connection = await asyncpg.connect(ledger_url.replace("postgresql+asyncpg://", "postgresql://", 1))
    try:
        while not ended.is_set():
            for query, wait in await connection.fetch(_LOOK):
                seen[" ".join(query.split())[:STATEMENT_CHARS], wait] += 1
            await asyncio.sleep(LOOK_S)
    finally:
        await connection.close()


def _table(seen: Counter[tuple[str, str]]) -> str:
    statements: Counter[str] = Counter()
    for (query, _), count in seen.items():
        statements[_shape(query)] += count
    lines = ["--- about so many seconds under way, by statement and by what it waited for"]
    for shape, count in statements.most_common(40):
        waits = Counter[str]()
        for (query, wait), many in seen.items():
            if _shape(query) == shape:
                waits[wait] += many
        told = ", ".join(f"{wait} {many * LOOK_S:.1f}" for wait, many in waits.most_common(4))
        lines.append(f"{count * LOOK_S:8.2f}  {shape}\n          {told}")
    return "\n".join(lines) + "\n"


def _shape(query: str) -> str:
    """The statement without its numbers: lists of keys are written out."""
    return re.sub(r"\d+(, \d+)+", "…", query)
