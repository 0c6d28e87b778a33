"""What a script makes sure of before it acts: that its caller's key still stands, and that nobody asks too often."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from discount.store import keys
from discount.store.rate_limits import Rate

_STOPPED = ("unauthenticated", "too-many-requests")


@dataclass(slots=True)
class Guard:
    """One request's guard. `rate` is the caller's once a script has run: the most, what is left, seconds to its end."""

    key_id: str = ""
    key_digest: str = ""
    caller: Rate | None = None
    address: Rate | None = None
    rate: tuple[int, int, int] | None = None
    counted: bool = False

    def read(self, answers: Sequence[list[str]]) -> None:
        """Take off what the guard told behind the answers; a request counts once, whatever more it runs."""
        for answer in answers:
            if answer[0] in _STOPPED or self.caller is None or self.counted:
                continue
            reset, left = int(answer.pop()), int(answer.pop())
            self.rate = (self.caller.most, left, reset)
        self.counted = True


def words(guard: Guard | None, own: str) -> tuple[tuple[str, ...], tuple[str | int, ...]]:
    """The guard's keys, in the partition of a script's own first key, and its arguments; empty ones switch off."""
    if guard is None:
        # Every script that has a guard is given its keys, in its own slot.
        return (own, own, own), _NOTHING
    partition = keys.partition_in(own)
    if guard.counted:
        found, (digest, *_) = _words(guard.key_id, guard.key_digest, guard.caller, guard.address, partition)
        return found, (digest, *_NOTHING[1:])
    return _words(guard.key_id, guard.key_digest, guard.caller, guard.address, partition)


_NOTHING = ("", "", "", "", "")


# A key asks again and again.
@lru_cache(maxsize=4096)
def _words(
    key_id: str, key_digest: str, caller: Rate | None, address: Rate | None, partition: int
) -> tuple[tuple[str, ...], tuple[str | int, ...]]:
    own = keys.events(partition)
    return (
        keys.api_key(partition, key_id) if key_id else own,
        keys.rate(partition, caller.kind, caller.who) if caller else own,
        keys.rate(partition, address.kind, address.who) if address else own,
    ), (key_digest, *_rate(caller), *_rate(address))


def _rate(rate: Rate | None) -> tuple[str | int, ...]:
    return (rate.most, rate.seconds) if rate else ("", "")
