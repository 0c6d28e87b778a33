"""Read uploaded files as they arrive: codes from text, CSV or JSON, rows of tables, and small forms."""

import csv
from collections.abc import Callable, Collection, Iterator
from io import BufferedReader
from urllib.parse import parse_qsl

import ijson

from discount.api.inputs import UTF_8
from discount.api.streaming import text_of
from discount.domain.errors import Invalid, Malformed
from discount.domain.reasons import choose, escape

Numbered = Iterator[tuple[int, str]]
#: The cells of a row by column, or why it is no row.
Cells = dict[str, str] | str

#: Bytes of a line that are kept: a longer line is no code. The rest of it is skipped.
_LINE = 4096
#: Bytes of the largest row of CSV or token of JSON: a parser keeps that much in memory.
_PART = 256 * 1024
# The most characters of an unknown column's name that a refusal repeats.
_LONGEST_NAME = 200
#: The most fields that a form may have.
_MAX_FIELDS = 8


def read_text(stream: BufferedReader, _column: str, encoding: str = UTF_8) -> Numbered:
    """Yield a code for each line that is not empty."""
    for number, line in enumerate(_lines(stream, encoding), 1):
        if line.strip():
            yield number, line.strip()


def read_csv(stream: BufferedReader, column: str, encoding: str = UTF_8) -> Numbered:
    """Yield the codes of a column. The first line has the names of the columns; case does not matter.

    Cells are read as exports write them.

    Raises:
        Invalid: there is no such column.
        Malformed: the file is not CSV.
    """
    rows = _rows(stream, encoding)
    index = _index_of(next(rows, (0, []))[1], column)
    for number, row in rows:
        if row:
            yield number, _read_cell(row[index]) if index < len(row) else ""


def read_table(
    stream: BufferedReader, columns: Collection[str], needed: Collection[str], encoding: str = UTF_8
) -> Iterator[tuple[int, Cells]]:
    """Yield the cells of CSV by column, without empty ones; or why a row is none. The first line names the columns.

    Raises:
        Invalid: a column is unknown, given twice, or needed and missing.
        Malformed: the file is not CSV.
    """
    rows = _rows(stream, encoding)
    header = [name.strip().casefold() for name in next(rows, (0, []))[1]]
    for name in header:
        if name not in columns:
            raise Invalid(f"/{escape(name[:_LONGEST_NAME])}", f"is not a column of this file; {choose(columns)}")
        if header.count(name) > 1:
            raise Invalid(f"/{name}", "is given twice in the first line")
    for name in needed:
        if name not in header:
            raise Invalid(f"/{name}", "is missing in the first line")
    for number, row in rows:
        if len(row) > len(header):
            yield number, "has more cells than the first line"
            continue
        cells = {name: cell for name, cell in zip(header, map(_read_cell, row), strict=False) if cell}
        if cells:
            yield number, cells


def _read_cell(cell: str) -> str:
    """Return the text of a cell as exports write it."""
    return text_of(cell.strip())


def _rows(stream: BufferedReader, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of CSV, each with its line number."""
    parts = _Parts(stream, encoding)
    # Strict: otherwise a quote that never ends would turn all lines after it into one cell.
    reader = csv.reader(parts.lines(), strict=True)
    try:
        for row in reader:
            parts.size = 0
            yield reader.line_num, row
    except csv.Error:
        raise Malformed(
            f"Line {reader.line_num:,} cannot be read as CSV: a quote is not closed at the end of its cell,"
            " a line ends in CR alone, or a cell is too long."
        ) from None


def _index_of(header: list[str], column: str) -> int:
    for name in (column, *(each for each in header if each.casefold() == column.casefold())):
        if name in header:
            return header.index(name)
    raise Invalid("column", f"{column!r} is not a column of the first line")


def read_json(stream: BufferedReader, _column: str, _encoding: str = UTF_8) -> Numbered:
    """Yield the strings of `codes`, a list in an object, numbered from 1.

    Raises:
        Malformed: the file is not JSON.
        Invalid: there is no such list.
    """
    parts = _Parts(stream)
    depth, name, inside, found, number = 0, "", False, False, 0
    try:
        # `basic_parse`: prefixes would cost the square of the depth. Floats: an integer of 4,301 digits crashes the
        # process (ijson 3.6.0, yajl2_c).
        for event, value in ijson.basic_parse(parts, use_float=True):
            parts.size = 0
            if event == "map_key":
                name = value if depth == 1 else name
            elif event in ("end_map", "end_array"):
                depth -= 1
                inside = inside and depth > 1
            else:
                if inside and depth == 2:
                    number += 1
                    yield number, value.strip() if event == "string" else ""
                elif depth == 1 and name == "codes" and event == "start_array":
                    if found:
                        raise Invalid("/codes", "is given twice")
                    found = inside = True
                depth += event in ("start_map", "start_array")
    except (ijson.JSONError, ValueError):
        raise Malformed(f"After {number:,} codes the body stops being JSON, or ends too early.") from None
    if not found:
        raise Invalid("/codes", "must be a list")


def read_form_field(stream: BufferedReader, name: str) -> str:
    """Return the value of a field of an URL-encoded form.

    Raises:
        Malformed: it is not a form.
        Invalid: the field is missing, or given twice.
    """
    try:
        fields = parse_qsl(
            stream.read().decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise Malformed("The body is not a form.") from None
    values = [value for field, value in fields if field == name]
    if len(values) != 1:
        raise Invalid(f"/{name}", "is given twice" if values else "is missing")
    return values[0]


class _Parts:
    """A stream with a bound for each part; `size` is the number of bytes read since the last part ended."""

    def __init__(self, stream: BufferedReader, encoding: str = UTF_8) -> None:
        self._stream = stream
        self._encoding = encoding
        self.size = 0

    def read(self, size: int) -> bytes:
        return self._counted(self._stream.read(size))

    def lines(self) -> Iterator[str]:
        encoding = _first(self._encoding)
        while line := self._counted(self._stream.readline(_PART + 1)):
            yield line.decode(encoding, "replace")
            encoding = self._encoding

    def _counted(self, piece: bytes) -> bytes:
        self.size += len(piece)
        if self.size > _PART:
            raise Malformed(f"A line, text or number may be at most {_PART:,} bytes long.")
        return piece


#: By media type. A reader takes the stream, the name of a CSV column, and the encoding of the text.
READERS: dict[str, Callable[[BufferedReader, str, str], Numbered]] = {
    "text/plain": read_text,
    "text/csv": read_csv,
    "application/json": read_json,
}


def _first(encoding: str) -> str:
    """Return the encoding of the first line; in UTF-8 it may begin with a byte order mark."""
    return "utf-8-sig" if encoding == UTF_8 else encoding


def _lines(stream: BufferedReader, encoding: str) -> Iterator[str]:
    of_line = _first(encoding)
    while line := stream.readline(_LINE):
        whole = line
        while not line.endswith(b"\n") and (line := stream.readline(_LINE)):
            # The first part is enough to refuse the line as too long.
            continue
        yield whole.decode(of_line, "replace")
        of_line = encoding
