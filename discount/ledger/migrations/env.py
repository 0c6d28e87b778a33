"""Run the migrations of the ledger on the connection that the caller gives."""

from alembic import context

from discount.ledger.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
