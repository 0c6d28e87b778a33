"""The time for which a code is good after its grant: a duration of ISO 8601, stored as written.

Weeks, days, hours, minutes and seconds have a fixed length: a day is 24 hours. Months and years follow the calendar of
a time zone: a month that begins on 31 January ends on the last day of February, at the same time of day.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import isodate

# The parser also takes signs, commas, lower case and a way to write durations as dates.
_WRITTEN = re.compile(r"P[0-9.YMWDTHS]*[YMWDHS]", re.ASCII)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration: its text, its calendar months, and the rest in microseconds."""

    text: str
    months: int
    microseconds: int

    def after(self, moment: int, zone: str) -> int:
        """Return when the duration ends if it begins at `moment`; both in microseconds since 1970 UTC."""
        if self.months:
            local = (_EPOCH + timedelta(microseconds=moment)).astimezone(ZoneInfo(zone))
            moment = ((local + isodate.Duration(months=self.months)).astimezone(UTC) - _EPOCH) // _MICROSECOND
        return moment + self.microseconds


@lru_cache(maxsize=1024)
def read(text: str) -> Duration:
    """Parse a duration.

    Raises:
        ValueError: the text is not a duration, or has a fraction of a month or a year.
    """
    if _WRITTEN.fullmatch(text) is None:
        raise ValueError(text)
    try:
        found = isodate.parse_duration(text, as_timedelta_if_possible=False)
    except OverflowError:
        raise ValueError(text) from None
    months = found.years * 12 + found.months
    if found.years % 1 or found.months % 1:
        raise ValueError(text)
    return Duration(text, int(months), found.tdelta // _MICROSECOND)
