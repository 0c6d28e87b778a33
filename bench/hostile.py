"""Measure what a neighbour notices while one tenant attacks: `make hostile`.

For each attack the neighbour's 50 grants a second are timed in quiet, under attack and in quiet again, in one run. The
bars: no refusal, a p99 of at most three times that of the quiet, `/healthy` within a second. Ends with 1 if one is
missed.

Beside it stand the p99 of bystanders, in quiet and under attack, and who used the processors. If a process that only
answers is late as well, it is the machine that is busy.
"""

import argparse
import socket
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import tables
from bench.bystander import Bystander, Processors
from tests.hostile.attacks import ATTACKS, FULL
from tests.hostile.street import Street, Watch

#: Seconds of each measurement.
SECONDS = 8.0
#: The limits: the neighbour's p99 as a multiple of the undisturbed one, and the slowest `/healthy` in seconds.
LATER, HEALTH = 3.0, 1.0
#: What is asked beside: a process that only answers, Redis, and nginx for an answer of its own.
PROBES = ("echo", "Redis PING", "nginx")
ALIVE = b"GET /-/alive HTTP/1.1\r\nHost: localhost\r\n\r\n"


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
            quiet, still, _ = _watch(street, asked.seconds / 2)
            with attack(street, FULL):
                attacked, bystander, shares = _watch(street, asked.seconds)
            quiet.add(_watch(street, asked.seconds / 2)[0])
        misses = _misses(quiet, attacked)
        missed += bool(misses)
        rows.append(
            (
                name,
                str(sum(status != 201 for status in attacked.statuses)),
                f"{quiet.p99 * 1000:.1f}",
                f"{attacked.p99 * 1000:.1f}",
                f"{attacked.p99 / quiet.p99:.1f}",
                f"{max(attacked.health_times) * 1000:.0f}",
                ", ".join(misses) or "held",
                *(f"{still[probe] * 1000:.1f} → {late * 1000:.1f}" for probe, late in bystander.items()),
                ", ".join(f"{part} {share:.0%}" for part, share in shares.items() if share >= 0.01),
            )
        )
        print("; ".join(rows[-1]), file=sys.stderr)
    tables.show(
        "Attacks: what the neighbour notices",
        (
            "attack",
            "refused",
            "p99 ms in quiet",
            "p99 ms attacked",
            "of the quiet",
            "slowest /healthy ms",
            "bars",
            *(f"p99 ms of {probe}" for probe in PROBES),
            "processors",
        ),
        rows,
    )
    return 1 if missed else 0


def _watch(street: Street, seconds: float) -> tuple[Watch, dict[str, float], dict[str, float]]:
    """Watch the neighbour; return also the p99 of each probe, and the CPU that each part used."""
    probes = {
        "Redis PING": (partial(_connect_to_redis, street), b"PING\r\n"),
        "nginx": (partial(_connect_to_nginx, street), ALIVE),
    }
    with Bystander(probes) as bystander, Processors(street.processes) as used:
        seen = street.watch(seconds)
    return seen, bystander.p99, used.shares


def _connect_to_redis(street: Street) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(street.redis.url.removeprefix("unix://"))
    return connection


def _connect_to_nginx(street: Street) -> socket.socket:
    return socket.create_connection(("127.0.0.1", street.proxy.port))


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
