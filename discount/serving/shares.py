"""Shares of a pool worker's processor time: a caller that has used up its share waits, and others pass.

Each caller has an account, which fills at the rate of its share and pays for what its calls compute. A call starts once
the account has something left, after what the caller's calls in progress will probably take. While nobody else needs
the machine, nobody waits and nothing is paid. All callers together have one more account while hot workers are busy.

A call that works in slices pays for each, and pauses while an account is less than half full. So it leaves room for the
calls that have to start.

A caller is a brand or a user. Requests of unknown callers are those of their address.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Lock
from time import monotonic, thread_time
from typing import Any

#: Seconds for which the share of an idle caller is kept.
KEPT = 1.0
#: The most seconds of computing that an account may owe.
MOST_OWED = 1.0
#: The most accounts, and the most tokens whose callers are remembered.
ACCOUNTS, TOKENS = 4096, 16_384
#: The most requests of a caller that wait in a process.
WAITING = 16
#: What a call probably computes, in seconds: at first, and at most. Then it is the average of the caller's calls.
FIRST_GUESS, LONGEST_GUESS = 0.005, 0.05
#: How much the last call counts in that average.
_WEIGHT = 0.2
# What an account has left once its turn has come, in seconds.
_LITTLE = 1e-4
#: Seconds of computing that a request costs besides, and a received byte: in the main loop, the kernel and a proxy.
REQUEST, BYTE = 0.0005, 5e-9
#: The most bytes of a request that are charged for; what is longer is streamed, and charged for as it is worked on.
MOST_BYTES = 8 * 1024 * 1024
#: Seconds after which hot workers that answer nothing are idle.
IDLE = 1.0


@dataclass(slots=True)
class _Account:
    left: float
    at: float
    guess: float = FIRST_GUESS
    running: int = 0
    # Those of them for which nothing was paid yet.
    unpaid: int = 0
    waiting: deque[Any] = field(default_factory=deque)

    def pay(self, seconds: float) -> None:
        self.left = max(self.left - seconds, -MOST_OWED)

    def seconds_until_turn(self, share: float) -> float:
        left = self.left - self.unpaid * self.guess
        return 0.0 if left > 0 else (_LITTLE - left) / share


class Shares:
    """The accounts of a process. Threads may charge them; all else is called by one thread.

    Args:
        share: seconds of computing that a caller gets in a second; 1 or more for no bound at all.
        together: those that all callers get while hot workers are busy; 1 or more for no such bound.
        at_once: the most calls of a caller in progress, while others need the process.
        last_hot: returns when a hot worker last answered a call.
    """

    def __init__(
        self,
        share: float,
        together: float,
        at_once: int,
        last_hot: Callable[[], float],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._share = share
        self._together = together
        self._at_once = at_once
        self._last_hot = last_hot
        self._clock = clock
        # The longest unused first.
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._callers: OrderedDict[bytes, str] = OrderedDict()
        # Callers with requests in progress or waiting; the one whose request started last is the last.
        self._active: dict[str, None] = {}
        self._all = _Account(together * KEPT, clock())
        self._lock = Lock()

    def caller_of(self, credentials: bytes, address: str) -> str:
        """Return the caller who sent these credentials before; until then, the address."""
        return self._callers.get(_digest(credentials), address) if credentials else address

    def remember(self, credentials: bytes, caller: str) -> None:
        """Remember whose credentials these are. An empty caller is never charged."""
        with self._lock:
            digest = _digest(credentials)
            self._callers[digest] = caller
            self._callers.move_to_end(digest)
            if len(self._callers) > TOKENS:
                self._callers.popitem(last=False)

    def enter(self, caller: str, request: Any) -> bool:
        """Let a request wait for its turn; return False if too many of the caller wait."""
        with self._lock:
            account = self._account(caller)
            if len(account.waiting) >= WAITING:
                return False
            account.waiting.append(request)
            self._active.setdefault(caller)
            return True

    def due(self) -> Iterator[tuple[str, Any]]:
        """Yield the requests whose turn has come, with their callers. Each counts as in progress until `leave`."""
        is_any_due = True
        while is_any_due:
            is_any_due = False
            # One of each caller in turn, beginning with the caller who has waited longest.
            for caller in list(self._active):
                account = self._accounts[caller]
                if account.waiting and not self.seconds_until_turn(caller):
                    is_any_due = True
                    with self._lock:
                        account.running += 1
                        for each in (account, self._all):
                            each.unpaid += 1
                        del self._active[caller]
                        self._active[caller] = None
                    yield caller, account.waiting.popleft()

    def next_turn(self) -> float:
        """Return in how many seconds the next request is due; infinite if that depends on calls in progress."""
        return min(
            (self.seconds_until_turn(caller) for caller in self._active if self._accounts[caller].waiting),
            default=float("inf"),
        )

    def expect_nothing(self, caller: str) -> None:
        """Expect nothing more of a call in progress: it pays for each of its slices."""
        with self._lock:
            for account in (self._account(caller), self._all):
                account.unpaid -= 1

    def leave(self, caller: str, seconds: float | None) -> None:
        """End a call that has computed so long in all; None for one of which nothing was expected."""
        with self._lock:
            own = self._account(caller)
            own.running -= 1
            for account in (own, self._all) if seconds is not None else ():
                account.unpaid -= 1
                account.guess += (min(seconds or 0.0, LONGEST_GUESS) - account.guess) * _WEIGHT
            if not own.running and not own.waiting:
                self._active.pop(caller, None)

    def charge(self, callers: Collection[str], seconds: float) -> None:
        """Pay for what a call has computed, from the account of each of the callers."""
        with self._lock:
            for caller in callers:
                if not self._is_alone(caller):
                    self._account(caller).pay(seconds)
            if self._is_hot_busy():
                self._fill(self._all, self._together)
                self._all.pay(seconds)

    def seconds_until_turn(self, caller: str) -> float:
        """Return how long the next call of a caller has to wait."""
        with self._lock:
            account = self._account(caller)
            if not caller or self._share >= 1 or self._is_alone(caller):
                return 0.0
            if account.running >= self._at_once:
                return float("inf")
            return max(account.seconds_until_turn(self._share), self._seconds_until_turn_of_any())

    def retry_after(self, caller: str) -> int:
        """Return after how many whole seconds those who wait now have probably had their turn."""
        with self._lock:
            account = self._account(caller)
            return max(1, math.ceil((len(account.waiting) * account.guess - account.left) / self._share))

    def seconds_owed(self, callers: Collection[str]) -> float:
        """Return how long a call that works in slices has to pause: until the accounts are half full."""
        with self._lock:
            if self._share >= 1:
                return 0.0
            half = KEPT / 2
            owed = [half - self._account(each).left / self._share for each in callers if not self._is_alone(each)]
            if self._together < 1 and self._is_hot_busy():
                self._fill(self._all, self._together)
                owed.append(half - self._all.left / self._together)
            return max([0.0, *owed])

    def _seconds_until_turn_of_any(self) -> float:
        if self._together >= 1 or not self._is_hot_busy():
            return 0.0
        self._fill(self._all, self._together)
        return self._all.seconds_until_turn(self._together)

    def _is_alone(self, caller: str) -> bool:
        return self._active.keys() <= {caller} and not self._is_hot_busy()

    def _is_hot_busy(self) -> bool:
        return self._clock() - self._last_hot() <= IDLE

    def _account(self, caller: str) -> _Account:
        """Return an account as of now."""
        account = self._accounts.get(caller)
        if account is None:
            account = self._accounts[caller] = _Account(self._share * KEPT, self._clock())
            self._forget()
        self._fill(account, self._share)
        self._accounts.move_to_end(caller)
        return account

    def _fill(self, account: _Account, share: float) -> None:
        now = self._clock()
        account.left = min(share * KEPT, account.left + (now - account.at) * share)
        account.at = now

    def _forget(self) -> None:
        if len(self._accounts) > ACCOUNTS:
            oldest = next(name for name in self._accounts if name not in self._active)
            del self._accounts[oldest]


class Meter:
    """The meter of one request: it charges what is computed, in the thread that answers it.

    Both pay: the caller whose turn it was, and the one whom the application finds. They differ where the credentials
    are new, or written in another way than before.
    """

    def __init__(self, shares: Shares, turn_of: str, credentials: bytes) -> None:
        self._shares = shares
        self._turn_of = turn_of
        self._credentials = credentials
        #: Who pays: the application sets it, once it knows the caller; empty for one who never pays.
        self.caller: str | None = None
        self._seconds: float | None = 0.0
        self._since = 0.0

    def begin(self) -> None:
        """Begin to measure, in the thread that will charge."""
        self._since = thread_time()

    def charge(self, more: float = 0.0) -> float:
        """Charge what was computed since the last time, and `more` seconds; return for how many seconds to pause."""
        now = thread_time()
        used, self._since = now - self._since + more, now
        if self._seconds is not None:
            self._seconds += used
        return self._pay(used)

    def work_in_slices(self) -> None:
        """Charge for each slice from now on."""
        self._seconds = None
        self._shares.expect_nothing(self._turn_of)

    def end(self, received: int) -> None:
        """End the request, of so many bytes, and remember who sent it. The main loop calls this."""
        self._pay(REQUEST + min(received, MOST_BYTES) * BYTE)
        if self._credentials and self.caller is not None:
            self._shares.remember(self._credentials, self.caller)
        self._shares.leave(self._turn_of, self._seconds)

    def _pay(self, seconds: float) -> float:
        if self.caller == "":
            return 0.0
        callers = {self._turn_of, self.caller or self._turn_of} - {""}
        self._shares.charge(callers, seconds)
        return self._shares.seconds_owed(callers)


def _digest(credentials: bytes) -> bytes:
    return blake2b(credentials, digest_size=16).digest()
