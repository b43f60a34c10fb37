"""Alembic's entry point: run the migrations over the connection that `schema.py` opened."""

from __future__ import annotations

from alembic import context

from keyless.server.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # One transaction for all of it: a second process that starts at the same time waits, then has nothing to do.
    transactional_ddl=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
