"""Let nodes of Redis die, hang and be cut off under grants, many times over: a part of `make chaos`.

Each row is one kind of fault in one mode of DURABILITY, with real servers. It fails if an answer is lost, or a code is
given twice, in a mode that promises otherwise. It also fails if `fast` loses nothing where it must: then it is blind.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench.tables import percentile, show
from discount.store.connection import Store
from discount.store.durability import Mode
from tests.chaos import failovers
from tests.chaos.failovers import Granting, await_safety, judge, make_offer, partition_of
from tests.support.clusters import NODE_TIMEOUT, Cluster, Node, Sentinels

#: Answers of each discount before and after a fault.
SOME = 100
TIMEOUT = 1.0
#: Seconds within which each call has its answer or a 503.
PATIENCE = 6.0
#: Seconds within which a partition grants again after its node has died; other faults begin with a part of that.
LONGEST_GAP = 2 * NODE_TIMEOUT / 1000 + 2
LONGEST_PART = 3.0
#: The share of the calls to other nodes that may fail.
SMALL = 0.05
#: The fault in which the others' rate is judged, too: it is as long in each run.
MOMENT = f"master hangs for {failovers.MOMENT:.0f} s"
#: The last four are about the nodes that have no fault.
COLUMNS = (
    *("fault", "mode", "runs", "answers", "lost", "given twice", "longest gap s"),
    *("others' p99 ms before", "and in the fault", "others' rate in the fault, to before", "failed there"),
)

#: Faults of a Cluster, and whether `fast` must lose answers by them.
FAULTS: dict[str, tuple[Callable[[Cluster, int], Node], bool]] = {
    "replicas cut off, then the host pulled": (failovers.lose_replicas_then_host, True),
    "master cut off with its clients": (failovers.partition_with_clients, True),
    "master hangs": (failovers.freeze, False),
    MOMENT: (failovers.freeze_for_a_moment, False),
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
        self.gap = self.slowest = 0.0
        self.before: list[float] = []
        self.others: list[float] = []
        self.rates: list[float] = []

    def add(self, store: Store, granting: Granting, victim: str, fault: tuple[float, float]) -> None:
        """Judge a run, whose fault took the node of a discount from one moment to another."""
        found = judge(store, granting.answers)
        self.runs += 1
        self.answers += found.answered
        self.lost += len(found.lost)
        self.doubled += len(found.doubled)
        self.gap = max(self.gap, granting.gap(victim))
        self.slowest = max([self.slowest, *(each.ended - each.started for each in granting.failures)])
        self.slowest = max([self.slowest, *(each.ended - each.started for each in granting.answers if each.tries == 1)])
        others = [each for each in granting.answers if each.discount_id != victim]
        if others:
            began, ended = fault
            before = [each for each in others if each.ended < began]
            during = [each for each in others if began <= each.ended < ended]
            self.before += [each.ended - each.started for each in before]
            self.others += [each.ended - each.started for each in during]
            calm = began - min(each.started for each in before)
            self.rates.append(len(during) / (ended - began) / (len(before) / calm))
        self.failed += sum(each.discount_id != victim for each in granting.failures)

    def cells(self) -> list[str]:
        return [
            *(self.fault, self.mode, str(self.runs), f"{self.answers:,}", f"{self.lost:,}", f"{self.doubled:,}"),
            f"{self.gap:.1f}",
            *([f"{percentile(each, 0.99) * 1000:.0f}" for each in (self.before, self.others)] if self.others else "  "),
            *((f"{median(self.rates):.2f}", f"{self.failed:,}") if self.rates else "  "),
        ]

    def wrongs(self, *, must_lose: bool) -> Iterator[str]:
        """Yield a sentence for each sum that is not what the mode promises."""
        if self.mode == "fast":
            if must_lose and not self.lost:
                yield "nothing was lost, so this proves nothing"
        elif self.lost or self.doubled:
            yield f"{self.lost} lost, {self.doubled} given twice"
        longest = LONGEST_GAP if "killed" in self.fault else LONGEST_GAP + LONGEST_PART
        if self.gap > longest:
            yield f"no grant for {self.gap:.1f} s"
        if self.slowest > PATIENCE:
            yield f"a call took {self.slowest:.1f} s"
        if self.failed > SMALL * self.answers:
            yield f"{self.failed} calls to other nodes failed"
        if self.fault == MOMENT and median(self.rates) < 1 - SMALL:
            yield f"the other nodes gave {median(self.rates):.2f} of the answers of before"
        if self.others:
            # Nobody waits for the node that has the fault. A busy computer is slow before it, too.
            worst = percentile(self.others, 0.99)
            if worst > max(TIMEOUT / 2, 5 * percentile(self.before, 0.99)):
                yield f"a p99 of {worst:.1f} s at nodes without a fault"

    def show(self, wrong: list[str], *, must_lose: bool) -> None:
        """Print the sums, and note what is wrong with them."""
        print(*self.cells(), sep=" | ", flush=True)
        wrong += [f"{self.fault}, {self.mode}: {each}" for each in self.wrongs(must_lose=must_lose)]


def store_at(servers: Cluster | Sentinels, mode: Mode) -> Store:
    store = Store.at(servers.url, TIMEOUT, 16)
    store.set_durability(mode, 1)
    store.prepare()
    await_safety(store)
    return store


def on_cluster(wrong: list[str], runs: int, modes: Sequence[Mode], **settings: str) -> list[Row]:
    """Let every master in turn have each fault."""
    rows = []
    with Cluster(3, 2, empty=0, **settings) as cluster:
        for fault, (happen, must_lose) in FAULTS.items():
            for mode in modes:
                row = Row(fault, mode)
                for run in range(runs):
                    store = store_at(cluster, mode)
                    offers = [make_offer(store, cluster.partitions_of(each)[0]) for each in cluster.masters()]
                    victim = offers[run % len(offers)]
                    with Granting(store, offers) as granting:
                        granting.wait_for(SOME)
                        began = time.monotonic()
                        happen(cluster, partition_of(victim))
                        ended = time.monotonic()
                        granting.wait_for(SOME)
                    cluster.heal()
                    row.add(store, granting, victim, (began, ended))
                row.show(wrong, must_lose=must_lose)
                rows.append(row)
    return rows


def on_sentinels(wrong: list[str], runs: int, modes: Sequence[Mode]) -> list[Row]:
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
                        began = time.monotonic()
                        old = happen(sentinels)
                        ended = time.monotonic()
                        granting.wait_for(SOME)
                        if old.process is None:
                            old.start()
                        # Its file may be of a moment when somebody was cut off.
                        sentinels.rejoin(old)
                        sentinels.await_copies()
                        granting.wait_for(SOME)
                    row.add(store, granting, offer, (began, ended))
                row.show(wrong, must_lose=must_lose)
                rows.append(row)
    return rows


def moving(wrong: list[str]) -> Row:
    """Move every partition under load, each grants all the while."""
    row = Row("every partition moved", "replicated")
    with Cluster(replicas=2) as cluster:
        store = store_at(cluster, "replicated")
        offers = [make_offer(store, partition) for partition in range(16)]
        with Granting(store, offers, clients=1) as granting:
            granting.wait_for(5)
            began = time.monotonic()
            for offer in offers:
                granting.wait_for(5)
                failovers.move(cluster, partition_of(offer))
            ended = time.monotonic()
            granting.wait_for(5)
        row.add(store, granting, offers[0], (began, ended))
        wrong += [f"a call failed while partitions moved: {each}" for each in granting.failures[:3]]
    row.show(wrong, must_lose=False)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="how often each fault happens in each mode")
    parser.add_argument("--only", choices=["moves", "cluster", "sentinel", "synced"], help="one part of it")
    chosen = parser.parse_args()
    modes: list[Mode] = ["fast", "replicated"]
    wrong: list[str] = []
    parts: dict[str, Callable[[], list[Row]]] = {
        "moves": lambda: [moving(wrong)],
        "cluster": lambda: on_cluster(wrong, chosen.runs, modes),
        "sentinel": lambda: on_sentinels(wrong, chosen.runs, modes),
        # It waits as `replicated` does, and for disks.
        "synced": lambda: on_cluster(wrong, max(1, chosen.runs // 3), ["synced"], appendfsync="always"),
    }
    rows = [row for name, run in parts.items() if chosen.only in (None, name) for row in run()]
    terms = f"two replicas, a node timeout of {NODE_TIMEOUT / 1000:.0f} s, a REDIS_TIMEOUT of {TIMEOUT:.0f} s"
    show(f"Grants while nodes fail; {terms}", COLUMNS, [row.cells() for row in rows])
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
