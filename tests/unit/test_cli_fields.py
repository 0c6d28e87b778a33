"""Values of command-line options as fields of requests."""

import unittest

from msgspec import UNSET

from discount.api.schemas.brands import BrandChange
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
