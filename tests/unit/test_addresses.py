"""Addresses of webhooks: a refusal says what is allowed."""

import unittest

from discount.domain.errors import Invalid
from discount.security.url_policy import check_url, policy


class Addresses(unittest.TestCase):
    def test_a_refusal_names_the_allowed_addresses(self) -> None:
        for loopback, allowed in (
            (False, "https, to a public address on port 443 or 8443"),
            (True, "http or https, to this machine or a public address"),
        ):
            for url in ("ftp://shop.example/", "https://10.0.0.1/", "https://user:hush@shop.example/", "https://"):
                with self.subTest(url), self.assertRaises(Invalid) as raised:
                    check_url(policy(loopback=loopback), url, "/url")
                detail = f"is not a URL that a webhook may have; use {allowed}"
                self.assertEqual(raised.exception.facts["errors"], [{"pointer": "/url", "detail": detail}])
