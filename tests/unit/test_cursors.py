"""Cursors: only text that this service made is accepted."""

import base64
import unittest

from hypothesis import given
from hypothesis import strategies as st

from discount.domain.cursors import make_cursor, read_cursor
from discount.domain.errors import Invalid


def encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


class Cursors(unittest.TestCase):
    @given(st.integers(0, 10**16 - 1), st.text(alphabet=st.characters(exclude_categories=["Cs"])))
    def test_a_position_is_decoded_unchanged(self, number: int, text: str) -> None:
        self.assertEqual(read_cursor(make_cursor(number, text)), (number, text))

    @given(st.integers(0, 10**16 - 1), st.text(max_size=10))
    def test_a_cursor_needs_no_quoting_in_a_url(self, number: int, text: str) -> None:
        self.assertRegex(make_cursor(number, text), r"^[A-Za-z0-9_-]+$")

    @given(st.text())
    def test_any_text_is_a_position_or_is_refused(self, text: str) -> None:
        try:
            number, _ = read_cursor(text)
        except Invalid:
            return
        self.assertGreaterEqual(number, 0)

    @given(st.binary())
    def test_any_bytes_are_a_position_or_are_refused(self, raw: bytes) -> None:
        try:
            number, text = read_cursor(encoded(raw))
        except Invalid:
            return
        self.assertEqual(raw.decode().partition(":")[2], text)
        self.assertEqual(int(raw.decode().partition(":")[0]), number)

    def test_a_forged_cursor_is_refused_with_the_name_of_its_parameter(self) -> None:
        bad = [
            "",
            "x",
            "!",
            "=",
            "é",
            encoded(b"1"),
            encoded(b":a"),
            encoded(b"-1:a"),
            encoded(b"1.5:a"),
            encoded(b"1" * 17 + b":a"),
            encoded("١:a".encode()),
            encoded(b"1:\xff"),
            "MTph MTph",
            "MTp\nh",
        ]
        for cursor in bad:
            with self.subTest(cursor), self.assertRaises(Invalid) as caught:
                read_cursor(cursor)
            self.assertEqual(caught.exception.facts["errors"][0]["parameter"], "cursor")
