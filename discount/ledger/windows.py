"""Windows: the entries between a reading of Redis and the position of the ledger.

Grants go on while the two are read one after the other. What an entry of the window names is counted with that entry,
or is read again later. So nothing is taken for a difference that is only a moment older.
"""

import time
from collections.abc import Callable

from sqlalchemy import Connection, select

from discount.domain import events
from discount.domain.errors import Unavailable
from discount.domain.events import Entry
from discount.ledger.database import Database
from discount.ledger.tables import POSITIONS
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command

#: The place before every entry.
START = "0-0"
#: The most entries of a window.
MOST = 20_000
#: Entries by which the ledger may be behind when a comparison begins, and the seconds in which it has to get there.
NEAR, PATIENCE = 2_000, 60.0


def last_entry(partition: int) -> Command:
    """Return the command that reads the last entry of an outbox."""
    return "XREVRANGE", keys.events(partition), "+", "-", "COUNT", 1


def place_in(reply: list[list[str]]) -> str:
    """Return the place in a reply to `last_entry`."""
    return reply[0][0] if reply else START


def position(connection: Connection, partition: int) -> str:
    """Return the place up to which the ledger has read a partition, as this transaction sees it."""
    found = connection.execute(select(POSITIONS.c.entry_id).where(POSITIONS.c.partition == partition))
    return found.scalar_one_or_none() or START


def between(store: Store, partition: int, *places: str) -> list[Entry]:
    """Return the entries after the first of some places, up to the last of them.

    Raises:
        Unavailable: there are more than MOST.
    """
    first, last = (choose(places, key=events.parts) for choose in (min, max))
    if first == last:
        return []
    reply = store.command("XRANGE", keys.events(partition), f"({first}", last, "COUNT", MOST + 1)
    if len(reply) > MOST:
        raise _behind()
    return events.read_entries(partition, reply)


def await_ledger(store: Store, database: Database, partition: int, pause: Callable[[float], None] = time.sleep) -> None:
    """Wait until the ledger has nearly all entries of a partition.

    Raises:
        Unavailable: it does not get there in time.
    """
    until = time.monotonic() + PATIENCE
    while True:
        with database.reading() as connection:
            place = position(connection, partition)
        if len(store.command("XRANGE", keys.events(partition), f"({place}", "+", "COUNT", NEAR + 1)) <= NEAR:
            return
        if time.monotonic() > until:
            raise _behind()
        pause(0.2)


def _behind() -> Unavailable:
    return Unavailable("The ledger is too far behind Redis to be compared with it; try again later.")
