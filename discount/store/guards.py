"""The guard: a script checks the caller's API key and counts the request before it acts."""

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from discount.domain.rates import Rate
from discount.store import keys

_REFUSED_BY_GUARD = ("unauthenticated", "too-many-requests")


class Guard(Struct):
    """One request's guard; one without fields checks nothing.

    `partition` is where it looks if the script has no keys of its own.
    `rate` is set once a script has run: the caller's limit, the requests left in this window, and its seconds left.
    """

    key_id: str = ""
    key_digest: str = ""
    caller: Rate | None = None
    address: Rate | None = None
    partition: int = 0
    rate: tuple[int, int, int] | None = None
    counted: bool = False

    @property
    def checks(self) -> bool:
        """Return whether there is anything left to check or to count."""
        return bool(self.key_id) or not (self.counted or (self.caller is None and self.address is None))

    def keys_and_args(self, script_keys: Sequence[str]) -> tuple[tuple[str, ...], tuple[str | int, ...]]:
        """Return the keys and arguments for the guard of a script, in the partition of the script's keys.

        A request is counted once, however many scripts it runs.
        """
        partition = keys.partition_in(script_keys[0]) if script_keys else self.partition
        caller, address = (None, None) if self.counted else (self.caller, self.address)
        return _keys_and_args(self.key_id, self.key_digest, caller, address, partition)

    def take_rate(self, replies: Sequence[list[str]]) -> None:
        """Remove the two items that the guard appended to each reply, and keep them as `rate`."""
        if self.caller is not None and not self.counted:
            for reply in replies:
                if reply[0] not in _REFUSED_BY_GUARD:
                    seconds, left = int(reply.pop()), int(reply.pop())
                    self.rate = (self.caller.most, left, seconds)
        self.counted = True


# Cached: the same caller asks again and again.
@lru_cache(maxsize=4096)
def _keys_and_args(
    key_id: str, key_digest: str, caller: Rate | None, address: Rate | None, partition: int
) -> tuple[tuple[str, ...], tuple[str | int, ...]]:
    # The script reads no key for which it has an empty argument; any key of the partition may fill its position.
    unused = keys.events(partition)
    return (
        keys.api_key(partition, key_id) if key_id else unused,
        keys.rate(partition, caller.kind, caller.who) if caller else unused,
        keys.rate(partition, address.kind, address.who) if address else unused,
    ), (key_digest, *_limit_args(caller), *_limit_args(address))


def _limit_args(rate: Rate | None) -> tuple[str | int, ...]:
    return (rate.most, rate.seconds) if rate else ("", "")
