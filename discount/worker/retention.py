"""Deletes redemptions that are older than the retention period, a limited number at a time."""

from discount.services import redemption_lists
from discount.services.partitions import do_each
from discount.store import keys
from discount.store.connection import Store

#: The most discounts of one partition that a turn looks at, and the most uses of each that it deletes.
DISCOUNTS = 100
USES = 1000
_DAY = 86_400_000_000


class Retention:
    """Deletes uses after `days`; None keeps them for good. Counts, sums and limits do not change."""

    def __init__(self, store: Store, days: int | None) -> None:
        self._store = store
        self._days = days
        #: Where the next turn continues in each partition, as a lower bound for ZRANGEBYSCORE.
        self._continue_at = dict.fromkeys(range(store.partitions), "-inf")

    def turn(self) -> int:
        """Look at the next discounts of each partition; return how many uses were deleted."""
        if self._days is None:
            return 0
        before = self._store.now() - self._days * _DAY
        return sum(do_each(self._store, lambda partition: self._turn_in(partition, before)))

    def _turn_in(self, partition: int, before: int) -> int:
        rows = self._store.command(
            *("ZRANGEBYSCORE", keys.discounts(partition), self._continue_at[partition], "+inf"),
            *("WITHSCORES", "LIMIT", 0, DISCOUNTS),
        )
        dropped = sum(redemption_lists.drop(self._store, each, before, USES) for each in rows[::2])
        # After a full page continue behind its last discount; a shorter page was the last one, so start over.
        is_full = len(rows) == 2 * DISCOUNTS
        self._continue_at[partition] = f"({int(float(rows[-1]))}" if is_full else "-inf"
        return dropped
