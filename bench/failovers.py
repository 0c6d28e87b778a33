"""Let nodes of Redis die, hang and be cut off under grants, many times over: a part of `make chaos`.

Each row is one kind of fault in one mode of DURABILITY, with real servers. It fails if an answer is lost, or a code is
given twice, in a mode that promises otherwise. It also fails if `fast` loses nothing where it must: then it is blind.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench.tables import show
from discount.store.connection import Store
from discount.store.durability import Mode
from tests.chaos import failovers
from tests.chaos.failovers import Granting, await_safety, judge, make_offer, partition_of
from tests.support.clusters import NODE_TIMEOUT, Cluster, Node, Sentinels

#: Answers of each discount before and after a fault.
SOME = 100
TIMEOUT = 1.0
#: Seconds within which a call has its answer or a 503, and within which a partition grants again.
PATIENCE = 6.0
#: The last two are about the nodes that have no fault.
COLUMNS = ("fault", "mode", "runs", "answers", "lost", "given twice", "longest gap s", "others' p99 ms", "failed there")

#: Faults of a Cluster, and whether `fast` must lose answers by them.
FAULTS: dict[str, tuple[Callable[[Cluster, int], Node], bool]] = {
    "replicas cut off, then the host pulled": (failovers.lose_replicas_then_host, True),
    "master cut off with its clients": (failovers.partition_with_clients, True),
    "master hangs": (failovers.freeze, False),
    "master killed": (failovers.kill, False),
}
FAULTS_OF_PRIMARY: dict[str, tuple[Callable[[Sentinels], Node], bool]] = {
    "primary cut off with its clients": (failovers.partition_primary, True),
    "primary killed": (failovers.kill_primary, False),
}


class Row:
    """The sums of all runs of one fault in one mode."""

    def __init__(self, fault: str, mode: Mode) -> None:
        self.fault, self.mode = fault, mode
        self.runs = self.answers = self.lost = self.doubled = self.failed = 0
        self.gap = 0.0
        self.others: list[float] = []

    def add(self, store: Store, granting: Granting, victim: str) -> None:
        """Judge a run, whose fault took the node of a discount."""
        found = judge(store, granting.answers)
        self.runs += 1
        self.answers += found.answered
        self.lost += len(found.lost)
        self.doubled += len(found.doubled)
        self.gap = max(self.gap, granting.gap(victim))
        calls = [*granting.answers, *granting.failures]
        slow = [each for each in calls if each.ended - each.started > PATIENCE and each.discount_id != victim]
        assert not slow, f"{self.fault}: {len(slow)} calls took longer than {PATIENCE} s"
        self.others += [each.ended - each.started for each in granting.answers if each.discount_id != victim]
        self.failed += sum(each.discount_id != victim for each in granting.failures)

    def cells(self) -> list[str]:
        worst = sorted(self.others)[int(len(self.others) * 0.99)] * 1000 if self.others else None
        return [
            *(self.fault, self.mode, str(self.runs), f"{self.answers:,}", f"{self.lost:,}", f"{self.doubled:,}"),
            *(f"{self.gap:.1f}", "" if worst is None else f"{worst:.0f}", f"{self.failed:,}" if self.others else ""),
        ]

    def check(self, *, must_lose: bool) -> None:
        """Compare the sums with what the mode promises."""
        if self.mode == "fast":
            assert self.lost or not must_lose, f"{self.fault}: nothing was lost, so this proves nothing"
        else:
            assert (self.lost, self.doubled) == (0, 0), f"{self.fault}: {self.lost} lost, {self.doubled} given twice"
        assert self.gap <= PATIENCE + TIMEOUT, f"{self.fault}: no grant for {self.gap:.1f} s"


def store_at(servers: Cluster | Sentinels, mode: Mode) -> Store:
    store = Store.at(servers.url, TIMEOUT, 16)
    store.set_durability(mode, 1)
    store.prepare()
    await_safety(store)
    return store


def on_cluster(runs: int, modes: Sequence[Mode]) -> list[Row]:
    """Let every master in turn have each fault."""
    rows = []
    with Cluster(replicas=2) as cluster:
        for fault, (happen, must_lose) in FAULTS.items():
            for mode in modes:
                row = Row(fault, mode)
                for run in range(runs):
                    store = store_at(cluster, mode)
                    offers = [make_offer(store, cluster.partitions_of(each)[0]) for each in cluster.masters()]
                    victim = offers[run % len(offers)]
                    with Granting(store, offers) as granting:
                        granting.wait_for(SOME)
                        happen(cluster, partition_of(victim))
                        granting.wait_for(SOME)
                    cluster.heal()
                    row.add(store, granting, victim)
                row.check(must_lose=must_lose)
                print(*row.cells(), sep=" | ", flush=True)
                rows.append(row)
    return rows


def on_sentinels(runs: int, modes: Sequence[Mode]) -> list[Row]:
    """Let the primary have each fault and come back, by the Sentinels' own work."""
    rows = []
    with Sentinels(replicas=2) as sentinels:
        for fault, (happen, must_lose) in FAULTS_OF_PRIMARY.items():
            for mode in modes:
                row = Row(fault, mode)
                for run in range(runs):
                    store = store_at(sentinels, mode)
                    offer = make_offer(store, run % 16)
                    with Granting(store, [offer]) as granting:
                        granting.wait_for(SOME)
                        old = happen(sentinels)
                        granting.wait_for(SOME)
                        if old.process is None:
                            old.start()
                        else:
                            sentinels.rejoin(old)
                        sentinels.await_copies()
                        granting.wait_for(SOME)
                    row.add(store, granting, offer)
                row.check(must_lose=must_lose)
                print(*row.cells(), sep=" | ", flush=True)
                rows.append(row)
    return rows


def moving() -> Row:
    """Move every partition under load, each grants all the while."""
    row = Row("every partition moved", "replicated")
    with Cluster(replicas=2) as cluster:
        store = store_at(cluster, "replicated")
        offers = [make_offer(store, partition) for partition in range(16)]
        with Granting(store, offers, clients=1) as granting:
            for offer in offers:
                granting.wait_for(5)
                failovers.move(cluster, partition_of(offer))
            granting.wait_for(5)
        row.add(store, granting, offers[0])
        assert not granting.failures, granting.failures[:3]
    row.check(must_lose=False)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="how often each fault happens in each mode")
    chosen = parser.parse_args()
    modes: list[Mode] = ["fast", "replicated"]
    rows = [moving(), *on_cluster(chosen.runs, modes), *on_sentinels(chosen.runs, modes)]
    terms = f"two replicas, a node timeout of {NODE_TIMEOUT / 1000:.0f} s, a REDIS_TIMEOUT of {TIMEOUT:.0f} s"
    show(f"Grants while nodes fail; {terms}", COLUMNS, [row.cells() for row in rows])


if __name__ == "__main__":
    main()
