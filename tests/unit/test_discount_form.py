"""The form of a discount: it shows what is set, and saving it without a change changes nothing."""

import re
import unittest
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from discount.api.inputs import read_fields
from discount.api.routes.discounts import create_from
from discount.api.schemas.discounts import DiscountChange, DiscountIn, DiscountOut
from discount.console import discount_form, fields
from discount.domain.combinations import CLASSES
from discount.domain.errors import Invalid
from discount.domain.windows import DAYS
from tests.unit.fake import fake_store

NAMES = st.sampled_from(["Spring", "a = b", "<b>x</b>", "q\"u'o", "\u00a0x", "李雷 🎉", "1,5; 2", "#-#"])
ENTRIES = st.lists(st.sampled_from(["CHAIR-*", "a, b", "\u2028x", "x y", "*"]), min_size=1, max_size=3, unique=True)
PRODUCTS = st.fixed_dictionaries({"skus": ENTRIES}, optional={"categories": ENTRIES})
COUNTS = st.integers(1, 99)
TIMES = st.sampled_from(
    ["2031-01-01T12:00:00Z", "2031-07-01T10:20:00Z", "2031-02-03T04:05:06Z", "2031-05-05T05:05:05.123456Z"]
)
KINDS = st.sampled_from(
    [
        {"kind": "unique", "pattern": "IK-########", "alphabet": "ABCDEFGHKMNP"},
        {"kind": "unique"},
        {"kind": "imported"},
        {"kind": "personal", "template": "{brand}-{user}-{id}"},
        {"kind": "shared", "code": "AHMED 2022"},
    ]
)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.none() | st.integers(0, 9) for name in ("total", "per_user", "per_user_per_day", "per_day")},
        **{name: st.integers(0, 9) for name in ("per_user_per_week", "per_user_per_month", "per_week", "per_month")},
        "windows": st.sampled_from(
            [[("PT24H", 2)], [("P7D", 0), ("PT1H", 1)], [(f"P{n}D", n) for n in range(1, 6)]]
        ).map(lambda rows: [{"period": period, "per_user": count} for period, count in rows]),
        "amount": st.dictionaries(st.sampled_from(["EUR", "JPY", "KWD"]), st.integers(0, 10**9), min_size=1),
        "budget_caps": st.booleans(),
        "per_identity": st.integers(1, 9),
    },
)
HOURS = st.lists(
    st.fixed_dictionaries(
        {"from": st.sampled_from(["09:00", "22:30"]), "to": st.sampled_from(["00:00", "18:15"])},
        optional={
            "days": st.lists(st.sampled_from(DAYS), min_size=1, unique=True).map(
                lambda some: sorted(some, key=DAYS.index)
            )
        },
    ),
    max_size=4,
)
AUDIENCES = st.fixed_dictionaries(
    {"groups": st.lists(st.sampled_from(["vip", "a:b"]), min_size=1, unique=True)},
    optional={
        "lists": st.lists(st.sampled_from(["news", "old.ones"]), unique=True),
        "spent_at_least": COUNTS,
        "at": st.sampled_from(["grant", "checkout", "both"]),
    },
).flatmap(lambda body: st.sampled_from([body, body | {"first_order": True}, body | {"orders_at_least": 3}]))
RULES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"percent_off": 12.34, "maximum_discount": 5005, "currency": "EUR"},
        {"percent_off": 100},
        {"amount_off": 5005, "currency": "JPY", "minimum_amount": 9},
        {"amount_off": 1234, "currency": "KWD"},
    ]
)
SELECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "applies_to": PRODUCTS,
        "except": PRODUCTS,
        "minimum_quantity": COUNTS,
        "per": st.sampled_from(["order", "line"]),
        "combines": st.sampled_from(["alone", "all", ["line-percent"], ["order-amount", "line-amount"]]),
    },
).flatmap(lambda body: st.sampled_from([body, body | {"cheapest_lines": 2}, body | {"dearest_lines": 1}]))
METADATA = st.dictionaries(st.sampled_from(["a", "b-c", "D_9"]), st.sampled_from(["", "x", " y ", "a=b", "é"]))


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Return the body of a discount that could have any setting."""
    codes = draw(KINDS)
    body: dict[str, Any] = {"discount_code": draw(NAMES), "codes": codes}
    if codes["kind"] == "unique":
        body["total_count"] = draw(COUNTS)
    body |= draw(RULES) | draw(SELECTIONS) | {"limits": draw(LIMITS), "metadata": draw(METADATA)}
    body |= {"timezone": draw(st.sampled_from(["UTC", "Asia/Tokyo", "Europe/Stockholm"]))}
    body |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "expires_at": TIMES,
                "audience": AUDIENCES,
                "opens": HOURS,
                "returns_use": st.booleans(),
                "release": st.fixed_dictionaries({"at": TIMES, "per_minute": COUNTS}),
            },
        )
    )
    if codes["kind"] != "shared":
        body |= draw(
            st.fixed_dictionaries(
                {}, optional={"valid_for": st.just("P1M"), "claim_within": st.sampled_from(["PT36H", "P2W"])}
            )
        )
    return body


def as_sent(texts: dict[str, str]) -> dict[str, str]:
    """Return texts as a browser sends them: with all fields, and with its ends of lines."""
    return {name: value.replace("\n", "\r\n") for name, value in texts.items()}


def _to_milliseconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _to_milliseconds(each) for name, each in value.items()}
    return re.sub(r"(:\d\d\.\d{3})\d+Z$", r"\1Z", value) if isinstance(value, str) else value


class Form(unittest.TestCase):
    def setUp(self) -> None:
        self.store = fake_store()
        self.store.prepare()
        self.brands = 0

    def create(self, body: DiscountIn) -> DiscountOut:
        return DiscountOut.of(*create_from(self.store, body))

    @given(bodies())
    @settings(max_examples=30)
    def test_a_form_that_is_saved_without_a_change_changes_nothing_and_a_copy_has_the_same_settings(
        self, body: dict[str, Any]
    ) -> None:
        # Each has a brand of its own: a brand may have a shared code once.
        self.brands += 1
        made = self.create(msgspec.convert(body | {"brand_id": f"Brand {self.brands}"}, DiscountIn))
        shown = discount_form.of(made)
        sent = discount_form.read(as_sent(shown))
        was = fields.unpack(fields.pack(discount_form.changeable(shown)))
        self.assertEqual(discount_form.changes(sent, was, made.timezone), {})
        copied = discount_form.body(sent) | {"brand_id": f"{made.brand_id} 2"}
        again = self.create(read_fields(copied, DiscountIn))
        self.assertEqual(self.settings_of(again), self.settings_of(made))

    def settings_of(self, made: DiscountOut) -> dict[str, Any]:
        """Return what is set, with times to the millisecond, as forms have them."""
        found = msgspec.to_builtins(made)
        for name in ("id", "brand_id", "created_at"):
            del found[name]
        return {name: _to_milliseconds(value) for name, value in found.items()}

    def test_only_fields_that_were_changed_are_sent(self) -> None:
        was = {"discount_code": "Spring", "limits.total": "5", "limits.per_user": "1", "expires_at": "2031-01-01T12:00"}
        was |= {"limits.amount.0.currency": "EUR", "limits.amount.0.most": "10.00", "metadata": "a=b", "release.at": ""}
        for change, body in [
            ({"limits.total": ""}, {"limits": {"total": None}}),
            ({"limits.per_day": "7"}, {"limits": {"per_day": "7"}}),
            ({"expires_at": ""}, {"expires_at": None}),
            ({"expires_at": "2031-01-01T13:00"}, {"expires_at": "2031-01-01T13:00:00+09:00"}),
            ({"limits.amount.0.most": "12,5"}, {"limits": {"amount": {"EUR": 1250}}}),
            ({"limits.amount.0.currency": "", "limits.amount.0.most": ""}, {"limits": {"amount": None}}),
            (
                {"limits.windows.1.period": "PT24H", "limits.windows.1.per_user": "2"},
                {"limits": {"windows": [{"period": "PT24H", "per_user": "2"}]}},
            ),
            ({"limits.budget_caps": "true"}, {"limits": {"budget_caps": "true"}}),
            ({"metadata": ""}, {"metadata": {}}),
            ({"metadata": "a=b\r\nc=d"}, {"metadata": {"a": "b", "c": "d"}}),
            (
                {"release.at": "2031-01-01T12:00", "release.per_minute": "60"},
                {"release": {"at": "2031-01-01T12:00:00+09:00", "per_minute": "60"}},
            ),
            ({"discount_code": " Spring "}, {}),
        ]:
            with self.subTest(change=change):
                found = discount_form.changes(discount_form.read(was | change), was, "Asia/Tokyo")
                self.assertEqual(found, body)
                if found:
                    read_fields(found, DiscountChange)

    def test_what_a_form_cannot_mean_is_refused_by_the_name_of_its_field(self) -> None:
        base = {"discount_code": "x", "codes.kind": "imported"}
        for more, field in [
            ({"amount_off": "5"}, "currency"),
            ({"release.per_minute": "5"}, "release.at"),
            ({"limits.amount.3.most": "5"}, "limits.amount.0.currency"),
            ({"limits.amount.0.currency": "EUR"}, "limits.amount.0.most"),
            ({"limits.amount.0.currency": "EUX", "limits.amount.0.most": "5"}, "limits.amount.0.currency"),
            ({"metadata": "no sign"}, "metadata"),
            ({"metadata": "a=1\na=2"}, "metadata"),
        ]:
            with self.subTest(more=more), self.assertRaises(Invalid) as refused:
                discount_form.body(discount_form.read(base | more))
            self.assertEqual(refused.exception.facts["errors"][0]["parameter"], field)
        twice = {
            f"limits.amount.{n}.{name}": value for n in (0, 1) for name, value in (("currency", "EUR"), ("most", "1"))
        }
        with self.assertRaises(Invalid):
            discount_form.body(base | twice)
        for text in ("", "[]", "{", '{"a": 1}'):
            with self.subTest(text), self.assertRaises(Invalid):
                fields.unpack(text)

    def test_a_form_has_empty_rows_for_more(self) -> None:
        rows = {f"opens.{n}.from": "09:00" for n in (0, 4)}
        self.assertEqual([len(each) for each in discount_form.rows_of(discount_form.read(rows)).values()], [2, 2, 4])
        full = {f"limits.windows.{n}.period": "PT1H" for n in range(5)}
        self.assertEqual(len(discount_form.rows_of(full)["limits.windows"]), 5)

    def test_fields_of_another_kind_of_codes_are_left_out(self) -> None:
        form = {"codes.kind": "personal", "codes.template": "{id}", "codes.pattern": "####", "codes.code": "X"}
        self.assertEqual(discount_form.body(form)["codes"], {"kind": "personal", "template": "{id}"})
        every = {f"combines.{each}": "1" for each in CLASSES}
        self.assertEqual(discount_form.body(form | every)["combines"], list(CLASSES))
