"""The service beside what could be used instead: `make bench-peers`. README.md says what is compared, and how.

It never fails because something is slow, only because an answer of the service is wrong. It takes about five minutes; a
turn sends for three seconds at most, so that it ends within twenty minutes on any machine.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run by its path, it finds its own folder only

from bench import machine
from bench.peers import bars, beside, processes, programs, together
from bench.peers.contest import Contest


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, default=4_000, help="the most requests of a turn")
    parser.add_argument("--peers", default="", metavar="TEXT,TEXT", help="only the peers whose names contain a text")
    parser.add_argument("--build", type=Path, default=Path(tempfile.gettempdir()) / "discount-peers")
    chosen = parser.parse_args(words)
    print(machine.describe(), flush=True)
    chosen.build = chosen.build.resolve()
    chosen.build.mkdir(parents=True, exist_ok=True)
    try:
        sender = programs.build_sender(chosen.build)
    except programs.Missing as error:
        sys.exit(f"bench-peers needs {error}")
    peers = list(_built(chosen.peers.split(","), chosen.build))
    if not processes.can_count():
        needs = "perf: apt-get install linux-perf, and root or sysctl kernel.perf_event_paranoid=-1"
        print(f"\nLeft out: system calls. Counting them needs {needs}", flush=True)
    figures = bars.Figures()
    with ExitStack() as started:
        contest = Contest(sender, chosen.build, peers, started, chosen.rounds, chosen.most)
        for connections in (32, 64):
            turns = contest.run(connections)
            calls = contest.count_system_calls(connections)
            contest.show(connections, turns, calls)
            figures.turns[connections], figures.system_calls[connections] = turns, calls
        for name, why in contest.failed.items():
            print(f"\nLeft out: {name}: {why}")
    figures.others = beside.run(sender, chosen.rounds)
    figures.together = together.run(sender, chosen.rounds, chosen.most)
    bars.show(figures)


def _built(texts: Sequence[str], build: Path) -> Sequence[programs.Peer]:
    """Build the chosen peers; return those whose programs are there, and print what the others need."""
    built = []
    for peer in programs.PEERS:
        if any(text in peer.name for text in texts):
            try:
                peer.build(build)
                built.append(peer)
            except programs.Missing as error:
                print(f"\nLeft out: {peer.name}. It needs {error}", flush=True)
    return built


if __name__ == "__main__":
    main()
