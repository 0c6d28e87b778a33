"""Lists as files: CSV (RFC 4180) and NDJSON, in pieces, so that a list of any length takes no memory."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import msgspec

#: Rows in one piece.
PIECE = 500
#: Characters that make a spreadsheet read a cell as a formula when they stand first (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
#: What parts cells in one country or another, and what ends a quoted one; any of them puts a cell into quotes.
_PARTS = re.compile(r'[,;\t"\r\n]')


@dataclass(slots=True)
class Stream:
    """An answer in pieces, with its media type, what other headers it has, and where the next page begins.

    `end` is called once the last piece is sent, or the client is gone.
    """

    pieces: Iterable[bytes]
    media_type: str
    headers: dict[str, str] = field(default_factory=dict)
    next: str | None = None
    end: Callable[[], None] | None = None


def csv_response(name: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Stream:
    """A CSV file to be saved, with its cells as `cell_of` writes them."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "X-Content-Type-Options": "nosniff"}
    return Stream(csv_pieces(header, rows), "text/csv; charset=utf-8", headers)


def ndjson_response(name: str, rows: Iterable[Any]) -> Stream:
    """A file of one JSON object a line, to be saved."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.ndjson"', "X-Content-Type-Options": "nosniff"}
    return Stream(ndjson_pieces(rows), "application/x-ndjson", headers)


def json_response(rows: Iterable[Any], before: bytes = b"[", after: bytes = b"]") -> Stream:
    """A JSON list of any length, in what stands around it. Nothing is answered before its first row is read."""
    several = iter(rows)
    first = list(islice(several, 1))
    return Stream(json_pieces(chain(first, several), before, after), "application/json")


def text_response(text: str) -> Stream:
    """A few letters of plain text."""
    return Stream(iter([text.encode()]), "text/plain; charset=utf-8")


def cell_of(text: str) -> str:
    """A text as a cell of CSV: one that a spreadsheet would run has an apostrophe before it."""
    return "'" + text if text.lstrip("'").startswith(_FORMULA) else text


def text_of(cell: str) -> str:
    """The text of a cell that `cell_of` wrote."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA) else cell


def csv_pieces(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[bytes]:
    """CSV in UTF-8, some rows at a time."""
    rows = iter(rows)
    lines = [_csv_line(header)]
    while some := list(islice(rows, PIECE)):
        lines += map(_csv_line, some)
        yield "".join(lines).encode()
        lines.clear()
    if lines:
        yield "".join(lines).encode()


def _csv_line(cells: tuple[str, ...]) -> str:
    return ",".join(map(_csv_cell, cells)) + "\r\n"


def _csv_cell(text: str) -> str:
    cell = cell_of(text)
    return '"' + cell.replace('"', '""') + '"' if _PARTS.search(cell) else cell


def ndjson_pieces(rows: Iterable[Any]) -> Iterator[bytes]:
    """One JSON object a line, some at a time."""
    encode = msgspec.json.Encoder().encode
    piece = bytearray()
    for number, row in enumerate(rows, 1):
        piece += encode(row) + b"\n"
        if number % PIECE == 0:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def json_pieces(rows: Iterable[Any], before: bytes, after: bytes) -> Iterator[bytes]:
    """A JSON list, some rows at a time."""
    encode = msgspec.json.Encoder().encode
    piece = bytearray(before)
    for number, row in enumerate(rows, 1):
        piece += (b"," if number > 1 else b"") + encode(row)
        if number % PIECE == 0:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + after
