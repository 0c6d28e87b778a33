"""Reads the outbox of each partition into the ledger: each event exactly once, whatever is killed when."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from structlog import get_logger

from discount.domain.errors import Unavailable
from discount.domain.events import Entry, read_entries
from discount.ledger import writer
from discount.ledger.database import Database
from discount.ledger.rows import rows_of
from discount.ledger.tables import POSITIONS
from discount.services import outbox
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command

#: The consumer group by which the outbox knows what the ledger has.
GROUP = "ledger"
#: The most entries of a partition that are written in one transaction.
ENTRIES = 2_000
#: Milliseconds for which a partition belongs to the process that last read it.
LEASE = 10_000


@dataclass(frozen=True, slots=True)
class Position:
    """The last entry of a partition that the ledger has, and the moment of its event."""

    entry_id: str
    event_id: str
    at: int


class Consumer:
    """Writes the entries of all partitions that no other process is writing.

    Rows and position share a transaction, and the position moves only from where this process read. So a second
    owner of a partition, or a death at any point, neither loses nor doubles a row.

    Args:
        name: a name that no other process uses.
    """

    def __init__(self, store: Store, database: Database, name: str) -> None:
        self._store = store
        self._database = database
        self._name = name
        self._positions: dict[int, Position | None] = {}
        self._leased: list[int] = []
        self._renew_at = 0.0

    def open(self) -> None:
        """Create the group in every partition, and forget the positions that this process remembers.

        Raises:
            Unavailable: the database or Redis does not answer, or the tables have another schema.
        """
        self._positions.clear()
        self._database.check()
        for partition in range(self._store.partitions):
            self._store.run("open_group", [keys.events(partition)], [GROUP])

    def turn(self) -> int:
        """Write what is new in every partition, at most `ENTRIES` of each; return how many entries were written.

        Partitions whose node does not answer are left for a later turn.
        """
        owned = self._owned()
        before = {each: self._position(each) for each in owned}
        replies = self._store.each([_read_after(each, position, ENTRIES) for each, position in before.items()])
        return sum(
            self._write(partition, before[partition], rows)
            for partition, rows in zip(owned, replies, strict=True)
            if not isinstance(rows, Unavailable)
        )

    def behind(self) -> tuple[int, float]:
        """Return for how many partitions entries wait, and the age of the oldest of these in seconds."""
        with self._database.reading() as connection:
            found = {row.partition: Position(*row[1:]) for row in connection.execute(select(POSITIONS))}
        replies = self._store.each([_read_after(each, found.get(each), 1) for each in range(self._store.partitions)])
        oldest = [int(row[0].partition("-")[0]) / 1000 for rows in replies if isinstance(rows, list) for row in rows]
        return len(oldest), max(0.0, self._store.now() / 1_000_000 - min(oldest)) if oldest else 0.0

    def _owned(self) -> list[int]:
        """Return the partitions that are this process's; now and then, keep their leases and take those that ended."""
        now = time.monotonic()
        if now < self._renew_at:
            return self._leased
        partitions = range(self._store.partitions)
        names = [keys.ledger_lease(each) for each in partitions]
        replies = self._store.each(
            [command for name in names for command in (("SET", name, self._name, "NX", "PX", LEASE), ("GET", name))]
        )
        self._leased = [each for each, owner in zip(partitions, replies[1::2], strict=True) if owner == self._name]
        self._store.each([("PEXPIRE", names[each], LEASE) for each in self._leased])
        self._renew_at = now + LEASE / 3000
        return self._leased

    def _position(self, partition: int) -> Position | None:
        if partition not in self._positions:
            self._positions[partition] = self._stored_position(partition)
        return self._positions[partition]

    def _write(self, partition: int, before: Position | None, rows: Sequence[Sequence[str]]) -> int:
        entries = read_entries(partition, rows)
        if not entries:
            return 0
        discount_ids = outbox.discount_ids(self._store, partition, entries)
        last = _position_of(entries[-1])
        # It is forgotten if anything fails: what the database has is the truth.
        self._positions.pop(partition)
        with self._database.writing() as connection:
            row = {"entry_id": last.entry_id, "event_id": last.event_id, "at": last.at}
            if not writer.move_position(connection, partition, before.entry_id if before else None, row):
                get_logger().warning("another process writes this partition", partition=partition)
                connection.rollback()
                return 0
            writer.write(connection, rows_of(entries, discount_ids))
        self._positions[partition] = last
        self._store.command("XGROUP", "SETID", keys.events(partition), GROUP, last.entry_id)
        return len(entries)

    def _stored_position(self, partition: int) -> Position | None:
        with self._database.reading() as connection:
            row = connection.execute(select(POSITIONS).where(POSITIONS.c.partition == partition)).one_or_none()
        return Position(row.entry_id, row.event_id, row.at) if row else None


def _position_of(entry: Entry) -> Position:
    return Position(entry.entry_id, entry.event_id, int(entry.fields["at"]))


def _read_after(partition: int, position: Position | None, count: int) -> Command:
    start = f"({position.entry_id}" if position else "-"
    return "XRANGE", keys.events(partition), start, "+", "COUNT", count
