"""A ledger in a file, for tests of what answers from it.

ledger = SqliteLedger(tmp_path)
Settings(ledger_url=ledger.url)
ledger.read(store)      # write all events into it, as a worker does
"""

from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import Connection

from discount.ledger import schema
from discount.ledger.consumer import Consumer
from discount.ledger.database import Database
from discount.ledger.tables import METADATA
from discount.store.connection import Store


class SqliteLedger:
    """An empty ledger with its tables."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/ledger.db"
        self._database = Database(self.url)
        schema.upgrade(self._database)

    def writing(self) -> AbstractContextManager[Connection]:
        """Return a transaction, for what a test writes itself."""
        return self._database.writing()

    def read(self, store: Store) -> None:
        """Write all events of a store into the ledger, and nothing else: tests empty Redis, but not this file."""
        with self._database.writing() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(table.delete())
        consumer = Consumer(store, self._database, "test")
        consumer.open()
        while consumer.turn():
            pass
