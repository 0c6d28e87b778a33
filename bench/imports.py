"""Measure imports of codes over HTTP: the time per line, and whether the process grows with the file."""

import http.client
import json
from collections.abc import Iterator
from time import perf_counter

import psutil

from bench import servers, tables
from tests.support.redis_server import RedisServer

_PIECE = 5_000
PATIENCE = 600


def run(lines: int, rounds: int) -> None:
    """Print the table."""
    with (
        RedisServer(appendonly="yes", appendfsync="everysec") as redis,
        servers.gunicorn("discount.app:create_app()", 1, 4, {"REDIS_URL": redis.url}) as (port, master),
    ):
        worker = psutil.Process(master).children()[0]
        # The first import only warms up buffers and modules.
        _import(port, _create(port), 10 * _PIECE)
        rows = []
        for kind in ("new codes", "the same file again"):
            times, grown = [], []
            for round_number in range(rounds):
                discount_id = _create(port)
                if kind != "new codes":
                    _import(port, discount_id, lines)
                before = worker.memory_info().rss
                started = perf_counter()
                report = _import(port, discount_id, lines)
                times.append((perf_counter() - started) / lines * 1e6)
                grown.append((worker.memory_info().rss - before) / 2**20)
                expected = (lines, 0) if kind == "new codes" else (0, lines)
                if (report["added_count"], report["repeated_count"]) != expected:
                    raise RuntimeError(f"round {round_number}: {report}")
            rows.append((kind, tables.spread(times, 1), tables.spread(grown, 1)))
    tables.show(
        f"An import of {lines:,} lines over HTTP (min / median / max)", ("file", "us a line", "process grew, MB"), rows
    )


def _create(port: int) -> str:
    body = {"brand_id": "IKEA", "discount_code": "Own codes", "codes": {"kind": "imported"}}
    return str(_ask(port, "/discount", "application/json", iter([json.dumps(body).encode()]))["id"])


def _import(port: int, discount_id: str, lines: int) -> dict[str, int]:
    return _ask(port, f"/discount/{discount_id}/codes", "text/plain", _file(lines))


def _file(lines: int) -> Iterator[bytes]:
    for first in range(0, lines, _PIECE):
        yield "".join(f"OWN-{number:08d}\n" for number in range(first, min(first + _PIECE, lines))).encode()


def _ask(port: int, path: str, media_type: str, pieces: Iterator[bytes]) -> dict[str, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", path, pieces, {"Content-Type": media_type}, encode_chunked=True)
        response = connection.getresponse()
        answer: dict[str, int] = json.loads(response.read())
        if response.status not in (200, 201):
            raise RuntimeError(f"{path}: {answer}")
        return answer
    finally:
        connection.close()
