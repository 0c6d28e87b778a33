"""Long work in slices: other calls run between two slices.

A service calls `between`; its caller decides with `with_pauses` what happens there. On the command line nothing does.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_local = threading.local()


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
