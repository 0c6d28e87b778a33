"""German texts of reasons: each reason that the service can give has one."""

import ast
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import discount
from discount.api.inputs import read_fields
from discount.api.schemas.brands import BrandChange, BrandIn, KeyIn
from discount.api.schemas.discounts import DiscountChange, DiscountIn
from discount.api.schemas.waits import WaitIn
from discount.api.schemas.webhooks import WebhookIn
from discount.console.languages import PSEUDO, language
from discount.console.reasons import GERMAN, german, in_language
from discount.domain.errors import Invalid

ROOT = Path(discount.__file__).parent
#: Where reasons are made that nobody sees at the console.
_ELSEWHERE = ("cli", "dialects")
#: Functions that take a reason, and which of their arguments it is.
_CALLS = {"Invalid": 1, "with_rule": 2, "_says": 0, "_checked": 3}
#: Functions that return a reason.
_MAKERS = ("refusal_of",)
_SHAPES = (DiscountIn, DiscountChange, BrandIn, BrandChange, KeyIn, WaitIn, WebhookIn)
_BAD: tuple[Any, ...] = (
    *(None, "", " x", "x\x00", "x" * 500, "{}", -1, 0, 10**30, 1.5, True, [], ["\n"], [1] * 200, {}),
    *({"x": 1}, {"a b": "c"}, {"period": "x"}, {"EUR": -1}, {"eur": 1}, [{"x": 1}], [{}]),
)


def written() -> Iterator[tuple[str, str]]:
    """Yield each reason in the code, with its file. Values in it are `{}`."""
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] in _ELSEWHERE or path.name == "config.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for found in _reasons_in(node):
                for text in _texts(found):
                    yield text, path.name


def _reasons_in(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        place = _CALLS.get(name)
        if place is not None and len(node.args) > place:
            yield node.args[place]
    elif isinstance(node, ast.FunctionDef) and node.name in _MAKERS:
        yield from (each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value)


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(each.value) if isinstance(each, ast.Constant) else "1,234" for each in node.values)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


class Reasons(unittest.TestCase):
    def test_each_reason_in_the_code_has_a_german_text(self) -> None:
        found = dict(written())
        self.assertGreater(len(found), 80)
        # The rest of these is a reason of its own, which is looked at by itself.
        ends = ("; 1,234", "; use 1,234")
        missing = {text: name for text, name in found.items() if german(text) == text and not text.endswith(ends)}
        self.assertEqual(missing, {})

    def test_each_reason_why_a_value_does_not_fit_its_type_has_a_german_text(self) -> None:
        reasons = set()
        for shape in _SHAPES:
            names = shape.__struct_encode_fields__
            needed = dict.fromkeys({"discount_code", "id", "name", "user_id"}.intersection(names), "x")
            for field in names:
                for bad in _BAD:
                    try:
                        read_fields(needed | {field: bad}, shape)
                    except Invalid as refusal:
                        reasons.add(refusal.facts["errors"][0]["detail"])
        self.assertGreater(len(reasons), 60)
        self.assertEqual([each for each in reasons if german(each) == each], [])

    def test_values_stand_in_their_places_and_numbers_as_german_writes_them(self) -> None:
        for english, expected in {
            "must be from 1 to 100,000,000": "muss von 1 bis 100.000.000 sein",
            "must be more than 0 and at most 100": "muss mehr als 0 und höchstens 100 sein",
            "has 1 entry; 2 to 3 are allowed": "hat 1 Eintrag; erlaubt sind 2 bis 3",
            "has 7 entries; 2 to 3 are allowed": "hat 7 Einträge; erlaubt sind 2 bis 3",
            "is not an integer": "ist keine ganze Zahl",
            "is a string, not an integer or null": "ist ein Text, erwartet wird eine ganze Zahl oder null",
            "cannot be 'x'; allowed are a, b": "kann nicht 'x' sein; erlaubt sind a, b",
            "has a name that has 'x' (U+0078) as character 1; the letters A-Z and a-z and digits are allowed": (
                "hat einen Namen, der nicht geht: hat 'x' (U+0078) als Zeichen Nummer 1; erlaubt sind die Buchstaben"
                " A-Z und a-z und Ziffern"
            ),
            "is something new": "is something new",
        }.items():
            with self.subTest(english):
                self.assertEqual(german(english), expected)

    def test_each_text_keeps_the_number_of_its_values(self) -> None:
        # The kind of the codes and the name of an amount are words of the API.
        without = {"does not belong to codes of kind {}", "is missing: {} needs a currency"}
        for english, text in GERMAN.items():
            with self.subTest(english):
                self.assertEqual(text.count("{}"), 0 if english in without else english.count("{}"))

    def test_a_reason_is_english_for_english_and_marked_in_the_pseudo_locale(self) -> None:
        self.assertEqual(in_language("is missing", language("en")), "is missing")
        self.assertEqual(in_language("is missing", language("de")), "fehlt")
        self.assertNotEqual(in_language("is missing", language(PSEUDO)), "is missing")
