"""Fixtures of the dialect suite: the application in this process, with and without tokens, and two replicas."""

from collections.abc import Iterator

import pytest

from tests.api.conftest import (
    app,
    client,
    ledger,
    raw,
)
from tests.security.conftest import two_brands
from tests.support.fixtures import redis, redis_server
from tests.support.redis_server import RedisServer
from tests.support.service import Service, pytest_runtest_makereport


@pytest.fixture(scope="session")
def service(redis_server: RedisServer) -> Iterator[Service]:
    """Two replicas of the service."""
    with Service(redis_server.url, replicas=2, long_calls=200) as running:
        yield running
