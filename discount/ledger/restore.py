"""Put back into Redis what it lost and the ledger has: its last moment, or everything.

While a partition is being restored, `{pp}:restoring` stands in it, and names the last entry that is done. So a restore
that was interrupted goes on where it stopped.
"""

from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection, select

from discount.domain import events, ids
from discount.ledger import LedgerError, copies, positions, sealed, windows
from discount.ledger.copies import Copies
from discount.ledger.database import Database
from discount.ledger.replay import Replay
from discount.ledger.replayed_entries import Replayed
from discount.ledger.tables import EVENTS
from discount.security.sealing import Sealer
from discount.services import outbox
from discount.services.copies import FIRST
from discount.store import installation, keys
from discount.store.connection import Store
from discount.store.exchanges import Command

#: Entries of the outbox that are looked at together.
PAGE = 200
#: The field of an installation that is there while all of the partition is restored.
WHOLE = "restoring"


class Restore:
    """The restoration of a Redis, partition by partition.

    Args:
        keep: the seconds for which events are kept in the outbox.
        tell: called now and then with what is done of a partition; an exception that it raises interrupts the restore.
    """

    def __init__(
        self,
        store: Store,
        database: Database,
        sealer: Sealer,
        keep: int,
        tell: Callable[[int, Replayed], None] = lambda _partition, _done: None,
    ) -> None:
        self._store = store
        self._database = database
        self._sealer = sealer
        self._keep = keep
        self._copies = Copies(store, database, sealer)
        self._tell = tell

    def begin(self) -> list[int]:
        """Begin to restore everything, or go on; return the partitions that are to be restored.

        Raises:
            LedgerError: a partition is not empty.
            Unavailable
        """
        partitions = range(self._store.partitions)
        replies = self._store.commands(
            [
                command
                for each in partitions
                for command in (
                    ("HEXISTS", keys.installation(each), WHOLE),
                    ("EXISTS", keys.discounts(each), keys.brands(each), keys.restoring(each)),
                )
            ]
        )
        begun = {each for each, reply in zip(partitions, replies[::2], strict=True) if reply}
        # If a restore was stopped, these are done.
        filled = {each for each, reply in zip(partitions, replies[1::2], strict=True) if reply} - begun
        if filled and not begun:
            raise LedgerError(f"partition {min(filled):02x} is not empty; only an empty Redis is restored")
        wanted = [each for each in partitions if each not in filled]
        self._store.commands([("HSET", keys.installation(each), WHOLE, 1) for each in wanted])
        return wanted

    def partition(self, partition: int) -> Replayed:
        """Restore a partition that `begin` has named, or go on with it.

        Raises:
            LedgerError: a code sequence cannot be made again, or copies are sealed with another SECRET.
            Unavailable
        """
        marker, flag = keys.restoring(partition), ("HDEL", keys.installation(partition), WHOLE)
        done = self._store.command("GET", marker)
        with self._database.reading() as connection:
            position = positions.read(connection, [partition]).get(partition)
            copied = copies.versions(connection, [partition]).get(partition)
        if position is None and copied is None:
            self._store.command(*flag)
            return Replayed()
        if done is None:
            self._store.command("SET", marker, windows.START)
        count = 0
        if done in (None, windows.START):
            # Before the events: what brands and users are is the same as it was then.
            count = self._copies.put_back(partition, 0, quotas=False)
        result = Replayed()
        if position is not None:
            result = self._replay(partition, done or windows.START, self._store.now() - self._keep * 1_000_000)
            self._end_outbox(partition, position, result)
        result.copies = count + self._copies.put_back(partition, 0, quotas=True)
        self._webhooks_of_discounts(partition)
        self._store.commands([flag, ("DEL", marker)])
        return result

    def put_back(self, partition: int) -> Replayed | None:
        """Put back what Redis lost after the last entry that it shares with the ledger.

        Returns:
            None if there is no such entry: Redis has lost everything, or has never had it. A restore of everything is
            left to the command as well.

        Raises:
            LedgerError: a code sequence cannot be made again.
            Unavailable
        """
        marker = keys.restoring(partition)
        if self._store.command("HEXISTS", keys.installation(partition), WHOLE):
            return None
        with self._database.reading() as connection:
            position = positions.read(connection, [partition]).get(partition)
            copied = copies.versions(connection, [partition]).get(partition, 0)
            done = self._store.command("GET", marker)
            after = done or self._last_shared(connection, partition, position)
        changed = copies.next_version(self._store, partition) - 1
        has_nothing = done is None and changed < FIRST <= copied and not self._has_any(partition)
        if after is None or has_nothing:
            return None
        self._store.command("SET", marker, after)
        count = self._copies.put_back(partition, changed, quotas=False)
        count += self._copies.put_back(partition, changed, quotas=True)
        if position is None:
            self._store.command("DEL", marker)
            return Replayed(copies=count)
        result = self._replay(partition, after, 0)
        result.copies = count
        with self._database.reading() as connection:
            is_whole = positions.compare(self._store, connection, {partition: position})
        if not is_whole.get(partition):
            # Redis has gone on, so that the outbox takes no earlier entries.
            self._store.command("SET", keys.trimmed(partition), position.entry_id)
        self._store.command("DEL", marker)
        return result

    def restore_secret(self) -> None:
        """Give Redis the secret that the ledger keeps, if it is a generated one."""
        with self._database.reading() as connection:
            kept = sealed.kept_secret(connection)
        if kept is not None and installation.kept_secret(kept) is not None:
            self._store.commands(
                [("HSET", keys.installation(each), sealed.SECRET, kept) for each in range(self._store.partitions)]
            )

    def _has_any(self, partition: int) -> bool:
        """Return whether Redis has a brand or a discount."""
        return any(self._store.commands([("EXISTS", keys.brands(partition)), ("EXISTS", keys.numbers(partition))]))

    def _webhooks_of_discounts(self, partition: int) -> None:
        """Let each discount name the webhook that it has, which may be another one than it was created with."""
        discount_ids = self._store.command("HVALS", keys.numbers(partition))
        for first in range(0, len(discount_ids), PAGE):
            together = discount_ids[first : first + PAGE]
            webhook_ids = [ids.make_webhook_id(partition, each) for each in together]
            found = self._store.commands([("EXISTS", keys.webhook(partition, each)) for each in webhook_ids])
            self._store.commands(
                [
                    ("HSET", keys.discount(partition, discount_id), "webhook", webhook_id)
                    if exists
                    else ("HDEL", keys.discount(partition, discount_id), "webhook")
                    for discount_id, webhook_id, exists in zip(together, webhook_ids, found, strict=True)
                ]
            )

    def _replay(self, partition: int, after: str, keep_from: int) -> Replayed:
        replay = Replay(self._store, self._database, self._sealer, partition, keep_from=keep_from)
        return replay.run(after, partial(self._tell, partition))

    def _last_shared(self, connection: Connection, partition: int, position: positions.Position | None) -> str | None:
        if position is None:
            return windows.START
        if positions.compare(self._store, connection, {partition: position}).get(partition):
            return position.entry_id
        return self._shared(connection, partition, position)

    def _shared(self, connection: Connection, partition: int, position: positions.Position) -> str | None:
        """Return the last entry of the outbox, up to the ledger's position, that the ledger has as well."""
        last = position.entry_id
        while rows := self._store.command("XREVRANGE", keys.events(partition), last, "-", "COUNT", PAGE):
            entries = events.read_entries(partition, rows)
            this = (EVENTS.c.partition == partition) & EVENTS.c.entry_id.in_([each.entry_id for each in entries])
            known = set(connection.execute(select(EVENTS.c.event_id).where(this)).scalars())
            found = next((each.entry_id for each in entries if each.event_id in known), None)
            if found is not None:
                return found
            last = f"({rows[-1][0]}"
        trimmed: str | None = self._store.command("GET", keys.trimmed(partition))
        return trimmed

    def _end_outbox(self, partition: int, position: positions.Position, result: Replayed) -> None:
        """Let the outbox go on after the ledger's position, with nothing left to be told."""
        stream = keys.events(partition)
        for group in (outbox.GROUP, positions.GROUP):
            self._store.run("open_group", [stream], [group])
        last = max(
            position.entry_id, windows.place_in(self._store.command(*windows.last_entry(partition))), key=events.parts
        )
        commands: list[Command] = [("XSETID", stream, last)]
        commands += [("XGROUP", "SETID", stream, group, last) for group in (outbox.GROUP, positions.GROUP)]
        if result.dropped:
            commands.append(("SET", keys.trimmed(partition), result.dropped))
        self._store.commands(commands)
