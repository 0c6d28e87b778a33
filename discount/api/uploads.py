"""Files of codes, read as they come in: one numbered line at a time, whatever the format."""

import csv
from collections.abc import Callable, Iterator
from io import BufferedReader

import ijson

from discount.api.inputs import UTF_8
from discount.api.streaming import text_of
from discount.domain.errors import Invalid, Malformed

Numbered = Iterator[tuple[int, str]]

#: No line with a code worth having is longer, in bytes; what goes beyond is passed over.
_LINE = 4096
#: The most that one row of CSV or one token of JSON may be, in bytes: a reader holds that much of it.
_PART = 256 * 1024


def read_text(stream: BufferedReader, _column: str, encoding: str = UTF_8) -> Numbered:
    """A code a line; empty lines do not count as codes."""
    for number, line in enumerate(_lines(stream, encoding), 1):
        if line.strip():
            yield number, line.strip()


def read_csv(stream: BufferedReader, column: str, encoding: str = UTF_8) -> Numbered:
    """The codes of a column, by its name in the first line, whatever its case. Cells are read as exports write them.

    Raises:
        Invalid: there is no such column.
        Malformed: it is not CSV.
    """
    parts = _Parts(stream, encoding)
    # Strict: a quote that never ends would make one cell of all lines after it.
    reader = csv.reader(parts.lines(), strict=True)
    try:
        header = next(reader, [])
        place = _place(header, column)
        for row in reader:
            parts.size = 0
            if row:
                yield reader.line_num, text_of(row[place].strip()) if place < len(row) else ""
    except csv.Error:
        raise Malformed(
            f"Line {reader.line_num:,} cannot be read as CSV: a quote does not end with its cell,"
            " a line ends in CR alone, or a cell is too long."
        ) from None


def _place(header: list[str], column: str) -> int:
    for name in (column, *(each for each in header if each.casefold() == column.casefold())):
        if name in header:
            return header.index(name)
    raise Invalid("column", f"{column!r} is not in the first line")


def read_json(stream: BufferedReader, _column: str, _encoding: str = UTF_8) -> Numbered:
    """The strings of `codes`, a list in an object, numbered from 1.

    Raises:
        Malformed: it is not JSON.
        Invalid: there is no such list.
    """
    parts = _Parts(stream)
    depth, name, inside, found, number = 0, "", False, False, 0
    try:
        # Without prefixes, which take the square of the depth, and with numbers as floats: of 4,301 digits an integer
        # ends the process (ijson 3.6.0, yajl2_c).
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
                        raise Invalid("/codes", "stands twice")
                    found = inside = True
                depth += event in ("start_map", "start_array")
    except (ijson.JSONError, ValueError):
        raise Malformed(f"After {number:,} codes the body is not JSON, or it ends too early.") from None
    if not found:
        raise Invalid("/codes", "is missing, or not a list")


class _Parts:
    """A stream whose parts have a bound; `size` is what was read since the last one ended."""

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
            raise Malformed(f"A line, text or number is longer than {_PART:,} bytes.")
        return piece


#: Each takes the stream, the name of a CSV column, and the encoding of the text.
READERS: dict[str, Callable[[BufferedReader, str, str], Numbered]] = {
    "text/plain": read_text,
    "text/csv": read_csv,
    "application/json": read_json,
}


def _first(encoding: str) -> str:
    """The encoding of a first line: one in UTF-8 may begin with a byte order mark."""
    return "utf-8-sig" if encoding == UTF_8 else encoding


def _lines(stream: BufferedReader, encoding: str) -> Iterator[str]:
    of_line = _first(encoding)
    while line := stream.readline(_LINE):
        whole = line
        while not line.endswith(b"\n") and (line := stream.readline(_LINE)):
            # Longer than any code: enough is kept to be refused as too long.
            continue
        yield whole.decode(of_line, "replace")
        of_line = encoding
