"""Fixtures of the chaos suite: a Redis that saves every write, a receiver of webhooks, and a Cluster."""

from collections.abc import Iterator

import pytest

from discount.store.connection import Store
from tests.chaos.chaos_run import store_at
from tests.chaos.receiver import Receiver
from tests.support.clusters import Cluster
from tests.support.redis_server import RedisServer


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def store(redis_server: RedisServer) -> Store:
    return store_at(redis_server)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(seed=1) as running:
        yield running


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    """A Cluster for all tests of a file."""
    with Cluster(replicas=2) as cluster:
        yield cluster


@pytest.fixture
def cluster(servers: Cluster) -> Iterator[Cluster]:
    """The same Cluster, healed after each test."""
    yield servers
    servers.heal()
