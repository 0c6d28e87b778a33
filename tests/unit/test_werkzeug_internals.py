"""The application relies on an internal of Werkzeug. These tests fail if an upgrade changes it."""

import inspect
import unittest
from unittest import mock

from werkzeug.routing import Rule

from discount.app import create_app
from discount.config import Settings
from tests.unit.fake import fake_store


class Routes(unittest.TestCase):
    def test_the_method_that_a_route_overrides_is_there(self) -> None:
        self.assertEqual(list(inspect.signature(Rule._compile_builder).parameters), ["self", "append_unknown"])

    def test_no_route_compiles_what_builds_its_addresses(self) -> None:
        with mock.patch.object(Rule, "_compile_builder", side_effect=AssertionError("compiled")):
            self.assertTrue(list(create_app(Settings(), fake_store()).url_map.iter_rules()))

    def test_an_address_is_built_all_the_same(self) -> None:
        addresses = create_app(Settings(), fake_store()).url_map.bind("shop.example")
        built = addresses.build("show_discount", {"discount_id": "a b", "more": "1"})
        self.assertEqual(built, "/discount/a%20b?more=1")
        self.assertEqual(addresses.build("show_discount", {"discount_id": "a"}, append_unknown=False), "/discount/a")


if __name__ == "__main__":
    unittest.main()
