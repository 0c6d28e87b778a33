"""Slugs of refusals are the same in Lua, in errors.py, in the problems and in the docs."""

import re
import unittest
from pathlib import Path

from discount.api import problems
from discount.domain.errors import BY_SLUG, Invalid, Refusal, Unavailable
from discount.store.scripts import SCRIPTS

PROBLEMS = Path(__file__).parents[2] / "doc" / "problems.md"
# Slugs for errors of HTTP itself, before any service is called.
OF_HTTP = {"method-not-allowed", "too-large", "unsupported-media-type", "bad-request", "internal"} | {
    "too-slow",
    "uri-too-long",
    "headers-too-large",
}
# Slugs that services use without a script.
OF_VERBS = {"invalid", "malformed", "unavailable", "not-yet-durable", "restoring"} | {
    "minimum-amount",
    "lines-missing",
    "no-line-fits",
    "minimum-quantity",
    "not-combinable",
    "not-in-audience",
    "currency-mismatch",
    "forbidden",
    "cross-site",
    "webhook-off",
    "no-longer-kept",
    "no-ledger",
    "too-late",
    "too-many-at-once",
}


def documented() -> dict[str, int]:
    """Return the slugs in doc/problems.md with their statuses, one row each."""
    rows = re.findall(r"^\|\s*`([a-z-]+)`\s*\|\s*`?(\d{3})`?\s*\|", PROBLEMS.read_text(encoding="utf-8"), re.MULTILINE)
    return {word: int(status) for word, status in rows}


class Words(unittest.TestCase):
    def test_every_refusal_has_a_unique_slug(self) -> None:
        kinds = {*Refusal.__subclasses__(), *Unavailable.__subclasses__()} - {problems.NotRead}
        self.assertEqual(len(BY_SLUG), len(kinds))
        for word in BY_SLUG:
            self.assertRegex(word, r"^[a-z]+(-[a-z]+)*$")

    def test_the_slugs_of_lua_and_of_errors_agree(self) -> None:
        # Reasons that a script gives several of at once stand in its body alone.
        in_lua = {
            word
            for script in (each.behind_guard or each for each in SCRIPTS.values())
            for word in script.refusals | set(re.findall(r"'([a-z-]+)'", script.source))
            if word in script.refusals | set(BY_SLUG)
        }
        self.assertEqual(in_lua | OF_VERBS, set(BY_SLUG))
        self.assertEqual(in_lua & OF_VERBS, set())

    def test_the_slugs_of_errors_and_of_problems_agree(self) -> None:
        self.assertEqual(set(problems.STATUS), set(BY_SLUG) | OF_HTTP)
        self.assertEqual(set(problems.TITLES), set(problems.STATUS))

    def test_the_slugs_and_statuses_of_the_docs_agree(self) -> None:
        self.assertEqual(documented(), problems.STATUS)

    def test_every_status_is_an_error(self) -> None:
        self.assertEqual({status for status in problems.STATUS.values() if not 400 <= status < 600}, set())


class Refusals(unittest.TestCase):
    def test_every_refusal_has_a_title_that_is_a_sentence(self) -> None:
        for word, kind in BY_SLUG.items():
            self.assertRegex(kind.title, r"^[A-Z].*\.$", word)

    def test_the_text_of_a_refusal_is_its_detail_or_title(self) -> None:
        for kind in set(BY_SLUG.values()) - {Invalid}:
            self.assertEqual(str(kind()), kind.title)
            self.assertEqual(str(kind("More.")), "More.")

    def test_a_refusal_keeps_its_facts(self) -> None:
        self.assertEqual(BY_SLUG["expired"](expires_at="1").facts, {"expires_at": "1"})

    def test_an_invalid_field_is_a_pointer_and_an_invalid_parameter_a_name(self) -> None:
        self.assertEqual(Invalid("/a", "is bad").facts, {"errors": [{"pointer": "/a", "detail": "is bad"}]})
        self.assertEqual(Invalid("", "is bad").facts, {"errors": [{"pointer": "", "detail": "is bad"}]})
        self.assertEqual(Invalid("a", "is bad").facts, {"errors": [{"parameter": "a", "detail": "is bad"}]})
        self.assertEqual(str(Invalid("/a", "is bad")), "/a is bad.")
        self.assertEqual(str(Invalid("", "is bad")), "The body is bad.")
