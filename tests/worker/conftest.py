"""Fixtures of the worker suite: webhooks to 127.0.0.1 are allowed, and each test finds a real Redis empty."""

from typing import Any

import pytest
from flask import Flask

from discount.app import create_app
from discount.config import Settings
from discount.security.signing import Signer
from discount.store.connection import Store
from tests.api.client import Client
from tests.support.fixtures import redis, redis_server
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer

# Without a secret here, each emptied Redis would get a new one, but a replica keeps its first.
SETTINGS = Settings(webhook_loopback=True, secret="s" * 32)


@pytest.fixture(scope="session")
def app_store(redis_server: RedisServer) -> Store:
    return Store.at(redis_server.url, PATIENCE, SETTINGS.partitions)


@pytest.fixture(scope="session")
def app(app_store: Store) -> Flask:
    return create_app(SETTINGS, app_store)


@pytest.fixture
def client(app: Flask, redis: Any) -> Client:
    return Client(app.test_client(), redis)


@pytest.fixture
def store(redis_server: RedisServer, redis: Any) -> Store:
    """The store of a worker or of another replica; its blocking commands wait 10 ms."""
    found = Store.at(redis_server.url, PATIENCE, SETTINGS.partitions)
    found.patience = 0.01
    return found


@pytest.fixture
def signatures(store: Store) -> Signer:
    return Signer(store, SETTINGS.secret)
