"""The number of simultaneous long calls, and the pauses between their slices."""

import unittest
from unittest import mock

from discount.api import long_calls
from discount.api.long_calls import LongCalls, Places
from discount.domain.errors import TooManyAtOnce
from discount.domain.model import Caller
from discount.services import slices

BRAND = Caller(frozenset(["manage"]), brand_id="IKEA", key_id="one")
SAME_BRAND = Caller(frozenset(["manage"]), brand_id="IKEA", key_id="two")
OTHER = Caller(frozenset(["manage"]), brand_id="Other", key_id="three")
USER = Caller(frozenset(["read"]), user_id="Ann")
ADMIN = Caller(frozenset(["admin"]))


class WorkBesides(unittest.TestCase):
    def test_work_that_takes_half_of_the_time_pauses_as_long_as_it_worked(self) -> None:
        with (
            mock.patch("discount.services.slices.time.monotonic", side_effect=[1.0, 1.01, 2.0, 7.0, 8.0]),
            mock.patch("discount.services.slices.time.sleep") as sleep,
            slices.with_pauses(slices.HalfOfTheTime()),
        ):
            slices.between()
            slices.between()
        self.assertEqual([round(each.args[0], 9) for each in sleep.call_args_list], [0.01, slices.LONGEST_HALF])
        slices.between()


class PlacesAreBounded(unittest.TestCase):
    def test_a_key_has_a_limited_number_of_places(self) -> None:
        places = Places(9, 4, 2)
        self.assertEqual([places.take(BRAND) for _ in range(3)], [True, True, False])
        self.assertEqual([places.take(USER) for _ in range(3)], [True, True, False])

    def test_the_limit_of_a_brand_covers_all_its_keys(self) -> None:
        places = Places(9, 3, 2)
        self.assertEqual([places.take(each) for each in (BRAND, BRAND, SAME_BRAND, SAME_BRAND)], [True] * 3 + [False])
        self.assertTrue(places.take(OTHER))

    def test_all_callers_together_have_a_limited_number_of_places(self) -> None:
        places = Places(3, 2, 2)
        self.assertEqual([places.take(each) for each in (BRAND, OTHER, ADMIN, ADMIN)], [True] * 3 + [False])

    def test_a_freed_place_can_be_taken_again(self) -> None:
        places = Places(1, 1, 1)
        for _ in range(3):
            self.assertTrue(places.take(BRAND))
            self.assertFalse(places.take(OTHER))
            places.free(BRAND)
        self.assertEqual(places.taken, 0)


class Calls(unittest.TestCase):
    def test_a_call_that_fails_frees_its_place(self) -> None:
        calls = LongCalls(Places(1, 1, 1))
        for _ in range(3):
            with self.assertRaises(ZeroDivisionError):
                calls.run(BRAND, None, lambda: (1 // 0, 200))

    def test_one_call_too_many_is_refused_with_a_retry_time(self) -> None:
        calls = LongCalls(Places(1, 1, 1))

        def nested() -> tuple[str, int]:
            with self.assertRaises(TooManyAtOnce) as refused:
                calls.run(BRAND, None, lambda: ("", 200))
            self.assertEqual(refused.exception.facts, {"retry_after": "2"})
            return "first", 200

        self.assertEqual(calls.run(BRAND, None, nested), ("first", 200))

    def test_a_long_call_pauses_in_proportion_to_its_work_and_the_calls_in_progress(self) -> None:
        places = Places(9, 9, 9)
        for number in (1, 2, 3):
            places.take(BRAND)
            with (
                mock.patch("discount.api.long_calls.time.thread_time", side_effect=[0.0, 0.01, 0.0]),
                mock.patch("discount.api.long_calls.time.sleep") as sleep,
            ):
                long_calls._Pause(places, None, None, lambda: 0.0)()
            sleep.assert_called_once_with(0.01 * max(1, 4 * number - 3))

    def test_a_caller_who_has_used_up_its_share_pauses_until_its_debt_is_paid(self) -> None:
        most = long_calls.LONGEST_OWED
        for owed, slept in (([0.0], 0.03), ([0.7, 0.2, 0.0], 0.93), ([9.0, 9.0], most), ([1.9, 1.0, 1.0], most)):
            meter = mock.Mock(**{"charge.side_effect": owed})
            places = Places(9, 9, 9)
            places.take(BRAND)
            with (
                mock.patch("discount.api.long_calls.time.thread_time", side_effect=[0.0, 0.01, 0.0]),
                mock.patch("discount.api.long_calls.time.sleep") as sleep,
            ):
                long_calls._Pause(places, None, meter, iter((1.0, 1.02, 0.0)).__next__)()
            self.assertAlmostEqual(sum(each.args[0] for each in sleep.call_args_list), slept)
            # What Redis worked for the call is charged, too.
            self.assertAlmostEqual(meter.charge.call_args_list[0].args[0], 0.02)
