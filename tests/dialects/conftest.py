"""What clients of earlier services say: to the open service, and with tokens."""

from collections.abc import Iterator

import pytest

from tests.api.conftest import (  # noqa: F401
    app,
    client,
    raw,
    redis,
)
from tests.security.conftest import world  # noqa: F401
from tests.support.redis_server import RedisServer
from tests.support.service import Service, pytest_runtest_makereport  # noqa: F401


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def service(redis_server: RedisServer) -> Iterator[Service]:
    """Two replicas."""
    with Service(redis_server.url, replicas=2, long_calls=200) as running:
        yield running
