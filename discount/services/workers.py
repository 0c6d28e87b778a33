"""The workers that have been seen, and the events that wait for them."""

from msgspec import Struct

from discount.services import outbox
from discount.services.partitions import ask_each
from discount.store import keys
from discount.store.connection import Store


class WorkerSeen(Struct, frozen=True):
    """A worker by the name of its process, and the seconds since it last asked for events."""

    name: str
    seconds: float


class Waiting(Struct, frozen=True):
    """Events that a group of readers has not finished, and the age of the oldest in seconds; None without any."""

    count: int
    seconds: float | None


def list_seen(store: Store) -> list[WorkerSeen]:
    """Return the workers that asked for events in the last hour, the latest first.

    Raises:
        Unavailable: no partition can be reached.
    """
    found: dict[str, float] = {}
    for partition in _with_group(store, outbox.GROUP):
        for row in store.command("XINFO", "CONSUMERS", keys.events(partition), outbox.GROUP):
            consumer = outbox.fields(row)
            seconds = consumer["idle"] / 1000
            found[consumer["name"]] = min(seconds, found.get(consumer["name"], seconds))
    seen = (WorkerSeen(name, seconds) for name, seconds in found.items())
    return sorted(seen, key=lambda each: each.seconds)


def are_away(store: Store, seconds: float) -> bool:
    """Return whether no worker has asked for events for that long. One that runs asks ten times a second.

    Raises:
        Unavailable
    """
    return all(each.seconds > seconds for each in list_seen(store))


def waiting(store: Store, group: str) -> Waiting:
    """Return the events that a group of readers has not finished.

    Raises:
        Unavailable: no partition can be reached.
    """
    now = store.now() / 1_000_000
    found = [outbox.waiting(store, partition, group) for partition in _with_group(store, group)]
    oldest = min((since for _, since in found if since is not None), default=None)
    return Waiting(sum(count for count, _ in found), None if oldest is None else max(0.0, now - oldest / 1000))


def _with_group(store: Store, group: str) -> list[int]:
    """Return the partitions whose outbox has that group of readers."""
    there, _ = ask_each(store, lambda partition: ("EXISTS", keys.events(partition)))
    known = [partition for partition, exists in there.items() if exists]
    groups, _ = ask_each(store, lambda partition: ("XINFO", "GROUPS", keys.events(partition)), known)
    return [partition for partition, rows in groups.items() if any(outbox.fields(row)["name"] == group for row in rows)]
