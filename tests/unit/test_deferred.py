"""Deferred work: done soon after it was asked for, once for many."""

import subprocess
import sys
import threading
import unittest

from discount.deferred import Deferred
from tests.support.patience import PATIENCE

PROGRAM = """
from discount.deferred import Deferred
work = Deferred("work", 3600, lambda: print("done"))
work.ask()
work.ask()
"""


class Work(unittest.TestCase):
    def setUp(self) -> None:
        self.done = threading.Semaphore(0)

    def test_it_is_done_after_each_time_that_it_was_asked_for(self) -> None:
        work = Deferred("test", 0, self.done.release)
        for _ in range(3):
            work.ask()
            self.assertTrue(self.done.acquire(timeout=PATIENCE))

    def test_it_is_done_once_for_many(self) -> None:
        begun, go_on = threading.Event(), threading.Event()
        done: list[int] = []

        def work() -> None:
            begun.set()
            go_on.wait(PATIENCE)
            done.append(1)
            self.done.release()

        deferred = Deferred("test", 0, work)
        deferred.ask()
        begun.wait(PATIENCE)
        # Asked for while it was under way, so it may have come too late for that.
        for _ in range(100):
            deferred.ask()
        go_on.set()
        for _ in range(2):
            self.assertTrue(self.done.acquire(timeout=PATIENCE))
        self.assertFalse(self.done.acquire(timeout=0.05))
        self.assertEqual(len(done), 2)

    def test_an_error_is_logged_and_ends_nothing(self) -> None:
        errors = [ValueError("odd")]

        def work() -> None:
            self.done.release()
            if errors:
                raise errors.pop()

        deferred = Deferred("test", 0, work)
        with self.assertLogs("discount.deferred") as logged:
            for _ in range(2):
                deferred.ask()
                self.assertTrue(self.done.acquire(timeout=PATIENCE))
        self.assertIn("ValueError: odd", logged.output[0])

    def test_it_is_done_when_the_process_ends(self) -> None:
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "done\n")
