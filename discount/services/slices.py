"""Long work in slices: other calls run between two slices.

A service calls `between`; its caller decides with `with_pauses` what happens there. On the command line nothing does.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_local = threading.local()
#: The longest pause of work that takes half of the time, in seconds.
LONGEST_HALF = 0.25


def between() -> None:
    """Let other calls run. An exception raised here ends the call; finished slices stay."""
    pause: Callable[[], None] | None = getattr(_local, "pause", None)
    if pause is not None:
        pause()


@contextmanager
def with_pauses(pause: Callable[[], None]) -> Iterator[None]:
    """Have `between` call `pause` in this thread, inside the block."""
    _local.pause = pause
    try:
        yield
    finally:
        _local.pause = None


class HalfOfTheTime:
    """A pause as long as the slice before it, so that the work takes at most half of the time, here and in Redis."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def __call__(self) -> None:
        time.sleep(min(LONGEST_HALF, time.monotonic() - self._since))
        self._since = time.monotonic()
