"""A store on fakeredis: a Redis of this process's own, gone with the test."""

from typing import Any

import fakeredis

from discount.store.connection import Store

PARTITIONS = 16


def fake_redis() -> Any:
    """A fresh server; the client library's own types do not know that its answers are text."""
    return fakeredis.FakeRedis(decode_responses=True, protocol=2)


def fake_store(server: Any = None, partitions: int = PARTITIONS) -> Store:
    """A store on that server, or on a fresh one."""
    return Store((server or fake_redis()).connection_pool.get_connection, partitions)
