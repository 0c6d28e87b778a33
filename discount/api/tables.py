"""Lists as files: CSV (RFC 4180) and NDJSON, in pieces, so that a list of any length takes no memory."""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import msgspec
from flask import Response

#: Rows in one piece.
PIECE = 500
#: Characters that make a spreadsheet read a cell as a formula when they stand first (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def csv_response(name: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Response:
    """A CSV file to be saved, with its cells as `cell_of` writes them."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "X-Content-Type-Options": "nosniff"}
    return Response(csv_pieces(header, rows), 200, headers, content_type="text/csv; charset=utf-8")


def ndjson_response(name: str, rows: Iterable[Any]) -> Response:
    """A file of one JSON object a line, to be saved."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.ndjson"', "X-Content-Type-Options": "nosniff"}
    return Response(ndjson_pieces(rows), 200, headers, content_type="application/x-ndjson")


def json_response(rows: Iterable[Any], before: bytes = b"[", after: bytes = b"]") -> Response:
    """A JSON list of any length, in what stands around it. Nothing is answered before its first row is read."""
    several = iter(rows)
    first = list(islice(several, 1))
    return Response(json_pieces(chain(first, several), before, after), 200, content_type="application/json")


def cell_of(text: str) -> str:
    """A text as a cell of CSV: one that a spreadsheet would run has an apostrophe before it."""
    return "'" + text if text.lstrip("'").startswith(_FORMULA) else text


def text_of(cell: str) -> str:
    """The text of a cell that `cell_of` wrote."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA) else cell


def csv_pieces(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[bytes]:
    """CSV in UTF-8, some rows at a time."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for number, row in enumerate(rows, 1):
        writer.writerow(map(cell_of, row))
        if number % PIECE == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


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
