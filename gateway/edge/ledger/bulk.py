"""Bulk loads: COPY on PostgreSQL, executemany of tuples in key order on SQLite. Measured in LIBRARIES, section 3: 4 to 10 times faster
than inserting dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
from sqlalchemy import exc

from gateway.edge.ledger.engine import Tx


def load(tx: Tx, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert ``rows`` (tuples in the order of ``columns``, sorted by key where there is one). Raises IntegrityError as INSERT does."""
    if not rows:
        return
    if tx.sqlite:
        names = ", ".join(f'"{column}"' for column in columns)
        marks = ", ".join("?" * len(columns))
        tx.c.exec_driver_sql(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(rows))
        return
    copy(tx, table, columns, rows)


def copy(tx: Tx, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """PostgreSQL COPY inside the transaction of ``tx``.

    The driver opens the transaction at the first statement that SQLAlchemy sends, and COPY goes past SQLAlchemy: without the
    statement below a COPY that comes first would commit on its own (found by measuring: 1,000 rows survived a rollback).
    For the same reason its errors are the driver's own: they are raised here as SQLAlchemy would.
    Raises IntegrityError, DataError (a value that PostgreSQL cannot hold), OperationalError.
    """
    tx.c.exec_driver_sql("SELECT 1")
    raw: Any = tx.c.connection.dbapi_connection
    try:
        raw.run_async(lambda connection: connection.copy_records_to_table(table, columns=list(columns), records=rows))
    except asyncpg.IntegrityConstraintViolationError as error:
        raise exc.IntegrityError(f"COPY {table}", None, error) from error
    except (asyncpg.DataError, ValueError, TypeError) as error:
        raise exc.DataError(f"COPY {table}", None, error) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise exc.OperationalError(f"COPY {table}", None, error) from error


def stage(tx: Tx, name: str, columns: Sequence[tuple[str, str]], rows: Sequence[tuple[Any, ...]]) -> None:
    """Fill the temporary table ``name`` (``(column, type)`` pairs) with ``rows``; it is empty again after the transaction."""
    if tx.sqlite:
        tx.run(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({', '.join(f'{c} {t}' for c, t in columns)})")
        tx.run(f"DELETE FROM {name}")
    else:
        tx.run(
            f"CREATE TEMP TABLE IF NOT EXISTS {name} ({', '.join(f'{c} {t}' for c, t in columns)}) ON COMMIT DELETE ROWS"
        )
        tx.run(f"TRUNCATE {name}")
    load(tx, name, [column for column, _ in columns], rows)
