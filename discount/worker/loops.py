"""The loops of a worker: threads that repeat a turn."""

import threading
import time
from collections.abc import Callable

from structlog import get_logger

from discount.domain.errors import Unavailable

#: Seconds between two turns of a loop that found nothing to do.
PAUSE = 0.2
#: Seconds between two turns of the loops that measure, and of those that plan or clean up.
MEASURE = 2.0
REMIND = 30.0
CLEAN = 60.0
#: A loop that has not completed a turn for this many seconds makes the worker not ready.
HANGS = 60.0


class Loop(threading.Thread):
    """A thread that repeats a turn until the worker ends. Errors are logged, and the turn is repeated after a second.

    Args:
        every: seconds between two turns; 0 if the turn itself waits.
        before: called before the first turn, and again after each turn that failed.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], object],
        ending: threading.Event,
        *,
        every: float = 0,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._turn = turn
        self._ending = ending
        self._every = every
        self._before = before
        self._completed_at = time.monotonic()

    @property
    def hangs(self) -> bool:
        """Return True if no turn has completed for long: it blocks, it keeps failing, or the thread has ended."""
        return not self.is_alive() or time.monotonic() - self._completed_at > HANGS + self._every

    def beat(self) -> None:
        """Note in the middle of a long turn that it goes on."""
        self._completed_at = time.monotonic()

    def run(self) -> None:
        ready = False
        while not self._ending.is_set():
            try:
                if not ready:
                    self._before()
                ready = True
                self._turn()
                self._completed_at = time.monotonic()
                pause = self._every
            except Unavailable as error:
                get_logger().warning("Redis or the ledger is unavailable", loop=self.name, detail=error.detail)
                ready, pause = False, 1.0
            except Exception as error:
                get_logger().error("loop failed", loop=self.name, exc_info=error)
                ready, pause = False, 1.0
            if pause:
                self._ending.wait(pause)
