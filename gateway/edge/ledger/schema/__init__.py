"""The ledger's tables. Same schema on SQLite and PostgreSQL; alembic migrations beside it are kept equal by a test.

Conventions: keys are integers in time order (``run.key`` is allotted, ``instruction.key = run.key * 10**8 + ordinal``, and the first Attempt has its
Instruction's key); instants are integer milliseconds UTC in columns ending ``_ms``; dates are ISO text; money is fen in columns called
``amount`` or ``minor``; account and id numbers stand only in ``sealed`` (AES-GCM) and as keyed 64-bit hashes.
"""

from __future__ import annotations

from gateway.edge.ledger.schema import orders, payments  # importing them fills the registry
from gateway.edge.ledger.schema.keys import RUN_SPAN, metadata

__all__ = ["RUN_SPAN", "metadata", "orders", "payments"]
