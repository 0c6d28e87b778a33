"""The pace at which a discount's codes are released: so many a minute, evenly, from a moment on."""

from dataclasses import dataclass

_MINUTE = 60_000_000
#: The most codes of a minute.
MOST_PER_MINUTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Release:
    """A pace: its start in microseconds since 1970 UTC, the codes of a minute, and the grants before that start."""

    at: int
    per_minute: int
    granted_before: int = 0

    @property
    def text(self) -> str:
        """The start and the codes of a minute, as a new pace is stored."""
        return f"{self.at:016d} {self.per_minute}"

    def released_at(self, granted: int) -> int:
        """Return when the next code is released after so many grants; releases.lua has the same."""
        ahead = max(0, granted - self.granted_before)
        return self.at - (-ahead * _MINUTE // self.per_minute)


def read(text: str) -> Release:
    """Return a pace as it is stored."""
    return Release(*map(int, text.split()))
