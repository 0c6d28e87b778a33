"""Print figures as Markdown tables, and keep those that other programs use."""

from collections.abc import Iterable, Sequence
from statistics import median

#: Measured figures by name, for `bench/run.py --keep`.
kept: dict[str, dict[str, float]] = {}


def keep(what: str, **figures: float) -> None:
    """Keep figures for programs that use them."""
    kept[what] = {name: round(value, 3) for name, value in figures.items()}


def show(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    print(f"\n### {title}\n")
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Format the minimum, the median and the maximum."""
    return " / ".join(f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))


def percentile(values: Sequence[float], share: float) -> float:
    """Return a quantile: the value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
