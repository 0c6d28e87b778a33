"""Fixtures of the race suite: two replicas with two workers each on one real Redis."""

from collections.abc import Iterator

import pytest

from tests.support.fixtures import redis_server
from tests.support.redis_server import RedisServer
from tests.support.service import Service, pytest_runtest_makereport


@pytest.fixture(scope="package")
def service(redis_server: RedisServer) -> Iterator[Service]:
    # Bulk grants are long calls; more of them come at once than the default allows.
    with Service(redis_server.url, replicas=2, workers=2, long_calls=200) as running:
        yield running
