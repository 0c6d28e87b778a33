"""Compare grants over HTTP with the limit of Redis: the grant script, sent by clients that do nothing else.

redis-benchmark cannot use the same random digits twice in a command. So users and buckets are random independently,
with as many buckets as the discount has. The other client sends the service's own commands, prepared beforehand.
"""

import csv
import http.client
import json
import multiprocessing
import shutil
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import hiredis

from bench import servers, tables
from discount.domain import code_kinds
from discount.services import code_pools, discounts, grants
from discount.store.connection import Store
from discount.store.scripts import SCRIPTS
from tests.support.redis_server import RedisServer

PATIENCE = 120.0
BENCHMARK = "redis-benchmark, 500 at a time"
PACKED = "the service's calls packed beforehand, 500 at a time"
#: The most users of one HTTP request.
AT_ONCE = 10_000
#: The limits: the share of the pipelined rate, and the milliseconds for which one request may block Redis.
BAR, HOLD = 0.5, 5.0
_RANDOM = "__rand_int__"
#: Bytes that Redis reads from a client at once (PROTO_IOBUF_LEN in its source).
_READ = 16 * 1024


def run(rounds: int, total: int) -> None:
    """Print the tables. Each method grants `total` codes per round, from a separate discount.

    Raises:
        RuntimeError: not everybody got a code.
    """
    with RedisServer() as redis:
        store = Store.at(redis.url, 10.0, 16)
        settings = {"REDIS_URL": redis.url}
        with (
            servers.gunicorn("discount.app:create_app()", 1, 4, settings) as (one, _),
            servers.gunicorn("discount.app:create_app()", 2, 4, settings) as (two, _),
        ):
            size = min(total, AT_ONCE)
            ways: dict[str, tuple[Callable[[str], float], bool]] = {
                PACKED: (lambda made: _send_packed(redis, store, made, total), True),
                f"HTTP, {size:,} a call, 1 worker": (lambda made: _send_http(one, made, total, size, 1), True),
                f"HTTP, {size:,} a call, 2 workers": (lambda made: _send_http(two, made, total, size, 4), True),
                f"HTTP, {size:,} a call, 1 worker, codes made meanwhile": (
                    lambda made: _send_http(one, made, total, size, 1),
                    False,
                ),
                f"HTTP, {size:,} a call, 2 workers, codes made meanwhile": (
                    lambda made: _send_http(two, made, total, size, 4),
                    False,
                ),
            }
            if shutil.which("redis-benchmark"):
                ways = {
                    BENCHMARK: (lambda made: _send_benchmark(redis, store, made, total, 1, 500), True),
                    "redis-benchmark, 32 connections, one at a time": (
                        lambda made: _send_benchmark(redis, store, made, total, 32, 1),
                        True,
                    ),
                } | ways
            rates: dict[str, list[float]] = defaultdict(list)
            owns: dict[str, list[float]] = defaultdict(list)
            for turn in range(rounds + 1):
                for name, (way, filled) in ways.items():
                    made = _create(store, total)
                    if filled:
                        code_pools.refill(store, made, total)
                    before = _redis_cpu(redis)
                    rate = way(made)
                    own = (_redis_cpu(redis) - before) / total * 1e6
                    _check(store, made, total, exactly=not name.startswith("redis-benchmark"))
                    store.command("FLUSHALL")
                    # The first round warms up: it loads the script and lets Redis allocate memory.
                    if turn:
                        rates[name].append(rate)
                        owns[name].append(own)
        _show(rates, owns, rounds, total)
        _show_hold(redis, store, min(total, AT_ONCE), rounds)


def _create(store: Store, total: int) -> str:
    store.prepare()
    return discounts.create(
        store,
        brand_id="IKEA",
        discount_code="Christmas 2020 discount",
        total_count=total,
        kind=code_kinds.unique(total),
    )[0].id


def _check(store: Store, discount_id: str, total: int, *, exactly: bool) -> None:
    granted = discounts.show(store, discount_id)[0].granted_count
    # Random users repeat now and then.
    if granted > total or granted < (total if exactly else 0.9 * total):
        raise RuntimeError(f"{granted} granted instead of {total}")


def _digest(redis: RedisServer) -> str:
    """Load the script as the service runs it."""
    script = SCRIPTS["grant"]
    with redis.client() as client:
        return str(client.script_load(script.shebang_source))


def _script_call(store: Store, discount_id: str, digest: str, user: str) -> list[str]:
    """Return the command that the service sends for a user's grant."""
    names, arguments = grants._call(store, discounts.parse_id(store, discount_id), user, "*")
    return [str(each) for each in ("EVALSHA", digest, len(names), *names, *arguments)]


def _send_benchmark(redis: RedisServer, store: Store, discount_id: str, total: int, clients: int, depth: int) -> float:
    call = _script_call(store, discount_id, _digest(redis), "User")
    for place, word in enumerate(call):
        if ":grants:" in word or ":users:" in word:
            call[place] = word.rpartition(":")[0] + f":{_RANDOM}"
    call[call.index("User")] = f"User {_RANDOM}{_RANDOM}"
    buckets = max(1000, discounts.parse_id(store, discount_id).buckets)
    options = ["-s", redis.url.removeprefix("unix://"), "-n", str(total), "-c", str(clients), "-P", str(depth)]
    told = subprocess.run(
        ["redis-benchmark", *options, "-r", str(buckets), "--csv", *call],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    ).stdout
    return float(list(csv.reader(told.splitlines()))[-1][1])


def _send_packed(redis: RedisServer, store: Store, discount_id: str, total: int) -> float:
    digest = _digest(redis)
    calls = [
        hiredis.pack_command(tuple(_script_call(store, discount_id, digest, f"User {number}")))  # type: ignore[arg-type]
        for number in range(total)
    ]
    pieces = [calls[first : first + grants.SLICE] for first in range(0, total, grants.SLICE)]
    reader = hiredis.Reader()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(redis.url.removeprefix("unix://"))
        started = perf_counter()
        for piece in pieces:
            connection.sendall(b"".join(piece))
            missing = len(piece)
            while missing:
                reader.feed(connection.recv(1 << 20))
                while (answer := reader.gets()) is not False:
                    if answer[0] != b"granted":
                        raise RuntimeError(f"{answer} instead of a grant")
                    missing -= 1
        return total / (perf_counter() - started)


def _send_http(port: int, discount_id: str, total: int, size: int, connections: int) -> float:
    """Return the rate of requests over so many concurrent connections."""
    bodies = [
        json.dumps({"user_ids": [f"User {number}" for number in range(first, min(first + size, total))]}).encode()
        for first in range(0, total, size)
    ]
    waiting, failed = iter(bodies), []
    path = f"/discount/{discount_id}/grants"

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            for body in waiting:
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
                if response.status != 200:
                    failed.append(answer)
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(connections)]
    started = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = perf_counter() - started
    if failed:
        raise RuntimeError(failed[0][:500])
    return total / seconds


def _redis_cpu(redis: RedisServer) -> float:
    with redis.client() as client:
        told = client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def _show(rates: dict[str, list[float]], owns: dict[str, list[float]], rounds: int, total: int) -> None:
    unit = BENCHMARK if BENCHMARK in rates else PACKED
    rows = []
    for name, found in rates.items():
        ratios = [each / other for each, other in zip(found, rates[unit], strict=True)]
        rows.append((name, tables.spread(found), tables.spread(ratios, 2), tables.spread(owns[name], 1)))
        tables.keep(f"script: {name}", rate=median(found), redis_us=median(owns[name]))
    tables.show(
        f"Grants in bulk beside Redis's own rate, {rounds} rounds of {total:,} (min / median / max); bar {BAR}",
        ("way", "grants/s", f"of {unit}", "Redis CPU us a grant"),
        rows,
    )


def _show_hold(redis: RedisServer, store: Store, users: int, rounds: int) -> None:
    """Measure how long others wait while one request is served, and how much of that the machine causes."""
    calm, busy, slowest = [], [], []
    for _ in range(rounds):
        made = _create(store, users)
        names = [f"User {number}" for number in range(users)]
        calm.append(_longest_wait(redis, partial(time.sleep, 0.2)))
        with redis.client() as client:
            client.config_set("slowlog-log-slower-than", 0)
            client.config_set("slowlog-max-len", 100_000)
            client.slowlog_reset()
        busy.append(_longest_wait(redis, partial(grants.grant_many, store, made, names)))
        with redis.client() as client:
            slowest.append(max(each["duration"] for each in client.slowlog_get(100_000)) / 1000)
            client.config_set("slowlog-log-slower-than", -1)
    tables.show(
        f"For how long one call for {users:,} users holds Redis at a time, {rounds} rounds (min / median / max);"
        f" bar {HOLD:.0f} ms",
        ("", "ms"),
        (
            ("the longest script", tables.spread(slowest, 2)),
            ("the longest wait of another client meanwhile", tables.spread(busy, 2)),
            ("the longest wait of a client of an idle Redis", tables.spread(calm, 2)),
            (
                "the calls that Redis reads at once from a client, in its CPU",
                f"{_run_of_one_read(store):.2f}",
            ),
        ),
    )


def _run_of_one_read(store: Store) -> float:
    """Estimate the CPU milliseconds of all calls in one read, from the time of a grant in bulk."""
    made = _create(store, 1)
    size = len(hiredis.pack_command(tuple(_script_call(store, made, "0" * 40, "User 10000000"))))  # type: ignore[arg-type]
    return _READ / size * tables.kept[f"script: {PACKED}"]["redis_us"] / 1000


def _longest_wait(redis: RedisServer, work: Callable[[], object]) -> float:
    """Return the milliseconds of the slowest of many PINGs during some work."""
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    told = context.SimpleQueue()
    other = context.Process(target=_ping, args=(redis, ready, done, told))
    other.start()
    try:
        if not ready.wait(PATIENCE):
            raise RuntimeError("the other client did not begin")
        work()
        done.set()
        return float(told.get())
    finally:
        done.set()
        other.join(PATIENCE)


def _ping(redis: RedisServer, ready: Any, done: Any, told: Any) -> None:
    longest = 0.0
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(redis.url.removeprefix("unix://"))
        while not done.is_set():
            started = perf_counter()
            connection.sendall(b"PING\r\n")
            connection.recv(100)
            longest = max(longest, perf_counter() - started)
            ready.set()
    told.put(longest * 1000)
