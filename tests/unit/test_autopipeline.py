"""Simultaneous calls share one exchange, and each gets its own replies."""

import threading
import unittest
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

from greenlet import getcurrent

from discount.store import autopipeline
from discount.store.autopipeline import Calls, Leave


class Wire:
    """A connection that answers each command with itself doubled, and records what is sent in each turn."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []
        self.calls = Calls(self.submit)
        self._waiting: list[tuple[Sequence[Any], Callable[[list[Any]], None]]] = []

    def submit(self, commands: Sequence[Any], resume: Callable[[list[Any]], None]) -> None:
        self._waiting.append((commands, resume))

    def turn(self) -> None:
        """Send what waits together, and let the calls go on in order."""
        waiting, self._waiting = self._waiting, []
        self.sent.append([command for commands, _ in waiting for command in commands])
        for commands, resume in waiting:
            resume([command * 2 for command in commands])

    def run(self, *several: Callable[[], Any]) -> list[Any]:
        """Return what each call returned or raised."""
        found: list[Any] = [None] * len(several)

        def keep(place: int, call: Callable[[], Any]) -> None:
            try:
                found[place] = call()
            except BaseException as error:
                found[place] = error

        for place, call in enumerate(several):
            self.calls.start(keep, place, call)
        while self._waiting:
            self.turn()
        return found


def ask(*commands: Any) -> list[Any]:
    def alone(several: Sequence[Any]) -> list[Any]:
        return [f"{command} alone" for command in several]

    return autopipeline.send(alone, commands)


class Together(unittest.TestCase):
    def setUp(self) -> None:
        self.wire = Wire()

    def test_outside_of_calls_a_command_is_sent_alone(self) -> None:
        self.assertEqual(ask("a", "b"), ["a alone", "b alone"])
        self.assertEqual(self.wire.sent, [])

    def test_commands_of_several_calls_are_sent_together_and_answered_separately(self) -> None:
        found = self.wire.run(lambda: ask("a"), lambda: ask("b", "c"), lambda: ask("d"))
        self.assertEqual(found, [["aa"], ["bb", "cc"], ["dd"]])
        self.assertEqual(self.wire.sent, [["a", "b", "c", "d"]])

    def test_calls_of_several_steps_go_on_together_until_each_is_done(self) -> None:
        def steps(name: str, count: int) -> str:
            for _ in range(count):
                (name,) = ask(name)
            return name

        found = self.wire.run(lambda: steps("a", 1), lambda: steps("b", 3), lambda: steps("c", 0))
        self.assertEqual(found, ["aa", "b" * 8, "c"])
        self.assertEqual(self.wire.sent, [["a", "b"], ["bb"], ["bbbb"]])

    def test_a_failing_call_affects_no_other(self) -> None:
        def broken() -> None:
            ask("a")
            raise KeyError("x")

        first, second = self.wire.run(broken, lambda: ask("b"))
        self.assertIsInstance(first, KeyError)
        self.assertEqual(second, ["bb"])

    def test_a_call_leaves_instead_of_waiting_for_anything_else(self) -> None:
        def waits() -> None:
            ask("a")
            autopipeline.leave()

        first, second = self.wire.run(waits, lambda: ask("b"))
        self.assertIsInstance(first, Leave)
        self.assertEqual(second, ["bb"])
        autopipeline.leave()

    def test_a_call_may_end_while_earlier_ones_wait(self) -> None:
        found: list[str] = []
        self.wire.calls.start(lambda: found.extend(ask("slow")))
        self.wire.calls.start(lambda: found.append("quick"))
        self.assertEqual(found, ["quick"])
        self.wire.turn()
        self.assertEqual(found, ["quick", "slowslow"])

    def test_what_runs_a_call_is_used_again(self) -> None:
        found = [self.wire.run(getcurrent)[0] for _ in range(3)]
        self.assertEqual(len(set(found)), 1)
        self.assertIsNot(found[0], getcurrent())

    def test_a_thread_without_calls_never_touches_greenlet(self) -> None:
        found: list[list[str]] = []

        def work() -> None:
            autopipeline.leave()
            found.append(autopipeline.send(list, ["sent alone"]))

        with patch.object(autopipeline, "getcurrent", side_effect=AssertionError("touched")):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        self.assertEqual(found, [["sent alone"]])
