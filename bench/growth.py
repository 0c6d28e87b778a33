"""Show that costs stay constant: of a grant with the number of codes, of a page with the number of entries.

All verbs are called in this process, over a unix socket: what remains is the verb, the round trip and Redis.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from time import perf_counter

from bench import memory, tables
from discount.domain import code_kinds
from discount.domain.cursors import make_cursor
from discount.services import code_pools, discount_lists, discounts, grant_lists, grants
from discount.store.connection import Store
from tests.support.redis_server import RedisServer

_SLICE = 10_000
_BLOCK = 50


def run(codes: Sequence[int], lists: Sequence[int], rounds: int, users: Sequence[int]) -> None:
    """Print the tables.

    Args:
        codes: how many codes the discounts have in which a grant is measured.
        lists: how many discounts there are where pages of them are measured.
        users: how many users hold a code where a grant to one of them is measured.
    """
    with RedisServer() as server:
        store = Store.at(server.url, 10.0, 16)
        _show_users(store, server.url, users, rounds)
    with RedisServer() as server:
        store = Store.at(server.url, 10.0, 16)
        by_size = {total: _granted(store, server.url, total, total - _BLOCK * (rounds + 1)) for total in codes}
        _show_grants(store, by_size, rounds)
        _show_grant_pages(store, by_size, rounds)
        _show_create(store, rounds)
        _show_redis(store, server)
    with ExitStack() as stack:
        stores = {size: Store.at(stack.enter_context(RedisServer()).url, 10.0, 16) for size in lists}
        for size, each in stores.items():
            for number in range(size):
                _create(each, f"Brand {number % 100}", 1)
        _show_lists(stores, rounds)


def _create(store: Store, brand_id: str, total: int) -> str:
    return discounts.create(
        store,
        brand_id=brand_id,
        discount_code="Christmas 2020 discount",
        total_count=total,
        kind=code_kinds.unique(total),
    )[0].id


def _granted(store: Store, url: str, total: int, granted: int) -> str:
    """Create a discount with that many codes granted and the next block of codes made."""
    discount_id = _create(store, f"Brand of {total}", total)
    memory.grant_all(url, discount_id, "User ", granted)
    code_pools.refill(store, discount_id, total)
    return discount_id


def _in_turns(measured: Mapping[str, Callable[[], object]], rounds: int, block: int) -> dict[str, list[float]]:
    """Measure each call in microseconds, in alternating blocks after one block each to warm up."""
    found: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds + 1):
        for name, call in measured.items():
            started = perf_counter()
            for _ in range(block):
                call()
            if turn:
                found[name].append((perf_counter() - started) / block * 1e6)
    return found


def _show_grants(store: Store, by_size: Mapping[int, str], rounds: int) -> None:
    numbers = count(10**9)
    calls: dict[str, Callable[[], object]] = {"PING": partial(store.command, "PING")}

    def grant(discount_id: str) -> None:
        grants.grant(store, discount_id, f"User {next(numbers)}")

    for total, discount_id in by_size.items():
        calls[f"grant, {total:,} codes"] = partial(grant, discount_id)
        calls[f"grant again, {total:,} codes"] = partial(grants.grant, store, discount_id, memory.user("User ", 0))
    _show("A grant through the verb, all but the last codes granted", _in_turns(calls, rounds, _BLOCK))


def _show_users(store: Store, url: str, users: Sequence[int], rounds: int) -> None:
    """Measure grants while more and more users hold a code of another discount of the same brand."""
    rows = []
    many = _create(store, "Brand", max(users))
    granted = 0
    for total in users:
        # Users who hold a code keep it; all others get one.
        memory.grant_all(url, many, "User ", total, known=granted)
        granted = total
        fresh = _create(store, "Brand", _BLOCK * (rounds + 1))
        code_pools.refill(store, fresh, _BLOCK * (rounds + 1))
        numbers = count()
        # A sample of the users who hold a code, spread evenly.
        step = max(1, total // (_BLOCK * (rounds + 1)))

        def grant(discount_id: str = fresh, step: int = step, numbers: Iterator[int] = numbers) -> None:
            if not grants.grant(store, discount_id, memory.user("User ", next(numbers) * step)).fresh:
                raise RuntimeError("a code was granted before")

        found = _in_turns({"PING": partial(store.command, "PING"), "grant": grant}, rounds, _BLOCK)
        rows.append((f"{total:,}", tables.spread(found["PING"]), tables.spread(found["grant"])))
    tables.show(
        "A grant to a user who holds a code already, by how many users hold one (min / median / max)",
        ("users", "PING us", "grant us"),
        rows,
    )


def _show_grant_pages(store: Store, by_size: Mapping[int, str], rounds: int) -> None:
    calls: dict[str, Callable[[], object]] = {}
    for total, discount_id in by_size.items():
        buckets = discounts.parse_id(store, discount_id).buckets
        for where, bucket in (("first", 0), ("middle", buckets // 2)):
            cursor = make_cursor(bucket, "")
            calls[f"{where} page of {total:,}"] = partial(grant_lists.list_page, store, discount_id, cursor=cursor)
    _show("A page of 100 grants", _in_turns(calls, rounds, 10))


def _show_create(store: Store, rounds: int) -> None:
    calls: dict[str, Callable[[], object]] = {
        f"create, {total:,} codes": partial(_create, store, "Brand", total)
        for total in (10, 1_000, 100_000, 100_000_000)
    }
    _show("A discount made, with its first codes", _in_turns(calls, rounds, 3))


def _show_lists(stores: Mapping[int, Store], rounds: int) -> None:
    calls: dict[str, Callable[[], object]] = {}
    for size, store in stores.items():
        first = discount_lists.list_page(store, limit=max(1, size // 2) if size <= 1000 else 1000)
        for where, cursor in (("first", None), ("later", first.next)):
            for of, brand in (("all", None), ("a brand's", "Brand 1")):
                calls[f"{where} page of {of}, {size:,} discounts"] = partial(
                    discount_lists.list_page, store, brand_id=brand, limit=10, cursor=cursor
                )
    _show("A page of 10 discounts", _in_turns(calls, rounds, 10))


def _show_redis(store: Store, server: RedisServer) -> None:
    """Measure Redis alone: its own time for the script, and grants sent by hundreds."""
    rows = []
    users = [f"User {number}" for number in range(50_000)]
    discount_id = _create(store, "Brand", len(users))
    code_pools.refill(store, discount_id, len(users))
    with server.client() as client:
        for name in ("grant", "grant again"):
            client.config_resetstat()
            started = perf_counter()
            for first in range(0, len(users), _SLICE):
                grants.grant_many(store, discount_id, users[first : first + _SLICE])
            seconds = perf_counter() - started
            told = client.info("commandstats")["cmdstat_evalsha"]
            if told["calls"] != len(users):
                raise RuntimeError(f"{told['calls']} scripts ran instead of {len(users)}")
            own = float(told["usec_per_call"])
            rows.append((name, f"{own:.1f}", f"{1e6 / own:,.0f}", f"{len(users) / seconds:,.0f}"))
    tables.show(
        "The ceiling: the same script sent 500 at a time",
        ("script", "Redis us", "one Redis could do a second", "done a second, with the verb in one process"),
        rows,
    )


def _show(title: str, found: Mapping[str, Sequence[float]]) -> None:
    rows = [(name, tables.spread(values)) for name, values in found.items()]
    tables.show(title, ("call", "us (min / median / max)"), rows)
