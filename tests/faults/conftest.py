"""Fixtures of the fault suite: a Redis over TCP that has every write on disk before it answers."""

from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer
from tests.support.service import pytest_runtest_makereport


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer(tcp=True, appendonly="yes", appendfsync="always") as server:
        yield server
