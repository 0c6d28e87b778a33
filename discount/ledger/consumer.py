"""Reads the outbox of each partition into the ledger: each event exactly once, whatever is killed when."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, select
from structlog import get_logger

from discount.domain.errors import Unavailable
from discount.domain.events import Entry, parts, read_entries
from discount.domain.ids import FORGOTTEN
from discount.ledger import schema, writer
from discount.ledger.database import Database
from discount.ledger.forgetting import forget
from discount.ledger.rows import rows_of
from discount.ledger.tables import EVENTS, POSITIONS
from discount.services import outbox
from discount.services.partitions import do_each
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

    Attributes:
        lost: the partitions whose last event in the ledger is missing in Redis.
    """

    def __init__(self, store: Store, database: Database, name: str) -> None:
        self._store = store
        self._database = database
        self._name = name
        self._positions: dict[int, Position | None] = {}
        self._leased: list[int] = []
        self._renew_at = 0.0
        self.lost: set[int] = set()

    @property
    def partitions(self) -> list[int]:
        """The partitions that this process writes."""
        return self._leased

    def open(self) -> None:
        """Create the group in every partition, and forget the positions that this process remembers.

        Raises:
            Unavailable: the database or Redis does not answer, or the tables have another schema.
        """
        self._positions.clear()
        self.open_groups()
        schema.check(self._database)

    def open_groups(self) -> None:
        """Create the group in every partition that can be reached. Entries wait for it from then on.

        Raises:
            Unavailable: Redis does not answer.
        """
        do_each(self._store, lambda partition: self._store.run("open_group", [keys.events(partition)], [GROUP]))

    def turn(self) -> int:
        """Write what is new in every partition, at most `ENTRIES` of each; return how many entries were written.

        Partitions whose node does not answer are left for a later turn, and delay no other.

        Raises:
            Unavailable: the database does not answer.
        """
        owned = self._owned()
        self._load_positions([each for each in owned if each not in self._positions])
        before = {each: self._positions[each] for each in owned if each in self._positions}
        replies = self._store.each([_read_after(each, position, ENTRIES) for each, position in before.items()])
        found = {
            each: read_entries(each, reply) for each, reply in zip(before, replies, strict=True) if _is_list(reply)
        }
        # What is not safe may vanish from Redis; then it must not be in the ledger.
        safe = self._store.safe_partitions(each for each, entries in found.items() if entries)
        written = {each: self._write(each, before[each], found[each]) for each in sorted(safe)}
        self._move_groups(each for each, count in written.items() if count)
        return sum(written.values())

    def behind(self) -> tuple[int, float]:
        """Return for how many partitions entries wait, and the age of the oldest of these in seconds.

        It is what Redis knows, so it is right also while the database is away.
        """
        waiting = do_each(self._store, partial(outbox.waiting, self._store, group=GROUP))
        oldest = [since / 1000 for _, since in waiting if since is not None]
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

    def _load_positions(self, partitions: Sequence[int]) -> None:
        """Read positions from the database, and look whether Redis still has their events."""
        if not partitions:
            return
        with self._database.reading() as connection:
            wanted = select(POSITIONS).where(POSITIONS.c.partition.in_(partitions))
            stored = {row.partition: Position(*row[1:]) for row in connection.execute(wanted)}
            places = list(stored.items())
            replies = self._store.each(
                [command for partition, position in places for command in _look_for(partition, position)]
            )
            for (partition, position), rows, trimmed in zip(places, replies[::2], replies[1::2], strict=True):
                if not _is_list(rows) or isinstance(trimmed, Unavailable):
                    continue
                self._positions[partition] = position
                if not _has(connection, partition, position, read_entries(partition, rows), trimmed):
                    self._note_loss(partition, position)
        self._positions |= {each: None for each in partitions if each not in stored}
        # A process that died after its transaction has not told the group.
        self._move_groups(each for each in stored if each in self._positions)

    def _note_loss(self, partition: int, position: Position) -> None:
        if partition not in self.lost:
            get_logger().error(
                "Redis has lost events that the ledger has", partition=partition, last_event=position.event_id
            )
        self.lost.add(partition)

    def _write(self, partition: int, before: Position | None, entries: Sequence[Entry]) -> int:
        try:
            discount_ids = outbox.discount_ids(self._store, partition, entries)
        except Unavailable:
            return 0
        last = Position(entries[-1].entry_id, entries[-1].event_id, int(entries[-1].fields["at"]))
        # It is forgotten if anything fails: what the database has is the truth.
        self._positions.pop(partition)
        with self._database.writing() as connection:
            row = {"entry_id": last.entry_id, "event_id": last.event_id, "at": last.at}
            if not writer.move_position(connection, partition, before.entry_id if before else None, row):
                get_logger().warning("another process writes this partition", partition=partition)
                connection.rollback()
                return 0
            for run in _runs(entries):
                writer.write(connection, rows_of(run, discount_ids))
                if run[-1].fields["type"] == "user.forgotten":
                    forget(connection, run[-1], discount_ids.get(run[-1].fields.get("number", ""), ""))
        self._positions[partition] = last
        return len(entries)

    def _move_groups(self, partitions: Iterable[int]) -> None:
        """Tell the outbox what the ledger has; a partition that is not reached is told with its next entries."""
        moves: list[Command] = []
        for each in partitions:
            position = self._positions[each]
            if position is not None:
                moves.append(("XGROUP", "SETID", keys.events(each), GROUP, position.entry_id))
        self._store.each(moves)


def _runs(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield entries in their order, so that each one that says that a user was forgotten ends a run."""
    first = 0
    for place, entry in enumerate(entries, 1):
        if entry.fields["type"] == "user.forgotten" or place == len(entries):
            yield entries[first:place]
            first = place


def _look_for(partition: int, position: Position) -> tuple[Command, Command]:
    at = position.entry_id
    return ("XRANGE", keys.events(partition), at, at), ("GET", keys.trimmed(partition))


def _has(
    connection: Connection, partition: int, position: Position, entries: Sequence[Entry], trimmed: str | None
) -> bool:
    """Return whether Redis has the last event of the ledger, or has let it go on purpose."""
    if entries:
        return entries[0].event_id == position.event_id
    if trimmed and parts(trimmed) >= parts(position.entry_id):
        return True
    this = (EVENTS.c.partition == partition) & (EVENTS.c.entry_id == position.entry_id)
    user_id = connection.execute(select(EVENTS.c.user_id).where(this)).scalar_one_or_none()
    return user_id is not None and user_id.startswith(FORGOTTEN)


def _is_list(reply: object) -> bool:
    return isinstance(reply, list)


def _read_after(partition: int, position: Position | None, count: int) -> Command:
    start = f"({position.entry_id}" if position else "-"
    return "XRANGE", keys.events(partition), start, "+", "COUNT", count
