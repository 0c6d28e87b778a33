"""Figures as Markdown."""

from collections.abc import Iterable, Sequence
from statistics import median


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
