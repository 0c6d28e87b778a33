"""Rate limits: fixed windows in Redis, counted by a script of their own, or by the guard of another script."""

from dataclasses import dataclass, replace
from functools import lru_cache

from discount.domain.errors import TooManyRequests, Unavailable
from discount.domain.rates import Rate, read_rate
from discount.store import keys
from discount.store.connection import Store
from discount.store.guards import Guard


@dataclass(frozen=True, slots=True)
class Counted:
    """The limit of a window, the requests `left` in it, and the seconds to its end.

    `left` is negative for a request over the limit.
    """

    most: int
    left: int
    reset: int


class Rates:
    """The rate limits of the settings.

    A caller is counted in one partition, or in the next one whose node can be reached. If none can, or Redis is full,
    nothing is counted and the request may pass: it then finds out itself what Redis can do.

    Args:
        texts: the limits by kind of caller, such as `100/minute`, or `off`.
    """

    def __init__(self, store: Store, texts: dict[str, str]) -> None:
        self._store = store
        self._limits = {kind: read_rate(text) for kind, text in texts.items() if text != "off"}
        self.rate = lru_cache(maxsize=4096)(self._rate)

    def _rate(self, kind: str, who: str) -> Rate | None:
        """Return the rate limit of a caller or address, for a guard to count; None if it has no limit."""
        limit = self._limits.get(kind)
        return Rate(kind, who, *limit) if limit else None

    def count(self, kind: str, who: str) -> Counted | None:
        """Count a request and return its window; None if there is no limit, or Redis cannot count."""
        rate = self.rate(kind, who)
        if rate is None:
            return None
        home = keys.partition_of(who, self._store.partitions)
        for partition in self._store.nodes.alternatives(home):
            # A window of its own: the guards of other scripts count where those run.
            guard = Guard(caller=replace(rate, kind=f"other {kind}"), partition=partition)
            try:
                self._store.run("count", [], [], guard)
            except TooManyRequests as refusal:
                return Counted(rate.most, -1, int(refusal.facts["retry_after"]))
            except Unavailable:
                continue
            if guard.rate is not None:
                return Counted(*guard.rate)
        return None
