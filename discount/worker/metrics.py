"""Metrics that only the worker exposes.

They live apart from the app's metrics: in multiprocess mode every app process would expose them too, always as 0.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge

OF_WORKER = CollectorRegistry()
DELIVERIES = Counter(
    "discount_deliveries",
    "Delivery attempts by kind and outcome.",
    ("kind", "outcome"),
    registry=OF_WORKER,
)
EVENTS_WAITING = Gauge("discount_events_waiting", "Events with no planned deliveries yet.", registry=OF_WORKER)
OLDEST_EVENT = Gauge("discount_events_oldest_seconds", "Age of the oldest of these events.", registry=OF_WORKER)
LEDGER_BEHIND = Gauge(
    "discount_ledger_behind_seconds", "Age of the oldest event that the ledger has not read.", registry=OF_WORKER
)
LEDGER_PARTITIONS = Gauge(
    "discount_ledger_partitions_behind", "Partitions with events that the ledger has not read.", registry=OF_WORKER
)
LEDGER_LOST = Gauge(
    "discount_ledger_lost_partitions",
    "Partitions of which Redis has lost events that the ledger has, until the worker ends.",
    registry=OF_WORKER,
)
LEDGER_DIFFERENCES = Gauge(
    "discount_ledger_differences",
    "Differences between Redis and the ledger in the latest reconciliation of each partition.",
    registry=OF_WORKER,
)
LEDGER_RECONCILED = Gauge(
    "discount_ledger_reconciled_seconds",
    "Seconds since the reconciliation that is the longest ago of all partitions; NaN before the first one.",
    registry=OF_WORKER,
)
BRANDS_DUE = Gauge(
    "discount_brands_due",
    "Brands with due deliveries that no worker has leased, counted once per kind.",
    registry=OF_WORKER,
)
SPARE_REPLICAS = Gauge(
    "discount_redis_spare_replicas",
    "Replicas of the poorest node of Redis, less those that an answer waits for; NaN if it waits for none.",
    registry=OF_WORKER,
)
