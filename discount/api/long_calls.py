"""Calls that take long: so many at a time in a process, of a brand and of a key.

One alone computes for at most half of the time. Several together compute for a third of it or less.

There are threads enough for all of them beside those of ordinary calls (`discount.serving.gunicorn_config`), so an
ordinary call never waits for a long one.
"""

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from discount.api.problems import NotRead
from discount.api.streaming import Stream
from discount.domain.errors import TooManyAtOnce
from discount.domain.model import Caller
from discount.services import slices

Answer = TypeVar("Answer")
#: Seconds after which a refused call may be tried again.
RETRY_AFTER = 2
#: The longest pause between two slices, in seconds.
LONGEST_PAUSE = 0.25


class Places:
    """So many at a time: in all, of a brand, of a key or a user. The admin, and callers of an open service, have the
    bound in all alone.
    """

    def __init__(self, in_all: int, of_brand: int, of_key: int) -> None:
        self._in_all = in_all
        self._of_brand = of_brand
        self._of_key = of_key
        self._taken: Counter[str] = Counter()
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._taken["all"]

    def take(self, caller: Caller) -> bool:
        """Take a place, if there is one for that caller."""
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
            # Whoever has none is not remembered.
            self._taken = +self._taken

    def _bounds(self, caller: Caller) -> dict[str, int]:
        bounds = {"all": self._in_all}
        if caller.brand_id is not None:
            bounds[f"brand {caller.brand_id}"] = self._of_brand
        if caller.key_id or caller.user_id is not None:
            bounds[f"key {caller.key_id}" if caller.key_id else f"user {caller.user_id}"] = self._of_key
        return bounds


class LongCalls:
    """Answers long calls, each in a place of its own."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def answer(
        self,
        caller: Caller,
        environ: dict[str, Any],
        arguments: dict[str, Any],
        answer: Callable[[Caller, dict[str, Any], dict[str, Any]], Answer],
    ) -> Answer:
        """What `answer` gives of the rest. A stream keeps its place until it has ended.

        Raises:
            TooManyAtOnce
        """
        if not self._places.take(caller):
            raise TooManyAtOnce(retry_after=str(RETRY_AFTER))
        free = _Once(partial(self._places.free, caller))
        client = environ.get("gunicorn.socket")
        if client is not None:
            # Here the server may wait for a body that is still coming, and for a client that reads (`ClientSocket`).
            client.waits = True
        pause = _Pause(self._places, client)
        try:
            with slices.with_pauses(pause):
                outcome = answer(caller, environ, arguments)
        except BaseException:
            free()
            raise
        if isinstance(outcome, Stream):
            outcome.pieces = _with_pauses(outcome.pieces, pause, free)
            outcome.end = free
        else:
            free()
        return outcome


class _Pause:
    """Rests between two slices: one long call computes for half of the time, several for a third of it together."""

    def __init__(self, places: Places, client: socket.socket | None) -> None:
        self._places = places
        self._client = client
        self._since = time.thread_time()

    def __call__(self) -> None:
        if self._client is not None and _has_gone(self._client):
            raise NotRead("bad-request", "The connection was closed before the answer.")
        worked = time.thread_time() - self._since
        time.sleep(min(LONGEST_PAUSE, worked * max(1, 4 * self._places.taken - 3)))
        self._since = time.thread_time()


class _Once:
    """Does something the first time that it is called."""

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
        # Not by its own `recv`, which would wait.
        return socket.socket.recv(client, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
