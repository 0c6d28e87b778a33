"""Delete rows that are older than their retention period: figures by minute and by hour, events, changes, uses."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, literal_column, select, tuple_

from discount.ledger.database import Database
from discount.ledger.rows import STEPS
from discount.ledger.tables import CHANGES, EVENTS, FIGURES, REDEMPTIONS

#: Rows that are deleted in one transaction, and the most of them in a turn.
TOGETHER, MOST = 5_000, 50_000
# The column with the time of a row, by the name of what is kept. Figures by day are kept for good.
_TIMES = {
    "minute": FIGURES.c.at,
    "hour": FIGURES.c.at,
    "events": EVENTS.c.at,
    "changes": CHANGES.c.at,
    "uses": REDEMPTIONS.c.redeemed_at,
}


class RowRetention:
    """The deletion of old rows, a limited number at a time.

    Args:
        days: for how many days `events`, `changes`, `uses`, and the figures by `minute` and by `hour` are kept; None
            keeps them for good.
    """

    def __init__(self, database: Database, days: Mapping[str, int | None]) -> None:
        self._database = database
        self._days = days

    def turn(self, now: int) -> int:
        """Delete rows that are old at `now`; return how many were deleted, `MOST` at most of each kind.

        Raises:
            Unavailable: the database does not answer.
        """
        return sum(self._delete(name, now - days * STEPS["day"]) for name, days in self._days.items() if days)

    def _delete(self, name: str, before: int) -> int:
        time = _TIMES[name]
        is_old: ColumnElement[bool] = time < before
        if name in STEPS:
            # The second condition is that of the index.
            is_old &= (FIGURES.c.step == name) & (FIGURES.c.step != literal_column("'day'"))
        table: Any = time.table
        return self._delete_rows(table, is_old)

    def _delete_rows(self, table: Table, is_old: ColumnElement[bool]) -> int:
        key = tuple(table.primary_key.columns)
        old = select(*key).where(is_old).limit(TOGETHER)
        deleted = 0
        while deleted < MOST:
            with self._database.writing() as connection:
                count = connection.execute(delete(table).where(tuple_(*key).in_(old))).rowcount
            deleted += count
            if count < TOGETHER:
                break
        return deleted
