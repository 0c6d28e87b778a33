"""The files of the console: those from others are what they say, and its modules keep to their floor."""

import hashlib
import re
import unittest
from pathlib import Path

import discount

CONSOLE = Path(discount.__file__).parent / "console"


class Static(unittest.TestCase):
    def test_each_file_from_others_has_a_licence_a_version_and_the_noted_checksum(self) -> None:
        notice = (CONSOLE / "static" / "NOTICE").read_text(encoding="utf-8")
        found = re.findall(r"^(\S+): (\S+) ([\d.]+) from npm.* Licence: (\S+) \(.+\)\.\nsha256 (\w+)$", notice, re.M)
        self.assertEqual([name for name, *_ in found], ["htmx.min.js", "pico.min.css"])
        for name, _, _, licence, digest in found:
            with self.subTest(name):
                self.assertTrue((CONSOLE / "static" / licence).exists())
                self.assertEqual(hashlib.sha256((CONSOLE / "static" / name).read_bytes()).hexdigest(), digest)

    def test_every_file_is_noted_or_ours(self) -> None:
        ours = {"NOTICE", "LICENSE-htmx", "LICENSE-pico", "console.css", "console.js", "icon.svg"}
        found = {each.name for each in (CONSOLE / "static").iterdir()}
        self.assertEqual(found, ours | {"htmx.min.js", "pico.min.css"})


class Modules(unittest.TestCase):
    def test_no_module_sends_a_command_to_redis(self) -> None:
        for path in CONSOLE.rglob("*.py"):
            with self.subTest(path.name):
                self.assertNotRegex(path.read_text(encoding="utf-8"), r"store\.(commands?|run|run_many|each)\(")

    def test_no_template_has_what_the_policy_forbids(self) -> None:
        for path in (CONSOLE / "templates").iterdir():
            with self.subTest(path.name):
                text = path.read_text(encoding="utf-8")
                self.assertNotRegex(text, r"\sstyle=|\son\w+=|<script(?![^>]*src=)|javascript:|https?://")
                self.assertNotIn("| safe", text)
