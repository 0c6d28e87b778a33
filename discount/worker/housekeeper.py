"""Periodic work: take over from dead workers, trim the outbox and update gauges."""

from functools import partial
from math import nan
from typing import get_args

from discount.domain.model import DeliveryKind
from discount.services import delivery_lanes, event_index, outbox
from discount.services.partitions import ask_each, do_each
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command
from discount.store.replicas import spare_replicas
from discount.worker import metrics
from discount.worker.planner import Planner
from discount.worker.reminders import Reminders

#: Milliseconds after which a silent consumer with no pending entries is removed from the group.
FORGOTTEN = 3_600_000


class Housekeeper:
    """The work that runs at intervals; each method is one round of it.

    Args:
        reminders: None if no e-mails can be sent.
        keep: the least seconds for which events are kept.
    """

    def __init__(self, store: Store, planner: Planner, reminders: Reminders | None, keep: int) -> None:
        self._store = store
        self._planner = planner
        self._reminders = reminders
        self._keep = keep

    def take_over(self) -> int:
        """Take over the lanes and entries of dead workers; return how many entries were planned again."""
        delivery_lanes.release_ended_lanes(self._store, self._store.now())
        return self._planner.take_over()

    def remind(self) -> int:
        """Plan the reminders that are due; return how many ends were handled."""
        return self._reminders.turn(self._store.now()) if self._reminders else 0

    def index(self) -> None:
        """Extend the indexes of brands' events, and cut entries of forgotten users that all have read."""
        do_each(self._store, self._index)

    def clean(self) -> None:
        """Trim entries that are old and read by all, and remove consumers of workers that are long gone."""
        do_each(self._store, self._clean)

    def measure(self) -> None:
        """Update the gauges of waiting events, of brands with due deliveries, and of replicas."""
        now = self._store.now()
        waiting = do_each(self._store, partial(outbox.waiting, self._store))
        metrics.EVENTS_WAITING.set(sum(count for count, _ in waiting))
        oldest = min((since for _, since in waiting if since is not None), default=None)
        metrics.OLDEST_EVENT.set(0 if oldest is None else max(0, now / 1_000_000 - oldest / 1000))
        kinds: tuple[DeliveryKind, ...] = get_args(DeliveryKind)
        due = [ask_each(self._store, partial(_brands_due, kind, now))[0] for kind in kinds]
        metrics.SPARE_REPLICAS.set(min(spare_replicas(self._store.nodes).values(), default=nan))
        metrics.BRANDS_DUE.set(sum(count for each in due for count in each.values()))

    def _index(self, partition: int) -> None:
        event_index.extend(self._store, partition)
        outbox.cut_read(self._store, partition)

    def _clean(self, partition: int) -> None:
        outbox.trim(self._store, partition, self._keep)
        event_index.cut(self._store, partition)
        stream = keys.events(partition)
        for row in self._store.command("XINFO", "CONSUMERS", stream, outbox.GROUP):
            consumer = outbox.fields(row)
            if consumer["idle"] > FORGOTTEN and not consumer["pending"]:
                self._store.command("XGROUP", "DELCONSUMER", stream, outbox.GROUP, consumer["name"])


def _brands_due(kind: DeliveryKind, now: int, partition: int) -> Command:
    return ("ZCOUNT", keys.due(partition, kind), "-inf", now)
