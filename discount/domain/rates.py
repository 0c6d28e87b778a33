"""Rates in settings: so many requests in so much time, such as `100/minute`."""

import re
from dataclasses import dataclass

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(rf"([1-9]\d{{0,9}}) *(?:/|per) *(?:([1-9]\d{{0,4}}) *)?({'|'.join(_UNITS)})s?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Rate:
    """At most `most` requests in a window of `seconds`, for one caller or address.

    Compared by identity: instances are cached.
    """

    kind: str
    who: str
    most: int
    seconds: int


def read_rate(text: str) -> tuple[int, int]:
    """Return the most requests, and the seconds of their window.

    Raises:
        ValueError: the text is no rate.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError("is no rate")
    return int(match[1]), int(match[2] or 1) * _UNITS[match[3].lower()]
