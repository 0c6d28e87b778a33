"""A clock for Redis, fake or real, that only moves when a test moves it. The service's code is not patched for it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from discount.store.connection import Store
from discount.store.scripts import SCRIPTS

_SECOND = 1_000_000
_NOW = ":test:now"
_ENDS = ":test:ends"
# In each partition, as a script of a Cluster reaches the keys of one slot only.
_TAGS = [f"{{{partition:02x}}}" for partition in range(16)]
# Put before each script: it replaces the time, and records expiries instead of setting them.
# Redis itself expires keys by its own clock.
_MOVED = f"""
local redis = (function(real)
  local tag = string.sub(KEYS[1], 1, 4)
  local function call(name, key, value, option, seconds)
    local now = real.call('GET', tag .. '{_NOW}')
    if name == 'TIME' then return {{string.sub(now, 1, -7), string.sub(now, -6)}} end
    if name == 'TTL' then
      local ends = real.call('ZSCORE', tag .. '{_ENDS}', key)
      if not ends then return real.call('TTL', key) end
      return math.floor((tonumber(ends) - tonumber(now)) / {_SECOND} + 0.5)
    end
    assert(option == nil or option == 'EX', 'the clock of the tests does not support this SET')
    real.call('ZREM', tag .. '{_ENDS}', key)
    if option then
      real.call('ZADD', tag .. '{_ENDS}', string.format('%.0f', tonumber(now) + tonumber(seconds) * {_SECOND}), key)
    end
    return real.call('SET', key, value)
  end
  local own = {{TIME = true, TTL = true, SET = true}}
  return {{call = function(name, ...) return (own[name] and call or real.call)(name, ...) end}}
end)(redis)
""".replace("\n", " ")


class Clock:
    """The clock that scripts and services see. Make it before the first script is sent."""

    def __init__(self, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._redis = redis
        for name, script in SCRIPTS.items():
            behind = script.behind_guard and replace(script.behind_guard, source=_MOVED + script.behind_guard.source)
            monkeypatch.setitem(SCRIPTS, name, replace(script, source=_MOVED + script.source, behind_guard=behind))
        commands = Store.commands

        def shifted(store: Store, given: Sequence[Any]) -> list[Any]:
            replies = commands(store, given)
            return [
                list(map(str, divmod(self._now, _SECOND))) if command[0] == "TIME" else reply
                for command, reply in zip(given, replies, strict=True)
            ]

        monkeypatch.setattr(Store, "commands", shifted)
        self.reset()

    def reset(self, moment: int | None = None) -> None:
        """Start again on an emptied server, at a moment after 2001 or at the server's own time."""
        seconds, rest = self._redis.time()
        self._now = int(seconds) * _SECOND + int(rest) if moment is None else moment
        self._store_time()

    def now(self) -> int:
        """Return the microseconds since 1970 UTC."""
        return self._now

    def move(self, seconds: float) -> None:
        """Move on by a number of seconds."""
        self.go_to(self._now + round(seconds * _SECOND))

    def go_to(self, moment: int) -> None:
        """Move on to a moment, and delete the keys that would have expired by then."""
        assert moment >= self._now
        self._now = moment
        self._store_time()
        with self._redis.pipeline(transaction=False) as asked:
            for tag in _TAGS:
                asked.zrangebyscore(tag + _ENDS, "-inf", moment)
            replies = asked.execute()
        for tag, ended in zip(_TAGS, replies, strict=True):
            if ended:
                self._redis.delete(*ended)
                self._redis.zrem(tag + _ENDS, *ended)

    def _store_time(self) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            for tag in _TAGS:
                pipeline.set(tag + _NOW, str(self._now))
            pipeline.execute()
