"""A store on fakeredis: a Redis inside this process, gone with the test."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import fakeredis

from discount.store.connection import Store
from discount.store.redis_url import Target

PARTITIONS = 16


class CallingThread(Executor):
    """Runs each task in the thread that submits it: a fake server must not run Lua in two threads.

    The garbage collection of Python 3.13 crashes after a second thread has used the server's Lua.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the task, and return its result."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def fake_redis() -> Any:
    """Return a client of a new fake server. Its type is Any because the library types its answers as bytes."""
    return fakeredis.FakeRedis(decode_responses=True, protocol=2)


def fake_store(server: Any = None, partitions: int = PARTITIONS) -> Store:
    """Return a store on that server, or on a new one."""
    store = Store(fake_target(server), partitions)
    store.background = CallingThread()
    return store


def fake_target(server: Any = None) -> Target:
    """Return where that server is, or a new one."""
    pool = (server or fake_redis()).connection_pool
    return Target("one", ("fake",), lambda _: pool.get_connection(), lambda _: pool.get_connection())
