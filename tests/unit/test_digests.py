"""When a brand's daily digest is due, and which day it is about."""

import unittest
from datetime import date, datetime
from zoneinfo import ZoneInfo

from discount.domain.digests import Digest


def at(zone: str, *parts: int) -> int:
    return int(datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]


class Due(unittest.TestCase):
    def test_it_is_due_at_the_hour_of_the_brand(self) -> None:
        digest = Digest(timezone="Europe/Berlin", hour=7)
        self.assertEqual(
            digest.next_after(at("Europe/Berlin", 2026, 11, 26, 6, 59)), at("Europe/Berlin", 2026, 11, 26, 7)
        )
        self.assertEqual(digest.next_after(at("Europe/Berlin", 2026, 11, 26, 7)), at("Europe/Berlin", 2026, 11, 27, 7))

    def test_it_is_about_the_day_before_the_one_on_which_it_is_due(self) -> None:
        digest = Digest(timezone="Asia/Tokyo", hour=7)
        self.assertEqual(digest.latest_day(at("Asia/Tokyo", 2026, 11, 26, 7)), date(2026, 11, 25))
        self.assertEqual(digest.latest_day(at("Asia/Tokyo", 2026, 11, 26, 6, 59)), date(2026, 11, 24))
        begin, end = digest.bounds(date(2026, 11, 25))
        self.assertEqual((begin, end), (at("Asia/Tokyo", 2026, 11, 25), at("Asia/Tokyo", 2026, 11, 26)))

    def test_a_day_of_23_or_25_hours_is_a_day(self) -> None:
        digest = Digest(timezone="Europe/Berlin", hour=2)
        # At two in the morning the clock goes on to three.
        spring = digest.next_after(at("Europe/Berlin", 2026, 3, 28, 12))
        self.assertEqual(spring, at("Europe/Berlin", 2026, 3, 29, 3))
        self.assertEqual(digest.latest_day(spring), date(2026, 3, 28))
        self.assertEqual(digest.next_after(spring), at("Europe/Berlin", 2026, 3, 30, 2))
        begin, end = digest.bounds(date(2026, 3, 29))
        self.assertEqual(end - begin, 23 * 3_600_000_000)
        begin, end = digest.bounds(date(2026, 10, 25))
        self.assertEqual(end - begin, 25 * 3_600_000_000)

    def test_each_day_has_one(self) -> None:
        for zone in ("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu"):
            for hour in (0, 1, 2, 7, 23):
                digest = Digest(timezone=zone, hour=hour)
                now, days = at(zone, 2026, 1, 1), []
                for _ in range(400):
                    now = digest.next_after(now)
                    days.append(digest.latest_day(now).toordinal())
                with self.subTest(zone, hour=hour):
                    self.assertEqual(days, list(range(days[0], days[0] + 400)))
