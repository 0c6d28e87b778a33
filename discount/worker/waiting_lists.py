"""End claims of codes that were not used, and grant codes to users who wait for them."""

from discount.domain.errors import NotFound
from discount.services import claims, waiting_lists
from discount.services.partitions import ask_each
from discount.store import keys
from discount.store.connection import Store

#: The most claims of one partition that a turn ends.
CLAIMS = 100
#: The most waiting lists of one partition that a turn looks at.
LISTS = 20


class WaitingLists:
    """The waiting lists for which codes may be free. Several workers may serve them at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def turn(self) -> int:
        """End the claims that are due, and serve the lists that are; return how many of both there were."""
        now = self._store.now()
        bounds = ("-inf", now, "BYSCORE", "LIMIT", 0)
        ended, _ = ask_each(self._store, lambda partition: ("ZRANGE", keys.claims(partition), *bounds, CLAIMS))
        for partition, found in ended.items():
            for each in found:
                claims.end(self._store, partition, each, now)
        # Read after the claims: a code that came back may be for a list.
        due, _ = ask_each(self._store, lambda partition: ("ZRANGE", keys.waits_due(partition), *bounds, LISTS))
        for partition, found in due.items():
            for discount_id in found:
                self._serve(partition, discount_id)
        return sum(map(len, (*ended.values(), *due.values())))

    def _serve(self, partition: int, discount_id: str) -> None:
        try:
            waiting_lists.serve(self._store, discount_id)
        except NotFound:
            self._store.command("ZREM", keys.waits_due(partition), discount_id)
