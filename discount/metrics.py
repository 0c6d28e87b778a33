"""Figures for Prometheus, right with any number of worker processes.

Where PROMETHEUS_MULTIPROC_DIR names a folder, each process counts in files of its own there and a scrape of any of
them adds all up. The files carry a slot instead of a process id: a worker that follows another takes over its slot,
so the folder does not grow with restarts and no count is lost.
"""

import fcntl
import os
from itertools import count
from pathlib import Path

import prometheus_client
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def _take_slot(folder: Path) -> int:
    """The first number that no living process holds; held by a lock until this process ends."""
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

REQUESTS = prometheus_client.Histogram(
    "discount_request_seconds",
    "Time to answer a request, by method, route and status; its _count is the number of requests.",
    ("method", "route", "status"),
    buckets=_BUCKETS,
)
GRANTS = prometheus_client.Counter("discount_grants", "Codes handed out for the first time.")
REDEMPTIONS = prometheus_client.Counter("discount_redemptions", "Uses of codes counted or held for the first time.")
REFUSALS = prometheus_client.Counter("discount_refusals", "Requests refused, by the word of the problem.", ("word",))
DELIVERIES = prometheus_client.Counter(
    "discount_deliveries", "Tries to deliver, by kind and by how they ended.", ("kind", "outcome")
)
EVENTS_WAITING = prometheus_client.Gauge(
    "discount_events_waiting", "Events that no delivery is planned for yet.", multiprocess_mode="max"
)
OLDEST_EVENT = prometheus_client.Gauge(
    "discount_events_oldest_seconds", "How long the oldest of these waits.", multiprocess_mode="max"
)
BRANDS_DUE = prometheus_client.Gauge(
    "discount_brands_due",
    "Brands for which deliveries are due that no worker has, once for each kind.",
    multiprocess_mode="max",
)
ROUND_TRIPS = prometheus_client.Counter("discount_redis_round_trips", "Exchanges with Redis.")


def exposition() -> bytes:
    """All figures of all processes, in the Prometheus text format."""
    if not _FOLDER:
        return generate_latest(prometheus_client.REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=_FOLDER)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
