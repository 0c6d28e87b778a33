"""Openings are what a clock on the wall shows, minute by minute, also where it is put forward or back."""

import unittest
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from discount.domain.windows import DAYS, Hours, end_of_month, openings, read_hours, write_hours

SECOND = 1_000_000
MINUTES = st.integers(0, 1439).map(lambda n: f"{n // 60:02d}:{n % 60:02d}")
HOURS = st.builds(
    Hours, st.lists(st.sampled_from(DAYS), min_size=1, max_size=7, unique=True).map(tuple), MINUTES, MINUTES
)
#: Days on which clocks are put forward or back, by an hour, by half an hour, or by a whole day.
CHANGES = [
    ("Europe/Stockholm", date(2026, 3, 29)),
    ("Europe/Stockholm", date(2026, 10, 25)),
    ("America/Sao_Paulo", date(2018, 11, 4)),
    ("America/Sao_Paulo", date(2018, 2, 18)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Pacific/Apia", date(2011, 12, 31)),
    ("UTC", date(2027, 1, 1)),
]


def shows(opens: list[Hours], zone: ZoneInfo, moment: int) -> bool:
    """Return whether a clock on the wall shows an open time."""
    local = datetime.fromtimestamp(moment // SECOND, zone)
    minute, today, before = local.strftime("%H:%M"), DAYS[local.weekday()], DAYS[local.weekday() - 1]
    for each in opens:
        late = each.to <= each.from_
        if today in each.days and each.from_ <= minute and (late or minute < each.to):
            return True
        if late and before in each.days and minute < each.to:
            return True
    return False


def micro(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND


class Openings(unittest.TestCase):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(HOURS, min_size=1, max_size=3), st.sampled_from(CHANGES), st.integers(-1, 1))
    def test_a_discount_is_open_when_the_wall_clock_shows_it(
        self, opens: list[Hours], change: tuple[str, date], off: int
    ) -> None:
        zone, day = ZoneInfo(change[0]), change[1]
        noon = micro(datetime(day.year, day.month, day.day, 12, tzinfo=zone))
        found = [(int(start), int(end)) for start, end in openings(opens, change[0], noon + off * 86400 * SECOND)]
        self.assertEqual(found, sorted(found))
        # The clock of Redis may have the day before or after.
        for minutes in range(-34 * 60, 34 * 60, 7):
            moment = noon + (off * 1440 + minutes) * 60 * SECOND
            # Samoa left a day out: the opening of a skipped day goes on at the next one's midnight.
            if change[0] != "Pacific/Apia" or moment > noon:
                self.assertEqual(any(start <= moment < end for start, end in found), shows(opens, zone, moment), moment)
        self.assertTrue(any(end > noon + (off + 1) * 86400 * SECOND for _, end in found))

    def test_an_hour_that_is_left_out_does_not_open_and_one_that_comes_twice_opens_twice(self) -> None:
        opens = [Hours(DAYS, "02:00", "03:00")]
        for day, lengths in (("2026-03-29", []), ("2026-10-25", [7200]), ("2026-06-01", [3600])):
            first = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Stockholm"))
            start, end = micro(first), micro(first.astimezone(UTC) + timedelta(hours=23))
            found = openings(opens, "Europe/Stockholm", start)
            with self.subTest(day):
                of_day = [(int(b) - int(a)) // SECOND for a, b in found if start <= int(a) < end]
                self.assertEqual(of_day, lengths)

    def test_equal_times_are_a_whole_day(self) -> None:
        found = openings([Hours(DAYS, "00:00", "00:00")], "UTC", 1_796_083_200 * SECOND)
        self.assertEqual(len(found), 1)

    def test_hours_are_read_as_they_were_written(self) -> None:
        opens = (Hours(("mon", "sun"), "09:00", "17:30"), Hours(("sat",), "22:00", "02:00"))
        self.assertEqual(read_hours(write_hours(opens)), opens)
        self.assertEqual((write_hours(()), read_hours("")), ("", ()))

    def test_a_month_ends_at_midnight_of_its_zone(self) -> None:
        for month, zone, end in (
            ("202602", "UTC", "2026-03-01T00:00+00:00"),
            ("202612", "Europe/Stockholm", "2027-01-01T00:00+01:00"),
            ("202603", "Europe/Stockholm", "2026-04-01T00:00+02:00"),
        ):
            self.assertEqual(int(end_of_month(month, zone)), micro(datetime.fromisoformat(end)))
