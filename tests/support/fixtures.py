"""Fixtures that several suites share; a suite's conftest.py imports those that it needs."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.clusters import Cluster
from tests.support.redis_server import RedisServer

#: Whether the suites run on a Cluster, as `make cluster-test` runs them.
ON_CLUSTER = os.environ.get("STORE") == "cluster"
#: For tests that count exchanges.
ONE_REDIS = pytest.mark.skipif(ON_CLUSTER, reason="costs are those of one Redis: each node has exchanges of its own")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer | Cluster]:
    """A real Redis for all tests of a suite; with STORE=cluster, a Cluster of three with a replica each."""
    with Cluster() if ON_CLUSTER else RedisServer(tcp=True) as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer | Cluster) -> Iterator[Any]:
    """A client of the suite's Redis, which is emptied before each test."""
    with redis_server.client() as client:
        client.flushall()
        yield client
