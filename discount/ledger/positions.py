"""Positions: how far the ledger has read each partition, and whether Redis still has what the ledger read last."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, inspect, select

from discount.domain import events
from discount.domain.errors import Unavailable
from discount.domain.ids import FORGOTTEN
from discount.ledger import copies
from discount.ledger.database import Database
from discount.ledger.tables import COPY_POSITIONS, EVENTS, POSITIONS
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command

#: The consumer group by which the outbox knows what the ledger has.
GROUP = "ledger"


@dataclass(frozen=True, slots=True)
class Position:
    """The last entry of a partition that the ledger has, and the moment of its event."""

    entry_id: str
    event_id: str
    at: int


def read(connection: Connection, partitions: Iterable[int]) -> dict[int, Position]:
    """Return the positions of those partitions of which the ledger has an event."""
    wanted = select(POSITIONS).where(POSITIONS.c.partition.in_(list(partitions)))
    return {row.partition: Position(*row[1:]) for row in connection.execute(wanted)}


def compare(store: Store, connection: Connection, positions: dict[int, Position]) -> dict[int, bool]:
    """Return whether Redis has the last event of the ledger, by partition that can be reached.

    Entries that were trimmed, or cut because their user was forgotten, are there: Redis has let them go on purpose.
    """
    asked = list(positions.items())
    replies = store.each([command for partition, position in asked for command in _questions(partition, position)])
    found = {}
    for (partition, position), *own in zip(asked, *(replies[n::3] for n in range(3)), strict=True):
        if not any(isinstance(each, Unavailable) for each in own):
            found[partition] = _has(connection, partition, position, own)
    return found


def compare_all(
    store: Store, connection: Connection, positions: dict[int, Position], copied: Mapping[int, int]
) -> dict[int, bool]:
    """Return whether Redis has the last event and the last copied change of the ledger.

    Args:
        copied: the versions of the last copied changes; 0 for none.
    """
    has_events, has_copies = compare(store, connection, positions), copies.compare(store, copied)
    return {
        partition: is_whole and has_events.get(partition, True)
        for partition, is_whole in has_copies.items()
        # One whose node has failed meanwhile is in neither.
        if partition in has_events or partition not in positions
    }


def find_whole(store: Store, database: Database, partitions: Iterable[int]) -> set[int]:
    """Return those of some partitions of which Redis has all that the ledger has.

    Raises:
        Unavailable: Redis or the ledger does not answer.
    """
    wanted = set(partitions)
    with database.reading() as connection:
        # Before the first start of a worker there are no tables.
        if not inspect(connection).has_table(COPY_POSITIONS.name):
            return wanted
        known, copied = read(connection, wanted), copies.versions(connection, wanted)
        compared = compare_all(store, connection, known, dict.fromkeys(known, 0) | copied)
    return (wanted - known.keys() - copied.keys()) | {each for each, is_whole in compared.items() if is_whole}


def _questions(partition: int, position: Position) -> list[Command]:
    at = position.entry_id
    return [
        ("XRANGE", keys.events(partition), at, at),
        ("GET", keys.trimmed(partition)),
        ("EXISTS", keys.numbers(partition)),
    ]


def _has(connection: Connection, partition: int, position: Position, replies: Sequence[Any]) -> bool:
    rows, trimmed, has_discounts = replies
    entries = events.read_entries(partition, rows)
    if entries:
        return entries[0].event_id == position.event_id
    if trimmed and events.parts(trimmed) >= events.parts(position.entry_id):
        return True
    this = (EVENTS.c.partition == partition) & (EVENTS.c.entry_id == position.entry_id)
    user_id = connection.execute(select(EVENTS.c.user_id).where(this)).scalar_one_or_none()
    return bool(has_discounts) and user_id is not None and user_id.startswith(FORGOTTEN)
