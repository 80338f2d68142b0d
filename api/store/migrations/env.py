"""Runs Alembic on the connection and in the transaction that the api passes to it."""

from alembic import context

from api.store import access_tables

context.configure(connection=context.config.attributes["connection"], target_metadata=access_tables.ApiKeyRow.metadata)
context.run_migrations()
