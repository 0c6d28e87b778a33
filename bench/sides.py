"""Two sides of a comparison: the code of another revision and that of this tree, each in a process of its own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Microseconds by what was measured, the same for each round: a list has several figures of one call.
Round = dict[str, list[float]]
Side = Callable[[int], Round]


def tree_of_child() -> str:
    """Return the tree that this process has to measure; this file's own unless it is a child of `both`."""
    return sys.argv[2] if sys.argv[1:2] == ["--measure"] else str(ROOT)


@contextmanager
def both(script: str, revision: str) -> Iterator[tuple[Side, Side]]:
    """Yield functions that measure a round of so many calls: with the code of the revision, and with this tree's.

    Args:
        script: the calling file. It is run again with `--measure` and a tree, and then answers as `serve` does.
    """
    with tree(revision) as other, _side(script, str(other)) as old, _side(script, str(ROOT)) as new:
        yield old, new


def serve(measure: Side) -> None:
    """Measure a round for each line of the input, which has the number of calls."""
    for line in sys.stdin:
        print(json.dumps(measure(int(line))), flush=True)


def rounds(sides: tuple[Side, Side], count: int, calls: int) -> Iterator[tuple[Round, Round]]:
    """Yield the figures of both sides, round by round, in turned order. The first round only warms up."""
    for turn in range(count + 1):
        told = {each: each(calls) for each in (sides if turn % 2 else sides[::-1])}
        if turn:
            yield told[sides[0]], told[sides[1]]


@contextmanager
def tree(revision: str) -> Iterator[Path]:
    """Yield a folder with the files of a revision."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


@contextmanager
def _side(script: str, tree: str) -> Iterator[Side]:
    """Yield a function that measures a round in a process with the code of that tree."""
    command = [sys.executable, script, "--measure", tree]
    with subprocess.Popen(command, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        sent, answers = child.stdin, child.stdout

        def measure(calls: int) -> Round:
            sent.write(f"{calls}\n")
            sent.flush()
            found: Round = json.loads(answers.readline())
            return found

        try:
            yield measure
        finally:
            sent.close()
