"""Stream lists as CSV (RFC 4180), NDJSON or JSON in pieces, so that a list of any length takes little memory."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import msgspec

#: Rows in one piece.
PIECE = 500
#: A cell that begins with one of these is a formula to a spreadsheet (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
#: Separators of cells in any country, quotes and line breaks: a cell with one of them is quoted.
_QUOTED = re.compile(r'[,;\t"\r\n]')


@dataclass(slots=True)
class Stream:
    """An answer in pieces. `next` is the cursor of the next page.

    `end` is called once the last piece is sent or the client has gone.
    """

    pieces: Iterable[bytes]
    media_type: str
    headers: dict[str, str] = field(default_factory=dict)
    next: str | None = None
    end: Callable[[], None] | None = None


def csv_response(name: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Stream:
    """Return a CSV file for download, its cells written by `cell_of`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "X-Content-Type-Options": "nosniff"}
    return Stream(begun(csv_pieces(header, rows)), "text/csv; charset=utf-8", headers)


def ndjson_response(name: str, rows: Iterable[Any]) -> Stream:
    """Return a file for download with one JSON object on each line."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.ndjson"', "X-Content-Type-Options": "nosniff"}
    return Stream(begun(ndjson_pieces(rows)), "application/x-ndjson", headers)


def json_response(rows: Iterable[Any], before: bytes = b"[", after: bytes = b"]") -> Stream:
    """Return a JSON list of any length, between `before` and `after`."""
    return Stream(begun(json_pieces(rows, before, after)), "application/json")


def begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Read the first piece, so that a refusal is raised before the answer begins; return all pieces."""
    first = list(islice(pieces, 1))
    return chain(first, pieces)


def text_response(text: str) -> Stream:
    """Return plain text."""
    return Stream(iter([text.encode()]), "text/plain; charset=utf-8")


def cell_of(text: str) -> str:
    """Return a text as a cell of CSV. One that a spreadsheet would run as a formula gets an apostrophe in front."""
    return "'" + text if text.lstrip("'").startswith(_FORMULA) else text


def text_of(cell: str) -> str:
    """Return the text of a cell that `cell_of` wrote."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA) else cell


def csv_pieces(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[bytes]:
    """Yield CSV in UTF-8, `PIECE` rows at a time."""
    rows = iter(rows)
    lines = [_csv_line(header)]
    while batch := list(islice(rows, PIECE)):
        lines += map(_csv_line, batch)
        yield "".join(lines).encode()
        lines.clear()
    if lines:
        yield "".join(lines).encode()


def _csv_line(cells: tuple[str, ...]) -> str:
    return ",".join(map(_csv_cell, cells)) + "\r\n"


def _csv_cell(text: str) -> str:
    cell = cell_of(text)
    return '"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell


def ndjson_pieces(rows: Iterable[Any]) -> Iterator[bytes]:
    """Yield one JSON object on each line, `PIECE` lines at a time."""
    encode = msgspec.json.Encoder().encode
    piece = bytearray()
    for number, row in enumerate(rows, 1):
        piece += encode(row) + b"\n"
        if number % PIECE == 0:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def json_pieces(rows: Iterable[Any], before: bytes, after: bytes) -> Iterator[bytes]:
    """Yield a JSON list, `PIECE` rows at a time."""
    encode = msgspec.json.Encoder().encode
    piece = bytearray(before)
    for number, row in enumerate(rows, 1):
        piece += (b"," if number > 1 else b"") + encode(row)
        if number % PIECE == 0:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + after
