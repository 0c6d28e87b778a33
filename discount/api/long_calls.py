"""Long calls: a bounded number at a time in a process, of a brand and of a key.

One call alone works for at most half of the time, several together for at most a third of it: here or in Redis.

They have threads enough beside those of ordinary calls (`discount.serving.gunicorn_config`), so that an ordinary call
never waits for a long one.
"""

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from discount.api.exchange import Meter
from discount.api.problems import BadRequest
from discount.api.streaming import Stream
from discount.domain.errors import TooManyAtOnce
from discount.domain.model import Caller
from discount.services import slices

Result = TypeVar("Result")
#: Seconds after which a refused call may be tried again.
RETRY_AFTER = 2
#: The longest pause between two slices, in seconds.
LONGEST_PAUSE = 0.25
#: The longest one of a caller who has used up its share.
LONGEST_OWED = 2.0


class Places:
    """Places for a bounded number of calls at a time: in all, of each brand, and of each key or user.

    For the admin and for callers of an open service, only the bound in all applies.
    """

    def __init__(self, in_all: int, of_brand: int, of_key: int) -> None:
        self._in_all = in_all
        self._of_brand = of_brand
        self._of_key = of_key
        self._taken: Counter[str] = Counter()
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """The number of taken places."""
        return self._taken["all"]

    def take(self, caller: Caller) -> bool:
        """Take a place, and return whether one was free for that caller."""
        bounds = self._bounds(caller)
        with self._lock:
            if any(self._taken[who] >= most for who, most in bounds.items()):
                return False
            self._taken.update(dict.fromkeys(bounds, 1))
            return True

    def free(self, caller: Caller) -> None:
        """Give a place back."""
        with self._lock:
            self._taken.subtract(dict.fromkeys(self._bounds(caller), 1))
            # Drop entries that have reached zero.
            self._taken = +self._taken

    @contextmanager
    def waiting(self, caller: Caller, seconds: float) -> Iterator[float]:
        """Yield for how many seconds the caller may wait: 0 if no place is free."""
        if seconds <= 0 or not self.take(caller):
            yield 0
            return
        try:
            yield seconds
        finally:
            self.free(caller)

    def _bounds(self, caller: Caller) -> dict[str, int]:
        bounds = {"all": self._in_all}
        if caller.brand_id is not None:
            bounds[f"brand {caller.brand_id}"] = self._of_brand
        if caller.key_id or caller.user_id is not None:
            bounds[f"key {caller.key_id}" if caller.key_id else f"user {caller.user_id}"] = self._of_key
        return bounds


class LongCalls:
    """A runner of long calls, each in a place."""

    def __init__(self, places: Places, seconds_in_redis: Callable[[], float] = lambda: 0.0) -> None:
        self._places = places
        self._seconds_in_redis = seconds_in_redis

    def run(self, caller: Caller, client: Any, call: Callable[[], Result], meter: Meter | None = None) -> Result:
        """Return the result of a call. A stream keeps its place until it has ended.

        Args:
            client: the client's socket, if the server has one that can wait.
            meter: charges the caller for each slice, if the server has one.

        Raises:
            TooManyAtOnce
        """
        if not self._places.take(caller):
            raise TooManyAtOnce(retry_after=str(RETRY_AFTER))
        free = _Once(partial(self._places.free, caller))
        if client is not None:
            # In this thread, the socket may wait for the body and for a client that is reading (`ClientSocket`).
            client.waits = True
        if meter is not None:
            meter.work_in_slices()
        pause = _Pause(self._places, client, meter, self._seconds_in_redis)
        try:
            with slices.with_pauses(pause):
                result = call()
        except BaseException:
            free()
            raise
        if isinstance(result, Stream):
            result.pieces = _with_pauses(result.pieces, pause, free)
            result.end = free
        else:
            free()
        return result


class _Pause:
    """A pause between two slices: one long call works for half of the time, several for a third of it together.

    It is longer for a caller who has used up its share of the processor.
    """

    def __init__(
        self,
        places: Places,
        client: socket.socket | None,
        meter: Meter | None,
        seconds_in_redis: Callable[[], float],
    ) -> None:
        self._places = places
        self._client = client
        self._meter = meter
        self._seconds_in_redis = seconds_in_redis
        self._begin()

    def __call__(self) -> None:
        if self._client is not None and _has_gone(self._client):
            raise BadRequest("The connection was closed before the answer.")
        in_redis = self._seconds_in_redis() - self._redis_before
        worked = time.thread_time() - self._since + in_redis
        paused = min(LONGEST_PAUSE, worked * max(1, 4 * self._places.taken - 3))
        time.sleep(paused)
        owed = self._meter.charge(in_redis) if self._meter is not None else 0.0
        # Others may have used up what was saved during the pause.
        while owed and self._meter is not None and paused < LONGEST_OWED:
            owed = min(owed, LONGEST_OWED - paused)
            time.sleep(owed)
            paused += owed
            owed = self._meter.charge()
        self._begin()

    def _begin(self) -> None:
        self._since, self._redis_before = time.thread_time(), self._seconds_in_redis()


class _Once:
    """A function that acts only on its first call."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._acts = [act]

    def __call__(self) -> None:
        if self._acts:
            self._acts.pop()()


def _with_pauses(pieces: Iterable[Any], pause: _Pause, end: Callable[[], None]) -> Iterator[Any]:
    try:
        for piece in pieces:
            yield piece
            pause()
    finally:
        end()


def _has_gone(client: socket.socket) -> bool:
    try:
        # The socket's own `recv` would wait.
        return socket.socket.recv(client, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
