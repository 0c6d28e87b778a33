"""Makes the deliveries that are due: takes a lane, calls for each, writes down how it went, gives the lane back."""

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
from discount.worker import figures

#: Deliveries of a lane that are made in one go, and seconds after which a turn ends all the same.
BATCH = 20
TURN = 1.0
#: A lane with a call that takes so many seconds is slow, and makes a single one in its next turn.
SLOW = 1.0
#: How many slow lanes are remembered.
REMEMBERED = 10_000
#: Failures in a row after which a lane is left alone for a while, and how long at most, in seconds.
PATIENCE = 3
LONGEST = 60.0
#: Brands of each partition among which those are chosen whose deliveries are made next.
LOOKED_AT = 1000
#: Seconds within which a delivery is not tried again after its first try.
SPAN = 3 * 86400
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a delivery is tried again. Each pause is made longer or shorter by a fifth at most, so that a thousand that
    failed together do not come back together.

    Args:
        pauses: seconds after the first try, the second, and so on.
        timeout: seconds that one try takes at most.
        off_after: seconds of failing after which a webhook is switched off.
    """

    pauses: Sequence[float]
    timeout: float
    off_after: float

    @property
    def lease(self) -> float:
        """Seconds for which a lane is taken: a try, and what a name's look-up may take besides.

        Whoever needs longer is repeated by another worker, so this need not cover everything that may ever happen.
        """
        return 2 * self.timeout + 2

    def next_try(self, delivery: Delivery, receipt: Receipt, now: int) -> int | None:
        """When to try again, in microseconds; None for not at all."""
        if receipt.outcome != "retry" or delivery.tries >= len(self.pauses):
            return None
        pause = self.pauses[delivery.tries] * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        due_at = now + int(max(pause, receipt.retry_after or 0) * _SECOND)
        return due_at if due_at <= delivery.since + SPAN * _SECOND else None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: its receipt, and whether somebody was really asked."""

    receipt: Receipt
    called: bool = True


_Lane = tuple[int, str]
#: Makes the deliveries of one lane, one after the other.
Make = Callable[[Sequence[Delivery]], "Sequence[Callable[[], Attempt]]"]


class Dispatcher:
    """Takes lanes of one kind of delivery as long as a sender is free, and shares the senders among brands.

    A brand's share is a quarter of the senders. It may have more only while another quarter stays free for brands that
    have less than their share, and only for lanes that are not slow. Half of the senders at most work on slow lanes.
    A lane is slow if a call took long in its last turn, or if it was left alone after it.

    Args:
        prepare: for deliveries of a lane, what makes each.
        senders: how many lanes are worked on at once.
        freed: called when one of them is free again, and its lane may have more to be made.
        kind: of the deliveries that it makes.
    """

    def __init__(
        self,
        store: Store,
        schedule: Schedule,
        prepare: Make,
        senders: int,
        freed: Callable[[], None] = lambda: None,
        *,
        kind: DeliveryKind = "webhook",
    ) -> None:
        self._store = store
        self._schedule = schedule
        self._prepare = prepare
        self._senders = senders
        self._freed = freed
        self._kind: DeliveryKind = kind
        self._share = max(1, senders // 4)
        # A single sender cannot be kept for others.
        self._kept_free = self._share if senders > 1 else 0
        self._most_slow = max(1, senders // 2)
        self._lock = threading.Lock()
        self._under_way: dict[_Lane, LaneBrand] = {}
        self._slow: set[_Lane] = set()
        self._pool = ThreadPoolExecutor(senders, f"{kind}-sender")
        self._ending = threading.Event()

    def turn(self) -> int:
        """Start on what is due, as far as senders are free; how many lanes that was."""
        now = self._store.now()
        waiting = delivery_lanes.due_brands(self._store, self._kind, now, LOOKED_AT)
        with self._lock:
            busy = Counter(self._under_way.values())
        # Two workers that look at the same moment would else ask for the same lanes in the same order.
        random.shuffle(waiting)
        waiting.sort(key=busy.__getitem__)
        # As many again as have senders: of those none may get another one.
        chosen = waiting[: 2 * self._senders]
        lanes = delivery_lanes.due_lanes(self._store, self._kind, now, chosen, 2 * self._senders)
        for each in lanes:
            random.shuffle(each)
        started = 0
        # One lane of each brand, then the next one of each.
        for lane in chain.from_iterable(zip_longest(*lanes)):
            if lane is not None and self._take(lane):
                started += 1
                self._pool.submit(self._work, *lane)
        return started

    def end(self) -> None:
        """Let the calls that are under way come to their end; what else is due is left to others."""
        self._ending.set()
        self._pool.shutdown()

    def _take(self, lane: _Lane) -> bool:
        """Give a lane one of the senders, if there is one for it."""
        brand = deliveries.brand_of(*lane)
        with self._lock:
            free = self._senders - len(self._under_way)
            if lane in self._under_way or not free:
                return False
            within_share = sum(each == brand for each in self._under_way.values()) < self._share
            if lane in self._slow:
                slow = sum(each in self._slow for each in self._under_way)
                may = within_share and slow < self._most_slow
            else:
                may = within_share or free > self._kept_free
            if may:
                self._under_way[lane] = brand
            return may

    def _work(self, partition: int, lane: str) -> None:
        not_before, slow = 0, False
        with self._lock:
            most = 1 if (partition, lane) in self._slow else BATCH
        try:
            claimed = delivery_lanes.lease_lane(self._store, partition, lane, self._schedule.lease, most)
            if claimed is not None:
                not_before, slow = self._make(claimed)
                delivery_lanes.release_lane(self._store, partition, lane, not_before=not_before)
        except Unavailable as error:
            # Whoever looks next finds the lease ended, and what was not written down is made once more.
            get_logger().warning("redis away", detail=error.detail)
        except Exception as error:
            get_logger().error("broken", lane=lane, exc_info=error)
        finally:
            with self._lock:
                del self._under_way[partition, lane]
                if len(self._slow) >= REMEMBERED:
                    self._slow.clear()
                (self._slow.add if slow or not_before else self._slow.discard)((partition, lane))
            self._freed()

    def _make(self, claimed: Sequence[Delivery]) -> tuple[int, bool]:
        """Make what was claimed, for a turn; until when the lane is better left alone, and whether it is slow."""
        failures, seconds, slow = 0, 0.0, False
        for delivery, attempt in zip(claimed, self._prepare(claimed), strict=True):
            if self._ending.is_set() or seconds >= TURN:
                break
            if delivery.state != "waiting":
                continue
            made = _guarded(attempt, delivery)
            took = made.receipt.milliseconds / 1000
            seconds, slow = seconds + took, slow or took >= SLOW
            # What went well needs no time: a round trip less for most.
            now = 0 if made.receipt.outcome == "delivered" else self._store.now()
            due_at = self._schedule.next_try(delivery, made.receipt, now)
            written = delivery_lanes.settle(
                self._store,
                delivery,
                made.receipt,
                due_at=due_at,
                lease=self._schedule.lease,
                off_after=self._schedule.off_after,
                called=made.called,
            )
            if written:
                outcome = "retried" if due_at else made.receipt.outcome.replace("retry", "failed")
                figures.DELIVERIES.labels(delivery.kind, outcome).inc()
            if made.called:
                failures = 0 if made.receipt.outcome == "delivered" else failures + 1
            if failures >= PATIENCE or (made.receipt.status == "timeout" and failures):
                pause = min(LONGEST, self._schedule.pauses[0] if self._schedule.pauses else 0)
                return now + int(pause * random.uniform(0.8, 1.2) * _SECOND), slow  # noqa: S311 - no secret
        return 0, slow


def _guarded(attempt: Callable[[], Attempt], delivery: Delivery) -> Attempt:
    """Make it; what is wrong with one delivery must not hold up those behind it."""
    try:
        return attempt()
    except Unavailable:
        raise
    except Exception as error:
        get_logger().error("broken", delivery=delivery.id, exc_info=error)
        # The webhook is not to blame.
        return Attempt(Receipt("retry", "broken", type(error).__name__, 0), called=False)
