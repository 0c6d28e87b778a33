"""REDIS_URL: one server, seeds of a Cluster, Sentinels; user, password and TLS."""

import unittest
from typing import Any

from redis.connection import SSLConnection

from discount.store.redis_url import Target, read_url, split


def dialled(target: Target, address: str) -> Any:
    """Return a connection to a node, which is not open yet."""
    return target.dial(address)


class Urls(unittest.TestCase):
    def test_each_form_names_servers_of_a_kind(self) -> None:
        for url, kind, seeds in (
            ("redis://cache", "any", ("cache:6379",)),
            ("redis://cache:7000/3", "any", ("cache:7000",)),
            ("unix:///run/redis.sock", "one", ("/run/redis.sock",)),
            ("redis://a:1,b,c:3", "cluster", ("a:1", "b:6379", "c:3")),
            ("redis://a,b/", "cluster", ("a:6379", "b:6379")),
            ("redis://a,b/0", "cluster", ("a:6379", "b:6379")),
            ("redis+cluster://a/", "cluster", ("a:6379",)),
            ("redis://[::1]:7000", "any", ("::1:7000",)),
            ("redis+sentinel://a,b:1/main", "sentinel", ("a:26379", "b:1")),
        ):
            with self.subTest(url):
                found = read_url(url, 1)
                self.assertEqual((found.kind, found.seeds), (kind, seeds))

    def test_sentinels_are_asked_for_the_primary_by_its_name(self) -> None:
        self.assertEqual(read_url("redis+sentinel://a,b/main?db=2", 1).name, "main")

    def test_the_user_and_the_password_are_for_every_node(self) -> None:
        target = read_url("redis://ann:p%40ss@a,b", 1)
        for address in ("a:6379", "elsewhere:7000"):
            found = dialled(target, address)
            self.assertEqual((found.username, found.password), ("ann", "p@ss"))
            self.assertEqual(f"{found.host}:{found.port}", address)

    def test_a_password_of_its_own_setting_is_used_if_the_url_has_none(self) -> None:
        for url, expected in (("redis://a", "hush"), ("redis://:inside@a", "inside"), ("redis://ann@a", "hush")):
            with self.subTest(url):
                self.assertEqual(dialled(read_url(url, 1, "hush"), "a:6379").password, expected)

    def test_tls_holds_for_every_node_and_for_sentinels(self) -> None:
        for url in ("rediss://a", "rediss://a,b", "rediss+cluster://a", "rediss+sentinel://a/main"):
            with self.subTest(url):
                target = read_url(url, 1)
                self.assertIsInstance(target.dial("b:6379"), SSLConnection)
                self.assertIsInstance(target.ask("b:6379"), SSLConnection)
        self.assertNotIsInstance(read_url("redis://a,b", 1).dial("b:6379"), SSLConnection)

    def test_a_process_may_make_any_number_of_connections_in_its_life(self) -> None:
        target = read_url("redis://a,b?max_connections=1", 1.0)
        # The library's own limit is 100, and counts those that were closed.
        for make in (target.ask, target.dial):
            self.assertEqual(len({make("a:6379") for _ in range(300)}), 300)

    def test_a_look_at_the_map_waits_for_a_short_time_only(self) -> None:
        target = read_url("redis://a,b", 30)
        asking: Any = target.ask("a:1")
        self.assertEqual((dialled(target, "a:1").socket_timeout, asking.socket_timeout), (30, 0.5))

    def test_a_url_that_cannot_be_used_says_why(self) -> None:
        for url, reason in (
            ("redis://a:port", "Port could not be cast"),
            ("redis://a,b/3", "a Cluster has no database but 0"),
            ("redis+cluster://a?db=1", "a Cluster has no database but 0"),
            ("redis+sentinel://a,b", "the path must be the name of the primary"),
            ("redis+sentinel://a,b/", "the path must be the name of the primary"),
            ("http://a", "is not a URL of Redis"),
        ):
            with self.subTest(url), self.assertRaisesRegex(ValueError, reason):
                read_url(url, 1)

    def test_an_address_has_a_host_and_a_port(self) -> None:
        for address, parts in (("a:1", ("a", 1)), ("::1:7000", ("::1", 7000)), ("/run/socket", ("/run/socket", 0))):
            with self.subTest(address):
                self.assertEqual(split(address), parts)
