"""Compare the making of codes and of discounts with that of another revision: CPU of this process, in microseconds.

python bench/codes.py --against main --rounds 9
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import thread_time

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench import sides

sys.path.insert(0, sides.tree_of_child())

from bench import tables
from discount.domain import code_kinds, code_sequence
from discount.services import discounts
from discount.store.connection import Store
from tests.support.redis_server import RedisServer

TOTALS = (10, 1_000, 1_000_000)
PATTERNS = {"the usual pattern": code_sequence.PATTERN, "24 letters": "####-####-####-####-####-####"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="main", metavar="REVISION", help="the other revision")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--discounts", type=int, default=50, help="discounts of each size in a round")
    chosen = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with sides.both(__file__, chosen.against) as both:
        for before, after in sides.rounds(both, chosen.rounds, chosen.discounts):
            for case in after:
                found[case].append((before[case][0], after[case][0]))
    rows = []
    for case, pairs in found.items():
        before_us, after_us = (tables.spread([pair[side] for pair in pairs], 1) for side in (0, 1))
        rows.append((case, before_us, after_us, f"{median(after / before for before, after in pairs):.2f}"))
    tables.show(
        f"Codes and discounts, {chosen.rounds} rounds (min / median / max)",
        ("", "us before", "us after", "ratio"),
        rows,
    )
    smallest, largest = (found[_creation(total)] for total in (TOTALS[0], TOTALS[-1]))
    for side, name in enumerate(("before", "after")):
        share = median(large[side] / small[side] for large, small in zip(largest, smallest, strict=True))
        print(f"A discount of {TOTALS[-1]:,} codes costs {share:.2f} times one of {TOTALS[0]}, {name}")


def serve() -> None:
    """Measure rounds on a Redis of this process."""
    with RedisServer() as redis, redis.client() as client:
        store = Store.at(redis.url, 10.0, 16)

        def measure(count: int) -> sides.Round:
            client.flushall()
            store.prepare()
            found: sides.Round = {}
            for name, pattern in PATTERNS.items():
                sequence = code_sequence.Sequence(code_sequence.make_key(), pattern)
                found[f"a code in a block of 1,000, {name}"] = [_spent(partial(sequence.codes, 0, 1_000), 5) / 1_000]
            for total in TOTALS:
                found[_creation(total)] = [_spent(partial(_create, store, total), count)]
            return found

        sides.serve(measure)


def _creation(total: int) -> str:
    return f"a discount of {total:,} codes"


def _create(store: Store, total: int) -> object:
    kind = code_kinds.unique(total)
    return discounts.create(store, brand_id="IKEA", discount_code="Christmas", total_count=total, kind=kind)


def _spent(work: Callable[[], object], times: int) -> float:
    started = thread_time()
    for _ in range(times):
        work()
    return (thread_time() - started) / times * 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        serve()
    else:
        main()
