"""The parts of a worker, run by hand in the test's own process."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, get_args

from discount.domain.model import Delivery, DeliveryKind, Receipt
from discount.services import deliveries, delivery_lanes
from discount.store import keys
from discount.store.connection import Store
from discount.worker.dispatcher import Attempt, Dispatcher, Prepare, Schedule
from discount.worker.planner import Planner
from discount.worker.reminders import Reminders
from tests.support.patience import PATIENCE

SECOND = 1_000_000
KINDS: tuple[DeliveryKind, ...] = get_args(DeliveryKind)
# Pauses of 0 s, so that the next attempt is due at once, and enough of them that none is given up.
AT_ONCE = Schedule(pauses=(0.0,) * 50, timeout=PATIENCE, off_after=1e9)
DELIVERED = Receipt("delivered", "200", "fine", 3)
RETRY = Receipt("retry", "500", "oh no", 3)
GONE = Receipt("failed", "410", "gone", 3, gone=True)

Answer = Callable[[Delivery], Receipt]


class Calls:
    """Records the deliveries of a dispatcher, in order, and answers each as a test says."""

    def __init__(self, answer: Answer = lambda _: DELIVERED) -> None:
        self.made: list[Delivery] = []
        self.answer = answer
        self._guard = threading.Lock()

    def prepare(self, claimed: Sequence[Delivery]) -> Sequence[Callable[[], Attempt]]:
        return [partial(self._make, each) for each in claimed]

    def _make(self, delivery: Delivery) -> Attempt:
        with self._guard:
            self.made.append(delivery)
        return Attempt(self.answer(delivery))

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.made]


def plan(store: Store, name: str = "one", reminders: Reminders | None = None) -> int:
    """Plan all new events, and return how many there were."""
    planner = Planner(store, name, reminders)
    planner.open()
    count = 0
    while read := planner.turn().read:
        count += read
    return count


def dispatch(store: Store, prepare: Prepare, schedule: Schedule = AT_ONCE, threads: int = 4) -> None:
    """Make deliveries until none is due."""
    for kind in KINDS:
        dispatcher = Dispatcher(store, schedule, prepare, threads, kind=kind)
        try:
            # Only a turn begins attempts: if none ran before it and it finds none, all are made.
            until(lambda each=dispatcher: not each._under_way and not each.turn())  # type: ignore[misc]
        finally:
            dispatcher.end()


def due(store: Store) -> list[tuple[int, str]]:
    """Return the lanes that are due."""
    found: list[tuple[int, str]] = []
    now = store.now()
    for kind in KINDS:
        brands = delivery_lanes.due_brands(store, kind, now, 1000)
        for lanes in delivery_lanes.due_lanes(store, kind, now, brands, 1000):
            found += lanes
    return found


def leased(store: Store) -> list[tuple[int, str]]:
    """Return the lanes that are leased."""
    replies = store.commands([("ZRANGE", keys.leases(each), 0, -1) for each in range(store.partitions)])
    return [(partition, lane) for partition, lanes in enumerate(replies) for lane in lanes]


def until(true: Callable[[], Any]) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def of_brand(store: Store, brand: str = "IKEA", **filters: Any) -> list[Delivery]:
    """Return a brand's deliveries, oldest first."""
    return deliveries.list_page(store, brand, limit=1000, **filters).items[::-1]
