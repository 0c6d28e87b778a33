"""The state of the whole installation, for the admin's page."""

from msgspec import Struct

from discount.ledger import positions, results
from discount.ledger.differences import Result
from discount.services import brands, outbox, topology, workers
from discount.services.topology import TopologyOut
from discount.services.workers import Waiting, WorkerSeen
from discount.store.connection import Store


class System(Struct, frozen=True):
    """The workers, what waits for them, and the nodes of Redis.

    `to_ledger` is None without a ledger, `reconciled` before the first reconciliation.
    """

    workers: list[WorkerSeen]
    to_deliver: Waiting
    to_ledger: Waiting | None
    reconciled: Result | None
    topology: TopologyOut


def describe(store: Store, *, ledger: bool) -> System:
    """Return the state of the installation.

    Raises:
        Unavailable
    """
    return System(
        workers.list_seen(store),
        workers.waiting(store, outbox.GROUP),
        workers.waiting(store, positions.GROUP) if ledger else None,
        results.joined(found) if (found := results.read(store)) else None,
        topology.describe(store, store.nodes.durability),
    )


def zone_of(store: Store, brand_id: str) -> str | None:
    """Return the time zone that a brand has set."""
    brand = brands.read(store, [brand_id])[brand_id]
    return None if brand is None else brand.timezone
