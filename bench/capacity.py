"""Capacity plan: the replicas, shards and memory that a year, or the minute of a sale, requires.

    python bench/capacity.py [--figures bench/figures.json] [--brands N] [--users N] [--uses N] [--sale N] …

The figures are those that `bench/run.py --keep bench/figures.json` wrote. Everything else is arithmetic, and each
assumption is an option. `--simulate` deals brands over partitions by the service's own rule.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench import tables
from discount.store import keys

FIGURES = Path(__file__).with_name("figures.json")
SECONDS_A_YEAR = 365 * 86_400
#: The highest share of its capacity that any part should reach.
BUSY = 0.6
#: Workers of a replica; each is busy with one request at a time.
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Load:
    """Requests per second of each kind."""

    grants: float
    repeats: float
    refusals: float
    redemptions: float

    @property
    def all(self) -> float:
        return self.grants + self.repeats + self.refusals + self.redemptions


class Figures:
    """Measured figures by name."""

    def __init__(self, kept: Mapping[str, Mapping[str, float]]) -> None:
        self._kept = kept

    def of(self, what: str, name: str) -> float:
        """Return one figure.

        Raises:
            SystemExit: it was not measured.
        """
        try:
            return self._kept[what][name]
        except KeyError:
            sys.exit(f"the figures have no {name!r} of {what!r}: write them with bench/run.py --keep")

    def cores(self, load: Load, part: str) -> float:
        """Return how many cores of a part a load keeps busy."""
        several = {
            "grant": load.grants,
            "grant again: the code held": load.repeats,
            "grant refused: sold out": load.refusals,
            "redemption": load.redemptions,
        }
        return sum(rate * self.of(f"http: {kind}", part) for kind, rate in several.items()) / 1e6


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, default=FIGURES, help="the file that bench/run.py --keep wrote")
    parser.add_argument("--brands", type=int, default=1_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--uses", type=int, default=100_000_000, help="redemptions per year")
    parser.add_argument("--grants", type=int, default=100_000_000, help="codes granted per year")
    parser.add_argument("--peak", type=float, default=20.0, help="busiest second as a multiple of the average")
    parser.add_argument("--sale", type=int, default=100_000, help="requests per second during a sale")
    parser.add_argument("--new", type=float, default=0.5, help="share of a sale's requests that get a code")
    parser.add_argument("--again", type=float, default=0.2, help="share that repeat a request; others find it sold out")
    parser.add_argument("--days", type=float, default=7.0, help="days for which events are kept")
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 2, 4, 8], help="numbers of shards to compare")
    parser.add_argument("--simulate", action="store_true", help="also simulate how brands spread over shards")
    asked = parser.parse_args(words)
    figures = Figures(json.loads(asked.figures.read_text(encoding="utf-8")))
    rate = asked.peak / SECONDS_A_YEAR
    year = Load(asked.grants * rate, 0.0, 0.0, asked.uses * rate)
    sale = Load(asked.sale * asked.new, asked.sale * asked.again, asked.sale * (1 - asked.new - asked.again), 0.0)
    _show_busy(figures, {"a year's busiest second": year, "a sale": sale})
    _show_one_shard(figures, sale)
    _show_memory(figures, asked)
    if asked.simulate:
        _show_brands(asked.brands, asked.shards)


def _show_busy(figures: Figures, loads: Mapping[str, Load]) -> None:
    nginx = figures.of("http: grant, through nginx", "nginx_us") / 1e6
    memory = figures.of("startup: a worker", "share_mb")
    rows = []
    for name, load in loads.items():
        app, redis = figures.cores(load, "app_us"), figures.cores(load, "redis_us")
        replicas = math.ceil(app / BUSY / WORKERS)
        rows.append(
            (
                name,
                f"{load.all:,.0f}",
                f"{app:.1f}",
                f"{replicas}",
                f"{replicas * WORKERS * memory / 1024:.1f}",
                f"{redis:.1f}",
                f"{math.ceil(redis / BUSY)}",
                f"{load.all * nginx:.1f}",
                f"{math.ceil(load.all * nginx / BUSY)}",
            )
        )
    tables.show(
        f"Cores busy, and how many of each so that none is busier than {BUSY:.0%}",
        (
            "load",
            "requests/s",
            "app cores",
            f"replicas of {WORKERS} workers",
            "their memory GB",
            "Redis cores",
            "shards",
            "nginx cores",
            "nginx workers",
        ),
        rows,
    )


def _show_one_shard(figures: Figures, sale: Load) -> None:
    """Print the limits of one brand: all of its keys are on one shard, which has one core."""
    costs = {
        "a sale's requests, one by one": figures.cores(sale, "redis_us") / sale.all * 1e6,
        "grants, one by one": figures.of("http: grant", "redis_us"),
        "redemptions, one by one": figures.of("http: redemption", "redis_us"),
        "sold out, one by one": figures.of("http: grant refused: sold out", "redis_us"),
        "grants in calls of 10,000": figures.of("script: HTTP, 10,000 a call, 2 workers", "redis_us"),
    }
    rows = [(name, f"{1e6 / cost:,.0f}", f"{BUSY * 1e6 / cost:,.0f}") for name, cost in costs.items()]
    tables.show(
        "What one brand can have a second: its keys stand on one shard, which is one core",
        ("calls", "at most", f"at {BUSY:.0%}"),
        rows,
    )


def _show_memory(figures: Figures, asked: argparse.Namespace) -> None:
    granted, event = (figures.of("memory: unique, 1000000, User ", name) for name in ("bytes", "event"))
    redeemed, redeemed_event = (figures.of("memory: redemption", name) for name in ("bytes", "event"))
    kept = asked.days / 365
    rows = [
        ("codes granted in a year", f"{asked.grants:,}", granted, asked.grants * granted),
        ("redemptions of a year", f"{asked.uses:,}", redeemed, asked.uses * redeemed),
        (
            f"events of {asked.days:g} days",
            f"{(asked.grants + asked.uses) * kept:,.0f}",
            (event * asked.grants + redeemed_event * asked.uses) / (asked.grants + asked.uses),
            (asked.grants * event + asked.uses * redeemed_event) * kept,
        ),
    ]
    total = sum(row[-1] for row in rows)
    shown = [(name, count, f"{each:.0f}", f"{whole / 2**30:.1f}") for name, count, each, whole in rows]
    shown.append(("all", "", "", f"{total / 2**30:.1f}"))
    tables.show(
        f"Memory of Redis after a year of {asked.brands:,} brands and {asked.users:,} users",
        ("what", "how many", "bytes each", "GB"),
        shown,
    )


def _show_brands(brands: int, shards: Sequence[int]) -> None:
    """Simulate 50 distributions of brands with Zipf-distributed loads, and measure the busiest shard."""
    weights = [1 / rank for rank in range(1, brands + 1)]
    whole = sum(weights)
    deal = random.Random(8)
    rows = []
    for partitions in (16, 64, 256):
        for count in shards:
            shares = []
            for _ in range(50):
                load = [0.0] * count
                for weight in weights:
                    load[keys.partition_of(f"Brand {deal.random()}", partitions) % count] += weight / whole
                shares.append(max(load))
            rows.append((str(partitions), str(count), f"{1 / count:.2f}", tables.spread(shares, 2)))
    tables.show(
        f"The busiest shard's share of all load: {brands:,} brands, the n-th largest a n-th of the largest"
        " (min / median / max of 50 deals)",
        ("partitions", "shards", "an equal share", "the busiest one's"),
        rows,
    )


if __name__ == "__main__":
    main()
