"""Every figure of doc/performance.md, measured in one run: `make bench`, or with --quick in a minute.

It never fails because something is slow, only because an answer is wrong.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench import console, growth, imports, layers, ledger, machine, memory, modes, over_http, script, startup, tables
from bench.peers import programs, together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer requests: the same ratios with a wider spread")
    parts = ("http", "layers", "script", "startup", "imports", "memory", "growth", "modes", "console", "ledger")
    parser.add_argument("--only", choices=parts, help="measure one part only")
    parser.add_argument(
        "--rows", type=int, metavar="N", help="grants among which a code is found; 1,000,000 by default"
    )
    parser.add_argument("--part", choices=ledger.PARTS, help="measure one part of the ledger only")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the figures that capacity.py uses")
    chosen = parser.parse_args()
    print(machine.describe())
    quick = chosen.quick
    if chosen.only in (None, "http"):
        over_http.run(rounds=5 if quick else 15, requests=1_000 if quick else 2_000)
        _run_together(rounds=2 if quick else 5)
    if chosen.only in (None, "layers"):
        layers.run(5 if quick else 15)
    if chosen.only in (None, "script"):
        script.run(rounds=3 if quick else 7, total=20_000 if quick else 100_000)
    if chosen.only in (None, "startup"):
        startup.run(rounds=3 if quick else 7, requests=2_000)
    if chosen.only in (None, "imports"):
        imports.run(50_000 if quick else 1_000_000, 3)
    if chosen.only in (None, "memory"):
        totals = (1_000, 50_000) if quick else (1_000, 100_000, 1_000_000, 10_000_000)
        memory.run(totals, 50_000 if quick else 1_000_000)
    if chosen.only in (None, "growth"):
        codes = (2_000, 50_000) if quick else (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
        users = (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
        growth.run(codes, (10, 1_000) if quick else (10, 1_000, 100_000), 5 if quick else 15, users)
    if chosen.only in (None, "modes"):
        modes.run(rounds=3 if quick else 9, total=320 if quick else 1_600)
    if chosen.only in (None, "console"):
        console.run(2_000 if quick else 100_000, 3 if quick else 7, 4_000 if quick else 20_000)
    if chosen.only in (None, "ledger"):
        rows = chosen.rows or (50_000 if quick else 1_000_000)
        part = (chosen.part,) if chosen.part else ledger.PARTS
        ledger.run(entries=10_000 if quick else 100_000, rows=rows, rounds=3 if quick else 9, parts=part)
    if chosen.keep:
        _keep(chosen.keep)


def _run_together(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            together.run(programs.build_sender(Path(folder)), rounds, most=2_000)
        except programs.Missing as error:
            print(f"\nLeft out: the sum over all processes. It needs {error}")


def _keep(file: Path) -> None:
    """Write the new figures, and keep those of parts that were not measured."""
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps(known | tables.kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
