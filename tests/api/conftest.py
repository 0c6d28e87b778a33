"""Fixtures of the API suite: the application in this process, on a real Redis that each test finds empty."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from discount.app import create_app
from discount.config import Settings
from discount.store.connection import Store
from tests.api.client import SECRET, Client
from tests.support.fixtures import redis, redis_server
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.sqlite_ledger import SqliteLedger


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> SqliteLedger:
    """The ledger of the application; only tests that need it have events written into it."""
    return SqliteLedger(tmp_path_factory.mktemp("ledger"))


@pytest.fixture(scope="session")
def app(redis_server: RedisServer, ledger: SqliteLedger) -> Flask:
    settings = Settings(redis_url=redis_server.url, secret=SECRET, ledger_url=ledger.url)
    return create_app(settings, Store.at(redis_server.url, PATIENCE, settings.partitions))


@pytest.fixture
def raw(app: Flask, redis: Any) -> FlaskClient:
    """Flask's own test client."""
    return app.test_client()


@pytest.fixture
def client(raw: FlaskClient, redis: Any) -> Client:
    return Client(raw, redis)
