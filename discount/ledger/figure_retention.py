"""Deletes figures by minute and by hour that are older than their retention period. Those by day are kept for good."""

from sqlalchemy import delete, literal_column, select, tuple_

from discount.ledger.database import Database
from discount.ledger.rows import STEPS
from discount.ledger.tables import FIGURES

#: Rows that are deleted in one transaction, and the most of them in a turn.
TOGETHER, MOST = 5_000, 50_000


class FigureRetention:
    """Deletes old figures, a limited number at a time.

    Args:
        days: for how many days the figures of each step are kept.
    """

    def __init__(self, database: Database, days: dict[str, int]) -> None:
        self._database = database
        self._days = days

    def turn(self, now: int) -> int:
        """Delete figures that are old at `now`; return how many rows were deleted, `MOST` at most of each step.

        Raises:
            Unavailable: the database does not answer.
        """
        return sum(self._delete(step, now - days * STEPS["day"]) for step, days in self._days.items())

    def _delete(self, step: str, before: int) -> int:
        key = tuple(FIGURES.primary_key.columns)
        # The second condition is that of the index.
        is_old = (FIGURES.c.step == step) & (FIGURES.c.step != literal_column("'day'")) & (FIGURES.c.at < before)
        old = select(*key).where(is_old).limit(TOGETHER)
        deleted = 0
        while deleted < MOST:
            with self._database.writing() as connection:
                count = connection.execute(delete(FIGURES).where(tuple_(*key).in_(old))).rowcount
            deleted += count
            if count < TOGETHER:
                break
        return deleted
