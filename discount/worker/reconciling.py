"""Reconcile Redis and the ledger hour by hour, one partition after the other."""

import time
from collections.abc import Callable, Iterable

from structlog import get_logger

from discount.ledger import results
from discount.ledger.database import Database
from discount.ledger.reconcile import Reconciler
from discount.services import slices
from discount.store.connection import Store

#: Microseconds between the end of a partition's reconciliation and its next one.
EVERY = 3_600_000_000
#: The longest pause between two slices, in seconds.
LONGEST_PAUSE = 1.0


class Ending(Exception):
    """The worker ends."""


class Reconciling:
    """The reconciliation of the partitions that this process writes into the ledger, in half of the time at most.

    Args:
        owned: returns these partitions.
        wait: waits for so many seconds, and returns whether the worker ends. It is called between two slices.
    """

    def __init__(
        self, store: Store, database: Database, owned: Callable[[], Iterable[int]], wait: Callable[[float], bool]
    ) -> None:
        self._store = store
        self._owned = owned
        self._wait = wait
        self._since = time.thread_time()
        self._reconciler = Reconciler(store, database, self._pause)

    def turn(self) -> int:
        """Compare the partitions that are due; return how many there were.

        Raises:
            Unavailable: Redis or the ledger does not answer, or the ledger is too far behind.
        """
        latest, now = results.read(self._store), self._store.now()
        due = [each for each in self._owned() if each not in latest or latest[each].at + EVERY <= now]
        try:
            with slices.with_pauses(self._rest):
                for partition in due:
                    self._compare(partition)
        except Ending:
            return 0
        return len(due)

    def _compare(self, partition: int) -> None:
        result = self._reconciler.partition(partition)
        results.save(self._store, partition, result)
        if result.count:
            get_logger().error(
                "Redis and the ledger differ",
                partition=partition,
                differences=result.count,
                discounts=sorted({each.discount_id for each in result.differences})[:10],
            )

    def _rest(self) -> None:
        worked = time.thread_time() - self._since
        self._pause(min(worked, LONGEST_PAUSE))
        self._since = time.thread_time()

    def _pause(self, seconds: float) -> None:
        if self._wait(seconds):
            raise Ending
