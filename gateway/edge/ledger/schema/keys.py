"""What all tables share: the registry that names their constraints, and how keys are made."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
#: Autoincrementing keys: SQLite wants INTEGER for that, PostgreSQL BIGINT.
Key = BigInteger().with_variant(Integer, "sqlite")
#: Lines of one Run are numbered below this: ``instruction.key // RUN_SPAN == run.key``.
RUN_SPAN = 10**8
