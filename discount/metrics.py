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

#: What the app alone has to tell.
OF_APP = CollectorRegistry()
REQUESTS = prometheus_client.Histogram(
    "discount_request_seconds",
    "Time to answer a request, by method, route and status; its _count is the number of requests.",
    ("method", "route", "status"),
    buckets=_BUCKETS,
    registry=OF_APP,
)
GRANTS = prometheus_client.Counter("discount_grants", "Codes handed out for the first time.", registry=OF_APP)
REDEMPTIONS = prometheus_client.Counter(
    "discount_redemptions", "Uses of codes counted or held for the first time.", registry=OF_APP
)
REFUSALS = prometheus_client.Counter(
    "discount_refusals", "Requests refused, by the word of the problem.", ("word",), registry=OF_APP
)
ROUND_TRIPS = prometheus_client.Counter("discount_redis_round_trips", "Exchanges with Redis.")


def exposition(own: CollectorRegistry = OF_APP) -> bytes:
    """All figures of all processes of a kind, in the Prometheus text format.

    Args:
        own: what this kind of process has to tell, besides what every process has.
    """
    if not _FOLDER:
        return generate_latest(prometheus_client.REGISTRY) + generate_latest(own)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=_FOLDER)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
