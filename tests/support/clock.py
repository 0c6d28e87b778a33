"""A clock for Redis, fake or real, that a test can move on; the service's code stays as it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from discount import store as store_module
from discount.store import SCRIPTS, Store, scripts

_KEY = "test:seconds-ahead"
_MOVED = (
    "local function now() local t = redis.call('TIME') "
    f"local ahead = tonumber(redis.call('GET', '{_KEY}') or '0') "
    "return string.format('%.0f', tonumber(t[1]) + ahead) .. string.format('%06d', t[2]) end "
)


class Clock:
    """The clock that the scripts and the verbs see. Made before the first script is sent."""

    def __init__(self, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._redis = redis
        self._ahead = 0
        for name, script in SCRIPTS.items():
            moved = replace(script, source=script.source.replace(scripts._PRELUDE, _MOVED))
            assert moved.source != script.source
            monkeypatch.setitem(SCRIPTS, name, moved)
            monkeypatch.setitem(store_module._DIGESTS, name, moved.digests)
        commands = Store.commands

        def shifted(store: Store, given: Sequence[Any]) -> list[Any]:
            replies = commands(store, given)
            return [
                [str(int(reply[0]) + self._ahead), reply[1]] if command == ("TIME",) else reply
                for command, reply in zip(given, replies, strict=True)
            ]

        monkeypatch.setattr(Store, "commands", shifted)

    def reset(self) -> None:
        """Back to the server's own time, on a server that was emptied."""
        self._ahead = 0

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        seconds, rest = self._redis.time()
        return (int(seconds) + self._ahead) * 1_000_000 + int(rest)

    def move(self, seconds: int) -> None:
        """Let so many seconds pass; what would expire meanwhile is gone, what would not is nearer to it."""
        for key in self._redis.keys("*"):
            left = self._redis.pttl(key)
            if left >= 0:
                self._redis.pexpire(key, max(0, left - seconds * 1000))
        self._ahead += seconds
        self._redis.set(_KEY, str(self._ahead))
