"""Simultaneous calls share one exchange, and each gets its own replies."""

import unittest
from collections.abc import Sequence
from threading import Lock
from typing import Any

from discount.domain.errors import Unavailable
from discount.store import autopipeline


class Wire:
    """A connection that answers each command with itself doubled, and records what was sent in one piece."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []

    def send(self, commands: Sequence[Any]) -> list[Any]:
        self.sent.append(list(commands))
        return [command * 2 for command in commands]

    def ask(self, *commands: Any) -> list[Any]:
        return autopipeline.send(self.send, commands)


class Together(unittest.TestCase):
    def setUp(self) -> None:
        self.wire = Wire()

    def test_outside_of_a_batch_a_call_sends_its_own_commands(self) -> None:
        self.assertEqual(self.wire.ask("a", "b"), ["aa", "bb"])
        self.assertEqual(self.wire.sent, [["a", "b"]])

    def test_requests_of_several_calls_are_sent_together_and_answered_separately(self) -> None:
        found = autopipeline.run_batch(
            [lambda: self.wire.ask("a"), lambda: self.wire.ask("b", "c"), lambda: self.wire.ask("d")]
        )
        self.assertEqual(found, [["aa"], ["bb", "cc"], ["dd"]])
        self.assertEqual(self.wire.sent, [["a", "b", "c", "d"]])

    def test_calls_of_several_steps_go_on_together_until_each_is_done(self) -> None:
        def steps(name: str, count: int) -> str:
            for _ in range(count):
                (name,) = self.wire.ask(name)
            return name

        found = autopipeline.run_batch([lambda: steps("a", 1), lambda: steps("b", 3), lambda: steps("c", 0)])
        self.assertEqual(found, ["aa", "b" * 8, "c"])
        self.assertEqual(self.wire.sent, [["a", "b"], ["bb"], ["bbbb"]])

    def test_a_failing_call_gets_its_error_and_affects_no_other(self) -> None:
        def broken() -> list[Any]:
            self.wire.ask("a")
            raise KeyError("x")

        def at_once() -> list[Any]:
            raise SystemExit

        first, second, third = autopipeline.run_batch([broken, lambda: self.wire.ask("b"), at_once])
        self.assertIsInstance(first, KeyError)
        self.assertEqual(second, ["bb"])
        self.assertIsInstance(third, SystemExit)

    def test_an_exchange_that_fails_fails_for_all_that_wait_and_each_may_go_on(self) -> None:
        def away(_commands: Sequence[Any]) -> list[Any]:
            raise Unavailable("away")

        def patient() -> list[Any]:
            try:
                return autopipeline.send(away, ["a"])
            except Unavailable:
                return self.wire.ask("b")

        first, second = autopipeline.run_batch([patient, lambda: autopipeline.send(away, ["c"])])
        self.assertEqual(first, ["bb"])
        self.assertIsInstance(second, Unavailable)

    def test_requests_to_another_connection_are_sent_there(self) -> None:
        other = Wire()
        found = autopipeline.run_batch([lambda: self.wire.ask("a"), lambda: other.ask("b"), lambda: self.wire.ask("c")])
        self.assertEqual(found, [["aa"], ["bb"], ["cc"]])
        self.assertEqual((self.wire.sent, other.sent), ([["a", "c"]], [["b"]]))

    def test_a_nested_run_is_independent(self) -> None:
        def inner() -> Any:
            return autopipeline.run_batch([lambda: self.wire.ask("a"), lambda: self.wire.ask("b")])

        found = autopipeline.run_batch([inner, lambda: self.wire.ask("c")])
        self.assertEqual(found, [[["aa"], ["bb"]], ["cc"]])

    def test_calls_that_hold_a_lock_do_not_wait_for_each_other(self) -> None:
        lock = Lock()

        def locked(name: str) -> list[Any]:
            self.wire.ask(name)
            with lock, autopipeline.unbatched():
                found = self.wire.ask(name.upper())
            return found + self.wire.ask(name)

        found = autopipeline.run_batch([lambda: locked("a"), lambda: locked("b")])
        self.assertEqual(found, [["AA", "aa"], ["BB", "bb"]])
        self.assertEqual(self.wire.sent, [["a", "b"], ["A"], ["B"], ["a", "b"]])

    def test_calls_outside_a_run_are_not_batched(self) -> None:
        with autopipeline.unbatched():
            self.assertEqual(self.wire.ask("a"), ["aa"])

    def test_nothing_to_run_gives_nothing(self) -> None:
        self.assertEqual(autopipeline.run_batch([]), [])
