"""CPU of a call in the service's process, on one Redis and on Clusters of more and more masters.

    python bench/masters.py [--masters N ...] [--calls N] [--rounds N]

A call asks again for a code that is held. A gathered exchange has one command for each of the 16 partitions, as a list
over all brands has, so it goes to every node. All servers run side by side, and each round measures all of them.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench import tables
from discount.domain import code_kinds
from discount.services import discounts, grants
from discount.store import keys
from discount.store.connection import Store
from tests.support.clusters import Cluster, valkey
from tests.support.redis_server import RedisServer

PARTITIONS = 16
USER = "User 1"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masters", type=int, nargs="+", default=[1, 3, 6])
    parser.add_argument("--calls", type=int, default=160, help="calls per round")
    parser.add_argument("--rounds", type=int, default=60)
    given = parser.parse_args(words)
    with ExitStack() as stack:
        one = stack.enter_context(RedisServer(tcp=True, executable=valkey(), appendonly="yes"))
        kinds = {"one Redis": _Asking(one.url)}
        for count in given.masters:
            cluster = stack.enter_context(Cluster(masters=count, replicas=0))
            kinds[f"Cluster of {count}"] = _Asking(cluster.url)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for _ in range(given.rounds):
            for name, asking in kinds.items():
                call = _cpu(asking.call, given.calls)
                times[name].append((call, _cpu(asking.exchange, given.calls // PARTITIONS)))
    first = times["one Redis"]
    rows = []
    for name, measured in times.items():
        row = [name]
        for index in (0, 1):
            ratios = [each[index] / base[index] for each, base in zip(measured, first, strict=True)]
            row += [f"{median(each[index] for each in measured):.0f}", f"{median(ratios):.2f}"]
        rows.append(row)
    columns = ("servers", "a call us", "to one Redis", "an exchange of 16 us", "to one Redis")
    tables.show("CPU of the service's process, medians", columns, rows)


class _Asking:
    """The calls for one installation, which has a discount in each partition."""

    def __init__(self, url: str) -> None:
        self._store = Store.at(url, 5.0, PARTITIONS)
        self._store.prepare()
        brands: dict[int, str] = {}
        for number in range(100 * PARTITIONS):
            brands.setdefault(keys.partition_of(f"Brand {number}", PARTITIONS), f"Brand {number}")
        kind = code_kinds.make("unique", 10, {})
        self._ids = []
        for brand in brands.values():
            made, *_ = discounts.create(self._store, brand_id=brand, discount_code="Sale", total_count=10, kind=kind)
            grants.grant(self._store, made.id, USER)
            self._ids.append(made.id)
        self._commands = [("ZCARD", keys.discounts(each)) for each in range(PARTITIONS)]

    def call(self, number: int) -> None:
        grants.grant(self._store, self._ids[number % PARTITIONS], USER)

    def exchange(self, _: int) -> None:
        self._store.each(self._commands)


def _cpu(do: Callable[[int], None], count: int) -> float:
    """Return the microseconds of CPU that one of so many calls takes here."""
    begun = time.process_time()
    for number in range(count):
        do(number)
    return (time.process_time() - begun) / count * 1e6


if __name__ == "__main__":
    main()
