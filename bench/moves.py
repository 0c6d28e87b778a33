"""Time of a partition's move to another node while its grants go on, and the longest gap between two of its grants.

    python bench/moves.py [--grants N] [--server valkey|PATH]

A Cluster of two masters on this machine; the second has no partition at first. The partition holds N grants of one
discount. With a server that cannot move a slot in one step, the move is the script that `discount topology place`
prints.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench import tables
from discount.cli.topology import step_by_step
from discount.domain import code_kinds
from discount.domain.errors import Unavailable
from discount.services import discounts, grants
from discount.store import keys
from discount.store.connection import Store
from discount.store.topology import Moving, Node, read_nodes, slot_of
from tests.support.clusters import Cluster, valkey

BRAND = "IKEA"
PARTITIONS = 16
SLICE = 1000


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grants", type=int, default=50_000, help="grants in the partition that moves")
    parser.add_argument("--server", default="valkey", help="a redis-server or valkey-server; by default the wheel's")
    given = parser.parse_args(words)
    executable = valkey() if given.server == "valkey" else given.server
    with Cluster(masters=1, replicas=0, empty=1, executable=executable) as cluster:
        store = Store.at(cluster.url, 1.0, PARTITIONS)
        store.prepare()
        kind = code_kinds.make("unique", 10 * given.grants, {})
        discount_id = discounts.create(
            store, brand_id=BRAND, discount_code="Sale", total_count=10 * given.grants, kind=kind
        )[0].id
        for start in range(0, given.grants, SLICE):
            grants.grant_many(store, discount_id, [f"user {start + number}" for number in range(SLICE)])
        with _Caller(store, discount_id) as caller:
            time.sleep(1)
            nodes = {node.address: node for node in read_nodes(store.nodes)}
            begun = time.monotonic()
            way = _move(store, nodes)
            took = time.monotonic() - begun
            time.sleep(1)
    row = [way, f"{given.grants:,}", f"{took:.1f}", f"{caller.longest_gap:.2f}", f"{caller.refused:,}"]
    tables.show("Move of a partition", ("way", "grants in it", "took s", "longest gap s", "503"), [row])


def _move(store: Store, nodes: dict[str, Node]) -> str:
    partition = keys.partition_of(BRAND, PARTITIONS)
    source = nodes[store.nodes.owners[partition]]
    target = next(node for node in nodes.values() if node is not source)
    if not source.moves_atomically:
        script = step_by_step(slot_of(store.nodes, partition), source, target)
        subprocess.run(["sh", "-eu", "-c", script], check=True, stdout=subprocess.DEVNULL)
        return f"key by key, {source.server} {'.'.join(map(str, source.version))}"
    moving = Moving(store.nodes, partition, source, target)
    while not moving.is_done():
        time.sleep(0.02)
    return f"in one step, {source.server} {'.'.join(map(str, source.version))}"


class _Caller(threading.Thread):
    """A client that asks for one grant after the other, and repeats what is refused."""

    def __init__(self, store: Store, discount_id: str) -> None:
        super().__init__()
        self.longest_gap, self.refused = 0.0, 0
        self._store, self._discount_id = store, discount_id
        self._ending = threading.Event()

    def __enter__(self) -> "_Caller":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.join()

    def run(self) -> None:
        last, number = time.monotonic(), 0
        while not self._ending.is_set():
            try:
                grants.grant(self._store, self._discount_id, f"caller {number}")
            except Unavailable:
                self.refused += 1
                time.sleep(0.01)
                continue
            now = time.monotonic()
            self.longest_gap, last, number = max(self.longest_gap, now - last), now, number + 1
            time.sleep(0.002)


if __name__ == "__main__":
    main()
