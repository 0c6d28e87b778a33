"""The peers of the benchmark: they send what the service sends, and the bars are read right."""

import json
import os
import unittest
from unittest import mock

from bench import machine
from bench.peers import asgi, bars, command
from bench.peers.contest import OPEN, Turn
from bench.peers.programs import GO
from discount.domain import code_kinds
from discount.services import code_pools, discounts, grants
from tests.unit.fake import fake_target


class Commands(unittest.TestCase):
    def setUp(self) -> None:
        self.store = command.RecordingStore(fake_target(), 16)
        self.discount_id = discounts.create(
            self.store, brand_id="IKEA", discount_code="x", total_count=5000, kind=code_kinds.unique(5000)
        )[0].id
        # Now no grant asks for more codes.
        code_pools.refill(self.store, self.discount_id, 5000)

    def test_a_peer_sends_what_the_service_sends(self) -> None:
        settings = command.environment(self.store, self.discount_id)
        with mock.patch.dict(os.environ, settings):
            peer = asgi.Command()
        for number in range(100):
            user = f"user {number}"
            grants.grant(self.store, self.discount_id, user)
            self.assertEqual(peer.fill(self.discount_id, user), [str(word) for word in self.store.sent[-1]])

    def test_the_command_names_the_user_by_variables_alone(self) -> None:
        words = json.loads(command.environment(self.store, self.discount_id)["COMMAND"])
        self.assertEqual([word for word in words if "User" in word or self.discount_id in word], [])
        self.assertIn("<user>", words)

    def test_a_word_that_no_peer_can_make_is_an_error(self) -> None:
        variables = [{"user": "a", "bucket": "1", "group": "2"}, {"user": "b", "bucket": "3", "group": "4"}]
        self.assertEqual(command._template(("x:1", "x:3"), variables), "x:<bucket>")
        with self.assertRaises(RuntimeError):
            command._template(("x:9", "x:3"), variables)


class Builds(unittest.TestCase):
    def test_a_build_of_python_is_recognised_by_its_options(self) -> None:
        for options, expected in (
            ("'--enable-optimizations' '--with-lto'", "built with PGO and LTO"),
            ("'--enable-optimizations'", "built with PGO"),
            ("", "built without PGO and LTO"),
        ):
            with (
                self.subTest(options),
                mock.patch("sysconfig.get_config_var", return_value=options),
                mock.patch("sys.base_prefix", "/opt/python"),
            ):
                self.assertEqual(machine.python_build(), expected)


def turn(app_us: float = 1.0, rate: float = 1.0, switches: float = 0.0) -> Turn:
    return Turn(rate, 1.0, 1.0, app_us, 1.0, switches)


class Bars(unittest.TestCase):
    def test_the_median_of_the_rounds_counts(self) -> None:
        ours, theirs = [turn(1.0), turn(3.0), turn(0.9)], [turn(1.0)] * 3
        turns = {OPEN: ours, "grant with an API key": ours, "redemption": ours, GO: theirs}
        figures = bars.Figures({32: turns, 64: turns}, {32: {OPEN: 4.1}}, together=[1.4, 1.6, 1.7])
        found = {bar.what: bar.row()[2:] for bar in bars._bars(figures)}
        self.assertEqual(found["app CPU of a grant, of Go's"], ("0.90 / 1.00 / 3.00", "reached"))
        self.assertEqual(found["system calls of a grant, 32 connections"], ("4.10", "not reached"))
        self.assertEqual(found["`make run`: rate of a grant, of the Flask no-op's"][1], "reached")
        self.assertEqual(found["app CPU of a grant, of bare ASGI's under gunicorn"], ("-", "not measured"))
