"""Runs Alembic on the connection and in the transaction that the api passes to it."""

from alembic import context

from api.store import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables.PhotoRow.metadata)
context.run_migrations()
