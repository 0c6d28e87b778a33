"""Tallies of a process, where no event is written: repeated grants and refusals, by discount."""

import threading
from collections.abc import Callable

#: The most numbers that a process holds at a time; more discounts or words are not counted.
MOST = 10_000


class Tallies:
    """Plain numbers by discount and word, until they are taken to be written."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._ask: Callable[[], None] | None = None

    def start(self, ask: Callable[[], None]) -> None:
        """Count from now on. A process that never starts counts nothing.

        Args:
            ask: called after each count; it has the numbers written soon. It must be cheap.
        """
        self._ask = ask

    def count(self, discount_id: str, word: str) -> None:
        """Count one thing of a discount."""
        if self._ask is None:
            return
        name = discount_id, word
        with self._lock:
            if name in self._held or len(self._held) < MOST:
                self._held[name] = self._held.get(name, 0) + 1
        self._ask()

    def take(self) -> dict[tuple[str, str], int]:
        """Return the numbers, and begin again from none."""
        with self._lock:
            held, self._held = self._held, {}
        return held
