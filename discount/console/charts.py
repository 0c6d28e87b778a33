"""Charts as the templates draw them: bars of one series, with the figures that a table shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Step = Literal["minute", "hour", "day"]
STEPS: dict[Step, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
#: The size of the drawing, in its own units.
WIDTH, HEIGHT = 600, 120


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure, and where its bar is drawn."""

    at: datetime
    value: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A series of figures over time, in steps of one length."""

    name: str
    step: Step
    bars: list[Bar]
    highest: int
    total: int


def draw(name: str, step: Step, first: datetime, count: int, values: Mapping[datetime, int]) -> Chart:
    """Return the chart of `count` steps from the one that contains `first`. Missing steps are zero."""
    times = [_floor(first, step) + place * STEPS[step] for place in range(count)]
    figures = [values.get(each, 0) for each in times]
    highest = nice(max(figures, default=0))
    width = WIDTH / max(1, count)
    bars = [
        Bar(
            at,
            value,
            round(place * width + width * 0.1, 2),
            round(HEIGHT - HEIGHT * value / highest, 2),
            round(width * 0.8, 2),
            round(HEIGHT * value / highest, 2),
        )
        for place, (at, value) in enumerate(zip(times, figures, strict=True))
    ]
    return Chart(name, step, bars, highest, sum(figures))


def nice(value: int) -> int:
    """Return a round number that is at least a value: 1, 2, 3, 4, 5, 6, 8, 10, 15, 20 and so on."""
    power = 1
    while True:
        for tenths in (10, 15, 20, 30, 40, 50, 60, 80):
            if tenths * power % 10 == 0 and tenths * power >= 10 * value:
                return tenths * power // 10
        power *= 10


def _floor(time: datetime, step: Step) -> datetime:
    parts = {"second": 0, "microsecond": 0}
    parts |= {} if step == "minute" else {"minute": 0} if step == "hour" else {"minute": 0, "hour": 0}
    return time.replace(**parts)  # type: ignore[arg-type]
