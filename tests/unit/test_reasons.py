"""Why a value is refused: our own sentence for every kind of error."""

import unittest
from datetime import date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Annotated, Any, Literal

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from discount.api.inputs import SMALL_BODY, body_reader, read_fields, read_part
from discount.api.schemas.common import Currency, Moment, UserId, moment_in
from discount.api.schemas.discounts import DiscountCode
from discount.domain import reasons
from discount.domain.errors import Invalid, Refusal
from discount.domain.reasons import with_rule


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    total: Annotated[int, Meta(ge=0)] | None = None


class Everything(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    id: UserId
    name: DiscountCode | None = None
    currency: Currency | None = None
    count: Annotated[int, Meta(ge=1, le=1000)] = 1
    share: Annotated[float, Meta(gt=0, le=100)] = 1.0
    kind: Literal["a", "b"] = "a"
    on: bool = True
    at: Moment | None = None
    day: date | None = None
    lasts: timedelta | None = None
    price: Decimal | None = None
    inner: Inner | None = None
    users: Annotated[list[UserId], Meta(min_length=1, max_length=3)] | None = None
    secret: Annotated[str, Meta(min_length=32)] = ""


_ID_RULE = (
    "letters, digits and most signs are allowed, and blanks between them, but no / \\ { }, emoji or control characters"
)
_FIELDS = "id, name, currency, count, share, kind, on, at, day, lasts, price, inner, users, secret"
_NO_TIME = "is not a time in RFC 3339, such as 2026-12-24T18:00:00Z"
_NO_DURATION = "is not a duration in ISO 8601, such as P14D or PT12H"
#: What stands in a body besides an id, and what is with_rule of it.
_REFUSED = {
    '"id": 5': ("/id", "is an integer, not a string"),
    '"id": null': ("/id", "is null, not a string"),
    '"id": ""': ("/id", "has 0 characters; 1 to 128 are allowed"),
    f'"id": "{"x" * 129}"': ("/id", "has 129 characters; 1 to 128 are allowed"),
    '"id": "ab😀"': ("/id", f"has '😀' (U+1F600) as character 3; {_ID_RULE}"),
    '"id": "a\\rb"': ("/id", f"has U+000D as character 2; {_ID_RULE}"),
    '"id": "a/b"': ("/id", f"has '/' (U+002F) as character 2; {_ID_RULE}"),
    '"id": " a"': ("/id", f"begins with a space; {_ID_RULE}"),
    '"id": "a "': ("/id", f"ends with a space; {_ID_RULE}"),
    '"id": ".."': ("/id", f"cannot be '..'; {_ID_RULE}"),
    '"currency": "EuR"': (
        "/currency",
        "has 'u' (U+0075) as character 2; the three capital letters of a currency are expected, such as EUR",
    ),
    '"currency": "EURO"': (
        "/currency",
        "cannot be 'EURO'; the three capital letters of a currency are expected, such as EUR",
    ),
    '"count": 0': ("/count", "must be from 1 to 1,000"),
    '"count": 1.5': ("/count", "is a number with a fraction, not an integer"),
    f'"count": {"9" * 5000}': ("/count", "must be from 1 to 1,000"),
    '"share": 0': ("/share", "must be more than 0 and at most 100"),
    '"share": 1e999': ("/share", "must be more than 0 and at most 100"),
    '"kind": "c"': ("/kind", "cannot be 'c'; allowed are a, b"),
    '"kind": true': ("/kind", "is true or false, not a string"),
    '"on": "yes"': ("/on", "is a string, not true or false"),
    '"at": "2026-12-24"': ("/at", _NO_TIME),
    '"at": "2026-12-24T18:00:00"': ("/at", "has no offset from UTC; write it as 2026-12-24T18:00:00Z"),
    '"at": 5': ("/at", "is an integer, not a time or null"),
    '"day": "24.12."': ("/day", "is not a date, such as 2026-12-24"),
    '"lasts": "x"': ("/lasts", _NO_DURATION),
    '"lasts": "P2W"': ("/lasts", _NO_DURATION),
    '"lasts": "P99999999999D"': ("/lasts", _NO_DURATION),
    '"price": "x"': ("/price", "is not a decimal number, such as 12.50"),
    '"inner": 5': ("/inner", "is an integer, not an object or null"),
    '"inner": {"total": -1}': ("/inner/total", "must be at least 0"),
    '"inner": {"sum": 1}': ("/inner/sum", "is not a field of this request; allowed are total"),
    '"users": []': ("/users", "has 0 entries; 1 to 3 are allowed"),
    '"users": ["a", "b{"]': ("/users/1", f"has '{{' (U+007B) as character 2; {_ID_RULE}"),
    '"users": ["a", 7]': ("/users/1", "is an integer, not a string"),
    '"secret": "x"': ("/secret", "has 1 character; 32 or more are needed"),
    '"colour/~": 1': ("/colour~1~0", f"is not a field of this request; allowed are {_FIELDS}"),
}
_READ = body_reader(Everything, SMALL_BODY)


def refusal(body: bytes) -> Refusal | None:
    given = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)}
    try:
        _READ(given)
    except Refusal as refused:
        return refused
    return None


class OfBodies(unittest.TestCase):
    def test_each_kind_of_mismatch_has_its_own_sentence(self) -> None:
        for field, (pointer, detail) in _REFUSED.items():
            body = field if field.startswith('"id"') else f'"id": "U", {field}'
            refused = refusal(f"{{{body}}}".encode())
            with self.subTest(field):
                assert isinstance(refused, Invalid)
                self.assertEqual(refused.facts["errors"], [{"pointer": pointer, "detail": detail}])

    def test_a_missing_field_is_named(self) -> None:
        refused = refusal(b"{}")
        assert isinstance(refused, Invalid)
        self.assertEqual(refused.facts["errors"], [{"pointer": "/id", "detail": "is missing"}])

    def test_an_error_before_the_end_of_a_truncated_body_is_reported(self) -> None:
        self.assertEqual(str(refusal(b'{"id": 5, "name')), "/id is an integer, not a string.")

    def test_invalid_json_is_reported_with_its_position(self) -> None:
        for body, detail in {
            b"": "The body is empty; JSON is expected.",
            b"{": "The JSON is truncated: it ends at byte 1, before a value or a bracket is complete.",
            b'{"id": "U': "The JSON is truncated: it ends at byte 9, before a value or a bracket is complete.",
            b'{"id" 5}': "The body is not JSON: '5' (U+0035) is not allowed at byte 7.",
            b'{"id": \xc3\xa4}': "The body is not JSON: '\u00e4' (U+00E4) is not allowed at byte 8.",
            b'{"id": "a\nb"}': "The body is not JSON: U+000A is not allowed at byte 10.",
            b'{"id": "U"} x': "There is more text after the end of the JSON.",
            b'{"id": "\xff"}': "The body is not UTF-8: byte 9 is not allowed there.",
            b'{"id": "\\ud83d"}': "The JSON has half of a surrogate pair, \\ud83d at byte 9, without its other half.",
            b'{"id": "\\\\\\ude00"}': (
                "The JSON has half of a surrogate pair, \\ude00 at byte 11, without its other half."
            ),
        }.items():
            with self.subTest(body):
                self.assertEqual(str(refusal(body)), detail)

    def test_a_surrogate_pair_is_accepted(self) -> None:
        self.assertIn("has '\U0001f600' (U+1F600)", str(refusal(b'{"id": "\\ud83d\\ude00"}')))

    @given(
        st.dictionaries(
            st.sampled_from(_FIELDS.split(", ")),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
                lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                max_leaves=5,
            ),
        )
    )
    def test_no_sentence_of_a_library_comes_through(self, body: dict[str, Any]) -> None:
        refused = refusal(msgspec.json.encode({"id": "U"} | body))
        if refused is not None:
            for word in ("Expected", "Invalid", "regex", "`", "Object", "cannot be accepted"):
                self.assertNotIn(word, str(refused))


class OfText(unittest.TestCase):
    def test_text_is_not_called_a_string_where_all_is_text(self) -> None:
        for field, detail in {
            "count": "is not an integer",
            "on": "is not true or false",
            "price": "is not a decimal number, such as 12.50",
            "at": _NO_TIME,
            "kind": "cannot be 'many'; allowed are a, b",
        }.items():
            with self.subTest(field), self.assertRaises(Invalid) as raised:
                read_fields({"id": "U", field: "many"}, Everything)
            self.assertEqual(raised.exception.facts["errors"], [{"parameter": field, "detail": detail}])

    def test_a_part_of_a_path_is_named(self) -> None:
        with self.assertRaises(Invalid) as raised:
            read_part("a\u200b", UserId, "user_id")
        self.assertEqual(str(raised.exception), f"user_id has U+200B as character 2; {_ID_RULE}.")


class OfPatterns(unittest.TestCase):
    def test_a_pattern_without_a_message_gets_a_general_refusal(self) -> None:
        self.assertFalse(reasons.has_rule("^nothing$"))
        with self.assertRaises(Invalid) as raised:
            read_part("x", Annotated[str, Meta(pattern="^nothing$")], "part")
        self.assertEqual(str(raised.exception), "part cannot be accepted.")

    def test_rules_are_registered_with_their_pattern(self) -> None:
        pattern = with_rule("^[0-7]+$", "[^0-7]", "octal digits may stand there")
        with self.assertRaises(Invalid) as raised:
            read_part("18", Annotated[str, Meta(pattern=pattern)], "part")
        self.assertEqual(str(raised.exception), "part has '8' (U+0038) as character 2; octal digits may stand there.")

    def test_a_moment_out_of_range_is_reported_with_its_bounds(self) -> None:
        with self.assertRaises(Invalid) as raised:
            moment_in(datetime.fromisoformat("1999-01-01T00:00:00Z"), "/at")
        self.assertEqual(str(raised.exception), "/at must be from 2001-09-10 to 2286-11-20.")
