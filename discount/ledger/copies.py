"""Sealed copies of the keys that no event tells of: brands, API keys, contacts, webhooks, lists of users, identities.

Scripts note each change of such a key in `{pp}:uncopied`, with a version that rises by one each time. The worker copies
what is noted, and a forgotten user's keys are gone from here as soon as from Redis.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, select, update

from discount.domain.errors import Unavailable
from discount.ledger import LedgerError, writer
from discount.ledger.database import Database
from discount.ledger.tables import COPIES, COPY_POSITIONS
from discount.security.sealing import Sealer
from discount.services import copies
from discount.services.copies import FIRST, Copy
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command

#: The most keys that are copied together.
TOGETHER = 1_000


class Copies:
    """Copies keys into the ledger, and writes copies into Redis."""

    def __init__(self, store: Store, database: Database, sealer: Sealer) -> None:
        self._store = store
        self._database = database
        self._sealer = sealer

    def copy(self, partition: int, before: int, noted: Mapping[str, int]) -> int | None:
        """Copy keys, and return the version of the latest change that is copied now; None if another process was first.

        Args:
            before: the version up to which this process believes that everything is copied.
            noted: versions by the names of keys, as `noted_in` returns them.

        Raises:
            Unavailable: the database or Redis does not answer.
        """
        latest, uncopied = max(FIRST, before, *noted.values()), keys.uncopied(partition)
        # What changed before there was a ledger has no version: the next one must be later than what is copied now.
        self._store.command("ZADD", uncopied, "GT", latest + 1, "")
        found = copies.read(self._store, list(noted))
        rows = [
            {"name": name, "partition": partition, "version": max(FIRST, noted[name]), "sealed": self._seal(name, copy)}
            for name, copy in found.items()
            if copy is not None or keys.is_secret(name)
        ]
        gone = [name for name in noted if found[name] is None and not keys.is_secret(name)]
        with self._database.writing() as connection:
            if not _move(connection, partition, before, latest):
                connection.rollback()
                return None
            writer.insert(connection, COPIES, rows, sets={"version": "excluded", "sealed": "excluded"})
            if gone:
                connection.execute(delete(COPIES).where(COPIES.c.name.in_(gone)))
        self._store.run("note_copied", [uncopied], [each for pair in noted.items() for each in pair])
        return latest

    def put_back(self, partition: int, after: int, *, quotas: bool) -> int:
        """Write the copies of changes after a version into Redis; return how many there are.

        Args:
            quotas: whether only brands' own quotas are written, or all but these. They come last: events that are
                replayed were allowed when they happened.

        Raises:
            LedgerError: they are sealed with another SECRET.
            Unavailable
        """
        count = 0
        this = and_(COPIES.c.partition == partition, COPIES.c.version > after)
        for rows in self._pages(this):
            wanted = [row for row in rows if row.name.startswith(keys.usage(partition)) == quotas]
            opened = {row.name: self._open(row.name, row.sealed) for row in wanted}
            copies.write(self._store, opened)
            count += len(opened)
        with self._database.reading() as connection:
            latest = versions(connection, [partition]).get(partition, 0)
        # The planner reads the webhooks again.
        self._store.commands(
            [("INCR", keys.targets(partition)), ("ZADD", keys.uncopied(partition), "GT", latest + 1, "")]
        )
        return count

    def copy_secrets_again(self, partition: int) -> None:
        """Note all API keys and webhooks: when they were last used, and whether they are gone, is not always noted."""
        for rows in self._pages(and_(COPIES.c.partition == partition, COPIES.c.sealed != "")):
            copies.note(self._store, [row.name for row in rows if keys.is_secret(row.name)])

    def copy_all_again(self, partition: int) -> None:
        """Note all that is copied, such as after a change of SECRET."""
        for rows in self._pages(COPIES.c.partition == partition):
            copies.note(self._store, [row.name for row in rows])

    def _pages(self, this: Any) -> Iterator[Sequence[Any]]:
        after = ""
        while True:
            wanted = select(COPIES).where(this & (COPIES.c.name > after)).order_by(COPIES.c.name).limit(TOGETHER)
            with self._database.reading() as connection:
                rows = connection.execute(wanted).all()
            if not rows:
                return
            yield rows
            after = rows[-1].name

    def _seal(self, name: str, copy: Copy | None) -> str:
        return self._sealer.seal(json.dumps(copy), name) if copy is not None else ""

    def _open(self, name: str, sealed: str) -> Copy | None:
        if not sealed:
            return None
        text = self._sealer.open(sealed, name)
        if text is None:
            raise LedgerError("the copies of brands, keys, contacts and webhooks are sealed with another SECRET")
        kind, value = json.loads(text)
        return kind, value


def read_noted(partition: int) -> Command:
    """Return the command that reads which keys changed."""
    # One more: the version of the next change is among them.
    return "ZRANGE", keys.uncopied(partition), 0, TOGETHER, "WITHSCORES"


def noted_in(reply: Sequence[str]) -> dict[str, int]:
    """Return versions by the names of keys, of a reply to `read_noted`."""
    return {name: int(version) for name, version in zip(reply[::2], reply[1::2], strict=True) if name}


def open_notes(partition: int) -> Command:
    """Return the command after which changes are noted."""
    return "ZADD", keys.uncopied(partition), "NX", FIRST, ""


def versions(connection: Connection, partitions: Iterable[int]) -> dict[int, int]:
    """Return the version of the latest change that is copied, by partition that has one."""
    wanted = select(COPY_POSITIONS).where(COPY_POSITIONS.c.partition.in_(list(partitions)))
    return {row.partition: row.version for row in connection.execute(wanted)}


def compare(store: Store, copied: Mapping[int, int]) -> dict[int, bool]:
    """Return whether Redis has all changes that were copied, by partition that can be reached."""
    replies = store.each([("ZSCORE", keys.uncopied(each), "") for each in copied])
    return {
        partition: int(reply or FIRST) > version
        for (partition, version), reply in zip(copied.items(), replies, strict=True)
        if not isinstance(reply, Unavailable)
    }


def next_version(store: Store, partition: int) -> int:
    """Return the version of the next change; `FIRST` if there was none."""
    return int(store.command("ZSCORE", keys.uncopied(partition), "") or FIRST)


def _move(connection: Connection, partition: int, before: int, after: int) -> bool:
    """Set the version of a partition; return False if it is not `before`, as another process has moved it."""
    if before == 0:
        writer.insert(connection, COPY_POSITIONS, [{"partition": partition, "version": 0}], sets={})
    this = (COPY_POSITIONS.c.partition == partition) & (COPY_POSITIONS.c.version == before)
    return connection.execute(update(COPY_POSITIONS).where(this).values(version=after)).rowcount == 1
