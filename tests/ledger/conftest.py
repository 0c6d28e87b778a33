"""Fixtures of the ledger's suite: each test runs on SQLite and on PostgreSQL, with a real Redis."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from discount.ledger import schema
from discount.ledger.database import Database
from tests.services.harness import ServiceHarness, real_harness
from tests.support.fixtures import redis_server
from tests.support.postgres import PostgresServer
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty ledger with its tables."""
    if request.param == "sqlite":
        found = Database(f"sqlite:///{tmp_path}/ledger.db")
    else:
        found = Database(request.getfixturevalue("postgres").url)
        with found.writing() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    schema.upgrade(found)
    yield found
    found.engine.dispose()


@pytest.fixture
def harness(redis_server: RedisServer) -> ServiceHarness:
    return real_harness(redis_server)
