"""Measure the time from the command to the first answer, the memory of a worker, and the slowest imports."""

import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import psutil

from bench import load, servers, tables
from bench.over_http import create_discount, grant_requests
from discount.store.connection import Store
from tests.support.redis_server import RedisServer, free_port

PATIENCE = 60.0
WORKERS = 2
#: The limit in seconds.
BAR = 1.0
#: How many modules are listed.
NAMED = 15
_GUNICORN = ["-m", "gunicorn", "-c", "python:discount.serving.gunicorn_config", "discount.app:create_app()"]


def run(rounds: int, requests: int) -> None:
    """Print the tables."""
    with RedisServer() as redis:
        _show_times(redis, rounds)
        _show_memory(redis, requests)
    _show_imports(rounds)


def _show_times(redis: RedisServer, rounds: int) -> None:
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "python -c pass": (["-c", "pass"], {}),
        'python -c "import discount.app"': (["-c", "import discount.app"], {}),
        f"gunicorn, {WORKERS} workers: to the first answer": (_GUNICORN, {"REDIS_URL": redis.url}),
        f"discount run, {WORKERS} workers and a Redis of its own: to the first answer": (["-m", "discount", "run"], {}),
    }
    times: dict[str, list[float]] = defaultdict(list)
    warm = min(1, rounds - 1)
    for turn in range(warm + rounds):
        for name, (words, settings) in commands.items():
            seconds = _seconds(words, settings, answers="answer" in name)
            # The first of several rounds loads the files into the page cache.
            if turn >= warm:
                times[name].append(seconds)
    tables.show(
        f"Start, {rounds} rounds (min / median / max); bar {BAR:.0f} s to the first answer",
        ("command", "seconds"),
        [(name, tables.spread(found, 2)) for name, found in times.items()],
    )


def _seconds(words: Sequence[str], settings: dict[str, str], *, answers: bool) -> float:
    """Measure a command until it ends, or until its first answer; then stop it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, (Path(folder) / "log").open("wb") as log:
        own = {"HOST": "127.0.0.1", "PORT": str(free_port()), "WORKERS": str(WORKERS), "DATA": folder}
        inherited = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
        started = perf_counter()
        process = subprocess.Popen(
            [sys.executable, *words], cwd=servers.ROOT, env=inherited | own | settings, stdout=log, stderr=log
        )
        try:
            while not _done(process, int(own["PORT"]), answers):
                if perf_counter() - started > PATIENCE:
                    raise RuntimeError(f"{words}: {(Path(folder) / 'log').read_text(errors='replace')[-2000:]}")
                sleep(0.002)
            return perf_counter() - started
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)


def _done(process: "subprocess.Popen[bytes]", port: int, answers: bool) -> bool:
    if process.poll() is not None:
        if answers or process.returncode:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        return True
    if not answers:
        return False
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/healthy")
        return connection.getresponse().status == 200
    return False


def _show_memory(redis: RedisServer, requests: int) -> None:
    """Return a worker's memory: its own, and with its share of shared memory."""
    store = Store.at(redis.url, 10.0, 16)
    sent = grant_requests(create_discount(store, requests), range(requests))
    rows = []
    with servers.gunicorn("discount.app:create_app()", WORKERS, 4, {"REDIS_URL": redis.url}) as (port, master):
        for when in ("started", f"after {requests:,} grants"):
            if when != "started":
                load.drive(port, sent, 32)
            parent = psutil.Process(master)
            for name, processes in (("a worker", parent.children()), ("the master", [parent])):
                told = [each.memory_full_info() for each in processes]
                own, share = (median(getattr(each, kind) / 2**20 for each in told) for kind in ("uss", "pss"))
                rows.append((name, when, f"{own:.0f}", f"{share:.0f}"))
                tables.keep(f"startup: {name}", own_mb=own, share_mb=share)
    tables.show(f"Memory, {WORKERS} workers", ("process", "when", "its own MB", "with its share MB"), rows)


def _show_imports(rounds: int) -> None:
    """Return the modules with the highest own import time by `-X importtime`, as medians of the rounds."""
    own: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        told = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", "import discount.app"],
            cwd=servers.ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        ).stderr
        packages: dict[str, float] = defaultdict(float)
        for microseconds, module in re.findall(r"import time: +(\d+) \| +\d+ \| *(\S+)", told):
            packages[module.partition(".")[0]] += int(microseconds) / 1000
        for package, milliseconds in packages.items():
            own[package].append(milliseconds)
    most = sorted(own.items(), key=lambda item: -median(item[1]))
    rows = [(package, tables.spread(found, 1)) for package, found in most[:NAMED]]
    rows.append(("all", f"{sum(median(found) for found in own.values()):.1f}"))
    tables.show(f"Imports by package, {rounds} rounds (min / median / max)", ("package", "ms"), rows)
