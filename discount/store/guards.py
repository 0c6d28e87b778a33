"""What a script makes sure of before it acts: that its caller's key still stands, and that nobody asks too often."""

from collections.abc import Sequence
from dataclasses import dataclass

from discount.store import keys
from discount.store.rates import Rate

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


def names(guard: Guard | None, own: str) -> list[str]:
    """The guard's keys, in the partition of a script's own first key."""
    if guard is None:
        # Every script that has a guard is given its keys, in its own slot.
        return [own, own, own]
    partition = keys.partition_in(own)
    return [
        keys.api_key(partition, guard.key_id) if guard.key_id else own,
        keys.rate(partition, guard.caller.kind, guard.caller.who) if guard.caller else own,
        keys.rate(partition, guard.address.kind, guard.address.who) if guard.address else own,
    ]


def arguments(guard: Guard | None) -> list[str | int]:
    """The guard's arguments; empty ones switch a part of it off."""
    if guard is None:
        return ["", "", "", "", ""]
    return [guard.key_digest, *_rate(guard, guard.caller), *_rate(guard, guard.address)]


def _rate(guard: Guard, rate: Rate | None) -> list[str | int]:
    return ["", ""] if rate is None or guard.counted else [rate.most, rate.seconds]
