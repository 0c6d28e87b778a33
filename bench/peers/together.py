"""A grant in the CPU of all processes, as `make run` and as compose start the service."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import load, over_http, servers, tables
from bench.peers import processes, sender
from discount.config import Settings
from tests.stack.proxy import Proxy
from tests.support import programs
from tests.support.processes import end
from tests.support.redis_server import RedisServer, free_port

CONNECTIONS = 32
PATIENCE = 60.0
REPLICAS = 3
MAKE_RUN, COMPOSE, NOOP = "`make run`", "compose's settings, through nginx", "Flask no-op, gthread"
WORKER, OTHERS = "worker", "others"
#: The processes by what their command lines contain.
PARTS = {
    "gunicorn": "app",
    "discount worker": WORKER,
    "redis-server": "Redis",
    "valkey": "Redis",
    "nginx": "nginx",
    "": OTHERS,
}


@dataclass(frozen=True, slots=True)
class _Service:
    """A service with all that it needs, on a port of 127.0.0.1; `pids` are the roots of its processes."""

    port: int
    pids: Sequence[int]


def run(program: Path, rounds: int, most: int) -> Sequence[float]:
    """Print the tables; return the rate of a grant in `make run` as ratios to that of the no-op in the same rounds."""
    rates: dict[str, list[float]] = defaultdict(list)
    work: dict[str, list[Mapping[str, float]]] = defaultdict(list)
    defaults = Settings()
    with ExitStack() as started:
        services = {MAKE_RUN: started.enter_context(_make_run())}
        if programs.find("nginx"):
            services[COMPOSE] = started.enter_context(_compose())
        else:
            print(f"\nLeft out: {COMPOSE}. {programs.advice('nginx')}")
        noop_port, _ = started.enter_context(servers.noop(defaults.workers, defaults.threads))
        discounts = {name: _create(each.port, (rounds + 1) * most) for name, each in services.items()}
        empty = [load.post("/noop", {"user_id": "User 1000000"})] * most
        for number in range(rounds + 1):
            for name, service in services.items():
                before = _cpu(service.pids)
                requests = over_http.grant_requests(discounts[name], range(number * most, (number + 1) * most))
                done = sender.send(program, service.port, requests, CONNECTIONS, 201)
                _await_idle(service.pids)
                # The first round warms up.
                if number:
                    rates[name].append(done.rate)
                    work[name].append(
                        {part: (after - before[part]) / done.answered for part, after in _cpu(service.pids).items()}
                    )
            other = sender.send(program, noop_port, empty, CONNECTIONS, 200)
            if number:
                rates[NOOP].append(other.rate)
    ratios = {
        name: [one / other for one, other in zip(several, rates[NOOP], strict=True)] for name, several in rates.items()
    }
    tables.show(
        f"A grant in the service as it is started, {CONNECTIONS} connections, {rounds} rounds (min / median / max)",
        ("what", "answers/s", "of the no-op"),
        [(name, tables.spread(rates[name]), tables.spread(ratios[name], 2)) for name in rates],
    )
    tables.show(
        "CPU of a grant over all processes in us, until the worker is done with its events (min / median / max)",
        ("processes", *services),
        [
            (part, *(tables.spread([each.get(part, 0) * 1e6 for each in work[name]]) for name in services))
            for part in dict.fromkeys(PARTS.values())
        ]
        + [("all", *(tables.spread([sum(each.values()) * 1e6 for each in work[name]]) for name in services))],
    )
    return ratios[MAKE_RUN]


@contextmanager
def _make_run() -> Iterator[_Service]:
    """Run `discount run`, which starts a Redis of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own = {"HOST": "127.0.0.1", "PORT": str(port), "DATA": f"{folder}/data"}
        with _discount("run", own, Path(folder) / "log") as pid:
            until = time.monotonic() + PATIENCE
            # The worker is started last.
            while not _cpu([pid])[WORKER]:
                if time.monotonic() > until:
                    raise RuntimeError(f"`discount run` did not start:\n{(Path(folder) / 'log').read_text()[-2000:]}")
                time.sleep(0.1)
            yield _Service(port, [pid])


@contextmanager
def _compose() -> Iterator[_Service]:
    """Run what compose runs, with its settings, without containers."""
    with ExitStack() as started:
        redis = started.enter_context(RedisServer(tcp=True, appendonly="yes", appendfsync="everysec"))
        settings = {"REDIS_URL": redis.url, "PROXIES": "1"}
        replicas = [
            started.enter_context(servers.gunicorn("discount.app:create_app()", 2, 4, settings))
            for _ in range(REPLICAS)
        ]
        folder = Path(started.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        proxy = started.enter_context(Proxy([f"127.0.0.1:{port}" for port, _ in replicas], folder))
        worker = started.enter_context(_discount("worker", settings | {"WORKER_PORT": "0"}, folder / "worker"))
        yield _Service(proxy.port, [redis.pid, proxy.pid, worker, *(pid for _, pid in replicas)])


@contextmanager
def _discount(command: str, settings: Mapping[str, str], file: Path) -> Iterator[int]:
    """Run a `discount` command; yield its process id."""
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"} | dict(settings)
    with file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "discount", command], cwd=servers.ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            yield process.pid
        finally:
            end(process)


def _create(port: int, total: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    body = json.dumps({"brand_id": over_http.BRAND, "discount_code": "Christmas", "total_count": total})
    connection.request("POST", "/discount", body, {"Content-Type": "application/json"})
    return str(json.load(connection.getresponse())["id"])


def _cpu(pids: Sequence[int]) -> dict[str, float]:
    """Return the seconds of CPU of each part so far."""
    found: dict[str, float] = defaultdict(float)
    for pid in (each for root in pids for each in processes.tree(root)):
        with suppress(psutil.NoSuchProcess):
            words = " ".join(psutil.Process(pid).cmdline())
            part = next(part for text, part in PARTS.items() if text in words)
            found[part] += processes.cpu([pid])
    return found


def _await_idle(pids: Sequence[int]) -> None:
    """Wait until the worker has nothing left to do, for ten seconds at most."""
    until = time.monotonic() + 10
    before, now = -1.0, _cpu(pids)[WORKER]
    while now - before > 0.01 and time.monotonic() < until:
        time.sleep(0.5)
        before, now = now, _cpu(pids)[WORKER]
