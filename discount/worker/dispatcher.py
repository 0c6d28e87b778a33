"""Lease lanes, attempt the deliveries that are due, store the results and release the lanes."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, zip_longest

from structlog import get_logger

from discount.domain.errors import Unavailable
from discount.domain.model import Delivery, DeliveryKind, Receipt
from discount.services import deliveries, delivery_lanes
from discount.services.deliveries import LaneBrand
from discount.store.connection import Store
from discount.worker import metrics

#: The most deliveries of a lane that one lease covers.
BATCH = 20
#: Seconds of attempts after which a lane is released, although more of its deliveries are due.
LANE_SECONDS = 1.0
#: A lane is slow once an attempt takes this many seconds. Its next lease covers a single delivery.
SLOW = 1.0
#: The most slow lanes that a process remembers.
MOST_SLOW_LANES = 10_000
#: Failed attempts in a row after which a lane pauses.
FAILURES_BEFORE_PAUSE = 3
#: The longest pause of a lane, in seconds.
LONGEST_PAUSE = 60.0
#: The most brands of one partition that a turn looks at.
MOST_BRANDS = 1000
#: Give up on a delivery this many seconds after its first attempt.
SPAN = 3 * 86400
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times at which a failed delivery is attempted again.

    Each pause varies by up to a fifth, so that deliveries that failed together do not all come back together.

    Args:
        pauses: seconds after the first attempt, the second, and so on.
        timeout: the most seconds that one attempt may take.
        off_after: seconds of failing after which a webhook is switched off.
    """

    pauses: Sequence[float]
    timeout: float
    off_after: float

    @property
    def lease(self) -> float:
        """Seconds for which a lane is leased: one attempt, and time for a slow name lookup.

        An attempt that outlasts the lease is repeated by another worker, so the lease need not cover every case.
        """
        return 2 * self.timeout + 2

    def next_try(self, delivery: Delivery, receipt: Receipt, now: int) -> int | None:
        """Return when to attempt the delivery again, in microseconds; None to give up."""
        if receipt.outcome != "retry" or delivery.tries >= len(self.pauses):
            return None
        pause = self.pauses[delivery.tries] * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        due_at = now + int(max(pause, receipt.retry_after or 0) * _SECOND)
        return due_at if due_at <= delivery.since + SPAN * _SECOND else None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a delivery. `called` is False if no receiver was contacted."""

    receipt: Receipt
    called: bool = True


_Lane = tuple[int, str]
#: Looks up what the deliveries of one lane need, and returns one function per delivery that attempts it.
Prepare = Callable[[Sequence[Delivery]], Sequence[Callable[[], Attempt]]]


class Dispatcher:
    """The work on due lanes of one kind of delivery, with a fixed number of threads that all brands share fairly.

    - A brand may always use a quarter of the threads, its share.
    - Beyond its share it may use threads only while another quarter stays free, and never for slow lanes.
    - Slow lanes together use at most half of the threads.

    A lane is slow if an attempt took long during its last lease, or if it paused after that lease.

    Args:
        prepare: prepares the deliveries of a leased lane.
        threads: how many lanes are worked on at once.
        on_release: called whenever a thread becomes free; its lane may have more deliveries that are due.
        kind: the kind of the deliveries.
    """

    def __init__(
        self,
        store: Store,
        schedule: Schedule,
        prepare: Prepare,
        threads: int,
        on_release: Callable[[], None] = lambda: None,
        *,
        kind: DeliveryKind = "webhook",
    ) -> None:
        self._store = store
        self._schedule = schedule
        self._prepare = prepare
        self._threads = threads
        self._on_release = on_release
        self._kind: DeliveryKind = kind
        self._share = max(1, threads // 4)
        # A single thread cannot be kept free for other brands.
        self._kept_free = self._share if threads > 1 else 0
        self._most_slow = max(1, threads // 2)
        self._lock = threading.Lock()
        self._under_way: dict[_Lane, LaneBrand] = {}
        self._slow: set[_Lane] = set()
        self._pool = ThreadPoolExecutor(threads, f"{kind}-delivery")
        self._ending = threading.Event()

    def turn(self) -> int:
        """Start work on due lanes while threads are free; return how many lanes were started."""
        now = self._store.now()
        due_brands = delivery_lanes.due_brands(self._store, self._kind, now, MOST_BRANDS)
        with self._lock:
            busy = Counter(self._under_way.values())
        # Without the shuffle, workers that look at the same moment would compete for the same lanes.
        random.shuffle(due_brands)
        due_brands.sort(key=busy.__getitem__)
        # Up to one brand per thread is busy already, and its lanes may be refused; so look at twice as many.
        chosen = due_brands[: 2 * self._threads]
        lanes = delivery_lanes.due_lanes(self._store, self._kind, now, chosen, 2 * self._threads)
        for each in lanes:
            random.shuffle(each)
        started = 0
        # Round robin: one lane of each brand, then a second one of each.
        for lane in chain.from_iterable(zip_longest(*lanes)):
            if lane is not None and self._reserve_thread(lane):
                started += 1
                self._pool.submit(self._work_on, *lane)
        return started

    def end(self) -> None:
        """Finish the attempts under way; leave all other due deliveries to other workers."""
        self._ending.set()
        self._pool.shutdown()

    def _reserve_thread(self, lane: _Lane) -> bool:
        """Reserve a thread for a lane, and return whether the rules of the class allow that."""
        brand = deliveries.brand_of(*lane)
        with self._lock:
            free = self._threads - len(self._under_way)
            if lane in self._under_way or not free:
                return False
            within_share = sum(each == brand for each in self._under_way.values()) < self._share
            if lane in self._slow:
                slow = sum(each in self._slow for each in self._under_way)
                allowed = within_share and slow < self._most_slow
            else:
                allowed = within_share or free > self._kept_free
            if allowed:
                self._under_way[lane] = brand
            return allowed

    def _work_on(self, partition: int, lane: str) -> None:
        not_before, slow = 0, False
        with self._lock:
            most = 1 if (partition, lane) in self._slow else BATCH
        try:
            leased = delivery_lanes.lease_lane(self._store, partition, lane, self._schedule.lease, most)
            if leased is not None:
                not_before, slow = self._deliver(leased)
                delivery_lanes.release_lane(self._store, partition, lane, not_before=not_before)
        except Unavailable as error:
            # The lease expires by itself; attempts with no stored result are repeated.
            get_logger().warning("Redis is unavailable", detail=error.detail)
        except Exception as error:
            get_logger().error("work on a lane failed", lane=lane, exc_info=error)
        finally:
            with self._lock:
                del self._under_way[partition, lane]
                if len(self._slow) >= MOST_SLOW_LANES:
                    self._slow.clear()
                (self._slow.add if slow or not_before else self._slow.discard)((partition, lane))
            self._on_release()

    def _deliver(self, leased: Sequence[Delivery]) -> tuple[int, bool]:
        """Attempt the deliveries of a leased lane for LANE_SECONDS.

        Returns:
            The time before which the lane pauses, in microseconds (0 for no pause), and whether the lane is slow.
        """
        failures, seconds, slow = 0, 0.0, False
        for delivery, call in zip(leased, self._prepare(leased), strict=True):
            if self._ending.is_set() or seconds >= LANE_SECONDS:
                break
            if delivery.state != "waiting":
                continue
            attempt = _attempt(call, delivery)
            receipt = attempt.receipt
            took = receipt.milliseconds / 1000
            seconds, slow = seconds + took, slow or took >= SLOW
            # A success needs no time, which saves most deliveries a round trip.
            now = 0 if receipt.outcome == "delivered" else self._store.now()
            self._settle(delivery, attempt, self._schedule.next_try(delivery, receipt, now))
            if attempt.called:
                failures = 0 if receipt.outcome == "delivered" else failures + 1
            if failures >= FAILURES_BEFORE_PAUSE or (receipt.status == "timeout" and failures):
                pause = min(LONGEST_PAUSE, self._schedule.pauses[0] if self._schedule.pauses else 0)
                return now + int(pause * random.uniform(0.8, 1.2) * _SECOND), slow  # noqa: S311 - no secret
        return 0, slow

    def _settle(self, delivery: Delivery, attempt: Attempt, due_at: int | None) -> None:
        """Store the result of an attempt; count it if the delivery was still waiting."""
        settled = delivery_lanes.settle(
            self._store,
            delivery,
            attempt.receipt,
            due_at=due_at,
            lease=self._schedule.lease,
            off_after=self._schedule.off_after,
            called=attempt.called,
        )
        if settled:
            outcome = "retried" if due_at else attempt.receipt.outcome.replace("retry", "failed")
            metrics.DELIVERIES.labels(delivery.kind, outcome).inc()


def _attempt(call: Callable[[], Attempt], delivery: Delivery) -> Attempt:
    """Attempt a delivery; an unexpected error fails this attempt alone, so that later deliveries still go out."""
    try:
        return call()
    except Unavailable:
        raise
    except Exception as error:
        get_logger().error("delivery attempt failed", delivery=delivery.id, exc_info=error)
        # The fault is ours, so it does not count against the webhook.
        return Attempt(Receipt("retry", "broken", type(error).__name__, 0), called=False)
