"""Ordinary requests are told by their first lines."""

import unittest

from discount.app import create_app
from discount.config import Settings
from tests.unit.fake import fake_store

ORDINARY = (
    "GET /discount",
    "GET /discount?brand_id=IKEA&limit=20",
    "GET /discount/dsc-0aX",
    "GET /discount/dsc-0aX/grant?user_id=User%201",
    "POST /discount",
    "PATCH /discount/dsc-0aX",
    "GET /discount/dsc-0aX/grants?limit=1000",
)
OTHERS = (
    "GET /discount/dsc-0aX/grants?format=csv",
    "GET /discount/dsc-0aX/grants?limit=9&format=%63sv",
    "POST /discount/dsc-0aX/grants",
    "POST /discount/dsc-0aX/codes",
    "GET /discount/dsc-0aX/codes",
    "DELETE /user/nobody",
    "GET /console",
    "GET /discount/dsc-0aX/other",
    "get /discount",
    "XGET /discount",
    "",
)


class Ordinary(unittest.TestCase):
    def test_only_operations_that_take_little_time_are_ordinary(self) -> None:
        requests = create_app(Settings(), fake_store()).extensions["ordinary"]
        for lines, expected in ((ORDINARY, True), (OTHERS, False)):
            for line in lines:
                with self.subTest(line):
                    self.assertIs(requests.has(bytearray(f"{line} HTTP/1.1\r\n".encode())), expected)
