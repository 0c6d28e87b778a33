"""Read the outbox of each partition into the ledger: each event exactly once, whichever process is killed."""

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from structlog import get_logger

from discount.domain.errors import Unavailable
from discount.domain.events import Entry, read_entries
from discount.ledger import copies, positions, schema, sealed, writer
from discount.ledger.copies import Copies
from discount.ledger.database import Database
from discount.ledger.forgetting import forget
from discount.ledger.leases import Leases
from discount.ledger.positions import GROUP, Position
from discount.ledger.replayed_entries import Replayed
from discount.ledger.restore import Restore
from discount.ledger.rows import rows_of
from discount.security.sealing import Sealer
from discount.security.signing import Signer
from discount.services import outbox
from discount.services.partitions import do_each
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command

#: The most entries of a partition that are written in one transaction.
ENTRIES = 2_000
#: Seconds after which API keys and webhooks are copied again.
AGAIN = 3_600


class Consumer:
    """The writer of all partitions that no other process is writing.

    Rows and position share a transaction, and the position moves only from where this process read. So a second
    owner of a partition, or a death at any point, neither loses nor doubles a row.

    Args:
        name: a name that no other process uses.
        secret: the setting SECRET, with which keys of code sequences are sealed.

    Attributes:
        lost: the partitions whose last event in the ledger is missing in Redis, and not put back yet.
    """

    def __init__(self, store: Store, database: Database, name: str, secret: str = "") -> None:
        self._store = store
        self._database = database
        self._leases = Leases(store, name)
        self._sealer = Sealer(Signer(store, secret))
        self._restore = Restore(store, database, self._sealer, keep=0, tell=self._go_on)
        self._copies = Copies(store, database, self._sealer)
        self._positions: dict[int, Position | None] = {}
        self._copied: dict[int, int] = {}
        self._copy_again_at = time.monotonic() + AGAIN
        self.lost: set[int] = set()

    @property
    def partitions(self) -> list[int]:
        """The partitions that this process writes."""
        return self._leases.owned

    def open(self) -> None:
        """Create the group in every partition, and forget the positions that this process remembers.

        Raises:
            Unavailable: the database or Redis does not answer, or the tables have another schema.
        """
        self._positions.clear()
        self.open_groups()
        schema.check(self._database)
        if sealed.keep_secret(self._store, self._database, self._sealer):
            do_each(self._store, self._copies.copy_all_again)

    def open_groups(self) -> None:
        """Create the group in every partition that can be reached. Entries and changes wait for it from then on.

        Raises:
            Unavailable: Redis does not answer.
        """
        do_each(self._store, self._open_group)

    def _open_group(self, partition: int) -> None:
        self._store.run("open_group", [keys.events(partition)], [GROUP])
        self._store.command(*copies.open_notes(partition))

    def turn(self) -> int:
        """Write what is new in every partition, at most `ENTRIES` of each; return how many entries and copies that is.

        Partitions whose node does not answer are left for a later turn, and delay no other.

        Raises:
            Unavailable: the database does not answer.
        """
        owned = self._leases.renew()
        self._load_positions([each for each in owned if each not in self._positions])
        before = {each: self._positions[each] for each in owned if each in self._positions}
        replies = self._store.each(
            [
                command
                for each, position in before.items()
                for command in (_read_after(each, position, ENTRIES), copies.read_noted(each))
            ]
        )
        found, noted = {}, {}
        for each, entries, changes in zip(before, replies[::2], replies[1::2], strict=True):
            if _is_list(entries) and _is_list(changes):
                found[each], noted[each] = read_entries(each, entries), copies.noted_in(changes)
        # What is not safe may vanish from Redis; then it must not be in the ledger.
        safe = self._store.safe_partitions(each for each in found if found[each] or noted[each])
        # Copies come first: what a discount's events need is there when they are replayed.
        copied = sum(self._copy(each, noted[each]) for each in sorted(safe) if noted[each])
        written = {
            each: self._write(each, before[each], found[each])
            for each in sorted(safe)
            if found[each] and each in self._positions
        }
        self._move_groups(each for each, count in written.items() if count)
        if time.monotonic() > self._copy_again_at:
            self._copy_again_at = time.monotonic() + AGAIN
            do_each(self._store, self._copies.copy_secrets_again)
        return copied + sum(written.values())

    def end(self) -> None:
        """Leave the partitions to other processes at once."""
        self._leases.end()

    def behind(self) -> tuple[int, float]:
        """Return for how many partitions entries wait, and the age of the oldest of these in seconds.

        It is what Redis knows, so it is right also while the database is away.
        """
        waiting = do_each(self._store, partial(outbox.waiting, self._store, group=GROUP))
        oldest = [since / 1000 for _, since in waiting if since is not None]
        return len(oldest), max(0.0, self._store.now() / 1_000_000 - min(oldest)) if oldest else 0.0

    def _load_positions(self, partitions: Sequence[int]) -> None:
        """Read positions from the database, and put back what Redis has lost since."""
        if not partitions:
            return
        with self._database.reading() as connection:
            stored = positions.read(connection, partitions)
            copied = dict.fromkeys(partitions, 0) | copies.versions(connection, partitions)
            whole = positions.compare_all(self._store, connection, stored, copied)
        for partition, is_whole in whole.items():
            if is_whole or self._put_back(partition):
                self._positions[partition], self._copied[partition] = stored.get(partition), copied[partition]
                self.lost.discard(partition)
        # A process that died after its transaction has not told the group.
        self._move_groups(each for each in stored if each in self._positions)

    def _go_on(self, partition: int, _done: Replayed) -> None:
        # A command may have taken the partition, to restore all of it.
        self._leases.check(partition)

    def _put_back(self, partition: int) -> bool:
        """Put back what Redis lost; return False if it has lost everything, which only a command restores."""
        log = get_logger().bind(partition=partition)
        if partition not in self.lost:
            log.error("Redis has lost events that the ledger has")
        self.lost.add(partition)
        done = self._restore.put_back(partition)
        if done is not None:
            log.error("what Redis had lost is put back", entries=done.entries, refused=done.refused[:10])
        return done is not None

    def _copy(self, partition: int, noted: dict[str, int]) -> int:
        # It is forgotten if anything fails: what the database has is the truth.
        before, position = self._copied.pop(partition), self._positions.pop(partition)
        latest = self._copies.copy(partition, before, noted)
        if latest is None:
            get_logger().warning("another process writes this partition", partition=partition)
            return 0
        self._copied[partition], self._positions[partition] = latest, position
        return len(noted)

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
                batch = rows_of(run, discount_ids)
                sealed.seal(list(batch.discounts.values()), self._sealer)
                writer.write(connection, batch)
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


def _is_list(reply: object) -> bool:
    return isinstance(reply, list)


def _read_after(partition: int, position: Position | None, count: int) -> Command:
    start = f"({position.entry_id}" if position else "-"
    return "XRANGE", keys.events(partition), start, "+", "COUNT", count
