"""Fixtures of the chaos suite: a Redis that saves every write, and a receiver of webhooks."""

from collections.abc import Iterator

import pytest

from discount.store.connection import Store
from tests.chaos.chaos_run import store_at
from tests.chaos.receiver import Receiver
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
