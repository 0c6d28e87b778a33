"""Autopipelining: concurrent calls share an exchange with Redis, since a round trip costs more than its content.

Each call runs its plain code in a greenlet of one thread. It waits where it would send to Redis. Once every call waits
or has ended, their commands go out together, and each call goes on with its replies.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")
Exchange = Callable[[Sequence[Any]], list[Any]]


class _Call(greenlet):  # type: ignore[misc]
    """One call of a batch. It is switched to with replies, and switches back with an exchange and its commands."""

    unbatched = False


def send(exchange: Exchange, commands: Sequence[Any]) -> list[Any]:
    """Return the replies to commands. Inside `run_batch` they go out with the commands of the other calls."""
    current = getcurrent()
    if not isinstance(current, _Call) or current.unbatched:
        return exchange(commands)
    replies: list[Any] = current.parent.switch((exchange, commands))
    return replies


@contextmanager
def unbatched() -> Iterator[None]:
    """Send at once, unbatched. Needed while holding a lock: the thread's other calls would deadlock."""
    current = getcurrent()
    if not isinstance(current, _Call):
        yield
        return
    before, current.unbatched = current.unbatched, True
    try:
        yield
    finally:
        current.unbatched = before


class Leave(BaseException):
    """A call of a batch has to wait for something other than Redis; run it again, outside a batch."""


def leave() -> None:
    """Return outside a batch; inside one, end this call, since its wait would block the others.

    Raises:
        Leave: this call is one of a batch.
    """
    if isinstance(getcurrent(), _Call):
        raise Leave


def run_batch(calls: Sequence[Callable[[], T]]) -> list[T | BaseException]:
    """Return what each call returned or raised, in order. The commands of one call stay together and in order."""
    results: dict[_Call, T | BaseException] = {}

    def keep_result(function: Callable[[], T]) -> None:
        try:
            results[getcurrent()] = function()
        except BaseException as error:
            results[getcurrent()] = error

    started = [_Call(keep_result) for _ in calls]
    waiting = [(call, call.switch(function)) for call, function in zip(started, calls, strict=True)]
    while waiting := [(call, request) for call, request in waiting if not call.dead]:
        # A process has one Store, so one exchange; with several, each gets the commands that are for it.
        exchange = waiting[0][1][0]
        now = [(call, request[1]) for call, request in waiting if request[0] == exchange]
        later = [(call, request) for call, request in waiting if request[0] != exchange]
        try:
            replies = iter(exchange([command for _, commands in now for command in commands]))
        except Exception as error:
            waiting = [(call, call.throw(type(error), error)) for call, _ in now] + later
        else:
            split = [(call, [next(replies) for _ in commands]) for call, commands in now]
            waiting = [(call, call.switch(own)) for call, own in split] + later
    return [results[call] for call in started]
