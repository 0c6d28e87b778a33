"""The layout of the data: who stores it, who copies it, and what is refused."""

import unittest
from typing import Any

from redis.exceptions import ResponseError

from discount.domain.errors import Unavailable
from discount.store import keys
from discount.store.installation import Layout, LayoutError, stored_form

SECRET = "s" * 32
STORED = stored_form(SECRET)


class Data:
    """What some nodes hold of the layout."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, str]] = {}

    def ask(self, layout: Layout, *partitions: int) -> None:
        """Let a layout ask a node about its partitions, and do what it says."""
        while True:
            replies: list[Any] = [
                [self.stored.get(name, {}).get(field) for field in fields]
                for _, name, *fields in layout.questions(partitions)
            ]
            missing = layout.compare(partitions, replies)
            if not missing:
                return
            for command, name, field, value in missing:
                assert command == "HSETNX"
                self.stored.setdefault(name, {}).setdefault(field, value)

    def of(self, partition: int) -> dict[str, str]:
        return self.stored.get(keys.installation(partition), {})


class Layouts(unittest.TestCase):
    def setUp(self) -> None:
        self.data = Data()

    def test_the_first_start_stores_it_in_partition_00_and_copies_it(self) -> None:
        self.data.ask(Layout(16, SECRET), 0, 1, 2)
        for partition in (0, 1, 2):
            self.assertEqual(self.data.of(partition), {"partitions": "16", "schema": "2", "secret": STORED})

    def test_other_nodes_wait_for_partition_00_at_the_first_start(self) -> None:
        layout = Layout(16, SECRET)
        with self.assertRaises(Unavailable):
            self.data.ask(layout, 3, 4)
        self.assertEqual(self.data.stored, {})
        self.data.ask(layout, 0)
        self.data.ask(layout, 3, 4)
        self.assertEqual(self.data.of(3), self.data.of(0))

    def test_any_partition_is_enough_later(self) -> None:
        self.data.ask(Layout(16, SECRET), 0, 1, 2)
        late = Layout(16, SECRET)
        self.data.ask(late, 2, 5)
        self.assertEqual(self.data.of(5), self.data.of(0))

    def test_every_process_uses_the_secret_that_the_first_one_generated(self) -> None:
        self.data.ask(Layout(16, ""), 0)
        self.data.ask(Layout(16, ""), 0, 1)
        self.assertEqual(self.data.of(0), self.data.of(1))
        self.assertTrue(self.data.of(0)["secret"].startswith("kept "))

    def test_another_generated_secret_is_refused_by_a_process_that_has_read_the_first(self) -> None:
        layout = Layout(16, "")
        self.data.ask(layout, 0)
        other = Data()
        other.ask(Layout(16, ""), 0)
        with self.assertRaisesRegex(LayoutError, "has changed"):
            other.ask(layout, 0)

    def test_a_process_that_needs_no_secret_stores_none_and_a_later_one_adds_it(self) -> None:
        self.data.ask(Layout(16, None), 0, 1)
        self.assertEqual(self.data.of(1), {"partitions": "16", "schema": "2"})
        self.data.ask(Layout(16, SECRET), 0, 1)
        self.assertEqual([self.data.of(each).get("secret") for each in (0, 1)], [STORED, STORED])

    def test_other_settings_are_refused_and_change_nothing(self) -> None:
        self.data.ask(Layout(16, SECRET), 0, 1)
        before = {name: dict(fields) for name, fields in self.data.stored.items()}
        for layout, reason in (
            (Layout(8, SECRET), "holds data with partitions 16, the setting says 8"),
            (Layout(16, "t" * 32), "uses another SECRET"),
            (Layout(16, ""), "set the same one here"),
        ):
            with self.subTest(reason), self.assertRaisesRegex(LayoutError, reason):
                self.data.ask(layout, 1, 2)
        self.assertEqual(self.data.stored, before)

    def test_partitions_that_are_elsewhere_by_now_are_left_out(self) -> None:
        layout = Layout(16, SECRET)
        self.assertEqual(layout.compare([0, 1], [ResponseError("x"), ResponseError("x")]), [])
        self.data.ask(layout, 0)
        names = {name for _, name, *_ in layout.compare([1, 2], [ResponseError("x"), [None] * 3])}
        self.assertEqual(names, {keys.installation(2)})
