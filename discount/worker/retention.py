"""Uses that are older than anybody wants them kept, some at a time."""

from discount.services import redemption_lists
from discount.store import keys
from discount.store.connection import Store

#: Discounts of a partition looked at in a turn, and uses of each that are let go in it.
DISCOUNTS = 100
USES = 1000
_DAY = 86_400_000_000


class Retention:
    """Lets go of uses after so many days; of none where no days are given. Counts, sums and limits stay as they are."""

    def __init__(self, store: Store, days: int | None) -> None:
        self._store = store
        self._days = days
        #: Where the next turn goes on in each partition.
        self._places = dict.fromkeys(range(store.partitions), "-inf")

    def turn(self) -> int:
        """Look at the next discounts of each partition; how many uses were let go."""
        if self._days is None:
            return 0
        before = self._store.now() - self._days * _DAY
        return sum(self._turn_in(partition, before) for partition in self._places)

    def _turn_in(self, partition: int, before: int) -> int:
        rows = self._store.command(
            *("ZRANGEBYSCORE", keys.discounts(partition), self._places[partition], "+inf"),
            *("WITHSCORES", "LIMIT", 0, DISCOUNTS),
        )
        done = sum(redemption_lists.drop(self._store, each, before, USES) for each in rows[::2])
        # From the beginning again, once all were looked at.
        self._places[partition] = f"({int(float(rows[-1]))}" if len(rows) == 2 * DISCOUNTS else "-inf"
        return done
