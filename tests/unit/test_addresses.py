"""Addresses of webhooks: a refusal says what is allowed."""

import unittest

from discount.domain.errors import Invalid
from discount.security.url_policy import check_url, policy


class Addresses(unittest.TestCase):
    def test_a_refusal_says_what_is_allowed(self) -> None:
        for loopback, allowed in (
            (False, "https at a public address, with port 443 or 8443"),
            (True, "http or https, on this machine or at a public address"),
        ):
            for url in ("ftp://shop.example/", "https://10.0.0.1/", "https://user:hush@shop.example/", "https://"):
                with self.subTest(url), self.assertRaises(Invalid) as raised:
                    check_url(policy(loopback=loopback), url, "/url")
                detail = f"is no address that a webhook may have; allowed are URLs with {allowed}"
                self.assertEqual(raised.exception.facts["errors"], [{"pointer": "/url", "detail": detail}])
