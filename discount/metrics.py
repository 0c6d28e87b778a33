"""Prometheus metrics that are correct with any number of processes.

If PROMETHEUS_MULTIPROC_DIR names a folder, each process keeps its counts in files there, and a scrape of any process
returns the sums. The files are named by slot, not by process id. A new process takes over the slot of one that ended,
so restarts neither add files nor lose counts.
"""

import fcntl
import os
from collections.abc import Collection
from itertools import count
from pathlib import Path

import prometheus_client
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

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

#: The metrics that only the app exposes.
OF_APP = CollectorRegistry()
REQUESTS = prometheus_client.Histogram(
    "discount_request_seconds",
    "Time to answer a request, by method, route and status; its _count is the number of requests.",
    ("method", "route", "status"),
    buckets=_BUCKETS,
    registry=OF_APP,
)
GRANTS = prometheus_client.Counter("discount_grants", "Codes granted, not counting repeated requests.", registry=OF_APP)
REDEMPTIONS = prometheus_client.Counter(
    "discount_redemptions", "Redemptions and holds, not counting repeated requests.", registry=OF_APP
)
REFUSALS = prometheus_client.Counter(
    "discount_refusals", "Requests refused, by the slug of the problem.", ("word",), registry=OF_APP
)
UNREACHABLE = prometheus_client.Gauge(
    "discount_partition_unreachable",
    "1 for each partition whose Redis cannot be reached, else 0.",
    ("partition",),
    multiprocess_mode="max",
)
ROUND_TRIPS = prometheus_client.Counter("discount_redis_round_trips", "Exchanges with Redis.")


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
    if not _FOLDER:
        return generate_latest(prometheus_client.REGISTRY) + generate_latest(own)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=_FOLDER)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
