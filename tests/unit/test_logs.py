"""Logs: an entry is one line, whatever its values contain."""

import io
import json
import logging
import sys
import unittest
from typing import Any
from unittest import mock

import msgspec
import structlog

from discount import logs
from discount.config import Settings

BREAKS = ["\n", "\r", "\r\n", "\u2028", "\u0085", "\x0b", "\x1b[2J", "\u202e"]
FORGED = "12:00:00.000 info    request status=200"


class Console:
    """Standard error as a program has it: text over bytes."""

    def __init__(self) -> None:
        self.buffer = io.BytesIO()

    def lines(self) -> list[str]:
        return self.buffer.getvalue().decode().splitlines()


class Logged(unittest.TestCase):
    def setUp(self) -> None:
        self.console = Console()
        self.enterContext(mock.patch.object(sys, "stderr", self.console))
        root = logging.getLogger()
        self.addCleanup(setattr, root, "handlers", root.handlers[:])
        self.addCleanup(root.setLevel, root.level)
        self.addCleanup(structlog.reset_defaults)

    def configure(self, **settings: Any) -> Any:
        logs.configure(msgspec.structs.replace(Settings(), **settings))
        return structlog.get_logger()


class Json(Logged):
    def test_an_entry_is_one_object_with_time_level_and_event(self) -> None:
        self.configure().info("request", status=201)
        [line] = self.console.lines()
        entry = json.loads(line)
        self.assertRegex(entry.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")
        self.assertEqual(entry, {"event": "request", "status": 201, "level": "info"})

    def test_a_line_break_adds_no_line(self) -> None:
        log = self.configure()
        for each in BREAKS:
            log.info(f"a{each}b", value=f"c{each}{FORGED}")
        raw = self.console.buffer.getvalue().decode()
        self.assertEqual(raw.count("\n"), len(BREAKS))
        self.assertEqual(
            [json.loads(line)["value"] for line in raw.strip("\n").split("\n")], [f"c{each}{FORGED}" for each in BREAKS]
        )

    def test_a_value_that_is_not_json_is_logged_as_text(self) -> None:
        self.configure().info("odd", value=object())
        self.assertIn("<object object", json.loads(self.console.lines()[0])["value"])

    def test_an_exception_is_logged_in_the_same_line(self) -> None:
        log = self.configure()
        try:
            raise ValueError("a\nb")
        except ValueError as error:
            log.error("broken", exc_info=error)
        [line] = self.console.lines()
        self.assertIn("ValueError: a\nb", json.loads(line)["exception"])


class Text(Logged):
    def test_an_entry_is_time_level_event_and_values(self) -> None:
        self.configure(log_format="text").info("request", status=201, route="/discount")
        [line] = self.console.lines()
        self.assertRegex(line, r"^\d\d:\d\d:\d\d\.\d{3} info {4}request status=201 route='/discount'$")

    def test_a_line_break_in_a_value_adds_no_line(self) -> None:
        log = self.configure(log_format="text")
        for each in BREAKS:
            log.info("request", value=f"c{each}{FORGED}")
        self.assertEqual(len(self.console.lines()), len(BREAKS))
        self.assertEqual(
            [line for line in self.console.lines() if line.startswith("12:00:00.000 info    request status=")], []
        )

    def test_a_line_break_in_a_library_message_adds_no_line(self) -> None:
        self.configure(log_format="text")
        for each in BREAKS:
            logging.getLogger("gunicorn.error").warning("bad request %s", f"{each}{FORGED}")
        self.assertEqual(len(self.console.lines()), len(BREAKS))

    def test_a_line_break_in_an_exception_message_adds_no_entry(self) -> None:
        log = self.configure(log_format="text")
        try:
            raise ValueError(f"a\n{FORGED}")
        except ValueError as error:
            log.error("broken", exc_info=error)
        self.assertNotIn(FORGED, self.console.lines())
        self.assertIn("ValueError: a", "\n".join(self.console.lines()))


class Levels(Logged):
    def test_messages_below_the_level_are_left_out(self) -> None:
        log = self.configure(log_level="warning")
        log.info("quiet")
        logging.getLogger("library").info("quiet")
        log.warning("loud")
        self.assertEqual([json.loads(line)["event"] for line in self.console.lines()], ["loud"])

    def test_a_library_s_entry_has_the_form_of_our_own(self) -> None:
        self.configure()
        logging.getLogger("library").warning("careful %s", "now")
        entry = json.loads(self.console.lines()[0])
        self.assertEqual((entry["event"], entry["level"], entry["logger"]), ("careful now", "warning", "library"))

    def test_an_exception_of_a_library_is_logged(self) -> None:
        self.configure()
        try:
            raise ValueError("odd")
        except ValueError:
            logging.getLogger("library").exception("broken")
        self.assertIn("ValueError: odd", json.loads(self.console.lines()[0])["exception"])
