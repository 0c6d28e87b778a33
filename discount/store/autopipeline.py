"""Calls that come at the same time share an exchange with Redis: a wait on the network costs more than what it carries.

Each call runs in a greenlet of one thread, in the plain code that it has anyway. Where it would send to Redis, it
waits; once all wait or are done, what they have to send goes out in one piece, and each goes on with its replies.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")
Exchange = Callable[[Sequence[Any]], list[Any]]


class _Call(greenlet):  # type: ignore[misc]
    """One call of several; it is switched to with replies, and switches back with what it wants to send."""

    alone = False


def exchange(send: Exchange, commands: Sequence[Any]) -> list[Any]:
    """The replies to commands, by `send`: at once, or together with those of the other calls of a `run`."""
    current = getcurrent()
    if not isinstance(current, _Call) or current.alone:
        return send(commands)
    replies: list[Any] = current.parent.switch((send, commands))
    return replies


@contextmanager
def unbatched() -> Iterator[None]:
    """Inside of this a call waits for nobody: so must one that holds a lock, or others of its thread wait in vain."""
    current = getcurrent()
    if not isinstance(current, _Call):
        yield
        return
    before, current.alone = current.alone, True
    try:
        yield
    finally:
        current.alone = before


class Leave(BaseException):
    """A call of several must wait for something else than Redis, and is to be made again by itself."""


def leave() -> None:
    """Go on only if this call holds up no other: one of several ends here, and is made again by itself."""
    if isinstance(getcurrent(), _Call):
        raise Leave


def run_batch(calls: Sequence[Callable[[], T]]) -> list[T | BaseException]:
    """What the calls give or raise, in their order. Commands of one call stay together and in order."""
    results: dict[_Call, T | BaseException] = {}

    def guarded(call: Callable[[], T]) -> None:
        try:
            results[getcurrent()] = call()
        except BaseException as error:
            results[getcurrent()] = error

    started = [_Call(guarded) for _ in calls]
    waiting = [(each, each.switch(call)) for each, call in zip(started, calls, strict=True)]
    while waiting := [(each, asked) for each, asked in waiting if not each.dead]:
        # A process has one way to Redis; should there be several, each is asked for its own.
        send = waiting[0][1][0]
        now = [(each, asked[1]) for each, asked in waiting if asked[0] == send]
        later = [(each, asked) for each, asked in waiting if asked[0] != send]
        try:
            replies = iter(send([command for _, commands in now for command in commands]))
        except Exception as error:
            waiting = [(each, each.throw(type(error), error)) for each, _ in now] + later
        else:
            split = [(each, [next(replies) for _ in commands]) for each, commands in now]
            waiting = [(each, each.switch(own)) for each, own in split] + later
    return [results[each] for each in started]
