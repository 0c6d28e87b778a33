"""The version has one place, and everything shows it."""

import re
import tomllib
import unittest
from pathlib import Path

from discount import __version__
from discount.app import create_app
from discount.config import Settings
from tests.unit.fake import fake_store

ROOT = Path(__file__).parents[2]


class Version(unittest.TestCase):
    def test_the_document_has_it_without_an_installed_package(self) -> None:
        client = create_app(Settings(), fake_store()).test_client()
        self.assertEqual(client.get("/openapi.json").json["info"]["version"], __version__)  # type: ignore[index]

    def test_the_package_takes_it_from_the_code(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        self.assertNotIn("version", project["project"])
        self.assertEqual(project["tool"]["setuptools"]["dynamic"]["version"], {"attr": "discount.__version__"})

    def test_the_changelog_begins_with_it_and_a_date(self) -> None:
        sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
        versions = [each.removeprefix("Unreleased") for each in sections]
        newest = next(each for each in versions if each)
        self.assertRegex(newest, rf"^{re.escape(__version__)} - \d{{4}}-\d\d-\d\d$")
