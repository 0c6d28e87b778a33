"""The state of the whole installation, for the admin's page."""

from msgspec import Struct

from discount.ledger import positions
from discount.services import outbox, topology, workers
from discount.services.topology import TopologyOut
from discount.services.workers import Waiting, WorkerSeen
from discount.store.connection import Store


class System(Struct, frozen=True):
    """The workers, what waits for them, and the nodes of Redis. `to_ledger` is None without a ledger."""

    workers: list[WorkerSeen]
    to_deliver: Waiting
    to_ledger: Waiting | None
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
        topology.describe(store, store.nodes.durability),
    )
