"""Work that a request leaves for later, done in a thread of its own: one piece of work for many requests."""

import atexit
import logging
import threading
import time
from collections.abc import Callable


class Deferred:
    """Work that is done once, so many seconds after it was first asked for, and again when the process ends.

    Args:
        work: callable from any thread, also when nothing is left to do.
    """

    def __init__(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        self._name = name
        self._seconds = seconds
        self._work = work
        self._asked = False
        self._wake = threading.Event()
        self._starting = threading.Lock()
        self._is_started = False
        # These run after the threads of requests have ended, and not if the process is killed.
        atexit.register(work)

    def ask(self) -> None:
        """Have the work done. Cheap if it is to be done anyway, and safe in any thread."""
        if self._asked:
            return
        self._asked = True
        if not self._is_started:
            self._start()
        self._wake.set()

    def _start(self) -> None:
        # Not in `__init__`: modules make these, and a thread would not survive a fork after the import.
        with self._starting:
            if not self._is_started:
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self._is_started = True

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            time.sleep(self._seconds)
            # Before the work: what comes during the work asks again.
            self._asked = False
            try:
                self._work()
            except Exception:
                logging.getLogger(__name__).exception("%s failed", self._name)
