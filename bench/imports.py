"""Measure uploads over HTTP: the time per line, and whether the processes grow with the file.

Codes of a brand's own are imported, codes are moved in with their users and uses, and users are put on a list.
"""

import http.client
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from time import perf_counter

import psutil

from bench import servers, tables
from tests.support.redis_server import RedisServer

_PIECE = 5_000
PATIENCE = 600
_numbers = count()


def run(lines: int, rounds: int) -> None:
    """Print the table."""
    with (
        RedisServer(appendonly="yes", appendfsync="everysec") as redis,
        servers.gunicorn("discount.app:create_app()", 1, 4, {"REDIS_URL": redis.url}) as (port, master),
    ):
        # Hot workers pass uploads on to pool workers.
        workers = psutil.Process(master).children()
        # The first uploads only warm up buffers and modules.
        for upload in UPLOADS:
            _send(port, upload, upload.place(port), min(lines, 10 * _PIECE))
        rows = []
        for upload in UPLOADS:
            measured: dict[str, tuple[list[float], list[float]]] = {"new": ([], []), "the same again": ([], [])}
            for _ in range(rounds):
                place = upload.place(port)
                for (times, grown), counts in zip(measured.values(), (upload.new, upload.again), strict=True):
                    before = _memory(workers)
                    started = perf_counter()
                    report = _send(port, upload, place, lines)
                    times.append((perf_counter() - started) / lines * 1e6)
                    grown.append((_memory(workers) - before) / 2**20)
                    if any(report[name] != round(share * lines) for name, share in counts.items()):
                        raise RuntimeError(f"{upload.name}: {report}")
            rows += [
                (upload.name, kind, *(tables.spread(each, 1) for each in found)) for kind, found in measured.items()
            ]
    tables.show(
        f"An upload of {lines:,} lines over HTTP (min / median / max)",
        ("upload", "file", "us a line", "processes grew, MB"),
        rows,
    )


def _memory(processes: Iterable[psutil.Process]) -> int:
    return sum(each.memory_info().rss for each in processes)


def _create(port: int) -> str:
    body = {"brand_id": "IKEA", "discount_code": "Own codes", "codes": {"kind": "imported"}}
    return str(_ask(port, "/discount", "application/json", iter([json.dumps(body).encode()]))["id"])


def _create_list(_port: int) -> str:
    return f"/brand/IKEA/list/list-{next(_numbers)}"


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that is measured.

    Args:
        place: returns the address of a new upload.
        new, again: the share of the lines that each count of the answer has, for a new file and for the same one again.
    """

    name: str
    media_type: str
    place: Callable[[int], str]
    header: str
    line: Callable[[int], str]
    new: dict[str, float]
    again: dict[str, float]


UPLOADS = (
    Upload(
        "imported codes",
        "text/plain",
        lambda port: f"/discount/{_create(port)}/codes",
        "",
        lambda number: f"OWN-{number:08d}\n",
        {"added_count": 1, "repeated_count": 0},
        {"added_count": 0, "repeated_count": 1},
    ),
    Upload(
        "moved-in codes, every fifth with a use",
        "text/csv",
        lambda port: f"/discount/{_create(port)}/codes/move-in",
        "code,user_id,granted_at,uses\n",
        lambda number: f"OWN-{number:08d},user {number:08d},2024-03-01T09:00:00Z,{int(number % 5 == 0)}\n",
        {"granted_count": 1, "used_count": 0.2, "repeated_count": 0},
        {"granted_count": 0, "used_count": 0, "repeated_count": 1},
    ),
    Upload(
        "users of a list",
        "text/plain",
        _create_list,
        "",
        lambda number: f"user {number:08d}\n",
        {"added_count": 1, "repeated_count": 0},
        {"added_count": 0, "repeated_count": 1},
    ),
)


def _send(port: int, upload: Upload, place: str, lines: int) -> dict[str, int]:
    return _ask(port, place, upload.media_type, _file(upload, lines))


def _file(upload: Upload, lines: int) -> Iterator[bytes]:
    # An empty piece would end the body.
    if upload.header:
        yield upload.header.encode()
    for first in range(0, lines, _PIECE):
        yield "".join(map(upload.line, range(first, min(first + _PIECE, lines)))).encode()


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
