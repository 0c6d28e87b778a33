"""The daily digest of a brand: to whom, in which language, and at which hour of its time zone."""

from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

Language = Literal["en", "de"]
_DAY = timedelta(days=1)


class Digest(Struct, frozen=True, omit_defaults=True):
    """The settings of a digest. It is about the day before, from midnight to midnight.

    Args:
        email: if empty, the brand's address.
        timezone: IANA; the brand's.
        hour: when it is due, by the clock of the time zone.
    """

    email: str = ""
    timezone: str = "UTC"
    language: Language = "en"
    hour: int = 7

    def next_after(self, now: int) -> int:
        """Return when the next digest is due. Moments are in microseconds since 1970 UTC."""
        today = self._today(now)
        due_at = self._at(today, self.hour)
        return due_at if due_at > now else self._at(today + _DAY, self.hour)

    def latest_day(self, now: int) -> date:
        """Return the day that the latest digest is about that is due."""
        today = self._today(now)
        return today - (_DAY if self._at(today, self.hour) <= now else 2 * _DAY)

    def bounds(self, day: date) -> tuple[int, int]:
        """Return when a day begins and when it ends."""
        return self._at(day, 0), self._at(day + _DAY, 0)

    def _today(self, now: int) -> date:
        return datetime.fromtimestamp(now / 1_000_000, ZoneInfo(self.timezone)).date()

    def _at(self, day: date, hour: int) -> int:
        """Return an hour of a day; where the clock skips it, the moment of the change."""
        local = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(self.timezone))
        return int(local.astimezone(UTC).timestamp()) * 1_000_000
