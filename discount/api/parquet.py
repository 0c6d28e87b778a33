"""Parquet files in pieces. They need pyarrow, which is an extra of this package."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from discount.api.streaming import Stream, begun
from discount.domain.errors import Invalid

#: Rows of one row group, which is kept in memory until it is whole.
GROUP = 5_000


class _Sink:
    """A file that keeps what is written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: what is written can be taken at once."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = b"".join(self._written)
        self._written.clear()
        return taken


def parquet_response(name: str, columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> Stream:
    """Return a file for download.

    Args:
        columns: what each column holds: `text`, `number`, `time` in microseconds since 1970 UTC, or `json`.

    Raises:
        Invalid: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401, PLC0415 - an extra, and slow to import
    except ImportError:
        raise Invalid("format", "cannot be parquet here: pyarrow is not installed (pip install .[parquet])") from None
    headers = {"Content-Disposition": f'attachment; filename="{name}.parquet"', "X-Content-Type-Options": "nosniff"}
    return Stream(begun(_pieces(columns, rows)), "application/vnd.apache.parquet", headers)


def _pieces(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet as pq  # noqa: PLC0415

    types = {"text": pa.string(), "number": pa.int64(), "time": pa.timestamp("us", tz="UTC"), "json": pa.string()}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    texts = [name for name, kind in columns.items() if kind == "json"]
    sink, rows = _Sink(), iter(rows)
    with pq.ParquetWriter(pa.PythonFile(sink, "w"), schema, compression="zstd") as writer:
        while batch := list(islice(rows, GROUP)):
            written = [{**row, **{name: json.dumps(row[name], ensure_ascii=False) for name in texts}} for row in batch]
            writer.write_table(pa.Table.from_pylist(written, schema=schema))
            yield sink.take()
    yield sink.take()
