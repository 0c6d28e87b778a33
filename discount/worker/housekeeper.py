"""Now and then: take over from workers that are gone, cut off what all have read, look at the figures."""

from typing import get_args

from discount.domain.model import DeliveryKind
from discount.services import delivery_lanes, outbox
from discount.store import keys
from discount.store.connection import Store
from discount.worker import figures
from discount.worker.planner import Planner
from discount.worker.reminders import Reminders

#: Consumers of the group that have been silent for so many milliseconds, and owe nothing, are forgotten.
FORGOTTEN = 3_600_000


class Housekeeper:
    """Does each of its turns with whatever is due.

    Args:
        keep: how long events are kept at least, in seconds.
    """

    def __init__(self, store: Store, planner: Planner, reminders: Reminders | None, keep: int) -> None:
        self._store = store
        self._planner = planner
        self._reminders = reminders
        self._keep = keep

    def take_over(self) -> int:
        """Take over what workers have left that are gone; how many entries were planned anew."""
        delivery_lanes.release_ended_lanes(self._store, self._store.now())
        return self._planner.take_over()

    def remind(self) -> int:
        """Plan e-mails on ends to come; how many ends there were."""
        return self._reminders.turn(self._store.now()) if self._reminders else 0

    def clean(self) -> None:
        """Cut off the outbox what is old and read, and forget workers that are long gone."""
        for partition in range(self._store.partitions):
            outbox.trim(self._store, partition, self._keep)
            stream = keys.events(partition)
            for consumer in self._store.command("XINFO", "CONSUMERS", stream, outbox.GROUP):
                told = outbox.fields(consumer)
                if told["idle"] > FORGOTTEN and not told["pending"]:
                    self._store.command("XGROUP", "DELCONSUMER", stream, outbox.GROUP, told["name"])

    def measure(self) -> None:
        """Bring the figures up to date that tell how much waits."""
        now = self._store.now()
        waiting = [outbox.waiting(self._store, partition) for partition in range(self._store.partitions)]
        figures.EVENTS_WAITING.set(sum(count for count, _ in waiting))
        oldest = min((since for _, since in waiting if since is not None), default=None)
        figures.OLDEST_EVENT.set(0 if oldest is None else max(0, now / 1_000_000 - oldest / 1000))
        kinds: tuple[DeliveryKind, ...] = get_args(DeliveryKind)
        due = self._store.commands(
            [
                ("ZCOUNT", keys.due(partition, kind), "-inf", now)
                for kind in kinds
                for partition in range(self._store.partitions)
            ]
        )
        figures.BRANDS_DUE.set(sum(due))
