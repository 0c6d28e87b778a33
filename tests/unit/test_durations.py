"""Durations: months by the calendar, all other units of a fixed length, shown as given."""

import unittest
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from discount.domain import durations

SECOND = 1_000_000
DAY = 86_400 * SECOND
MOMENTS = st.datetimes(datetime(2001, 9, 10), datetime(2186, 11, 20), timezones=st.just(UTC))


def after(text: str, moment: str, zone: str) -> str:
    """Return the local end of a duration that begins at a local time."""
    begun = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone))
    ended = durations.read(text).after(int(begun.timestamp() * SECOND), zone)
    return datetime.fromtimestamp(ended / SECOND, ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S")


class Durations(unittest.TestCase):
    def test_a_duration_of_fixed_length_is_converted_exactly(self) -> None:
        lengths = {
            "P2W": 14 * DAY,
            "P14D": 14 * DAY,
            "P1DT12H": 36 * 3600 * SECOND,
            "PT1H": 3600 * SECOND,
            "PT90M": 5400 * SECOND,
            "PT0.5S": SECOND // 2,
            "PT0.000001S": 1,
            "P1.5D": 36 * 3600 * SECOND,
            "P1W2D": 9 * DAY,
            "P0D": 0,
        }
        for text, length in lengths.items():
            with self.subTest(text):
                found = durations.read(text)
                self.assertEqual((found.text, found.months, found.microseconds), (text, 0, length))

    def test_years_are_twelve_months(self) -> None:
        for text, months in {"P1M": 1, "P1Y": 12, "P1Y2M": 14, "P100Y": 1200, "P0Y3M": 3}.items():
            with self.subTest(text):
                found = durations.read(text)
                self.assertEqual((found.months, found.microseconds), (months, 0))

    def test_an_invalid_duration_is_refused(self) -> None:
        for text in (
            *("", "P", "PT", "P1", "1D", "P1DT", "p1d", "P-1D", "-P1D", "+P1D", "P1D\n", " P1D", "P1S", "PT1D", "soon"),
            *("P1H", "P1D1M", "P0.5M", "P1.5Y", "P,5D", "P1,5D", "P20030101T101010", "P2003-01-01T00:00:00", "P١D"),
            *("P1Y1Y", "P99999999999999999999D", "PT1e9S", "P.5D"),
        ):
            with self.subTest(text), self.assertRaises(ValueError):
                durations.read(text)

    @given(st.text("PYMWDTHS0123456789.-+,", max_size=12))
    def test_any_text_is_a_duration_or_is_refused(self, text: str) -> None:
        try:
            found = durations.read(text)
        except ValueError:
            return
        self.assertEqual(found.text, text)
        self.assertGreaterEqual(min(found.months, found.microseconds), 0)

    def test_a_month_ends_at_the_same_time_of_the_same_day(self) -> None:
        rows = [
            ("P1M", "2026-01-15T10:00:00", "UTC", "2026-02-15T10:00:00"),
            ("P1M", "2026-01-31T10:00:00", "UTC", "2026-02-28T10:00:00"),
            ("P1M", "2028-01-31T10:00:00", "UTC", "2028-02-29T10:00:00"),
            ("P1Y", "2028-02-29T10:00:00", "UTC", "2029-02-28T10:00:00"),
            ("P3M", "2026-11-30T23:59:59", "Europe/Stockholm", "2027-02-28T23:59:59"),
            # Over the days on which clocks change.
            ("P1M", "2026-03-10T12:00:00", "Europe/Berlin", "2026-04-10T12:00:00"),
            ("P1M", "2026-02-28T02:30:00", "Europe/Berlin", "2026-03-28T02:30:00"),
            ("P1M", "2026-02-28T02:30:00", "Pacific/Apia", "2026-03-28T02:30:00"),
            # A time that the clock passes over is the one that it shows instead.
            ("P1M1D", "2026-02-28T02:30:00", "Europe/Berlin", "2026-03-29T03:30:00"),
            ("P1M1D", "2026-01-31T10:00:00", "UTC", "2026-03-01T10:00:00"),
            ("P1MT24H", "2026-02-28T12:00:00", "Europe/Berlin", "2026-03-29T13:00:00"),
            ("PT24H", "2026-03-28T12:00:00", "Europe/Berlin", "2026-03-29T13:00:00"),
        ]
        for text, moment, zone, ended in rows:
            with self.subTest(text, moment=moment, zone=zone):
                self.assertEqual(after(text, moment, zone), ended)

    def test_a_month_depends_on_the_zone(self) -> None:
        # Still the last of January in New York, and the first of February in Stockholm.
        moment = int(datetime(2026, 2, 1, 2, tzinfo=UTC).timestamp()) * SECOND
        ends = {
            zone: datetime.fromtimestamp(durations.read("P1M").after(moment, zone) / SECOND, UTC)
            for zone in ("America/New_York", "Europe/Stockholm")
        }
        self.assertEqual(ends["America/New_York"], datetime(2026, 3, 1, 2, tzinfo=UTC))
        self.assertEqual(ends["Europe/Stockholm"], datetime(2026, 3, 1, 2, tzinfo=UTC))
        moment = int(datetime(2026, 3, 31, 23, tzinfo=UTC).timestamp()) * SECOND
        self.assertEqual(
            datetime.fromtimestamp(durations.read("P1M").after(moment, "Asia/Tokyo") / SECOND, UTC),
            datetime(2026, 4, 30, 23, tzinfo=UTC),
        )

    @given(MOMENTS, st.integers(1, 1200), st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia", "Asia/Kolkata"]))
    def test_a_later_grant_never_ends_more_than_an_hour_earlier(self, moment: datetime, months: int, zone: str) -> None:
        found = durations.read(f"P{months}M")
        begun = int(moment.timestamp()) * SECOND
        ended = found.after(begun, zone)
        self.assertLess(begun + 27 * DAY, ended)
        self.assertGreaterEqual(found.after(begun + SECOND, zone), ended - 3600 * SECOND)

    @given(MOMENTS, st.timedeltas(timedelta(microseconds=1), timedelta(days=36525)))
    def test_a_fixed_length_is_added_exactly(self, moment: datetime, length: timedelta) -> None:
        begun = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        found = durations.Duration("", 0, length // timedelta(microseconds=1))
        self.assertEqual(found.after(begun, "Europe/Berlin"), begun + length // timedelta(microseconds=1))
