"""What takes long is done in slices, and between two of them others go on.

A verb calls `between`; what happens there is up to whoever called the verb. On the command line nothing does.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_local = threading.local()


def between() -> None:
    """Let others go on. What this raises ends the call: what its slices have done so far stays."""
    pause: Callable[[], None] | None = getattr(_local, "pause", None)
    if pause is not None:
        pause()


@contextmanager
def with_pauses(pause: Callable[[], None]) -> Iterator[None]:
    """Let `between` do that in this thread, inside of the block."""
    _local.pause = pause
    try:
        yield
    finally:
        _local.pause = None
