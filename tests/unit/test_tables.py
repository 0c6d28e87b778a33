"""CSV: text for spreadsheets of any country, never run as a formula."""

import csv
import io
import unittest

from hypothesis import given
from hypothesis import strategies as st

from discount.api.streaming import PIECE, csv_pieces, text_of

FORMULAS = ("=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "＝1＋1", "＋1", "－1", "＠A1")


def written(*rows: tuple[str, ...]) -> str:
    return b"".join(csv_pieces(("a", "b"), rows)).decode()


class Csv(unittest.TestCase):
    def test_a_cell_that_a_spreadsheet_would_run_begins_with_an_apostrophe(self) -> None:
        for cell in FORMULAS:
            with self.subTest(cell):
                (_, row) = csv.reader(io.StringIO(written((cell, "x")), newline=""))
                self.assertEqual(row, ["'" + cell, "x"])

    def test_a_cell_with_any_known_separator_is_quoted(self) -> None:
        for part in (",", ";", "\t", "\n", "\r"):
            text = f"1{part}=cmd|'calc'!A1{part}"
            with self.subTest(part):
                self.assertEqual(written((text, "x")), f'a,b\r\n"{text}",x\r\n')
        self.assertEqual(written(('a"b', "x")), 'a,b\r\n"a""b",x\r\n')
        self.assertEqual(written(("a b", "")), "a,b\r\na b,\r\n")

    @given(st.lists(st.tuples(*[st.text(st.sampled_from("aä,;\t\n\r\"' =+-@")) | st.text()] * 2)))
    def test_written_rows_can_be_read_back(self, rows: list[tuple[str, str]]) -> None:
        rows = [tuple(cell.encode(errors="replace").decode() for cell in row) for row in rows]  # type: ignore[misc]
        found = list(csv.reader(io.StringIO(written(*rows), newline="")))[1:]
        begin = tuple(each[0] for each in FORMULAS)
        escaped = [["'" * cell.lstrip("'").startswith(begin) + cell for cell in row] for row in rows]
        self.assertEqual(found, escaped)
        self.assertEqual([[text_of(cell) for cell in row] for row in found], [list(row) for row in rows])

    def test_a_long_list_comes_in_pieces(self) -> None:
        pieces = list(csv_pieces(("a",), ((str(number),) for number in range(PIECE * 2 + 1))))
        self.assertEqual(len(pieces), 3)
        lines = [str(number) for number in range(PIECE * 2 + 1)]
        self.assertEqual(b"".join(pieces).decode().split(), ["a", *lines])

    def test_an_empty_list_has_its_header(self) -> None:
        self.assertEqual(written(), "a,b\r\n")
