"""Ids, times and the status of a discount."""

import unittest
from datetime import UTC, datetime
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from discount.domain.code_kinds import CodeKind
from discount.domain.ids import (
    GRANTS_PER_BUCKET,
    MAX_TOTAL,
    make_discount_id,
    parse_discount_id,
)
from discount.domain.model import (
    Discount,
    Status,
    from_time,
    to_text,
    to_time,
)

NOW = 1_700_000_000_000_000
MOMENTS = st.datetimes(datetime(2001, 9, 10), datetime(2286, 11, 20), timezones=st.just(UTC))


def discount(**changes: Any) -> Discount:
    fields: dict[str, Any] = {
        "id": "dsc-",
        "number": 1,
        "brand_id": "IKEA",
        "discount_code": "A",
        "total_count": 10,
        "granted_count": 3,
        "created_at": NOW,
        "starts_at": None,
        "expires_at": None,
        "paused": False,
        "closed": "",
        "codes": CodeKind(),
    }
    return Discount(**(fields | changes))


class Ids(unittest.TestCase):
    @given(st.integers(0, 255), st.integers(1, MAX_TOTAL))
    def test_an_id_carries_its_partition_and_its_buckets(self, partition: int, total: int) -> None:
        parsed = parse_discount_id(make_discount_id(partition, total))
        assert parsed is not None
        self.assertEqual(parsed.partition, partition)
        self.assertLessEqual(total, parsed.buckets * GRANTS_PER_BUCKET)
        self.assertTrue(parsed.buckets == 1 or total > parsed.buckets // 2 * GRANTS_PER_BUCKET)

    def test_buckets_grow_by_powers_of_two(self) -> None:
        wanted = {1: 1, 128: 1, 129: 2, 256: 2, 257: 4, 1_000_000: 8192, MAX_TOTAL: 2**20}
        found = {total: parse_discount_id(make_discount_id(0, total)) for total in wanted}
        self.assertEqual({total: parsed and parsed.buckets for total, parsed in found.items()}, wanted)

    def test_an_id_begins_with_dsc_and_its_partition(self) -> None:
        self.assertRegex(make_discount_id(10, 1), r"^dsc-0a0[2-9A-Za-z]{22}$")

    def test_a_thousand_ids_are_all_different(self) -> None:
        self.assertEqual(len({make_discount_id(3, 100) for _ in range(1000)}), 1000)

    def test_an_id_the_service_cannot_have_made_is_refused(self) -> None:
        good = make_discount_id(10, 100)
        bad = [
            "",
            "dsc-",
            good[:-1],
            good + "2",
            good.upper(),
            "dsc-zz0" + good[7:],
            "dsc-0aq" + good[7:],
            good[:-1] + "0",
            good[:-1] + "l",
            good[:-1] + "é",
            good + "\n",
            " " + good,
            good.replace("dsc", "red"),
        ]
        for text in bad:
            with self.subTest(text):
                self.assertIsNone(parse_discount_id(text))

    @given(st.text())
    def test_any_text_is_an_id_or_is_refused(self, text: str) -> None:
        self.assertIsNone(parse_discount_id(text))


class StatusOfADiscount(unittest.TestCase):
    def test_each_status_has_its_reason(self) -> None:
        reasons: dict[str, dict[str, Any]] = {
            "active": {},
            "scheduled": {"starts_at": NOW + 1},
            "paused": {"paused": True},
            "expired": {"expires_at": NOW},
            "sold-out": {"granted_count": 10},
            "empty": {"total_count": 0, "granted_count": 0},
            "closed": {"closed": "keep"},
        }
        self.assertEqual(
            {status: discount(**why).status(NOW) for status, why in reasons.items()},
            {status: status for status in get_args(Status)},
        )

    def test_it_runs_from_its_start_to_just_before_its_expiry(self) -> None:
        found = discount(starts_at=NOW, expires_at=NOW + 2)
        self.assertEqual(
            [found.status(NOW + each) for each in (-1, 0, 1, 2)], ["scheduled", "active", "active", "expired"]
        )

    def test_the_status_shows_the_first_reason_in_grant_order(self) -> None:
        everything: dict[str, Any] = {
            "closed": "void",
            "paused": True,
            "expires_at": NOW,
            "starts_at": NOW + 1,
            "granted_count": 10,
        }
        statuses = []
        for reason in list(everything):
            statuses.append(discount(**everything).status(NOW))
            del everything[reason]
        self.assertEqual(statuses, ["closed", "paused", "expired", "scheduled", "sold-out"])

    def test_the_remaining_count_is_the_total_minus_the_granted_count(self) -> None:
        self.assertEqual(discount().remaining_count, 7)


class Times(unittest.TestCase):
    @given(MOMENTS)
    def test_a_moment_comes_back_to_the_microsecond(self, moment: datetime) -> None:
        self.assertEqual(to_time(from_time(moment)), moment)
        self.assertEqual(datetime.fromisoformat(to_text(from_time(moment))), moment)

    @given(MOMENTS, MOMENTS)
    def test_moments_as_sixteen_digits_sort_as_moments_do(self, one: datetime, other: datetime) -> None:
        # The scripts compare them as text.
        texts = [f"{from_time(moment):016d}" for moment in (one, other)]
        self.assertEqual({len(text) for text in texts}, {16})
        self.assertEqual(texts[0] < texts[1], one < other)

    def test_another_offset_is_the_same_moment(self) -> None:
        moment = datetime.fromisoformat("2026-12-24T20:00:00.000001+02:00")
        self.assertEqual(to_text(from_time(moment)), "2026-12-24T18:00:00.000001Z")
