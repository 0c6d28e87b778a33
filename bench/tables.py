"""Figures as Markdown, and those that others reckon with as JSON."""

from collections.abc import Iterable, Sequence
from statistics import median

#: What was measured, by what it is: `bench/run.py --keep` writes it down.
kept: dict[str, dict[str, float]] = {}


def keep(what: str, **figures: float) -> None:
    """Note figures for those that reckon with them."""
    kept[what] = {name: round(value, 3) for name, value in figures.items()}


def show(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    print(f"\n### {title}\n")
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The least, the median and the most."""
    return " / ".join(f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all is not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
