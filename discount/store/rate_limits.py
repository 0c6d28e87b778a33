"""Rate limits: fixed windows in Redis, counted by the limits library, or by the guard of a script."""

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
    """At most `most` requests in a window of `seconds`, for one caller or address.

    Compared by identity: instances are cached.
    """

    kind: str
    who: str
    most: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Counted:
    """The limit of a window, the requests `left` in it, and the seconds to its end.

    `left` is negative for a request over the limit.
    """

    most: int
    left: int
    reset: int


class Rates:
    """The rate limits of the settings. While Redis is away or full, nothing is counted and every request may pass.

    Args:
        texts: the limits by kind of caller, such as `100/minute`, or `off`.
    """

    def __init__(self, redis_url: str, timeout: float, texts: dict[str, str]) -> None:
        self._items = {kind: limits.parse(text) for kind, text in texts.items() if text != "off"}
        url = "redis+" + redis_url if redis_url.startswith("unix:") else redis_url
        options = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": Retry(NoBackoff(), 0)}
        self.rate = lru_cache(maxsize=4096)(self._rate)
        self._limiter = FixedWindowRateLimiter(RedisStorage(url, **options))  # type: ignore[arg-type]

    def _rate(self, kind: str, who: str) -> Rate | None:
        """Return the rate limit of a caller or address, for a guard to count; None if it has no limit."""
        item = self._items.get(kind)
        return Rate(kind, who, item.amount, item.get_expiry()) if item else None

    def count(self, kind: str, who: str) -> Counted | None:
        """Count a request and return its window; None if there is no limit, or Redis cannot count."""
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
