"""The database of the ledger: SQLite or PostgreSQL, and its connections."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from discount.domain.errors import Unavailable
from discount.ledger import LedgerError

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
#: Seconds for a connection to be made, and for SQLite to wait for its writer.
PATIENCE = 10


class Database:
    """The ledger's database, without a connection yet.

    Args:
        url: `sqlite:///path`, or `postgresql://user:password@host/name`.

    Raises:
        LedgerError: the URL is not one of these.
    """

    def __init__(self, url: str) -> None:
        self.url = _read(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.engine = create_engine(self.url, connect_args={"timeout": PATIENCE})
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = create_engine(self.url, connect_args={"connect_timeout": PATIENCE}, pool_pre_ping=True)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that commits at the end.

        Raises:
            Unavailable: the database does not answer.
        """
        try:
            with self.engine.execution_options(writes=True).begin() as connection:
                yield connection
        except DBAPIError as error:
            raise unavailable(error) from error

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that changes nothing, and all of whose reads see the same moment.

        Raises:
            Unavailable: the database does not answer.
        """
        engine = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        try:
            with engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise unavailable(error) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that changes nothing.

        Raises:
            Unavailable: the database does not answer.
        """
        try:
            with self.engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise unavailable(error) from error


def unavailable(error: Exception) -> Unavailable:
    """Return the refusal for an error of the database; its message may hold data, so it is left out."""
    return Unavailable(f"The ledger cannot be reached: {type(error).__name__}.")


def _read(url: str) -> URL:
    try:
        parsed = make_url(url)
        return parsed.set(drivername=_DRIVERS[parsed.drivername])
    except (ArgumentError, KeyError):
        raise LedgerError("LEDGER_URL: must begin with sqlite:/// or postgresql://") from None


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON"):
        connection.execute(statement)
    # SQLAlchemy begins transactions itself: sqlite3 would begin them only before the first change.
    connection.isolation_level = None


def _begin_sqlite(connection: Connection) -> None:
    # A writer that begins as a reader would fail, not wait, if another one has written since.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
