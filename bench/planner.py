"""Compare the planner's CPU for an event that nobody is told of with that of another revision.

    python bench/planner.py --against main --rounds 9

Events come in pieces, as a worker reads them: a busy one reads larger pieces than one that has little to do.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from time import thread_time

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench import sides

sys.path.insert(0, sides.tree_of_child())

from bench import tables
from discount.domain import code_kinds
from discount.domain.ids import partition_of
from discount.services import discounts, grants
from discount.store import keys
from discount.store.connection import Store
from discount.worker.planner import Planner
from discount.worker.reminders import Reminders
from tests.support.redis_server import RedisServer

BRANDS = 16
#: Events of a piece.
PIECES = (10, 100, 1_000)
#: The most microseconds of an event that nobody is told of, in large pieces.
BAR = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="main", metavar="REVISION", help="the other revision")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--events", type=int, default=2_000, help="events of each kind in a round")
    chosen = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with sides.both(__file__, chosen.against) as both:
        for before, after in sides.rounds(both, chosen.rounds, chosen.events):
            for case in after:
                found[case].append((before[case][0], after[case][0]))
    rows = []
    for case, pairs in found.items():
        before_us, after_us = (tables.spread([pair[side] for pair in pairs], 1) for side in (0, 1))
        ratio = median(after / before for before, after in pairs)
        rows.append((case, before_us, after_us, f"{ratio:.2f}"))
    tables.show(
        f"The planner's CPU for an event, {chosen.rounds} rounds (min / median / max); bar {BAR:.0f} us",
        ("events", "us before", "us after", "ratio"),
        rows,
    )


def serve() -> None:
    """Measure rounds on a Redis of this process."""
    with RedisServer() as redis, redis.client() as client:
        store = Store.at(redis.url, 10.0, 16)
        # Where the planner waits for events, it has to wait no longer than it takes to read them.
        store.patience = 0.001

        def measure(events: int) -> sides.Round:
            found: sides.Round = {}
            for mails in (False, True):
                for piece in PIECES:
                    client.flushall()
                    store.definitions.clear()
                    store.prepare()
                    name = f"pieces of {piece:,}, {'with' if mails else 'without'} e-mails"
                    found[name] = [_measure(store, events, piece, Reminders(store, 3) if mails else None)]
            return found

        sides.serve(measure)


def _measure(store: Store, events: int, piece: int, reminders: Reminders | None) -> float:
    planner = Planner(store, "bench", reminders)
    planner.open()
    made = [
        discounts.create(
            store,
            brand_id=f"Brand {number}",
            discount_code="Christmas",
            total_count=100_000,
            kind=code_kinds.unique(100_000),
        )[0].id
        for number in range(BRANDS)
    ]
    for each in made:
        grants.grant(store, each, "first")
    # The same entries as those of the script, with other users.
    streams = [keys.events(partition_of(each)) for each in made]
    entries = [store.command("XREVRANGE", each, "+", "-", "COUNT", 1)[0][1] for each in streams]
    _drain(planner)
    spent, planned = 0.0, 0
    while planned < events:
        copies = []
        for number in range(piece):
            fields = entries[number % BRANDS]
            copied = [f"User {planned + number}" if each == "first" else each for each in fields]
            copies.append(("XADD", streams[number % BRANDS], "*", *copied))
        store.commands(copies)
        started = thread_time()
        planned += _drain(planner)
        spent += thread_time() - started
    return spent / planned * 1e6


def _drain(planner: Planner) -> int:
    """Plan all events; return how many there were."""
    count = 0
    while read := _number(planner.turn()):
        count += read
    return count


def _number(turn: object) -> int:
    """Return the entries that a turn read; earlier revisions answer the number itself."""
    read = getattr(turn, "read", turn)
    assert isinstance(read, int)
    return read


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        serve()
    else:
        main()
