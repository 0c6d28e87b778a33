"""Figures that the worker alone has to tell.

They are made here and not beside those of the app: several processes of the app show all that any of them has made.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge

OF_WORKER = CollectorRegistry()
DELIVERIES = Counter(
    "discount_deliveries",
    "Tries to deliver, by kind and by how they ended.",
    ("kind", "outcome"),
    registry=OF_WORKER,
)
EVENTS_WAITING = Gauge("discount_events_waiting", "Events that no delivery is planned for yet.", registry=OF_WORKER)
OLDEST_EVENT = Gauge("discount_events_oldest_seconds", "How long the oldest of these waits.", registry=OF_WORKER)
BRANDS_DUE = Gauge(
    "discount_brands_due",
    "Brands for which deliveries are due that no worker has, once for each kind.",
    registry=OF_WORKER,
)
