"""An event loop of one thread: it watches descriptors with epoll, each registered once."""

import select
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from heapq import heappop, heappush
from itertools import count
from time import monotonic
from typing import Any, TypeVar

from gunicorn.workers.gthread import PollableMethodQueue

T = TypeVar("T")
#: What is called with the events of a descriptor.
Act = Callable[[int], None]

READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT
#: The other side sends no more, or the connection is broken.
ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
# Edge-triggered: an event is told once. So a descriptor need not be registered anew for each thing awaited.
_EACH_ONCE = READABLE | WRITABLE | select.EPOLLRDHUP | select.EPOLLET
#: The most events of a turn: what they send to Redis goes out at its end.
_MOST_EVENTS = 32
#: Threads for what has to wait, such as opening a connection to Redis.
_THREADS = 4


class EventLoop:
    """The watched descriptors; `turn` waits for events and acts on them."""

    def __init__(self) -> None:
        #: When this turn began to act on its events.
        self.now = monotonic()
        self._epoll = select.epoll()
        self._acts: dict[int, Act] = {}
        # What is to be called when, and a number that tells those of the same time apart.
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._threads = ThreadPoolExecutor(_THREADS, "loop")
        self._done = PollableMethodQueue()
        self._done.init()
        self.watch_shared(self._done.fileno(), lambda _events: self._done.run_callbacks(None))

    def watch(self, descriptor: int, act: Act) -> None:
        """Call `act` each time the descriptor has become readable, writable or ended."""
        self._acts[descriptor] = act
        self._epoll.register(descriptor, _EACH_ONCE)

    def watch_shared(self, descriptor: int, act: Act) -> None:
        """Call `act` as long as the descriptor is readable, in one of the processes that watch it."""
        self._acts[descriptor] = act
        self._epoll.register(descriptor, READABLE | select.EPOLLEXCLUSIVE)

    def unwatch(self, descriptor: int) -> None:
        """Stop watching. Closing is not enough while another process has the same connection."""
        if self._acts.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def wake(self, act: Callable[[], None] = lambda: None) -> None:
        """Let the loop call a function. Other threads and signal handlers may call this."""
        self._done.defer(act)

    def run_in_thread(self, work: Callable[[], T], then: Callable[[T | BaseException], None]) -> None:
        """Call `then` in the loop with what `work` returned or raised in another thread."""

        def done(future: Future[T]) -> None:
            self.wake(partial(then, future.exception() or future.result()))

        self._threads.submit(work).add_done_callback(done)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Call a function after so many seconds."""
        heappush(self._later, (monotonic() + seconds, next(self._numbers), act))

    def turn(self, seconds: float) -> None:
        """Wait for events, at most so long, and act on them."""
        find = self._acts.get
        if self._later:
            seconds = max(0.0, min(seconds, self._later[0][0] - monotonic()))
        found = self._epoll.poll(seconds, _MOST_EVENTS)
        self.now = monotonic()
        for descriptor, events in found:
            act: Any = find(descriptor)
            # An event before it in this turn may have ended its watch.
            if act is not None:
                act(events)
        while self._later and self._later[0][0] <= monotonic():
            heappop(self._later)[2]()
