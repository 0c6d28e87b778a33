"""How often somebody may ask: windows of requests in Redis, counted by a library, or by the guard of a script."""

import math
import time
from dataclasses import dataclass
from functools import lru_cache

import limits
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry


@dataclass(frozen=True, slots=True, eq=False)
class Rate:
    """`most` requests in a window of `seconds`, for whoever of that kind. It is compared by being the same one."""

    kind: str
    who: str
    most: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests that are `left` of a window, and the seconds to its end; negative: there was none left for this one."""

    most: int
    left: int
    reset: int


class Rates:
    """The rates of the settings. A Redis that is away or full counts nothing, and lets everybody pass.

    Args:
        texts: by kind, like `100/minute`, or `off`.
    """

    def __init__(self, redis_url: str, timeout: float, texts: dict[str, str]) -> None:
        self._items = {kind: limits.parse(text) for kind, text in texts.items() if text != "off"}
        url = "redis+" + redis_url if redis_url.startswith("unix:") else redis_url
        options = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": Retry(NoBackoff(), 0)}
        self.rate = lru_cache(maxsize=4096)(self._rate)
        self._limiter = FixedWindowRateLimiter(RedisStorage(url, **options))  # type: ignore[arg-type]

    def _rate(self, kind: str, who: str) -> Rate | None:
        """The rate of somebody, for a guard to count; None if there is none."""
        item = self._items.get(kind)
        return Rate(kind, who, item.amount, item.get_expiry()) if item else None

    def count(self, kind: str, who: str) -> Counted | None:
        """Count a request; None if nothing is counted."""
        item = self._items.get(kind)
        if item is None:
            return None
        try:
            passed = self._limiter.hit(item, kind, who)
            window = self._limiter.get_window_stats(item, kind, who)
        except RedisError:
            return None
        reset = max(0, math.ceil(window.reset_time - time.time()))
        return Counted(item.amount, window.remaining if passed else -1, reset)
