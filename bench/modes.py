"""The cost of each mode of DURABILITY: new grants one at a time, in several threads, and together.

One primary and two replicas on this machine, so a replica's answer takes no time on a cable: the ratios are the work of
the servers and of their disk.
"""

import threading
from itertools import count
from time import monotonic, perf_counter

from bench import tables
from discount.domain import code_kinds
from discount.services import code_pools, discounts, grants
from discount.serving.loop import EventLoop
from discount.store.autopipeline import Calls
from discount.store.connection import Store
from discount.store.durability import Mode
from tests.chaos.failovers import await_safety
from tests.support.clusters import Sentinels

THREADS = 4
#: Calls that a loop answers at the same time.
TOGETHER = 16
#: The mode, and how often the servers sync their files.
WAYS: tuple[tuple[Mode, str], ...] = (
    ("fast", "everysec"),
    ("replicated", "everysec"),
    ("fast", "always"),
    ("synced", "always"),
)
_users = count()


def run(rounds: int, total: int) -> None:
    """Print the table. In each round, every mode grants `total` codes in each way, one mode after the other."""
    kinds = {"one at a time": _one_by_one, f"{THREADS} threads": _in_threads, f"{TOGETHER} together": _together}
    seconds: dict[tuple[Mode, str, str], list[float]] = {}
    with Sentinels(2, 0, appendfsync="everysec") as everysec, Sentinels(2, 0, appendfsync="always") as always:
        servers = {"everysec": everysec, "always": always}
        stores: dict[tuple[Mode, str], tuple[Store, str]] = {}
        for mode, fsync in WAYS:
            store = Store.at(f"redis://{servers[fsync].nodes[0].address}", 10.0, 16)
            store.set_durability(mode, 1)
            store.prepare()
            await_safety(store)
            size = 2 * rounds * len(kinds) * total
            made, _ = discounts.create(
                store, brand_id="IKEA", discount_code=mode, total_count=size, kind=code_kinds.unique(size)
            )
            # No call of the loop may wait for codes to be made.
            code_pools.refill(store, made.id, size)
            stores[mode, fsync] = store, made.id
        for _ in range(rounds):
            for name, grant in kinds.items():
                for way in WAYS:
                    began = perf_counter()
                    grant(*stores[way], total)
                    seconds.setdefault((*way, name), []).append((perf_counter() - began) / total)
    rows = []
    for mode, fsync in WAYS:
        row = [mode, fsync]
        for name in kinds:
            own, base = seconds[mode, fsync, name], seconds["fast", "everysec", name]
            ratios = [base[n] / own[n] for n in range(rounds)]
            row += [tables.spread([each * 1000 for each in own], 2), tables.spread(ratios, 2)]
        rows.append(row)
    head = ["mode", "appendfsync"]
    for name in kinds:
        head += [f"{name}: ms a grant", "rate to `fast`"]
    tables.show("What waiting costs: one primary, two replicas", head, rows)


def _grant(store: Store, discount_id: str) -> None:
    grants.grant(store, discount_id, f"user {next(_users)}")


def _one_by_one(store: Store, discount_id: str, total: int) -> None:
    for _ in range(total):
        _grant(store, discount_id)


def _in_threads(store: Store, discount_id: str, total: int) -> None:
    threads = [
        threading.Thread(target=_one_by_one, args=(store, discount_id, total // THREADS)) for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _together(store: Store, discount_id: str, total: int) -> None:
    """Grant as a hot worker does: what the calls of a turn send goes out in one piece."""
    loop = EventLoop()
    exchanges = store.exchanges_of(loop)
    calls = Calls(exchanges.submit)
    granted: list[None] = []

    def grant() -> None:
        _grant(store, discount_id)
        granted.append(None)

    for _ in range(total // TOGETHER):
        for _ in range(TOGETHER):
            calls.start(grant)
        while exchanges.is_waiting:
            exchanges.flush()
            loop.turn(0.05)
            exchanges.fail_late(monotonic())
    if len(granted) != total // TOGETHER * TOGETHER:
        raise RuntimeError("some calls granted nothing")
