"""Leases: which process writes, and restores, which partitions of the ledger."""

import time
from collections.abc import Callable
from typing import Any

from discount.domain.errors import Unavailable
from discount.store import keys
from discount.store.connection import Store

#: Milliseconds for which a partition belongs to the process that last read it.
LEASE = 10_000
#: Seconds after which a process looks again which partitions are its own.
RENEW = LEASE / 3000


class Leases:
    """The partitions of one process.

    Args:
        name: a name that no other process uses.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._names = [keys.ledger_lease(each) for each in range(store.partitions)]
        self._renew_at = 0.0
        #: The partitions that are this process's, as it last saw.
        self.owned: list[int] = []

    def renew(self) -> list[int]:
        """Return the partitions that are this process's; now and then, keep their leases and take those that ended."""
        if time.monotonic() >= self._renew_at:
            self._take("NX")
        return self.owned

    def check(self, partition: int) -> None:
        """Go on with long work on a partition.

        Raises:
            Unavailable: it is another process's by now.
        """
        if partition not in self.renew():
            raise Unavailable(f"Another process restores or writes partition {partition:02x}.")

    def take_all(self, pause: Callable[[float], None] = time.sleep) -> None:
        """Take every partition from the processes that have them, and wait until these have noticed."""
        has_others = any(owner not in (None, self._name) for owner in self._owners())
        self._take()
        if has_others:
            pause(RENEW + 1)

    def end(self) -> None:
        """Leave this process's partitions to others. Those that cannot be reached are free in `LEASE` anyway."""
        self._store.each([("DEL", self._names[each]) for each in self.owned])

    def _take(self, *condition: str) -> None:
        self._store.each([("SET", name, self._name, *condition, "PX", LEASE) for name in self._names])
        owners = self._owners()
        self.owned = [each for each, owner in enumerate(owners) if owner == self._name]
        self._store.each([("PEXPIRE", self._names[each], LEASE) for each in self.owned])
        self._renew_at = time.monotonic() + RENEW

    def _owners(self) -> list[Any]:
        return self._store.each([("GET", name) for name in self._names])
