"""Compare any HTTP endpoint with ours: same connections, alternating rounds, the same number of requests.

    python bench/compare.py --ours http://127.0.0.1:8000/discount/dsc-…/grant --ours-body '{"user_id": "User {n}"}' \\
        --theirs http://127.0.0.1:9000/coupons/claim --theirs-body '{"customer": "{n}"}'

`{n}` in an address or a body becomes a number that never comes twice. Headers: `--ours-header 'Name: value'`. See
bench/peers.md.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run by its path, it finds its own folder only

from bench import load, tables


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A request template: each request replaces `{n}` in path and body with a new number."""

    name: str
    host: str
    port: int
    method: str
    path: str
    body: str
    headers: tuple[str, ...]

    def request(self, number: int) -> bytes:
        """Return the bytes of one request."""
        path, body = (text.replace("{n}", str(number)) for text in (self.path, self.body))
        raw = body.encode()
        head = [f"{self.method} {path} HTTP/1.1", f"Host: {self.host}", f"Content-Length: {len(raw)}", *self.headers]
        if raw and not any(each.lower().startswith("content-type:") for each in self.headers):
            head.append("Content-Type: application/json")
        return "\r\n".join(head).encode() + b"\r\n\r\n" + raw


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for side in ("ours", "theirs"):
        parser.add_argument(f"--{side}", metavar="URL", required=True)
        parser.add_argument(f"--{side}-method", default="POST")
        parser.add_argument(f"--{side}-body", default="")
        parser.add_argument(f"--{side}-header", action="append", default=[], metavar="LINE")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2_000, help="requests per endpoint and round")
    asked = parser.parse_args(words)
    several = [_endpoint(side, vars(asked)) for side in ("ours", "theirs")]
    runs: dict[str, list[load.Run]] = {each.name: [] for each in several}
    # Start at a new number, so that no request repeats one of an earlier comparison.
    numbers = count(time.time_ns() // 1000)
    for turn in range(asked.rounds + 1):
        for each in several if turn % 2 else several[::-1]:
            sent = [each.request(number) for number in _some(numbers, asked.requests)]
            done = load.drive(each.port, sent, asked.connections, host=each.host)
            # The first round only warms up.
            if turn:
                runs[each.name].append(done)
    _show(runs, asked)


def _some(numbers: Iterator[int], wanted: int) -> Iterator[int]:
    return (next(numbers) for _ in range(wanted))


def _endpoint(side: str, asked: dict[str, object]) -> Endpoint:
    url = urlsplit(str(asked[side]))
    if url.scheme != "http" or not url.hostname:
        sys.exit(f"--{side} {asked[side]!r} is no http:// address; TLS would be what is measured")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    headers = asked[f"{side}_header"]
    assert isinstance(headers, list)
    method, body = str(asked[f"{side}_method"]), str(asked[f"{side}_body"])
    return Endpoint(side, url.hostname, url.port or 80, method, path, body, tuple(headers))


def _show(runs: dict[str, list[load.Run]], asked: argparse.Namespace) -> None:
    rows = []
    for name, done in runs.items():
        times = [time * 1000 for each in done for time in each.times]
        statuses = sum((each.statuses for each in done), Counter[int]())
        ratios = [each.rate / other.rate for each, other in zip(done, runs["theirs"], strict=True)]
        rows.append(
            (
                name,
                tables.spread([each.rate for each in done]),
                tables.spread(ratios, 2),
                f"{median(times):.1f}",
                f"{tables.percentile(times, 0.99):.1f}",
                ", ".join(f"{status}: {number:,}" for status, number in sorted(statuses.items())),
            )
        )
    what = f"{asked.connections} connections, {asked.rounds} rounds of {asked.requests:,} requests each"
    tables.show(
        f"{what} (min / median / max)",
        ("endpoint", "answers/s", "of theirs", "p50 ms", "p99 ms", "statuses"),
        rows,
    )


if __name__ == "__main__":
    main()
