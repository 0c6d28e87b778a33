"""Bytes of Redis memory for each waiting and each granted code, by what they are for."""

from collections.abc import Iterator, Sequence

import redis

from bench import tables
from discount import discounts, grants
from discount.model import Grant
from discount.store import Store, keys
from tests.support.redis_server import RedisServer

_SLICE = 10_000


def run(totals: Sequence[int], long_ids_at: int) -> None:
    """Print the table: a row for each total, and one for long user ids."""
    rows = [_measure(total, "User ") for total in totals]
    # As long as a UUID.
    rows.append(_measure(long_ids_at, "f81d4fae-7dec-11d0-a765-0000"))
    tables.show(
        "Bytes of Redis memory (used_memory), all of a discount's codes made, then all granted",
        (
            "codes",
            "letters of a user id",
            "a waiting code",
            "a granted code in all",
            "its grant",
            "its user's index",
            "its event",
        ),
        rows,
    )


def _measure(total: int, prefix: str) -> tuple[str, ...]:
    with RedisServer() as server, server.client() as client:
        store = Store.at(server.url, 10.0, 16)
        # Scripts and connections take their share before the first look.
        warm = discounts.create(store, brand_id="warm-up", discount_code="warm-up", total_count=1)[0]
        grants.grant(store, warm.id, "warm-up")
        made = discounts.create(store, brand_id="IKEA", discount_code="Christmas 2020 discount", total_count=total)[0]
        discounts.refill(store, made.id, total)
        with_pool = _used(client)
        codes = keys.codes(keys.partition_of("IKEA", 16), made.id)
        length = client.llen(codes)
        if length != total:
            raise RuntimeError(f"{length} codes in the pool instead of {total}")
        client.copy(codes, "copy")
        pool = _used(client) - with_pool
        client.delete("copy")
        for first in range(0, total, _SLICE):
            users = [f"{prefix}{1_000_000 + number:08d}" for number in range(first, min(first + _SLICE, total))]
            outcomes = grants.grant_many(store, made.id, users)
            if not all(isinstance(outcome, Grant) and outcome.fresh for outcome in outcomes):
                raise RuntimeError("not everybody got a code")
        granted = _used(client)
        before = with_pool - pool
        partition = keys.partition_of("IKEA", 16)
        event = granted - _deleted(client, [keys.events(partition)])
        index = granted - event - _deleted(client, list(_users(partition)))
        each = [figure / total for figure in (pool, granted - before, granted - before - event - index, index, event)]
        return (f"{total:,}", str(len(prefix) + 8), *(f"{figure:.1f}" for figure in each))


def _deleted(client: "redis.Redis", names: Sequence[str]) -> int:
    for first in range(0, len(names), 1000):
        client.delete(*names[first : first + 1000])
    return _used(client)


def _users(partition: int) -> Iterator[str]:
    return (keys.users(partition, "").rpartition(":")[0] + f":{bucket}" for bucket in range(keys.USER_BUCKETS))


def _used(client: "redis.Redis") -> int:
    return int(client.info("memory")["used_memory"])
