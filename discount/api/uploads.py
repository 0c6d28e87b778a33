"""Files of codes, read as they come in: one numbered line at a time, whatever the format."""

import csv
from collections.abc import Callable, Iterator
from io import BufferedReader

import ijson

from discount.errors import Invalid, Malformed

Numbered = Iterator[tuple[int, str]]

#: No line with a code worth having is longer, in bytes; what goes beyond is passed over.
_LINE = 4096


def read_text(stream: BufferedReader, _column: str) -> Numbered:
    """A code a line; empty lines do not count as codes."""
    for number, line in enumerate(_lines(stream), 1):
        if line.strip():
            yield number, line.strip()


def read_csv(stream: BufferedReader, column: str) -> Numbered:
    """The codes of a column, by its name in the first line.

    Raises:
        Invalid: there is no such column.
        Malformed: it is not CSV.
    """
    reader = csv.reader(_lines(stream))
    try:
        header = next(reader, [])
        if column not in header:
            raise Invalid("column", f"{column!r} is not in the first line")
        place = header.index(column)
        for row in reader:
            if row:
                yield reader.line_num, row[place].strip() if place < len(row) else ""
    except csv.Error as error:
        raise Malformed(f"Line {reader.line_num}: {error}.") from None


def read_json(stream: BufferedReader, _column: str) -> Numbered:
    """The strings of `codes`, a list in an object, numbered from 1.

    Raises:
        Malformed: it is not JSON.
        Invalid: there is no such list.
    """
    found, number = False, 0
    try:
        for prefix, event, value in ijson.parse(stream):
            if prefix == "codes" and event == "start_array":
                found = True
            elif prefix == "codes.item" and not event.startswith("end_"):
                number += 1
                yield number, value if event == "string" else ""
    except (ijson.JSONError, ValueError) as error:
        raise Malformed(f"After {number} codes: {error}.") from None
    if not found:
        raise Invalid("/codes", "is missing, or not a list")


READERS: dict[str, Callable[[BufferedReader, str], Numbered]] = {
    "text/plain": read_text,
    "text/csv": read_csv,
    "application/json": read_json,
}


def _lines(stream: BufferedReader) -> Iterator[str]:
    encoding = "utf-8-sig"
    while line := stream.readline(_LINE):
        whole = line
        while not line.endswith(b"\n") and (line := stream.readline(_LINE)):
            # Longer than any code: enough is kept to be refused as too long.
            continue
        yield whole.decode(encoding, "replace")
        encoding = "utf-8"
