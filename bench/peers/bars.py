"""The bars of a run: what is to be reached, and what was."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench import tables
from bench.peers.beside import Times
from bench.peers.contest import KEY, OPEN, REDEMPTION, Turns, ratios
from bench.peers.programs import ASGI, FLASK_NOOP, GO


@dataclass(slots=True)
class Figures:
    """The findings of a run, by the number of connections where they depend on it."""

    turns: dict[int, Turns] = field(default_factory=dict)
    system_calls: dict[int, Mapping[str, float | None]] = field(default_factory=dict)
    others: tuple[Times, Times] = ({}, {})
    together: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class _Bar:
    """A figure of rounds and its bar; no figures where something was left out."""

    what: str
    found: Sequence[float]
    bar: float
    at_least: bool = False

    def row(self) -> tuple[str, ...]:
        sign = "≥" if self.at_least else "≤"
        if not self.found:
            return self.what, f"{sign} {self.bar}", "-", "not measured"
        value = median(self.found)
        reached = value >= self.bar if self.at_least else value <= self.bar
        spread = tables.spread(self.found, 2) if len(self.found) > 1 else f"{value:.2f}"
        return self.what, f"{sign} {self.bar}", spread, "reached" if reached else "not reached"


def show(figures: Figures) -> None:
    """Print the bars."""
    rows = [bar.row() for bar in _bars(figures)]
    tables.show("The bars (min / median / max; the median counts)", ("what", "bar", "found", "is"), rows)


def _bars(figures: Figures) -> Iterable[_Bar]:
    def of(name: str, unit: str, figure: str, connections: int = 32) -> Sequence[float]:
        turns = figures.turns[connections]
        return ratios(turns, name, unit, figure) if unit in turns else ()

    calls = figures.system_calls[32].get(OPEN)
    quiet, filled = figures.others
    yield _Bar("app CPU of a grant, of Go's", of(OPEN, GO, "app_us"), 1.0)
    yield _Bar("app CPU of a grant, of bare ASGI's under gunicorn", of(OPEN, ASGI, "app_us"), 0.8)
    yield _Bar("rate of a grant, of the Flask no-op's", of(OPEN, FLASK_NOOP, "rate"), 2.5, at_least=True)
    yield _Bar("app CPU of a redemption, of a grant's", of(REDEMPTION, OPEN, "app_us"), 1.4)
    yield _Bar("app CPU of a grant with an API key, of one without", of(KEY, OPEN, "app_us"), 1.08)
    yield _Bar("system calls of a grant, 32 connections", () if calls is None else (calls,), 4.0)
    yield _Bar("switches of a grant, 32 connections", [turn.switches for turn in figures.turns[32][OPEN]], 0.3)
    yield _Bar("p99 of a grant, of Go's, 64 connections", of(OPEN, GO, "p99", 64), 1.2)
    yield _Bar("`make run`: rate of a grant, of the Flask no-op's", figures.together, 1.5, at_least=True)
    for name in quiet:
        what = f"p99 of `{name}` while grants fill the worker, of a quiet one's"
        yield _Bar(what, (filled[name] / quiet[name],), 2.0)
