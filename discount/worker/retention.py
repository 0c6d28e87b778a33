"""Take old redemptions out of Redis, a limited number at a time: those to delete, and those that the ledger keeps."""

from collections.abc import Callable

from discount.services import redemption_lists
from discount.services.partitions import do_each
from discount.services.redemption_lists import Old
from discount.store import keys
from discount.store.connection import Store

#: The most discounts of one partition that a turn looks at, and the most uses of each.
DISCOUNTS = 100
USES = 1000
_DAY = 86_400_000_000


class Retention:
    """The removal of uses from Redis after `days`; None keeps them for good. Counts, sums and limits do not change.

    Args:
        has_all: returns those of some old redemptions that the ledger has exactly as Redis has them; only these are
            let go. None deletes every one.
    """

    def __init__(self, store: Store, days: int | None, has_all: Callable[[list[Old]], list[Old]] | None = None) -> None:
        self._store = store
        self._days = days
        self._has_all = has_all
        #: Where the next turn continues in each partition, as a lower bound for ZRANGEBYSCORE.
        self._continue_at = dict.fromkeys(range(store.partitions), "-inf")
        #: By discount, the time of the uses up to which the ledger lacks some.
        self._passed: dict[str, int] = {}

    def turn(self) -> int:
        """Look at the next discounts of each partition; return how many uses were taken out."""
        if self._days is None:
            return 0
        before = self._store.now() - self._days * _DAY
        return sum(do_each(self._store, lambda partition: self._turn_in(partition, before)))

    def _turn_in(self, partition: int, before: int) -> int:
        rows = self._store.command(
            *("ZRANGEBYSCORE", keys.discounts(partition), self._continue_at[partition], "+inf"),
            *("WITHSCORES", "LIMIT", 0, DISCOUNTS),
        )
        dropped = sum(self._take_out(each, before) for each in rows[::2])
        # After a full page continue behind its last discount; a shorter page was the last one, so start over.
        is_full = len(rows) == 2 * DISCOUNTS
        self._continue_at[partition] = f"({int(float(rows[-1]))}" if is_full else "-inf"
        return dropped

    def _take_out(self, discount_id: str, before: int) -> int:
        since = self._passed.pop(discount_id, 0)
        old = redemption_lists.list_old(self._store, discount_id, since, before, USES)
        if self._has_all is None:
            return redemption_lists.drop(self._store, discount_id, old)
        kept = self._has_all(old)
        if len(kept) < len(old) == USES:
            # The next turn goes on behind them; after the last it starts over.
            self._passed[discount_id] = old[-1].at
        return redemption_lists.drop(self._store, discount_id, kept, let_go=True)
