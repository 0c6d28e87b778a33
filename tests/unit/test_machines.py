"""The batches in which state machines run."""

import unittest
from typing import ClassVar
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.support import machines


class Recorded(RuleBasedStateMachine):
    """A machine that records its arguments."""

    examples: ClassVar[list[list[int]]] = []

    def __init__(self) -> None:
        super().__init__()
        self.examples.append([])

    @rule(number=st.integers())
    def take(self, number: int) -> None:
        self.examples[-1].append(number)


def recorded(examples: int) -> list[list[int]]:
    Recorded.examples.clear()
    begun = machines.run_in_batches(Recorded, examples, 5)
    # Before the first example the library makes a machine to look at it.
    assert begun <= len(Recorded.examples)
    return list(Recorded.examples)


class Batches(unittest.TestCase):
    def setUp(self) -> None:
        small = mock.patch.object(machines, "BATCH", 10)
        small.start()
        self.addCleanup(small.stop)

    def test_all_examples_are_run_where_there_is_time(self) -> None:
        self.assertEqual(machines.run_in_batches(Recorded, 25, 5), 25)

    def test_one_batch_is_run_where_there_is_no_time(self) -> None:
        with mock.patch.object(machines, "ENOUGH", 0.0):
            self.assertEqual(machines.run_in_batches(Recorded, 25, 5), 10)

    def test_a_slower_machine_runs_the_first_of_the_same_examples(self) -> None:
        with mock.patch.object(machines, "ENOUGH", 0.0):
            fewer = recorded(20)
        more = recorded(20)
        self.assertEqual(more[: len(fewer)], fewer)
        self.assertGreater(len(more), len(fewer))
        # A batch with the seed of another would be no more than a repetition.
        self.assertNotEqual(more[len(fewer) :], fewer)

    def test_a_failure_in_any_batch_is_a_failure(self) -> None:
        class Late(RuleBasedStateMachine):
            seen: ClassVar[int] = 0

            @rule()
            def fail_late(self) -> None:
                type(self).seen += 1
                if self.seen > 100:
                    raise ValueError("late")

        with self.assertRaisesRegex(Exception, "late"):
            machines.run_in_batches(Late, 40, 5)
