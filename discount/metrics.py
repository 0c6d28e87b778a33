"""Prometheus metrics that are correct with any number of processes.

If PROMETHEUS_MULTIPROC_DIR names a folder, each process keeps its counts in files there, and a scrape of any process
returns the sums. The files are named by slot, not by process id. A new process takes over the slot of one that ended,
so restarts neither add files nor lose counts.

Requests count in plain numbers, which are added to those files once a second, before a scrape of this process, and when
it ends.
"""

import fcntl
import os
import threading
from bisect import bisect_left
from collections.abc import Collection, Sequence
from itertools import count
from pathlib import Path

import prometheus_client
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from discount.deferred import Deferred

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def _take_slot(folder: Path) -> int:
    """Return the lowest slot that no running process holds; a file lock holds it until this process ends."""
    for slot in count():
        lock = os.open(folder / f"slot-{slot}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return slot
    raise AssertionError


if _FOLDER:
    _slot = _take_slot(Path(_FOLDER))
    values.ValueClass = values.MultiProcessValue(lambda: _slot)  # type: ignore[no-untyped-call]

#: Seconds until the files have what was counted; a process that is killed loses the counts of so long.
FLUSH_SECONDS = 1.0
_counting = threading.Lock()
_flushing = threading.Lock()


class Counter:
    """A counter of Prometheus, whose increments are held as plain numbers until the next `flush`."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), registry: CollectorRegistry = prometheus_client.REGISTRY
    ) -> None:
        self._counter = prometheus_client.Counter(name, text, labels, registry=registry)
        self._held: dict[tuple[str, ...], int] = {}

    def inc(self, amount: int = 1, labels: tuple[str, ...] = ()) -> None:
        with _counting:
            self._held[labels] = self._held.get(labels, 0) + amount
        _deferred.ask()

    def flush(self) -> None:
        with _counting:
            held, self._held = self._held, {}
        for labels, amount in held.items():
            (self._counter.labels(*labels) if labels else self._counter).inc(amount)


class Histogram:
    """A histogram of Prometheus, whose observations are held as plain numbers until the next `flush`."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._histogram = prometheus_client.Histogram(name, text, labels, buckets=buckets, registry=registry)
        self._bounds = tuple(buckets)
        self._held: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def observe(self, labels: tuple[str, ...], amount: float) -> None:
        with _counting:
            held = self._held.get(labels)
            if held is None:
                # One more bucket for what is greater than all bounds.
                held = self._held[labels] = ([0] * (len(self._bounds) + 1), [0.0])
            held[0][bisect_left(self._bounds, amount)] += 1
            held[1][0] += amount
        _deferred.ask()

    def flush(self) -> None:
        with _counting:
            held, self._held = self._held, {}
        for labels, (numbers, [total]) in held.items():
            child = self._histogram.labels(*labels)
            # The library has no call for several observations. It does the same with each one.
            child._sum.inc(total)
            for bucket, number in zip(child._buckets, numbers, strict=True):
                if number:
                    bucket.inc(number)


#: The metrics that only the app exposes.
OF_APP = CollectorRegistry()
REQUESTS = Histogram(
    "discount_request_seconds",
    "Time to answer a request, by method, route and status; its _count is the number of requests.",
    ("method", "route", "status"),
    _BUCKETS,
    OF_APP,
)
GRANTS = Counter("discount_grants", "Codes granted, not counting repeated requests.", registry=OF_APP)
REDEMPTIONS = Counter("discount_redemptions", "Redemptions and holds, not counting repeated requests.", registry=OF_APP)
REFUSALS = Counter("discount_refusals", "Requests refused, by the slug of the problem.", ("slug",), OF_APP)
ROUND_TRIPS = Counter("discount_redis_round_trips", "Exchanges with Redis.")
UNREACHABLE = prometheus_client.Gauge(
    "discount_partition_unreachable",
    "1 for each partition whose Redis cannot be reached, else 0.",
    ("partition",),
    multiprocess_mode="max",
)


def flush() -> None:
    """Add what was counted to the figures that a scrape returns."""
    with _flushing:
        for each in (REQUESTS, GRANTS, REDEMPTIONS, REFUSALS, ROUND_TRIPS):
            each.flush()


_deferred = Deferred("metrics", FLUSH_SECONDS, flush)


def show_unreachable(partitions: int, unreachable: Collection[int]) -> None:
    """Update the gauge of each partition.

    Args:
        partitions: the number of partitions.
        unreachable: those whose Redis cannot be reached.
    """
    for partition in range(partitions):
        UNREACHABLE.labels(f"{partition:02x}").set(partition in unreachable)


def exposition(own: CollectorRegistry = OF_APP) -> bytes:
    """Return the metrics of all processes of this kind in the Prometheus text format.

    Args:
        own: the metrics that only this kind of process exposes.
    """
    flush()
    if not _FOLDER:
        return generate_latest(prometheus_client.REGISTRY) + generate_latest(own)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=_FOLDER)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
