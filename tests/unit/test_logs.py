"""Logs: an entry is one line, whatever its values contain."""

import io
import json
import logging
import re
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from select import PIPE_BUF
from typing import Any
from unittest import mock

import msgspec
import structlog

from discount import logs
from discount.config import Settings
from tests.support.service import wait_until

BREAKS = ["\n", "\r", "\r\n", "\u2028", "\u0085", "\x0b", "\x1b[2J", "\u202e"]
FORGED = "12:00:00.000 info    request status=200"


class Bytes(io.BytesIO):
    """Bytes that remember how they were written."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, piece: Any) -> int:
        self.pieces.append(bytes(piece))
        return super().write(piece)


class Console:
    """Standard error as a program has it: text over bytes."""

    def __init__(self) -> None:
        self.buffer = Bytes()

    def lines(self) -> list[str]:
        return self.buffer.getvalue().decode().splitlines()


class Logged(unittest.TestCase):
    def setUp(self) -> None:
        # The lines of other tests go where they belong.
        logs.flush()
        self.console = Console()
        self.enterContext(mock.patch.object(sys, "stderr", self.console))
        root = logging.getLogger()
        self.addCleanup(setattr, root, "handlers", root.handlers[:])
        self.addCleanup(root.setLevel, root.level)
        self.addCleanup(structlog.reset_defaults)
        self.addCleanup(logs.flush)
        self.enterContext(mock.patch.object(logs._output, "logs_requests", False))

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


def answered(number: int, method: str = "POST") -> dict[str, Any]:
    route = "/discount/{discount_id}/grant"
    return {"request_id": str(number), "method": method, "route": route, "status": 201, "ms": 1.25}


class Requests(Logged):
    def test_a_line_is_the_one_that_structlog_writes(self) -> None:
        moment = datetime(2026, 11, 26, 12, 30, 0, 120000, UTC)
        for log_format in ("json", "text"):
            for method in ("POST", "A\u2028\x85B", 'a"b\\c', "é"):
                with self.subTest(log_format, method=method):
                    log = self.configure(log_format=log_format)
                    log.info("request", **answered(1, method))
                    logs._output.hold(logs.RequestLine(**answered(1, method), time=moment))
                    logs.flush()
                    usual, ours = self.console.buffer.getvalue().splitlines()
                    self.console.buffer.seek(0)
                    self.console.buffer.truncate()
                    times = rb"[\d-]*T?\d\d:\d\d:\d\d\.\d+Z?"
                    self.assertEqual(re.sub(times, b"", ours), re.sub(times, b"", usual))
                    self.assertIn(b"12:30:00.120", ours)

    def test_a_line_has_the_time_of_its_request(self) -> None:
        self.configure()
        before = datetime.now(UTC)
        logs.log_request(**answered(1))
        after = datetime.now(UTC)
        logs.flush()
        [line] = self.console.lines()
        self.assertTrue(before <= datetime.fromisoformat(json.loads(line)["time"]) <= after)

    def test_lines_are_written_without_being_asked_for(self) -> None:
        self.configure()
        logs.log_request(**answered(1))
        wait_until(self.console.lines, "the line")

    def test_lines_are_written_together(self) -> None:
        self.configure()
        with mock.patch.object(logs._output, "_deferred"):
            for number in range(10):
                logs.log_request(**answered(number))
            self.assertEqual(self.console.buffer.pieces, [])
        logs.flush()
        self.assertEqual(len(self.console.lines()), 10)
        self.assertEqual(len(self.console.buffer.pieces), 1)

    def test_other_lines_are_written_at_once_and_after_those_of_requests_before(self) -> None:
        log = self.configure()
        with mock.patch.object(logs._output, "_deferred"):
            for number in range(3):
                logs.log_request(**answered(number))
                log.warning(f"after {number}")
                logging.getLogger("library").warning(f"and after {number}")
        entries = [json.loads(line) for line in self.console.lines()]
        self.assertEqual(
            [entry.get("request_id", entry["event"]) for entry in entries],
            [text for number in range(3) for text in (str(number), f"after {number}", f"and after {number}")],
        )

    def test_a_bounded_number_is_held(self) -> None:
        self.configure()
        with mock.patch.object(logs._output, "_deferred"):
            for number in range(logs.MOST_HELD):
                logs.log_request(**answered(number))
        self.assertEqual(len(self.console.lines()), logs.MOST_HELD)

    def test_each_write_is_of_whole_lines_and_fits_into_a_pipe(self) -> None:
        log = self.configure()
        with mock.patch.object(logs._output, "_deferred"):
            for number in range(100):
                logs.log_request(**answered(number))
        log.warning("x" * PIPE_BUF)
        pieces = self.console.buffer.pieces
        self.assertEqual({piece[-1:] for piece in pieces}, {b"\n"})
        self.assertTrue(all(len(piece) <= PIPE_BUF or piece.count(b"\n") == 1 for piece in pieces))
        self.assertEqual(len(self.console.lines()), 101)

    def test_no_line_of_several_threads_is_lost_or_comes_twice(self) -> None:
        self.configure()

        def answer(numbers: range) -> None:
            for number in numbers:
                logs.log_request(**answered(number))
                if number % 7 == 0:
                    logs.flush()

        with ThreadPoolExecutor(4) as pool:
            for each in [pool.submit(answer, range(start, start + 500)) for start in range(0, 2000, 500)]:
                each.result()
        logs.flush()
        self.assertEqual(
            sorted(int(json.loads(line)["request_id"]) for line in self.console.lines()), list(range(2000))
        )

    def test_the_level_of_errors_leaves_them_out(self) -> None:
        self.configure(log_level="warning")
        logs.log_request(**answered(1))
        logs.flush()
        self.assertEqual(self.console.lines(), [])


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
