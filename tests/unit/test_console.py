"""The files of the console: those from others are what they say, and its modules keep to their floor."""

import hashlib
import re
import unittest
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import discount
from discount.console import charts, fields
from discount.console.languages import PSEUDO, choose, language
from discount.domain.errors import Invalid

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


class Texts(unittest.TestCase):
    def setUp(self) -> None:
        # Titles of problems are translated, too, as far as the catalogue has them.
        methods = [("**/*.html", "jinja2"), ("**/*.py", "python")]
        keywords = {"_": None, "gettext": None, "text": None, "ngettext": (1, 2)}
        options = {"**": {"encoding": "utf-8"}}
        found = extract_from_dir(CONSOLE, methods, options, keywords, ())
        self.texts = {text for _, _, text, _, _ in found}
        with (CONSOLE / "locales" / "de" / "console.po").open("rb") as file:
            self.german: dict[Any, Any] = {each.id: each.string for each in read_po(file, locale="de") if each.id}

    def test_each_text_has_a_german_one_in_each_of_its_forms(self) -> None:
        self.assertGreater(len(self.texts), 300)
        self.assertEqual([text for text in self.texts if not self.german.get(text)], [])
        for text, german in self.german.items():
            forms = (german,) if isinstance(text, str) else german
            with self.subTest(text):
                self.assertTrue(all(forms))

    def test_each_german_text_has_the_places_of_its_english_one(self) -> None:
        for text, german in self.german.items():
            both = ((text,), (german,)) if isinstance(text, str) else (text, german)
            with self.subTest(text):
                places = [{*re.findall(r"%\(\w+\)s", form)} for forms in both for form in forms]
                self.assertTrue(all(each == places[0] for each in places))

    def test_the_pseudo_locale_keeps_the_places_of_a_text(self) -> None:
        shown = language(PSEUDO).gettext("Close %(name)s")
        self.assertIn("%(name)s", shown)
        self.assertNotIn("Close", shown)
        self.assertEqual(language("de").ngettext("%(num)s event", "%(num)s events", 2), "%(num)s Ereignisse")

    def test_a_language_is_the_chosen_one_or_the_first_that_is_known(self) -> None:
        self.assertEqual(choose("", ("fr-FR", "de-AT", "en")).tag, "de")
        self.assertEqual(choose("en", ("de",)).tag, "en")
        self.assertEqual(choose("xx", ()).tag, "en")

    def test_numbers_money_and_times_are_written_as_the_language_does(self) -> None:
        german, english = language("de"), language("en")
        self.assertEqual((german.number(1204.5), english.number(1204.5)), ("1.204,5", "1,204.5"))
        self.assertEqual(
            (german.money(123456, "EUR"), english.money(500, "JPY")), ("1.234,56\u00a0EUR", "500\u00a0JPY")
        )
        moment = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)
        self.assertEqual(german.moment(moment, "Europe/Berlin"), "02.07.2026, 00:30")


class Fields(unittest.TestCase):
    def test_money_is_read_with_a_point_or_a_comma(self) -> None:
        for text, currency, minor in [
            ("12", "EUR", 1200),
            ("12.5", "EUR", 1250),
            ("1 234,56", "EUR", 123456),
            ("500", "JPY", 500),
            ("1.234", "KWD", 1234),
        ]:
            with self.subTest(text):
                self.assertEqual(fields.money(text, currency, "amount_off"), minor)
                self.assertEqual(fields.money(fields.plain_money(minor, currency), currency, "x"), minor)

    def test_what_is_no_amount_is_refused(self) -> None:
        for text, currency in [("", "EUR"), ("-1", "EUR"), ("1.234", "EUR"), ("5.0", "JPY"), ("x", "EUR"), ("1", "€")]:
            with self.subTest(text), self.assertRaises(Invalid):
                fields.money(text, currency, "amount_off")

    def test_a_local_time_gets_the_offset_of_its_zone(self) -> None:
        self.assertEqual(fields.moment("2026-07-01T12:00", "Europe/Berlin", "x"), "2026-07-01T12:00:00+02:00")
        for text, zone in [("tomorrow", "UTC"), ("2026-07-01T12:00", "Mars/Phobos")]:
            with self.subTest(text), self.assertRaises(Invalid):
                fields.moment(text, zone, "x")


class Charts(unittest.TestCase):
    def test_missing_steps_are_zero_and_the_scale_is_round(self) -> None:
        first = datetime(2026, 1, 1, 10, 20, tzinfo=UTC)
        drawn = charts.draw("x", "hour", first, 3, {datetime(2026, 1, 1, 11, tzinfo=UTC): 7})
        self.assertEqual([bar.value for bar in drawn.bars], [0, 7, 0])
        self.assertEqual((drawn.highest, drawn.total), (8, 7))
        self.assertEqual([charts.nice(each) for each in (0, 1, 3, 7, 11, 201, 5000)], [1, 1, 3, 8, 15, 300, 5000])


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
