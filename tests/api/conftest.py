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


@pytest.fixture(scope="session")
def app(redis_server: RedisServer) -> Flask:
    settings = Settings(redis_url=redis_server.url, secret=SECRET)
    return create_app(settings, Store.at(redis_server.url, PATIENCE, settings.partitions))


@pytest.fixture
def raw(app: Flask, redis: Any) -> FlaskClient:
    """Flask's own test client."""
    return app.test_client()


@pytest.fixture
def client(raw: FlaskClient, redis: Any) -> Client:
    return Client(raw, redis)
