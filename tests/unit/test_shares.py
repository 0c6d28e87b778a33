"""Shares of the processor: who waits, for how long, and who passes."""

import socket
import unittest
from unittest import mock

from gunicorn.config import Config

from discount.serving import shares
from discount.serving.connections import Connection
from discount.serving.handover import Handed
from discount.serving.shares import Meter, Shares

SHARE = 0.2
LATELY = 1000.0


class Clock:
    def __init__(self) -> None:
        self.now = LATELY

    def __call__(self) -> float:
        return self.now


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.last_hot = LATELY
        self.shares = Shares(SHARE, 1.0, 3, lambda: self.last_hot, self.clock)

    def started(self) -> list[object]:
        return [request for _, request in self.shares.due()]

    def work(self, caller: str, seconds: float) -> None:
        """Let a caller's request come, compute for so long, and end."""
        self.assertTrue(self.shares.enter(caller, caller))
        self.assertEqual(self.started(), [caller])
        self.shares.charge([caller], seconds)
        self.shares.leave(caller, seconds)

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.last_hot = self.clock.now


class Turns(Case):
    def test_a_caller_within_its_share_never_waits(self) -> None:
        for _ in range(100):
            self.work("brand one", 0.01)
            self.pass_time(0.05)

    def test_a_caller_who_has_used_up_its_share_waits_until_its_debt_is_paid(self) -> None:
        self.work("brand one", 0.3)
        self.shares.enter("brand one", "next")
        self.assertEqual(self.started(), [])
        # 0.3 s less the 0.2 s that an idle caller has.
        self.assertAlmostEqual(self.shares.next_turn(), 0.1 / SHARE, 2)
        self.pass_time(0.49)
        self.assertEqual(self.started(), [])
        self.pass_time(0.02)
        self.assertEqual(self.started(), ["next"])

    def test_others_pass_a_caller_who_waits(self) -> None:
        self.work("brand one", 0.3)
        self.shares.enter("brand one", "next")
        self.work("brand two", 0.01)

    def test_over_a_long_time_a_caller_gets_its_share(self) -> None:
        used = 0.0
        for _ in range(1000):
            self.shares.enter("brand one", "a call") if not self.shares._active else None
            for _ in self.started():
                used += 0.03
                self.shares.charge(["brand one"], 0.03)
                self.shares.leave("brand one", 0.03)
            self.pass_time(0.01)
        self.assertAlmostEqual(used / 10, SHARE, delta=0.03)

    def test_calls_in_progress_count_with_what_they_will_probably_compute(self) -> None:
        for _ in range(30):
            self.work("brand one", 0.04)
            self.pass_time(1)
        for number in range(9):
            self.shares.enter("brand one", number)
        # 0.2 s for calls of 0.04 s would be 5; but no more than three at a time.
        self.assertEqual(self.started(), [0, 1, 2])
        self.assertEqual(self.shares.next_turn(), float("inf"))
        for _ in range(30):
            self.shares.charge(["brand one"], 0.006)
        self.shares.leave("brand one", 0.04)
        self.assertEqual(self.started(), [])

    def test_a_debt_is_bounded(self) -> None:
        self.work("brand one", 3600)
        self.shares.enter("brand one", "next")
        self.assertLess(self.shares.next_turn(), (shares.MOST_OWED + 0.01) / SHARE)

    def test_a_caller_alone_does_not_wait_and_owes_nothing(self) -> None:
        self.pass_time(0)
        self.last_hot -= shares.IDLE + 1
        for _ in range(9):
            self.work("brand one", 5)
        self.last_hot = self.clock.now
        self.work("brand one", 0.1)

    def test_a_call_of_a_caller_alone_and_one_of_the_admin_pause_for_nothing(self) -> None:
        self.last_hot -= shares.IDLE + 1
        for together in (0.5, 1.0):
            self.shares = Shares(SHARE, together, 3, lambda: self.last_hot, self.clock)
            for callers in ([], ["brand one"]):
                self.shares.charge(callers, 9.0)
                self.assertEqual(self.shares.seconds_owed(callers), 0.0)

    def test_another_callers_request_ends_being_alone(self) -> None:
        self.last_hot -= shares.IDLE + 1
        self.shares.enter("brand two", "long")
        self.assertEqual(self.started(), ["long"])
        self.work("brand one", 0.3)
        self.shares.enter("brand one", "next")
        self.assertEqual(self.started(), [])
        self.shares.leave("brand two", 0.0)
        self.assertEqual(self.started(), ["next"])

    def test_a_bounded_number_of_requests_waits_and_a_refusal_says_when_to_come_back(self) -> None:
        self.work("brand one", 0.3)
        for number in range(shares.WAITING):
            self.assertTrue(self.shares.enter("brand one", number))
        self.assertFalse(self.shares.enter("brand one", "one more"))
        self.assertTrue(self.shares.enter("brand two", "another"))
        self.assertEqual(self.shares.retry_after("brand one"), 2)

    def test_a_share_of_a_whole_processor_bounds_nothing(self) -> None:
        self.shares = Shares(1.0, 0.1, 1, lambda: self.last_hot, self.clock)
        for number in range(99):
            self.shares.charge(["brand one"], 9)
            self.assertTrue(self.shares.enter("brand one", number))
            self.assertEqual(self.started(), [number])

    def test_accounts_and_tokens_are_bounded_and_those_of_active_callers_stay(self) -> None:
        self.shares.enter("brand one", "a call")
        with mock.patch.multiple(shares, ACCOUNTS=10, TOKENS=10):
            for number in range(50):
                self.shares.charge([f"user {number}"], 0.01)
                self.shares.remember(b"token %d" % number, f"user {number}")
        self.assertEqual(len(self.shares._accounts), 10)
        self.assertEqual(len(self.shares._callers), 10)
        self.assertEqual(self.started(), ["a call"])


class Together(Case):
    """All callers together leave room for hot workers that are busy."""

    def setUp(self) -> None:
        super().setUp()
        self.shares = Shares(SHARE, 0.5, 3, lambda: self.last_hot, self.clock)

    def test_many_callers_within_their_shares_get_half_of_a_processor(self) -> None:
        used = 0.0
        callers = [f"brand {number}" for number in range(10)]
        for _ in range(1000):
            for caller in callers:
                if caller not in self.shares._active:
                    self.shares.enter(caller, "a call")
            for caller, _ in self.shares.due():
                used += 0.01
                self.shares.charge([caller], 0.01)
                self.shares.leave(caller, 0.01)
            self.pass_time(0.01)
        self.assertAlmostEqual(used / 10, 0.5, delta=0.07)

    def test_callers_take_turns(self) -> None:
        self.shares.enter("brand one", "first")
        self.assertEqual(self.started(), ["first"])
        self.shares.charge(["others"], 0.6)
        self.shares.leave("brand one", 0.0)
        for caller in ("brand one", "brand two", "brand three"):
            for number in range(3):
                self.shares.enter(caller, f"{caller} {number}")
        self.assertEqual(self.started(), [])
        order = []
        for _ in range(9):
            self.pass_time(self.shares.next_turn())
            for caller, request in self.shares.due():
                order.append(str(request))
                self.shares.charge([caller], 0.05)
                self.shares.leave(caller, 0.05)
        self.assertEqual([each[:-2] for each in order], ["brand one", "brand two", "brand three"] * 3)

    def test_they_have_no_bound_while_hot_workers_are_idle(self) -> None:
        self.shares.charge(["others"], 5.0)
        self.last_hot -= shares.IDLE + 1
        self.work("brand one", 0.01)
        self.last_hot = self.clock.now
        self.shares.enter("brand one", "next")
        self.assertEqual(self.started(), [])

    def test_a_long_call_pauses_for_the_debt_of_all(self) -> None:
        self.shares.charge(["others"], 0.6)
        # Until the account of all, of 0.5 s, is half full.
        self.assertAlmostEqual(self.shares.seconds_owed(["brand one"]), 0.35 / 0.5)

    def test_calls_in_slices_leave_room_for_those_that_have_to_start(self) -> None:
        self.shares.enter("brand one", "an export")
        self.assertEqual(self.started(), ["an export"])
        self.shares.expect_nothing("brand one")
        worked, paused = 0.0, 0.0
        for _ in range(500):
            self.shares.charge(["brand one"], 0.01)
            worked += 0.01
            owed = self.shares.seconds_owed(["brand one"])
            self.pass_time(owed)
            paused += owed
            self.shares.enter("brand one", "a list")
            self.assertEqual(self.started(), ["a list"])
            self.shares.leave("brand one", 0.0)
        self.assertAlmostEqual(worked / paused, SHARE, 1)
        self.shares.leave("brand one", None)
        self.assertFalse(self.shares._active)


class Payers(Case):
    def answer(self, credentials: bytes, caller: str | None, seconds: float) -> None:
        """Answer a request of the address, whose caller the application finds."""
        turn_of = self.shares.caller_of(credentials, "address")
        self.shares.enter(turn_of, "a call")
        list(self.shares.due())
        with mock.patch("discount.serving.shares.thread_time", side_effect=[1.0, 1.0 + seconds]):
            meter = Meter(self.shares, turn_of, credentials)
            meter.begin()
            meter.caller = caller
            meter.charge()
        meter.end(0)

    def waits(self, caller: str) -> bool:
        return self.shares.seconds_until_turn(caller) > 0

    def test_a_brand_pays_for_all_its_keys(self) -> None:
        self.answer(b"key 1", "brand one", 0.0)
        self.answer(b"key 2", "brand one", 0.0)
        self.answer(b"key 1", "brand one", 0.3)
        self.assertEqual(self.shares.caller_of(b"key 2", "address"), "brand one")
        self.assertTrue(self.waits("brand one"))
        self.assertFalse(self.waits("address"))

    def test_an_address_pays_for_credentials_that_are_new_each_time(self) -> None:
        for number in range(9):
            self.answer(b"key, in way %d" % number, "brand one", 0.03)
        self.assertTrue(self.waits("address"))
        self.assertTrue(self.waits("brand one"))

    def test_an_address_pays_where_no_caller_is_found(self) -> None:
        self.answer(b"", None, 0.3)
        self.answer(b"wrong", None, 0.0)
        self.assertEqual(self.shares.caller_of(b"wrong", "address"), "address")
        self.assertTrue(self.waits("address"))

    def test_nobody_pays_for_the_admin(self) -> None:
        for _ in range(3):
            self.answer(b"admin", "", 9.0)
        self.assertFalse(self.waits("address"))
        self.assertFalse(self.waits(self.shares.caller_of(b"admin", "address")))

    def test_the_bytes_of_a_request_are_paid_for(self) -> None:
        for _ in range(5):
            meter = Meter(self.shares, "address", b"")
            self.shares.enter("address", "a call")
            list(self.shares.due())
            meter.end(1 << 40)
        self.assertTrue(self.waits("address"))

    def test_tokens_are_kept_as_digests_only(self) -> None:
        self.shares.remember(b"a secret token", "brand one")
        self.assertNotIn("secret", repr(self.shares._callers))


class Heads(unittest.TestCase):
    """What the main loop reads of a request before anything has checked it."""

    def connection(self, *headers: str, peer: object = ("192.0.2.1", 4711)) -> Connection:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        connection = Connection(Config(), ours, Handed(peer, ("127.0.0.1", 80)))
        self.addCleanup(connection.close)
        connection.add("\r\n".join(["POST / HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
        connection.add(b"Authorization: in the body\r\n")
        connection.ready()
        return connection

    def test_credentials_are_the_tokens_of_any_interface(self) -> None:
        for headers, expected in (
            ((), b""),
            (("authorization:  Bearer a ",), b"Bearer a"),
            (("Authorization: Bearer a", "BRAND_AUTH_TOKEN: b", "User_Auth_Token: c"), b"Bearer a b c"),
            (("X-Authorization: Bearer a",), b""),
        ):
            with self.subTest(headers):
                self.assertEqual(self.connection(*headers, "Content-Length: 99").credentials, expected)

    def test_the_address_is_the_one_that_our_proxies_saw(self) -> None:
        forwarded = "X-Forwarded-For: 203.0.113.9, 198.51.100.7"
        for proxies, headers, expected in (
            (0, (forwarded,), "192.0.2.1"),
            (1, (forwarded,), "198.51.100.7"),
            (2, (forwarded,), "203.0.113.9"),
            (5, (forwarded,), "203.0.113.9"),
            (1, (forwarded, "x-forwarded-for: 198.51.100.8"), "198.51.100.8"),
            (1, (), ""),
        ):
            with self.subTest((proxies, headers)):
                self.assertEqual(self.connection(*headers).address(proxies), expected)
        self.assertEqual(self.connection(peer="").address(0), "")

    def test_the_announced_length_is_that_of_the_body(self) -> None:
        for length in (0, 10, 64 * 1024, 64 * 1024 + 1, 8 << 20):
            self.assertEqual(self.connection(f"Content-Length: {length}").announced, length)


if __name__ == "__main__":
    unittest.main()
