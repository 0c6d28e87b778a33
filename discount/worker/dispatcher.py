"""Makes the deliveries that are due: takes a lane, calls for each, writes down how it went, gives the lane back."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from structlog import get_logger

from discount import deliveries
from discount.errors import Unavailable
from discount.model import Delivery, Receipt
from discount.store import Store
from discount.worker import figures

#: Deliveries of a lane that are made in one go.
BATCH = 20
#: Failures in a row after which a lane is left alone for a while, and how long at most, in seconds.
PATIENCE = 3
LONGEST = 60.0
#: Lanes looked at for those that may be started, where some of the first may not.
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
_Kind = Literal["well", "failing", "mail"]
#: Makes the deliveries of one lane, one after the other.
Make = Callable[[Sequence[Delivery]], "Sequence[Callable[[], Attempt]]"]


class Dispatcher:
    """Takes lanes as long as a sender is free.

    Receivers that hang, and a mail server that hangs, must not have all senders, or everybody waits for them: half of
    the senders at most work on lanes that were left alone after their last turn, a quarter at most on e-mails.

    Args:
        prepare: for deliveries of a lane, what makes each.
        senders: how many lanes are worked on at once.
        freed: called when one of them is free again, and its lane may have more to be made.
    """

    def __init__(
        self, store: Store, schedule: Schedule, prepare: Make, senders: int, freed: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._schedule = schedule
        self._prepare = prepare
        self._senders = senders
        self._freed = freed
        self._most: dict[_Kind, int] = {"well": senders, "failing": max(1, senders // 2), "mail": max(1, senders // 4)}
        self._lock = threading.Lock()
        self._under_way: dict[_Lane, _Kind] = {}
        self._failing: set[_Lane] = set()
        self._pool = ThreadPoolExecutor(senders, "sender")
        self._ending = threading.Event()

    def turn(self) -> int:
        """Start on what is due, as far as senders are free; how many lanes that was."""
        started = passed = 0
        for most in (self._senders, LOOKED_AT):
            found = deliveries.due_lanes(self._store, self._store.now(), most)
            # Two workers that look at the same moment would else ask for the same lanes in the same order.
            random.shuffle(found)
            for lane in found:
                if self._take(lane):
                    started += 1
                    self._pool.submit(self._work, *lane)
                else:
                    passed += 1
            if not passed or len(self._under_way) == self._senders:
                break
        return started

    def end(self) -> None:
        """Let the calls that are under way come to their end; what else is due is left to others."""
        self._ending.set()
        self._pool.shutdown()

    def _take(self, lane: _Lane) -> bool:
        """Give a lane one of the senders, if there is one for it."""
        with self._lock:
            kind: _Kind = "mail" if lane[1].startswith("email.") else "failing" if lane in self._failing else "well"
            alike = sum(each == kind for each in self._under_way.values())
            if lane in self._under_way or len(self._under_way) == self._senders or alike == self._most[kind]:
                return False
            self._under_way[lane] = kind
            return True

    def _work(self, partition: int, lane: str) -> None:
        not_before = 0
        try:
            claimed = deliveries.claim(self._store, partition, lane, self._schedule.lease, BATCH)
            if claimed is not None:
                not_before = self._make(claimed)
                deliveries.release(self._store, partition, lane, not_before=not_before)
        except Unavailable as error:
            # Whoever looks next finds the lease ended, and what was not written down is made once more.
            get_logger().warning("redis away", detail=error.detail)
        except Exception as error:
            get_logger().error("broken", lane=lane, exc_info=error)
        finally:
            with self._lock:
                del self._under_way[partition, lane]
                (self._failing.add if not_before else self._failing.discard)((partition, lane))
            self._freed()

    def _make(self, claimed: Sequence[Delivery]) -> int:
        """Make what was claimed; until when the lane is better left alone."""
        failures = 0
        for delivery, attempt in zip(claimed, self._prepare(claimed), strict=True):
            if self._ending.is_set():
                return 0
            if delivery.state != "waiting":
                continue
            made = _guarded(attempt, delivery)
            # What went well needs no time: a round trip less for most.
            now = 0 if made.receipt.outcome == "delivered" else self._store.now()
            due_at = self._schedule.next_try(delivery, made.receipt, now)
            written = deliveries.settle(
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
                return now + int(pause * random.uniform(0.8, 1.2) * _SECOND)  # noqa: S311 - no secret
        return 0


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
