"""Times of other calls, in a worker that is quiet and in one that hot calls fill."""

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import load, over_http, servers, tables
from bench.peers import sender
from discount.services import brands, code_pools
from discount.store.connection import Store
from tests.support.redis_server import RedisServer

#: Calls of each kind in a round, one after the other on one connection.
CALLS = 80
CONNECTIONS = 32
#: Hot calls of a round, and the most seconds of them.
HOT = 20_000
SECONDS = 30.0
_STATUSES = {"list": 200, "show": 200, "create": 201}

#: The p99 of each kind of call, in milliseconds.
Times = Mapping[str, float]


def run(program: Path, rounds: int) -> tuple[Times, Times]:
    """Print the table; return the p99 of a quiet worker, and of a filled one."""
    quiet: dict[str, list[float]] = defaultdict(list)
    filled: dict[str, list[float]] = defaultdict(list)
    ended_early = 0
    with RedisServer(appendonly="yes", appendfsync="everysec") as redis:
        store = Store.at(redis.url, 10.0, 16)
        brands.create(store, over_http.BRAND, over_http.BRAND)
        discounts = [over_http.create_discount(store, 10) for _ in range(50)]
        hot = over_http.create_discount(store, HOT * rounds)
        code_pools.refill(store, hot, HOT * rounds)
        with (
            servers.gunicorn("discount.app:create_app()", 1, 4, {"REDIS_URL": redis.url}) as (port, _),
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
        ):
            for number in range(rounds):
                _ask(port, discounts[0], quiet)
                users = range(number * HOT, (number + 1) * HOT)
                requests = over_http.grant_requests(hot, users)
                background = sender.start(program, port, requests, CONNECTIONS, 201, Path(folder), SECONDS)
                try:
                    time.sleep(0.5)
                    _ask(port, discounts[0], filled)
                    ended_early += background.poll() is not None
                finally:
                    background.kill()
                    background.wait()
    several = [{name: tables.percentile(times, 0.99) for name, times in each.items()} for each in (quiet, filled)]
    rows = [
        (name, f"{several[0][name]:.1f}", f"{several[1][name]:.1f}", f"{several[1][name] / several[0][name]:.2f}")
        for name in _STATUSES
    ]
    early = f"; in {ended_early} of {rounds} rounds the grants ended before" if ended_early else ""
    tables.show(
        f"Other calls while {CONNECTIONS} connections fill one worker with grants: p99 of {rounds * CALLS}{early}",
        ("call", "quiet, ms", "filled, ms", "ratio"),
        rows,
    )
    return several[0], several[1]


def _ask(port: int, discount_id: str, found: dict[str, list[float]]) -> None:
    body = {"brand_id": over_http.BRAND, "discount_code": "Spring", "total_count": 10}
    kinds: Mapping[str, Sequence[bytes]] = {
        "list": [_get(f"/discount?brand_id={over_http.BRAND}&limit=20")] * CALLS,
        "show": [_get(f"/discount/{discount_id}")] * CALLS,
        "create": [load.post("/discount", body)] * CALLS,
    }
    for name, requests in kinds.items():
        done = load.drive(port, requests, 1)
        if set(done.statuses) != {_STATUSES[name]}:
            raise RuntimeError(f"{name}: {json.dumps(done.statuses)}")
        found[name] += [seconds * 1000 for seconds in done.times]


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
