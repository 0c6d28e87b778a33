"""Measures what a neighbour notices while one tenant attacks: `make hostile`.

For each attack the neighbour's 50 grants a second are timed in quiet, under attack and in quiet again, in one run. The
bars: no refusal, a p99 of at most three times that of the quiet, `/healthy` within a second. Ends with 1 if one is
missed.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import tables
from tests.hostile.attacks import ATTACKS, FULL
from tests.hostile.street import Street, Watch

#: Seconds of each measurement.
SECONDS = 8.0
#: The limits: the neighbour's p99 as a multiple of the undisturbed one, and the slowest `/healthy` in seconds.
LATER, HEALTH = 3.0, 1.0


def main() -> int:
    """Run the attacks and print a row for each; return 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help="only attacks whose name contains this text")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="seconds of each measurement")
    asked = parser.parse_args()
    rows, missed = [], 0
    for name, attack in ATTACKS.items():
        if asked.only and asked.only not in name:
            continue
        with Street() as street:
            street.watch(1)
            quiet = street.watch(asked.seconds / 2)
            with attack(street, FULL):
                attacked = street.watch(asked.seconds)
            quiet.add(street.watch(asked.seconds / 2))
        misses = _misses(quiet, attacked)
        missed += bool(misses)
        rows.append(
            (
                name,
                str(sum(status != 201 for status in attacked.statuses)),
                f"{quiet.p99 * 1000:.0f}",
                f"{attacked.p99 * 1000:.0f}",
                f"{attacked.p99 / quiet.p99:.1f}",
                f"{max(attacked.health_times) * 1000:.0f}",
                ", ".join(misses) or "held",
            )
        )
        print("; ".join(rows[-1]), file=sys.stderr)
    tables.show(
        "Attacks: what the neighbour notices",
        ("attack", "refused", "p99 ms in quiet", "p99 ms attacked", "of the quiet", "slowest /healthy ms", "bars"),
        rows,
    )
    return 1 if missed else 0


def _misses(quiet: Watch, attacked: Watch) -> list[str]:
    found = []
    if set(attacked.statuses) != {201} or set(attacked.health) != {200}:
        found.append("refused")
    if attacked.p99 > LATER * quiet.p99:
        found.append("late")
    if max(attacked.health_times) > HEALTH:
        found.append("health")
    return found


if __name__ == "__main__":
    sys.exit(main())
