"""Autopipelining: concurrent calls share exchanges with Redis, since a round trip costs more than its content.

Each call runs its plain code in a greenlet of one thread. It waits where it would send to Redis; meanwhile, the thread
runs other calls. The greenlets are used again, because memory for a new one costs more than most calls.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from greenlet import getcurrent, greenlet

Replies: TypeAlias = list[Any]
Exchange = Callable[[Sequence[Any]], Replies]
#: Sends commands without waiting, and calls a function once with the replies; errors are values.
Submit = Callable[[Sequence[Any], Callable[[Replies], None]], None]


class _Thread(threading.local):
    """The state of a thread: whether it runs calls in greenlets.

    All other threads never touch the library: it leaves broken objects behind when they end, on which the garbage
    collection crashes (greenlet 3.5.6, Python 3.11 to 3.13).
    """

    has_calls = False


_thread = _Thread()


class Leave(BaseException):
    """A call has to wait for something other than Redis; run it again where it may wait."""


class _Call(greenlet):  # type: ignore[misc]
    """A greenlet that runs functions in turn. It switches back with commands, or with None at the end of a function."""

    resume: Callable[[Replies], None]

    def run(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        while True:
            function(*arguments)
            function, arguments = self.parent.switch(None)


class Calls:
    """The calls of one thread. While one waits for Redis, others run."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._idle: list[_Call] = []

    def start(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run a function until it waits for Redis or ends. It must not raise."""
        if self._idle:
            call = self._idle.pop()
        else:
            _thread.has_calls = True
            call = _Call()
            call.resume = partial(self._go_on, call)
        commands = call.switch(function, arguments)
        if commands is None:
            self._idle.append(call)
        else:
            self._submit(commands, call.resume)

    def _go_on(self, call: _Call, replies: Replies) -> None:
        commands = call.switch(replies)
        if commands is None:
            self._idle.append(call)
        else:
            self._submit(commands, call.resume)


def send(exchange: Exchange, commands: Sequence[Any]) -> Replies:
    """Return the replies to commands. Inside a call of `Calls` they go out with the commands of the other calls."""
    current = getcurrent() if _thread.has_calls else None
    if type(current) is not _Call:
        return exchange(commands)
    replies: Replies = current.parent.switch(commands)
    return replies


def leave() -> None:
    """Return outside of `Calls`; inside, end this call, since its wait would block the others.

    Raises:
        Leave: this call is one of `Calls`.
    """
    if _thread.has_calls and type(getcurrent()) is _Call:
        raise Leave
