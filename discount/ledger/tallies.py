"""Write what processes counted, repeated grants and refusals, into the figures of the ledger."""

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Connection, select, text, tuple_

from discount.domain.errors import NotFound, Unavailable
from discount.ledger.database import Database
from discount.ledger.rows import STEPS, Row
from discount.ledger.tables import FIGURES
from discount.ledger.writer import insert
from discount.services import discounts, tallies
from discount.services.tallies import Tally
from discount.store.connection import Store

#: Microseconds after which a number no longer changes: processes count by the clock of Redis, minute by minute.
OVER = 2 * STEPS["minute"]
#: Rows that are compared together.
TOGETHER = 500
_SUMS = ("count", "amount", "discount_amount")
_KEY = (FIGURES.c.discount_id, FIGURES.c.at, FIGURES.c.type)


class TallyReader:
    """The writer of the counted numbers of the partitions that this process reads.

    The number of a minute in Redis only rises, and the ledger adds what it has risen by. So a death at any point
    neither loses nor doubles what Redis has.

    Args:
        partitions: returns the partitions that are this process's.
    """

    def __init__(self, store: Store, database: Database, partitions: Callable[[], Iterable[int]]) -> None:
        self._store = store
        self._database = database
        self._partitions = partitions
        #: What the ledger has of each partition, as far as this process wrote it.
        self._written: dict[int, set[Tally]] = {}

    def turn(self) -> int:
        """Write what has changed, and remove from Redis what is over; return how many numbers were written.

        Raises:
            Unavailable: the database does not answer, or no partition can be reached.
        """
        now = self._store.now()
        return sum(self._turn_in(each, now) for each in self._partitions())

    def _turn_in(self, partition: int, now: int) -> int:
        try:
            found = tallies.read(self._store, partition)
            known = self._written.get(partition, set())
            rows = self._rows([each for each in found if each not in known])
        except Unavailable:
            # Its node is away; other partitions go on.
            return 0
        if rows:
            with self._database.writing() as connection:
                _add(connection, rows)
        over = [each for each in found if each.at + OVER <= now]
        self._written[partition] = set(found).difference(over)
        if over:
            tallies.drop(self._store, partition, over)
        return len(rows)

    def _rows(self, found: Iterable[Tally]) -> list[Row]:
        rows = []
        for each in found:
            try:
                brand_id = discounts.get_definition(self._store, each.discount_id).brand_id
            except NotFound:
                continue
            rows.append(_row((each.discount_id, "minute", each.at, each.word), brand_id, each.count))
        return rows


def _row(key: tuple[str, str, int, str], brand_id: str, count: int) -> Row:
    return {
        **dict(zip(("discount_id", "step", "at", "type"), key, strict=True)),
        "currency": "",
        "brand_id": brand_id,
        "count": count,
        "amount": 0,
        "discount_amount": 0,
    }


def _add(connection: Connection, minutes: Sequence[Row]) -> None:
    """Add to minutes, hours and days what the numbers of minutes have risen by."""
    if connection.dialect.name != "sqlite":
        # Two owners of a partition would add the same twice. SQLite has one writer at a time anyway.
        connection.execute(text("SELECT pg_advisory_xact_lock(7307202)"))
    before: dict[tuple[str, int, str], int] = {}
    for first in range(0, len(minutes), TOGETHER):
        wanted = [(row["discount_id"], row["at"], row["type"]) for row in minutes[first : first + TOGETHER]]
        stored = select(*_KEY, FIGURES.c["count"]).where((FIGURES.c.step == "minute") & tuple_(*_KEY).in_(wanted))
        before |= {(row[0], row[1], row[2]): row[3] for row in connection.execute(stored)}
    added: dict[tuple[str, str, int, str], Row] = {}
    for row in minutes:
        more = row["count"] - before.get((row["discount_id"], row["at"], row["type"]), 0)
        # Less than before is what a Redis that lost data counts since.
        for step, size in STEPS.items() if more > 0 else ():
            at = row["at"] - row["at"] % size
            key = (row["discount_id"], step, at, row["type"])
            sums = added.setdefault(key, _row(key, row["brand_id"], 0))
            sums["count"] += more
    insert(connection, FIGURES, added.values(), sets=dict.fromkeys(_SUMS, "added"))
