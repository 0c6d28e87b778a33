"""The tests themselves: names that can be found, and a page that names every suite."""

import unittest
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
README = (TESTS / "README.md").read_text(encoding="utf-8")


class Suites(unittest.TestCase):
    def test_no_two_test_files_have_the_same_name(self) -> None:
        names = Counter(path.name for path in TESTS.rglob("test_*.py"))
        self.assertEqual([name for name, count in names.items() if count > 1], [])

    def test_the_page_names_every_suite(self) -> None:
        suites = {path.parent.name for path in TESTS.rglob("test_*.py")}
        self.assertEqual([name for name in sorted(suites) if f"| `{name}` |" not in README], [])
