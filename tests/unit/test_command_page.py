"""The page of commands is up to date."""

import unittest
from pathlib import Path

from doc.generate import commands as command_page

PAGE = Path(__file__).parents[2] / "doc" / "command-line.md"


class Page(unittest.TestCase):
    def test_the_page_equals_the_output_of_make_docs(self) -> None:
        page = PAGE.read_text(encoding="utf-8")
        self.assertEqual(page, command_page.renew(page))

    def test_the_page_shows_every_command_with_an_example(self) -> None:
        page = command_page.describe()
        for words in ("create", "redemption redeem", "delivery resend-all", "user forget"):
            with self.subTest(words):
                self.assertIn(f"### `discount {words}`\n", page)
                self.assertRegex(page, rf"Example:\n  discount {words} ")
