"""A grant as `make run` starts the service: all of its processes, beside the Flask no-op."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil

from bench import load, over_http, servers, tables
from bench.peers import processes, sender
from discount.config import Settings
from tests.support.redis_server import free_port

CONNECTIONS = 32
PATIENCE = 60.0
#: The processes by what their command lines contain.
PARTS = {
    "gunicorn": "server, master and workers",
    "discount worker": "`discount worker`",
    "discount sink": "mail sink",
    "redis-server": "Redis",
    "valkey": "Redis",
    "discount run": "`discount run`",
}


def run(program: Path, rounds: int, most: int) -> Sequence[float]:
    """Print the tables; return the rate of a grant as ratios to that of the no-op in the same rounds."""
    rates: dict[str, list[float]] = defaultdict(list)
    work: dict[str, list[float]] = defaultdict(list)
    defaults = Settings()
    with (
        _started() as (port, pid),
        servers.gunicorn("bench.noop:app", defaults.workers, defaults.threads, {"WORKER_CLASS": "gthread"}) as noop,
    ):
        discount_id = _create(port, (rounds + 1) * most)
        empty = [load.post("/noop", {"user_id": "User 1000000"})] * most
        for number in range(rounds + 1):
            before = _cpu(pid)
            requests = over_http.grant_requests(discount_id, range(number * most, (number + 1) * most))
            done = sender.send(program, port, requests, CONNECTIONS, 201)
            _await_idle(pid)
            after = _cpu(pid)
            other = sender.send(program, noop[0], empty, CONNECTIONS, 200)
            # The first round warms up.
            if number:
                rates["grant"].append(done.rate)
                rates["Flask no-op"].append(other.rate)
                for name, seconds in after.items():
                    work[name].append((seconds - before.get(name, 0)) / done.answered * 1e6)
    work["all"] = [sum(several) for several in zip(*work.values(), strict=True)]
    ratios = [one / other for one, other in zip(rates["grant"], rates["Flask no-op"], strict=True)]
    tables.show(
        f"`make run` as it is, {CONNECTIONS} connections, {rounds} rounds (min / median / max)",
        ("call", "answers/s", "of the no-op"),
        [
            ("grant", tables.spread(rates["grant"]), tables.spread(ratios, 2)),
            ("Flask no-op, gthread", tables.spread(rates["Flask no-op"]), "1.00 / 1.00 / 1.00"),
        ],
    )
    tables.show(
        "CPU of a grant over all processes of `make run`, until the last of its events is done with",
        ("processes", "us"),
        [(name, tables.spread(work[name])) for name in sorted(work, key=lambda name: -median(work[name]))],
    )
    return ratios


@contextmanager
def _started() -> Iterator[tuple[int, int]]:
    """Run `discount run` with a Redis of its own; yield its port and its process id."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, (Path(folder) / "log").open("wb") as log:
        own = {"HOST": "127.0.0.1", "PORT": str(port), "DATA": f"{folder}/data"}
        environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"} | own
        process = subprocess.Popen(
            [sys.executable, "-m", "discount", "run"], cwd=servers.ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            until = time.monotonic() + PATIENCE
            # The worker is started last.
            while PARTS["discount worker"] not in _cpu(process.pid):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"`discount run` did not start:\n{(Path(folder) / 'log').read_text()[-2000:]}")
                time.sleep(0.1)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _create(port: int, total: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    body = json.dumps({"brand_id": over_http.BRAND, "discount_code": "Christmas", "total_count": total})
    connection.request("POST", "/discount", body, {"Content-Type": "application/json"})
    return str(json.load(connection.getresponse())["id"])


def _cpu(pid: int) -> Mapping[str, float]:
    """Return the seconds of CPU of each part so far."""
    found: dict[str, float] = defaultdict(float)
    for each in processes.tree(pid):
        try:
            words = " ".join(psutil.Process(each).cmdline())
        except psutil.NoSuchProcess:
            continue
        part = next((name for text, name in PARTS.items() if text in words), "others")
        found[part] += processes.cpu([each])
    return found


def _await_idle(pid: int) -> None:
    """Wait until the worker has nothing left to do, for ten seconds at most."""
    until = time.monotonic() + 10
    before, now = -1.0, _cpu(pid)[PARTS["discount worker"]]
    while now - before > 0.01 and time.monotonic() < until:
        time.sleep(0.5)
        before, now = now, _cpu(pid)[PARTS["discount worker"]]
