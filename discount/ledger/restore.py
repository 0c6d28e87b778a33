"""Put back into Redis what it lost and the ledger has: its last moment, or everything.

While a partition is being restored, `{pp}:restoring` stands in it, and names the last entry that is done. So a restore
that was interrupted goes on where it stopped.
"""

from sqlalchemy import Connection, select

from discount.domain import events
from discount.ledger import LedgerError, positions, sealed, windows
from discount.ledger.database import Database
from discount.ledger.replay import Replay
from discount.ledger.replayed_entries import Replayed
from discount.ledger.tables import EVENTS
from discount.security.sealing import Sealer
from discount.services import outbox
from discount.store import installation, keys
from discount.store.connection import Store
from discount.store.exchanges import Command

#: Entries of the outbox that are looked at together.
PAGE = 200


class Restore:
    """The restoration of a Redis, partition by partition.

    Args:
        keep: the seconds for which events are kept in the outbox.
    """

    def __init__(self, store: Store, database: Database, sealer: Sealer, keep: int) -> None:
        self._store = store
        self._database = database
        self._sealer = sealer
        self._keep = keep

    def partition(self, partition: int) -> Replayed:
        """Restore an empty partition, or go on with one.

        Raises:
            LedgerError: the partition is not empty, or a code sequence cannot be made again.
            Unavailable
        """
        marker = keys.restoring(partition)
        done, known = self._store.commands([("GET", marker), ("ZCARD", keys.discounts(partition))])
        if done is None and known:
            raise LedgerError(f"partition {partition:02x} is not empty; only an empty Redis is restored")
        with self._database.reading() as connection:
            position = positions.read(connection, [partition]).get(partition)
        if position is None:
            return Replayed()
        if done is None:
            self._store.command("SET", marker, windows.START)
        result = self._replay(partition, done or windows.START, self._store.now() - self._keep * 1_000_000)
        self._end_outbox(partition, position, result)
        self._store.command("DEL", marker)
        return result

    def put_back(self, partition: int) -> Replayed | None:
        """Put back what Redis lost after the last entry that it shares with the ledger.

        Returns:
            None if there is no such entry: Redis has lost everything, or has never had it.

        Raises:
            LedgerError: a code sequence cannot be made again.
            Unavailable
        """
        marker = keys.restoring(partition)
        with self._database.reading() as connection:
            position = positions.read(connection, [partition]).get(partition)
            if position is None:
                return Replayed()
            after = self._store.command("GET", marker) or self._shared(connection, partition, position)
        if after is None:
            return None
        self._store.command("SET", marker, after)
        result = self._replay(partition, after, 0)
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

    def _replay(self, partition: int, after: str, keep_from: int) -> Replayed:
        return Replay(self._store, self._database, self._sealer, partition, keep_from=keep_from).run(after)

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
