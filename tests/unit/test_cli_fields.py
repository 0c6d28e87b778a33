"""Values of command-line options as fields of requests."""

import unittest

from msgspec import UNSET

from discount.api.schemas.brands import BrandChange
from discount.api.schemas.discounts import DiscountChange
from discount.cli import fields
from discount.domain.errors import Invalid


class Quotas(unittest.TestCase):
    def read(self, text: str) -> object:
        change = fields.read(BrandChange, {"quotas__codes": text})
        self.assertIs(change.quotas.discounts, UNSET)
        return change.quotas.codes

    def test_a_count_may_be_a_number_a_word_or_null(self) -> None:
        self.assertEqual([self.read(text) for text in ("12", "off", "none")], [12, "off", None])

    def test_an_unknown_word_is_refused_with_the_allowed_values(self) -> None:
        with self.assertRaises(Invalid) as refused:
            self.read("many")
        self.assertEqual(refused.exception.facts["errors"][0]["detail"], "is not a whole number or `off`")


class Limits(unittest.TestCase):
    def test_numbers_by_name_and_objects_are_read_from_text(self) -> None:
        given = {
            "limits__amount": ("EUR=100000", "JPY=5"),
            "limits__windows": ('{"period": "PT24H", "per_user": 2}', '{"period": "P7D", "per_user": 5}'),
        }
        limits = fields.read(DiscountChange, given).limits
        self.assertEqual(limits.amount, {"EUR": 100000, "JPY": 5})
        self.assertEqual([(each.period, each.per_user) for each in limits.windows], [("PT24H", 2), ("P7D", 5)])
        self.assertIs(limits.total, UNSET)

    def test_none_removes_a_budget_and_windows(self) -> None:
        limits = fields.read(DiscountChange, {"limits__amount": ("none",), "limits__windows": ("none",)}).limits
        self.assertEqual((limits.amount, limits.windows), ({}, []))

    def test_a_text_that_is_no_number_or_no_object_is_refused_with_its_option(self) -> None:
        for given, detail in (
            ({"limits__amount": ("EUR=much",)}, "limits/amount is not a whole number."),
            ({"limits__amount": ("EUR",)}, "limits/amount must be NAME=VALUE."),
            ({"limits__windows": ("PT24H",)}, "limits/windows must be a JSON object."),
        ):
            with self.subTest(given), self.assertRaises(Invalid) as refused:
                fields.read(DiscountChange, given)
            self.assertEqual(refused.exception.detail, detail)
