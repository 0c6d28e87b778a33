"""Fixtures that several suites share; a suite's conftest.py imports those that it needs."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis for all tests of a suite."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Any]:
    """A client of the suite's Redis, which is emptied before each test."""
    with redis_server.client() as client:
        client.flushall()
        yield client
