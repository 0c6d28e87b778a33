"""The service with tokens on, on a real Redis that is empty at the start of each test."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.access.issuer import Issuer
from tests.access.world import World
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Any]:
    with redis_server.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def world(redis_server: RedisServer, redis: Any) -> World:
    """Users' tokens are signed with a shared secret."""
    return World(redis_server.url, redis)


@pytest.fixture
def published(redis_server: RedisServer, redis: Any, issuer: Issuer) -> World:
    """Users' tokens are signed with keys that their issuer publishes."""
    issuer.restart()
    return World(redis_server.url, redis, jwt_secret="", jwks_url=issuer.url)
