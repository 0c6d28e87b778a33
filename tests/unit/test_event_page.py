"""The page of events is up to date."""

import unittest
from pathlib import Path
from typing import get_args

from discount.api.schemas.webhooks import EventType
from discount.domain.event_types import TYPES
from doc.generate import events as event_page

PAGE = Path(__file__).parents[2] / "doc" / "events.md"


class Page(unittest.TestCase):
    def test_the_page_equals_the_output_of_make_docs(self) -> None:
        page = PAGE.read_text(encoding="utf-8")
        self.assertEqual(page, event_page.renew(page))

    def test_every_type_has_its_example(self) -> None:
        page = event_page.describe()
        for name in TYPES:
            with self.subTest(name):
                self.assertIn(f'"type": "{name}"', page)

    def test_all_types_but_the_test_can_be_chosen_for_a_webhook(self) -> None:
        self.assertEqual(set(get_args(EventType)), set(TYPES) - {"webhook.test"})
