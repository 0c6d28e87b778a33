"""Two replicas of two workers each on one real Redis, for all races of a module."""

from collections.abc import Iterator

import pytest

from tests.support.fixtures import redis_server
from tests.support.redis_server import RedisServer
from tests.support.service import Service, pytest_runtest_makereport


@pytest.fixture(scope="package")
def service(redis_server: RedisServer) -> Iterator[Service]:
    with Service(redis_server.url, replicas=2, workers=2) as running:
        yield running
