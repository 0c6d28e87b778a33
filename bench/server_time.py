"""Compare the time in Redis of this tree's hot calls with that of another revision, in alternating rounds.

    python bench/server_time.py --against main --rounds 9

Both sides run the services of their own tree, each on a Redis of its own. "Script us" is usec_per_call of EVALSHA from
INFO commandstats; "Redis CPU us" is all CPU of the server, reading and answering included.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench import sides

sys.path.insert(0, sides.tree_of_child())

from bench import tables
from discount.config import Settings
from discount.domain import code_kinds, rules
from discount.services import checkouts, code_pools, discounts, grants, redemptions
from discount.store import keys
from discount.store.connection import Store
from discount.store.guards import Guard
from discount.store.quotas import Quotas
from tests.support.redis_server import RedisServer

try:
    from discount.domain.rates import Rate
except ImportError:  # in earlier revisions
    from discount.store.rate_limits import Rate  # type: ignore[attr-defined]

BRAND = "IKEA"
#: Calls in one exchange with Redis, as at 32 connections.
BATCH = 32
#: The measured calls, each with its place in a round: later ones need what earlier ones made.
CASES = (
    "new grant",
    "new grant with a key",
    "new grant of a user's second code",
    "held grant",
    "sold-out grant",
    "redemption",
    "redemption with a key",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="main", metavar="REVISION", help="the other revision")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=1024, help="calls of each kind in a round")
    chosen = parser.parse_args()
    found: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    with sides.both(__file__, chosen.against) as both:
        for before, after in sides.rounds(both, chosen.rounds, chosen.calls):
            for case in CASES:
                found[case].append((before[case], after[case]))
    rows = []
    for case in CASES:
        row = [case]
        for position in (0, 1):
            old, new = ([each[side][position] for each in found[case]] for side in (0, 1))
            ratios = [b / a for a, b in zip(old, new, strict=True) if a]
            row += [f"{median(old):.1f}", f"{median(new):.1f}", tables.spread(ratios, 2) if ratios else "-"]
        rows.append(tuple(row))
    tables.show(
        f"Time in Redis, {chosen.rounds} rounds of {chosen.calls:,} calls (ratios: min / median / max)",
        ("call", "script us before", "after", "ratio", "Redis CPU us before", "after", "ratio"),
        rows,
    )
    for position, what in enumerate(("script", "CPU")):
        shares = {
            side: median(keyed[side][position] / bare[side][position] for keyed, bare in _pairs(found))
            for side in (0, 1)
        }
        print(f"A grant with a key, of one without, {what}: before {shares[0]:.2f}, after {shares[1]:.2f}")


def _pairs(found: "dict[str, list[tuple[Any, Any]]]") -> Iterator[tuple[Any, Any]]:
    return zip(found["new grant with a key"], found["new grant"], strict=True)


def serve() -> None:
    """Measure rounds on a Redis of this process, with the settings of the deployment."""
    with RedisServer(appendonly="yes", appendfsync="everysec") as redis, redis.client() as client:
        store = Store.at(redis.url, 10.0, 16)
        store.prepare()
        store.quotas = Quotas(Settings().quotas)

        def measure(calls: int) -> sides.Round:
            client.flushall()
            store.definitions.clear()
            return _round(redis, store, calls)

        sides.serve(measure)


def _round(redis: RedisServer, store: Store, calls: int) -> dict[str, list[float]]:
    partition = keys.partition_of(BRAND, 16)
    store.command("HSET", keys.api_key(partition, "k"), "digest", "d", "used_at", store.now())
    rate = Rate("key", "k", 9_999_999, 60)
    limits: dict[rules.LimitName, int | None] = {"per_user": 1, "total": 1_000_000}
    made, keyed, second = (_create(store, 8_000, limits) for _ in range(3))
    for each in (made, keyed, second):
        code_pools.refill(store, each, calls + 2_000)
    sold_out = _create(store, 1, limits)
    grants.grant(store, sold_out, "first")
    for each in (made, keyed, second):
        discounts.get_definition(store, each)
    users = [f"User {number}" for number in range(calls)]
    codes: dict[tuple[str, str], str] = {}

    def grant(discount_id: str, guarded: bool, user: str) -> None:
        guard = Guard("k", "d", rate) if guarded else None
        codes[discount_id, user] = grants.grant(store, discount_id, user, guard=guard).code

    def refused(user: str) -> None:
        try:
            grants.grant(store, sold_out, user)
        except Exception as error:
            if type(error).__name__ == "SoldOut":
                return
            raise
        raise RuntimeError("a sold-out discount gave a code")

    def redeem(discount_id: str, guarded: bool, user: str) -> None:
        order = rules.Order(f"{discount_id} {user}", 1999, "EUR")
        checkout = checkouts.Checkout(user, codes[discount_id, user], order, discount_id=discount_id)
        redemptions.redeem(store, checkout, guard=Guard("k", "d", rate) if guarded else None)

    # As the process answers after its first refusal.
    refused("other")
    work: dict[str, Callable[[str], None]] = {
        "new grant": partial(grant, made, False),
        "new grant with a key": partial(grant, keyed, True),
        "new grant of a user's second code": partial(grant, second, False),
        "held grant": partial(grant, made, False),
        "sold-out grant": refused,
        "redemption": partial(redeem, made, False),
        "redemption with a key": partial(redeem, keyed, True),
    }
    names = {case: [f"K{user}" for user in users] if "with a key" in case else users for case in CASES}
    return {case: _measure(redis, store, work[case], names[case]) for case in CASES}


def _create(store: Store, total: int, limits: "dict[rules.LimitName, int | None]") -> str:
    kind = code_kinds.unique(total)
    made, _ = discounts.create(
        store, brand_id=BRAND, discount_code="Christmas", total_count=total, kind=kind, limits=limits
    )
    return made.id


def _measure(redis: RedisServer, store: Store, call: Callable[[str], None], users: list[str]) -> list[float]:
    """Return the microseconds a call of scripts, and of all of the server's CPU."""
    with redis.client() as client:
        client.config_resetstat()
        before = _cpu(redis)
        for first in range(0, len(users), BATCH):
            _run_together(store, [partial(call, user) for user in users[first : first + BATCH]])
        cpu = _cpu(redis) - before
        stats = client.info("commandstats")
    scripts = sum(stats[name]["usec"] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats)
    return [scripts / len(users), cpu / len(users)]


class _Captured(Exception):
    """The commands of a call are known."""


def _run_together(store: Store, calls: "Sequence[Callable[[], None]]") -> None:
    """Run some calls with one exchange for the first commands of all of them, as at many connections."""
    exchange = store._exchange
    sent: list[Any] = []

    def capture(commands: Any) -> Any:
        sent.append(commands)
        raise _Captured

    store._exchange = capture  # type: ignore[method-assign]
    for call in calls:
        with suppress(_Captured):
            call()
    replies = iter(exchange([command for commands in sent for command in commands]))
    for call, commands in zip(calls, sent, strict=True):
        own = [[next(replies) for _ in commands]]
        store._exchange = lambda more, own=own: own.pop() if own else exchange(more)  # type: ignore[method-assign,misc]
        call()
    store._exchange = exchange  # type: ignore[method-assign]


def _cpu(redis: RedisServer) -> float:
    """Return the CPU microseconds of the server's main thread so far."""
    return int(Path(f"/proc/{redis.pid}/task/{redis.pid}/schedstat").read_text().split()[0]) / 1000


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        serve()
    else:
        main()
