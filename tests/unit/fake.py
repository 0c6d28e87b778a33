"""A store on fakeredis: a Redis inside this process, gone with the test."""

from typing import Any

import fakeredis

from discount.store.connection import Store
from discount.store.redis_url import Target

PARTITIONS = 16


def fake_redis() -> Any:
    """Return a client of a new fake server. Its type is Any because the library types its answers as bytes."""
    return fakeredis.FakeRedis(decode_responses=True, protocol=2)


def fake_store(server: Any = None, partitions: int = PARTITIONS) -> Store:
    """Return a store on that server, or on a new one."""
    return Store(fake_target(server), partitions)


def fake_target(server: Any = None) -> Target:
    """Return where that server is, or a new one."""
    pool = (server or fake_redis()).connection_pool
    return Target("one", ("fake",), lambda _: pool.get_connection(), lambda _: pool.get_connection())
