"""Alembic's entry: runs on the connection that ``migrate.upgrade`` hands over."""

from __future__ import annotations

from alembic import context

from gateway.edge.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=False,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
